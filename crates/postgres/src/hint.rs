//! Waking workers early. A hint only: whoever waits looks again after a while anyway.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};

use crate::Postgres;

const CHANNEL: &str = "paywright_jobs";
/// Hints of one process are at least so far apart: NOTIFY takes a lock that all committers of a server share, and
/// one in every insert more than halves their number. So it is also sent outside of their transactions.
const GATHER: Duration = Duration::from_millis(5);
const RECONNECT: Duration = Duration::from_secs(1);

/// Tells workers that there are jobs.
#[derive(Debug, Clone)]
pub(crate) struct Bell {
    pool: PgPool,
    rung: Arc<AtomicBool>,
}

impl Bell {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, rung: Arc::default() }
    }

    /// Sends a hint soon, one for all who ring until then.
    pub(crate) fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let bell = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(GATHER).await;
            bell.rung.store(false, Ordering::Release);
            let sent = sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&bell.pool).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "no hint was sent; workers find the jobs by themselves");
            }
        });
    }
}

/// Listens for hints that there are jobs, on a connection of its own.
pub struct Hints {
    connect: PgConnectOptions,
    listener: Option<PgListener>,
}

impl Postgres {
    /// Listens from the first [`Hints::wait`] on.
    pub fn listener(&self) -> Hints {
        Hints { connect: self.connect_options(), listener: None }
    }
}

impl Hints {
    /// Returns when somebody hinted that there may be jobs, and after `max` at the latest. A lost connection is
    /// made anew; until then this only waits. May be dropped at any time.
    pub async fn wait(&mut self, max: Duration) {
        let end = tokio::time::Instant::now() + max;
        if let Ok(Err(error)) = tokio::time::timeout_at(end, self.hinted()).await {
            tracing::debug!(%error, "not listening for hints");
            self.listener = None;
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + RECONNECT)).await;
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
            return Ok(());
        }
        match &mut self.listener {
            // `None`: the connection was lost and made anew, so a hint may have been missed.
            Some(listener) => listener.try_recv().await.map(drop),
            None => Ok(()),
        }
    }
}
