//! Money that goes back: once, as much as was meant, and to the cent what Stripe says.

use serde_json::{Value, json};

use crate::support::{TestApp, VISA, text};

/// Refunds succeed at once, and fail later.
const REFUND_FAILS: &str = "4000000000005126";
/// Refunds are pending at first.
const REFUND_PENDS: &str = "4000000000007726";

/// Asserts that payment and order say the same of what went back and of what still can.
async fn stands(app: &TestApp, order: &str, refunded: u64, refundable: u64) -> Value {
    let shown = app.show(order).await;
    let payment = &shown["payments"][0];
    assert_eq!(
        json!([shown["amount_refunded"], shown["refundable"], payment["amount_refunded"]]),
        json!([refunded, refundable, refunded]),
        "{shown:#}"
    );
    shown
}

/// Covers, T-10.
#[tokio::test(flavor = "multi_thread")]
async fn many_parts_go_back_then_the_rest_and_only_then_the_order_is_refunded() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(VISA).await;
    app.command(&order, "fulfillment", json!({})).await.ok();
    let new = json!({"payment": payment, "amount": 500, "reason": "out_of_stock", "note": "the blue one",
        "expected_refundable": 3998});
    let made = app.post("/v1/refunds", new).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    assert_eq!(
        json!([
            made["object"],
            made["state"],
            made["amount"],
            made["currency"],
            made["reason"],
            made["note"]
        ]),
        json!(["refund", "succeeded", 500, "usd", "out_of_stock", "the blue one"])
    );
    assert_eq!(json!([made["order"], made["payment"], made["failure"]]), json!([order, payment, null]));
    let shown = stands(&app, &order, 500, 3498).await;
    assert_eq!((&shown["state"], &shown["refunds"]), (&json!("fulfillment_started"), &json!([made])));
    for amount in [1, 997] {
        app.refund(&payment, amount).await.ok();
    }
    assert_eq!(stands(&app, &order, 1498, 2500).await["state"], "fulfillment_started");

    // Whoever believes in another amount, or wants too much, gets nothing.
    let stale = json!({"payment": payment, "amount": 500, "reason": "other", "expected_refundable": 3998});
    let refused = app.post("/v1/refunds", stale).await;
    assert_eq!(refused.problem(), (412, "refundable_changed".to_owned()));
    assert_eq!(refused.json()["refundable"], 2500);
    let refused = app.refund(&payment, 2501).await;
    assert_eq!(refused.problem(), (409, "refund_exceeds_refundable".to_owned()));
    assert_eq!(refused.json()["refundable"], 2500);
    stands(&app, &order, 1498, 2500).await;

    // Without an amount: all that is left.
    let rest = app.post("/v1/refunds", json!({"payment": payment, "reason": "requested_by_customer"})).await;
    assert_eq!(rest.ok()["amount"], 2500);
    app.until(&order, "refunded").await;
    stands(&app, &order, 3998, 0).await;
    let refused = app.refund(&payment, 1).await;
    assert_eq!(refused.problem(), (409, "refund_exceeds_refundable".to_owned()));

    // Ours and Stripe's are the same, one by one.
    app.quiet().await;
    let listed = app.get(&format!("/v1/refunds?payment={payment}&limit=100")).await.ok();
    let ours = listed["data"].as_array().unwrap();
    let theirs = app.refunds_at_stripe(&payment).await;
    assert_eq!((ours.len(), theirs.len()), (4, 4));
    for refund in ours {
        let same = theirs.iter().find(|one| one["id"] == refund["gateway_refund"]).unwrap();
        assert_eq!(json!([same["amount"], same["status"]]), json!([refund["amount"], refund["state"]]));
        assert_eq!(same["metadata"]["paywright_refund"], refund["id"]);
        assert_eq!(&app.get(&format!("/v1/refunds/{}", text(&refund["id"]))).await.ok(), refund);
    }
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_are_listed_newest_first_page_by_page() {
    let app = TestApp::start().await;
    let ((_, first), (_, second)) = (app.paid_by(VISA).await, app.paid_by(VISA).await);
    let mut made = Vec::new();
    for payment in [&first, &second, &first, &first] {
        made.insert(0, text(&app.refund(payment, 100).await.ok()["id"]));
    }
    let list = async |query: &str| {
        let page = app.get(&format!("/v1/refunds?{query}")).await.ok();
        let ids: Vec<_> = page["data"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect();
        (ids, page["has_more"] == true)
    };
    assert_eq!(list("").await, (made.clone(), false));
    assert_eq!(list("limit=3").await, (made[..3].to_vec(), true));
    assert_eq!(list(&format!("limit=3&starting_after={}", made[2])).await, (made[3..].to_vec(), false));
    assert_eq!(list(&format!("payment={second}")).await, (vec![made[2].clone()], false));
    assert_eq!(list("payment=pay_00000000000000000000000000").await, (Vec::new(), false));
    app.stop().await;
}

///
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_taken_is_not_given_back() {
    let app = TestApp::start().await;
    let (order, reserved) = app.authorized().await;
    let refused = app.refund(&reserved, 100).await;
    assert_eq!(refused.problem(), (409, "payment_not_captured".to_owned()));
    assert_eq!(app.show(&order).await["state"], "authorized", "and nothing was released instead");
    let started = app.order().await;
    app.intent(&started).await;
    let open = text(&app.show(&started).await["payments"][0]["id"]);
    assert_eq!(app.refund(&open, 100).await.problem().1, "payment_not_captured");
    app.stop().await;
}

/// Covers: fault 147, I10, R-2.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_comes_back_makes_its_amount_refundable_again() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(REFUND_FAILS).await;
    assert_eq!(app.refund(&payment, 1000).await.ok()["state"], "succeeded");
    let failed = app.until_that(&order, |shown| shown["refunds"][0]["state"] == "failed").await;
    assert!(failed["refunds"][0]["failure"].is_string(), "{failed:#}");
    assert_eq!(stands(&app, &order, 0, 3998).await["state"], "paid");

    // So does one of everything, after the order was refunded.
    let (order, payment) = app.paid_by(VISA).await;
    let refund = app.refund(&payment, 3998).await.ok();
    app.until(&order, "refunded").await;
    let name = text(&refund["gateway_refund"]);
    app.at_stripe(&format!("refunds/{name}/fail"), json!({"reason": "lost_or_stolen_card"})).await.ok();
    app.until_that(&order, |shown| shown["refunds"][0]["state"] == "failed").await;
    stands(&app, &order, 0, 3998).await;
    app.refund(&payment, 3998).await.ok();
    stands(&app, &order, 3998, 0).await;
    app.stop().await;
}

/// Covers: R-3, fault 158.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_waits_is_pending_and_counts() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(REFUND_PENDS).await;
    let refund = app.refund(&payment, 3000).await.ok();
    assert_eq!(refund["state"], "pending");
    stands(&app, &order, 3000, 998).await;
    assert_eq!(app.refund(&payment, 999).await.problem().1, "refund_exceeds_refundable");
    let name = text(&refund["gateway_refund"]);
    app.at_stripe(&format!("refunds/{name}/settle"), json!({})).await.ok();
    app.until_that(&order, |shown| shown["refunds"][0]["state"] == "succeeded").await;
    stands(&app, &order, 3000, 998).await;

    // Of a balance that does not suffice, too; nothing is sent again.
    app.at_stripe("account", json!({"refunds_wait_for_balance": true})).await.ok();
    let (order, payment) = app.paid_by(VISA).await;
    assert_eq!(app.refund(&payment, 3998).await.ok()["state"], "pending");
    assert_eq!(app.show(&order).await["state"], "paid", "nothing was sent yet");
    app.advance("3d").await;
    app.until(&order, "refunded").await;
    assert_eq!(app.refunds_at_stripe(&payment).await.len(), 1);
    app.stop().await;
}

/// Covers: fault 156, R-5, D-15.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_made_in_stripes_dashboard_is_taken_in() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(VISA).await;
    let intent = app.intent_of(&payment).await;
    let path = format!("payment_intents/{intent}/refund");
    app.at_stripe(&path, json!({"amount": 700, "reason": "duplicate"})).await.ok();
    app.until_that(&order, |shown| shown["amount_refunded"] == 700).await;
    let shown = stands(&app, &order, 700, 3298).await;
    let refund = &shown["refunds"][0];
    assert_eq!(json!([refund["state"], refund["reason"]]), json!(["succeeded", "duplicate"]));
    let timeline = app.timeline(&order).await;
    let adopted = timeline.iter().find(|entry| entry["event"] == "adopted").unwrap();
    assert_eq!(json!([adopted["subject"], adopted["actor"]]), json!(["refund", "stripe"]));
    // Ours and theirs add up.
    assert_eq!(app.refund(&payment, 3299).await.problem().1, "refund_exceeds_refundable");
    app.at_stripe(&path, json!({})).await.ok();
    app.until(&order, "refunded").await;
    app.quiet().await;
    assert_eq!(
        (app.show(&order).await["refunds"].as_array().unwrap().len(), app.breaks().await.len()),
        (2, 0)
    );
    app.stop().await;
}

/// Covers: fault 156, D-15. No event came at all.
#[tokio::test(flavor = "multi_thread")]
async fn asking_stripe_tells_what_no_event_told() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    app.at_stripe(&format!("payment_intents/{intent}/refund"), json!({"amount": 700})).await.ok();
    let payment = text(&app.show(&order).await["payments"][0]["id"]);
    let synced = app.on_payment(&payment, "sync", json!({})).await;
    assert_eq!(synced.status, 200, "{}", synced.text);
    let synced = synced.json();
    assert_eq!(
        json!([synced["state"], synced["amount_captured"], synced["amount_refunded"]]),
        json!(["captured", 3998, 700])
    );
    let shown = stands(&app, &order, 700, 3298).await;
    assert_eq!(shown["state"], "paid");
    // Asking again tells nothing new.
    app.on_payment(&payment, "sync", json!({})).await.ok();
    assert_eq!(app.show(&order).await, shown);
    app.faults(json!({"fault": "reset", "method": "GET"})).await;
    let away = app.on_payment(&payment, "sync", json!({})).await;
    assert_eq!(away.problem(), (503, "unavailable".to_owned()));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_paid_order_gives_the_rest_back() {
    let app = TestApp::start().await;
    for started in [false, true] {
        let (order, payment) = app.paid_by(VISA).await;
        if started {
            app.command(&order, "fulfillment", json!({})).await.ok();
        }
        app.refund(&payment, 998).await.ok();
        let cancelled = app.command(&order, "cancel", json!({"reason": "fraudulent"})).await;
        assert_eq!(cancelled.status, 200, "{}", cancelled.text);
        assert_eq!(cancelled.json()["cancellation"], json!({"reason": "fraudulent", "done": true}));
        let shown = app.until(&order, "refunded").await;
        assert_eq!(
            json!([shown["refunds"][1]["amount"], shown["refunds"][1]["reason"]]),
            json!([3000, "fraudulent"])
        );
        let theirs = app.refunds_at_stripe(&payment).await;
        assert_eq!(
            json!([theirs.len(), theirs[0]["amount"], theirs[0]["reason"]]),
            json!([2, 3000, "fraudulent"])
        );
        let again = app.command(&order, "cancel", json!({})).await;
        assert_eq!(again.problem().1, "illegal_transition");
        assert_eq!(app.refunds_at_stripe(&payment).await.len(), 2);
    }
    // What has left the house is not cancelled.
    let (order, _) = app.paid_by(VISA).await;
    app.command(&order, "fulfillment", json!({})).await.ok();
    app.command(&order, "ship", json!({"carrier": "DHL"})).await.ok();
    assert_eq!(app.command(&order, "cancel", json!({})).await.problem().1, "illegal_transition");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_fulfilment_gives_the_money_back_and_stripe_knows_why() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(VISA).await;
    app.command(&order, "fulfillment", json!({})).await.ok();
    let why = json!({"reason": "the warehouse has burnt down"});
    let failed = app.command(&order, "fulfillment/failed", why.clone()).await.ok();
    assert_eq!(failed["cancellation"]["reason"], "fulfillment_failed");
    let shown = app.until(&order, "refunded").await;
    assert_eq!(shown["refunds"][0]["reason"], "fulfillment_failed");
    let theirs = app.refunds_at_stripe(&payment).await;
    assert_eq!(theirs[0]["metadata"]["failure_reason"], "the warehouse has burnt down", "{theirs:#?}");
    // Nothing was taken of an order that nobody paid.
    let open = app.order().await;
    assert_eq!(app.command(&open, "fulfillment/failed", why).await.problem().1, "illegal_transition");
    app.stop().await;
}

/// Covers: fault 145.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_dispute_is_open_neither_refund_nor_cancellation_pays_twice() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(VISA).await;
    let intent = app.intent_of(&payment).await;
    app.at_stripe(&format!("payment_intents/{intent}/dispute"), json!({})).await.ok();
    let shown = app.until_that(&order, |shown| shown["amount_disputed"] == 3998).await;
    assert_eq!(json!([shown["refundable"], shown["disputes"].as_array().unwrap().len()]), json!([0, 1]));
    for refused in [
        app.refund(&payment, 100).await,
        app.command(&order, "cancel", json!({})).await,
        app.command(&order, "fulfillment/failed", json!({"reason": "lost"})).await,
    ] {
        assert_eq!(refused.problem(), (409, "dispute_open".to_owned()));
        assert!(text(&refused.json()["detail"]).contains("issuer"), "{}", refused.text);
    }
    assert_eq!(app.refunds_at_stripe(&payment).await.len(), 0);
    app.stop().await;
}

/// Covers: fault 3 (of a refund), T-10.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_answer_was_lost_is_made_once() {
    let app = TestApp::impatient().await;
    for (fault, effect) in
        [("bad_gateway", false), ("bad_gateway", true), ("empty_body", true), ("error_500", true)]
    {
        let (order, payment) = app.paid_by(VISA).await;
        app.quiet().await;
        app.faults(json!({"fault": fault, "effect": effect, "method": "POST", "path": "/v1/refunds",
            "times": 1}))
            .await;
        let requested = app.refund(&payment, 1000).await;
        assert_eq!(requested.status, 201, "{}", requested.text);
        // What Stripe is asked to give back cannot be given back twice meanwhile.
        assert_eq!(app.refund(&payment, 2999).await.problem().1, "refund_exceeds_refundable");
        app.until_that(&order, |shown| shown["refunds"][0]["state"] == "succeeded").await;
        stands(&app, &order, 1000, 2998).await;
        let theirs = app.refunds_at_stripe(&payment).await;
        assert_eq!((theirs.len(), &theirs[0]["amount"]), (1, &json!(1000)), "{fault}");
    }
    app.stop().await;
}

/// Somebody else was faster at Stripe, and no event told us.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_stripe_refuses_is_failed_and_its_amount_free() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(VISA).await;
    app.quiet().await;
    app.faults(json!({"webhooks": {"drop": 1.0}})).await;
    let intent = app.intent_of(&payment).await;
    app.at_stripe(&format!("payment_intents/{intent}/refund"), json!({"amount": 3000})).await.ok();
    let new = json!({"payment": payment, "amount": 2000, "reason": "goodwill"});
    let refused = app.post_with_key("/v1/refunds", "refused", new.clone()).await;
    assert_eq!(refused.problem(), (402, "refund_refused".to_owned()));
    let again = app.post_with_key("/v1/refunds", "refused", new).await;
    assert_eq!((again.status, &again.text), (402, &refused.text), "the same answer");
    let shown = app.show(&order).await;
    let failed: Vec<_> =
        shown["refunds"].as_array().unwrap().iter().filter(|one| one["amount"] == 2000).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["state"], "failed");
    app.no_faults().await;
    app.on_payment(&payment, "sync", json!({})).await.ok();
    stands(&app, &order, 3000, 998).await;
    app.refund(&payment, 998).await.ok();
    app.until(&order, "refunded").await;
    app.stop().await;
}

/// Covers: W-3, D-15, fault 32, fault 33.
#[tokio::test(flavor = "multi_thread")]
async fn refunds_are_the_same_whether_events_are_lost_doubled_or_reordered() {
    let app = TestApp::start().await;
    for rules in [
        json!({"webhooks": {"drop": 1.0}}),
        json!({"webhooks": {"duplicate": 3, "reorder": 0.5}}),
        json!({"webhooks": {"delay": "300ms", "duplicate": 2}}),
    ] {
        let (order, payment) = app.paid_by(VISA).await;
        app.faults(rules).await;
        for amount in [500, 1000, 2498] {
            assert_eq!(app.refund(&payment, amount).await.ok()["state"], "succeeded");
        }
        app.until(&order, "refunded").await;
        stands(&app, &order, 3998, 0).await;
        app.no_faults().await;
        app.quiet().await;
        let shown = stands(&app, &order, 3998, 0).await;
        assert_eq!(shown["refunds"].as_array().unwrap().len(), 3);
    }
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}
