//! A fresh, migrated database for one test.
//!
//! Where the server comes from: `DATABASE_URL` if it is set when the test runs (its user must be allowed to
//! create databases); else a private cluster in the temporary directory, shared by all test processes of
//! this user and gone with the last of them. Nothing needs to be installed or started first.
//!
//! The migrations run once for each version of them, into a template; a test's database is a copy of that.
//!
//! ```no_run
//! # async fn a_test() {
//! let db = paywright_postgres::test_db::TestDb::new().await;
//! let pool = db.pool().await;
//! # }
//! ```

use std::env;
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use paywright_pg_local::{Cluster, Options};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::Mutex;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Enough for every test of a big machine at once, each with a small pool.
const SERVER_CONNECTIONS_MAX: u16 = 600;
const POOL_CONNECTIONS_MAX: u32 = 5;
/// Older templates kept, for going back and forth between branches.
const OLD_TEMPLATES_MAX: i64 = 5;
/// "paywrigh": serialises the making of templates, across processes.
const LOCK_KEY: i64 = 0x7061_7977_7269_6768;

/// A fresh, migrated database for one test, removed when this value is dropped.
///
/// Removal disconnects whoever is still connected. After a killed test the database stays until the next
/// server removes it.
#[derive(Debug)]
pub struct TestDb {
    name: String,
    url: String,
    server: Arc<Server>,
}

impl TestDb {
    /// Creates the database. Takes 30 to 100 ms; the first one starts the server as well, which may take
    /// seconds on a new machine.
    ///
    /// # Panics
    /// When there is no server to be had, or the migrations fail: a test cannot go on without.
    pub async fn new() -> Self {
        match Self::create(Start::Reuse).await {
            Ok(db) => db,
            // The server, or the template, may have gone away since this process last used it.
            Err(_) => Self::create(Start::Afresh)
                .await
                .unwrap_or_else(|e| panic!("no test database: {}", chain(&*e))),
        }
    }

    /// The address of the database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A small pool on the database. Keep the `TestDb` as long as the pool:
    /// `TestDb::new().await.pool().await` in one line has already removed the database.
    ///
    /// # Panics
    /// When the database cannot be reached.
    pub async fn pool(&self) -> PgPool {
        let options = PgPoolOptions::new().max_connections(POOL_CONNECTIONS_MAX);
        options
            .connect(&self.url)
            .await
            .unwrap_or_else(|e| panic!("no connection to {}: {}", self.name, chain(&e)))
    }

    async fn create(start: Start) -> Outcome<Self> {
        let server = server(start).await?;
        let mut admin = server.connect().await?;
        let random: String = sqlx::query_scalar("SELECT left(replace(gen_random_uuid()::text, '-', ''), 16)")
            .fetch_one(&mut admin)
            .await?;
        let name = format!("{}{random}", server.prefix);
        let (template, strategy) = (&server.template, server.strategy);
        admin
            .execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {template} {strategy}")))
            .await?;
        admin.close().await?;
        Ok(Self { url: server.admin.clone().database(&name).to_url_lossy().into(), name, server })
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (server, name) = (Arc::clone(&self.server), self.name.clone());
        // A thread with its own runtime: the test's one cannot be waited for from inside of it.
        let removal = std::thread::spawn(move || -> Outcome<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut admin = server.connect().await?;
                admin.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await?;
                Ok(admin.close().await?)
            })
        });
        if let Ok(Err(e)) = removal.join() {
            tracing::warn!(database = self.name, error = chain(&*e), "a test database was not removed");
        }
    }
}

/// Whether a server that this process has used before will do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Reuse,
    Afresh,
}

/// The server, as this process uses it: the template is there.
#[derive(Debug)]
struct Server {
    admin: PgConnectOptions,
    template: String,
    /// How the names of test databases start; it names the run of the server too, so that a later run
    /// knows what was left behind.
    prefix: String,
    strategy: &'static str,
    /// Keeps the private cluster alive; `None` with `DATABASE_URL`.
    _cluster: Option<Cluster>,
}

impl Server {
    async fn connect(&self) -> sqlx::Result<PgConnection> {
        self.admin.connect().await
    }
}

async fn server(start: Start) -> Outcome<Arc<Server>> {
    static SERVER: Mutex<Option<Arc<Server>>> = Mutex::const_new(None);
    let mut current = SERVER.lock().await;
    if let (Some(server), Start::Reuse) = (&*current, start) {
        return Ok(Arc::clone(server));
    }
    *current = None; // lets go of the old cluster before joining or starting one
    let (url, cluster) = match env::var("DATABASE_URL") {
        Ok(url) if !url.is_empty() => (url, None),
        _ => {
            let options = Options { max_connections: SERVER_CONNECTIONS_MAX, ..Options::tests() };
            let cluster = tokio::task::spawn_blocking(move || Cluster::share(&options)).await??;
            (cluster.url("postgres"), Some(cluster))
        }
    };
    let server = Arc::new(prepare(PgConnectOptions::from_str(&url)?, cluster).await?);
    *current = Some(Arc::clone(&server));
    Ok(server)
}

/// Removes what earlier runs left behind and makes the template, unless it is there.
async fn prepare(admin: PgConnectOptions, cluster: Option<Cluster>) -> Outcome<Server> {
    let mut conn = admin.connect().await?;
    let (started, version): (i64, i32) = sqlx::query_as(
        "SELECT extract(epoch FROM pg_postmaster_start_time())::bigint, current_setting('server_version_num')::int",
    )
    .fetch_one(&mut conn)
    .await?;
    let prefix = format!("paywright_test_{started}_");
    let template = format!("paywright_tpl_{:016x}", migrations_hash());
    // Held until this connection ends, so another process waits here and then finds the template.
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK_KEY).execute(&mut conn).await?;
    sweep(&mut conn, &prefix, &template).await?;
    let exists = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    if !sqlx::query_scalar::<_, bool>(exists).bind(&template).fetch_one(&mut conn).await? {
        make_template(&mut conn, &admin, &template).await?;
    }
    conn.close().await?;
    // Copying files beats writing a whole database to the log; 14 has no choice and copies.
    let strategy = if version >= 150_000 { "STRATEGY FILE_COPY" } else { "" };
    Ok(Server { admin, template, prefix, strategy, _cluster: cluster })
}

/// Migrated under another name first: a template is complete or absent.
async fn make_template(conn: &mut PgConnection, admin: &PgConnectOptions, template: &str) -> Outcome<()> {
    let draft = format!("{template}_draft");
    conn.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"))).await?;
    conn.execute(AssertSqlSafe(format!("CREATE DATABASE {draft}"))).await?;
    let inside = PgPoolOptions::new().max_connections(1).connect_with(admin.clone().database(&draft)).await?;
    crate::MIGRATOR.run(&inside).await?;
    inside.close().await;
    conn.execute(AssertSqlSafe(format!("ALTER DATABASE {draft} RENAME TO {template}"))).await?;
    Ok(())
}

/// Removes databases of tests that were killed during an earlier run of the server, and all but a few of
/// the templates for other migrations.
async fn sweep(conn: &mut PgConnection, prefix: &str, template: &str) -> Outcome<()> {
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT datname::text FROM pg_database
          WHERE starts_with(datname::text, 'paywright_test_') AND NOT starts_with(datname::text, $1)
         UNION ALL
         (SELECT datname::text FROM pg_database
           WHERE starts_with(datname::text, 'paywright_tpl_') AND datname <> $2 ORDER BY oid DESC OFFSET $3)",
    )
    .bind(prefix)
    .bind(template)
    .bind(OLD_TEMPLATES_MAX)
    .fetch_all(&mut *conn)
    .await?;
    for name in left {
        conn.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await?;
    }
    Ok(())
}

/// Changes with every change of any migration.
fn migrations_hash() -> u64 {
    let mut hasher = DefaultHasher::new();
    for migration in crate::MIGRATOR.iter() {
        (migration.version, &migration.checksum).hash(&mut hasher);
    }
    hasher.finish()
}

/// An error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_tests_do_not_see_each_others_data() {
        let (one, other) = (TestDb::new().await, TestDb::new().await);
        one.pool().await.execute("CREATE TABLE only_here (n int)").await.unwrap();
        let seen =
            other.pool().await.fetch_one("SELECT to_regclass('only_here') IS NULL AS absent").await.unwrap();
        assert!(sqlx::Row::get::<bool, _>(&seen, "absent"));
    }

    #[tokio::test]
    async fn the_database_is_migrated() {
        let db = TestDb::new().await;
        let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success")
            .fetch_one(&db.pool().await)
            .await
            .unwrap();
        assert_eq!(usize::try_from(applied).unwrap(), crate::MIGRATOR.iter().count());
    }

    #[tokio::test]
    async fn the_database_is_removed_afterwards_even_with_open_connections() {
        let kept = TestDb::new().await;
        let removed = TestDb::new().await;
        let (name, _pool) = (removed.name.clone(), removed.pool().await);
        drop(removed);
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1")
            .bind(name)
            .fetch_one(&kept.pool().await)
            .await
            .unwrap();
        assert_eq!(left, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_tests_can_begin_at_once() {
        let all: Vec<_> = (0..24).map(|_| tokio::spawn(TestDb::new())).collect();
        for one in all {
            let db = one.await.unwrap();
            db.pool().await.execute("SELECT 1").await.unwrap();
        }
    }
}
