use super::{
    ATTEMPTS_MAX, ErrorKind, PerformCall, Policy, Ports, Rejection, learn::Pair, record_event::load,
};
use crate::{
    Actor, Beat, CancelReason, Cause, Changes, IllegalTransition, InvalidInput, Money, OperationId, Payment,
    PaymentEvent, PaymentId, PaymentState,
    ports::{Committed, StoreError},
};

/// Takes reserved money, or releases it.
#[derive(Clone)]
pub struct SettleHold {
    ports: Ports,
    policy: Policy,
    calls: PerformCall,
}

/// Why the hold stays as it is; unless it says otherwise nothing was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleHoldError {
    /// There is no such payment.
    #[error("no such payment")]
    UnknownPayment,
    /// The input is wrong: more than is reserved, for example.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The payment's state does not allow it; nothing may be reserved any more.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The gateway refused. What it says of the payment is stored.
    #[error("the gateway refused: {}", .0.code)]
    Refused(Rejection),
    /// The store did not take it. After [`StoreError::Unavailable`] the same operation may be tried again.
    #[error("failed to store what was decided")]
    Store(#[from] StoreError),
}

impl SettleHoldError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownPayment => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Illegal(_) => ErrorKind::Conflict,
            Self::Refused(_) => ErrorKind::Refused,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

/// What is to become of the hold.
#[derive(Debug, Clone, Copy)]
enum Wish {
    /// Take so many minor units, or everything.
    Capture(Option<u64>),
    /// Release it.
    Void,
}

impl SettleHold {
    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        let calls = PerformCall::new(ports.clone(), policy.clone());
        Self { ports, policy, calls }
    }

    /// Takes `amount` minor units of what is reserved, or all of it; the rest is released. Repeating it with the same
    /// `operation` has no further effect.
    ///
    /// Where the gateway does not answer, the payment comes back with [`Payment::capture_requested`], and the worker
    /// goes on with it.
    ///
    /// # Errors
    /// See [`SettleHoldError`].
    pub async fn capture(
        &self,
        operation: OperationId,
        actor: Actor,
        id: PaymentId,
        amount: Option<u64>,
    ) -> Result<Payment, SettleHoldError> {
        self.run(operation, actor, id, Wish::Capture(amount)).await
    }

    /// Releases what is reserved; the order waits for money again. Repeating it with the same `operation` has no
    /// further effect.
    ///
    /// Where the gateway does not answer, the payment comes back with [`Payment::end_requested`], and the worker goes
    /// on with it.
    ///
    /// # Errors
    /// See [`SettleHoldError`].
    pub async fn void(
        &self,
        operation: OperationId,
        actor: Actor,
        id: PaymentId,
    ) -> Result<Payment, SettleHoldError> {
        self.run(operation, actor, id, Wish::Void).await
    }

    async fn run(
        &self,
        operation: OperationId,
        actor: Actor,
        id: PaymentId,
        wish: Wish,
    ) -> Result<Payment, SettleHoldError> {
        for _ in 1..ATTEMPTS_MAX {
            match self.once(operation, &actor, id, wish).await {
                Err(SettleHoldError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        self.once(operation, &actor, id, wish).await
    }

    async fn once(
        &self,
        operation: OperationId,
        actor: &Actor,
        id: PaymentId,
        wish: Wish,
    ) -> Result<Payment, SettleHoldError> {
        let store = &self.ports.store;
        let found = load(&self.ports, id).await?.filter(|pair| pair.payment.mode == self.policy.mode);
        let mut pair = found.ok_or(SettleHoldError::UnknownPayment)?;
        let cause = Cause::Request(operation, Beat::Main);
        let mut changes = Changes::because(cause, actor.clone(), self.ports.clock.now());
        if let Err(error) = self.decide(&mut pair, &mut changes, wish) {
            // Perhaps this very operation did it before.
            return if store.knows(cause).await? { Ok(pair.payment) } else { Err(error) };
        }
        let call = changes.recorded_call();
        pair.guard(&mut changes);
        if let (Committed::Now, Some(call)) = (store.commit(changes).await?, call) {
            // Whatever goes wrong here, the call is recorded and the worker performs it.
            if let Ok(performed) = self.calls.run_now(call).await
                && let Some(rejection) = performed.rejected
            {
                return Err(SettleHoldError::Refused(rejection));
            }
        }
        store.payment(id).await?.ok_or(SettleHoldError::UnknownPayment)
    }

    fn decide(&self, pair: &mut Pair, changes: &mut Changes, wish: Wish) -> Result<(), SettleHoldError> {
        let held_for = Some(self.policy.call_held_for);
        match wish {
            Wish::Capture(amount) => {
                let amount = part(&pair.payment, amount)?;
                Ok(pair.capture(changes, &self.ports, amount, held_for)?)
            }
            Wish::Void if pair.payment.state == PaymentState::Authorized => {
                Ok(pair.end(changes, &self.ports, CancelReason::RequestedByCustomer, held_for)?)
            }
            Wish::Void => Err(IllegalTransition {
                id: pair.payment.id.to_string(),
                from: pair.payment.state.into(),
                event: (&PaymentEvent::EndRequested).into(),
                allowed: Vec::new(),
            }
            .into()),
        }
    }
}

/// A part of what is reserved, or all of it.
pub(super) fn part(payment: &Payment, amount: Option<u64>) -> Result<Money, SettleHoldError> {
    let reserved = payment.capturable;
    if payment.state != PaymentState::Authorized {
        return Err(IllegalTransition {
            id: payment.id.to_string(),
            from: payment.state.into(),
            event: (&PaymentEvent::CaptureRequested(reserved)).into(),
            allowed: Vec::new(),
        }
        .into());
    }
    let Some(minor) = amount else {
        // A part may be on its way already.
        return Ok(payment.capture_asked.filter(|_| payment.capture_requested).unwrap_or(reserved));
    };
    let currency = reserved.currency();
    if minor == 0 || minor > reserved.minor() {
        return Err(InvalidInput::new(
            "amount",
            format!("must be 1 to {}, which is reserved", reserved.minor()),
        )
        .into());
    }
    if !minor.is_multiple_of(currency.step()) {
        let problem = format!("must be a multiple of {} in {currency}", currency.step());
        return Err(InvalidInput::new("amount", problem).into());
    }
    Money::from_minor(minor, currency).map_err(|error| InvalidInput::new("amount", error.to_string()).into())
}
