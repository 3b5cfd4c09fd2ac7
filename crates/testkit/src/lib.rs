//! Everything a test of Paywright needs instead of the outside world.
//!
//! - [`ManualClock`] and [`SeededEntropy`]: time and randomness that a test decides.
//! - [`MemoryStore`]: all storage ports in memory, with helpers to look inside.
//! - [`FakeGateway`]: a payment provider in memory, whose customers and faults a test decides.
//! - [`builders`]: valid defaults, so that a test states only what it is about.
//! - [`contract`]: what every implementor of the storage ports must keep, one promise a function. To hold a new
//!   adapter to it, write a function that makes a fresh store and hand it to the macros:
//!
//! ```
//! use std::sync::Arc;
//! use paywright_testkit::{MemoryStore, WallClock, contract::{Backend, Bookkeeper}};
//!
//! async fn fresh() -> (Arc<dyn Backend>, ()) {
//!     (Arc::new(MemoryStore::new(Arc::new(WallClock))), ()) // the second lives as long as the test
//! }
//!
//! async fn fresh_books() -> (Arc<dyn Bookkeeper>, ()) {
//!     (Arc::new(MemoryStore::new(Arc::new(WallClock))), ())
//! }
//!
//! paywright_testkit::store_contract!(fresh());
//! paywright_testkit::queue_contract!(fresh());
//! paywright_testkit::catalogue_contract!(fresh());
//! paywright_testkit::reader_contract!(fresh());
//! paywright_testkit::books_contract!(fresh_books());
//! # fn main() {}
//! ```
#![expect(
    clippy::unwrap_used,
    reason = "this crate is test support: a broken assumption shall stop the test"
)]

pub mod builders;
mod clock;
pub mod contract;
mod gateway;
mod memory;

#[doc(hidden)]
pub use tokio;

pub use clock::*;
pub use gateway::*;
pub use memory::*;
