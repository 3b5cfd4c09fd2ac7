//! Money that has no business here: noticed, and given back once.

use serde_json::{Value, json};

use crate::support::{TestApp, VISA, text};

/// Makes an open payment and its order believe that Stripe has ended the payment, which the customer can still pay.
async fn believed_ended(app: &TestApp, order: &str, order_state: &str) {
    let payment = text(&app.show(order).await["payments"][0]["id"]);
    let intent = app.intent_of(&payment).await;
    app.by_hand("UPDATE payments SET state = 'cancelled' WHERE intent = $1", &intent).await;
    let token = text(&app.show(order).await["checkout_url"]).rsplit('/').next().unwrap().to_owned();
    let sql = match order_state {
        "cancelled" => "UPDATE orders SET state = 'cancelled', cancellation = 'expired' WHERE token = $1",
        _ => "UPDATE orders SET state = 'pending' WHERE token = $1",
    };
    app.by_hand(sql, &token).await;
}

/// Waits until the only refund of the payment for this reason has succeeded.
async fn given_back(app: &TestApp, order: &str, payment: &str, reason: &str) -> Value {
    let back = |shown: &Value| {
        let refunds = shown["refunds"].as_array().unwrap();
        refunds.iter().any(|refund| refund["payment"] == payment && refund["state"] == "succeeded")
    };
    app.until_that(order, back).await;
    app.quiet().await;
    let shown = app.show(order).await;
    let refunds: Vec<_> =
        shown["refunds"].as_array().unwrap().iter().filter(|refund| refund["payment"] == payment).collect();
    assert_eq!(refunds.len(), 1, "{shown:#}");
    assert_eq!(json!([refunds[0]["amount"], refunds[0]["reason"]]), json!([3998, reason]));
    let theirs = app.refunds_at_stripe(payment).await;
    assert_eq!((theirs.len(), &theirs[0]["amount"]), (1, &json!(3998)), "{theirs:#?}");
    let timeline = app.timeline(order).await;
    let requested: Vec<_> = timeline
        .iter()
        .filter(|entry| entry["subject"] == "refund" && entry["event"] == "requested")
        .collect();
    assert_eq!(requested.len(), 1, "{timeline:#?}");
    shown
}

/// Covers: fault 62, fault 155, C-2.
#[tokio::test(flavor = "multi_thread")]
async fn money_for_a_cancelled_order_goes_back_once_however_often_it_is_told() {
    let app = TestApp::start().await;
    for rules in [json!({}), json!({"webhooks": {"duplicate": 3, "reorder": 0.5}})] {
        let order = app.order().await;
        let intent = app.intent(&order).await;
        app.quiet().await;
        believed_ended(&app, &order, "cancelled").await;
        if rules != json!({}) {
            app.faults(rules).await;
        }
        app.pay_intent(&intent, VISA).await.ok();
        let payment = text(&app.show(&order).await["payments"][0]["id"]);
        let shown = given_back(&app, &order, &payment, "late_payment").await;
        assert_eq!(json!([shown["amount_captured"], shown["amount_refunded"]]), json!([3998, 3998]));
        assert!(["cancelled", "refunded"].contains(&&*text(&shown["state"])), "{shown:#}");
        assert_eq!(shown["refundable"], 0);
        app.no_faults().await;
    }
    assert_eq!(app.breaks().await, ["late_money", "late_money"]);
    app.stop().await;
}

/// Covers: fault 102, D-10, I2.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_tabs_that_both_paid_the_second_gets_its_money_back_once() {
    let app = TestApp::start().await;
    for old_first in [true, false] {
        let order = app.order().await;
        let old = app.intent(&order).await;
        app.quiet().await;
        believed_ended(&app, &order, "pending").await;
        let new = app.intent(&order).await;
        assert_ne!(old, new);
        // Both pay before we hear of either; afterwards the other one would be ended.
        app.faults(json!({"webhooks": {"duplicate": 2, "delay": "500ms"}})).await;
        let (first, second) = if old_first { (&old, &new) } else { (&new, &old) };
        app.pay_intent(first, VISA).await.ok();
        app.pay_intent(second, VISA).await.ok();
        let twice = |shown: &Value| shown["amount_captured"] == 7996 && shown["state"] == "paid";
        let shown = app.until_that(&order, twice).await;
        let payments = shown["payments"].as_array().unwrap();
        // The order keeps the money that was told first.
        let kept = text(&shown["refunds"][0]["payment"]);
        let surplus = payments.iter().find(|one| one["id"] == kept.as_str()).unwrap();
        let shown = given_back(&app, &order, &text(&surplus["id"]), "surplus_payment").await;
        assert_eq!(
            json!([shown["state"], shown["amount_captured"], shown["amount_refunded"], shown["refundable"]]),
            json!(["paid", 7996, 3998, 3998]),
            "{shown:#}"
        );
        app.no_faults().await;
        // The order goes on with the money that is its own.
        app.command(&order, "fulfillment", json!({})).await.ok();
    }
    assert_eq!(app.breaks().await, ["surplus_payment", "surplus_payment"]);
    app.stop().await;
}
