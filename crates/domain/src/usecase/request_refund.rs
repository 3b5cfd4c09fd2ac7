use super::{
    ATTEMPTS_CONTENDED, ErrorKind, PerformCall, Policy, Ports, Rejection, learn::Wanted, record_event::load,
};
use crate::{
    Actor, Beat, Cause, Changes, IllegalTransition, InvalidInput, Money, OperationId, Payment, PaymentId,
    PaymentState, Refund, RefundDraft, RefundId, RefundReason, check_text,
    ports::{Committed, StoreError},
};

/// Gives captured money back, in whole or in part.
#[derive(Clone)]
pub struct RequestRefund {
    ports: Ports,
    policy: Policy,
    calls: PerformCall,
}

/// What the client says of the refund it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefund {
    /// Whose money.
    pub payment: PaymentId,
    /// How much, in minor units; everything that can be refunded if not said.
    pub amount: Option<u64>,
    /// Why.
    pub reason: RefundReason,
    /// The merchant's words; 1 to 500 characters.
    pub note: Option<String>,
    /// How much the client believes can be refunded, in minor units.
    pub expected_refundable: Option<u64>,
}

/// Why nothing is given back; unless it says otherwise nothing was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestRefundError {
    /// There is no such payment.
    #[error("no such payment")]
    UnknownPayment,
    /// The input is wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// Nothing was taken, so nothing can be given back: void the payment, or cancel the order.
    #[error("the payment is {0}: nothing was captured")]
    NotCaptured(PaymentState),
    /// The issuer is about to pull the money. A refund would pay it out twice.
    #[error("a dispute about the payment is open, and the issuer decides about its money")]
    DisputeOpen,
    /// What can be refunded is not what the client believes.
    #[error("{refundable} can be refunded, not what was expected")]
    RefundableDiffers {
        /// What can be refunded.
        refundable: Money,
    },
    /// It is more than can be refunded: other refunds, also those under way, and disputes count.
    #[error("only {refundable} can be refunded")]
    TooMuch {
        /// What can be refunded.
        refundable: Money,
    },
    /// The gateway refused. The refund is stored as failed, and its amount can be refunded again.
    #[error("the gateway refused the refund: {}", .0.code)]
    Refused(Rejection),
    /// A step that cannot be.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The store did not take it. After [`StoreError::Unavailable`] the same operation may be tried again.
    #[error("failed to store the refund")]
    Store(#[from] StoreError),
}

impl RequestRefundError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownPayment => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::RefundableDiffers { .. } => ErrorKind::Outdated,
            Self::NotCaptured(_) | Self::DisputeOpen | Self::TooMuch { .. } => ErrorKind::Conflict,
            Self::Refused(_) => ErrorKind::Refused,
            Self::Illegal(_) => ErrorKind::Bug,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

impl RequestRefund {
    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        let calls = PerformCall::new(ports.clone(), policy.clone());
        Self { ports, policy, calls }
    }

    /// Reserves the amount, then asks the gateway. Repeating it with the same `operation` returns the refund that was
    /// made then: the refund's id is the operation's.
    ///
    /// Where the gateway does not answer, the refund comes back as requested, and the worker goes on with it.
    ///
    /// # Errors
    /// See [`RequestRefundError`].
    pub async fn run(
        &self,
        operation: OperationId,
        actor: Actor,
        new: NewRefund,
    ) -> Result<Refund, RequestRefundError> {
        check(&new)?;
        for _ in 1..ATTEMPTS_CONTENDED {
            match self.once(operation, &actor, &new).await {
                Err(RequestRefundError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        self.once(operation, &actor, &new).await
    }

    async fn once(
        &self,
        operation: OperationId,
        actor: &Actor,
        new: &NewRefund,
    ) -> Result<Refund, RequestRefundError> {
        // Each time anew: the same request may be running twice.
        let id = RefundId::from_uuid(operation.uuid());
        if let Some(refund) = self.ports.store.refund(id).await? {
            return Ok(refund);
        }
        let found = load(&self.ports, new.payment).await?;
        let mut pair = found
            .filter(|pair| pair.payment.mode == self.policy.mode)
            .ok_or(RequestRefundError::UnknownPayment)?;
        let amount = decide(&pair.payment, new)?;
        let cause = Cause::Request(operation, Beat::Main);
        let mut changes = Changes::because(cause, actor.clone(), self.ports.clock.now());
        let draft =
            RefundDraft { id, amount, reason: new.reason, note: new.note.clone(), created_at: changes.at };
        let refund =
            pair.refund_as(&mut changes, &self.ports, draft, None, Some(self.policy.call_held_for))?;
        let call = changes.recorded_call();
        pair.guard(&mut changes);
        if let (Committed::Now, Some(call)) = (self.ports.store.commit(changes).await?, call) {
            // Whatever goes wrong here, the call is recorded and the worker performs it.
            if let Ok(performed) = self.calls.run_now(call).await
                && let Some(rejection) = performed.rejected
            {
                return Err(RequestRefundError::Refused(rejection));
            }
        }
        Ok(self.ports.store.refund(refund.id).await?.ok_or(StoreError::Conflict)?)
    }
}

fn check(new: &NewRefund) -> Result<(), InvalidInput> {
    if new.reason.is_ours() {
        return Err(InvalidInput::new("reason", "is ours to give"));
    }
    if new.amount == Some(0) {
        return Err(InvalidInput::new("amount", "must be positive"));
    }
    match &new.note {
        Some(note) => check_text("note", note, 500),
        None => Ok(()),
    }
}

/// How much is to be given back, if it can be.
fn decide(payment: &Payment, new: &NewRefund) -> Result<Money, RequestRefundError> {
    if payment.state != PaymentState::Captured {
        return Err(RequestRefundError::NotCaptured(payment.state));
    }
    if payment.disputes_blocking > 0 {
        return Err(RequestRefundError::DisputeOpen);
    }
    let refundable = payment.refundable();
    if new.expected_refundable.is_some_and(|expected| expected != refundable.minor()) {
        return Err(RequestRefundError::RefundableDiffers { refundable });
    }
    let currency = payment.amount.currency();
    let amount = new.amount.unwrap_or(refundable.minor());
    if amount == 0 || amount > refundable.minor() {
        return Err(RequestRefundError::TooMuch { refundable });
    }
    if !amount.is_multiple_of(currency.step()) {
        let problem = format!("must be a multiple of {} in {currency}", currency.step());
        return Err(InvalidInput::new("amount", problem).into());
    }
    Money::from_minor(amount, currency).map_err(|error| InvalidInput::new("amount", error.to_string()).into())
}

impl<'a> Wanted<'a> {
    /// Everything that is left, because the order ended.
    pub(super) fn rest(payment: &Payment, reason: RefundReason, failure: Option<&'a str>) -> Self {
        Self { amount: payment.refundable(), reason, note: failure.map(str::to_owned), failure }
    }
}
