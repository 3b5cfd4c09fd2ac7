//! A shop in memory, and its worker.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{
    FakeDispute, FakeGateway, FakeIntent, FakeRefund, FakeSession, IntentStatus, JobState, ManualClock,
    MemoryStore, SeededEntropy, SessionStatus, builders,
};
use time::{Duration, OffsetDateTime};

use crate::fate::{Fate, Fragile};

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
            queue: fragile.clone(),
            gateway: fragile,
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::default()),
        };
        let policy = Policy {
            mode: Mode::Test,
            capture: CaptureMethod::Automatic,
            expiring_hold: ExpiringHold::Void,
            order_lifetime: Duration::DAY,
            call_held_for: HELD,
        };
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
            capture: None,
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

    /// An order of two hats, paid by intent.
    pub(crate) async fn paid_order(&self) -> (Order, Payment) {
        let order = self.place().await;
        let payment = self.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
        self.hear(self.gateway.pay_intent(&self.intent(&payment).id)).await;
        (self.order(order.id), self.payment(order.id))
    }

    /// An order of two hats, whose money is reserved by intent and not taken yet.
    pub(crate) async fn held_order(&self) -> (Order, Payment) {
        let new = NewOrder { capture: Some(CaptureMethod::Manual), ..self.hats(2) };
        let order = self.place_as(self.operation(), new).await.unwrap();
        let payment = self.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
        self.hear(self.gateway.authorize_intent(&self.intent(&payment).id)).await;
        (self.order(order.id), self.payment(order.id))
    }

    pub(crate) async fn refund_as(
        &self,
        operation: OperationId,
        payment: PaymentId,
        amount: Option<u64>,
    ) -> Result<Refund, RequestRefundError> {
        let refunds = RequestRefund::new(self.ports.clone(), self.policy.clone());
        let reason = RefundReason::RequestedByCustomer;
        let new = NewRefund { payment, amount, reason, note: None, expected_refundable: None };
        refunds.run(operation, Actor::System, new).await
    }

    pub(crate) async fn refund(
        &self,
        payment: PaymentId,
        amount: Option<u64>,
    ) -> Result<Refund, RequestRefundError> {
        self.refund_as(self.operation(), payment, amount).await
    }

    pub(crate) fn holds(&self) -> SettleHold {
        SettleHold::new(self.ports.clone(), self.policy.clone())
    }

    pub(crate) async fn capture(
        &self,
        payment: PaymentId,
        amount: Option<u64>,
    ) -> Result<Payment, SettleHoldError> {
        self.holds().capture(self.operation(), Actor::System, payment, amount).await
    }

    pub(crate) async fn void(&self, payment: PaymentId) -> Result<Payment, SettleHoldError> {
        self.holds().void(self.operation(), Actor::System, payment).await
    }

    pub(crate) async fn fulfil(&self, order: OrderId) -> Result<Order, AdvanceOrderError> {
        self.advance_as(self.operation(), order, Advance::StartFulfillment { amount: None }).await
    }

    pub(crate) async fn answer(&self, dispute: DisputeId, say: Say) -> Result<Dispute, AnswerDisputeError> {
        let answers = AnswerDispute::new(self.ports.clone(), self.policy.clone());
        answers.run(self.operation(), Actor::System, dispute, say).await
    }

    pub(crate) async fn sync(&self, payment: PaymentId) -> Result<Payment, SyncPaymentError> {
        let syncs = SyncPayment::new(self.ports.clone(), self.policy.clone());
        syncs.run(self.operation(), payment).await
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
            Task::WatchOrder(order) => WatchOrder::new(ports, policy)
                .run(job.lease, *order)
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

    /// The payment's refunds, oldest first.
    pub(crate) fn refunds(&self, payment: PaymentId) -> Vec<Refund> {
        let mut refunds = self.store.refunds();
        refunds.retain(|refund| refund.payment == payment);
        refunds
    }

    /// The only refund that the gateway made.
    pub(crate) fn refund_made(&self) -> FakeRefund {
        let mut made = self.gateway.refunds_made();
        assert_eq!(made.len(), 1, "{made:#?}");
        made.remove(0)
    }

    /// The only dispute that we know.
    pub(crate) fn dispute(&self) -> Dispute {
        let mut disputes = self.store.disputes();
        assert_eq!(disputes.len(), 1, "{disputes:#?}");
        disputes.remove(0)
    }

    /// The only dispute that a customer opened.
    pub(crate) fn dispute_opened(&self) -> FakeDispute {
        let mut opened = self.gateway.disputes_opened();
        assert_eq!(opened.len(), 1, "{opened:#?}");
        opened.remove(0)
    }

    /// The kinds of breaks that were found, resolved ones included.
    pub(crate) fn breaks(&self) -> Vec<BreakKind> {
        self.store.breaks().into_iter().map(|found| found.kind).collect()
    }

    /// The kinds of breaks that nothing explains yet.
    pub(crate) fn open_breaks(&self) -> Vec<BreakKind> {
        self.store.open_breaks().into_iter().map(|found| found.kind).collect()
    }

    /// What an account got less what it gave, in minor units of a currency.
    pub(crate) fn balance(&self, account: Account, currency: &str) -> i64 {
        let journals = self.store.journals();
        let lines = journals.iter().flat_map(|journal| &journal.entries);
        let of = |line: &&LedgerEntry| line.amount.currency().code() == currency;
        let minor = |line: &LedgerEntry| i64::try_from(line.amount.minor()).unwrap();
        let sign = |line: &LedgerEntry| i64::from(line.debit == account) - i64::from(line.credit == account);
        lines.filter(of).map(|line| sign(line) * minor(line)).sum()
    }

    /// Everything that was recorded of the calls of one kind, oldest first.
    pub(crate) fn calls(&self, operation: &str) -> Vec<GatewayCall> {
        let mut calls = self.store.calls();
        calls.retain(|call| call.operation.name() == operation);
        calls
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
    /// Checks: I1, I2, I3, I6, I8, I12, I14, I18, I19.
    pub(crate) fn assert_sound(&self) {
        for order in self.store.orders() {
            let payments = self.payments(order.id);
            let live = payments.iter().filter(|payment| payment.state.is_live()).count();
            assert!(live <= 1, "{live} live payments of one order: {payments:#?}");
            if let Some(by) = order.paid_by.filter(|_| order.state != OrderState::Authorized) {
                let name = payments.iter().find(|payment| payment.id == by).unwrap().intent.clone();
                let intent =
                    self.gateway.intents().into_iter().find(|it| Some(&it.id) == name.as_ref()).unwrap();
                assert!(
                    matches!(intent.status, IntentStatus::Captured { .. }),
                    "{} is {} on the word of nobody",
                    order.id,
                    order.state
                );
            }
        }
        self.assert_money();
        let mut keys: Vec<_> = self.store.calls().iter().map(GatewayCall::key).collect();
        let recorded = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), recorded, "a key was used twice");
        for arrived in self.gateway.arrived() {
            assert!(keys.contains(&arrived.key), "{} was sent, but never recorded", arrived.key);
        }
        self.assert_told();
    }

    /// What is on its way back is what the refunds say, and no more than was taken; no two of ours are one of the
    /// gateway's; and what is withheld is what the disputes say.
    fn assert_money(&self) {
        for payment in self.store.payments() {
            let refunds = self.refunds(payment.id);
            let sum = |counts: fn(RefundState) -> bool| -> u64 {
                let of = refunds.iter().filter(|refund| counts(refund.state));
                of.map(|refund| refund.amount.minor()).sum()
            };
            assert_eq!(payment.refunded.minor(), sum(RefundState::is_reserved), "{refunds:#?}");
            assert_eq!(
                payment.returned.minor(),
                sum(|state| state == RefundState::Succeeded),
                "{refunds:#?}"
            );
            assert!(payment.refunded <= payment.captured, "{payment:#?}");
            let mut names: Vec<_> = refunds.iter().filter_map(|refund| refund.gateway.as_ref()).collect();
            let known = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), known, "two refunds here are one at the gateway");
            let disputes = self.store.disputes().into_iter().filter(|dispute| dispute.payment == payment.id);
            let withheld: u64 = disputes.map(|dispute| dispute.withheld().minor()).sum();
            assert_eq!(payment.disputed.minor(), withheld);
        }
        for intent in self.gateway.intents() {
            assert!(intent.refunded() <= intent.captured, "{intent:#?}");
        }
    }

    /// Every step has its line in the audit trail.
    fn assert_told(&self) {
        let mut steps = std::collections::BTreeMap::new();
        for row in self.store.audit() {
            let about = match row.entry.subject.as_str() {
                "order" => row.order.to_string(),
                "payment" => row.entry.payment.unwrap().to_string(),
                "refund" => row.entry.detail["refund"].clone(),
                _ => continue,
            };
            *steps.entry(about).or_insert(0) += 1;
        }
        let told = |id: String, version: Version| assert_eq!(steps.get(&id), Some(&version.number()), "{id}");
        self.store.orders().iter().for_each(|order| told(order.id.to_string(), order.version));
        self.store.payments().iter().for_each(|payment| told(payment.id.to_string(), payment.version));
        self.store.refunds().iter().for_each(|refund| told(refund.id.to_string(), refund.version));
    }
}

/// The hosted page, with some return addresses.
pub(crate) fn page(name: &str) -> Channel {
    Channel::Checkout(ReturnUrls {
        success: format!("https://shop.example/{name}/thanks"),
        cancel: format!("https://shop.example/{name}/basket"),
    })
}

/// The answer about a payment.
pub(crate) fn about_payment(reply: &mut Reply) -> &mut Answer {
    match reply {
        Reply::Payment(answer) => answer,
        Reply::Refund(_) | Reply::Dispute(_) => panic!("not about a payment: {reply:?}"),
    }
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

/// A moment by the manual clock.
pub(crate) fn after(duration: Duration) -> OffsetDateTime {
    ManualClock::START + duration
}
