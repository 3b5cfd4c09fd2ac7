//! The connections of the hot path, kept between rides. A pool tests each connection when it is lent and when it comes
//! back, which is more than most rides have to say.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{Executor, PgPool};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::bounded::{Held, Pool, is_lost};

/// One that nobody has used for so long goes back to the pool, which tests it before it lends it again.
const KEPT_IDLE: Duration = Duration::from_secs(1);
/// One that was lent so long ago goes back, so that it may be replaced.
const KEPT_AT_ALL: Duration = Duration::from_mins(10);

/// A pool, and those of its connections that wait for the next ride.
#[derive(Clone)]
pub(crate) struct Keyed {
    pool: Pool,
    /// One for each connection that the pool may have: who waits, waits here, and gets one that was kept.
    turns: Arc<Semaphore>,
    patience: Duration,
    kept: Arc<Mutex<Vec<Kept>>>,
}

struct Kept {
    lent: Lent,
    since: Instant,
}

/// A connection on a ride. Dropped, it goes back to the pool; but not within a transaction, which a ride that panicked
/// must not hand on to the next.
pub(crate) struct Lent {
    pub(crate) connection: Held,
    at: Instant,
    /// Whether it was kept, and may have been lost meanwhile.
    untested: bool,
    turn: Option<OwnedSemaphorePermit>,
}

impl Keyed {
    pub(crate) fn of(pool: Pool) -> Self {
        let options = pool.inner().options();
        let (most, patience) = (options.get_max_connections(), options.get_acquire_timeout());
        Self { pool, turns: Arc::new(Semaphore::new(most as usize)), patience, kept: Arc::default() }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.pool.inner()
    }

    /// Waits for what is asked on a lent connection, but not for ever.
    pub(crate) async fn answered<T, E: From<sqlx::Error>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.pool.answered(answer).await
    }

    /// One inside of an open transaction. A kept one that was lost meanwhile is passed over: nothing was sent on it.
    pub(crate) async fn begin(&self) -> Result<Lent, sqlx::Error> {
        loop {
            let mut lent = self.lend().await?;
            lent.connection.doubt();
            match self.answered(lent.connection.execute("BEGIN")).await {
                Ok(_) => return Ok(lent),
                Err(_) if lent.untested => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads rows by their keys. On a kept connection that was lost meanwhile nothing was read, so it is done again.
    pub(crate) async fn read<K: Clone, R, F>(
        &self,
        keys: Vec<K>,
        read: impl Fn(Lent, Vec<K>) -> F,
    ) -> sqlx::Result<Vec<R>>
    where
        F: Future<Output = (Lent, sqlx::Result<Vec<R>>)>,
    {
        loop {
            let mut lent = self.lend().await?;
            lent.connection.doubt();
            let reading = read(lent, keys.clone());
            let (mut lent, rows) = self.answered(async { Ok::<_, sqlx::Error>(reading.await) }).await?;
            lent.connection.judge(&rows);
            match rows {
                Ok(rows) => {
                    self.keep(lent);
                    return Ok(rows);
                }
                Err(error) if lent.untested && is_lost(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps a connection for the next ride. Its transaction is over.
    pub(crate) fn keep(&self, mut lent: Lent) {
        lent.connection.trust();
        let turn = lent.turn.take();
        if lent.at.elapsed() < KEPT_AT_ALL && !self.pool().is_closed() {
            self.kept().push(Kept { lent, since: Instant::now() });
        }
        drop(turn);
    }

    /// Closes all, after those on a ride came back.
    pub(crate) async fn close(&self) {
        let closed = self.pool().close();
        self.kept().clear();
        closed.await;
    }

    pub(crate) async fn lend(&self) -> Result<Lent, sqlx::Error> {
        let turn = tokio::time::timeout(self.patience, Arc::clone(&self.turns).acquire_owned());
        let turn = turn.await.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        while let Some(Kept { mut lent, since }) = self.pop() {
            if since.elapsed() < KEPT_IDLE {
                lent.untested = true;
                lent.turn = Some(turn);
                return Ok(lent);
            }
        }
        let connection = self.pool.acquire().await?;
        Ok(Lent { connection, at: Instant::now(), untested: false, turn: Some(turn) })
    }

    fn pop(&self) -> Option<Kept> {
        self.kept().pop()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
