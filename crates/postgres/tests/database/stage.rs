use std::time::Duration;

use paywright_domain::{
    Changes, Order, OrderEvent, Payment, PaymentEvent, Sighting, Standing,
    ports::{Committed, Store},
};
use paywright_postgres::{PoolOptions, Postgres, TestDb};
use paywright_testkit::builders::{self, ChangesExt, Steps};
use sqlx::{Executor, PgPool};

/// A store on a fresh database, and a second way in.
pub(crate) struct Stage {
    pub(crate) store: Postgres,
    /// Not the store's pool: no hook, no timeouts.
    pub(crate) aside: PgPool,
    pub(crate) db: TestDb,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(PoolOptions::default()).await
    }

    pub(crate) async fn with(options: PoolOptions) -> Self {
        let db = TestDb::new().await;
        let store = Postgres::connect(db.url(), options).await.unwrap();
        Self { store, aside: db.pool().await, db }
    }

    /// An order with a payment that was just started.
    pub(crate) async fn started(&self) -> (Order, Payment) {
        let placed = builders::order().placed();
        let order = placed.after().step(OrderEvent::PaymentStarted);
        let payment = builders::payment(order.after()).started();
        let pair = (order.after().clone(), payment.after().clone());
        self.now(builders::changes().step(placed).step(order).step(payment)).await;
        pair
    }

    /// An order whose payment was just captured.
    pub(crate) async fn paid(&self) -> (Order, Payment) {
        let (order, payment) = self.started().await;
        let sighting = Sighting {
            intent: Some(builders::intent_id()),
            ..builders::seen(Standing::Captured { captured: payment.amount.minor(), refunded: 0 })
        };
        let captured = payment.step(PaymentEvent::Seen(sighting));
        let paid = order.step(OrderEvent::Captured(payment.id));
        let pair = (paid.after().clone(), captured.after().clone());
        self.now(builders::changes().step(paid).step(captured)).await;
        pair
    }

    /// Commits, for the first time.
    pub(crate) async fn now(&self, changes: Changes) {
        assert_eq!(self.store.commit(changes).await.unwrap(), Committed::Now);
    }

    /// Runs a statement beside the store.
    pub(crate) async fn run(&self, sql: &'static str) -> sqlx::Result<()> {
        self.aside.execute(sql).await.map(drop)
    }

    /// Waits until a query beside the store gives true; ten seconds at most.
    pub(crate) async fn until(&self, question: &'static str) {
        for _ in 0..500 {
            if sqlx::query_scalar::<_, bool>(question).fetch_one(&self.aside).await.unwrap() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not within ten seconds: {question}");
    }

    /// Waits until somebody waits for a lock.
    pub(crate) async fn until_somebody_waits(&self) {
        let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock')";
        self.until(waiting).await;
    }
}
