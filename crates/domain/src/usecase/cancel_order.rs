use time::Duration;

use super::{
    ATTEMPTS_MAX, ErrorKind, PerformCall, Policy, Ports,
    learn::{Pair, Wanted},
};
use crate::{
    Actor, Beat, CancelReason, Cause, Changes, GatewayCall, IllegalTransition, InvalidInput, OperationId,
    Order, OrderEvent, OrderId, OrderState, Payment, RefundReason, check_text,
    ports::{Committed, StoreError},
};

/// Cancels an order.
///
/// Of one that is not paid the payment is ended: at the gateway first, then here. If the gateway was paid in the
/// meantime, the order is paid instead. Of one that is paid, what is left of the money is given back.
#[derive(Clone)]
pub struct CancelOrder {
    ports: Ports,
    policy: Policy,
    calls: PerformCall,
}

/// How far the cancellation came.
#[derive(Debug)]
pub enum Cancellation {
    /// The order is cancelled.
    Cancelled(Order),
    /// The gateway has not confirmed yet that no money will come; the order is cancelled as soon as it does.
    Requested(Order),
}

/// Why the order is not being cancelled; unless it says otherwise, nothing was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelOrderError {
    /// There is no such order.
    #[error("no such order")]
    UnknownOrder,
    /// The input is wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The issuer is about to pull the money, so it cannot be given back.
    #[error("a dispute about the payment is open, and the issuer decides about its money")]
    DisputeOpen,
    /// The order's state does not allow it. It may have been paid while we asked: then it is paid now.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The gateway would not end the payment, which may still succeed; the order goes on.
    #[error("the payment is under way and cannot be ended")]
    PaymentUnderWay,
    /// The store did not take it. After [`StoreError::Unavailable`] the same operation may be tried again.
    #[error("failed to store the cancellation")]
    Store(#[from] StoreError),
}

impl CancelOrderError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownOrder => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Illegal(_) | Self::PaymentUnderWay | Self::DisputeOpen => ErrorKind::Conflict,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(StoreError::LeaseLost) => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

/// Why an order is to be cancelled.
#[derive(Debug, Clone, Copy)]
struct Why<'a> {
    reason: CancelReason,
    /// Why it could not be fulfilled.
    failure: Option<&'a str>,
}

impl CancelOrder {
    /// How long a cancellation waits for the gateway before somebody looks after it.
    pub(super) const LOOK_AGAIN: Duration = Duration::minutes(10);
    /// The same where nobody waits for it: a delayed method under way cannot be ended for days.
    const LOOK_AGAIN_EXPIRED: Duration = Duration::HOUR;

    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        let calls = PerformCall::new(ports.clone(), policy.clone());
        Self { ports, policy, calls }
    }

    /// Cancels at a client's request. Repeating it with the same `operation` has no further effect.
    ///
    /// # Errors
    /// See [`CancelOrderError`].
    pub async fn run(
        &self,
        operation: OperationId,
        actor: Actor,
        id: OrderId,
        reason: CancelReason,
    ) -> Result<Cancellation, CancelOrderError> {
        self.cancel(operation, actor, id, Why { reason, failure: None }).await
    }

    /// Cancels because the order cannot be fulfilled. `failure`, 1 to 500 characters, goes with the refund, so that
    /// the gateway's own pages tell it too. Repeating it with the same `operation` has no further effect.
    ///
    /// # Errors
    /// See [`CancelOrderError`]. An order of which nothing was reserved or taken has no fulfilment to fail.
    pub async fn fulfillment_failed(
        &self,
        operation: OperationId,
        actor: Actor,
        id: OrderId,
        failure: &str,
    ) -> Result<Cancellation, CancelOrderError> {
        check_text("reason", failure, 500)?;
        let why = Why { reason: CancelReason::FulfillmentFailed, failure: Some(failure) };
        self.cancel(operation, actor, id, why).await
    }

    async fn cancel(
        &self,
        operation: OperationId,
        actor: Actor,
        id: OrderId,
        why: Why<'_>,
    ) -> Result<Cancellation, CancelOrderError> {
        let cause = Cause::Request(operation, Beat::Main);
        if let Some(call) = self.ask(cause, &actor, id, why).await? {
            // Whatever goes wrong here, the call is recorded and the worker performs it.
            let refused = self.calls.run_now(call).await.is_ok_and(|done| {
                done.rejected.is_some() && done.refund.is_none() && done.payment.state.is_live()
            });
            if refused {
                return Err(CancelOrderError::PaymentUnderWay);
            }
        }
        let order = self.ports.store.order(id).await?.ok_or(CancelOrderError::UnknownOrder)?;
        match order.state {
            // What was given back in full is refunded.
            OrderState::Cancelled | OrderState::Refunded => Ok(Cancellation::Cancelled(order)),
            OrderState::Pending | OrderState::PaymentProcessing | OrderState::Authorized => {
                match order.cancellation {
                    Some(_) => Ok(Cancellation::Requested(order)),
                    None => Err(CancelOrderError::PaymentUnderWay),
                }
            }
            OrderState::Paid
            | OrderState::FulfillmentStarted
            | OrderState::Shipped
            | OrderState::Completed => {
                Err(match order.apply(OrderEvent::CancellationRequested(why.reason)) {
                    Err(illegal) => illegal.into(),
                    Ok(_) => StoreError::Conflict.into(),
                })
            }
        }
    }

    async fn ask(
        &self,
        cause: Cause,
        actor: &Actor,
        id: OrderId,
        why: Why<'_>,
    ) -> Result<Option<GatewayCall>, CancelOrderError> {
        for _ in 1..ATTEMPTS_MAX {
            match self.ask_once(cause, actor, id, why).await {
                Err(CancelOrderError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        self.ask_once(cause, actor, id, why).await
    }

    /// Commits the wish to cancel, and the call that ends or refunds the payment if there is one to make.
    async fn ask_once(
        &self,
        cause: Cause,
        actor: &Actor,
        id: OrderId,
        why: Why<'_>,
    ) -> Result<Option<GatewayCall>, CancelOrderError> {
        let store = &self.ports.store;
        let found = store.order(id).await?.filter(|order| order.mode == self.policy.mode);
        let order = found.ok_or(CancelOrderError::UnknownOrder)?;
        let mut changes = Changes::because(cause, actor.clone(), self.ports.clock.now());
        let decided = match order.state {
            OrderState::Paid | OrderState::FulfillmentStarted => {
                self.give_back(&mut changes, order, why).await
            }
            OrderState::Pending
            | OrderState::PaymentProcessing
            | OrderState::Authorized
            | OrderState::Shipped
            | OrderState::Completed
            | OrderState::Cancelled
            | OrderState::Refunded => {
                let held_for = Some(self.policy.call_held_for);
                let nothing_to_fulfil = why.failure.is_some() && order.state != OrderState::Authorized;
                if nothing_to_fulfil && order.state.is_unpaid() {
                    Err(not_paid(&order).into())
                } else {
                    end(&self.ports, &mut changes, order, why.reason, held_for).await
                }
            }
        };
        match decided {
            Ok(()) => {}
            // Perhaps this very operation cancelled it before.
            Err(_) if store.knows(cause).await? => return Ok(None),
            Err(error) => return Err(error),
        }
        let call = changes.recorded_call();
        match store.commit(changes).await? {
            Committed::Now => Ok(call),
            Committed::Before => Ok(None),
        }
    }

    /// Cancels a paid order, and gives back what is left of its money.
    async fn give_back(
        &self,
        changes: &mut Changes,
        order: Order,
        why: Why<'_>,
    ) -> Result<(), CancelOrderError> {
        let paid_by = match order.paid_by {
            Some(payment) => self.ports.store.payment(payment).await?,
            None => None,
        };
        let inconsistent =
            || StoreError::Inconsistent { table: "orders", column: "paid_by", id: order.id.to_string() };
        let payment = paid_by.ok_or_else(inconsistent)?;
        let mut pair = Pair { order, payment };
        if pair.payment.disputes_blocking > 0 {
            return Err(CancelOrderError::DisputeOpen);
        }
        pair.order_event(changes, OrderEvent::Cancelled(why.reason))?;
        let reason = match why.reason {
            CancelReason::RequestedByCustomer => RefundReason::RequestedByCustomer,
            CancelReason::Duplicate => RefundReason::Duplicate,
            CancelReason::Fraudulent => RefundReason::Fraudulent,
            CancelReason::Expired => RefundReason::Other,
            CancelReason::FulfillmentFailed => RefundReason::FulfillmentFailed,
        };
        if !pair.payment.refundable().is_zero() {
            let rest = Wanted::rest(&pair.payment, reason, why.failure);
            pair.refund(changes, &self.ports, rest, Some(self.policy.call_held_for))?;
        }
        pair.guard(changes);
        Ok(())
    }
}

/// Cancels an order that is not paid, or asks the gateway first to end its payment.
pub(super) async fn end(
    ports: &Ports,
    changes: &mut Changes,
    order: Order,
    reason: CancelReason,
    held_for: Option<Duration>,
) -> Result<(), CancelOrderError> {
    let live = ports.store.live_payment(order.id).await?;
    end_with(ports, changes, order, live, reason, held_for)
}

/// As [`end`], where the order's live payment is known.
pub(super) fn end_with(
    ports: &Ports,
    changes: &mut Changes,
    order: Order,
    live: Option<Payment>,
    reason: CancelReason,
    held_for: Option<Duration>,
) -> Result<(), CancelOrderError> {
    match live {
        None => {
            let first = order.cancellation.unwrap_or(reason);
            changes.order(order.apply(OrderEvent::Cancelled(first))?);
        }
        Some(payment) => {
            let mut pair = Pair { order, payment };
            pair.order_event(changes, OrderEvent::CancellationRequested(reason))?;
            pair.end_if_unwanted(changes, ports, held_for)?;
            let patience = match reason {
                CancelReason::Expired => CancelOrder::LOOK_AGAIN_EXPIRED,
                CancelReason::RequestedByCustomer
                | CancelReason::Duplicate
                | CancelReason::Fraudulent
                | CancelReason::FulfillmentFailed => CancelOrder::LOOK_AGAIN,
            };
            pair.watch(changes, ports, changes.at + patience);
            pair.guard(changes);
        }
    }
    Ok(())
}

fn not_paid(order: &Order) -> IllegalTransition {
    IllegalTransition {
        id: order.id.to_string(),
        from: order.state.into(),
        event: "fulfillment_failed",
        allowed: order.allowed(),
    }
}
