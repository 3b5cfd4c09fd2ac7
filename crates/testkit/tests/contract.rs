//! The memory store keeps the contract of every storage port.

use std::sync::Arc;

use paywright_testkit::{
    MemoryStore, WallClock,
    contract::{Backend, Bookkeeper, Doorkeeper},
};

async fn fresh() -> (Arc<dyn Backend>, ()) {
    (Arc::new(MemoryStore::new(Arc::new(WallClock))), ())
}

async fn fresh_books() -> (Arc<dyn Bookkeeper>, ()) {
    (Arc::new(MemoryStore::new(Arc::new(WallClock))), ())
}

async fn fresh_door() -> (Arc<dyn Doorkeeper>, ()) {
    (Arc::new(MemoryStore::new(Arc::new(WallClock))), ())
}

paywright_testkit::store_contract!(fresh());
paywright_testkit::queue_contract!(fresh());
paywright_testkit::catalogue_contract!(fresh());
paywright_testkit::reader_contract!(fresh());
paywright_testkit::books_contract!(fresh_books());
paywright_testkit::limiter_contract!(fresh_door());
