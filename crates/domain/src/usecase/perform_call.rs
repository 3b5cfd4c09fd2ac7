use super::{ATTEMPTS_MAX, ErrorKind, Policy, Ports, learn::Pair};
use crate::{
    Actor, CallState, Cause, Changes, Effect, GatewayCall, IllegalTransition, JobId, Lease, Operation, Order,
    OrderEvent, Payment, PaymentEvent,
    ports::{Answer, Committed, GatewayError, Snapshot, StoreError},
};

/// Performs a recorded call, and commits what the gateway answered.
#[derive(Clone)]
pub struct PerformCall {
    ports: Ports,
    policy: Policy,
}

/// How a call ended.
#[derive(Debug)]
pub struct Performed {
    /// The order afterwards.
    pub order: Order,
    /// The payment afterwards.
    pub payment: Payment,
    /// The gateway's answer; `None` when somebody else performed the call before.
    pub answer: Option<Answer>,
    /// Why the gateway refused, if it did.
    pub rejected: Option<Rejection>,
}

/// The gateway's reason for a definite no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its code.
    pub code: String,
    /// Its words, for operators.
    pub message: String,
}

/// Why the call's outcome is not settled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PerformCallError {
    /// There is no such call.
    #[error("no such call")]
    UnknownCall,
    /// The call is too old to be sent again: the gateway may have forgotten its key. Its outcome stays unknown until
    /// the gateway is searched. Nothing was sent.
    #[error("the call is too old to be sent again")]
    TooOld,
    /// No answer to rely on. The call stays recorded; perform it again later.
    #[error("failed to call the gateway")]
    Gateway(#[from] GatewayError),
    /// A step that cannot be; nothing was stored.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The answer could not be stored. The call stays recorded; performing it again gives the same answer.
    #[error("failed to store the answer")]
    Store(#[from] StoreError),
}

impl PerformCallError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownCall | Self::Illegal(_) => ErrorKind::Bug,
            Self::TooOld => ErrorKind::Refused,
            Self::Gateway(GatewayError::KeyReused { .. }) => ErrorKind::Bug,
            Self::Gateway(_) => ErrorKind::Unavailable,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(StoreError::LeaseLost) => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

/// What is known after the call.
struct Outcome {
    state: CallState,
    snapshot: Option<Snapshot>,
}

impl PerformCall {
    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        Self { ports, policy }
    }

    /// Performs the call whose job is held under `lease`.
    ///
    /// Repeating it is harmless: the gateway gets the same key and parameters, the store takes the answer once.
    ///
    /// # Errors
    /// See [`PerformCallError`]. Unless it says otherwise the job is still there and will be tried again.
    pub async fn run(&self, lease: Lease) -> Result<Performed, PerformCallError> {
        let call = self.ports.store.call(lease.job).await?.ok_or(PerformCallError::UnknownCall)?;
        if call.state != CallState::Recorded {
            return self.performed_before(lease, &call).await;
        }
        if !call.may_be_sent(self.ports.clock.now()) {
            return Err(PerformCallError::TooOld);
        }
        match self.ports.gateway.perform(&call).await {
            Ok(answer) => {
                let outcome = Outcome { state: CallState::Done, snapshot: Some(answer.snapshot.clone()) };
                let pair = self.settle(lease, &call, &outcome).await?;
                Ok(Performed {
                    order: pair.order,
                    payment: pair.payment,
                    answer: Some(answer),
                    rejected: None,
                })
            }
            Err(GatewayError::Rejected { code, message, .. }) => {
                let snapshot = self.look(&call.operation).await?;
                let outcome = Outcome { state: CallState::Rejected, snapshot };
                let pair = self.settle(lease, &call, &outcome).await?;
                let rejected = Some(Rejection { code, message });
                Ok(Performed { order: pair.order, payment: pair.payment, answer: None, rejected })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A refusal to end something says that it is no longer what we believed: look at it.
    async fn look(&self, operation: &Operation) -> Result<Option<Snapshot>, GatewayError> {
        let gateway = &self.ports.gateway;
        let answer = match operation {
            Operation::CreateIntent { .. } | Operation::CreateSession { .. } => None,
            Operation::CancelIntent { intent, .. } => gateway.intent(intent).await?,
            Operation::ExpireSession { session } => match gateway.session(session).await? {
                Some(page) => match &page.snapshot.sighting.intent {
                    Some(intent) => gateway.intent(intent).await?,
                    None => Some(page),
                },
                None => None,
            },
        };
        Ok(answer.map(|answer| answer.snapshot))
    }

    async fn settle(
        &self,
        lease: Lease,
        call: &GatewayCall,
        outcome: &Outcome,
    ) -> Result<Pair, PerformCallError> {
        for _ in 1..ATTEMPTS_MAX {
            match self.settle_once(lease, call, outcome).await {
                Err(PerformCallError::Store(StoreError::Conflict)) => {}
                settled => return settled,
            }
        }
        self.settle_once(lease, call, outcome).await
    }

    async fn settle_once(
        &self,
        lease: Lease,
        call: &GatewayCall,
        outcome: &Outcome,
    ) -> Result<Pair, PerformCallError> {
        let mut pair = self.pair(call).await?;
        let mut changes = Changes::because(Cause::Job(lease), Actor::Gateway, self.ports.clock.now());
        changes.answers.push((call.clone(), outcome.state));
        changes.conclusion = Some(outcome.state.to_string());
        if let Some(snapshot) = &outcome.snapshot {
            pair.learn(&mut changes, snapshot, &self.ports)?;
        }
        if outcome.state == CallState::Rejected {
            self.refused(&mut pair, &mut changes, &call.operation)?;
        }
        pair.guard(&mut changes);
        match self.ports.store.commit(changes).await? {
            Committed::Now => Ok(pair),
            Committed::Before => self.pair(call).await,
        }
    }

    /// The gateway said no: a payment that was to be created failed, one that was to end goes on.
    fn refused(
        &self,
        pair: &mut Pair,
        changes: &mut Changes,
        operation: &Operation,
    ) -> Result<(), PerformCallError> {
        if operation.creates() {
            return Ok(pair.news(changes, PaymentEvent::Refused)?);
        }
        if !pair.payment.state.is_live() {
            return Ok(());
        }
        pair.payment_event(changes, PaymentEvent::EndRefused)?;
        // An order that is cancelled already, or paid by another payment, has no wish left to refuse.
        if pair.order.state.is_unpaid() && pair.order.cancellation.is_some() {
            pair.order_event(changes, OrderEvent::CancellationRefused)?;
            // Its timer may be spent, or was moved to watch over the cancellation.
            let (job, order) = (self.ports.new_id(), pair.order.id);
            let soonest = changes.at + self.policy.order_lifetime.min(time::Duration::HOUR);
            let at = pair.order.expires_at.max(soonest);
            changes.effects.push(Effect::ExpireOrder { job, order, at });
        }
        Ok(())
    }

    async fn performed_before(
        &self,
        lease: Lease,
        call: &GatewayCall,
    ) -> Result<Performed, PerformCallError> {
        let mut changes = Changes::because(Cause::Job(lease), Actor::System, self.ports.clock.now());
        changes.conclusion = Some("performed before".to_owned());
        let _ = self.ports.store.commit(changes).await?;
        let pair = self.pair(call).await?;
        Ok(Performed { order: pair.order, payment: pair.payment, answer: None, rejected: None })
    }

    async fn pair(&self, call: &GatewayCall) -> Result<Pair, PerformCallError> {
        let (store, bug) = (&self.ports.store, |column| StoreError::Inconsistent {
            table: "gateway_calls",
            column,
            id: call.id.to_string(),
        });
        let payment = store.payment(call.payment).await?.ok_or_else(|| bug("payment_id"))?;
        let order = store.order(call.order).await?.ok_or_else(|| bug("order_id"))?;
        Ok(Pair { order, payment })
    }
}

/// The lease that a request holds on a call which it recorded to perform at once.
pub(super) fn held(job: JobId) -> Lease {
    Lease { job, token: Lease::FROM_BIRTH }
}
