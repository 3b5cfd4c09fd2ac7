//! Waking workers early. A hint only: whoever waits looks again after a while anyway.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::Instant;

use crate::{Postgres, bounded::Pool};

const CHANNEL: &str = "paywright_jobs";
/// Hints of one process are at least so far apart: NOTIFY takes a lock that all committers of a server share, and
/// one in every insert more than halves their number. So it is also sent outside of their transactions; but it is one
/// itself, which wakes every worker. Under load workers look again by themselves.
const APART: Duration = Duration::from_millis(25);
const RECONNECT: Duration = Duration::from_secs(1);
/// A connection on which nothing is heard for so long is made anew: it may be lost, and whoever only listens never
/// learns of it.
const SILENCE: Duration = Duration::from_mins(1);

/// Tells workers that there are jobs.
#[derive(Debug, Clone)]
pub(crate) struct Bell {
    pool: Pool,
    state: Arc<AtomicU8>,
}

/// Nobody rang for a while: the next ring is heard at once.
const QUIET: u8 = 0;
/// A hint was sent just now.
const RESTING: u8 = 1;
/// Somebody rang since: one hint more follows, for all of them.
const RUNG: u8 = 2;

impl Bell {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, state: Arc::default() }
    }

    /// Sends a hint, at once if there was none just now, else soon, one for all who ring until then.
    pub(crate) fn ring(&self) {
        let rung = |state| Some(if state == QUIET { RESTING } else { RUNG });
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, rung);
        if before != Ok(QUIET) {
            return;
        }
        let bell = self.clone();
        tokio::spawn(async move {
            loop {
                bell.send().await;
                tokio::time::sleep(APART).await;
                let rest = bell.state.compare_exchange(RESTING, QUIET, Ordering::AcqRel, Ordering::Acquire);
                if rest.is_ok() {
                    return;
                }
                bell.state.store(RESTING, Ordering::Release);
            }
        });
    }

    async fn send(&self) {
        let sent = sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&self.pool).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "no hint was sent; workers find the jobs by themselves");
        }
    }
}

/// Listens for hints that there are jobs, on a connection of its own.
pub struct Hints {
    connect: PgConnectOptions,
    listener: Option<PgListener>,
    heard: Instant,
}

impl Postgres {
    /// Listens from the first [`Hints::wait`] on.
    pub fn listener(&self) -> Hints {
        Hints { connect: self.connect_options(), listener: None, heard: Instant::now() }
    }
}

impl Hints {
    /// Returns when somebody hinted that there may be jobs, and after `max` at the latest. A lost connection is
    /// made anew; until then this only waits. May be dropped at any time.
    pub async fn wait(&mut self, max: Duration) {
        let end = Instant::now() + max;
        if self.heard.elapsed() > SILENCE {
            self.listener = None;
        }
        if let Ok(Err(error)) = tokio::time::timeout_at(end, self.hinted()).await {
            tracing::debug!(%error, "not listening for hints");
            self.listener = None;
            tokio::time::sleep_until(end.min(Instant::now() + RECONNECT)).await;
        }
    }

    async fn hinted(&mut self) -> Result<(), sqlx::Error> {
        if self.listener.is_none() {
            let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
            let mut listener =
                PgListener::connect_with(&pool.connect_with(self.connect.clone()).await?).await?;
            listener.listen(CHANNEL).await?;
            // Jobs may have come while nobody listened.
            self.listener = Some(listener);
        } else if let Some(listener) = &mut self.listener {
            // `None`: the connection was lost and made anew, so a hint may have been missed.
            listener.try_recv().await?;
        }
        self.heard = Instant::now();
        Ok(())
    }
}
