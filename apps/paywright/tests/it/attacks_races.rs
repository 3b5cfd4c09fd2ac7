//! Twenty at once on every route that moves money or ends something: as many effects as one would have.

use std::collections::BTreeSet;

use futures::future::{join, join_all};
use serde_json::{Value, json};

use crate::{
    breaks::foreign,
    support::{Reply, TestApp, VISA, text},
};

const CROWD: usize = 20;
const DISPUTED: &str = "4000000000000259";

/// Sends the same request so often at the same time, each under a key of its own.
async fn all_at_once(app: &TestApp, path: &str, body: impl Fn(usize) -> Value) -> Vec<Reply> {
    let send = |n: usize| {
        let (key, body) = (format!("{path} {n}"), body(n));
        async move { app.post_with_key(path, &key, body).await }
    };
    join_all((0..CROWD).map(send)).await
}

/// How many went well; the others were told that it is too late, or to come again.
fn winners(replies: &[Reply]) -> usize {
    for reply in replies.iter().filter(|reply| reply.status >= 300) {
        let (status, code) = reply.problem();
        // Who loses a race at Stripe is told so.
        assert!(status == 409 || code == "hold_refused", "{}", reply.text);
    }
    replies.iter().filter(|reply| reply.status < 300).count()
}

/// Nothing died, nothing is unexplained, and the ledger agrees with what Stripe took and gave back.
async fn sound(app: &TestApp, payment: &str) {
    app.quiet().await;
    let dead = app.texts("SELECT concat_ws(' ', kind, last_error) FROM jobs WHERE state = $1", "dead").await;
    assert!(dead.is_empty(), "{dead:#?}");
    assert_eq!(app.breaks().await, [""; 0]);
    let intent = app.stripe(&format!("payment_intents/{}", app.intent_of(payment).await)).await;
    let ours = app.payment(payment).await;
    assert_eq!(ours["amount_captured"], intent["amount_received"], "{ours:#}");
    let given: u64 =
        app.refunds_at_stripe(payment).await.iter().map(|one| one["amount"].as_u64().unwrap()).sum();
    assert_eq!(ours["amount_refunded"], given, "{ours:#}");
}

async fn steps(app: &TestApp, order: &str, event: &str) -> usize {
    app.timeline(order)
        .await
        .iter()
        .filter(|line| line["subject"] == "order" && line["event"] == event)
        .count()
}

/// How many calls of a kind were written down.
async fn calls(app: &TestApp, operation: &str) -> usize {
    app.texts("SELECT idempotency_key FROM gateway_calls WHERE operation = $1", operation).await.len()
}

/// Covers: I2, I18, fault 151, T-10.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_who_capture_or_release_a_hold_do_it_once() {
    let app = TestApp::start().await;
    let (order, held) = app.authorized().await;
    let replies =
        all_at_once(&app, &format!("/v1/payments/{held}/capture"), |n| json!({"amount": 700 + n})).await;
    assert!(winners(&replies) >= 1);
    app.until(&order, "paid").await;
    sound(&app, &held).await;
    assert_eq!((calls(&app, "capture").await, steps(&app, &order, "captured").await), (1, 1));
    let taken = app.payment(&held).await["amount_captured"].clone();
    // Whoever was told that it went well was told of what happened.
    for reply in replies.iter().filter(|reply| reply.status == 200) {
        assert_eq!(reply.json()["amount_captured"], taken);
    }

    let (order, held) = app.authorized().await;
    assert!(winners(&all_at_once(&app, &format!("/v1/payments/{held}/void"), |_| json!({})).await) >= 1);
    app.until(&order, "pending").await;
    sound(&app, &held).await;
    assert_eq!(app.payment(&held).await["state"], "cancelled");

    let (order, held) = app.authorized().await;
    let path = format!("/v1/payments/{held}");
    let (take, release) = (format!("{path}/capture"), format!("{path}/void"));
    let (taking, releasing) =
        join(all_at_once(&app, &take, |_| json!({})), all_at_once(&app, &release, |_| json!({}))).await;
    assert!(winners(&taking) + winners(&releasing) >= 1);
    let ended =
        app.until_that(&order, |shown| ["paid", "pending"].contains(&shown["state"].as_str().unwrap())).await;
    sound(&app, &held).await;
    let is_taken = app.payment(&held).await["state"] == "captured";
    assert_eq!(ended["state"] == "paid", is_taken, "{ended:#}");
    app.stop().await;
}

/// Covers: I3, I7, fault 143, R-1, T-9.
#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_want_everything_back_one_gets_it() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(VISA).await;
    let body = json!({"payment": payment, "amount": 3998, "reason": "goodwill"});
    let replies = all_at_once(&app, "/v1/refunds", |_| body.clone()).await;
    assert_eq!(winners(&replies), 1);
    app.until(&order, "refunded").await;
    sound(&app, &payment).await;
    assert_eq!(app.refunds_at_stripe(&payment).await.len(), 1);
    assert_eq!((app.count("SELECT count(*) FROM refunds").await, calls(&app, "create_refund").await), (1, 1));
    app.stop().await;
}

/// Covers: C-2, I7, D-18.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_who_cancel_a_paid_order_or_give_it_up_send_its_money_back_once() {
    let app = TestApp::start().await;
    for command in ["cancel", "fulfillment/failed"] {
        let (order, payment) = app.paid_by(VISA).await;
        let why = |_| if command == "cancel" { json!({}) } else { json!({"reason": "out of stock"}) };
        let replies = all_at_once(&app, &format!("/v1/orders/{order}/{command}"), why).await;
        assert!(winners(&replies) >= 1, "{command}");
        app.until(&order, "refunded").await;
        sound(&app, &payment).await;
        assert_eq!(app.refunds_at_stripe(&payment).await.len(), 1, "{command}");
        assert_eq!(steps(&app, &order, "cancelled").await, 1, "{command}");
    }
    // Both at once, and somebody who wants a part back meanwhile.
    let (order, payment) = app.paid_by(VISA).await;
    let path = format!("/v1/orders/{order}");
    let part = json!({"payment": payment, "amount": 500, "reason": "goodwill"});
    let (cancel, fail) = (format!("{path}/cancel"), format!("{path}/fulfillment/failed"));
    tokio::join!(
        all_at_once(&app, &cancel, |_| json!({})),
        all_at_once(&app, &fail, |_| json!({"reason": "out of stock"})),
        all_at_once(&app, "/v1/refunds", |_| part.clone()),
    );
    app.until(&order, "refunded").await;
    sound(&app, &payment).await;
    assert_eq!(app.payment(&payment).await["amount_refunded"], 3998);
    app.stop().await;
}

/// Covers: I14, I30.
#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_reasons_for_a_break_one_stands() {
    let app = TestApp::start().await;
    app.deliver(&foreign("evt_1", "pi_foreign")).await.ok();
    let found = app.until_break().await;
    let reason = |n| json!({"reason": format!("reason {n}")});
    let replies = all_at_once(&app, &format!("/v1/breaks/{found}/resolve"), reason).await;
    assert_eq!(winners(&replies), CROWD, "it is resolved, whoever did it");
    let told: BTreeSet<_> = replies.iter().map(|reply| text(&reply.json()["resolution"])).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let kept = app.texts("SELECT resolution FROM breaks WHERE $1 <> ''", "x").await;
    assert_eq!(kept, told.into_iter().collect::<Vec<_>>());
    app.stop().await;
}

/// Covers: fault 148 (the part about repetition), I18.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_answers_to_a_dispute_reach_the_bank_once() {
    let app = TestApp::start().await;
    for (command, status) in [("submit", "under_review"), ("accept", "lost")] {
        let (order, _) = app.paid_by(DISPUTED).await;
        let shown = app.until_that(&order, |shown| shown["disputes"] != json!([])).await;
        let dispute = text(&shown["disputes"][0]["id"]);
        let path = format!("/v1/disputes/{dispute}");
        let replies = all_at_once(&app, &format!("{path}/{command}"), |_| json!({})).await;
        assert!(winners(&replies) >= 1, "{command}");
        app.quiet().await;
        let told = app.get(&path).await.ok();
        assert_eq!(told["status"], status, "{command}");
        let there = app.stripe(&format!("disputes/{}", text(&told["gateway_dispute"]))).await;
        assert_eq!(there["status"], status, "{command}");
        let submissions = usize::from(command == "submit");
        assert_eq!(there["evidence_details"]["submission_count"], submissions, "{command}");
    }
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}

/// Covers: I22, I28, I30, fault 138.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_replays_syncs_and_reconciliations_change_what_one_would() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(VISA).await;
    app.until_fee(&payment).await;
    app.quiet().await;
    let events = app.get("/v1/inbox?type=payment_intent.succeeded").await.ok();
    let event = text(&events["data"][0]["id"]);
    let trail =
        async || (app.timeline(&order).await.len(), app.count("SELECT count(*) FROM ledger_entries").await);
    let before = trail().await;
    let bulk = json!({"type": "payment_intent.*", "state": "processed"});
    let (one, sync) = (format!("/v1/inbox/{event}/replay"), format!("/v1/payments/{payment}/sync"));
    let (ones, many, syncs) = tokio::join!(
        all_at_once(&app, &one, |_| json!({})),
        all_at_once(&app, "/v1/inbox/replay", |_| bulk.clone()),
        all_at_once(&app, &sync, |_| json!({})),
    );
    assert!(winners(&ones) >= 1 && winners(&many) >= 1 && winners(&syncs) >= 1);
    sound(&app, &payment).await;
    assert_eq!(trail().await, before);

    let runs = all_at_once(&app, "/v1/reconciliation/runs", |_| json!({})).await;
    assert!(winners(&runs) >= 1);
    for run in runs.iter().filter(|run| run.status == 201) {
        let path = format!("/v1/reconciliation/runs/{}", text(&run.json()["id"]));
        while app.get(&path).await.ok()["state"] == "running" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    sound(&app, &payment).await;
    assert_eq!(trail().await, before);
    app.stop().await;
}

/// Covers: fault 101, I2.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_presses_of_the_button_and_twenty_calls_open_one_page() {
    let app = TestApp::start().await;
    // Of no known customer, so that no limit is met.
    let items = json!([{"product": app.product(1999, "usd").await, "quantity": 1}]);
    let order = text(&app.post("/v1/orders", json!({"currency": "usd", "items": items})).await.ok()["id"]);
    let page = text(&app.show(&order).await["checkout_url"]);
    let press = async |_| app.send(app.http.post(format!("{page}/pay"))).await;
    let path = format!("/v1/orders/{order}/checkout-session");
    let (presses, replies) =
        join(join_all((0..CROWD).map(press)), all_at_once(&app, &path, |_| json!({}))).await;
    let pressed = presses.iter().filter_map(|reply| reply.header("location")).map(str::to_owned);
    let called = replies.iter().filter(|reply| reply.status == 200).map(|reply| text(&reply.json()["url"]));
    let opened: BTreeSet<_> = pressed.chain(called).collect();
    assert_eq!(opened.len(), 1, "{opened:?}");
    winners(&replies);
    assert!(presses.iter().all(|reply| [303, 503].contains(&reply.status)), "{presses:#?}");
    assert_eq!(app.at_stripe_of("checkout/sessions", &order).await.len(), 1);
    assert_eq!(app.show(&order).await["payments"].as_array().unwrap().len(), 1);
    app.stop().await;
}

impl TestApp {
    /// Waits for an open break: its id.
    async fn until_break(&self) -> String {
        loop {
            if let Some(id) = self.get("/v1/breaks?open=true").await.ok()["data"][0]["id"].as_str() {
                return id.to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}
