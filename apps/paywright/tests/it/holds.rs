//! Money that is reserved first: taken, taken in part, released, lost.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{TestApp, VISA, text};

/// The customer's intent at Stripe.
async fn at_stripe(app: &TestApp, payment: &str) -> Value {
    let intent = app.intent_of(payment).await;
    app.stripe(&format!("payment_intents/{intent}")).await
}

/// Makes the timer of every order ring, while what is reserved runs out in an hour.
async fn an_hour_before_it_runs_out(app: &TestApp) {
    let url = format!("{}/_sandbox/state", app.sandbox.url());
    let mut state = app.send(app.http.get(&url)).await.ok();
    let soon = json!(app.now() + 3_600);
    assert!(replace(&mut state, "capture_before", &soon) > 0, "nothing is reserved");
    app.send(app.http.post(&url).json(&state)).await.ok();
    // It was known to last longer.
    app.by_hand("UPDATE payments SET capture_before = now() + interval '1 hour' WHERE $1 <> ''", "x").await;
    let ring = "UPDATE jobs SET due_at = now() WHERE kind = $1 AND state = 'ready'";
    app.by_hand(ring, "watch_order").await;
}

/// Replaces every number of this name, and counts them.
fn replace(value: &mut Value, name: &str, by: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter_mut().map(|item| replace(item, name, by)).sum(),
        Value::Object(fields) => {
            let is_it = |(key, value): (&String, &mut Value)| {
                if key == name && value.is_number() {
                    *value = by.clone();
                    return 1;
                }
                replace(value, name, by)
            };
            fields.iter_mut().map(is_it).sum()
        }
        _ => 0,
    }
}

/// Covers: fault 150, C-5.
#[tokio::test(flavor = "multi_thread")]
async fn reserved_money_is_taken_when_fulfilment_starts() {
    let app = TestApp::start().await;
    let (order, payment) = app.authorized().await;
    let held = app.show(&order).await;
    assert_eq!(
        json!([held["capture_method"], held["amount_captured"], held["refundable"]]),
        json!(["manual", 0, 0])
    );
    let shown = &held["payments"][0];
    assert_eq!(
        json!([shown["state"], shown["amount_capturable"], shown["capture_method"]]),
        json!(["authorized", 3998, "manual"])
    );
    assert!(text(&shown["capture_before"]).ends_with('Z'), "{shown:#}");
    let started = app.command(&order, "fulfillment", json!({})).await;
    assert_eq!((started.status, &started.json()["state"]), (200, &json!("fulfillment_started")));
    let taken = app.show(&order).await;
    assert_eq!(json!([taken["amount_captured"], taken["refundable"]]), json!([3998, 3998]));
    let intent = at_stripe(&app, &payment).await;
    assert_eq!(json!([intent["status"], intent["amount_received"]]), json!(["succeeded", 3998]));
    app.command(&order, "ship", json!({"carrier": "DHL"})).await.ok();
    app.quiet().await;
    let events: Vec<_> = app.timeline(&order).await.iter().map(|entry| text(&entry["event"])).collect();
    assert!(events.contains(&"fulfillment_requested".to_owned()), "{events:?}");
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}

/// Covers: fault 150, fault 152, C-5, R-6.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_taken_the_rest_released_and_only_the_part_can_be_given_back() {
    let app = TestApp::start().await;
    for by_fulfillment in [true, false] {
        let (order, payment) = app.authorized().await;
        let take = async |amount: u64| {
            let body = json!({"amount": amount});
            match by_fulfillment {
                true => app.command(&order, "fulfillment", body).await,
                false => app.on_payment(&payment, "capture", body).await,
            }
        };
        assert_eq!(take(3999).await.field("over"), "amount");
        assert_eq!(at_stripe(&app, &payment).await["status"], "requires_capture", "nothing was sent");
        assert_eq!(take(1500).await.status, 200);
        let shown = app.show(&order).await;
        let state = if by_fulfillment { "fulfillment_started" } else { "paid" };
        assert_eq!(
            json!([shown["state"], shown["amount_captured"], shown["refundable"], shown["amount_total"]]),
            json!([state, 1500, 1500, 3998])
        );
        assert_eq!(shown["payments"][0]["amount_capturable"], 0);
        let intent = at_stripe(&app, &payment).await;
        assert_eq!(
            json!([intent["status"], intent["amount_received"], intent["amount_capturable"]]),
            json!(["succeeded", 1500, 0])
        );
        // A second capture takes nothing more.
        let again = app.on_payment(&payment, "capture", json!({"amount": 100})).await;
        assert_eq!(again.problem(), (409, "illegal_transition".to_owned()));
        let refused = app.refund(&payment, 1501).await;
        assert_eq!(refused.problem(), (409, "refund_exceeds_refundable".to_owned()));
        assert_eq!(app.refund(&payment, 1500).await.ok()["state"], "succeeded");
        app.until(&order, "refunded").await;
    }
    app.quiet().await;
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}

/// Covers: C-3.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_can_be_paid_again() {
    let app = TestApp::start().await;
    let (order, payment) = app.authorized().await;
    let released = app.on_payment(&payment, "void", json!({})).await;
    assert_eq!((released.status, &released.json()["state"]), (200, &json!("cancelled")));
    assert_eq!(at_stripe(&app, &payment).await["status"], "canceled");
    let open = app.until(&order, "pending").await;
    assert_eq!(open["refundable"], 0);
    let again = app.on_payment(&payment, "void", json!({})).await;
    assert_eq!(again.problem(), (409, "illegal_transition".to_owned()));
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    app.until(&order, "authorized").await;
    app.command(&order, "fulfillment", json!({})).await.ok();
    let shown = app.show(&order).await;
    let states: Vec<_> =
        shown["payments"].as_array().unwrap().iter().map(|one| text(&one["state"])).collect();
    assert_eq!(states, ["cancelled", "captured"]);
    assert_eq!(shown["amount_captured"], 3998);
    app.stop().await;
}

/// Covers: C-3.
#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_reserved_order_releases_its_money() {
    let app = TestApp::start().await;
    for command in ["cancel", "fulfillment/failed"] {
        let (order, payment) = app.authorized().await;
        let body = if command == "cancel" { json!({}) } else { json!({"reason": "out of stock"}) };
        assert_eq!(app.command(&order, command, body).await.ok()["state"], "cancelled");
        assert_eq!(at_stripe(&app, &payment).await["status"], "canceled");
        assert_eq!(app.show(&order).await["amount_captured"], 0);
    }
    app.stop().await;
}

/// Covers: fault 151.
#[tokio::test(flavor = "multi_thread")]
async fn of_capture_and_cancel_at_once_one_wins_at_stripe_and_ours_follows() {
    let app = TestApp::start().await;
    let race = async |turn: u64| {
        let (order, payment) = app.authorized().await;
        let capture = async {
            tokio::time::sleep(std::time::Duration::from_millis(3 * turn)).await;
            match turn.is_multiple_of(2) {
                true => app.on_payment(&payment, "capture", json!({})).await,
                false => app.command(&order, "fulfillment", json!({})).await,
            }
        };
        let cancel = app.command(&order, "cancel", json!({}));
        let (captured, cancelled) = tokio::join!(capture, cancel);
        for reply in [&captured, &cancelled] {
            assert!([200, 202, 402, 409].contains(&reply.status), "{reply:?}");
        }
        (order, payment)
    };
    let orders = join_all((0..8).map(race)).await;
    app.quiet().await;
    for (order, payment) in &orders {
        let (shown, intent) = (app.show(order).await, at_stripe(&app, payment).await);
        let refunds = app.refunds_at_stripe(payment).await;
        let taken = intent["status"] == "succeeded";
        assert!(taken || intent["status"] == "canceled", "{intent:#}");
        assert_eq!(shown["amount_captured"], intent["amount_received"], "{shown:#}");
        let expected: &[&str] = match (taken, refunds.is_empty()) {
            (true, true) => &["paid", "fulfillment_started"],
            (true, false) => &["refunded"],
            (false, _) => &["cancelled"],
        };
        assert!(expected.contains(&&*text(&shown["state"])), "{expected:?} {shown:#}");
        assert!(refunds.len() <= 1, "{refunds:#?}");
    }
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}

/// Covers: fault 149, C-3.
#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_ran_out_leaves_the_order_to_be_paid_again() {
    let app = TestApp::start().await;
    // Nobody tells: the capture finds out.
    app.faults(json!({"webhooks": {"drop": 1.0}})).await;
    let order = app.manual_order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    let payment = text(&app.show(&order).await["payments"][0]["id"]);
    assert_eq!(app.on_payment(&payment, "sync", json!({})).await.ok()["state"], "authorized");
    app.advance("8d").await;
    let refused = app.command(&order, "fulfillment", json!({})).await;
    assert_eq!(refused.problem(), (402, "hold_refused".to_owned()));
    let shown = app.show(&order).await;
    assert_eq!(
        json!([shown["state"], shown["payments"][0]["state"], shown["fulfillment_requested"]]),
        json!(["pending", "cancelled", false])
    );
    // Told by a webhook it ends the same.
    app.no_faults().await;
    let (told, _) = app.authorized().await;
    app.advance("8d").await;
    app.until(&told, "pending").await;
    for order in [&order, &told] {
        let intent = app.intent(order).await;
        app.pay_intent(&intent, VISA).await.ok();
        app.until(order, "authorized").await;
        app.command(order, "fulfillment", json!({})).await.ok();
        assert_eq!(app.show(order).await["amount_captured"], 3998);
    }
    app.stop().await;
}

/// Covers: fault 149, C-3.
#[tokio::test(flavor = "multi_thread")]
async fn before_it_runs_out_reserved_money_is_released_or_taken_as_configured() {
    for (hold, state, at_stripe_now) in [
        (paywright_domain::usecase::ExpiringHold::Void, "pending", "canceled"),
        (paywright_domain::usecase::ExpiringHold::Capture, "paid", "succeeded"),
    ] {
        let app = TestApp::with(|settings| settings.payments.expiring_hold = hold, true).await;
        let (order, payment) = app.authorized().await;
        app.quiet().await;
        an_hour_before_it_runs_out(&app).await;
        app.until(&order, state).await;
        assert_eq!(at_stripe(&app, &payment).await["status"], at_stripe_now);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_is_released_or_taken_in_stripes_dashboard_is_followed() {
    let app = TestApp::start().await;
    let (lost, payment) = app.authorized().await;
    let intent = app.intent_of(&payment).await;
    app.at_stripe(&format!("payment_intents/{intent}/cancel"), json!({"reason": "abandoned"})).await.ok();
    app.until(&lost, "pending").await;
    let (taken, payment) = app.authorized().await;
    let intent = app.intent_of(&payment).await;
    app.at_stripe(&format!("payment_intents/{intent}/capture"), json!({"amount": 1000})).await.ok();
    let paid = app.until(&taken, "paid").await;
    assert_eq!(json!([paid["amount_captured"], paid["refundable"]]), json!([1000, 1000]));
    // That is another amount than was meant here: a person should know.
    assert_eq!(app.breaks().await, ["amount_mismatch"]);
    app.stop().await;
}

/// Covers: fault 3 (of a capture and a release), fault 150.
#[tokio::test(flavor = "multi_thread")]
async fn while_stripe_does_not_answer_a_capture_is_accepted_and_then_seen_through() {
    let app = TestApp::impatient().await;
    for by_fulfillment in [true, false] {
        let (order, payment) = app.authorized().await;
        app.quiet().await;
        let rule = json!({"fault": "bad_gateway", "effect": by_fulfillment, "method": "POST",
            "path": "/v1/payment_intents/*/capture", "times": 1});
        app.faults(json!({"webhooks": {"delay": "2s"}})).await;
        app.faults(rule).await;
        let accepted = match by_fulfillment {
            true => app.command(&order, "fulfillment", json!({})).await,
            false => app.on_payment(&payment, "capture", json!({})).await,
        };
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        let asked = accepted.json();
        let said = if by_fulfillment { &asked["fulfillment_requested"] } else { &asked["capture_requested"] };
        assert_eq!(said, &json!(true), "{asked:#}");
        let end = if by_fulfillment { "fulfillment_started" } else { "paid" };
        assert_eq!(app.until(&order, end).await["amount_captured"], 3998);
    }
    app.no_faults().await;
    let (order, payment) = app.authorized().await;
    app.faults(json!({"webhooks": {"delay": "2s"}})).await;
    let rule = json!({"fault": "bad_gateway", "effect": true, "method": "POST",
        "path": "/v1/payment_intents/*/cancel", "times": 1});
    app.faults(rule).await;
    let accepted = app.on_payment(&payment, "void", json!({})).await;
    assert_eq!((accepted.status, &accepted.json()["end_requested"]), (202, &json!(true)));
    app.until(&order, "pending").await;
    app.stop().await;
}
