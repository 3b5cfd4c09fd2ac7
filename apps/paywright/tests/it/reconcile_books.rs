//! Reconciliation of the money itself: fees that come late, and payouts explained to the cent.

use serde_json::{Value, json};

use crate::{
    openapi::{Judge, nothing_undescribed},
    reports::account,
    support::{TestApp, VISA, text},
};

/// Orders of long ago that were paid and whose money was paid out to the bank, of which we heard nothing: one of them
/// with its payment's name.
async fn paid_out(app: &TestApp) -> (String, String) {
    app.set_back(10 * 24).await;
    let mut first = None;
    for _ in 0..3 {
        let order = app.order().await;
        let intent = app.intent(&order).await;
        app.pay_intent(&intent, VISA).await.ok();
        first.get_or_insert((order, intent));
    }
    let (order, intent) = first.unwrap();
    app.at_stripe(&format!("payment_intents/{intent}/refund"), json!({"amount": 700})).await.ok();
    for _ in 0..10 {
        app.advance("23h").await;
    }
    (order, intent)
}

async fn payouts(app: &TestApp) -> Vec<Value> {
    app.get("/v1/payouts").await.ok()["data"].as_array().unwrap().clone()
}

/// What the bank and the balance at Stripe got on any day, less what they gave.
async fn balances(app: &TestApp) -> (i64, i64) {
    let sql = |account: &str| {
        format!(
            "SELECT coalesce(sum(CASE WHEN debit = '{account}' THEN amount WHEN credit = '{account}' THEN -amount END),
                             0)::bigint FROM ledger_entries"
        )
    };
    let pool = app.app.store.pool();
    let one =
        async |account| sqlx::query_scalar(sqlx::AssertSqlSafe(sql(account))).fetch_one(pool).await.unwrap();
    (one("bank").await, one("gateway_balance").await)
}

/// Covers: S-6, I9, I1.
#[tokio::test(flavor = "multi_thread")]
async fn a_payout_is_explained_to_the_cent() {
    let app = TestApp::deaf().await;
    paid_out(&app).await;
    let run = app.reconciled().await;
    let listed = payouts(&app).await;
    assert!(!listed.is_empty(), "{run:#}");
    let mut sum = 0;
    for payout in &listed {
        nothing_undescribed("Payout", payout);
        nothing_undescribed("PayoutPart", &payout["parts"][0]);
        assert_eq!((&payout["status"], &payout["automatic"]), (&json!("paid"), &json!(true)), "{payout:#}");
        assert_eq!((&payout["explained"], &payout["remainder"]), (&json!(true), &json!(0)), "{payout:#}");
        let parts = payout["parts"].as_array().unwrap();
        let nets: i64 = parts.iter().map(|part| part["net"].as_i64().unwrap()).sum();
        assert_eq!(payout["amount"], nets, "{payout:#}");
        for part in parts {
            let net = part["amount"].as_i64().unwrap() - part["fee"].as_i64().unwrap();
            assert_eq!(part["net"], net);
        }
        sum += payout["amount"].as_i64().unwrap();
        let shown = Judge(&app).send("get", "/v1/payouts/{id}", &text(&payout["id"]), None).await.ok();
        assert_eq!(shown, *payout);
    }
    // Three captures less their fees, less what went back: all of it is in the bank now, and nothing is left at Stripe.
    assert_eq!(sum, 3 * (3998 - 146) - 700);
    assert_eq!(balances(&app).await, (sum, 0));
    assert_eq!(app.breaks().await, [""; 0]);

    // A day's report tells it too: made of no order, and balanced.
    let made = text(&listed[0]["created_at"]);
    let day = app.get(&format!("/v1/reports/days/{}", &made[..10])).await.ok();
    assert_eq!(account(&day, "usd", "bank"), listed[0]["amount"], "{day:#}");
    assert_eq!(day["balanced"], true);
    let request = app.request("GET", &format!("/v1/reports/days/{}", &made[..10]));
    let csv = app.send(request.header("accept", "text/csv")).await;
    let line = csv.text.lines().find(|line| line.contains(",payout,")).unwrap();
    assert!(line.contains(",payout,,,bank,gateway_balance,"), "{line}");

    // Seen again, it is the same, and booked once.
    let before = (balances(&app).await, payouts(&app).await);
    app.reconcile(json!({"since": "2026-01-01T00:00:00Z"})).await;
    assert_eq!((balances(&app).await, payouts(&app).await), before);
    app.stop().await;
}

/// Covers: S-6, I9.
#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_comes_back_is_booked_back() {
    let app = TestApp::deaf().await;
    paid_out(&app).await;
    app.reconciled().await;
    let payout = payouts(&app).await.remove(0);
    let (bank, at_stripe) = balances(&app).await;
    app.at_stripe(&format!("payouts/{}/fail", text(&payout["id"])), json!({})).await.ok();
    for _ in 0..2 {
        app.reconciled().await;
        let amount = payout["amount"].as_i64().unwrap();
        assert_eq!(balances(&app).await, (bank - amount, at_stripe + amount));
    }
    let shown = app.get(&format!("/v1/payouts/{}", text(&payout["id"]))).await.ok();
    assert_eq!(shown["status"], "failed");
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}

/// Covers: S-6, I1.
#[tokio::test(flavor = "multi_thread")]
async fn a_payout_with_a_cent_too_much_is_a_break_with_the_cent_at_risk() {
    let app = TestApp::deaf().await;
    paid_out(&app).await;
    let url = format!("{}/_sandbox/state", app.sandbox.url());
    let honest = app.send(app.http.get(&url)).await.text;
    let mut state: Value = serde_json::from_str(&honest).unwrap();
    let changed = one_cent_more(&mut state["test"]["payouts"]);
    assert!(changed, "{:#}", state["test"]["payouts"]);
    app.send(app.http.post(&url).json(&state)).await.ok();
    let run = app.reconcile(json!({})).await;
    assert_eq!(TestApp::section(&run, "books")["broken"], 1, "{run:#}");
    let open = app.get("/v1/breaks?open=true").await.ok()["data"].as_array().unwrap().clone();
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!((&open[0]["kind"], &open[0]["order"]), (&json!("unexplained_payout"), &json!(null)));
    assert_eq!((&open[0]["amount_at_risk"], &open[0]["currency"]), (&json!(1), &json!("usd")));
    let shown = app.get(&format!("/v1/payouts/{}", text(&open[0]["object_id"]))).await.ok();
    assert_eq!((&shown["explained"], &shown["remainder"]), (&json!(false), &json!(1)));
    // Told again, it is one break; explained, it ends by itself.
    app.reconcile(json!({})).await;
    assert_eq!(app.breaks().await, ["unexplained_payout"]);
    app.send(app.http.post(&url).header("content-type", "application/json").body(honest)).await.ok();
    app.reconciled().await;
    assert_eq!(app.get("/v1/breaks?open=true").await.ok()["data"], json!([]));
    app.stop().await;
}

/// The first amount that is found.
fn one_cent_more(value: &mut Value) -> bool {
    match value {
        Value::Object(fields) if fields.contains_key("automatic") => {
            fields["amount"] = json!(fields["amount"].as_i64().unwrap() + 1);
            true
        }
        Value::Object(fields) => fields.values_mut().any(one_cent_more),
        Value::Array(items) => items.iter_mut().any(one_cent_more),
        _ => false,
    }
}

/// The message about the money does not tell the fee, and the one that does never comes.
///
/// Covers: S-5, I9, W-15.
#[tokio::test(flavor = "multi_thread")]
async fn a_fee_that_came_late_is_booked_after_all() {
    let app = TestApp::deaf().await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.at_stripe("clock", json!({"frozen": true})).await.ok();
    app.pay_intent(&intent, VISA).await.ok();
    app.reconciled().await;
    app.quiet().await;
    let shown = app.show(&order).await;
    assert_eq!((&shown["state"], &shown["payments"][0]["fee"]), (&json!("paid"), &json!(null)), "{shown:#}");
    let unsettled = crate::reports::report(&app, &order).await;
    assert_eq!(account(&unsettled, "usd", "clearing"), 3998);
    app.advance("1m").await;
    app.reconciled().await;
    let settled = crate::reports::report(&app, &order).await;
    assert_eq!(
        (account(&settled, "usd", "clearing"), account(&settled, "usd", "fees")),
        (0, 146),
        "{settled:#}"
    );
    assert_eq!(app.show(&order).await["payments"][0]["fee"]["amount"], 146);
    app.stop().await;
}

/// Covers: S-5, I1.
#[tokio::test(flavor = "multi_thread")]
async fn money_that_moved_for_other_uses_of_the_account_is_counted_and_no_break() {
    let app = TestApp::deaf().await;
    let form = "amount=1234&currency=usd&confirm=true&payment_method=pm_card_visa\
                &automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never";
    let request = app
        .http
        .post(format!("{}/v1/payment_intents", app.sandbox.url()))
        .bearer_auth("sk_test_integration")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    app.send(request).await.ok();
    app.advance("1m").await;
    let run = app.reconciled().await;
    assert_eq!(TestApp::section(&run, "gateway")["foreign"], 1, "{run:#}");
    let books = TestApp::section(&run, "books");
    assert_eq!((&books["foreign"], &books["foreign_kinds"]), (&json!(1), &json!({"charge": 1})), "{run:#}");
    assert_eq!(app.count("SELECT count(*) FROM ledger_entries").await, 0);
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}
