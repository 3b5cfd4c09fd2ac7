//! The ledger as reports show it: every cent of an order and of a day, summed, as JSON, CSV and on a terminal.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    process::Process,
    support::{TestApp, VISA, text},
};

const REFUND_FAILS: &str = "4000000000005126";

/// What was booked of an order.
pub(crate) async fn report(app: &TestApp, order: &str) -> Value {
    let report = app.get(&format!("/v1/reports/orders/{order}")).await.ok();
    adds_up(&report);
    report
}

/// What an account got, less what it gave; zero if it was never touched.
pub(crate) fn account(report: &Value, currency: &str, name: &str) -> i64 {
    let totals = report["totals"].as_array().unwrap().iter().find(|total| total["currency"] == currency);
    let accounts = totals.map_or(&[][..], |total| total["accounts"].as_array().unwrap());
    accounts.iter().find(|one| one["account"] == name).map_or(0, |one| one["balance"].as_i64().unwrap())
}

/// Waits until everything that moved is seen in Stripe's balance, at most 20 seconds.
pub(crate) async fn until_settled(app: &TestApp, order: &str) -> Value {
    let begun = Instant::now();
    loop {
        app.quiet().await;
        let report = report(app, order).await;
        let totals = report["totals"].as_array().unwrap();
        let open =
            totals.iter().any(|total| account(&report, total["currency"].as_str().unwrap(), "clearing") != 0);
        if !open && !totals.is_empty() {
            return report;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "unexplained: {report:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The sums are those of the lines, and zero in every currency.
fn adds_up(report: &Value) {
    assert_eq!(report["balanced"], true, "{report:#}");
    for total in report["totals"].as_array().unwrap() {
        assert_eq!(total["balance"], 0, "{report:#}");
        let accounts = total["accounts"].as_array().unwrap();
        let sum: i64 = accounts.iter().map(|one| one["balance"].as_i64().unwrap()).sum();
        assert_eq!(sum, 0, "{report:#}");
        let Some(lines) = report["entries"].as_array() else { continue };
        for one in accounts {
            for side in ["debit", "credit"] {
                let ours =
                    |line: &&Value| line[side] == one["account"] && line["currency"] == total["currency"];
                let booked: i64 =
                    lines.iter().filter(ours).map(|line| line["amount"].as_i64().unwrap()).sum();
                assert_eq!(one[side], booked, "{report:#}");
            }
        }
    }
}

async fn paid(app: &TestApp, card: &str) -> String {
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, card).await.ok();
    app.until(&order, "paid").await;
    order
}

async fn refund(app: &TestApp, order: &str, amount: u64) -> Value {
    let payment = app.show(order).await["payments"][0]["id"].clone();
    let body = json!({"payment": payment, "amount": amount, "reason": "goodwill"});
    app.post("/v1/refunds", body).await.ok()
}

fn movements(report: &Value) -> Vec<String> {
    report["entries"].as_array().unwrap().iter().map(|line| text(&line["movement"])).collect()
}

/// The fee is not told when the money is: it comes later.
/// Covers: I9, S-5.
#[tokio::test(flavor = "multi_thread")]
async fn a_capture_its_late_fee_and_a_refund_are_explained_to_the_cent() {
    let app = TestApp::start().await;
    let unpaid = app.order().await;
    let nothing = report(&app, &unpaid).await;
    assert_eq!((&nothing["entries"], &nothing["totals"]), (&json!([]), &json!([])));
    let order = paid(&app, VISA).await;
    let captured = until_settled(&app, &order).await;
    assert_eq!(movements(&captured), ["capture", "settlement", "settlement"]);
    assert_eq!(account(&captured, "usd", "sales"), -3998);
    assert_eq!(account(&captured, "usd", "fees"), 146);
    assert_eq!(account(&captured, "usd", "gateway_balance"), 3852);
    let fee = &app.show(&order).await["payments"][0]["fee"];
    assert_eq!((&fee["amount"], &fee["currency"]), (&json!(146), &json!("usd")));
    refund(&app, &order, 1000).await;
    refund(&app, &order, 2998).await;
    app.until(&order, "refunded").await;
    let given_back = until_settled(&app, &order).await;
    assert_eq!(account(&given_back, "usd", "refunds"), 3998);
    // The fee is lost.
    assert_eq!(account(&given_back, "usd", "gateway_balance"), -146);
    let line = &given_back["entries"][1];
    assert!(text(&line["transaction"]).starts_with("txn_"), "{line}");
    assert_eq!(
        (&line["payment"], &line["key"]),
        (&app.show(&order).await["payments"][0]["id"], &line["transaction"])
    );
    app.stop().await;
}

/// Covers: fault 147, I9, I10, R-2.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_comes_back_is_booked_back() {
    let app = TestApp::start().await;
    let order = paid(&app, REFUND_FAILS).await;
    refund(&app, &order, 1000).await;
    let failed = |shown: &Value| shown["refunds"][0]["state"] == "failed";
    app.until_that(&order, failed).await;
    let report = until_settled(&app, &order).await;
    assert!(movements(&report).iter().any(|movement| movement == "refund_failed"), "{report:#}");
    assert_eq!(account(&report, "usd", "refunds"), 0);
    assert_eq!(account(&report, "usd", "gateway_balance"), 3852);
    assert_eq!(app.show(&order).await["refundable"], 3998);
    app.stop().await;
}

/// Covers: fault 156, I9, R-5.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_by_hand_at_stripe_is_explained_too() {
    let app = TestApp::start().await;
    let order = paid(&app, VISA).await;
    until_settled(&app, &order).await;
    let intent = text(&app.show(&order).await["payments"][0]["stripe_payment_intent"]);
    app.at_stripe(&format!("payment_intents/{intent}/refund"), json!({"amount": 998})).await.ok();
    app.until_that(&order, |shown| shown["amount_refunded"] == 998).await;
    let report = until_settled(&app, &order).await;
    assert_eq!(account(&report, "usd", "refunds"), 998);
    assert_eq!(account(&report, "usd", "gateway_balance"), 3852 - 998);
    app.stop().await;
}

/// The refund's own event does not hold what it moved in the balance.
/// Covers: fault 33, fault 156, I9, D-15.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_by_hand_is_explained_whichever_event_tells_of_it_first() {
    let app = TestApp::with(|_| {}, false).await;
    for first in ["refund.created", "charge.refunded"] {
        let order = app.order().await;
        let intent = app.intent(&order).await;
        app.pay_intent(&intent, VISA).await.ok();
        let begun = Instant::now();
        while !heard(&app, &intent).await.iter().any(|event| event["type"] == "charge.updated") {
            assert!(begun.elapsed() < Duration::from_secs(20), "no fee");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let before = heard(&app, &intent).await;
        for event in &before {
            app.deliver(event).await.ok();
        }
        until_settled(&app, &order).await;
        app.at_stripe(&format!("payment_intents/{intent}/refund"), json!({"amount": 998})).await.ok();
        let mut news = heard(&app, &intent).await.split_off(before.len());
        news.sort_by_key(|event| event["type"] != first);
        assert!(news.len() > 1 && news[0]["type"] == first, "{news:#?}");
        for event in &news {
            app.deliver(event).await.ok();
            app.quiet().await;
        }
        let report = until_settled(&app, &order).await;
        assert_eq!(account(&report, "usd", "refunds"), 998, "{first}");
    }
    app.stop().await;
}

/// Stripe's events about an intent, the oldest first.
async fn heard(app: &TestApp, intent: &str) -> Vec<Value> {
    let listed = app.stripe("events?limit=100").await;
    let ours = |event: &&Value| event["data"]["object"].to_string().contains(intent);
    listed["data"].as_array().unwrap().iter().rev().filter(ours).cloned().collect()
}

/// Covers: I9, S-5 (the part about the settlement currency).
#[tokio::test(flavor = "multi_thread")]
async fn money_that_settles_in_another_currency_is_zero_in_both() {
    let app = TestApp::start().await;
    app.at_stripe("account", json!({"settlement_currency": "eur", "exchange_rates": {"usd": "0.9"}}))
        .await
        .ok();
    let order = paid(&app, VISA).await;
    let captured = until_settled(&app, &order).await;
    assert_eq!(account(&captured, "usd", "sales"), -3998);
    assert_eq!(account(&captured, "usd", "exchange"), 3998);
    assert_eq!(account(&captured, "eur", "exchange"), -3598);
    let fees = account(&captured, "eur", "fees");
    assert!(fees > 0, "{captured:#}");
    assert_eq!(account(&captured, "eur", "gateway_balance"), 3598 - fees);
    assert_eq!((account(&captured, "usd", "fees"), account(&captured, "usd", "gateway_balance")), (0, 0));
    refund(&app, &order, 1000).await;
    let given_back = until_settled(&app, &order).await;
    assert_eq!(account(&given_back, "usd", "refunds"), 1000);
    assert_eq!(account(&given_back, "usd", "exchange"), 2998);
    assert_eq!(account(&given_back, "eur", "exchange"), -3598 + 900);
    app.stop().await;
}

async fn csv(app: &TestApp, path: &str) -> Vec<String> {
    let reply = app.send(app.request("GET", path).header("accept", "text/csv")).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(reply.header("content-type").unwrap().starts_with("text/csv"), "{:?}", reply.headers);
    assert_eq!(reply.header("vary"), Some("Accept"));
    assert!(reply.header("content-disposition").unwrap().starts_with("attachment; filename="));
    reply.text.lines().map(str::to_owned).collect()
}

/// The machine's day in UTC.
fn today(app: &TestApp) -> String {
    app.app.ports.clock.now().date().to_string()
}

/// Covers: I9.
#[tokio::test(flavor = "multi_thread")]
async fn reports_are_the_same_as_json_csv_and_on_a_terminal() {
    let app = TestApp::start().await;
    let order = paid(&app, VISA).await;
    let shown = until_settled(&app, &order).await;
    let path = format!("/v1/reports/orders/{order}");
    let lines = csv(&app, &path).await;
    assert_eq!(lines[0], "date,movement,order,payment,debit,credit,amount,currency,transaction,key");
    let entries = shown["entries"].as_array().unwrap();
    assert_eq!(lines.len(), entries.len() + 1);
    for (line, entry) in lines[1..].iter().zip(entries) {
        let cell = |name: &str| entry[name].as_str().map_or_else(|| entry[name].to_string(), str::to_owned);
        let transaction = entry["transaction"].as_str().unwrap_or_default();
        let expected = [
            cell("date"),
            cell("movement"),
            order.clone(),
            cell("payment"),
            cell("debit"),
            cell("credit"),
            cell("amount"),
            cell("currency"),
            transaction.to_owned(),
            cell("key"),
        ];
        assert_eq!(*line, expected.join(","));
        assert!(line.split(',').all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{line}");
    }
    let day = app.get(&format!("/v1/reports/days/{}", today(&app))).await.ok();
    adds_up(&day);
    assert_eq!((&day["totals"], &day["movements"]), (&shown["totals"], &json!(2)));
    assert_eq!(csv(&app, &format!("/v1/reports/days/{}", today(&app))).await, lines);

    let (folder, url, date) = (tempfile::tempdir().unwrap(), app.database_url(), today(&app));
    let run = async |args: &[&str]| {
        let ended = Process::run(folder.path(), args, &[("DATABASE_URL", &url)]).await;
        assert!(ended.status.success(), "{ended:?}");
        ended.stdout
    };
    assert_eq!(run(&["report", "order", &order, "--csv"]).await.lines().collect::<Vec<_>>(), lines);
    assert_eq!(run(&["report", "day", &date, "--csv"]).await.lines().collect::<Vec<_>>(), lines);
    let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    assert_eq!(json(run(&["report", "order", &order, "--json"]).await), shown);
    assert_eq!(json(run(&["report", "day", &date, "--json"]).await), day);
    let table = run(&["report", "order", &order]).await;
    for part in ["settlement", "39.98 USD", "-39.98 USD", "gateway_balance", "38.52 USD", "\nbalanced\n"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let table = run(&["report", "day", &date]).await;
    assert!(table.starts_with(&format!("{date}: 2 movements in 3 lines\n")), "{table}");
    let nobodys = "ord_00000000000000000000000000";
    let refused = Process::run(folder.path(), &["report", "order", nobodys], &[("DATABASE_URL", &url)]).await;
    assert!(refused.complaint().contains("no such order"), "{refused:?}");
    app.stop().await;
}

/// A day is read in pages; it begins and ends at midnight in UTC.
/// Covers: I9.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_day_is_reported_whole() {
    let app = TestApp::start().await;
    let order = paid(&app, VISA).await;
    until_settled(&app, &order).await;
    let many = "INSERT INTO ledger_entries (key, line, movement, order_id, payment_id, mode, debit, credit, amount,
                                            currency, at)
                SELECT 'capture:' || $1 || ((n + 2) / 2), 1 + (n + 2) % 2, 'capture', id, order_id, mode, 'clearing', 'sales', 1,
                       'jpy', timestamptz '2020-02-29 00:00Z' + n * interval '30 seconds'
                FROM generate_series(-2, 2881) AS n, (SELECT id, order_id, mode FROM payments LIMIT 1) AS payment";
    app.by_hand(many, "many").await;
    let day = app.get("/v1/reports/days/2020-02-29").await.ok();
    adds_up(&day);
    assert_eq!((&day["entries"], &day["movements"]), (&json!(2880), &json!(1440)));
    assert_eq!(account(&day, "jpy", "clearing"), 2880);
    let lines = csv(&app, "/v1/reports/days/2020-02-29").await;
    assert_eq!(lines.len(), 2881);
    assert!(
        lines[1].starts_with("2020-02-29T00:00:00Z,") && lines[2880].starts_with("2020-02-29T23:59:30Z,")
    );
    assert_eq!(app.get("/v1/reports/days/2020-02-28").await.ok()["entries"], 2);
    assert_eq!(app.get("/v1/reports/days/2020-03-01").await.ok()["entries"], 2);
    let empty = app.get("/v1/reports/days/2020-03-02").await.ok();
    assert_eq!((&empty["totals"], &empty["balanced"]), (&json!([]), &json!(true)));
    for day in ["2020-02-30", "x", "2020-2-1", "9999-12-31x", "%00"] {
        let refused = app.get(&format!("/v1/reports/days/{day}")).await;
        assert_eq!(refused.refused(day), (404, "not_found".to_owned()), "{day}");
    }
    for day in ["0001-01-01", "9999-12-31"] {
        assert_eq!(app.get(&format!("/v1/reports/days/{day}")).await.ok()["entries"], 0, "{day}");
    }
    let nobodys = app.get("/v1/reports/orders/ord_00000000000000000000000000").await;
    assert_eq!(nobodys.problem(), (404, "not_found".to_owned()));
    app.stop().await;
}
