//! A shop in memory, its worker, and ports that die, fail or pause on demand.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{
    FakeGateway, FakeIntent, FakeSession, IntentStatus, JobState, ManualClock, MemoryStore, SeededEntropy,
    SessionStatus, builders,
};
use time::{Duration, OffsetDateTime};

/// How long a request holds a call, and how long the worker holds a job.
const HELD: Duration = Duration::SECOND.saturating_mul(30);

/// One shop: a store, a gateway, a clock, and a product to sell.
pub(crate) struct Shop {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) gateway: Arc<FakeGateway>,
    pub(crate) fate: Arc<Fate>,
    pub(crate) ports: Ports,
    pub(crate) policy: Policy,
    pub(crate) hat: Product,
}

impl Shop {
    pub(crate) fn new() -> Self {
        Self::with_fate(Fate::default())
    }

    /// A shop whose ports go wrong as `fate` says.
    pub(crate) fn with_fate(fate: Fate) -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let gateway = Arc::new(FakeGateway::new(Mode::Test, clock.clone()));
        let fate = Arc::new(fate);
        let fragile =
            Arc::new(Fragile { store: store.clone(), gateway: gateway.clone(), fate: fate.clone() });
        let ports = Ports {
            store: fragile.clone(),
            queue: store.clone(),
            gateway: fragile,
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::default()),
        };
        let policy = Policy { mode: Mode::Test, order_lifetime: Duration::DAY, call_held_for: HELD };
        let hat = builders::product();
        let shop = Self { clock, store, gateway, fate, ports, policy, hat };
        shop.offer(&shop.hat);
        shop
    }

    pub(crate) fn offer(&self, product: &Product) {
        ready(self.store.add(product.clone())).unwrap();
    }

    pub(crate) fn clock_now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    pub(crate) fn operation(&self) -> OperationId {
        builders::new_id(self.clock.now())
    }

    pub(crate) fn hats(&self, quantity: u32) -> NewOrder {
        NewOrder {
            currency: self.hat.unit_price.currency(),
            items: vec![NewItem { product: self.hat.id, quantity }],
            customer: None,
            customer_email: None,
            metadata: Metadata::new(),
        }
    }

    pub(crate) async fn place_as(
        &self,
        operation: OperationId,
        new: NewOrder,
    ) -> Result<Order, PlaceOrderError> {
        PlaceOrder::new(self.ports.clone(), self.policy.clone()).run(operation, Actor::System, new).await
    }

    /// An order of two hats.
    pub(crate) async fn place(&self) -> Order {
        self.place_as(self.operation(), self.hats(2)).await.unwrap()
    }

    pub(crate) async fn start_as(
        &self,
        operation: OperationId,
        order: OrderId,
        channel: Channel,
    ) -> Result<Started, StartPaymentError> {
        let starts = StartPayment::new(self.ports.clone(), self.policy.clone());
        starts.run(operation, Actor::Shopper, order, channel).await
    }

    pub(crate) async fn start(&self, order: OrderId, channel: Channel) -> Result<Started, StartPaymentError> {
        self.start_as(self.operation(), order, channel).await
    }

    pub(crate) async fn cancel_as(
        &self,
        operation: OperationId,
        order: OrderId,
    ) -> Result<Cancellation, CancelOrderError> {
        let cancels = CancelOrder::new(self.ports.clone(), self.policy.clone());
        cancels.run(operation, Actor::Shopper, order, CancelReason::RequestedByCustomer).await
    }

    pub(crate) async fn cancel(&self, order: OrderId) -> Result<Cancellation, CancelOrderError> {
        self.cancel_as(self.operation(), order).await
    }

    pub(crate) async fn advance_as(
        &self,
        operation: OperationId,
        order: OrderId,
        advance: Advance,
    ) -> Result<Order, AdvanceOrderError> {
        let advances = AdvanceOrder::new(self.ports.clone(), self.policy.clone());
        advances.run(operation, Actor::System, order, advance).await
    }

    /// Takes the gateway's messages in, without reading them.
    pub(crate) fn receive(&self, events: Vec<InboxEvent>) {
        for event in events {
            ready(self.store.receive(event)).unwrap();
        }
    }

    /// Takes the gateway's messages in and reads them.
    pub(crate) async fn hear(&self, events: Vec<InboxEvent>) {
        self.receive(events);
        self.work().await;
    }

    /// Claims everything that is due in a queue.
    pub(crate) fn claim(&self, queue: QueueName) -> Vec<Job> {
        ready(self.store.claim(queue, 100, HELD)).unwrap()
    }

    /// Runs one claimed job; what went wrong, if something did.
    pub(crate) async fn run(&self, job: &Job) -> Result<(), String> {
        let (ports, policy) = (self.ports.clone(), self.policy.clone());
        match &job.task {
            Task::ReadEvent(id) => RecordEvent::new(ports)
                .run(job.lease, id)
                .await
                .map(drop)
                .map_err(|error| format!("{error:?}")),
            Task::PerformCall(_) => PerformCall::new(ports, policy)
                .run(job.lease)
                .await
                .map(drop)
                .map_err(|error| format!("{error:?}")),
            Task::ExpireOrder(order) => CancelOrder::new(ports, policy)
                .expire(job.lease, *order)
                .await
                .map_err(|error| format!("{error:?}")),
        }
    }

    /// Works off what is due now; what fails is tried again in a minute. Returns what went wrong.
    pub(crate) async fn work(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for _ in 0..50 {
            let jobs = [self.claim(QueueName::Webhooks), self.claim(QueueName::Effects)].concat();
            if jobs.is_empty() {
                return wrong;
            }
            for job in jobs {
                if let Err(error) = self.run(&job).await {
                    ready(self.store.retry(job.lease, Duration::MINUTE, &error)).unwrap();
                    wrong.push(error);
                }
            }
        }
        panic!("the worker never comes to rest: {wrong:?}");
    }

    /// Lets time pass, job by job, until none is due within `horizon`.
    pub(crate) async fn settle(&self, horizon: Duration) -> Vec<String> {
        let (end, mut wrong) = (self.clock.now() + horizon, Vec::new());
        for _ in 0..500 {
            wrong.extend(self.work().await);
            let due = self.store.jobs().into_iter().filter_map(|job| match job.state {
                JobState::Waiting => Some(job.due_at),
                JobState::Held { until } => Some(until),
                JobState::Done | JobState::Buried => None,
            });
            match due.min().filter(|due| *due <= end) {
                Some(due) => self.clock.set(due.max(self.clock.now())),
                None => {
                    self.clock.set(end);
                    return wrong;
                }
            }
        }
        panic!("there is always something to do: {wrong:?}");
    }

    pub(crate) fn order(&self, id: OrderId) -> Order {
        self.store.orders().into_iter().find(|order| order.id == id).unwrap()
    }

    /// The order's only payment.
    pub(crate) fn payment(&self, order: OrderId) -> Payment {
        let mut payments = self.payments(order);
        assert_eq!(payments.len(), 1, "{payments:#?}");
        payments.remove(0)
    }

    /// The order's payments, oldest first.
    pub(crate) fn payments(&self, order: OrderId) -> Vec<Payment> {
        let mut payments = self.store.payments();
        payments.retain(|payment| payment.order == order);
        payments
    }

    pub(crate) fn intent(&self, payment: &Payment) -> FakeIntent {
        self.gateway.intents().into_iter().find(|intent| intent.payment == payment.id).unwrap()
    }

    pub(crate) fn page(&self, payment: &Payment) -> FakeSession {
        self.gateway.sessions().into_iter().find(|page| page.payment == payment.id).unwrap()
    }

    /// The kinds of breaks that are stored.
    pub(crate) fn breaks(&self) -> Vec<BreakKind> {
        self.store.breaks().into_iter().map(|found| found.kind).collect()
    }

    /// How many intents and pages a customer could still pay at the gateway.
    pub(crate) fn payable(&self) -> usize {
        let pages = self.gateway.sessions();
        let open_pages = pages.iter().filter(|page| page.status == SessionStatus::Open).count();
        let bare = |intent: &&FakeIntent| intent.session.is_none();
        let open = |intent: &&FakeIntent| {
            !matches!(intent.status, IntentStatus::Captured { .. } | IntentStatus::Cancelled)
        };
        open_pages + self.gateway.intents().iter().filter(bare).filter(open).count()
    }

    /// How many intents were paid.
    pub(crate) fn paid(&self) -> usize {
        let paid = |intent: &FakeIntent| matches!(intent.status, IntentStatus::Captured { .. });
        self.gateway.intents().into_iter().filter(paid).count()
    }

    /// What must hold after everything that went right or wrong.
    ///
    /// Checks: I1, I2, I6, I12, I14, I18, I19.
    pub(crate) fn assert_sound(&self) {
        for order in self.store.orders() {
            let payments = self.payments(order.id);
            let live = payments.iter().filter(|payment| payment.state.is_live()).count();
            assert!(live <= 1, "{live} live payments of one order: {payments:#?}");
            if let Some(by) = order.paid_by.filter(|_| order.state != OrderState::Authorized) {
                let intent = self.gateway.intents().into_iter().find(|intent| intent.payment == by).unwrap();
                assert!(
                    matches!(intent.status, IntentStatus::Captured { .. }),
                    "{} is {} on the word of nobody",
                    order.id,
                    order.state
                );
            }
        }
        let mut keys: Vec<_> = self.store.calls().iter().map(GatewayCall::key).collect();
        let recorded = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), recorded, "a key was used twice");
        for arrived in self.gateway.arrived() {
            assert!(keys.contains(&arrived.key), "{} was sent, but never recorded", arrived.key);
        }
        let mut steps = std::collections::BTreeMap::new();
        for row in self.store.audit() {
            if row.entry.subject == "order" || row.entry.subject == "payment" {
                let about = if row.entry.subject == "order" { None } else { row.entry.payment };
                *steps.entry((row.order, about)).or_insert(0) += 1;
            }
        }
        for order in self.store.orders() {
            assert_eq!(steps[&(order.id, None)], order.version.number(), "one audit row a step");
        }
        for payment in self.store.payments() {
            assert_eq!(
                steps[&(payment.order, Some(payment.id))],
                payment.version.number(),
                "one audit row a step"
            );
        }
    }
}

/// The hosted page, with some return addresses.
pub(crate) fn page(name: &str) -> Channel {
    Channel::Checkout(ReturnUrls {
        success: format!("https://shop.example/{name}/thanks"),
        cancel: format!("https://shop.example/{name}/basket"),
    })
}

/// What a future says that waits for nothing.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    until_death(future).expect("it waits for nothing")
}

/// Polls a future once. `None` when it waits: then it is dropped, which is what a killed process does to it.
pub(crate) fn until_death<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// How a port call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// The process is killed before the call has an effect.
    DieBefore,
    /// The process is killed after it, before it hears the answer.
    DieAfter,
    /// Nothing happens, and nobody can tell.
    FailBefore,
    /// It happens, and the answer is lost.
    FailAfter,
    /// Somebody else was faster; for commits only.
    Conflict,
    /// The lease went to somebody else; for commits only.
    LeaseLost,
}

/// What happens to which port call. Calls of the store and of the gateway are counted together, from 0.
#[derive(Default)]
pub(crate) struct Fate {
    blows: Mutex<Vec<(usize, Blow)>>,
    calls: AtomicUsize,
    commits: Mutex<Vec<Blow>>,
    pausing: AtomicBool,
}

impl Fate {
    /// These calls go wrong.
    pub(crate) fn of(blows: Vec<(usize, Blow)>) -> Self {
        Self { blows: Mutex::new(blows), ..Self::default() }
    }

    /// The next commits go wrong, whatever their numbers.
    pub(crate) fn next_commits(&self, blows: impl IntoIterator<Item = Blow>) {
        self.commits.lock().unwrap().extend(blows);
    }

    /// From now on every call waits once before it happens, so that others can go first.
    pub(crate) fn pause(&self, pausing: bool) {
        self.pausing.store(pausing, Ordering::Relaxed);
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Whether every blow fell.
    pub(crate) fn is_fulfilled(&self) -> bool {
        self.blows.lock().unwrap().is_empty()
    }

    fn next(&self) -> Option<Blow> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut blows = self.blows.lock().unwrap();
        let at = blows.iter().position(|(number, _)| *number == call)?;
        Some(blows.remove(at).1)
    }

    async fn around<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        lost: impl FnOnce() -> E,
    ) -> Result<T, E> {
        if self.pausing.load(Ordering::Relaxed) {
            Pause::default().await;
        }
        match self.next() {
            None => call.await,
            Some(Blow::DieBefore) => std::future::pending().await,
            Some(Blow::DieAfter) => {
                let _ = call.await;
                std::future::pending().await
            }
            Some(Blow::FailAfter) => {
                let _ = call.await;
                Err(lost())
            }
            Some(Blow::FailBefore | Blow::Conflict | Blow::LeaseLost) => Err(lost()),
        }
    }
}

/// Lets others go first, once.
#[derive(Default)]
pub(crate) struct Pause(bool);

impl Future for Pause {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A store and a gateway under a fate.
struct Fragile {
    store: Arc<MemoryStore>,
    gateway: Arc<FakeGateway>,
    fate: Arc<Fate>,
}

impl Fragile {
    async fn stored<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.fate.around(call, || StoreError::Unavailable("fate".into())).await
    }

    async fn asked<T>(&self, call: impl Future<Output = Result<T, GatewayError>>) -> Result<T, GatewayError> {
        self.fate.around(call, || GatewayError::Unknown("fate".into())).await
    }
}

#[async_trait]
impl Store for Fragile {
    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        self.stored(self.store.order(id)).await
    }
    async fn order_by_token(&self, token: &str) -> Result<Option<Order>, StoreError> {
        self.stored(self.store.order_by_token(token)).await
    }
    async fn payment(&self, id: PaymentId) -> Result<Option<Payment>, StoreError> {
        self.stored(self.store.payment(id)).await
    }
    async fn payment_by_intent(&self, id: &IntentId) -> Result<Option<Payment>, StoreError> {
        self.stored(self.store.payment_by_intent(id)).await
    }
    async fn payment_by_session(&self, id: &SessionId) -> Result<Option<Payment>, StoreError> {
        self.stored(self.store.payment_by_session(id)).await
    }
    async fn live_payment(&self, order: OrderId) -> Result<Option<Payment>, StoreError> {
        self.stored(self.store.live_payment(order)).await
    }
    async fn call(&self, id: JobId) -> Result<Option<GatewayCall>, StoreError> {
        self.stored(self.store.call(id)).await
    }
    async fn products(&self, mode: Mode, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
        self.stored(self.store.products(mode, ids)).await
    }
    async fn customer(&self, mode: Mode, id: CustomerId) -> Result<Option<Customer>, StoreError> {
        self.stored(self.store.customer(mode, id)).await
    }
    async fn customer_by_email(&self, mode: Mode, email: &str) -> Result<Option<Customer>, StoreError> {
        self.stored(self.store.customer_by_email(mode, email)).await
    }
    async fn knows(&self, cause: Cause) -> Result<bool, StoreError> {
        self.stored(self.store.knows(cause)).await
    }
    async fn commit(&self, changes: Changes) -> Result<Committed, StoreError> {
        let blow = {
            let mut blows = self.fate.commits.lock().unwrap();
            if blows.is_empty() { None } else { Some(blows.remove(0)) }
        };
        match blow {
            Some(Blow::Conflict) => Err(StoreError::Conflict),
            Some(Blow::LeaseLost) => Err(StoreError::LeaseLost),
            Some(Blow::FailBefore) => Err(StoreError::Unavailable("fate".into())),
            Some(other) => panic!("{other:?} is not a commit's"),
            None => self.stored(self.store.commit(changes)).await,
        }
    }
}

#[async_trait]
impl Gateway for Fragile {
    async fn perform(&self, call: &GatewayCall) -> Result<Answer, GatewayError> {
        self.asked(self.gateway.perform(call)).await
    }
    async fn intent(&self, id: &IntentId) -> Result<Option<Answer>, GatewayError> {
        self.asked(self.gateway.intent(id)).await
    }
    async fn session(&self, id: &SessionId) -> Result<Option<Answer>, GatewayError> {
        self.asked(self.gateway.session(id)).await
    }
    fn understand(&self, body: &[u8]) -> Result<Heard, Malformed> {
        self.gateway.understand(body)
    }
}

/// A moment by the manual clock.
pub(crate) fn after(duration: Duration) -> OffsetDateTime {
    ManualClock::START + duration
}
