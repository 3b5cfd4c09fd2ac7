use super::{ATTEMPTS_MAX, ErrorKind, Policy, Ports};
use crate::{
    Actor, Beat, Cause, Changes, IllegalTransition, InvalidInput, OperationId, Order, OrderEvent, OrderId,
    Shipment, check_text, ports::StoreError,
};

/// The merchant's side of an order's life: starts its fulfilment, ships it, completes it.
#[derive(Clone)]
pub struct AdvanceOrder {
    ports: Ports,
    policy: Policy,
}

/// What the merchant did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advance {
    /// Began to fulfil it.
    StartFulfillment,
    /// Handed it to the carrier.
    Ship(Shipment),
    /// Finished; digital goods need no shipping before.
    Complete,
}

/// Why the order did not move; nothing was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdvanceOrderError {
    /// There is no such order.
    #[error("no such order")]
    UnknownOrder,
    /// The input is wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The order's state does not allow it.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The store did not take it. After [`StoreError::Unavailable`] the same operation may be tried again.
    #[error("failed to store the order")]
    Store(#[from] StoreError),
}

impl AdvanceOrderError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownOrder => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Illegal(_) => ErrorKind::Conflict,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

impl AdvanceOrder {
    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        Self { ports, policy }
    }

    /// Moves the order. Repeating it with the same `operation` moves nothing and returns the order as it is.
    ///
    /// # Errors
    /// See [`AdvanceOrderError`]; nothing was stored.
    pub async fn run(
        &self,
        operation: OperationId,
        actor: Actor,
        id: OrderId,
        advance: Advance,
    ) -> Result<Order, AdvanceOrderError> {
        let event = advance.event()?;
        for _ in 1..ATTEMPTS_MAX {
            match self.once(operation, &actor, id, &event).await {
                Err(AdvanceOrderError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        self.once(operation, &actor, id, &event).await
    }

    async fn once(
        &self,
        operation: OperationId,
        actor: &Actor,
        id: OrderId,
        event: &OrderEvent,
    ) -> Result<Order, AdvanceOrderError> {
        let store = &self.ports.store;
        let found = store.order(id).await?.filter(|order| order.mode == self.policy.mode);
        let order = found.ok_or(AdvanceOrderError::UnknownOrder)?;
        let cause = Cause::Request(operation, Beat::Main);
        let mut changes = Changes::because(cause, actor.clone(), self.ports.clock.now());
        match order.apply(event.clone()) {
            Ok(applied) => changes.order(applied),
            // Perhaps this very operation moved it before.
            Err(_) if store.knows(cause).await? => return Ok(order),
            Err(illegal) => return Err(illegal.into()),
        }
        let _ = store.commit(changes).await?;
        store.order(id).await?.ok_or(AdvanceOrderError::UnknownOrder)
    }
}

impl Advance {
    fn event(self) -> Result<OrderEvent, InvalidInput> {
        Ok(match self {
            Self::StartFulfillment => OrderEvent::FulfillmentStarted,
            Self::Ship(shipment) => {
                check_text("carrier", &shipment.carrier, 100)?;
                if let Some(tracking) = &shipment.tracking {
                    check_text("tracking", tracking, 200)?;
                }
                OrderEvent::Shipped(shipment)
            }
            Self::Complete => OrderEvent::Completed,
        })
    }
}
