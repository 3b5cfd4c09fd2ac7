use std::{future::Future, ops::Deref, sync::Arc, time::Instant};

use paywright_domain::{
    Actor, Applied, Beat, Cause, Changes, Customer, Dispute, DisputeEvent, Evidence, Order, OrderEvent,
    Payment, PaymentEvent, Refund, RefundEvent, Sighting, Standing, Transition,
    ports::{Clock, Committed, Job, QueueName, StoreError, TimelineEntry},
};
use time::{Duration, OffsetDateTime};

use super::Backend;
use crate::{
    WallClock,
    builders::{self, ChangesExt, OrderBuilder, Steps},
};

/// A lease or delay that a promise waits for.
pub(super) const SHORT: Duration = Duration::milliseconds(150);
/// A lease or delay that must not be over while a promise looks.
pub(super) const LONG: Duration = Duration::minutes(1);

/// A fresh store, and what most promises need in it.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) backend: Arc<dyn Backend>,
    /// Now, as near as two clocks on one machine are.
    pub(super) now: OffsetDateTime,
}

impl Deref for Stage {
    type Target = dyn Backend;
    fn deref(&self) -> &Self::Target {
        &*self.backend
    }
}

impl Stage {
    pub(super) fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, now: WallClock.now() }
    }

    /// Empty changes of a fresh request.
    pub(super) fn request(&self) -> Changes {
        self.because(Cause::Request(builders::new_id(self.now), Beat::Main))
    }

    pub(super) fn because(&self, cause: Cause) -> Changes {
        Changes::because(cause, Actor::System, self.now)
    }

    /// An order of a product in the catalogue, not yet placed.
    pub(super) async fn draft(&self) -> OrderBuilder {
        let product = self.add(builders::product()).await.unwrap();
        builders::order().created_at(self.now).items(vec![builders::item(&product, 2)])
    }

    /// A placed order.
    pub(super) async fn placed(&self) -> Order {
        self.place(self.draft().await).await
    }

    pub(super) async fn place(&self, draft: OrderBuilder) -> Order {
        let birth = draft.placed();
        let order = birth.after().clone();
        self.now(self.request().step(birth)).await;
        order
    }

    /// An order with a payment that was just started.
    pub(super) async fn started(&self) -> (Order, Payment) {
        let order = self.placed().await.step(OrderEvent::PaymentStarted);
        let birth = builders::payment(order.after()).started();
        let pair = (order.after().clone(), birth.after().clone());
        // The order's birth is stored already.
        self.now(self.request().step(order).step(birth)).await;
        pair
    }

    /// An order whose payment was captured whole, and has a name at the gateway.
    pub(super) async fn paid(&self) -> (Order, Payment) {
        let (order, payment) = self.started().await;
        let standing = Standing::Captured { captured: payment.amount.minor(), refunded: 0 };
        let sighting = Sighting { intent: Some(builders::intent_id()), ..builders::seen(standing) };
        let payment = self.hear(&payment, PaymentEvent::Seen(sighting)).await;
        (order, payment)
    }

    /// Commits a step of a refund, and what follows for its payment.
    pub(super) async fn give_back(
        &self,
        payment: &Payment,
        step: Transition<Refund, RefundEvent>,
    ) -> Payment {
        let (changes, after) = self.giving_back(payment, step);
        self.now(changes).await;
        after
    }

    pub(super) fn giving_back(
        &self,
        payment: &Payment,
        step: Transition<Refund, RefundEvent>,
    ) -> (Changes, Payment) {
        let applied = payment.follow_refund(&step).unwrap();
        let after = match &applied {
            Applied::Moved(step) => step.after().clone(),
            Applied::AlreadyTrue => payment.clone(),
        };
        let mut changes = self.request().step(step);
        changes.payment(applied);
        (changes, after)
    }

    /// Commits a step of a dispute, and what follows for its payment.
    pub(super) async fn contest(
        &self,
        payment: &Payment,
        step: Transition<Dispute, DisputeEvent>,
    ) -> Payment {
        let applied = payment.follow_dispute(&step).unwrap();
        let after = match &applied {
            Applied::Moved(step) => step.after().clone(),
            Applied::AlreadyTrue => payment.clone(),
        };
        let mut changes = self.request().step(step);
        changes.payment(applied);
        self.now(changes).await;
        after
    }

    /// Commits an event of a payment.
    pub(super) async fn hear(&self, payment: &Payment, event: PaymentEvent) -> Payment {
        let step = payment.step(event);
        let after = step.after().clone();
        self.now(self.request().step(step)).await;
        after
    }

    /// Commits an event of an order.
    pub(super) async fn go(&self, order: &Order, event: OrderEvent) -> Order {
        let step = order.step(event);
        let after = step.after().clone();
        self.now(self.request().step(step)).await;
        after
    }

    /// A stored customer, with their own address.
    pub(super) async fn known(&self, customer: Customer) -> Customer {
        let mut changes = self.request();
        changes.customer = Some(customer.clone());
        self.now(changes).await;
        customer
    }

    /// Commits, for the first time.
    pub(super) async fn now(&self, changes: Changes) {
        assert_eq!(self.commit(changes).await.unwrap(), Committed::Now);
    }

    /// Tries to commit what somebody else was faster with.
    pub(super) async fn conflicts(&self, changes: Changes) {
        let outcome = self.commit(changes).await;
        assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
    }

    /// Tries to commit under a lease that is no longer the newest.
    pub(super) async fn loses(&self, changes: Changes) {
        let outcome = self.commit(changes).await;
        assert!(matches!(outcome, Err(StoreError::LeaseLost)), "{outcome:?}");
    }

    pub(super) async fn told(&self, order: &Order) -> Vec<TimelineEntry> {
        self.timeline(order.id).await.unwrap()
    }

    /// The jobs that can be claimed now.
    pub(super) async fn take(&self, queue: QueueName, lease: Duration) -> Vec<Job> {
        self.claim(queue, 10, lease).await.unwrap()
    }

    /// The one job that can be claimed now.
    pub(super) async fn take_one(&self, queue: QueueName, lease: Duration) -> Job {
        one(self.take(queue, lease).await)
    }

    /// The one job that can be claimed soon.
    pub(super) async fn take_soon(&self, queue: QueueName, lease: Duration) -> Job {
        soon("a job can be claimed", || async move {
            let jobs = self.take(queue, lease).await;
            if jobs.is_empty() { None } else { Some(one(jobs)) }
        })
        .await
    }

    /// Asserts that nothing can be claimed now.
    pub(super) async fn idle(&self, queue: QueueName) {
        assert_eq!(self.take(queue, LONG).await, [], "nothing was due");
    }
}

/// Everything that a text can hold, as much of it as a part takes.
pub(super) fn awkward_evidence() -> Evidence {
    let texts = [
        ("product_description", "🎩 帽子 \u{202e}مرحبا é\u{301} ' \" \\ \\u0000 %\r\n".to_owned()),
        ("customer_name", "\u{7f}\u{feff}".to_owned()),
        ("uncategorized_text", "🎩".repeat(Evidence::PART_MAX)),
    ];
    Evidence::parse(texts.map(|(part, text)| (part.to_owned(), text)).into()).unwrap()
}

fn one(mut jobs: Vec<Job>) -> Job {
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

/// Asks until there is an answer; a store that gives none for ten seconds broke its promise.
pub(super) async fn soon<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed().as_secs() < 10, "not within ten seconds: {what}");
        pause(Duration::milliseconds(20)).await;
    }
}

/// Lets the store's clock go on.
pub(super) async fn pause(time: Duration) {
    tokio::time::sleep(time.unsigned_abs()).await;
}

/// Runs all at once, and gives what each came to.
pub(super) async fn at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut set = tokio::task::JoinSet::new();
    for task in tasks {
        set.spawn(task);
    }
    set.join_all().await
}
