//! A pool whose every step ends.
//!
//! The server bounds what it does itself, see [`PoolOptions`](crate::PoolOptions). But of a server that is not heard any
//! more, since the network between loses everything or what stands for it passes nothing on, no answer comes, and no end
//! of the connection: whoever waits without a limit of their own waits for ever, and keeps a place in the pool.

use std::{
    io,
    ops::{Deref, DerefMut},
    time::Duration,
};

use futures::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::{runtime::Handle, time::timeout};

/// How long the test of a connection that comes back may take.
const RETURN: Duration = Duration::from_secs(5);

/// A pool with a limit to whatever is asked on its connections.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    inner: PgPool,
    patience: Duration,
}

/// A connection of the pool. Dropped, it goes back, or is closed where it may be lost.
pub(crate) struct Held {
    connection: PoolConnection<Postgres>,
    doubtful: bool,
}

impl Pool {
    /// A server that did not answer within `patience` is taken for lost.
    pub(crate) fn new(inner: PgPool, patience: Duration) -> Self {
        Self { inner, patience }
    }

    pub(crate) fn inner(&self) -> &PgPool {
        &self.inner
    }

    pub(crate) async fn acquire(&self) -> sqlx::Result<Held> {
        Ok(Held { connection: self.inner.acquire().await?, doubtful: false })
    }

    /// Waits for an answer, but not for ever.
    pub(crate) async fn answered<T, E: From<sqlx::Error>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let silence = || sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer"));
        timeout(self.patience, answer).await.unwrap_or_else(|_| Err(silence().into()))
    }
}

impl Held {
    /// From now on it is closed when it is dropped.
    pub(crate) fn doubt(&mut self) {
        self.doubtful = true;
    }

    /// Everything that was asked was answered, and no transaction is open.
    pub(crate) fn trust(&mut self) {
        self.doubtful = false;
    }

    /// Doubts it if the outcome of what was asked on it says so, and trusts it otherwise.
    pub(crate) fn judge<T>(&mut self, outcome: &sqlx::Result<T>) {
        self.doubtful = outcome.as_ref().is_err_and(is_lost);
    }
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// The pool tests what comes back, and has no limit for that.
impl Drop for Held {
    fn drop(&mut self) {
        if self.doubtful {
            self.connection.close_on_drop();
            return;
        }
        let back = self.connection.return_to_pool();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(RETURN, back));
        }
    }
}

/// Whether the connection is of no use any more: broken, silent, ended by the server; or to a server that only reads,
/// where an address may lead to another by now.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(said) => {
            matches!(said.code().as_deref(), Some("25006" | "57P01" | "57P02" | "57P03" | "57P05"))
        }
        _ => false,
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let steps = async move {
            let mut held = self.acquire().await?;
            let steps = self.answered(held.fetch_many(query).try_collect::<Vec<_>>()).await;
            held.judge(&steps);
            steps.map(|steps| stream::iter(steps.into_iter().map(Ok)))
        };
        stream::once(steps).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut held = self.acquire().await?;
            let row = self.answered(held.fetch_optional(query)).await;
            held.judge(&row);
            row
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        Box::pin(async move {
            let mut held = self.acquire().await?;
            let statement = self.answered(held.prepare_with(sql, parameters)).await;
            held.judge(&statement);
            statement
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        Box::pin(async move {
            let mut held = self.acquire().await?;
            let described = self.answered(held.describe(sql)).await;
            held.judge(&described);
            described
        })
    }
}
