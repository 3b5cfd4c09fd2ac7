//! The fake gateway is honest: tests that pass against it would mean nothing otherwise.

mod money;
mod scene;

use paywright_domain::{
    GatewayCall, Operation, Standing,
    ports::{Gateway, GatewayError, Heard, InboxEvent},
};
use paywright_testkit::{
    Fault, IntentStatus, SessionStatus,
    builders::{self, intent_id},
};
use scene::{Scene, code};
use time::Duration;

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_and_makes_one_object() {
    let scene = Scene::new();
    let call = builders::call(&scene.order, &scene.payment);
    let first = scene.perform(&call).await.snapshot.sighting;
    let intent = first.intent.clone().expect("an intent's name");
    scene.gateway.pay_intent(&intent);
    scene.clock.advance(Duration::HOUR);
    // As it was then: the stored answer, not the intent of today.
    assert_eq!(scene.perform(&call).await.snapshot.sighting, first);
    assert_eq!(scene.gateway.intents().len(), 1);
    assert_eq!(scene.gateway.arrived().len(), 2);
    let generation = 2;
    scene.perform(&GatewayCall { generation, ..call }).await;
    assert_eq!(scene.gateway.intents().len(), 2);
}

/// Covers: fault 10.
#[tokio::test]
async fn other_parameters_under_one_key_are_refused() {
    let scene = Scene::new();
    let call = builders::call(&scene.order, &scene.payment);
    scene.perform(&call).await;
    let dearer = builders::payment(&builders::order().total(builders::usd(99)).build()).build();
    let operation = Operation::create_intent(&scene.order, &dearer);
    let outcome = scene.gateway.perform(&GatewayCall { operation, ..call }).await;
    assert!(matches!(outcome, Err(GatewayError::KeyReused { .. })), "{outcome:?}");
    assert_eq!(scene.gateway.intents().len(), 1);
}

/// Covers: fault 2, fault 3.
#[tokio::test]
async fn only_a_lost_answer_leaves_an_effect() {
    let after = Some(std::time::Duration::from_secs(3));
    let faults = [
        Fault::NotDone { after },
        Fault::UnknownBefore,
        Fault::UnknownAfter,
        Fault::Rejected("amount_too_small".to_owned()),
        Fault::KeyReused,
        Fault::NotAllowed,
        Fault::KeyPruned,
    ];
    for fault in faults {
        let scene = Scene::new();
        let call = builders::call(&scene.order, &scene.payment);
        scene.gateway.fail_call(fault.clone());
        let outcome = scene.gateway.perform(&call).await;
        let fits = match &fault {
            Fault::NotDone { .. } => {
                matches!(&outcome, Err(GatewayError::NotDone { after: a, .. }) if *a == after)
            }
            Fault::UnknownBefore | Fault::UnknownAfter => matches!(outcome, Err(GatewayError::Unknown(_))),
            Fault::Rejected(code) => {
                matches!(&outcome, Err(GatewayError::Rejected { code: c, .. }) if c == code)
            }
            Fault::KeyReused => matches!(outcome, Err(GatewayError::KeyReused { .. })),
            Fault::NotAllowed => matches!(outcome, Err(GatewayError::NotAllowed(_))),
            Fault::KeyPruned => outcome.is_ok(),
            Fault::SpentBefore | Fault::SpentAfter => unreachable!("not of these"),
        };
        assert!(fits, "{fault:?}: {outcome:?}");
        let done = usize::from(matches!(fault, Fault::UnknownAfter | Fault::KeyPruned));
        assert_eq!(scene.gateway.intents().len(), done, "{fault:?}");
        scene.perform(&call).await;
        assert_eq!(scene.gateway.intents().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn faults_meet_calls_and_looks_in_the_order_of_the_script() {
    let scene = Scene::new();
    scene.gateway.pass_call();
    scene.gateway.fail_call(Fault::UnknownBefore);
    scene.gateway.fail_look(Fault::NotDone { after: None });
    let intent = scene.intent().await;
    assert!(scene.cancel(&intent).await.is_err());
    assert!(matches!(scene.gateway.intent(&intent).await, Err(GatewayError::NotDone { .. })));
    assert_eq!(scene.look(&intent).await.sighting.standing, Standing::AwaitingMethod);
    let faults: Vec<_> = scene.gateway.arrived().into_iter().map(|call| call.fault).collect();
    assert_eq!(faults, [None, Some(Fault::UnknownBefore)]);
}

#[tokio::test]
async fn an_event_tells_what_a_look_would_have_shown() {
    let scene = Scene::new();
    let intent = scene.intent().await;
    let acts: [&dyn Fn() -> Vec<InboxEvent>; 5] = [
        &|| scene.gateway.decline(&intent, "insufficient_funds"),
        &|| scene.gateway.require_action(&intent),
        &|| scene.gateway.delay_intent(&intent),
        &|| scene.gateway.authorize_intent(&intent),
        &|| scene.gateway.pay_intent(&intent),
    ];
    for act in acts {
        scene.clock.advance(Duration::SECOND);
        let [event] = act().try_into().expect("one event");
        let mut told = scene.understand(&event);
        assert_eq!(told.origin.event.take(), Some(event.id));
        let mut seen = scene.look(&intent).await;
        // An intent's event does not show its charge.
        (seen.sighting.capture_before, seen.sighting.settlement, seen.settled) = (None, None, false);
        assert_eq!(told, seen);
        assert_eq!((told.payment, told.amount), (Some(scene.payment.id), Some(scene.payment.amount)));
    }
    assert_eq!(scene.gateway.events().len(), 6, "the intent's birth, and one an act");
    let noise = scene.gateway.noise("customer.created");
    assert_eq!(scene.gateway.understand(&noise.body), Ok(Heard::Nothing("customer.created".to_owned())));
    for body in [&b"\xff"[..], b"", b"mode=test", b"mode=neither\nstanding=cancelled\nat=0"] {
        assert!(scene.gateway.understand(body).is_err(), "{body:?}");
    }
}

/// Covers: C-1.
#[tokio::test]
async fn what_is_paid_cannot_be_ended() {
    let scene = Scene::new();
    let intent = scene.intent().await;
    scene.gateway.pay_intent(&intent);
    assert_eq!(code(scene.cancel(&intent).await), "payment_intent_unexpected_state");
    assert_eq!(scene.gateway.intents()[0].status, IntentStatus::Captured { refunded: 0 });
    let session = scene.session().await;
    scene.gateway.pay_session(&session);
    assert_eq!(code(scene.expire(&session).await), "checkout_session_not_open");
    let unknown = Operation::CancelIntent { intent: intent_id(), reason: "abandoned".to_owned() };
    let outcome = scene.gateway.perform(&GatewayCall { generation: 2, ..scene.call(unknown) }).await;
    assert_eq!(code(outcome), "resource_missing");
}

#[tokio::test]
async fn a_finished_page_does_not_tell_and_its_intent_does() {
    let scene = Scene::new();
    let session = scene.session().await;
    assert_eq!(scene.page(&session).await.snapshot.sighting.intent, None);
    let declined = scene.gateway.decline_session(&session, "generic_decline");
    assert!(scene.understand(&declined[0]).refusal.is_some());
    assert_eq!(scene.gateway.sessions()[0].status, SessionStatus::Open);
    let events = scene.gateway.pay_session(&session);
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["payment_intent.succeeded", "checkout.session.completed"]);
    let page = scene.page(&session).await;
    assert_eq!((page.url, page.snapshot.sighting.standing), (None, Standing::Unclear));
    let intent = page.snapshot.sighting.intent.expect("the page's intent");
    let whole = scene.payment.amount.minor();
    let captured = Standing::Captured { captured: whole, refunded: 0 };
    assert_eq!(scene.look(&intent).await.sighting.standing, captured);
    assert_eq!(scene.gateway.intents().len(), 1);
}

#[tokio::test]
async fn a_page_closes_at_its_time_and_takes_its_open_intent_along() {
    let scene = Scene::new();
    let session = scene.session().await;
    scene.gateway.decline_session(&session, "generic_decline");
    scene.clock.advance(Duration::HOUR);
    let page = scene.page(&session).await;
    assert_eq!((page.url, page.snapshot.sighting.standing), (None, Standing::Cancelled));
    assert_eq!(scene.gateway.intents()[0].status, IntentStatus::Cancelled);
    assert_eq!(code(scene.expire(&session).await), "checkout_session_not_open");
}

#[tokio::test]
async fn a_pages_intent_can_be_cancelled_only_once_it_is_authorized() {
    let scene = Scene::new();
    let session = scene.session().await;
    scene.gateway.decline_session(&session, "generic_decline");
    let intent = scene.gateway.intents()[0].id.clone();
    assert_eq!(code(scene.cancel(&intent).await), "payment_intent_unexpected_state");
    scene.gateway.authorize_intent(&intent);
    let again = GatewayCall {
        generation: 2,
        ..scene.call(Operation::CancelIntent { intent: intent.clone(), reason: "abandoned".to_owned() })
    };
    scene.perform(&again).await;
    assert_eq!(scene.look(&intent).await.sighting.standing, Standing::Cancelled);
}
