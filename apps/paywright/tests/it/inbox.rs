//! The inbox through the API: seen, read once more with what came of it, singly and in bulk; never twice in effect.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use paywright_app::{wiring::App, worker};
use paywright_domain::Mode;
use paywright_postgres::ApiKeys;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    openapi::{Judge, nothing_undescribed},
    support::{Reply, TestApp, VISA, text},
};

/// A card whose payment is disputed at once.
const DISPUTED: &str = "4000000000000259";
const EMAIL: &str = "ada@example.org";

/// A whole Paywright that reads no event by itself.
pub(crate) async fn deaf() -> TestApp {
    TestApp::with(|settings| settings.worker.webhooks = 0, true).await
}

/// Lets another worker do what waits, until dropped.
pub(crate) fn hear(app: &TestApp) -> tokio_util::sync::DropGuard {
    let mut settings = app.app.settings.clone();
    settings.worker.webhooks = 8;
    let other = App::new(settings, app.app.store.clone(), app.url.clone()).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(worker::run(Arc::new(other), stop.clone()));
    stop.drop_guard()
}

/// The events that a query finds.
async fn list(app: &TestApp, query: &str) -> Vec<Value> {
    app.get(&format!("/v1/inbox?limit=100&{query}")).await.ok()["data"].as_array().unwrap().clone()
}

/// Waits until a query finds so many, at most 20 seconds.
pub(crate) async fn until(app: &TestApp, query: &str, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let found = list(app, query).await;
        if found.len() == count {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{query}: not {count}: {found:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn replay(app: &TestApp, event: &str) -> Reply {
    app.post(&format!("/v1/inbox/{event}/replay"), json!({})).await
}

async fn show(app: &TestApp, event: &str) -> Value {
    app.get(&format!("/v1/inbox/{event}")).await.ok()
}

/// The only event of a type.
pub(crate) async fn only(app: &TestApp, kind: &str) -> String {
    text(&until(app, &format!("type={kind}"), 1).await[0]["id"])
}

/// Covers: W-1, W-3, W-6, T-5, fault 37, fault 138, I20.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_failed_is_read_once_more_and_tells_what_it_changed() {
    let app = deaf().await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, DISPUTED).await.ok();
    let event = only(&app, "charge.dispute.created").await;
    let waiting = show(&app, &event).await;
    assert_eq!((&waiting["event"]["state"], &waiting["event"]["about"]), (&json!("waiting"), &json!(intent)));
    nothing_undescribed("ShownInboxEvent", &waiting);
    nothing_undescribed("InboxEvent", &waiting["event"]);
    nothing_undescribed("Job", &waiting["jobs"][0]);

    let told = app.stripe(&format!("events/{event}")).await;
    // Stripe is away: what a dispute comes to, only a look tells.
    app.faults(json!({"fault": "bad_gateway", "method": "GET"})).await;
    let failed = replay(&app, &event).await.ok();
    assert_eq!((&failed["state"], &failed["changes"]), (&json!("failing"), &json!([])), "{failed:#}");
    assert!(failed["error"].is_string() && failed["next_attempt_at"].is_string(), "{failed:#}");
    nothing_undescribed("Replay", &failed);
    // To have been seen is not to have been processed: told again, it is still to be read.
    app.no_faults().await;
    app.deliver(&told).await.ok();
    let failing = until(&app, "state=failing", 1).await.remove(0);
    assert_eq!((&failing["id"], &failing["last_error"]), (&json!(event), &failed["error"]));
    assert_eq!(app.show(&order).await["state"], "payment_processing");

    let read = Judge(&app).send("post", "/v1/inbox/{id}/replay", &event, None).await.ok();
    assert_eq!(
        (&read["state"], &read["error"], &read["job"]),
        (&json!("processed"), &json!(null), &failed["job"])
    );
    let changes = read["changes"].as_array().unwrap();
    nothing_undescribed("Change", &changes[0]);
    let step = |subject: &str, to: &str| {
        changes.iter().any(|one| one["subject"] == subject && one["to"] == to && one["order"] == order)
    };
    assert!(
        step("order", "paid") && step("payment", "captured") && step("dispute", "needs_response"),
        "{read:#}"
    );
    assert_eq!(app.show(&order).await["state"], "paid");
    let shown = Judge(&app).send("get", "/v1/inbox/{id}", &event, None).await.ok();
    assert_eq!((&shown["event"]["state"], &shown["changes"]), (&json!("processed"), &read["changes"]));
    assert_eq!(shown["event"]["conclusion"], read["conclusion"]);

    // And again, however often: the same, once.
    let before = app.stored().await;
    for _ in 0..3 {
        let again = replay(&app, &event).await.ok();
        let came = (&again["state"], &again["conclusion"], &again["changes"]);
        assert_eq!(came, (&json!("processed"), &json!("already true"), &json!([])), "{again:#}");
        assert_ne!(again["job"], read["job"]);
    }
    assert_eq!(app.stored().await, before);
    let shown = show(&app, &event).await;
    assert_eq!(shown["jobs"].as_array().unwrap().len(), 4);
    assert_eq!(shown["changes"], read["changes"]);
    assert_eq!(shown["event"]["conclusion"], read["conclusion"], "what came of it first");
    let last = |jobs: &Value| jobs.as_array().unwrap().last().unwrap()["conclusion"].clone();
    assert_eq!(last(&shown["jobs"]), "already true", "what came of it last");
    // Also once its jobs are forgotten.
    app.by_hand("DELETE FROM jobs WHERE payload = $1", &event).await;
    let shown = show(&app, &event).await;
    assert_eq!((&shown["jobs"], &shown["changes"]), (&json!([]), &read["changes"]));
    app.stop().await;
}

/// Covers: fault 37, fault 138, I17.
#[tokio::test(flavor = "multi_thread")]
async fn one_request_reads_once_and_two_at_once_do_not_meet() {
    let app = deaf().await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    let event = only(&app, "payment_intent.succeeded").await;
    let path = format!("/v1/inbox/{event}/replay");
    let replays = futures::future::join_all((0..8).map(|_| app.post(&path, json!({})))).await;
    let (mut changed, mut busy) = (0, 0);
    for reply in replays {
        match reply.status {
            200 => changed += usize::from(reply.json()["changes"] != json!([])),
            _ => {
                assert_eq!(reply.problem(), (409, "event_busy".to_owned()));
                assert!(reply.header("retry-after").is_some());
                busy += 1;
            }
        }
    }
    assert!(changed == 1 && busy < 8, "{changed} {busy}");
    assert_eq!(app.show(&order).await["state"], "paid");
    let first = app.post_with_key(&path, "once", json!({})).await;
    let count = app.count("SELECT count(*) FROM jobs").await;
    let again = app.post_with_key(&path, "once", json!({})).await;
    assert_eq!((again.header("idempotent-replayed"), again.json()), (Some("true"), first.ok()));
    assert_eq!(app.count("SELECT count(*) FROM jobs").await, count);
    app.stop().await;
}

/// Covers: fault 59 (the part about replay), T-5.
#[tokio::test(flavor = "multi_thread")]
async fn poison_stays_dead_with_its_reason_and_the_others_go_on() {
    let app = TestApp::start().await;
    app.deliver_bytes(b"{\"poison\": \"canary@example.org\"".to_vec()).await.ok();
    let dead = until(&app, "state=dead", 1).await.remove(0);
    assert_eq!((&dead["type"], &dead["attempts"]), (&json!("unreadable"), &json!(1)));
    let id = text(&dead["id"]);
    let again = replay(&app, &id).await.ok();
    assert_eq!((&again["state"], &again["next_attempt_at"]), (&json!("dead"), &json!(null)));
    assert_eq!(again["error"], dead["last_error"]);
    let order = app.paid_order().await;
    assert_eq!(app.show(&order).await["state"], "paid");
    assert_eq!(show(&app, &id).await["event"]["state"], "dead");
    app.stop().await;
}

/// Covers: T-5, fault 138, W-6.
#[tokio::test(flavor = "multi_thread")]
async fn dead_events_are_read_once_more_in_bulk_after_a_look() {
    let app = deaf().await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        let order = app.order().await;
        let intent = app.intent(&order).await;
        app.pay_intent(&intent, VISA).await.ok();
        orders.push(order);
    }
    until(&app, "type=payment_intent.succeeded", 3).await;
    let bury =
        "UPDATE jobs SET state = 'dead', finished_at = now(), last_error = $1 WHERE kind = 'read_event'";
    app.by_hand(bury, "poison").await;
    let dead = list(&app, "state=dead").await;
    assert!(dead.len() > 3, "{dead:#?}");

    let judge = Judge(&app);
    let ask = |more: Value| {
        let mut body = json!({"type": "payment_intent.succeeded"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Some(body)
    };
    let look = judge.send("post", "/v1/inbox/replay", "", ask(json!({"dry_run": true}))).await.ok();
    nothing_undescribed("BulkReplay", &look);
    assert_eq!((&look["matching"], &look["started"], &look["dry_run"]), (&json!(3), &json!(0), &json!(true)));
    assert_eq!(look["events"].as_array().unwrap().len(), 3);
    assert_eq!(list(&app, "state=dead").await, dead, "nothing was done");

    let started = judge.send("post", "/v1/inbox/replay", "", ask(json!({}))).await.ok();
    assert_eq!((&started["matching"], &started["started"]), (&json!(3), &json!(3)));
    assert_eq!((&started["events"], &started["next"]), (&look["events"], &json!(null)));
    assert_eq!(list(&app, "state=waiting").await.len(), 3);
    assert_eq!(list(&app, "state=dead").await.len(), dead.len() - 3);
    {
        let _worker = hear(&app);
        for order in &orders {
            app.until(order, "paid").await;
        }
        until(&app, "state=processed", 3).await;
        // What is processed changes nothing once more.
        let before = app.stored().await;
        let body = json!({"state": "processed", "received_from": "2026-01-01T00:00:00Z"});
        assert_eq!(app.post("/v1/inbox/replay", body).await.ok()["started"], 3);
        let done = "SELECT count(*) FROM jobs WHERE state = 'done' AND conclusion = 'already true'";
        let begun = Instant::now();
        while app.count(done).await < 3 {
            assert!(begun.elapsed() < Duration::from_secs(20), "they are not read");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(app.stored().await, before);
    }
    app.stop().await;
}

/// Covers: fault 135, I31.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_show_no_address_and_no_secret_to_a_key_that_may_not_see_them() {
    let app = deaf().await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    let secret = text(&app.command(&order, "payment-intent", json!({})).await.ok()["client_secret"]);
    app.pay_intent(&intent, VISA).await.ok();
    let event = only(&app, "payment_intent.succeeded").await;
    let keys = ApiKeys::new(&app.app.store);
    let read = "inbox:read".to_owned();
    let (_, reader) = keys.create("reader", Mode::Test, std::slice::from_ref(&read), [1; 32]).await.unwrap();
    let (_, all) = keys.create("all", Mode::Test, &[read, "inbox:bodies".to_owned()], [2; 32]).await.unwrap();
    let path = format!("/v1/inbox/{event}");
    let body = async |key: &str, query: &str| {
        let shown = app.send(app.bare("GET", &format!("{path}{query}")).bearer_auth(key)).await.ok();
        shown["body"].as_str().map(str::to_owned)
    };
    let whole = body(all.expose_secret(), "?body=true").await.unwrap();
    let stored: Vec<u8> = app.app.ports.queue.event(&event).await.unwrap().unwrap().body;
    assert_eq!(whole.as_bytes(), stored);
    assert!(whole.contains(EMAIL) && whole.contains(&secret), "the test has something to find: {whole}");
    let masked = body(reader.expose_secret(), "?body=true").await.unwrap();
    assert!(!masked.contains(EMAIL) && !masked.contains("_secret_"), "{masked}");
    assert!(masked.contains(&intent) && masked.contains("3998"), "{masked}");
    for key in [reader.expose_secret(), all.expose_secret()] {
        assert_eq!(body(key, "").await, None);
        assert_eq!(body(key, "?body=false").await, None);
    }
    // Nobody knows where the address stands in what is no JSON.
    app.deliver_bytes(format!("{{\"poison\": \"{EMAIL}\"").into_bytes()).await.ok();
    let poison = only(&app, "unreadable").await;
    let path = format!("/v1/inbox/{poison}?body=true");
    let shown = app.send(app.bare("GET", &path).bearer_auth(reader.expose_secret())).await;
    assert!(!shown.text.contains(EMAIL), "{}", shown.text);
    assert_eq!(shown.ok()["body"], json!(null));
    app.stop().await;
}

/// Covers: fault 51 (the part about replay), fault 52 (the part about replay).
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_or_asked_is_refused_with_the_reason() {
    let app = deaf().await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    let event = only(&app, "payment_intent.succeeded").await;
    let told = app.stripe(&format!("events/{event}")).await;
    let mut live = told.clone();
    (live["id"], live["livemode"]) = (json!("evt_live"), json!(true));
    let mut foreign = told;
    (foreign["id"], foreign["account"]) = (json!("evt_foreign"), json!("acct_1"));
    for (event, id, why) in [(live, "evt_live", "live"), (foreign, "evt_foreign", "connected account")] {
        app.deliver(&event).await.ok();
        let shown = app.get(&format!("/v1/inbox/{id}?body=true")).await.ok();
        assert_eq!(shown["event"]["state"], "ignored");
        let refused = Judge(&app).send("post", "/v1/inbox/{id}/replay", id, None).await;
        assert_eq!(refused.problem(), (409, "event_ignored".to_owned()));
        assert!(text(&refused.json()["detail"]).contains(why), "{}", refused.text);
        assert_eq!(shown["body"].is_null(), id == "evt_live", "nothing of the other mode is shown: {shown}");
    }
    assert_eq!(list(&app, "state=ignored").await.len(), 2);
    for path in ["/v1/inbox/evt_nobody", "/v1/inbox/%00", "/v1/inbox/x?body=true"] {
        assert_eq!(app.get(path).await.problem(), (404, "not_found".to_owned()), "{path}");
    }
    assert_eq!(replay(&app, "evt_nobody").await.problem(), (404, "not_found".to_owned()));
    for query in [
        "state=running",
        "state=",
        "limit=0",
        "starting_after=evt_nobody",
        "type=",
        "object=%00",
        "zzz=1",
        "received[gte]=yesterday",
        "received[lt]=",
    ] {
        let field = query.split('=').next().unwrap();
        assert_eq!(app.get(&format!("/v1/inbox?{query}")).await.field(query), field);
    }
    assert_eq!(app.get(&format!("/v1/inbox/{event}?body=yes")).await.field("body"), "body");
    for (body, field) in [
        (json!({}), "state"),
        (json!({"dry_run": true}), "state"),
        (json!({"state": "ignored"}), "state"),
        (json!({"state": "gone"}), "state"),
        (json!({"state": "dead", "starting_after": "evt_nobody"}), "starting_after"),
        (json!({"type": ""}), "type"),
        (json!({"type": "x".repeat(256)}), "type"),
        (json!({"received_from": "now"}), "received_from"),
        (json!({"state": "dead", "dry_run": "yes"}), "dry_run"),
        (json!({"state": "dead", "zzz": 1}), "zzz"),
    ] {
        assert_eq!(app.post("/v1/inbox/replay", body.clone()).await.field("bulk"), field, "{body}");
    }
    assert_eq!(show(&app, &event).await["event"]["state"], "waiting", "nothing was done");
    Judge(&app).send("get", "/v1/inbox?limit=1&type=payment_intent.*", "", None).await.ok();
    app.stop().await;
}

/// Covers: T-5, I18.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_given_up_is_tried_again_and_made_once() {
    let app = deaf().await;
    let (order, payment) = {
        let order = app.manual_order().await;
        let intent = app.intent(&order).await;
        app.pay_intent(&intent, VISA).await.ok();
        replay(&app, &only(&app, "payment_intent.amount_capturable_updated").await).await.ok();
        let shown = app.until(&order, "authorized").await;
        (order, text(&shown["payments"][0]["id"]))
    };
    // The answer is lost after Stripe did it.
    let lost = json!({"fault": "bad_gateway", "effect": true, "method": "POST",
        "path": "/v1/payment_intents/*/capture", "times": 1});
    app.faults(lost).await;
    assert_eq!(app.on_payment(&payment, "capture", json!({})).await.status, 202);
    let bury = "UPDATE jobs SET state = 'dead', attempts = 7, finished_at = now(), leased_until = NULL, last_error = $1
                WHERE kind = 'perform_call' AND state = 'ready'";
    app.by_hand(bury, "given up").await;
    let judge = Judge(&app);
    let dead = judge.send("get", "/v1/jobs?state=dead&kind=perform_call", "", None).await.ok();
    let dead = dead["data"].as_array().unwrap().clone();
    assert_eq!(dead.len(), 1, "{dead:#?}");
    let (id, key) = (text(&dead[0]["id"]), text(&dead[0]["stripe_idempotency_key"]));
    assert_eq!((&dead[0]["operation"], &dead[0]["order"]), (&json!("capture"), &json!(order)));
    judge.send("get", "/v1/jobs/{id}", &id, None).await.ok();
    let retried = judge.send("post", "/v1/jobs/{id}/retry", &id, None).await.ok();
    // A worker may have taken it, and even ended it, before it was read for the answer.
    assert_eq!(retried["id"], json!(id));
    assert_ne!(retried["state"], json!("dead"), "{retried}");
    assert!(retried["attempts"].as_i64().unwrap() <= 1, "it counts anew: {retried}");
    app.until(&order, "paid").await;
    assert_eq!(app.count("SELECT count(*) FROM gateway_calls WHERE operation = 'capture'").await, 1);
    let done = app.get(&format!("/v1/jobs/{id}")).await.ok();
    assert_eq!((&done["state"], text(&done["stripe_idempotency_key"])), (&json!("done"), key));
    let refused = judge.send("post", "/v1/jobs/{id}/retry", &id, None).await;
    assert_eq!(refused.problem(), (409, "job_done".to_owned()));
    let nobodys = app.post("/v1/jobs/job_00000000000000000000000000/retry", json!({})).await;
    assert_eq!(nobodys.problem(), (404, "not_found".to_owned()));
    for query in ["queue=x", "kind=x", "state=x", "limit=0", "starting_after=x", "zzz=1"] {
        let field = query.split('=').next().unwrap();
        assert_eq!(app.get(&format!("/v1/jobs?{query}")).await.field(query), field);
    }
    app.stop().await;
}
