use super::{
    ATTEMPTS_MAX, ErrorKind, PerformCall, Policy, Ports, Rejection, SettleHoldError, learn::Pair,
    settle_hold::part,
};
use crate::{
    Actor, Beat, Cause, Changes, IllegalTransition, InvalidInput, OperationId, Order, OrderEvent, OrderId,
    OrderState, Shipment, check_text,
    ports::{Committed, StoreError},
};

/// The merchant's side of an order's life: starts its fulfilment, ships it, completes it.
#[derive(Clone)]
pub struct AdvanceOrder {
    ports: Ports,
    policy: Policy,
    calls: PerformCall,
}

/// What the merchant did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advance {
    /// Begins to fulfil it. Money that is only reserved is taken first: so many minor units, or all of it.
    StartFulfillment {
        /// Minor units. Only for an order whose money is reserved.
        amount: Option<u64>,
    },
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
    /// The gateway would not take the reserved money, so fulfilment does not begin. What it says is stored.
    #[error("the gateway refused to take the money: {}", .0.code)]
    Refused(Rejection),
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
            Self::Refused(_) => ErrorKind::Refused,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

impl AdvanceOrder {
    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        let calls = PerformCall::new(ports.clone(), policy.clone());
        Self { ports, policy, calls }
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
        let amount = if let Advance::StartFulfillment { amount } = advance { amount } else { None };
        let event = advance.event()?;
        for _ in 1..ATTEMPTS_MAX {
            match self.once(operation, &actor, id, &event, amount).await {
                Err(AdvanceOrderError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        self.once(operation, &actor, id, &event, amount).await
    }

    async fn once(
        &self,
        operation: OperationId,
        actor: &Actor,
        id: OrderId,
        event: &OrderEvent,
        amount: Option<u64>,
    ) -> Result<Order, AdvanceOrderError> {
        let store = &self.ports.store;
        let found = store.order(id).await?.filter(|order| order.mode == self.policy.mode);
        let order = found.ok_or(AdvanceOrderError::UnknownOrder)?;
        let cause = Cause::Request(operation, Beat::Main);
        if *event == OrderEvent::FulfillmentStarted && order.state == OrderState::Authorized {
            return self.take_first(cause, actor, order, amount).await;
        }
        if amount.is_some() && !store.knows(cause).await? {
            return Err(InvalidInput::new("amount", "is only for an order whose money is reserved").into());
        }
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

impl AdvanceOrder {
    /// Asks the gateway to take what is reserved; once it has, fulfilment begins by itself.
    async fn take_first(
        &self,
        cause: Cause,
        actor: &Actor,
        order: Order,
        amount: Option<u64>,
    ) -> Result<Order, AdvanceOrderError> {
        let store = &self.ports.store;
        let id = order.id;
        let paid_by = match order.paid_by {
            Some(payment) => store.payment(payment).await?,
            None => None,
        };
        let inconsistent =
            || StoreError::Inconsistent { table: "orders", column: "paid_by", id: id.to_string() };
        let mut pair = Pair { payment: paid_by.ok_or_else(inconsistent)?, order };
        let mut changes = Changes::because(cause, actor.clone(), self.ports.clock.now());
        if let Err(error) = self.ask_for(amount, &mut pair, &mut changes) {
            // Perhaps this very operation asked before, and was answered between our two looks.
            if !store.knows(cause).await? {
                return Err(error.into());
            }
            return store.order(id).await?.ok_or(AdvanceOrderError::UnknownOrder);
        }
        let call = changes.recorded_call();
        pair.guard(&mut changes);
        if let (Committed::Now, Some(call)) = (store.commit(changes).await?, call)
            // Whatever goes wrong here, the call is recorded and the worker performs it.
            && let Ok(performed) = self.calls.run_now(call).await
            && let Some(rejection) = performed.rejected
        {
            return Err(AdvanceOrderError::Refused(rejection));
        }
        store.order(id).await?.ok_or(AdvanceOrderError::UnknownOrder)
    }

    fn ask_for(
        &self,
        amount: Option<u64>,
        pair: &mut Pair,
        changes: &mut Changes,
    ) -> Result<(), SettleHoldError> {
        pair.order_event(changes, OrderEvent::FulfillmentRequested)?;
        let amount = part(&pair.payment, amount)?;
        Ok(pair.capture(changes, &self.ports, amount, Some(self.policy.call_held_for))?)
    }
}

impl From<SettleHoldError> for AdvanceOrderError {
    fn from(error: SettleHoldError) -> Self {
        match error {
            SettleHoldError::UnknownPayment => Self::UnknownOrder,
            SettleHoldError::Invalid(error) => Self::Invalid(error),
            SettleHoldError::Illegal(error) => Self::Illegal(error),
            SettleHoldError::Refused(rejection) => Self::Refused(rejection),
            SettleHoldError::Store(error) => Self::Store(error),
        }
    }
}

impl Advance {
    fn event(self) -> Result<OrderEvent, InvalidInput> {
        Ok(match self {
            Self::StartFulfillment { .. } => OrderEvent::FulfillmentStarted,
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
