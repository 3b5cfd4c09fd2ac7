//! The contract of the storage ports, kept on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a broken assumption shall stop the test, in helpers too")]

use std::sync::Arc;

use paywright_postgres::{PoolOptions, Postgres, TestDb};
use paywright_testkit::contract::{Backend, Bookkeeper, Doorkeeper};

async fn fresh() -> (Arc<dyn Backend>, TestDb) {
    let (store, db) = fresh_books().await;
    (store, db)
}

async fn fresh_books() -> (Arc<dyn Bookkeeper>, TestDb) {
    let db = TestDb::new().await;
    let store = Postgres::connect(db.url(), PoolOptions::default()).await.unwrap();
    (Arc::new(store), db)
}

async fn fresh_door() -> (Arc<dyn Doorkeeper>, TestDb) {
    let db = TestDb::new().await;
    let store = Postgres::connect(db.url(), PoolOptions::default()).await.unwrap();
    (Arc::new(store), db)
}

paywright_testkit::store_contract!(fresh());
paywright_testkit::queue_contract!(fresh());
paywright_testkit::catalogue_contract!(fresh());
paywright_testkit::reader_contract!(fresh());
paywright_testkit::books_contract!(fresh_books());
paywright_testkit::limiter_contract!(fresh_door());
