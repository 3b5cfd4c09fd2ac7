//! Disputes from outside: told by Stripe, answered by an operator, booked to the cent.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    openapi::{Judge, nothing_undescribed},
    reports::{account, report, until_settled},
    support::{Reply, TestApp, VISA, text},
};

const DISPUTED: &str = "4000000000000259";
const INQUIRED: &str = "4000000000001976";
const DISPUTED_TWICE: &str = "4000000404000079";
/// What Stripe takes for a dispute, whoever wins it.
const FEE: i64 = 1_500;

/// An order whose payment is disputed at once, and the dispute.
async fn disputed(app: &TestApp, card: &str) -> (String, Value) {
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, card).await.ok();
    app.until(&order, "paid").await;
    (order.clone(), until(app, &order, |_| true).await)
}

/// An order that was paid, its intent, and a dispute about it that was opened by hand.
async fn contested(app: &TestApp, complaint: Value) -> (String, String, Value) {
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    app.until(&order, "paid").await;
    app.at_stripe(&format!("payment_intents/{intent}/dispute"), complaint).await.ok();
    let dispute = until(app, &order, |_| true).await;
    (order, intent, dispute)
}

/// Waits until the newest dispute about an order is so, at most 20 seconds.
async fn until(app: &TestApp, order: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let payment = text(&app.show(order).await["payments"][0]["id"]);
    let begun = Instant::now();
    loop {
        let listed = app.get(&format!("/v1/disputes?payment={payment}")).await.ok();
        if !listed["data"][0].is_null() && holds(&listed["data"][0]) {
            return listed["data"][0].clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "still {listed:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_status(app: &TestApp, order: &str, status: &str) -> Value {
    until(app, order, |dispute| dispute["status"] == status).await
}

async fn say(app: &TestApp, dispute: &Value, what: &str, body: Value) -> Reply {
    app.post(&format!("/v1/disputes/{}/{what}", text(&dispute["id"])), body).await
}

/// Lets the bank decide.
async fn decided(app: &TestApp) {
    app.at_stripe("clock", json!({"advance": "10s"})).await.ok();
}

async fn refund(app: &TestApp, order: &str, amount: Option<u64>) -> Reply {
    let payment = app.show(order).await["payments"][0]["id"].clone();
    let mut body = json!({"payment": payment, "reason": "requested_by_customer"});
    if let Some(amount) = amount {
        body["amount"] = amount.into();
    }
    app.post("/v1/refunds", body).await
}

/// What the accounts of a payment over 39.98 USD, settled for a fee of 146, hold in the end.
async fn books(app: &TestApp, order: &str, disputes: i64, refunds: i64, fees: i64) {
    let report = until_settled(app, order).await;
    assert_eq!(account(&report, "usd", "sales"), -3998);
    assert_eq!(account(&report, "usd", "disputes"), disputes, "{report:#}");
    assert_eq!(account(&report, "usd", "refunds"), refunds, "{report:#}");
    assert_eq!(account(&report, "usd", "fees"), 146 + fees, "{report:#}");
    assert_eq!(account(&report, "usd", "gateway_balance"), 3998 - 146 - disputes - refunds - fees);
}

/// Covers: fault 148, fault 145, X-1, X-4, I9, S-5.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_is_answered_and_won_and_the_money_comes_back_without_the_fee() {
    let app = TestApp::start().await;
    let (order, dispute) = disputed(&app, DISPUTED).await;
    assert_eq!(
        (&dispute["object"], &dispute["status"], &dispute["reason"], &dispute["amount"]),
        (&json!("dispute"), &json!("needs_response"), &json!("fraudulent"), &json!(3998))
    );
    assert_eq!((&dispute["order"], &dispute["refundable"]), (&json!(order), &json!(false)));
    assert_eq!((&dispute["submitted"], &dispute["answering"]), (&json!(false), &json!(null)));
    assert!(dispute["due_by"].is_string() && dispute["suggested_evidence"].is_null(), "{dispute}");
    books(&app, &order, 3998, 0, FEE).await;
    let lines = report(&app, &order).await["entries"].as_array().unwrap().clone();
    let fee = lines.iter().filter(|line| line["amount"] == FEE).collect::<Vec<_>>();
    assert_eq!(fee.len(), 1, "the fee is a line of its own");
    assert_eq!((&fee[0]["movement"], &fee[0]["debit"]), (&json!("dispute"), &json!("fees")));
    let refused = refund(&app, &order, None).await;
    assert_eq!(refused.problem(), (409, "dispute_open".to_owned()));
    assert!(text(&refused.json()["detail"]).contains("dispute"), "it says why: {}", refused.text);

    let staged =
        json!({"evidence": {"uncategorized_text": "winning_evidence", "service_date": "2026-11-21"}});
    let staged = say(&app, &dispute, "evidence", staged).await;
    assert_eq!((staged.status, staged.json()["submitted"].clone()), (200, json!(false)));
    let removed = say(&app, &dispute, "evidence", json!({"evidence": {"service_date": ""}})).await.ok();
    assert_eq!(removed["evidence"], json!({"uncategorized_text": "winning_evidence"}));
    let at_stripe = format!("disputes/{}", text(&dispute["gateway_dispute"]));
    let kept = app.stripe(&at_stripe).await;
    assert_eq!(kept["evidence"]["uncategorized_text"], "winning_evidence");
    assert_eq!(kept["evidence_details"]["submission_count"], 0);

    let shown = app.get(&format!("/v1/disputes/{}", text(&dispute["id"]))).await.ok();
    let suggested = &shown["suggested_evidence"];
    assert_eq!(suggested["product_description"], "2 x Tea, 100 g at 19.99 USD");
    assert_eq!(suggested["customer_email_address"], "ada@example.org");
    assert_eq!(suggested["uncategorized_text"], json!(null), "somebody wrote it");
    let submitted = say(&app, &dispute, "submit", json!({})).await.ok();
    assert_eq!((&submitted["submitted"], &submitted["status"]), (&json!(true), &json!("under_review")));
    let sent = app.stripe(&at_stripe).await;
    assert_eq!(sent["evidence"]["product_description"], suggested["product_description"]);
    assert_eq!(sent["evidence"]["uncategorized_text"], "winning_evidence");
    assert_eq!(say(&app, &dispute, "submit", json!({})).await.problem().1, "illegal_transition");

    decided(&app).await;
    let won = until_status(&app, &order, "won").await;
    assert_eq!((&won["refundable"], &won["due_by"]), (&json!(true), &json!(null)));
    books(&app, &order, 0, 0, FEE).await;
    for (what, body) in [("evidence", json!({"evidence": {}})), ("submit", json!({})), ("accept", json!({}))]
    {
        let late = say(&app, &dispute, what, body).await;
        assert_eq!(late.problem(), (409, "illegal_transition".to_owned()), "{what}");
    }
    refund(&app, &order, None).await.ok();
    app.until(&order, "refunded").await;
    books(&app, &order, 0, 3998, FEE).await;
    let events: Vec<_> = app
        .timeline(&order)
        .await
        .iter()
        .map(|line| format!("{}/{}", text(&line["subject"]), text(&line["event"])))
        .collect();
    for event in ["dispute/opened", "dispute/stage_requested", "dispute/submit_requested", "dispute/won"] {
        assert!(events.iter().any(|told| told == event), "no {event} in {events:?}");
    }
    app.stop().await;
}

/// Covers: fault 148, X-1, X-2, I3, I9.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_is_lost_and_what_was_lost_cannot_be_refunded_too() {
    let app = TestApp::start().await;
    let (order, dispute) = disputed(&app, DISPUTED).await;
    let losing = json!({"evidence": {"uncategorized_text": "losing_evidence"}});
    say(&app, &dispute, "evidence", losing).await.ok();
    say(&app, &dispute, "submit", json!({})).await.ok();
    decided(&app).await;
    until_status(&app, &order, "lost").await;
    books(&app, &order, 3998, 0, FEE).await;
    assert_eq!(refund(&app, &order, Some(1)).await.status, 409);
    // The bank turns its decision round, and back: each time the money follows.
    let decide = format!("disputes/{}/decide", text(&dispute["gateway_dispute"]));
    app.at_stripe(&decide, json!({"status": "won"})).await.ok();
    until_status(&app, &order, "won").await;
    books(&app, &order, 0, 0, FEE).await;
    app.at_stripe(&decide, json!({"status": "lost"})).await.ok();
    until_status(&app, &order, "lost").await;
    books(&app, &order, 3998, 0, FEE).await;
    app.stop().await;
}

/// Covers: fault 148, I17.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_is_accepted_once() {
    let app = TestApp::start().await;
    let (order, dispute) = disputed(&app, DISPUTED).await;
    let path = format!("/v1/disputes/{}/accept", text(&dispute["id"]));
    let accepted = app.post_with_key(&path, "give-up", json!({})).await;
    let again = app.post_with_key(&path, "give-up", json!({})).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((accepted.status, accepted.json()), (again.status, again.json()));
    assert_eq!(accepted.ok()["status"], "lost");
    assert_eq!(app.post(&path, json!({})).await.problem(), (409, "illegal_transition".to_owned()));
    books(&app, &order, 3998, 0, FEE).await;
    app.stop().await;
}

/// Covers: fault 145, fault 148.
#[tokio::test(flavor = "multi_thread")]
async fn an_inquiry_moves_no_money_and_a_refund_answers_it() {
    let app = TestApp::start().await;
    let (order, inquiry) = disputed(&app, INQUIRED).await;
    assert_eq!(
        (&inquiry["status"], &inquiry["refundable"]),
        (&json!("warning_needs_response"), &json!(true))
    );
    books(&app, &order, 0, 0, 0).await;
    refund(&app, &order, None).await.ok();
    app.until(&order, "refunded").await;
    books(&app, &order, 0, 3998, 0).await;
    let suggested = app.get(&format!("/v1/disputes/{}", text(&inquiry["id"]))).await.ok();
    let explained = text(&suggested["suggested_evidence"]["refund_refusal_explanation"]);
    assert!(explained.contains("39.98 USD was refunded on "), "{explained}");
    let closing = json!({"evidence": {"uncategorized_text": "winning_evidence"}});
    say(&app, &inquiry, "evidence", closing).await.ok();
    say(&app, &inquiry, "submit", json!({})).await.ok();
    decided(&app).await;
    until_status(&app, &order, "warning_closed").await;
    books(&app, &order, 0, 3998, 0).await;
    app.stop().await;
}

/// Covers: fault 145, fault 148, X-2.
#[tokio::test(flavor = "multi_thread")]
async fn an_inquiry_that_escalates_takes_the_money_and_ends_refunds() {
    let app = TestApp::start().await;
    let (order, inquiry) = disputed(&app, INQUIRED).await;
    refund(&app, &order, Some(998)).await.ok();
    let path = format!("disputes/{}/escalate", text(&inquiry["gateway_dispute"]));
    app.at_stripe(&path, json!({})).await.ok();
    let dispute = until_status(&app, &order, "needs_response").await;
    assert_eq!((&dispute["id"], &dispute["refundable"]), (&inquiry["id"], &json!(false)));
    assert_eq!(refund(&app, &order, Some(1)).await.problem(), (409, "dispute_open".to_owned()));
    // Stripe takes the whole charge, whatever was given back before.
    books(&app, &order, 3998, 998, FEE).await;
    app.stop().await;
}

/// Covers: fault 148, X-2.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_disputed_and_lost() {
    let app = TestApp::start().await;
    let (order, _, dispute) = contested(&app, json!({"amount": 1000, "reason": "duplicate"})).await;
    assert_eq!((&dispute["amount"], &dispute["reason"]), (&json!(1000), &json!("duplicate")));
    books(&app, &order, 1000, 0, FEE).await;
    say(&app, &dispute, "accept", json!({})).await.ok();
    until_status(&app, &order, "lost").await;
    books(&app, &order, 1000, 0, FEE).await;
    let shown = app.show(&order).await;
    assert_eq!((&shown["state"], &shown["amount_disputed"]), (&json!("paid"), &json!(1000)));
    assert_eq!(shown["disputes"][0]["id"], dispute["id"]);
    app.stop().await;
}

/// Covers: fault 146, I3, X-2.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_after_a_full_refund_is_answered_with_the_refund() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    app.until(&order, "paid").await;
    let refunded = refund(&app, &order, None).await.ok();
    app.until(&order, "refunded").await;
    app.at_stripe(&format!("payment_intents/{intent}/dispute"), json!({})).await.ok();
    let dispute = until(&app, &order, |_| true).await;
    let shown = app.get(&format!("/v1/disputes/{}", text(&dispute["id"]))).await.ok();
    let name =
        app.get(&format!("/v1/refunds/{}", text(&refunded["id"]))).await.ok()["gateway_refund"].clone();
    let explained = text(&shown["suggested_evidence"]["refund_refusal_explanation"]);
    assert!(explained.contains(&text(&name)), "{explained}");
    assert_eq!(app.show(&order).await["amount_refunded"], 3998, "the refund is not booked again");
    say(&app, &dispute, "evidence", json!({"evidence": {"uncategorized_text": "winning_evidence"}}))
        .await
        .ok();
    say(&app, &dispute, "submit", json!({})).await.ok();
    decided(&app).await;
    until_status(&app, &order, "won").await;
    books(&app, &order, 0, 3998, FEE).await;
    app.stop().await;
}

/// Covers: fault 148, I9.
#[tokio::test(flavor = "multi_thread")]
async fn two_disputes_of_one_payment_are_kept_apart() {
    let app = TestApp::start().await;
    let (order, _) = disputed(&app, DISPUTED_TWICE).await;
    let both = |shown: &Value| shown["disputes"].as_array().unwrap().len() == 2;
    let shown = app.until_that(&order, both).await;
    app.quiet().await;
    let mut statuses: Vec<_> =
        shown["disputes"].as_array().unwrap().iter().map(|one| text(&one["status"])).collect();
    statuses.sort();
    assert_eq!(statuses, ["needs_response", "warning_needs_response"]);
    assert_eq!(app.show(&order).await["amount_disputed"], 3998, "an inquiry withholds nothing");
    books(&app, &order, 3998, 0, FEE).await;
    app.stop().await;
}

/// Covers: fault 148, I9, X-2.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_that_settles_in_another_currency_is_booked_as_it_moved() {
    let app = TestApp::start().await;
    let account_in = json!({"settlement_currency": "eur", "exchange_rates": {"usd": "0.9"}});
    app.at_stripe("account", account_in).await.ok();
    let (order, dispute) = disputed(&app, DISPUTED).await;
    let taken = until_settled(&app, &order).await;
    assert_eq!((account(&taken, "eur", "disputes"), account(&taken, "usd", "disputes")), (3598, 0));
    assert_eq!(dispute["currency"], "usd");
    let decide = format!("disputes/{}/decide", text(&dispute["gateway_dispute"]));
    app.at_stripe(&decide, json!({"status": "won"})).await.ok();
    until_status(&app, &order, "won").await;
    let back = until_settled(&app, &order).await;
    assert_eq!(account(&back, "eur", "disputes"), 0);
    assert_eq!(account(&back, "eur", "fees"), account(&taken, "eur", "fees"), "the fee is not given back");
    app.stop().await;
}

/// Covers: fault 148.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_that_was_prevented_took_nothing_and_cannot_be_answered() {
    let app = TestApp::start().await;
    let (order, _, dispute) = contested(&app, json!({"status": "prevented"})).await;
    assert_eq!((&dispute["status"], &dispute["due_by"]), (&json!("prevented"), &json!(null)));
    assert_eq!(say(&app, &dispute, "accept", json!({})).await.problem().1, "illegal_transition");
    assert_eq!(app.show(&order).await["amount_disputed"], 0);
    books(&app, &order, 0, 0, 0).await;
    app.stop().await;
}

/// Covers: I18, I30, fault 148 (the part about submitting once).
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_answer_at_once_one_does() {
    let app = TestApp::start().await;
    let (order, dispute) = disputed(&app, DISPUTED).await;
    let answers =
        (0..12).map(|n| say(&app, &dispute, if n % 2 == 0 { "submit" } else { "accept" }, json!({})));
    let answers = futures::future::join_all(answers).await;
    let taken = answers.iter().filter(|answer| answer.status < 300).count();
    assert_eq!(taken, 1, "{answers:#?}");
    for refused in answers.iter().filter(|answer| answer.status >= 300) {
        assert_eq!(refused.problem(), (409, "illegal_transition".to_owned()));
    }
    app.quiet().await;
    let calls = app.stripe("events?type=charge.dispute.updated").await["data"].as_array().unwrap().len()
        + app.stripe("events?type=charge.dispute.closed").await["data"].as_array().unwrap().len();
    assert_eq!(calls, 1, "Stripe was told once");
    assert_eq!(until(&app, &order, |dispute| dispute["answering"].is_null()).await["id"], dispute["id"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_about_disputes_and_the_books_is_what_the_description_says() {
    let app = TestApp::start().await;
    let (order, dispute) = disputed(&app, DISPUTED).await;
    let (judge, id) = (Judge(&app), text(&dispute["id"]));
    let shown = judge.send("get", "/v1/disputes/{id}", &id, None).await.ok();
    nothing_undescribed("Dispute", &shown);
    let payment = text(&dispute["payment"]);
    let listed = judge.send("get", &format!("/v1/disputes?payment={payment}&limit=1"), "", None).await.ok();
    assert_eq!(listed["data"][0]["id"], dispute["id"]);
    let written = json!({"evidence": {"customer_name": "Ada"}});
    judge.send("post", "/v1/disputes/{id}/evidence", &id, Some(written.clone())).await.ok();
    judge.send("post", "/v1/disputes/{id}/submit", &id, None).await.ok();
    for (what, body, expected) in [
        ("evidence", Some(json!({"evidence": {"zzz": "x"}})), (422, "invalid_request")),
        ("evidence", Some(written), (409, "illegal_transition")),
        ("submit", None, (409, "illegal_transition")),
        ("accept", Some(json!({})), (409, "illegal_transition")),
    ] {
        let refused = judge.send("post", &format!("/v1/disputes/{{id}}/{what}"), &id, body).await;
        assert_eq!(refused.problem(), (expected.0, expected.1.to_owned()), "{what}");
    }
    until_settled(&app, &order).await;
    let report = judge.send("get", "/v1/reports/orders/{id}", &order, None).await.ok();
    nothing_undescribed("OrderReport", &report);
    nothing_undescribed("LedgerEntry", &report["entries"][0]);
    nothing_undescribed("CurrencyTotals", &report["totals"][0]);
    nothing_undescribed("AccountTotals", &report["totals"][0]["accounts"][0]);
    let date = text(&report["entries"][0]["date"]);
    let day = format!("/v1/reports/days/{}", &date[..10]);
    nothing_undescribed("DayReport", &app.get(&day).await.ok());
    judge.send("get", "/v1/reports/days/{day}", "", None).await.refused("no day");
    judge.send("get", "/v1/breaks?open=true", "", None).await.ok();
    app.stop().await;
}

/// Events as Stripe keeps them, the oldest first.
async fn events(app: &TestApp) -> Vec<Value> {
    let listed = app.stripe("events?limit=100").await;
    assert_eq!(listed["has_more"], false);
    let mut events = listed["data"].as_array().unwrap().clone();
    events.reverse();
    events
}

/// Nothing is known of the payment, not even Stripe's name for it, when its dispute is heard of.
/// Covers: O-5, X-5, I22, fault 32, fault 148.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_that_is_heard_of_first_pays_the_order_and_later_news_change_nothing() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    let session = app.session(&order).await;
    app.pay_session(&session, DISPUTED).await.ok();
    let events = events(&app).await;
    let first = events.iter().find(|event| event["type"] == "charge.dispute.created").unwrap();
    assert_eq!(app.show(&order).await["payments"][0]["stripe_payment_intent"], json!(null));
    app.deliver(first).await.ok();
    let paid = app.until(&order, "paid").await;
    assert_eq!((&paid["amount_captured"], &paid["amount_disputed"]), (&json!(3998), &json!(3998)));
    let dispute = until_status(&app, &order, "needs_response").await;
    // All the rest, the newest first, and once more the other way round.
    for event in events.iter().rev().chain(&events) {
        let again = json!({"id": format!("{}x{}", text(&event["id"]), app.now())});
        app.deliver(event).await.ok();
        let mut copy = event.clone();
        copy["id"] = again["id"].clone();
        app.deliver(&copy).await.ok();
    }
    app.quiet().await;
    assert_eq!(until(&app, &order, |_| true).await, dispute);
    let lines = report(&app, &order).await["entries"].as_array().unwrap().clone();
    let booked: Vec<_> = lines
        .iter()
        .filter(|line| line["movement"] == "dispute")
        .map(|line| line["amount"].clone())
        .collect();
    assert_eq!(booked, [json!(3998), json!(FEE)], "one withdrawal, one fee");
    assert_eq!(app.show(&order).await["state"], "paid");
    assert_eq!(app.show(&order).await["disputes"].as_array().unwrap().len(), 1);
    app.stop().await;
}

/// The end is heard of before the beginning, and everything twice.
/// Covers: X-5, I22, X-1, I9.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_dispute_told_backwards_and_twice_is_booked_once() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, DISPUTED).await.ok();
    let at_stripe = app.stripe("disputes?limit=1").await["data"][0].clone();
    let decide = format!("disputes/{}/decide", text(&at_stripe["id"]));
    app.at_stripe(&decide, json!({"status": "won"})).await.ok();
    let events = events(&app).await;
    for event in events.iter().rev().chain(events.iter().rev()) {
        app.deliver(event).await.ok();
    }
    app.quiet().await;
    until_status(&app, &order, "won").await;
    let lines = report(&app, &order).await["entries"].as_array().unwrap().clone();
    let steps: Vec<_> = lines.iter().filter(|line| line["movement"] == "dispute").collect();
    assert_eq!(steps.len(), 3, "a withdrawal, its fee, and its coming back: {steps:#?}");
    assert_eq!(account(&report(&app, &order).await, "usd", "disputes"), 0);
    app.stop().await;
}

/// Covers: fault 148 (the part about the deadline).
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_told_of_a_deadline_once() {
    let app = TestApp::start().await;
    let (order, _, dispute) = contested(&app, json!({"answer_seconds": 3600})).await;
    let told = async || {
        let timeline = app.timeline(&order).await;
        timeline.iter().filter(|line| line["event"] == "deadline_near").cloned().collect::<Vec<_>>()
    };
    let ring = "UPDATE jobs SET due_at = now() WHERE state = 'ready' AND kind = 'watch_order'
                AND leased_until IS NULL AND $1 <> ''";
    let begun = Instant::now();
    while told().await.is_empty() {
        app.by_hand(ring, "x").await;
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody was told");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..3 {
        app.by_hand(ring, "x").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let told = told().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["detail"]["dispute"], dispute["id"]);
    app.stop().await;
}

/// Covers: fault 16 (the part about disputes), I24.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stripe_does_not_acknowledge_is_under_way_until_it_does() {
    let app = TestApp::start().await;
    let (order, dispute) = disputed(&app, DISPUTED).await;
    let lost = json!({"fault": "gateway_timeout", "effect": true, "method": "POST", "path": "/v1/disputes*", "times": 1});
    app.at_stripe("faults", lost).await.ok();
    let asked = say(&app, &dispute, "submit", json!({})).await;
    assert_eq!((asked.status, asked.json()["answering"].clone()), (202, json!("submit")));
    assert_eq!(say(&app, &dispute, "accept", json!({})).await.problem().1, "illegal_transition");
    // The worker goes on with it when the request's hold on it has ended, under the same key.
    let hasten = "UPDATE jobs SET due_at = now(), leased_until = NULL
                  WHERE state = 'ready' AND kind = 'perform_call' AND $1 <> ''";
    app.by_hand(hasten, "x").await;
    let done = until(&app, &order, |dispute| dispute["answering"].is_null()).await;
    assert_eq!((&done["submitted"], &done["status"]), (&json!(true), &json!("under_review")));
    let at_stripe = app.stripe(&format!("disputes/{}", text(&dispute["gateway_dispute"]))).await;
    assert_eq!(at_stripe["evidence_details"]["submission_count"], 1);
    app.stop().await;
}

/// Covers: fault 148 (the part where Stripe says no).
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stripe_refuses_is_said_to_be_and_what_was_written_stays() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, DISPUTED).await.ok();
    let created = events(&app).await;
    let created = created.iter().find(|event| event["type"] == "charge.dispute.created").unwrap();
    app.deliver(created).await.ok();
    let dispute = until_status(&app, &order, "needs_response").await;
    let decide = format!("disputes/{}/decide", text(&dispute["gateway_dispute"]));
    app.at_stripe(&decide, json!({"status": "lost"})).await.ok();
    let written = json!({"evidence": {"customer_name": "Ada"}});
    assert_eq!(say(&app, &dispute, "evidence", written).await.problem(), (409, "answer_refused".to_owned()));
    let now = until_status(&app, &order, "lost").await;
    assert_eq!(now["evidence"], json!({"customer_name": "Ada"}));
    assert_eq!(now["answering"], json!(null));
    app.stop().await;
}

/// Covers: I32.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_evidence_is_refused_by_its_part_and_nothing_is_kept() {
    let app = TestApp::start().await;
    let (order, dispute) = disputed(&app, DISPUTED).await;
    let long = "x".repeat(20_001);
    for (body, field) in [
        (json!({"evidence": {"receipt": "file_1"}}), "evidence.receipt"),
        (json!({"evidence": {"zzz": "x"}}), "evidence.zzz"),
        (json!({"evidence": {"customer_name": long}}), "evidence.customer_name"),
        (json!({"evidence": {"customer_name": 1}}), "evidence.customer_name"),
        (json!({"evidence": {"customer_name": "a\u{0}b"}}), "evidence.customer_name"),
        (json!({"evidence": []}), "evidence"),
        (json!({"zzz": 1}), "zzz"),
        (json!({}), "evidence"),
    ] {
        let refused = say(&app, &dispute, "evidence", body.clone()).await;
        assert_eq!(refused.field("evidence"), field, "{body}");
    }
    for what in ["submit", "accept"] {
        assert_eq!(say(&app, &dispute, what, json!({"zzz": 1})).await.field(what), "zzz");
    }
    for query in ["payment=x", "limit=0", "limit=101", "starting_after=ord_1", "zzz=1"] {
        let field = query.split('=').next().unwrap();
        assert_eq!(app.get(&format!("/v1/disputes?{query}")).await.field(query), field);
    }
    let nobodys = "dis_00000000000000000000000000";
    for (method, path) in [("GET", ""), ("POST", "/submit"), ("POST", "/accept")] {
        let request = app.request(method, &format!("/v1/disputes/{nobodys}{path}"));
        assert_eq!(app.send(request).await.problem(), (404, "not_found".to_owned()), "{path}");
    }
    let now = until(&app, &order, |_| true).await;
    assert_eq!((&now["evidence"], &now["answering"]), (&json!({}), &json!(null)));
    // What a person wrote may hold any text: it comes back as it was sent.
    let text = "line one\nline two\t\u{e9}\u{1f375} <b>'\";--";
    let kept = say(&app, &dispute, "evidence", json!({"evidence": {"customer_name": text}})).await.ok();
    assert_eq!(kept["evidence"]["customer_name"], text);
    let pages = app.get("/v1/disputes?limit=1").await.ok();
    assert_eq!((&pages["data"][0]["id"], &pages["has_more"]), (&dispute["id"], &json!(false)));
    let next =
        app.get(&format!("/v1/disputes?starting_after={}", dispute["id"].as_str().unwrap())).await.ok();
    assert_eq!(next["data"], json!([]));
    let nobodys = app.get("/v1/disputes?payment=pay_00000000000000000000000000").await.ok();
    assert_eq!(nobodys["data"], json!([]));
    app.stop().await;
}

/// Covers: I32, fault 116.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_of_the_other_mode_is_as_unknown_as_one_that_never_was() {
    let app = TestApp::start().await;
    let (_, _, dispute) = contested(&app, json!({"status": "prevented"})).await;
    app.quiet().await;
    let live = "WITH one AS (UPDATE orders SET mode = 'live'), two AS (UPDATE payments SET mode = 'live')
                UPDATE disputes SET mode = 'live' WHERE $1 <> ''";
    app.by_hand(live, "x").await;
    for (method, path) in [("GET", ""), ("POST", "/submit"), ("POST", "/accept")] {
        let request = app.request(method, &format!("/v1/disputes/{}{path}", text(&dispute["id"])));
        assert_eq!(app.send(request).await.problem(), (404, "not_found".to_owned()), "{path}");
    }
    assert_eq!(app.get("/v1/disputes").await.ok()["data"], json!([]));
    app.stop().await;
}
