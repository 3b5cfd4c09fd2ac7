//! Reading events.

use std::sync::Arc;

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{Fault, IntentStatus, JobState, StoredJob, builders};
use time::Duration;

use crate::support::{Shop, after, page, ready};

async fn read(shop: &Shop, event: InboxEvent) -> Result<Committed, RecordEventError> {
    let id = event.id.clone();
    shop.receive(vec![event]);
    let jobs = shop.claim(QueueName::Webhooks);
    let job = jobs.iter().find(|job| job.task == Task::ReadEvent(id.clone())).expect("its job");
    RecordEvent::new(shop.ports.clone()).run(job.lease, &id).await
}

fn conclusion(shop: &Shop) -> String {
    let read = |job: &&StoredJob| job.queue == QueueName::Webhooks && job.state == JobState::Done;
    shop.store.jobs().iter().rfind(read).unwrap().note.clone().unwrap()
}

async fn started(shop: &Shop, channel: Channel) -> (Order, Payment) {
    let order = shop.place().await;
    let payment = shop.start(order.id, channel).await.unwrap().payment;
    (order, payment)
}

/// What the gateway says of the payment's intent now.
fn truth(shop: &Shop, payment: &Payment) -> Snapshot {
    shop.intent(payment).snapshot(Mode::Test, shop.clock_now())
}

/// Covers: D-5, O-1, fault 19, I22, fault 31, fault 32, D-16.
#[tokio::test]
async fn a_declined_payment_is_tried_again_and_the_decline_is_recorded_once() {
    let shop = Shop::new();
    let (order, payment) = started(&shop, page("a")).await;
    let session = shop.page(&payment).id;
    let declined = shop.gateway.decline_session(&session, "insufficient_funds");
    // Told twice: by two events about the same attempt, and by one of them delivered again.
    let twin = shop.gateway.event("charge.failed", truth(&shop, &payment));
    shop.hear([declined.clone(), vec![twin], declined].concat()).await;
    assert_eq!(shop.order(order.id).state, OrderState::PaymentProcessing, "a decline is not an end");
    assert_eq!(shop.store.declines().len(), 1);
    assert_eq!(shop.store.declines()[0].refusal.decline_code.as_deref(), Some("insufficient_funds"));

    shop.hear(shop.gateway.decline_session(&session, "lost_card")).await;
    assert_eq!(shop.store.declines().len(), 2, "another attempt is another decline");

    shop.clock.advance(Duration::SECOND);
    shop.hear(shop.gateway.pay_session(&session)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    assert_eq!(
        (shop.payment(order.id).id, shop.payment(order.id).state),
        (payment.id, PaymentState::Captured)
    );
    shop.assert_sound();
}

/// Covers: O-1.
#[tokio::test]
async fn a_late_decline_does_not_reopen_a_paid_order() {
    let shop = Shop::new();
    let (order, payment) = started(&shop, Channel::PaymentIntent).await;
    let intent = payment.intent.clone().unwrap();
    let declined = shop.gateway.decline(&intent, "insufficient_funds");
    shop.hear(shop.gateway.pay_intent(&intent)).await;
    let paid = shop.order(order.id);
    shop.clock.advance(Duration::MINUTE);
    shop.hear(declined).await;
    assert_eq!((paid.state, shop.order(order.id)), (OrderState::Paid, paid));
    assert_eq!(shop.store.declines().len(), 1, "but it is part of the story");
    shop.assert_sound();
}

/// Covers: I22, I30, fault 31, fault 32, fault 37, D-12, W-3.
#[tokio::test]
async fn an_event_read_twice_has_one_effect() {
    let shop = Shop::new();
    let (order, payment) = started(&shop, Channel::PaymentIntent).await;
    let event = shop.gateway.pay_intent(payment.intent.as_ref().unwrap()).remove(0);
    let mut told = truth(&shop, &payment);
    (told.settled, told.sighting.settlement) = (false, None);
    let twin = shop.gateway.event("charge.succeeded", told);
    shop.receive(vec![event.clone()]);
    let [job] = &shop.claim(QueueName::Webhooks)[..] else { panic!("one event") };
    let reads = RecordEvent::new(shop.ports.clone());
    assert_eq!(reads.run(job.lease, &event.id).await.unwrap(), Committed::Now);
    assert_eq!(conclusion(&shop), "2 steps");
    let (paid, audit) = (shop.order(order.id), shop.store.audit());
    assert_eq!(reads.run(job.lease, &event.id).await.unwrap(), Committed::Before);
    assert_eq!(read(&shop, twin).await.unwrap(), Committed::Now);
    assert_eq!(conclusion(&shop), "already true");
    assert_eq!((shop.order(order.id), shop.store.audit()), (paid, audit));
}

/// Covers: fault 53, W-10, I21.
#[tokio::test]
async fn an_event_before_its_payment_is_visible_is_tried_again() {
    let shop = Shop::new();
    let (order, payment) = started(&shop, Channel::PaymentIntent).await;
    let event = shop.gateway.pay_intent(payment.intent.as_ref().unwrap()).remove(0);

    let other = Shop::new();
    let error = read(&other, event.clone()).await.unwrap_err();
    assert!(matches!(error, RecordEventError::UnknownPayment(id) if id == payment.id), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(other.store.audit().is_empty());
    assert!(other.store.jobs().iter().all(|job| job.state != JobState::Done), "it is still there");

    shop.hear(vec![event]).await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
}

/// Covers: I23, fault 50, fault 51.
#[tokio::test]
async fn an_event_that_is_not_about_a_payment_of_ours_is_concluded() {
    let shop = Shop::new();
    let (order, payment) = started(&shop, Channel::PaymentIntent).await;
    let before = shop.order(order.id);
    let mut foreign = truth(&shop, &payment);
    foreign.payment = None;
    foreign.sighting.intent = Some(builders::intent_id());
    foreign.sighting.standing = Standing::Captured { captured: 3998, refunded: 0 };
    read(&shop, shop.gateway.event("payment_intent.succeeded", foreign)).await.unwrap();
    assert_eq!(conclusion(&shop), "not a payment of ours");
    read(&shop, shop.gateway.noise("radar.early_fraud_warning.created")).await.unwrap();
    assert!(conclusion(&shop).contains("radar"));
    assert_eq!(shop.order(order.id), before);
}

/// Covers: fault 48, fault 59, I20, I23.
#[tokio::test]
async fn an_event_that_cannot_be_read_says_so() {
    let shop = Shop::new();
    for body in [&b""[..], b"{", b"mode=live\nstanding=?", b"\xff\xfe", &[0; 1_000]] {
        let event =
            InboxEvent { body: body.to_vec(), ..builders::inbox_event(&format!("evt_{}", body.len())) };
        let error = read(&shop, event).await.unwrap_err();
        assert!(matches!(error, RecordEventError::Malformed(_)), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let lease = Lease { job: builders::new_id(shop.clock_now()), token: 1 };
    let error = RecordEvent::new(shop.ports.clone()).run(lease, "evt_nowhere").await.unwrap_err();
    assert!(matches!(error, RecordEventError::UnknownEvent), "{error:?}");
}

/// Covers: fault 15, U-3.
#[tokio::test]
async fn a_payment_is_found_by_the_gateways_names_when_ours_is_missing() {
    for by_page in [false, true] {
        let shop = Shop::new();
        let (order, payment) = started(&shop, page("a")).await;
        let session = shop.page(&payment);
        drop(shop.gateway.pay_session(&session.id));
        let mut told = truth(&shop, &payment);
        if by_page {
            told.sighting.session = Some(session.id);
        } else {
            let mut names_both = shop.page(&payment).snapshot(Mode::Test, shop.clock_now());
            names_both.sighting.standing = Standing::AwaitingMethod;
            read(&shop, shop.gateway.event("checkout.session.updated", names_both)).await.unwrap();
        }
        told.payment = None;
        read(&shop, shop.gateway.event("payment_intent.succeeded", told)).await.unwrap();
        assert_eq!(shop.order(order.id).state, OrderState::Paid, "by page: {by_page}");
    }
}

/// Covers: I4, M-1, M-3, S-1, fault 21, fault 22, fault 52, fault 55, D-10.
#[tokio::test]
async fn an_object_that_is_not_what_was_asked_for_is_a_break_said_once_and_moves_nothing() {
    type Lie = fn(&mut Snapshot);
    let lies: [(&str, Lie, BreakKind); 8] = [
        ("amount", |told| told.amount = Some(builders::usd(1)), BreakKind::AmountMismatch),
        (
            "currency",
            |told| told.amount = Some(Money::from_minor(3998, "eur".parse().unwrap()).unwrap()),
            BreakKind::AmountMismatch,
        ),
        (
            "captured too little",
            |told| told.sighting.standing = Standing::Captured { captured: 3997, refunded: 0 },
            BreakKind::AmountMismatch,
        ),
        (
            "captured too much",
            |told| told.sighting.standing = Standing::Captured { captured: 3999, refunded: 0 },
            BreakKind::AmountMismatch,
        ),
        (
            "authorized too little",
            |told| {
                told.sighting.standing = Standing::Authorized(1);
                told.sighting.capture_before = Some(after(Duration::WEEK));
            },
            BreakKind::AmountMismatch,
        ),
        ("mode", |told| told.mode = Mode::Live, BreakKind::ModeMismatch),
        (
            "intent",
            |told| {
                told.sighting.intent = Some(builders::intent_id());
                told.sighting.standing = Standing::AwaitingMethod;
            },
            BreakKind::IdentityMismatch,
        ),
        ("page", |told| told.sighting.session = Some(builders::session_id()), BreakKind::IdentityMismatch),
    ];
    for (what, lie, kind) in lies {
        let shop = Shop::new();
        let (order, payment) = started(&shop, page("a")).await;
        let session = shop.page(&payment).id;
        // The page tells its intent, and both names are known from now on.
        drop(shop.gateway.pay_session(&session));
        let mut open = shop.page(&payment).snapshot(Mode::Test, shop.clock_now());
        open.sighting.standing = Standing::AwaitingMethod;
        read(&shop, shop.gateway.event("checkout.session.updated", open)).await.unwrap();

        let before = shop.order(order.id);
        for _ in 0..3 {
            let mut told = truth(&shop, &payment);
            lie(&mut told);
            read(&shop, shop.gateway.event("payment_intent.succeeded", told)).await.unwrap();
            assert_eq!(shop.order(order.id), before, "{what}");
        }
        assert_eq!(shop.breaks(), [kind], "{what}");
        let told = shop.store.audit().into_iter().filter(|row| row.entry.subject == "break").count();
        assert_eq!(told, 1, "{what}");

        read(&shop, shop.gateway.event("payment_intent.succeeded", truth(&shop, &payment))).await.unwrap();
        assert_eq!(shop.order(order.id).state, OrderState::Paid, "{what}: the truth still counts");
    }
}

/// Covers: A-1, I6, fault 117, W-9.
#[tokio::test]
async fn a_finished_page_alone_leads_to_a_look_at_the_intent() {
    let shop = Shop::new();
    let (order, payment) = started(&shop, page("a")).await;
    let completed = shop.gateway.pay_session(&shop.page(&payment).id).pop().unwrap();
    assert_eq!(completed.kind, "checkout.session.completed");
    shop.gateway.fail_look(Fault::UnknownBefore);
    shop.receive(vec![completed]);
    let wrong = shop.work().await;
    assert!(wrong[0].contains("Gateway"), "{wrong:?}");
    assert_eq!(shop.order(order.id).state, OrderState::PaymentProcessing, "not on the page's word");
    shop.settle(Duration::MINUTE).await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    assert_eq!(shop.payment(order.id).intent, Some(shop.intent(&payment).id));
    shop.assert_sound();
}

/// Covers: O-2, T-12, fault 55.
#[tokio::test]
async fn two_messages_of_one_second_that_disagree_lead_to_one_look() {
    let shop = Shop::new();
    let (order, payment) = started(&shop, Channel::PaymentIntent).await;
    let intent = payment.intent.clone().unwrap();
    shop.clock.advance(Duration::SECOND);
    let action = shop.gateway.require_action(&intent);
    let declined = shop.gateway.decline(&intent, "authentication_failed");
    shop.clock.advance(Duration::SECOND);

    let mut gateway = MockGateway::new();
    let fake = shop.gateway.clone();
    gateway.expect_understand().returning(move |body| fake.understand(body));
    let fake = shop.gateway.clone();
    gateway.expect_intent().times(1).returning(move |id| ready(fake.intent(id)));
    let ports = Ports { gateway: Arc::new(gateway), ..shop.ports.clone() };
    shop.receive([action, declined].concat());
    for job in shop.claim(QueueName::Webhooks) {
        let Task::ReadEvent(id) = &job.task else { panic!("{job:?}") };
        RecordEvent::new(ports.clone()).run(job.lease, id).await.unwrap();
    }
    assert_eq!(shop.payment(order.id).state, PaymentState::Pending, "as the gateway says now");
    assert_eq!(shop.intent(&payment).status, IntentStatus::AwaitingMethod);
}

/// Covers: fault 62, fault 155, O-4, I2, C-2.
#[tokio::test]
async fn money_for_a_cancelled_order_is_a_break_and_the_order_stays_cancelled() {
    let shop = Shop::new();
    let (order, payment) = started(&shop, Channel::PaymentIntent).await;
    shop.cancel(order.id).await.unwrap();
    let mut late = truth(&shop, &payment);
    late.sighting.standing = Standing::Captured { captured: 3998, refunded: 0 };
    for _ in 0..2 {
        read(&shop, shop.gateway.event("payment_intent.succeeded", late.clone())).await.unwrap();
    }
    assert_eq!(shop.order(order.id).state, OrderState::Cancelled);
    assert_eq!(shop.payment(order.id).captured, builders::usd(3998), "the money is on our books");
    assert_eq!(shop.breaks(), [BreakKind::LateMoney]);
}

/// Covers: D-10, I2, fault 102.
#[tokio::test]
async fn the_money_of_a_second_payment_is_a_break_and_buys_nothing() {
    let shop = Shop::new();
    let (order, first) = started(&shop, Channel::PaymentIntent).await;
    let second = shop.start(order.id, page("a")).await.unwrap().payment;
    shop.hear(shop.gateway.pay_session(&shop.page(&second).id)).await;
    let paid = shop.order(order.id);
    let mut surplus = truth(&shop, &first);
    surplus.sighting.standing = Standing::Captured { captured: 3998, refunded: 0 };
    read(&shop, shop.gateway.event("payment_intent.succeeded", surplus)).await.unwrap();
    assert_eq!((paid.state, shop.order(order.id)), (OrderState::Paid, paid));
    assert_eq!(shop.breaks(), [BreakKind::SurplusPayment]);
}

/// Covers: fault 33, fault 156, R-5, R-8.
#[tokio::test]
async fn a_refund_told_before_the_payment_refunds_the_order() {
    let shop = Shop::new();
    let (order, payment) = started(&shop, Channel::PaymentIntent).await;
    let intent = payment.intent.clone().unwrap();
    let paid = shop.gateway.pay_intent(&intent);
    let partly = shop.gateway.refund_intent(&intent, 1000);
    let fully = shop.gateway.refund_intent(&intent, 3998);
    shop.hear(partly).await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid, "a partial refund moves no order");
    assert_eq!(shop.payment(order.id).refunded, builders::usd(1000));
    shop.hear(fully).await;
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    shop.hear(paid).await;
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    assert_eq!(shop.payment(order.id).refunded, builders::usd(3998));
    assert!(shop.breaks().is_empty());
    shop.assert_sound();

    // All of it in the one message that was not lost.
    let (order, payment) = started(&shop, Channel::PaymentIntent).await;
    let intent = payment.intent.clone().unwrap();
    drop(shop.gateway.pay_intent(&intent));
    shop.hear(shop.gateway.refund_intent(&intent, 3998)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    shop.assert_sound();
}

/// Covers: I14.
#[tokio::test]
async fn the_timeline_says_on_whose_word() {
    let shop = Shop::new();
    let (order, payment) = started(&shop, Channel::PaymentIntent).await;
    let event = shop.gateway.pay_intent(payment.intent.as_ref().unwrap()).remove(0);
    shop.clock.advance(Duration::MINUTE);
    shop.hear(vec![event.clone()]).await;
    let rows = shop.store.audit();
    let paid = rows.iter().find(|row| row.entry.to.as_deref() == Some("paid")).unwrap();
    assert_eq!(
        (paid.order, paid.entry.payment, paid.entry.at),
        (order.id, Some(payment.id), after(Duration::MINUTE))
    );
    assert_eq!((paid.entry.gateway_event.as_ref(), paid.entry.actor.as_str()), (Some(&event.id), "stripe"));
}
