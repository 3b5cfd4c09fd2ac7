use time::{Duration, OffsetDateTime};

use super::{ATTEMPTS_MAX, ErrorKind, PerformCall, Policy, Ports, learn::Pair, perform_call::held};
use crate::{
    Actor, Beat, CancelReason, Cause, Changes, Effect, IllegalTransition, JobId, Lease, OperationId, Order,
    OrderEvent, OrderId, OrderState, ports::StoreError,
};

/// Cancels an order that is not paid: the gateway first, then we. If the gateway was paid in the meantime, the order
/// is paid instead.
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
            Self::Illegal(_) | Self::PaymentUnderWay => ErrorKind::Conflict,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(StoreError::LeaseLost) => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

/// What is wanted of an order.
enum Wish {
    /// Cancel it.
    Cancel(CancelReason),
    /// Leave it, and look again then.
    Wait(OffsetDateTime),
    /// Leave it.
    Nothing,
}

impl CancelOrder {
    /// How long a cancellation waits for the gateway before somebody looks after it: its call may have been given up.
    const LOOK_AGAIN: Duration = Duration::minutes(10);

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
        let cause = Cause::Request(operation, Beat::Main);
        let asked = self.ask(cause, actor, id, |order| {
            if order.mode != self.policy.mode {
                return Err(CancelOrderError::UnknownOrder);
            }
            Ok(Wish::Cancel(reason))
        });
        if let Some(call) = asked.await? {
            // Whatever goes wrong here, the call is recorded and the worker performs it.
            let refused = self
                .calls
                .run(held(call))
                .await
                .is_ok_and(|done| done.rejected.is_some() && done.payment.state.is_live());
            if refused {
                return Err(CancelOrderError::PaymentUnderWay);
            }
        }
        let order = self.ports.store.order(id).await?.ok_or(CancelOrderError::UnknownOrder)?;
        match order.state {
            OrderState::Cancelled => Ok(Cancellation::Cancelled(order)),
            OrderState::Pending | OrderState::PaymentProcessing | OrderState::Authorized => {
                match order.cancellation {
                    Some(_) => Ok(Cancellation::Requested(order)),
                    None => Err(CancelOrderError::PaymentUnderWay),
                }
            }
            OrderState::Paid
            | OrderState::FulfillmentStarted
            | OrderState::Shipped
            | OrderState::Completed
            | OrderState::Refunded => Err(match order.apply(OrderEvent::CancellationRequested(reason)) {
                Err(illegal) => illegal.into(),
                Ok(_) => StoreError::Conflict.into(),
            }),
        }
    }

    /// Cancels an order that nobody paid in time, and goes on with a cancellation that got stuck; the job held under
    /// `lease` is completed. While the order may need another look, a new job for it is recorded.
    ///
    /// # Errors
    /// See [`CancelOrderError`]; the job is still there.
    pub async fn expire(&self, lease: Lease, id: OrderId) -> Result<(), CancelOrderError> {
        self.ask(Cause::Job(lease), Actor::System, id, |order| Ok(self.due(order))).await?;
        Ok(())
    }

    /// What is due for an order whose timer rang.
    fn due(&self, order: &Order) -> Wish {
        let now = self.ports.clock.now();
        if !order.state.is_unpaid() {
            Wish::Nothing
        } else if order.cancellation.is_some() {
            Wish::Cancel(CancelReason::Expired)
        } else if order.state == OrderState::Authorized {
            // Its hold may still be lost, and then it waits for money again.
            Wish::Wait(now + self.policy.order_lifetime)
        } else if now < order.expires_at {
            // The store's clock is ahead of ours, or the timer watched over a cancellation that was given up.
            Wish::Wait(order.expires_at.max(now + Duration::MINUTE))
        } else {
            Wish::Cancel(CancelReason::Expired)
        }
    }

    /// Commits the wish to cancel, and the call that ends the payment if there is one to make.
    async fn ask(
        &self,
        cause: Cause,
        actor: Actor,
        id: OrderId,
        wish: impl Fn(&Order) -> Result<Wish, CancelOrderError>,
    ) -> Result<Option<JobId>, CancelOrderError> {
        for _ in 1..ATTEMPTS_MAX {
            match self.ask_once(cause, &actor, id, &wish).await {
                Err(CancelOrderError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        self.ask_once(cause, &actor, id, &wish).await
    }

    async fn ask_once(
        &self,
        cause: Cause,
        actor: &Actor,
        id: OrderId,
        wish: impl Fn(&Order) -> Result<Wish, CancelOrderError>,
    ) -> Result<Option<JobId>, CancelOrderError> {
        let store = &self.ports.store;
        let order = store.order(id).await?.ok_or(CancelOrderError::UnknownOrder)?;
        let mut changes = Changes::because(cause, actor.clone(), self.ports.clock.now());
        let timer = |at| Effect::ExpireOrder { job: self.ports.new_id(), order: id, at };
        match wish(&order)? {
            Wish::Nothing => changes.conclusion = Some(format!("order is {}", order.state)),
            Wish::Wait(at) => {
                changes.conclusion = Some(format!("order is {}, not due yet", order.state));
                changes.effects.push(timer(at));
            }
            Wish::Cancel(reason) => match store.live_payment(id).await? {
                None => {
                    let first = order.cancellation.unwrap_or(reason);
                    changes.order(order.apply(OrderEvent::Cancelled(first))?);
                }
                Some(payment) => {
                    let held_for = matches!(cause, Cause::Request(..)).then_some(self.policy.call_held_for);
                    let mut pair = Pair { order, payment };
                    pair.order_event(&mut changes, OrderEvent::CancellationRequested(reason))?;
                    pair.end_if_unwanted(&mut changes, &self.ports, held_for)?;
                    changes.effects.push(timer(changes.at + Self::LOOK_AGAIN));
                    pair.guard(&mut changes);
                }
            },
        }
        let call = changes.effects.iter().find_map(|effect| match effect {
            Effect::Call { call, .. } => Some(call.id),
            Effect::ExpireOrder { .. } => None,
        });
        match store.commit(changes).await? {
            crate::ports::Committed::Now => Ok(call),
            crate::ports::Committed::Before => Ok(None),
        }
    }
}
