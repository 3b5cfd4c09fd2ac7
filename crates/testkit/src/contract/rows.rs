//! Everything reads back as it was written.

use std::sync::Arc;

use paywright_domain::{
    CancelReason, CaptureMethod, Channel, Metadata, Mode, Money, Order, OrderEvent, Payment, PaymentEvent,
    PaymentState, Product, ReturnUrls, Shipment, Sighting, Standing,
};
use time::{Duration, OffsetDateTime};

use super::{Backend, stage::Stage};
use crate::builders::{
    self, ChangesExt, captured, customer, gateway_dispute_id, gateway_refund_id, intent_id, item, product,
    seen, session_id, usd,
};

/// Every field, the order of the lines, names in any script, and times to the microsecond.
///
/// Covers: I4, I25.
pub async fn an_order_reads_back_as_it_was_placed(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let buyer = stage.known(customer()).await;
    let named =
        |name: &str, minor| Product { name: name.to_owned(), unit_price: builders::usd(minor), ..product() };
    let goods =
        [named("Z\u{fc}rcher 帽子 🎩 ' \" \\ %", 1), named("a", 99_999), named("é\u{301}\u{202e}مرحبا", 7)];
    let mut items = Vec::new();
    for (goods, quantity) in [(&goods[2], 3), (&goods[0], 1), (&goods[1], 999), (&goods[0], 2)] {
        items.push(item(&stage.add(goods.clone()).await.unwrap(), quantity));
    }
    let notes = [("key", "値"), ("empty", ""), ("k 2", "{\"a\": [1]}")];
    let metadata: Metadata = notes.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let draft = stage.draft().await.items(items).customer(&buyer).metadata(metadata).token("tök-en_1");
    let order = stage.place(draft.expires_at(stage.now + Duration::microseconds(86_400_000_001))).await;
    assert_order(&stage, &order).await;

    let anonymous = stage.placed().await;
    assert_eq!((anonymous.customer, anonymous.customer_email.as_ref()), (None, None));
    assert_order(&stage, &anonymous).await;
    let guest = stage.place(stage.draft().await.email("guest@example.com")).await;
    assert_order(&stage, &guest).await;
}

/// Paid, shipped and completed: each step is stored whole.
///
/// Covers: I12, I14.
pub async fn every_step_of_an_order_reads_back(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (mut order, payment) = stage.started().await;
    let parcel = |tracking: Option<&str>| Shipment {
        carrier: "Étoile 快递".to_owned(),
        tracking: tracking.map(str::to_owned),
    };
    let events = [
        OrderEvent::Authorized(payment.id),
        OrderEvent::CancellationRequested(CancelReason::Fraudulent),
        OrderEvent::CancellationRefused,
        OrderEvent::FulfillmentRequested,
        OrderEvent::FulfillmentRefused,
        OrderEvent::AuthorizationLost,
        OrderEvent::Captured(payment.id),
        OrderEvent::FulfillmentStarted,
        OrderEvent::Shipped(parcel(Some("1Z-999"))),
        OrderEvent::Completed,
        OrderEvent::FullyRefunded,
    ];
    for event in events {
        order = stage.go(&order, event).await;
        assert_order(&stage, &order).await;
    }
    let (mut order, payment) = stage.started().await;
    for event in
        [OrderEvent::Captured(payment.id), OrderEvent::FulfillmentStarted, OrderEvent::Shipped(parcel(None))]
    {
        order = stage.go(&order, event).await;
    }
    assert_order(&stage, &order).await;
    // What was paid keeps its payment when it is cancelled.
    let (order, payment) = stage.started().await;
    let order = stage.go(&order, OrderEvent::Captured(payment.id)).await;
    let order = stage.go(&order, OrderEvent::Cancelled(CancelReason::FulfillmentFailed)).await;
    assert_eq!(order.paid_by, Some(payment.id));
    assert_order(&stage, &order).await;
    assert_order(&stage, &stage.place(stage.draft().await.manual()).await).await;
}

/// Each reason of a cancellation is kept.
///
/// Covers: I14.
pub async fn a_cancelled_order_keeps_its_reason(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    for reason in [
        CancelReason::RequestedByCustomer,
        CancelReason::Duplicate,
        CancelReason::Fraudulent,
        CancelReason::Expired,
        CancelReason::FulfillmentFailed,
    ] {
        let order = stage.placed().await;
        let order = stage.go(&order, OrderEvent::Cancelled(reason)).await;
        assert_eq!(order.cancellation, Some(reason));
        assert_order(&stage, &order).await;
    }
}

/// Both channels, with the addresses to return to.
///
/// Covers: I4, I25.
pub async fn a_payment_reads_back_as_it_was_started(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    assert_eq!(stage.live_payment(order.id).await.unwrap(), None);
    let own_page = builders::payment(&order).created_at(stage.now).started();
    let payment = own_page.after().clone();
    stage.now(stage.request().step(own_page)).await;
    assert_payment(&stage, &payment).await;

    let order = stage.placed().await;
    let channel = Channel::Checkout(ReturnUrls {
        success: "https://shop.example/ok?s={CHECKOUT_SESSION_ID}&q=ü%20".to_owned(),
        cancel: String::new(),
    });
    let id = builders::new_id(stage.now);
    let (manual, total) = (CaptureMethod::Manual, order.total);
    let hosted = Payment::start(id, order.id, order.mode, channel, manual, total, stage.now);
    let payment = hosted.after().clone();
    stage.now(stage.request().step(hosted)).await;
    assert_payment(&stage, &payment).await;
}

/// What the gateway told of a payment is kept, and finds it again.
///
/// Covers: I11, I14.
pub async fn every_step_of_a_payment_reads_back(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, mut payment) = stage.started().await;
    let (intent, session) = (intent_id(), session_id());
    let whole = payment.amount.minor();
    let second = |n| OffsetDateTime::from_unix_timestamp(stage.now.unix_timestamp() + n).unwrap();
    let look = |n, standing, page: bool| {
        let (intent, session) = (Some(intent.clone()), page.then(|| session.clone()));
        PaymentEvent::Seen(Sighting { standing, at: second(n), intent, session, ..seen(Standing::Unclear) })
    };
    let part = Money::from_minor(whole - 1, payment.amount.currency()).unwrap();
    let hold = Sighting { capture_before: Some(second(604_800)), ..seen(Standing::Authorized(whole - 1)) };
    let fee = Some(builders::transaction(3997, 146));
    let taken = Sighting { settlement: fee, ..seen(Standing::Captured { captured: whole, refunded: 5 }) };
    let events = [
        look(1, Standing::AwaitingMethod, false),
        look(2, Standing::ActionRequired, true),
        PaymentEvent::EndRequested,
        PaymentEvent::EndRefused,
        look(3, Standing::Processing, true),
        PaymentEvent::EndRequested,
        look(4, Standing::Authorized(whole - 1), true),
        PaymentEvent::Seen(hold),
        PaymentEvent::CaptureRequested(part),
        PaymentEvent::CaptureRefused,
        PaymentEvent::HoldExpiring,
        PaymentEvent::CaptureRequested(usd(1)),
        look(5, Standing::Captured { captured: whole - 1, refunded: 0 }, true),
        PaymentEvent::Seen(taken),
        PaymentEvent::Unwanted,
        PaymentEvent::RefundsChanged { refunded: usd(5), returned: usd(2) },
        // More than was taken.
        PaymentEvent::DisputesChanged { disputed: usd(9999), blocking: 2 },
    ];
    for event in events {
        payment = stage.hear(&payment, event).await;
        assert_payment(&stage, &payment).await;
        assert_eq!(stage.payment_by_intent(&intent).await.unwrap().as_ref(), Some(&payment));
        let by_session = stage.payment_by_session(&session).await.unwrap();
        assert_eq!(by_session.as_ref(), payment.session.is_some().then_some(&payment));
    }
    assert_eq!((payment.captured.minor(), payment.refunded.minor(), payment.end_generation), (whole, 5, 2));
    assert!(payment.unwanted && payment.hold_told && payment.fee.is_some());
    for ending in [PaymentEvent::Refused, PaymentEvent::Seen(builders::seen(Standing::Cancelled))] {
        let (_, payment) = stage.started().await;
        let payment = stage.hear(&payment, ending).await;
        assert_payment(&stage, &payment).await;
    }
}

/// Another object of the gateway that claims to be a payment becomes one that was never live here, and can be ended.
///
/// Covers: I2, fault 15.
pub async fn a_payment_may_be_born_ended(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.started().await;
    let whole = payment.amount.minor();
    let stood = [
        (Standing::Captured { captured: whole, refunded: 0 }, PaymentState::Captured),
        (Standing::AwaitingMethod, PaymentState::Failed),
        (Standing::Cancelled, PaymentState::Cancelled),
    ];
    let mut all = vec![payment.clone()];
    for (standing, state) in stood {
        let sighting = Sighting { intent: Some(intent_id()), ..seen(standing) };
        let birth = payment.found(builders::new_id(stage.now), &sighting, stage.now);
        let mut stray = birth.after().clone();
        assert_eq!(stray.state, state);
        stage.now(stage.request().step(birth)).await;
        if state == PaymentState::Failed {
            stray = stage.hear(&stray, PaymentEvent::EndRequested).await;
        }
        assert_eq!(stage.payment(stray.id).await.unwrap().as_ref(), Some(&stray));
        all.push(stray);
    }
    assert_eq!(stage.live_payment(order.id).await.unwrap(), Some(payment));
    assert_eq!(stage.payments(order.id).await.unwrap(), all);
}

/// The greatest order there is: more than 32 bits of minor units.
///
/// Covers: I8.
pub async fn great_amounts_read_back(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let rupiah = Money::from_minor(999_999_999_999, "idr".parse().unwrap()).unwrap();
    let goods = stage.add(Product { unit_price: rupiah, ..product() }).await.unwrap();
    let order = stage.place(stage.draft().await.items(vec![item(&goods, 1)])).await;
    assert_order(&stage, &order).await;
    let birth = builders::payment(&order).started();
    let payment = birth.after().clone();
    stage.now(stage.request().step(birth)).await;
    let payment = stage.hear(&payment, captured(&payment)).await;
    assert_payment(&stage, &payment).await;
    assert_eq!(payment.captured, rupiah);
}

/// One customer an address and mode; the second is a conflict that writes nothing.
///
/// Covers: D-13, S-1.
pub async fn customers_are_unique_by_address_within_a_mode(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let buyer = stage.known(paywright_domain::Customer { created_at: stage.now, ..customer() }).await;
    let mut again = stage.request();
    let twin = paywright_domain::Customer { email: buyer.email.clone(), ..customer() };
    again.customer = Some(twin.clone());
    stage.conflicts(again).await;
    assert_eq!(stage.customer(Mode::Test, twin.id).await.unwrap(), None);
    assert_eq!(stage.customer(Mode::Test, buyer.id).await.unwrap().as_ref(), Some(&buyer));
    assert_eq!(stage.customer_by_email(Mode::Test, &buyer.email).await.unwrap().as_ref(), Some(&buyer));

    assert_eq!(stage.customer(Mode::Live, buyer.id).await.unwrap(), None);
    assert_eq!(stage.customer_by_email(Mode::Live, &buyer.email).await.unwrap(), None);
    let live = stage.known(paywright_domain::Customer { mode: Mode::Live, ..twin }).await;
    assert_eq!(stage.customer_by_email(Mode::Live, &buyer.email).await.unwrap(), Some(live));
    assert_eq!(stage.customer_by_email(Mode::Test, &buyer.email).await.unwrap(), Some(buyer));
}

/// Those that exist, each once, inactive ones too, and none of the other mode.
///
/// Covers: I33, S-1.
pub async fn products_are_found_within_their_mode(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let inactive = stage.add(Product { active: false, ..product() }).await.unwrap();
    let active = stage.add(product()).await.unwrap();
    let live = stage.add(Product { mode: Mode::Live, ..product() }).await.unwrap();
    let asked = [active.id, live.id, inactive.id, product().id, active.id];
    let mut found = stage.products(Mode::Test, &asked).await.unwrap();
    found.sort_by_key(|product| product.id);
    assert_eq!(found, [inactive, active]);
    assert_eq!(stage.products(Mode::Live, &asked).await.unwrap(), [live]);
    assert_eq!(stage.products(Mode::Test, &[]).await.unwrap(), []);
}

/// Looking for what is not there is no error.
///
/// Covers: I32.
pub async fn what_is_not_there_is_none(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.draft().await.build();
    let payment = builders::payment(&order).build();
    assert_eq!(stage.order(order.id).await.unwrap(), None);
    assert_eq!(stage.order_by_token("").await.unwrap(), None);
    assert_eq!(stage.order_by_token("no such token").await.unwrap(), None);
    assert_eq!(stage.payment(payment.id).await.unwrap(), None);
    assert_eq!(stage.payment_by_intent(&intent_id()).await.unwrap(), None);
    assert_eq!(stage.payment_by_session(&session_id()).await.unwrap(), None);
    assert_eq!(stage.live_payment(order.id).await.unwrap(), None);
    assert_eq!(stage.call(builders::new_id(stage.now)).await.unwrap(), None);
    assert_eq!(stage.payments(order.id).await.unwrap(), []);
    assert_eq!(stage.refund(builders::new_id(stage.now)).await.unwrap(), None);
    assert_eq!(stage.refund_by_gateway(&gateway_refund_id()).await.unwrap(), None);
    assert_eq!(stage.refunds(payment.id).await.unwrap(), []);
    assert_eq!(stage.dispute(builders::new_id(stage.now)).await.unwrap(), None);
    assert_eq!(stage.dispute_by_gateway(&gateway_dispute_id()).await.unwrap(), None);
    assert_eq!(stage.disputes(payment.id).await.unwrap(), []);
    assert_eq!(stage.customer(Mode::Test, customer().id).await.unwrap(), None);
    assert_eq!(stage.customer_by_email(Mode::Test, "nobody@example.com").await.unwrap(), None);
    assert_eq!(stage.event("evt_none").await.unwrap(), None);
}

async fn assert_order(stage: &Stage, order: &Order) {
    assert_eq!(stage.order(order.id).await.unwrap().as_ref(), Some(order));
    assert_eq!(stage.order_by_token(&order.token).await.unwrap().as_ref(), Some(order));
}

async fn assert_payment(stage: &Stage, payment: &Payment) {
    assert_eq!(stage.payment(payment.id).await.unwrap().as_ref(), Some(payment));
    let live = stage.live_payment(payment.order).await.unwrap();
    assert_eq!(live.as_ref(), payment.state.is_live().then_some(payment));
}
