//! A private PostgreSQL for development and tests: real PostgreSQL, no installation step, no TCP port.
//!
//! [`Cluster::start`] finds an installed PostgreSQL (14 to 18), or fetches one pinned archive; initialises
//! a data directory; starts the server on a Unix socket that only this user can reach; and waits until it
//! accepts connections. [`Cluster::share`] does the same for many processes at once (one per test, as
//! nextest runs them). Production does not use this crate: it sets `DATABASE_URL`.
//!
//! Three promises shape the code:
//! - **never orphaned**: the server's life hangs on a pipe that our process holds open, so it ends with us
//!   even after SIGKILL (`cluster.rs`, the script);
//! - **never two servers on one directory**: a lock file first, PostgreSQL's own pid file second;
//! - **works as root**, which PostgreSQL refuses: it then runs as `postgres`, else `nobody` (`user.rs`).
//!
//! Unix only. Where to start reading: `cluster.rs`; then `place.rs` (directories), `find.rs` and `fetch.rs`
//! (binaries), `wire.rs` (the few bytes of protocol needed to create a database).
//!
//! ```no_run
//! use paywright_pg_local::{Cluster, Options};
//!
//! let cluster = Cluster::start(&Options::new(".paywright"))?;
//! cluster.create_database("paywright")?;
//! println!("{}", cluster.url("paywright"));
//! cluster.stop()?;
//! # Ok::<(), paywright_pg_local::PgLocalError>(())
//! ```

mod cluster;
mod error;
mod fetch;
mod find;
mod options;
mod place;
mod server;
mod user;
mod wire;

pub use cluster::Cluster;
pub use error::PgLocalError;
pub use options::{Durability, Options, Source};
pub use place::default_data_dir;
