//! One live payment an order, one payment an object of the gateway.

use std::sync::Arc;

use paywright_domain::{
    Payment, PaymentEvent, PaymentState, Sighting, Standing,
    ports::{Committed, StoreError},
};

use super::{
    Backend,
    stage::{Stage, at_once},
};
use crate::builders::{self, ChangesExt, Steps, captured, intent_id, seen, session_id};

/// A second live payment is a conflict, in whatever open state the first one is.
///
/// Covers: I2, D-10.
pub async fn an_order_has_one_live_payment(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, mut payment) = stage.started().await;
    let whole = payment.amount.minor();
    let open = [
        Standing::AwaitingMethod,
        Standing::ActionRequired,
        Standing::Processing,
        Standing::Authorized(whole),
    ];
    for standing in [None].into_iter().chain(open.map(Some)) {
        if let Some(standing) = standing {
            payment = stage.hear(&payment, PaymentEvent::Seen(seen(standing))).await;
        }
        let second = builders::payment(&order).hosted().started();
        let id = second.after().id;
        stage.conflicts(stage.request().step(second)).await;
        assert_eq!(stage.payment(id).await.unwrap(), None, "beside one that is {}", payment.state);
        assert_eq!(stage.live_payment(order.id).await.unwrap().as_ref(), Some(&payment));
    }
}

/// However a payment ended, another one may be started.
///
/// Covers: I2, D-5, D-6.
pub async fn a_payment_may_follow_when_the_one_before_ended(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, mut payment) = stage.started().await;
    let mut ended: Vec<Payment> = Vec::new();
    for state in [PaymentState::Failed, PaymentState::Cancelled, PaymentState::Captured] {
        let event = match state {
            PaymentState::Failed => PaymentEvent::Refused,
            PaymentState::Cancelled => PaymentEvent::Seen(seen(Standing::Cancelled)),
            _ => captured(&payment),
        };
        ended.push(stage.hear(&payment, event).await);
        let next = builders::payment(&order).started();
        payment = next.after().clone();
        stage.now(stage.request().step(next)).await;
        assert_eq!(stage.live_payment(order.id).await.unwrap().as_ref(), Some(&payment), "after {state}");
    }
    for payment in ended {
        assert_eq!(stage.payment(payment.id).await.unwrap(), Some(payment));
    }
}

/// Two tabs, or twenty: one payment.
///
/// Covers: I2, D-10, D-11.
pub async fn of_many_starts_at_once_one_wins(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    let outcomes = at_once((0..20).map(|_| {
        let changes = stage.request().step(builders::payment(&order).started());
        let stage = stage.clone();
        async move { stage.commit(changes).await }
    }));
    let outcomes = outcomes.await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Committed::Now))).count();
    let lost = outcomes.iter().filter(|outcome| matches!(outcome, Err(StoreError::Conflict))).count();
    assert_eq!((won, lost), (1, 19), "{outcomes:?}");
    assert_eq!(stage.order_view(order.mode, order.id).await.unwrap().unwrap().payments.len(), 1);
}

/// No two payments share an intent or a hosted page; the store refuses the second, whole.
///
/// Covers: I4, D-13, fault 22.
pub async fn an_object_of_the_gateway_belongs_to_one_payment(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, mut owner) = stage.started().await;
    let (_, thief) = stage.started().await;
    let ids = [(Some(intent_id()), None), (None, Some(session_id()))];
    for (intent, session) in ids {
        let sighting = Sighting { intent, session, ..seen(Standing::Unclear) };
        owner = stage.hear(&owner, PaymentEvent::Seen(sighting.clone())).await;
        let theft = stage.request().step(thief.step(PaymentEvent::Seen(sighting)));
        let cause = theft.cause;
        assert!(stage.commit(theft).await.is_err());
        assert!(!stage.knows(cause).await.unwrap());
        assert_eq!(stage.payment(thief.id).await.unwrap().as_ref(), Some(&thief));
    }
}
