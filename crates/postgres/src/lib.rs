//! The storage ports of `paywright-domain` on PostgreSQL 14 to 18.
//!
//! [`Postgres`] is `Store`, `Queue`, `Catalogue` and `Reader` at once, cheap to clone. Beside it stand two tables
//! that belong to the HTTP API alone: [`ApiKeys`] and [`IdempotencyKeys`].
//!
//! ```no_run
//! # async fn start(url: &str) -> Result<(), paywright_domain::ports::StoreError> {
//! use paywright_postgres::{ApiKeys, PoolOptions, Postgres};
//!
//! let store = Postgres::connect(url, PoolOptions::default()).await?;
//! store.migrate().await?;
//! let keys = ApiKeys::new(&store);
//! # Ok(())
//! # }
//! ```
//!
//! # Rules
//! - Everything that one decision changes is written by `commit.rs` in one transaction, in a task of its own, so
//!   that nobody can cancel it half-way. Nothing else opens a transaction.
//! - Commits, loads by key and received events travel together with others of their kind (`lane.rs`), and their
//!   statements go by keys only.
//! - Every other write is one statement.
//! - The schema is the last line of defence: `migrations/` names each promise and the constraint that keeps it.
//! - A row is a border: `rows.rs` turns it into a domain value or says which column is impossible.
//!
//! # Extending it
//! A new aggregate gets a migration with its constraints, a row type in `rows.rs`, its loads in `store.rs` and its
//! steps in `steps.rs`. Then `cargo xtask sqlx` writes the query cache anew. Its promises go into the contract
//! suite of `paywright-testkit`, which `tests/contract.rs` runs here.

mod api_keys;
mod books;
mod bounded;
mod breaks;
mod catalogue;
mod commit;
mod effects;
mod error;
mod gate;
mod gauges;
mod hint;
mod idempotency;
mod intake;
mod keyed;
mod lane;
mod ledger;
mod limits;
mod loads;
mod migrate;
mod operations;
mod pool;
mod queue;
mod reader;
#[cfg(feature = "test-db")]
pub mod relay;
mod retention;
mod rows;
mod schedules;
mod steps;
mod store;
mod text;
mod trail;

#[cfg(feature = "test-db")]
pub mod test_db;

pub use api_keys::*;
pub use gauges::*;
pub use hint::Hints;
pub use idempotency::*;
pub use migrate::MIGRATOR;
pub use operations::*;
pub use pool::*;
pub use schedules::*;
#[cfg(feature = "test-db")]
pub use test_db::TestDb;
