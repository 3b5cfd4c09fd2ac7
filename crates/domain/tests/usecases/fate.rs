//! Ports that die, fail or pause on demand.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use paywright_domain::{ports::*, *};
use paywright_testkit::{FakeGateway, MemoryStore};

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
pub(crate) struct Fragile {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) gateway: Arc<FakeGateway>,
    pub(crate) fate: Arc<Fate>,
}

impl Fragile {
    pub(crate) async fn stored<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.fate.around(call, || StoreError::Unavailable("fate".into())).await
    }

    pub(crate) async fn asked<T>(
        &self,
        call: impl Future<Output = Result<T, GatewayError>>,
    ) -> Result<T, GatewayError> {
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
    async fn payments(&self, order: OrderId) -> Result<Vec<Payment>, StoreError> {
        self.stored(Store::payments(&*self.store, order)).await
    }
    async fn refund(&self, id: RefundId) -> Result<Option<Refund>, StoreError> {
        self.stored(self.store.refund(id)).await
    }
    async fn refund_by_gateway(&self, id: &GatewayRefundId) -> Result<Option<Refund>, StoreError> {
        self.stored(self.store.refund_by_gateway(id)).await
    }
    async fn refunds(&self, payment: PaymentId) -> Result<Vec<Refund>, StoreError> {
        self.stored(Store::refunds(&*self.store, payment)).await
    }
    async fn dispute(&self, id: DisputeId) -> Result<Option<Dispute>, StoreError> {
        self.stored(self.store.dispute(id)).await
    }
    async fn dispute_by_gateway(&self, id: &GatewayDisputeId) -> Result<Option<Dispute>, StoreError> {
        self.stored(self.store.dispute_by_gateway(id)).await
    }
    async fn disputes(&self, payment: PaymentId) -> Result<Vec<Dispute>, StoreError> {
        self.stored(Store::disputes(&*self.store, payment)).await
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
    async fn perform(&self, call: &GatewayCall) -> Result<Reply, GatewayError> {
        self.asked(self.gateway.perform(call)).await
    }
    async fn find(&self, call: &GatewayCall) -> Result<Option<Reply>, GatewayError> {
        self.asked(self.gateway.find(call)).await
    }
    async fn intent(&self, id: &IntentId) -> Result<Option<Answer>, GatewayError> {
        self.asked(self.gateway.intent(id)).await
    }
    async fn session(&self, id: &SessionId) -> Result<Option<Answer>, GatewayError> {
        self.asked(self.gateway.session(id)).await
    }
    async fn refund(&self, id: &GatewayRefundId) -> Result<Option<RefundSnapshot>, GatewayError> {
        self.asked(self.gateway.refund(id)).await
    }
    async fn refunds(&self, id: &IntentId) -> Result<Vec<RefundSnapshot>, GatewayError> {
        self.asked(Gateway::refunds(&*self.gateway, id)).await
    }
    async fn disputes(&self, id: &IntentId) -> Result<Vec<DisputeSnapshot>, GatewayError> {
        self.asked(Gateway::disputes(&*self.gateway, id)).await
    }
    async fn dispute(&self, id: &GatewayDisputeId) -> Result<Option<DisputeSnapshot>, GatewayError> {
        self.asked(self.gateway.dispute(id)).await
    }
    fn understand(&self, body: &[u8]) -> Result<Heard, Malformed> {
        self.gateway.understand(body)
    }
}
