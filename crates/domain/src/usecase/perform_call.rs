mod search;

use search::creates;

use super::{
    ATTEMPTS_CONTENDED, ErrorKind, Policy, Ports,
    learn::{Pair, end_rival},
    look,
    record_event::learn,
};
use crate::{
    Actor, CallState, Cause, Changes, Dispute, DisputeEvent, Effect, GatewayCall, IllegalTransition, Lease,
    Operation, Order, OrderEvent, OrderState, Payment, PaymentEvent, PaymentState, Refund, RefundState,
    Subject,
    ports::{Answer, Committed, Fact, GatewayError, Reply, StoreError},
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
    /// The refund afterwards, if the call was about one.
    pub refund: Option<Refund>,
    /// The dispute afterwards, if the call was about one.
    pub dispute: Option<Dispute>,
    /// The gateway's answer about the payment; `None` when somebody else performed the call before.
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
    facts: Vec<Fact>,
    rejected: Option<Rejection>,
}

/// Everything that a call is about.
struct Case {
    pair: Pair,
    refund: Option<Refund>,
    dispute: Option<Dispute>,
}

impl PerformCall {
    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        Self { ports, policy }
    }

    /// Performs the call whose job is held under `lease`.
    ///
    /// Repeating it is harmless: the gateway gets the same key and parameters, the store takes the answer once. A call
    /// that is too old to be sent, or whose key is spent, is looked for at the gateway instead. If there is no trace of
    /// it, what is still wanted is asked for again under a new key, by a call of its own.
    ///
    /// # Errors
    /// See [`PerformCallError`]. Unless it says otherwise the job is still there and will be tried again.
    pub async fn run(&self, lease: Lease) -> Result<Performed, PerformCallError> {
        let call = self.ports.store.call(lease.job).await?.ok_or(PerformCallError::UnknownCall)?;
        self.perform(lease, call, None).await
    }

    async fn perform(
        &self,
        lease: Lease,
        call: GatewayCall,
        known: Option<Case>,
    ) -> Result<Performed, PerformCallError> {
        if call.state != CallState::Recorded {
            return self.performed_before(lease, &call).await;
        }
        if !call.may_be_sent(self.ports.clock.now()) {
            return self.search(Cause::Job(lease), &call, None).await;
        }
        // An earlier call that had left no trace may have been performed since: then this one would do it twice.
        if call.generation > 1
            && creates(&call.operation)
            && let Some(reply) = self.trace(&call).await?
        {
            return self.done(Cause::Job(lease), &call, reply, None).await;
        }
        match self.ports.gateway.perform(&call).await {
            Ok(reply) => self.done(Cause::Job(lease), &call, reply, known).await,
            Err(GatewayError::Rejected { code, message, .. }) => {
                let facts = self.look(&call).await?.map(|reply| reply.fact()).into_iter().collect();
                let rejected = Some(Rejection { code, message });
                let outcome = Outcome { state: CallState::Rejected, facts, rejected };
                let case = self.settle(Cause::Job(lease), &call, &outcome, None).await?;
                Ok(Performed::new(case, None, outcome.rejected))
            }
            Err(GatewayError::Spent(source)) => self.search(Cause::Job(lease), &call, Some(source)).await,
            // Whatever was asked under this key before: if it is what was wanted, it is done.
            Err(error @ GatewayError::KeyReused { .. }) => match self.trace(&call).await? {
                Some(reply) => self.done(Cause::Job(lease), &call, reply, None).await,
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Performs a call that the caller has just recorded and holds. What fails is given back to the worker, who would
    /// otherwise wait until the hold ends.
    pub(super) async fn run_now(&self, call: GatewayCall) -> Result<Performed, PerformCallError> {
        self.run_now_about(call, None).await
    }

    /// The same for a call about a payment that the caller's commit brought into being: mostly nobody else has touched it
    /// until the answer is there.
    pub(super) async fn run_born(
        &self,
        call: GatewayCall,
        born: Pair,
    ) -> Result<Performed, PerformCallError> {
        self.run_now_about(call, Some(Case { pair: born, refund: None, dispute: None })).await
    }

    async fn run_now_about(
        &self,
        call: GatewayCall,
        known: Option<Case>,
    ) -> Result<Performed, PerformCallError> {
        let lease = Lease { job: call.id, token: Lease::FROM_BIRTH };
        let outcome = self.perform(lease, call, known).await;
        if let Err(error) = &outcome {
            // Where even this fails, the hold ends by itself.
            let _ = self.ports.queue.retry(lease, time::Duration::SECOND, &error.to_string()).await;
        }
        outcome
    }

    async fn done(
        &self,
        cause: Cause,
        call: &GatewayCall,
        reply: Reply,
        known: Option<Case>,
    ) -> Result<Performed, PerformCallError> {
        // A repeated answer is as old as the first: how a dispute stands now, only a look tells.
        let fact = match &reply {
            Reply::Payment(_) | Reply::Refund(_) => reply.fact(),
            Reply::Dispute(told) => {
                let seen = look::dispute::<PerformCallError>(&self.ports, &told.id).await?;
                seen.map_or_else(|| reply.fact(), |seen| Fact::Dispute(Box::new(seen)))
            }
        };
        let outcome = Outcome { state: CallState::Done, facts: vec![fact], rejected: None };
        let case = self.settle(cause, call, &outcome, known).await?;
        let answer = match reply {
            Reply::Payment(answer) => Some(*answer),
            Reply::Refund(_) | Reply::Dispute(_) => None,
        };
        Ok(Performed::new(case, answer, None))
    }

    async fn settle(
        &self,
        cause: Cause,
        call: &GatewayCall,
        outcome: &Outcome,
        mut known: Option<Case>,
    ) -> Result<Case, PerformCallError> {
        for _ in 1..ATTEMPTS_CONTENDED {
            let outdated = known.is_some();
            let case = match known.take() {
                Some(case) => case,
                None => self.case(call).await?,
            };
            match self.settle_once(cause, call, outcome, case).await {
                Err(PerformCallError::Store(StoreError::Conflict)) => {}
                // It may have moved since it was known.
                Err(PerformCallError::Illegal(_)) if outdated => {}
                settled => return settled,
            }
        }
        self.settle_once(cause, call, outcome, self.case(call).await?).await
    }

    async fn settle_once(
        &self,
        cause: Cause,
        call: &GatewayCall,
        outcome: &Outcome,
        mut case: Case,
    ) -> Result<Case, PerformCallError> {
        // Nobody holds its job: somebody else may have found out meanwhile.
        if !matches!(cause, Cause::Job(_)) && !self.is_open(call).await? {
            return Ok(case);
        }
        let mut changes = Changes::because(cause, Actor::Gateway, self.ports.clock.now());
        changes.answers.push((call.clone(), outcome.state));
        changes.conclusion = Some(match &outcome.rejected {
            Some(rejection) => format!("{}: {}", outcome.state, rejection.code),
            None => outcome.state.to_string(),
        });
        for fact in &outcome.facts {
            learn::<PerformCallError>(&self.ports, &mut case.pair, &mut changes, fact).await?;
        }
        case.dispute = case.dispute.map(|known| changes.last_dispute(known.id).cloned().unwrap_or(known));
        match outcome.state {
            CallState::Rejected => self.refused(&mut case, &mut changes, call, outcome)?,
            CallState::Absent => self.absent(&mut case, &mut changes, call)?,
            CallState::Recorded | CallState::Done => {}
        }
        self.answered(&mut case, &mut changes, outcome.state)?;
        case.pair.guard(&mut changes);
        end_rival(&self.ports, &case.pair, &mut changes).await?;
        case.refund = case.refund.map(|known| changes.last_refund(known.id).cloned().unwrap_or(known));
        case.dispute = case.dispute.map(|known| changes.last_dispute(known.id).cloned().unwrap_or(known));
        match self.ports.store.commit(changes).await? {
            Committed::Now => Ok(case),
            Committed::Before => self.case(call).await,
        }
    }

    /// The gateway said no: a payment that was to be created failed, one that was to end goes on, what was to be taken
    /// or given back was not.
    fn refused(
        &self,
        case: &mut Case,
        changes: &mut Changes,
        call: &GatewayCall,
        outcome: &Outcome,
    ) -> Result<(), PerformCallError> {
        let pair = &mut case.pair;
        match &call.operation {
            Operation::CreateIntent { .. } | Operation::CreateSession { .. } => {
                Ok(pair.news(changes, PaymentEvent::Refused, &self.ports)?)
            }
            Operation::CancelIntent { .. } | Operation::ExpireSession { .. } => {
                self.end_refused(pair, changes)
            }
            Operation::Capture { .. } => {
                pair.payment_event(changes, PaymentEvent::CaptureRefused)?;
                if pair.order.state == OrderState::Authorized {
                    pair.order_event(changes, OrderEvent::FulfillmentRefused)?;
                }
                Ok(())
            }
            Operation::CreateRefund { .. } => {
                let why = outcome.rejected.as_ref().map_or("refused", |rejection| rejection.code.as_str());
                match &case.refund {
                    Some(refund) => Ok(pair.refund_refused(changes, refund, why.to_owned(), &self.ports)?),
                    None => Ok(()),
                }
            }
            Operation::StageEvidence { .. }
            | Operation::SubmitEvidence { .. }
            | Operation::CloseDispute { .. } => Ok(()),
        }
    }

    fn end_refused(&self, pair: &mut Pair, changes: &mut Changes) -> Result<(), PerformCallError> {
        pair.payment_event(changes, PaymentEvent::EndRefused)?;
        if !pair.payment.state.is_live() {
            return Ok(());
        }
        // An order that is cancelled already, or paid by another payment, has no wish left to refuse.
        if pair.order.state.is_unpaid() && pair.order.cancellation.is_some() {
            pair.order_event(changes, OrderEvent::CancellationRefused)?;
            // Its timer may be spent.
            let soonest = changes.at + self.policy.order_lifetime.min(time::Duration::HOUR);
            pair.watch(changes, &self.ports, pair.order.expires_at.max(soonest));
        }
        Ok(())
    }

    /// It never happened. A payment for which nobody waits any more is given up; everything else is still wanted.
    fn absent(
        &self,
        case: &mut Case,
        changes: &mut Changes,
        call: &GatewayCall,
    ) -> Result<(), PerformCallError> {
        let pair = &mut case.pair;
        let wanted = match &call.operation {
            Operation::CreateIntent { .. } | Operation::CreateSession { .. } => {
                if !call.may_be_sent(changes.at) {
                    return Ok(pair.news(changes, PaymentEvent::Refused, &self.ports)?);
                }
                pair.payment.state == PaymentState::Created
            }
            Operation::CancelIntent { .. } | Operation::ExpireSession { .. } => {
                pair.payment.end_requested && pair.payment.end_generation == call.generation
            }
            Operation::Capture { .. } => {
                pair.payment.capture_requested && pair.payment.capture_generation == call.generation
            }
            Operation::CreateRefund { .. } => {
                case.refund.as_ref().is_some_and(|refund| refund.state == RefundState::Requested)
            }
            Operation::StageEvidence { .. }
            | Operation::SubmitEvidence { .. }
            | Operation::CloseDispute { .. } => false,
        };
        if !wanted {
            return Ok(());
        }
        if call.generation >= GatewayCall::GENERATIONS_MAX {
            return self.given_up(case, changes, call);
        }
        let generation = pair.asks_again(changes, &call.operation, call.generation)?;
        let next = pair.call_about(changes, &self.ports, call.subject, call.operation.clone(), generation);
        changes.effects.push(Effect::Call { call: next, held_for: None });
        Ok(())
    }

    /// Asked again and again, and never done: as if refused.
    fn given_up(
        &self,
        case: &mut Case,
        changes: &mut Changes,
        call: &GatewayCall,
    ) -> Result<(), PerformCallError> {
        let rejected = Some(Rejection { code: "never_done".to_owned(), message: String::new() });
        let outcome = Outcome { state: CallState::Absent, facts: Vec::new(), rejected };
        self.refused(case, changes, call, &outcome)
    }

    /// A dispute's answer is no longer on its way, however it ended.
    fn answered(
        &self,
        case: &mut Case,
        changes: &mut Changes,
        state: CallState,
    ) -> Result<(), PerformCallError> {
        let Some(dispute) = &case.dispute else { return Ok(()) };
        let event = match state {
            CallState::Done => DisputeEvent::AnswerTaken,
            CallState::Rejected | CallState::Absent => DisputeEvent::AnswerRefused,
            CallState::Recorded => return Ok(()),
        };
        changes.dispute(dispute.apply(event)?);
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
        Ok(Performed::new(self.case(call).await?, None, None))
    }

    async fn is_open(&self, call: &GatewayCall) -> Result<bool, StoreError> {
        let known = self.ports.store.call(call.id).await?;
        Ok(known.is_some_and(|known| known.state == CallState::Recorded))
    }

    async fn case(&self, call: &GatewayCall) -> Result<Case, PerformCallError> {
        let (store, bug) = (&self.ports.store, |column| StoreError::Inconsistent {
            table: "gateway_calls",
            column,
            id: call.id.to_string(),
        });
        let payment = store.payment(call.payment).await?.ok_or_else(|| bug("payment_id"))?;
        let order = store.order(call.order).await?.ok_or_else(|| bug("order_id"))?;
        let (refund, dispute) = match call.subject {
            Subject::Payment(_) => (None, None),
            Subject::Refund(id) => (Some(store.refund(id).await?.ok_or_else(|| bug("subject"))?), None),
            Subject::Dispute(id) => (None, Some(store.dispute(id).await?.ok_or_else(|| bug("subject"))?)),
        };
        Ok(Case { pair: Pair { order, payment }, refund, dispute })
    }
}

impl Performed {
    fn new(case: Case, answer: Option<Answer>, rejected: Option<Rejection>) -> Self {
        let Case { pair: Pair { order, payment }, refund, dispute } = case;
        Self { order, payment, refund, dispute, answer, rejected }
    }
}
