use super::{
    ATTEMPTS_CONTENDED, ErrorKind, Policy, Ports,
    learn::end_rival,
    look,
    record_event::{learn, load},
};
use crate::{
    Actor, Beat, Cause, Changes, IllegalTransition, OperationId, Payment, PaymentId,
    ports::{Fact, GatewayError, StoreError},
};

/// Asks the gateway for everything that it knows of a payment, and commits what follows.
#[derive(Clone)]
pub struct SyncPayment {
    ports: Ports,
    policy: Policy,
}

/// Why the payment stays as it is; nothing was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncPaymentError {
    /// There is no such payment.
    #[error("no such payment")]
    UnknownPayment,
    /// The gateway did not answer.
    #[error("failed to look at the payment")]
    Gateway(#[from] GatewayError),
    /// What the gateway says does not fit what is under way here: try again in a moment.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The store did not take it.
    #[error("failed to store what was seen")]
    Store(#[from] StoreError),
}

impl SyncPaymentError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownPayment => ErrorKind::NotFound,
            Self::Gateway(_) => ErrorKind::Unavailable,
            Self::Illegal(_) => ErrorKind::Conflict,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

impl SyncPayment {
    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        Self { ports, policy }
    }

    /// Looks, and learns. What is known already changes nothing.
    ///
    /// # Errors
    /// See [`SyncPaymentError`].
    pub async fn run(&self, operation: OperationId, id: PaymentId) -> Result<Payment, SyncPaymentError> {
        let payment = self.ports.store.payment(id).await?.filter(|payment| payment.mode == self.policy.mode);
        let payment = payment.ok_or(SyncPaymentError::UnknownPayment)?;
        let facts = look::everything::<SyncPaymentError>(&self.ports, &payment).await?;
        for _ in 1..ATTEMPTS_CONTENDED {
            match self.once(operation, id, &facts).await {
                Err(SyncPaymentError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        self.once(operation, id, &facts).await
    }

    async fn once(
        &self,
        operation: OperationId,
        id: PaymentId,
        facts: &[Fact],
    ) -> Result<Payment, SyncPaymentError> {
        let mut pair = load(&self.ports, id).await?.ok_or(SyncPaymentError::UnknownPayment)?;
        let cause = Cause::Request(operation, Beat::Learned);
        let mut changes = Changes::because(cause, Actor::Gateway, self.ports.clock.now());
        for fact in facts {
            learn::<SyncPaymentError>(&self.ports, &mut pair, &mut changes, fact).await?;
        }
        pair.guard(&mut changes);
        end_rival(&self.ports, &pair, &mut changes).await?;
        let _ = self.ports.store.commit(changes).await?;
        self.ports.store.payment(id).await?.ok_or(SyncPaymentError::UnknownPayment)
    }
}
