//! Ports that die, fail, sleep or stutter on demand.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use paywright_domain::{ports::*, *};
use paywright_testkit::{FakeGateway, MemoryStore};
use strum::{EnumIter, IntoEnumIterator};
use time::Duration;

/// How a port call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter)]
pub(crate) enum Blow {
    /// The process is killed before the call has an effect.
    DieBefore,
    /// The process is killed after it, before it hears the answer.
    DieAfter,
    /// Nothing happens, and nobody can tell.
    FailBefore,
    /// It happens, and the answer is lost.
    FailAfter,
    /// The process stands still before the call, longer than any lease, and then goes on as if nothing were.
    SleepBefore,
    /// The same after the call, before its answer is heard.
    SleepAfter,
    /// It happens twice, and the second answer is heard; for calls that change something.
    Twice,
    /// Somebody else was faster; for commits only.
    Conflict,
    /// The lease went to somebody else; for commits only, and on demand only.
    LeaseLost,
}

/// What a port call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// It changes nothing.
    Look,
    /// It changes something.
    Act,
    /// It commits a decision.
    Commit,
}

impl Blow {
    /// Everything that can happen to such a call.
    pub(crate) fn all(nature: Nature) -> Vec<Self> {
        Self::iter().filter(|blow| blow.can_meet(nature)).collect()
    }

    /// Those that leave something different behind. A process that dies at a look, or between two calls, leaves what one
    /// leaves that dies before the next change; a look that fails leaves the same whether it was performed or not.
    pub(crate) fn distinct(nature: Nature) -> Vec<Self> {
        match nature {
            Nature::Look => vec![Self::FailBefore],
            Nature::Act => vec![Self::DieBefore, Self::DieAfter, Self::FailBefore, Self::FailAfter],
            Nature::Commit => [Self::distinct(Nature::Act), vec![Self::Conflict]].concat(),
        }
    }

    fn can_meet(self, nature: Nature) -> bool {
        match self {
            Self::DieBefore
            | Self::DieAfter
            | Self::FailBefore
            | Self::FailAfter
            | Self::SleepBefore
            | Self::SleepAfter => true,
            Self::Twice => nature != Nature::Look,
            Self::Conflict => nature == Nature::Commit,
            Self::LeaseLost => false,
        }
    }
}

/// What happens to which port call. The calls of all ports are counted together, from 0.
#[derive(Default)]
pub(crate) struct Fate {
    blows: Mutex<Vec<(usize, Blow)>>,
    calls: Mutex<Vec<Nature>>,
    commits: Mutex<Vec<Blow>>,
    pausing: AtomicBool,
    asleep: AtomicBool,
}

impl Fate {
    /// These calls go wrong.
    pub(crate) fn of(blows: Vec<(usize, Blow)>) -> Self {
        Self { blows: Mutex::new(blows), ..Self::default() }
    }

    /// That call goes wrong.
    pub(crate) fn falls(&self, call: usize, blow: Blow) {
        self.blows.lock().unwrap().push((call, blow));
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
        self.calls.lock().unwrap().len()
    }

    /// What the calls were for, in their order.
    pub(crate) fn natures(&self) -> Vec<Nature> {
        self.calls.lock().unwrap().clone()
    }

    /// Whether every blow fell.
    pub(crate) fn is_fulfilled(&self) -> bool {
        self.blows.lock().unwrap().is_empty()
    }

    /// Whether a process that waits sleeps, and is not dead. Asked once for each.
    pub(crate) fn fell_asleep(&self) -> bool {
        self.asleep.swap(false, Ordering::Relaxed)
    }

    fn next(&self, nature: Nature) -> Option<Blow> {
        let call = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(nature);
            calls.len() - 1
        };
        let mut blows = self.blows.lock().unwrap();
        let at = blows.iter().position(|(number, _)| *number == call)?;
        Some(blows.remove(at).1)
    }

    async fn sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        Pause::default().await;
    }

    async fn around<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        nature: Nature,
        mut call: impl FnMut() -> F,
        lost: impl FnOnce(Blow) -> E,
    ) -> Result<T, E> {
        if self.pausing.load(Ordering::Relaxed) {
            Pause::default().await;
        }
        match self.next(nature) {
            None => call().await,
            Some(Blow::DieBefore) => std::future::pending().await,
            Some(Blow::DieAfter) => {
                let _ = call().await;
                std::future::pending().await
            }
            Some(Blow::FailAfter) => {
                let _ = call().await;
                Err(lost(Blow::FailAfter))
            }
            Some(Blow::SleepBefore) => {
                self.sleep().await;
                call().await
            }
            Some(Blow::SleepAfter) => {
                let answer = call().await;
                self.sleep().await;
                answer
            }
            Some(Blow::Twice) => {
                let _ = call().await;
                call().await
            }
            Some(blow @ (Blow::FailBefore | Blow::Conflict | Blow::LeaseLost)) => Err(lost(blow)),
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

/// A store with its queue, and a gateway, under a fate.
pub(crate) struct Fragile {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) gateway: Arc<FakeGateway>,
    pub(crate) fate: Arc<Fate>,
}

impl Fragile {
    /// A look into the store.
    pub(crate) async fn stored<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut call = Some(call);
        self.fate.around(Nature::Look, || call.take().unwrap(), store_error).await
    }

    /// Something that the store keeps.
    pub(crate) async fn written<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        call: impl FnMut() -> F,
    ) -> Result<T, StoreError> {
        self.fate.around(Nature::Act, call, store_error).await
    }

    /// A look at the gateway.
    pub(crate) async fn asked<T>(
        &self,
        call: impl Future<Output = Result<T, GatewayError>>,
    ) -> Result<T, GatewayError> {
        let mut call = Some(call);
        self.fate.around(Nature::Look, || call.take().unwrap(), gateway_error).await
    }
}

fn store_error(blow: Blow) -> StoreError {
    match blow {
        Blow::Conflict => StoreError::Conflict,
        Blow::LeaseLost => StoreError::LeaseLost,
        Blow::DieBefore
        | Blow::DieAfter
        | Blow::FailBefore
        | Blow::FailAfter
        | Blow::SleepBefore
        | Blow::SleepAfter
        | Blow::Twice => StoreError::Unavailable("fate".into()),
    }
}

fn gateway_error(_: Blow) -> GatewayError {
    GatewayError::Unknown("fate".into())
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
            Some(blow @ (Blow::Conflict | Blow::LeaseLost | Blow::FailBefore)) => Err(store_error(blow)),
            Some(other) => panic!("{other:?} is not a commit's"),
            None => {
                let commit = || self.store.commit(changes.clone());
                self.fate.around(Nature::Commit, commit, store_error).await
            }
        }
    }
}

#[async_trait]
impl Queue for Fragile {
    async fn receive(&self, event: InboxEvent) -> Result<Received, StoreError> {
        self.written(|| self.store.receive(event.clone())).await
    }
    async fn event(&self, id: &str) -> Result<Option<InboxEvent>, StoreError> {
        self.stored(self.store.event(id)).await
    }
    async fn claim(&self, queue: QueueName, limit: u32, lease: Duration) -> Result<Vec<Job>, StoreError> {
        self.written(|| self.store.claim(queue, limit, lease)).await
    }
    async fn retry(&self, lease: Lease, delay: Duration, reason: &str) -> Result<(), StoreError> {
        self.written(|| self.store.retry(lease, delay, reason)).await
    }
    async fn bury(&self, lease: Lease, reason: &str) -> Result<(), StoreError> {
        self.written(|| self.store.bury(lease, reason)).await
    }
}

#[async_trait]
impl Gateway for Fragile {
    async fn perform(&self, call: &GatewayCall) -> Result<Reply, GatewayError> {
        self.fate.around(Nature::Act, || self.gateway.perform(call), gateway_error).await
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
