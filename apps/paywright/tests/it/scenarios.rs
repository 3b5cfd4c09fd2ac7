//! Stripe at its worst, from outside: whatever it does, the answer is honest, and the end is the same.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{Reply, TestApp, VISA, WEBHOOK_SECRET, signature, text};

/// One that soon gives up a call.
async fn without_webhooks() -> TestApp {
    TestApp::with(|settings| settings.stripe.deadline_seconds = 2, false).await
}

/// The worker goes on with it later.
async fn put_off(app: &TestApp) {
    let sql = "UPDATE jobs SET due_at = now() + interval '1 hour', leased_until = NULL
               WHERE state = 'ready' AND kind = $1";
    app.by_hand(sql, "perform_call").await;
}

/// The worker goes on at once.
async fn hasten(app: &TestApp) {
    let sql = "UPDATE jobs SET due_at = now() WHERE state = 'ready' AND kind = $1 AND leased_until IS NULL";
    app.by_hand(sql, "perform_call").await;
}

/// Waits until no call is without a known outcome any more, at most 20 seconds.
async fn resolved(app: &TestApp) {
    let begun = Instant::now();
    while app.count("SELECT count(*) FROM gateway_calls WHERE state = 'recorded'").await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "an outcome stays unknown");
        hasten(app).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    app.quiet().await;
}

/// Stripe took no notice that anybody could rely on: neither done, nor refused, nor under way.
fn assert_no_answer(reply: &Reply, what: &str) {
    assert_eq!(reply.problem(), (503, "unavailable".to_owned()), "{what}: {}", reply.text);
    assert!(reply.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()), "{what}");
    assert!(!reply.text.contains("_secret_"), "{what}: {}", reply.text);
}

/// Refunds of this card are pending until they are settled.
const WAITS: &str = "4000000000007726";

/// What Stripe, or something before it, makes of a request.
const MISDEEDS: [(&str, bool); 14] = [
    ("bad_gateway", false),
    ("bad_gateway", true),
    ("unavailable", false),
    ("gateway_timeout", true),
    ("error_500", false),
    ("error_500", true),
    ("html_error", true),
    ("empty_body", true),
    ("endless_body", true),
    ("truncate", true),
    ("drip", true),
    ("other_object", true),
    ("conflict", false),
    ("lock_timeout", false),
];

/// A misdeed at the next request to `path`.
fn once(misdeed: (&str, bool), path: &str) -> Value {
    let (fault, effect) = misdeed;
    let mut rule = json!({"fault": fault, "method": "POST", "path": path, "times": 1});
    if !matches!(fault, "truncate" | "drip" | "other_object" | "conflict" | "lock_timeout") {
        rule["effect"] = effect.into();
    }
    rule
}

/// A client is told that nobody knows, and when to ask again: never that it is done or under way.
///
/// Covers: U-1, U-5, U-6, I24, fault 5, fault 6, fault 7, fault 8, fault 9, fault 12, fault 13, fault 14, fault 16,
/// fault 22.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_the_request_a_payment_that_stripe_did_not_confirm_is_not_claimed() {
    let app = without_webhooks().await;
    let healthy = app.order().await;
    app.intent(&healthy).await;
    let mut orders = Vec::new();
    for misdeed in MISDEEDS {
        let order = app.order().await;
        app.faults(once(misdeed, "/v1/payment_intents")).await;
        let reply = app.command(&order, "payment-intent", json!({})).await;
        app.no_faults().await;
        put_off(&app).await;
        assert_no_answer(&reply, &format!("{misdeed:?}"));
        let shown = app.show(&order).await;
        assert_eq!(shown["payments"][0]["state"], "created", "{misdeed:?}: {shown:#}");
        assert_eq!(shown["amount_captured"], 0);
        // Answers in between, so that this is not taken for an outage.
        for _ in 0..2 {
            assert!(!app.intent(&healthy).await.is_empty());
        }
        orders.push(order);
    }
    // A key that failed for good is given up only once it is old enough to be believed absent.
    let aged = "UPDATE gateway_calls SET recorded_at = recorded_at - interval '2 minutes' WHERE state = $1";
    app.by_hand(aged, "recorded").await;
    resolved(&app).await;
    for (order, misdeed) in orders.iter().zip(MISDEEDS) {
        let theirs = app.at_stripe_of("payment_intents", order).await;
        assert_eq!(theirs.len(), 1, "{misdeed:?}: {theirs:#?}");
        let intent = app.intent(order).await;
        assert_eq!(theirs[0]["id"], intent.as_str(), "{misdeed:?}");
        app.pay_intent(&intent, VISA).await.ok();
        let payment = text(&app.show(order).await["payments"][0]["id"]);
        app.on_payment(&payment, "sync", json!({})).await.ok();
        assert_eq!(app.show(order).await["state"], "paid", "{misdeed:?}");
    }
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}

/// Not sent, sent without an answer, accepted, done: four things, and nobody is shown one for the other.
///
/// Covers: U-1, U-2, U-5, T-10, fault 5, fault 6, fault 7, fault 8, fault 9, fault 12, fault 16, fault 22, I7.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_the_request_a_refund_that_stripe_did_not_confirm_is_not_claimed() {
    let app = without_webhooks().await;
    let healthy = app.order().await;
    app.intent(&healthy).await;
    let mut refunds = Vec::new();
    for misdeed in MISDEEDS {
        let order = app.order().await;
        let intent = app.intent(&order).await;
        app.pay_intent(&intent, WAITS).await.ok();
        let payment = text(&app.show(&order).await["payments"][0]["id"]);
        app.on_payment(&payment, "sync", json!({})).await.ok();
        app.faults(once(misdeed, "/v1/refunds")).await;
        let requested = app.refund(&payment, 1000).await;
        app.no_faults().await;
        put_off(&app).await;
        let shown = requested.ok();
        assert_eq!(
            json!([shown["state"], shown["gateway_refund"]]),
            json!(["requested", null]),
            "{misdeed:?}"
        );
        for _ in 0..2 {
            assert!(!app.intent(&healthy).await.is_empty());
        }
        refunds.push((payment, text(&shown["id"])));
    }
    let aged = "UPDATE gateway_calls SET recorded_at = recorded_at - interval '2 minutes' WHERE state = $1";
    app.by_hand(aged, "recorded").await;
    resolved(&app).await;
    for ((payment, refund), misdeed) in refunds.iter().zip(MISDEEDS) {
        let theirs = app.refunds_at_stripe(payment).await;
        assert_eq!(theirs.len(), 1, "{misdeed:?}: {theirs:#?}");
        assert_eq!(theirs[0]["metadata"]["paywright_refund"], refund.as_str(), "{misdeed:?}");
        let shown = app.get(&format!("/v1/refunds/{refund}")).await.ok();
        let expected = json!(["pending", theirs[0]["id"]]);
        assert_eq!(json!([shown["state"], shown["gateway_refund"]]), expected, "{misdeed:?}");
    }
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}

/// Covers: fault 21, fault 22, I4, S-1.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_other_mode_or_over_another_amount_is_refused_and_shown() {
    let app = TestApp::impatient().await;
    for (fault, kind) in [("wrong_livemode", "mode_mismatch"), ("wrong_amount", "amount_mismatch")] {
        let order = app.order().await;
        app.faults(json!({"fault": fault, "method": "POST", "path": "/v1/payment_intents", "times": 1}))
            .await;
        let reply = app.command(&order, "payment-intent", json!({})).await;
        app.no_faults().await;
        assert_no_answer(&reply, fault);
        assert!(app.breaks().await.contains(&kind.to_owned()), "{fault}: {:?}", app.breaks().await);
        let shown = app.show(&order).await;
        assert_eq!(json!([shown["state"], shown["amount_captured"]]), json!(["payment_processing", 0]));
        // The event about the true object heals it.
        app.until_that(&order, |shown| shown["payments"][0]["state"] == "pending").await;
        let intent = app.intent(&order).await;
        app.pay_intent(&intent, VISA).await.ok();
        app.until(&order, "paid").await;
        assert_eq!(app.at_stripe_of("payment_intents", &order).await.len(), 1, "{fault}");
    }
    app.stop().await;
}

/// Covers: fault 29, I24, U-1.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_delays_orders_and_loses_none() {
    let soon = |settings: &mut paywright_app::config::Settings| {
        settings.stripe.deadline_seconds = 2;
        settings.stripe.patience_seconds = 1;
        settings.stripe.outage_pause_seconds = 3;
    };
    let app = TestApp::with(soon, false).await;
    let mut orders = Vec::new();
    for _ in 0..12 {
        orders.push(app.order().await);
    }
    app.faults(json!({"fault": "delay", "delay": "5s", "path": "/v1/*"})).await;
    let (first, later) = orders.split_at(6);
    let unanswered =
        join_all(first.iter().map(|order| app.command(order, "payment-intent", json!({})))).await;
    unanswered.iter().for_each(|reply| assert_no_answer(reply, "silence"));
    // Now it is known: nobody waits for the others, and nothing is sent for them.
    let begun = Instant::now();
    for order in later {
        assert_no_answer(&app.command(order, "payment-intent", json!({})).await, "an outage");
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "six took {:?}", begun.elapsed());
    // What needs no Stripe goes on.
    assert_eq!(app.show(&orders[0]).await["payments"][0]["state"], "created");
    app.order().await;
    app.no_faults().await;
    // Nobody asks again, and nobody helps.
    let begun = Instant::now();
    while app.count("SELECT count(*) FROM gateway_calls WHERE state = 'recorded'").await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(90), "an order is not seen through");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for order in &orders {
        assert_eq!(app.show(order).await["payments"][0]["state"], "pending");
        assert_eq!(app.at_stripe_of("payment_intents", order).await.len(), 1);
    }
    app.stop().await;
}

/// Covers: fault 27, I19, I26.
#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_may_have_forgotten_is_looked_for_and_not_asked_again() {
    let app = without_webhooks().await;
    let mut orders = Vec::new();
    for effect in [true, false] {
        let order = app.order().await;
        app.faults(once(("bad_gateway", effect), "/v1/payment_intents")).await;
        assert_no_answer(&app.command(&order, "payment-intent", json!({})).await, "lost");
        put_off(&app).await;
        orders.push(order);
    }
    app.at_stripe("idempotency_keys/forget", json!({})).await.ok();
    let aged = "UPDATE gateway_calls SET recorded_at = recorded_at - interval '23 hours' WHERE state = $1";
    app.by_hand(aged, "recorded").await;
    resolved(&app).await;
    let states = [app.show(&orders[0]).await, app.show(&orders[1]).await];
    let states = states.each_ref().map(|shown| text(&shown["payments"][0]["state"]));
    assert_eq!(states, ["pending", "failed"], "found, and not there");
    assert_eq!(app.at_stripe_of("payment_intents", &orders[0]).await.len(), 1);
    assert_eq!(app.at_stripe_of("payment_intents", &orders[1]).await.len(), 0);
    // A new request is a new payment, under a new key.
    app.intent(&orders[1]).await;
    assert_eq!(app.at_stripe_of("payment_intents", &orders[1]).await.len(), 1);
    app.stop().await;
}

/// Somebody between the program and Stripe, who looks into the database while a request is on its way.
struct Witness {
    url: String,
    stripe: Arc<Mutex<String>>,
    database: Arc<Mutex<String>>,
    report: Arc<Mutex<Report>>,
}

#[derive(Default)]
struct Report {
    /// The operations that were asked, by their keys.
    asked: BTreeSet<String>,
    requests: usize,
    complaints: Vec<String>,
}

impl Witness {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let witness = Self { url, stripe: Arc::default(), database: Arc::default(), report: Arc::default() };
        let (stripe, database) = (Arc::clone(&witness.stripe), Arc::clone(&witness.database));
        let report = Arc::clone(&witness.report);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let stripe = stripe.lock().unwrap().trim_start_matches("http://").to_owned();
                let (database, report) = (database.lock().unwrap().clone(), Arc::clone(&report));
                tokio::spawn(async move { pass(client, stripe, database, report).await.ok() });
            }
        });
        witness
    }
}

/// Passes bytes on; each request only once the database was looked into.
async fn pass(
    mut client: TcpStream,
    stripe: String,
    database: String,
    report: Arc<Mutex<Report>>,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(stripe).await?;
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let bytes = &asked[..read?];
                if bytes.is_empty() { return Ok(()) }
                if bytes.starts_with(b"GET ") || bytes.starts_with(b"POST ") {
                    look(&String::from_utf8_lossy(bytes), &database, &report).await;
                }
                server.write_all(bytes).await?;
            }
            read = server.read(&mut answered) => {
                let bytes = &answered[..read?];
                if bytes.is_empty() { return Ok(()) }
                client.write_all(bytes).await?;
            }
        }
    }
}

/// What is under way in the database just now, but for this look.
const UNDER_WAY: &str = "SELECT pid || ' since ' || xact_start FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND xact_start IS NOT NULL";

async fn look(request: &str, database: &str, report: &Mutex<Report>) {
    let mut to = PgConnection::connect(database).await.unwrap();
    let line = request.lines().next().unwrap_or_default().to_owned();
    let key = request.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).map(str::to_owned);
    let mut complaints = Vec::new();
    if let Some(key) = &key {
        let sql = "SELECT state FROM gateway_calls WHERE idempotency_key = $1";
        let state: Option<String> = sqlx::query_scalar(sql).bind(key).fetch_optional(&mut to).await.unwrap();
        if state.as_deref() != Some("recorded") {
            complaints.push(format!("{key} is on its way, and stored as {state:?}"));
        }
    } else if line.starts_with("POST") {
        complaints.push(format!("{line} has no key"));
    }
    // A transaction that waits for this request does not end before it; every other one does.
    let first: Vec<String> = sqlx::query_scalar(UNDER_WAY).fetch_all(&mut to).await.unwrap();
    let begun = Instant::now();
    let mut open = first;
    while !open.is_empty() && begun.elapsed() < Duration::from_secs(3) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now: Vec<String> = sqlx::query_scalar(UNDER_WAY).fetch_all(&mut to).await.unwrap();
        open.retain(|transaction| now.contains(transaction));
    }
    complaints.extend(open.into_iter().map(|transaction| format!("{line}: transaction {transaction}")));
    to.close().await.unwrap();
    let mut report = report.lock().unwrap();
    report.requests += 1;
    report.asked.extend(key.and_then(|key| key.split(':').next().map(str::to_owned)));
    report.complaints.extend(complaints);
}

/// Seen by somebody else in the database: what is stored there is committed, and what is open there is open.
///
/// Covers: I29, T-2, T-3, D-14, T-10.
#[tokio::test(flavor = "multi_thread")]
async fn while_stripe_is_asked_the_call_is_committed_and_no_transaction_waits() {
    let witness = Witness::start().await;
    let between = |settings: &mut paywright_app::config::Settings| {
        *witness.stripe.lock().unwrap() = settings.stripe.api_base.replace(witness.url.clone()).unwrap();
    };
    let app = TestApp::with(between, true).await;
    *witness.database.lock().unwrap() = app.database_url();

    // Two ways to pay, then not at all.
    let order = app.order().await;
    app.session(&order).await;
    app.intent(&order).await;
    app.command(&order, "cancel", json!({"reason": "requested_by_customer"})).await.ok();
    // Reserved: released, and taken in part, given back, and asked about.
    let (_, payment) = app.authorized().await;
    app.on_payment(&payment, "void", json!({})).await.ok();
    let (order, payment) = app.authorized().await;
    app.on_payment(&payment, "capture", json!({"amount": 3000})).await.ok();
    app.until(&order, "paid").await;
    app.refund(&payment, 1000).await.ok();
    app.on_payment(&payment, "sync", json!({})).await.ok();
    app.command(&order, "cancel", json!({"reason": "requested_by_customer"})).await.ok();
    // Disputed, and answered in both ways.
    for last in ["submit", "accept"] {
        let (_, payment) = app.paid_by("4000000000000259").await;
        let disputes = format!("/v1/disputes?payment={payment}");
        let begun = Instant::now();
        let dispute = loop {
            let listed = app.get(&disputes).await.ok();
            if let Some(id) = listed["data"][0]["id"].as_str() {
                break id.to_owned();
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "no dispute");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let evidence = json!({"evidence": {"uncategorized_text": "winning_evidence"}});
        app.post(&format!("/v1/disputes/{dispute}/evidence"), evidence).await.ok();
        app.post(&format!("/v1/disputes/{dispute}/{last}"), json!({})).await.ok();
    }
    app.quiet().await;
    app.stop().await;

    let report = witness.report.lock().unwrap();
    assert_eq!(report.complaints, [""; 0], "of {} requests", report.requests);
    let all = [
        "cancel_intent",
        "capture",
        "close_dispute",
        "create_intent",
        "create_refund",
        "create_session",
        "expire_session",
        "stage_evidence",
        "submit_evidence",
    ];
    assert_eq!(report.asked, all.map(str::to_owned).into(), "each kind was asked");
}

/// Somebody ended it at Stripe, and no event told us.
///
/// Covers: D-6.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_was_cancelled_at_stripe_is_not_handed_out_again() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    let first = app.intent(&order).await;
    app.at_stripe(&format!("payment_intents/{first}/cancel"), json!({})).await.ok();
    let second = app.intent(&order).await;
    assert_ne!(first, second);
    assert_eq!(app.intent(&order).await, second, "that one is open");
    app.pay_intent(&second, VISA).await.ok();
    let shown = app.show(&order).await;
    assert_eq!(shown["payments"].as_array().unwrap().len(), 2, "{shown:#}");
    let theirs = app.at_stripe_of("payment_intents", &order).await;
    let mut theirs: Vec<_> = theirs.iter().map(|intent| text(&intent["status"])).collect();
    theirs.sort();
    assert_eq!(theirs, ["canceled", "succeeded"]);
    let open = |payment: &&Value| payment["state"] == "pending";
    let live = shown["payments"].as_array().unwrap().iter().find(open).unwrap().clone();
    app.on_payment(&text(&live["id"]), "sync", json!({})).await.ok();
    assert_eq!(app.show(&order).await["state"], "paid");
    app.stop().await;
}

/// Covers: M-2, fault 103 (an order's price is frozen: another price is another order).
#[tokio::test(flavor = "multi_thread")]
async fn a_new_price_is_for_new_orders_and_the_old_intent_pays_only_the_old_one() {
    let app = TestApp::start().await;
    let product = app.product(1999, "usd").await;
    let items = json!([{"product": product, "quantity": 2}]);
    let place = || app.post("/v1/orders", json!({"currency": "usd", "items": items}));
    let old = text(&place().await.ok()["id"]);
    let intent = app.intent(&old).await;
    let dearer = app.request("PATCH", &format!("/v1/products/{product}")).json(&json!({"unit_amount": 5000}));
    app.send(dearer).await.ok();
    assert_eq!(app.intent(&old).await, intent, "what was offered stays offered");
    let new = text(&place().await.ok()["id"]);
    let other = app.intent(&new).await;
    assert_ne!(intent, other);
    app.pay_intent(&intent, VISA).await.ok();
    assert_eq!(app.until(&old, "paid").await["amount_captured"], 3998);
    app.quiet().await;
    let shown = app.show(&new).await;
    assert_eq!(json!([shown["state"], shown["amount_captured"]]), json!(["payment_processing", 0]));
    app.pay_intent(&other, VISA).await.ok();
    assert_eq!(app.until(&new, "paid").await["amount_captured"], 10_000);
    app.stop().await;
}

/// Whoever writes to the database, by whatever way.
///
/// Covers: C-6.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_payment_without_its_order() {
    let app = TestApp::start().await;
    app.paid_order().await;
    for sql in [
        "UPDATE payments SET order_id = gen_random_uuid()",
        "UPDATE payments SET order_id = NULL",
        "DELETE FROM orders",
        "UPDATE orders SET id = gen_random_uuid()",
        "UPDATE refunds SET payment_id = gen_random_uuid()",
    ] {
        let outcome = sqlx::query(sql).execute(app.app.store.pool()).await;
        let refused = outcome.as_ref().is_err_and(|error| {
            error.as_database_error().is_some_and(|error| error.code().is_some_and(|c| c.starts_with("23")))
        });
        let nothing = outcome.is_ok_and(|done| done.rows_affected() == 0);
        assert!(refused || (nothing && sql.contains("refunds")), "{sql}");
    }
    app.stop().await;
}

/// With the database gone there is nothing left to answer from but the signature.
///
/// Covers: T-7, fault 38, fault 56, I21.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_judged_before_anything_and_nothing_is_acknowledged_unstored() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    let listed = app.stripe("events?limit=100").await;
    let is_paid = |event: &&Value| event["type"] == "payment_intent.succeeded";
    let event = listed["data"].as_array().unwrap().iter().find(is_paid).unwrap().clone();
    let body = event.to_string().into_bytes();
    app.app.store.close().await;
    let forged = signature("whsec_of_somebody_else", app.now(), &body);
    for header in [None, Some(&*forged)] {
        let reply = app.webhook(header, body.clone()).await;
        assert_eq!(reply.problem(), (400, "bad_signature".to_owned()));
    }
    let true_one = signature(WEBHOOK_SECRET, app.now(), &body);
    let reply = app.webhook(Some(&true_one), body).await;
    assert_eq!(reply.problem(), (503, "unavailable".to_owned()), "so that Stripe sends it again");
    let mut aside = PgConnection::connect(&app.database_url()).await.unwrap();
    let sql =
        "SELECT (SELECT count(*) FROM inbox_events) + (SELECT count(*) FROM orders WHERE state = 'paid')";
    let traces: i64 = sqlx::query_scalar(sql).fetch_one(&mut aside).await.unwrap();
    assert_eq!(traces, 0);
    aside.close().await.unwrap();
    app.stop().await;
}

/// Where its job cannot be stored, an event is not known either, so that it is taken in when it comes again.
///
/// Covers: T-4, T-6, W-2, I21.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_stored_with_its_job_or_not_at_all() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    let listed = app.stripe("events?limit=100").await;
    let is_paid = |event: &&Value| event["type"] == "payment_intent.succeeded";
    let event = listed["data"].as_array().unwrap().iter().find(is_paid).unwrap().clone();
    let alter = async |sql: &'static str| sqlx::query(sql).execute(app.app.store.pool()).await.unwrap();
    alter("ALTER TABLE jobs ADD CONSTRAINT no_more CHECK (kind <> 'read_event') NOT VALID").await;
    let reply = app.deliver(&event).await;
    assert!(reply.status >= 500, "{} {}", reply.status, reply.text);
    assert_eq!(app.count("SELECT count(*) FROM inbox_events").await, 0);
    alter("ALTER TABLE jobs DROP CONSTRAINT no_more").await;
    assert_eq!(app.deliver(&event).await.status, 200);
    app.until(&order, "paid").await;
    app.stop().await;
}

/// 200 says that the event is ours now, not that it was understood. It is told in an old version of Stripe's API, so
/// only a look at the payment tells what it means, and Stripe cannot be asked just now.
///
/// Covers: T-6, T-5 (the part about trying again), W-5, fault 24, I20.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_yet_is_neither_lost_nor_called_done() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    app.faults(json!({"fault": "unavailable", "method": "GET", "path": "/v1/*"})).await;
    let old = json!({
        "id": "evt_old", "object": "event", "type": "payment_intent.succeeded", "created": app.now(),
        "livemode": false, "api_version": "2020-08-27",
        "data": {"object": {"id": intent, "object": "payment_intent", "amount": 1, "status": "requires_source"}}
    });
    assert_eq!(app.deliver(&old).await.status, 200);
    let tried = "SELECT j.last_error FROM jobs j JOIN inbox_events e ON e.id = j.payload
        WHERE e.id = $1 AND j.state = 'ready' AND j.attempts > 0 AND e.processed_at IS NULL AND e.outcome IS NULL
          AND j.last_error IS NOT NULL";
    let begun = Instant::now();
    while app.texts(tried, "evt_old").await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was not tried, or called done");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let shown = app.show(&order).await;
    assert_eq!(json!([shown["state"], shown["amount_captured"]]), json!(["payment_processing", 0]));
    app.no_faults().await;
    let paid = app.until(&order, "paid").await;
    assert_eq!(paid["amount_captured"], 3998, "as Stripe says, not as the event does");
    let read = "SELECT e.outcome FROM inbox_events e WHERE e.id = $1 AND e.processed_at IS NOT NULL";
    assert_eq!(app.texts(read, "evt_old").await.len(), 1);
    app.stop().await;
}
