//! Work that is done again and again, by one process at a time, whoever it is.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use paywright_domain::ports::StoreError;
use paywright_postgres::{ScheduleLease, Schedules};
use tokio_util::sync::CancellationToken;

use super::TROUBLE;
use crate::{http::problem::chain, wiring::App};

/// How long a run holds its schedule unless it says that it goes on; so soon somebody else goes on after a crash.
const LEASE: Duration = Duration::from_secs(60);
/// How often a run says that it goes on.
const RENEW: Duration = Duration::from_secs(20);
/// How often the others look whether it is their turn.
const LOOK: Duration = Duration::from_secs(15);

/// Runs `task` now, if nobody did within `period`, and then once a `period` until `stop`, in turns with all processes that
/// do the same under this name. A run that fails is told and comes again after a `period`; one that is cut off, by `stop`
/// or because its lease is lost, is dropped where it waits, and somebody else may begin at once.
pub(crate) async fn every<F, R>(
    app: Arc<App>,
    stop: CancellationToken,
    name: &'static str,
    period: Duration,
    task: F,
) where
    F: Fn(Arc<App>) -> R,
    R: Future<Output = anyhow::Result<()>>,
{
    let schedules = Schedules::new(&app.store);
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let wait = match schedules.claim(name, time(LEASE)).await {
            Ok(Some(lease)) => {
                let run = Run { schedules: &schedules, lease, period, held_until: begun + LEASE };
                run.lead(task(Arc::clone(&app)), &stop).await;
                period
            }
            Ok(None) => LOOK.min(period),
            Err(error) => {
                tracing::warn!(error = chain(&error), name, "cannot look at a schedule");
                TROUBLE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// One run, under its lease.
struct Run<'a> {
    schedules: &'a Schedules,
    lease: ScheduleLease,
    period: Duration,
    /// By our own clock, and counted from before the question: a late yes is none.
    held_until: Instant,
}

impl Run<'_> {
    async fn lead(mut self, task: impl Future<Output = anyhow::Result<()>>, stop: &CancellationToken) {
        let name = self.lease.name.clone();
        let ended = {
            let task = AssertUnwindSafe(task).catch_unwind();
            tokio::select! {
                ended = task => Some(ended.unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")))),
                () = stop.cancelled() => None,
                () = self.hold() => {
                    tracing::error!(name, "scheduled work was cut off: its lease is lost");
                    return;
                }
            }
        };
        let finished = match ended {
            Some(Ok(())) => self.finish(self.period, Ok(())).await,
            Some(Err(error)) => {
                let error = format!("{error:#}");
                tracing::error!(name, error, "scheduled work failed");
                self.finish(self.period, Err(&error)).await
            }
            None => self.finish(Duration::ZERO, Err("its process was stopped")).await,
        };
        // The lease ends by itself then.
        if let Err(error) = finished {
            tracing::warn!(error = chain(&error), name, "cannot say that scheduled work ended");
        }
    }

    async fn finish(&self, next_in: Duration, outcome: Result<(), &str>) -> Result<(), StoreError> {
        self.schedules.finish(&self.lease, time(next_in), outcome).await
    }

    /// Holds on to the lease; returns when it is lost.
    async fn hold(&mut self) {
        loop {
            tokio::time::sleep(RENEW.min(self.held_until.saturating_duration_since(Instant::now()))).await;
            let begun = Instant::now();
            match self.schedules.renew(&self.lease, time(LEASE)).await {
                Ok(true) => self.held_until = begun + LEASE,
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(error = chain(&error), name = self.lease.name, "cannot renew a lease")
                }
            }
            if Instant::now() >= self.held_until {
                return;
            }
        }
    }
}

fn time(duration: Duration) -> time::Duration {
    time::Duration::try_from(duration).unwrap_or(time::Duration::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use paywright_postgres::{PoolOptions, Postgres, TestDb};
    use sqlx::PgPool;

    use super::*;
    use crate::config::Settings;

    /// An application over a database of its own.
    async fn app() -> (Arc<App>, TestDb, PgPool) {
        let db = TestDb::new().await;
        let store = Postgres::connect(db.url(), PoolOptions::default()).await.unwrap();
        let mut settings = Settings::defaults();
        settings.stripe.test.secret_key = Some("sk_test_schedule".to_owned().into());
        settings.stripe.test.webhook_secret = Some("whsec_schedule".to_owned().into());
        let pool = db.pool().await;
        (Arc::new(App::new(settings, store, "http://127.0.0.1:1".to_owned()).unwrap()), db, pool)
    }

    async fn until(pool: &PgPool, question: &'static str) {
        for _ in 0..500 {
            if sqlx::query_scalar::<_, bool>(question).fetch_one(pool).await.is_ok_and(|yes| yes) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not within ten seconds: {question}");
    }

    /// Runs once an hour: well, then with a panic, then with an error, then well again.
    async fn sweep(app: Arc<App>, stop: CancellationToken, runs: Arc<AtomicUsize>) {
        let task = move |_| {
            let run = runs.fetch_add(1, Ordering::AcqRel);
            async move {
                assert_ne!(run, 1, "a panic is a failure");
                anyhow::ensure!(run != 2, "the third run fails");
                Ok(())
            }
        };
        every(app, stop, "sweep", Duration::from_secs(3600), task).await;
    }

    /// Covers: fault 93, I28.
    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_processes_one_runs_it_once_a_period_however_it_ends() {
        let (app, _db, pool) = app().await;
        let (runs, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let processes: Vec<_> = (0..3)
            .map(|_| {
                let (app, stop, runs) = (Arc::clone(&app), stop.clone(), Arc::clone(&runs));
                tokio::spawn(sweep(app, stop, runs))
            })
            .collect();
        until(&pool, "SELECT count(*) = 1 FROM schedules WHERE last_finished_at IS NOT NULL").await;
        stop.cancel();
        for process in processes {
            process.await.unwrap();
        }
        assert_eq!(runs.load(Ordering::Acquire), 1);
        // The next runs panic, and fail: both are told, and neither ends the schedule.
        for told in ["last_error = 'panicked'", "last_error = 'the third run fails'", "last_error IS NULL"] {
            sqlx::query("UPDATE schedules SET due_at = now()").execute(&pool).await.unwrap();
            let stop = CancellationToken::new();
            let running = tokio::spawn(sweep(Arc::clone(&app), stop.clone(), Arc::clone(&runs)));
            until(&pool, "SELECT due_at > now() AND leased_until IS NULL FROM schedules").await;
            stop.cancel();
            running.await.unwrap();
            let sql = sqlx::AssertSqlSafe(format!("SELECT coalesce({told}, false) FROM schedules"));
            assert!(sqlx::query_scalar::<_, bool>(sql).fetch_one(&pool).await.unwrap(), "{told}");
        }
    }

    /// Covers: fault 87.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_run_that_is_stopped_is_left_to_others_at_once() {
        let (app, _db, pool) = app().await;
        let stop = CancellationToken::new();
        let endless = |_| async {
            futures::future::pending::<()>().await;
            Ok(())
        };
        let running = tokio::spawn(every(app, stop.clone(), "sweep", Duration::from_secs(3600), endless));
        until(&pool, "SELECT count(*) = 1 FROM schedules WHERE leased_until > now()").await;
        stop.cancel();
        running.await.unwrap();
        until(&pool, "SELECT due_at <= now() AND leased_until IS NULL FROM schedules").await;
    }
}
