//! The connection pool, set up so that no transaction leaks and nobody waits for ever.

use std::{fmt, str::FromStr, time::Duration};

use paywright_domain::{
    Admission, Attempt, Changes, Limits,
    ports::{Committed, InboxEvent, Received, StoreError},
};
use sqlx::{
    Executor, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    bounded::Pool, commit::Committer, error::store_error, gate::Gate, hint::Bell, intake::Intake,
    keyed::Keyed, lane::Lane, loads::Loads,
};

/// Decisions, or events, of one ride.
const SEATS: usize = 64;
/// Rides of decisions at the same time: while one waits for the disk, others are prepared. Of events one is enough, since
/// it is a single statement.
const COMMITS: usize = 3;
const INTAKE: usize = 1;
/// Of attempts to pay two, as of loads: one is judged while the next is gathered.
const ATTEMPTS: usize = 2;
/// How much longer than the server may work on a statement we wait for its answer.
const SILENCE: Duration = Duration::from_secs(2);

/// The storage ports on PostgreSQL. Clones share their connections.
#[derive(Clone)]
pub struct Postgres {
    /// For everything but the hot path.
    pub(crate) pool: Pool,
    /// For the hot path, where every statement goes by a key.
    pub(crate) keyed: Keyed,
    pub(crate) loads: Loads,
    pub(crate) commits: Lane<Changes, Committed>,
    pub(crate) intake: Lane<InboxEvent, Received>,
    pub(crate) attempts: Lane<(Attempt, Limits), Admission>,
    pub(crate) bell: Bell,
    connect: PgConnectOptions,
}

/// Without the address: a password may stand in it.
impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("pool", self.pool.inner()).finish_non_exhaustive()
    }
}

/// How to use the database. Behind PgBouncer in transaction mode the three session limits must be set at the
/// database's role instead, and the URL needs `statement-cache-capacity=0` before PgBouncer 1.21.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// At most so many connections.
    pub max: u32,
    /// How long to wait for a free one before [`StoreError::Unavailable`].
    pub acquire_timeout: Duration,
    /// How long one statement may run. Where no answer comes much longer, the connection is taken for lost.
    pub statement_timeout: Duration,
    /// How long one statement may wait for a row that somebody else changes.
    pub lock_timeout: Duration,
    /// How long a transaction may stand open with nothing to do, before the server ends it.
    pub idle_in_transaction_timeout: Duration,
    /// What the server's own views call us.
    pub application_name: String,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            max: 10,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(15),
            lock_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_secs(15),
            application_name: "paywright".to_owned(),
        }
    }
}

impl Postgres {
    /// Connects once, to find out whether the address is right.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer or is starting; [`StoreError::Bug`] when the
    /// address, the user or the password is wrong.
    pub async fn connect(url: &str, options: PoolOptions) -> Result<Self, StoreError> {
        let store = Self::lazy(url, options)?;
        store.ping().await?;
        Ok(store)
    }

    /// Connects at the first use. Call it inside of a Tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Bug`] when the address cannot be read.
    pub fn lazy(url: &str, options: PoolOptions) -> Result<Self, StoreError> {
        let connect = options.sessions(PgConnectOptions::from_str(url).map_err(store_error)?);
        let (pool, keyed) = options.pools(&connect);
        let bell = Bell::new(pool.clone());
        let keyed = Keyed::of(keyed);
        let intake = Intake::new(keyed.clone(), bell.clone());
        let committer = Committer { keyed: keyed.clone(), bell: bell.clone() };
        let commits = Lane::new(COMMITS, SEATS, move |decisions| committer.clone().ride(decisions));
        let intake = Lane::new(INTAKE, SEATS, move |arrivals| intake.clone().ride(arrivals));
        let gate = Gate { keyed: keyed.clone() };
        let attempts = Lane::new(ATTEMPTS, SEATS, move |attempts| gate.clone().ride(attempts));
        Ok(Self { loads: Loads::new(&keyed), commits, intake, attempts, bell, pool, keyed, connect })
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is none within the timeouts.
    pub async fn ping(&self) -> Result<(), StoreError> {
        (&self.pool).execute("SELECT 1").await.map(drop).map_err(store_error)
    }

    /// Asks on the hot path, which has connections and threads of its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is no answer as soon as there should be a connection.
    pub async fn ping_hot_path(&self) -> Result<(), StoreError> {
        let patience = self.keyed.pool().options().get_acquire_timeout();
        let asked = tokio::time::timeout(patience, self.loads.event.ask(String::new())).await;
        asked.map_err(|late| StoreError::Unavailable(late.into()))?.map(drop)
    }

    /// Whether the server only reads: a standby, or a primary that was told so.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is no answer within the timeouts.
    pub async fn is_read_only(&self) -> Result<bool, StoreError> {
        let asked = sqlx::query_scalar("SELECT current_setting('transaction_read_only')::bool");
        asked.fetch_one(&self.pool).await.map_err(store_error)
    }

    /// Closes all connections, after those who hold one gave it back.
    pub async fn close(&self) {
        self.keyed.close().await;
        self.pool().close().await;
    }

    /// The pool itself, for reports and repairs. Do not open transactions on it in a future that may be dropped.
    pub fn pool(&self) -> &PgPool {
        self.pool.inner()
    }

    /// How a connection beside the pool is made.
    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        self.connect.clone()
    }
}

impl PoolOptions {
    fn sessions(&self, connect: PgConnectOptions) -> PgConnectOptions {
        let millis = |limit: Duration| limit.as_millis().to_string();
        connect.application_name(&self.application_name).options([
            ("statement_timeout", millis(self.statement_timeout)),
            ("lock_timeout", millis(self.lock_timeout)),
            ("idle_in_transaction_session_timeout", millis(self.idle_in_transaction_timeout)),
        ])
    }

    /// The pool for everything, and the one for the hot path, which share the connections that we may have.
    ///
    /// The hot path's statements ask for rows by their keys, and never for many: their plans are the same whatever the
    /// values, so they are made once, and never read a whole table. Nothing there can be cancelled between its BEGIN and
    /// its end (see `lane.rs`), so that its connections come back clean.
    fn pools(&self, connect: &PgConnectOptions) -> (Pool, Pool) {
        let keyed = connect.clone().options([
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("jit", "off"),
        ]);
        let half = (self.max / 2).max(1);
        let pool = PgPoolOptions::new().acquire_timeout(self.acquire_timeout);
        let general = Self::clean(pool.clone()).max_connections((self.max - half).max(1));
        let bounded = |pool| Pool::new(pool, self.statement_timeout + SILENCE);
        (
            bounded(general.connect_lazy_with(connect.clone())),
            bounded(pool.max_connections(half).connect_lazy_with(keyed)),
        )
    }

    /// A future that is dropped while its BEGIN is under way gives back a connection inside an open transaction, of
    /// which sqlx 0.9 knows nothing, and the next borrower's acknowledged writes would be lost with it. BEGIN first, so
    /// that a clean connection draws no warning from the server.
    fn clean(pool: PgPoolOptions) -> PgPoolOptions {
        pool.after_release(|connection, _| {
            Box::pin(async move {
                connection.execute("BEGIN; ROLLBACK").await?;
                Ok(true)
            })
        })
    }
}
