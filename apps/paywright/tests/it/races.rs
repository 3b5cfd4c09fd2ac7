//! Many at once: one payment, one winner, and our books say what Stripe's say.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{join, join_all},
};
use serde_json::{Value, json};

use crate::support::{Reply, TestApp, VISA, text};

/// Asserts that a request either went well or was told to come again or that it is too late, and says which.
fn won(reply: &Reply) -> bool {
    if reply.status < 300 {
        return true;
    }
    let (status, code) = reply.problem();
    assert_eq!(status, 409, "{}", reply.text);
    if code == "payment_in_progress" {
        assert!(reply.header("retry-after").is_some(), "{}", reply.text);
    }
    false
}

/// Asserts that an order here says what Stripe says, and returns whether it is paid.
async fn agrees_with_stripe(app: &TestApp, order: &str) -> bool {
    let shown = app.show(order).await;
    let intents = app.at_stripe_of("payment_intents", order).await;
    let taken: Vec<_> = intents.iter().filter(|intent| intent["status"] == "succeeded").collect();
    assert!(taken.len() <= 1, "paid twice: {intents:#?}");
    let received: u64 = taken.iter().map(|intent| intent["amount_received"].as_u64().unwrap()).sum();
    assert_eq!(shown["amount_captured"], received, "{shown:#}");
    let payments = shown["payments"].as_array().unwrap();
    let live = |payment: &&Value| !["captured", "cancelled", "failed"].contains(&&*text(&payment["state"]));
    assert!(payments.iter().filter(live).count() <= 1, "{payments:#?}");
    let states = |state: &str| payments.iter().filter(|payment| payment["state"] == state).count();
    assert_eq!(states("captured"), taken.len(), "{shown:#}");
    for intent in &intents {
        let ours = payments.iter().find(|payment| payment["id"] == intent["metadata"]["paywright_payment"]);
        let ours = ours.unwrap_or_else(|| panic!("no payment here for {intent:#}"));
        let ended = intent["status"] == "canceled";
        assert_eq!(ours["state"] == "cancelled", ended, "{ours:#} {intent:#}");
    }
    // A page that can still be paid belongs to a payment that is live here.
    for page in app.at_stripe_of("checkout/sessions", order).await {
        let ours =
            payments.iter().find(|payment| payment["id"] == page["metadata"]["paywright_payment"]).unwrap();
        assert!(page["status"] != "open" || live(&ours), "{ours:#} {page:#}");
    }
    let paid = received > 0;
    // Who cancels an order that was just paid gives all of its money back.
    let returned: u64 = app.stripe("refunds?limit=100").await["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|refund| refund["metadata"]["paywright_order"] == order)
        .map(|refund| refund["amount"].as_u64().unwrap())
        .sum();
    assert_eq!(returned, if shown["state"] == "refunded" { received } else { 0 }, "{shown:#}");
    let expected: &[&str] =
        if paid { &["paid", "refunded"] } else { &["payment_processing", "pending", "cancelled"] };
    assert!(expected.contains(&&*text(&shown["state"])), "{received} received, {shown:#}");
    if shown["state"] == "cancelled" {
        assert!(!payments.iter().any(|payment| live(&payment)), "{shown:#}");
    }
    paid
}

/// Nothing died on the way, and nothing is unexplained.
async fn nothing_is_amiss(app: &TestApp) {
    let dead = app
        .texts("SELECT concat_ws(' ', kind, payload, last_error) FROM jobs WHERE state = $1", "dead")
        .await;
    assert!(dead.is_empty(), "{dead:#?}");
    let breaks = app.texts("SELECT concat_ws(' ', kind, detail) FROM breaks WHERE $1 <> ''", "x").await;
    assert!(breaks.is_empty(), "{breaks:#?}");
}

/// Covers: fault 101, fault 100, I2, I18, D-10, D-11.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_parallel_starts_make_one_payment() {
    let app = TestApp::start().await;
    for (command, field) in [("checkout-session", "url"), ("payment-intent", "client_secret")] {
        let order = app.order().await;
        let replies = join_all((0..20).map(|_| app.command(&order, command, json!({})))).await;
        let given: BTreeSet<_> =
            replies.iter().filter(|reply| won(reply)).map(|reply| text(&reply.json()[field])).collect();
        assert_eq!(given.len(), 1, "{command}: {given:?}");
        let payments = app.show(&order).await["payments"].clone();
        assert_eq!(payments.as_array().unwrap().len(), 1, "{command}: {payments:#}");
        let (pages, intents) = (
            app.at_stripe_of("checkout/sessions", &order).await,
            app.at_stripe_of("payment_intents", &order).await,
        );
        let made = if field == "url" { pages.len() } else { intents.len() };
        assert_eq!(made, 1, "{command}: {pages:#?} {intents:#?}");
        assert_eq!(pages.len() + intents.len(), 1, "{command}");
        app.quiet().await;
        assert!(!agrees_with_stripe(&app, &order).await);
    }
    nothing_is_amiss(&app).await;
    app.stop().await;
}

/// What an impatient customer does: pays whatever can be paid at Stripe.
async fn pay_everything(app: &TestApp, order: &str) {
    for page in app.at_stripe_of("checkout/sessions", order).await {
        app.pay_session(&text(&page["id"]), VISA).await;
    }
    for intent in app.at_stripe_of("payment_intents", order).await {
        app.pay_intent(&text(&intent["id"]), VISA).await;
    }
}

/// Covers: fault 101, fault 102, I1, I2, I16, D-11, D-17.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_starts_cancellations_and_payments_ends_as_stripe_says() {
    let app = TestApp::start().await;
    let storm = async |index: u64| {
        let order = app.order().await;
        let over = AtomicBool::new(false);
        let tab = async |tab: u64| {
            for turn in 0..3 {
                let by_page = (tab + turn + index).is_multiple_of(2);
                won(&app
                    .command(&order, if by_page { "checkout-session" } else { "payment-intent" }, json!({}))
                    .await);
            }
        };
        let merchant = async {
            if index.is_multiple_of(2) {
                tokio::time::sleep(Duration::from_millis(40 * index)).await;
                won(&app.command(&order, "cancel", json!({})).await);
            }
        };
        let customer = async {
            tokio::time::sleep(Duration::from_millis(30 * index)).await;
            while !over.load(Ordering::Relaxed) {
                pay_everything(&app, &order).await;
            }
        };
        let shop = join(join_all((0..3).map(tab)), merchant).inspect(|_| over.store(true, Ordering::Relaxed));
        join(shop, customer).await;
        order
    };
    let orders = join_all((0..8).map(storm)).await;
    app.quiet().await;
    for order in &orders {
        agrees_with_stripe(&app, order).await;
    }
    // Whoever is not cancelled can still be paid, once.
    for order in &orders {
        pay_everything(&app, order).await;
    }
    app.quiet().await;
    for order in &orders {
        let is_paid = agrees_with_stripe(&app, order).await;
        let state = text(&app.show(order).await["state"]);
        assert!(
            is_paid
                || state == "cancelled"
                || app.command(order, "payment-intent", json!({})).await.status == 200,
            "{state}"
        );
    }
    nothing_is_amiss(&app).await;
    app.stop().await;
}

/// Covers: C-1, C-2, fault 62, fault 151.
#[tokio::test(flavor = "multi_thread")]
async fn paying_and_cancelling_at_once_ends_either_paid_or_cancelled() {
    let app = TestApp::start().await;
    let lane = async |lane: u64| {
        let (mut wait, mut ends) = (Duration::from_millis(4 * lane), Vec::new());
        for turn in 0..8 {
            let order = app.order().await;
            let by_session = (lane + turn).is_multiple_of(2);
            let id = if by_session { app.session(&order).await } else { app.intent(&order).await };
            let pay = async {
                tokio::time::sleep(wait).await;
                if by_session { app.pay_session(&id, VISA).await } else { app.pay_intent(&id, VISA).await }
            };
            let (paying, cancelling) = tokio::join!(pay, app.command(&order, "cancel", json!({})));
            let paid = paying.status < 300;
            ends.push((order, paid, won(&cancelling)));
            // Towards the moment in which either may win.
            wait = if paid { wait * 2 + Duration::from_millis(2) } else { wait * 3 / 4 };
        }
        ends
    };
    let ends: Vec<_> = join_all((0..3).map(lane)).await.into_iter().flatten().collect();
    app.quiet().await;
    for (order, paying, cancelled) in &ends {
        let paid = agrees_with_stripe(&app, order).await;
        let shown = app.show(order).await;
        // Whoever was told "cancelled" was told the truth; the money that had come went back.
        let expected = match (paid, *cancelled) {
            (true, true) => "refunded",
            (true, false) => "paid",
            (false, _) => "cancelled",
        };
        assert_eq!(shown["state"], expected, "{shown:#}");
        assert_eq!(paid, *paying, "{shown:#}");
    }
    let paid = ends.iter().filter(|(_, paid, _)| *paid).count();
    assert!((1..ends.len()).contains(&paid), "no race: {paid} of {} paid", ends.len());
    nothing_is_amiss(&app).await;
    app.stop().await;
}

/// Covers: I16, D-18.
#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_commands_exactly_one_moves_the_order() {
    let app = TestApp::start().await;
    let order = app.paid_order().await;
    for (command, body, state) in [
        ("fulfillment", json!({}), "fulfillment_started"),
        ("ship", json!({"carrier": "DHL"}), "shipped"),
        ("complete", json!({}), "completed"),
    ] {
        let replies = join_all((0..8).map(|_| app.command(&order, command, body.clone()))).await;
        let winners: Vec<_> = replies.iter().filter(|reply| won(reply)).collect();
        assert_eq!(winners.len(), 1, "{command}");
        assert_eq!(winners[0].json()["state"], state);
        for reply in replies.iter().filter(|reply| reply.status != 200) {
            assert_eq!(reply.problem().1, "illegal_transition", "{command}");
        }
    }
    let timeline = app.timeline(&order).await;
    for event in ["fulfillment_started", "shipped", "completed"] {
        assert_eq!(timeline.iter().filter(|entry| entry["event"] == event).count(), 1, "{event}");
    }
    app.stop().await;
}

/// Covers: D-13.
#[tokio::test(flavor = "multi_thread")]
async fn parallel_first_orders_of_one_customer_share_the_customer() {
    let app = TestApp::start().await;
    let product = app.product(1999, "usd").await;
    let body = json!({"currency": "usd", "items": [{"product": product, "quantity": 1}], "customer_email": "new@example.org"});
    let replies = join_all((0..12).map(|_| app.post("/v1/orders", body.clone()))).await;
    let customers: BTreeSet<_> = replies.into_iter().map(|reply| text(&reply.ok()["customer"])).collect();
    assert_eq!(customers.len(), 1);
    assert_eq!(app.count("SELECT count(*) FROM customers").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM orders").await, 12);
    app.stop().await;
}

/// Covers: D-13.
#[tokio::test(flavor = "multi_thread")]
async fn parallel_edits_of_a_product_are_all_kept() {
    let app = TestApp::start().await;
    let product = app.product(1999, "usd").await;
    let edit = async |body: Value| {
        app.send(app.request("PATCH", &format!("/v1/products/{product}")).json(&body)).await
    };
    let edits = [
        json!({"name": "Coffee"}),
        json!({"unit_amount": 700}),
        json!({"active": false}),
        json!({"metadata": {"a": "b"}}),
    ];
    for reply in join_all(edits.into_iter().map(edit)).await {
        reply.ok();
    }
    let shown = app.get(&format!("/v1/products/{product}")).await.ok();
    assert_eq!(
        json!([shown["name"], shown["unit_amount"], shown["active"], shown["metadata"], shown["version"]]),
        json!(["Coffee", 700, false, {"a": "b"}, 5])
    );
    app.stop().await;
}
