//! What no rule explains: always a row, seen by operators, resolved by a person, and found again if it is still so.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    openapi::{Judge, nothing_undescribed},
    support::{TestApp, VISA, text},
};

/// Waits until there are so many open breaks, at most 20 seconds.
async fn open(app: &TestApp, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let listed = app.get("/v1/breaks?open=true").await.ok();
        let data = listed["data"].as_array().unwrap();
        if data.len() == count {
            return data.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "not {count}: {listed:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An event about an intent of somebody else who knows our words, told so long after it happened that our own
/// payment would be here.
pub(crate) fn foreign(event: &str, intent: &str) -> Value {
    json!({
        "id": event, "object": "event", "type": "payment_intent.succeeded", "created": 1_780_000_000,
        "livemode": false, "api_version": "2026-07-29.dahlia", "data": {"object": {
            "id": intent, "object": "payment_intent", "amount": 4200, "amount_capturable": 0,
            "amount_received": 4200, "currency": "usd", "livemode": false, "status": "succeeded",
            "created": 1_780_000_000, "capture_method": "automatic_async", "latest_charge": null,
            "canceled_at": null, "cancellation_reason": null, "client_secret": null, "last_payment_error": null,
            "metadata": {
                "paywright_order": "ord_00000000000000000000000000",
                "paywright_payment": "pay_00000000000000000000000000",
            },
        }},
    })
}

async fn resolve(app: &TestApp, found: &Value, reason: &str) -> Value {
    app.post(&format!("/v1/breaks/{}/resolve", text(&found["id"])), json!({"reason": reason})).await.ok()
}

/// Covers: I1 (the part about breaks), I14, I30, fault 53 (the part where it never comes).
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_names_a_payment_we_do_not_have_is_a_break_until_a_person_explains_it() {
    let app = TestApp::start().await;
    app.deliver(&foreign("evt_1", "pi_foreign")).await.ok();
    let found = open(&app, 1).await.remove(0);
    assert_eq!((&found["object"], &found["kind"]), (&json!("break"), &json!("foreign_object")));
    assert_eq!((&found["order"], &found["payment"]), (&json!(null), &json!(null)));
    assert_eq!(found["object_id"], "pi_foreign");
    assert_eq!((&found["amount_at_risk"], &found["currency"]), (&json!(4200), &json!("usd")));
    assert!(text(&found["detail"]).contains("pay_00000000000000000000000000"), "{found}");
    assert!(found["age_seconds"].as_i64().unwrap() >= 0 && found["resolved_at"].is_null());
    // Told again while it is open, it stays one.
    app.deliver(&foreign("evt_2", "pi_foreign")).await.ok();
    app.quiet().await;
    assert_eq!(open(&app, 1).await[0]["found_at"], found["found_at"]);

    nothing_undescribed("Break", &found);
    Judge(&app).send("get", "/v1/breaks", "", None).await.ok();
    let path = format!("/v1/breaks/{}/resolve", text(&found["id"]));
    let reason = json!({"reason": "A test of the finance team; nothing of ours."});
    let resolved = app.post_with_key(&path, "explained", reason.clone()).await;
    let again = app.post_with_key(&path, "explained", reason.clone()).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(resolved.json(), again.json());
    let resolved = resolved.ok();
    assert_eq!(resolved["resolution"], reason["reason"]);
    assert!(text(&resolved["resolved_by"]).starts_with("api_key:key_"), "{resolved}");
    assert!(resolved["resolved_at"].is_string());
    // Whoever comes later does not rewrite it.
    assert_eq!(resolve(&app, &found, "somebody else").await["resolution"], reason["reason"]);
    assert_eq!(open(&app, 0).await, [json!(null); 0]);
    let closed = app.get("/v1/breaks?open=false").await.ok();
    assert_eq!(closed["data"][0]["id"], found["id"]);
    assert_eq!(app.get("/v1/breaks").await.ok()["data"], closed["data"]);

    app.deliver(&foreign("evt_3", "pi_foreign")).await.ok();
    let reopened = open(&app, 1).await.remove(0);
    assert_eq!((&reopened["id"], &reopened["resolution"]), (&found["id"], &json!(null)));
    assert_eq!(app.count("SELECT count(*) FROM breaks").await, 1);
    app.stop().await;
}

/// Covers: M-1, fault 55, I4, I6.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_another_amount_pays_nothing_and_is_a_break_on_its_order() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    let listed = app.stripe("events?limit=100").await;
    let is_paid = |event: &&Value| event["type"] == "payment_intent.succeeded";
    let told = listed["data"].as_array().unwrap().iter().find(is_paid).unwrap().clone();
    for (number, field, wrong) in [(1, "amount", json!(50)), (2, "currency", json!("jpy"))] {
        let mut forged = told.clone();
        forged["id"] = json!(format!("evt_forged{number}"));
        forged["data"]["object"][field] = wrong;
        forged["data"]["object"]["amount_received"] = forged["data"]["object"]["amount"].clone();
        app.deliver(&forged).await.ok();
        app.quiet().await;
    }
    let found = open(&app, 1).await.remove(0);
    assert_eq!((&found["kind"], &found["order"]), (&json!("amount_mismatch"), &json!(order)));
    let shown = app.show(&order).await;
    assert_eq!((&shown["state"], &shown["amount_captured"]), (&json!("payment_processing"), &json!(0)));
    assert_eq!(found["payment"], shown["payments"][0]["id"]);
    app.deliver(&told).await.ok();
    app.until(&order, "paid").await;
    resolve(&app, &found, "A forged message; the money came whole.").await;
    let timeline = app.timeline(&order).await;
    let breaks: Vec<_> = timeline.iter().filter(|line| line["subject"] == "break").collect();
    assert_eq!(breaks.len(), 2, "{breaks:#?}");
    assert_eq!(breaks[1]["event"], "amount_mismatch_resolved");
    assert!(text(&breaks[1]["actor"]).starts_with("api_key:"), "{breaks:#?}");
    app.stop().await;
}

/// Covers: I32.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_resolution_is_said() {
    let app = TestApp::start().await;
    app.deliver(&foreign("evt_1", "pi_foreign")).await.ok();
    let found = open(&app, 1).await.remove(0);
    let path = format!("/v1/breaks/{}/resolve", text(&found["id"]));
    for (body, field) in [
        (json!({}), "reason"),
        (json!({"reason": ""}), "reason"),
        (json!({"reason": "   "}), "reason"),
        (json!({"reason": "x".repeat(501)}), "reason"),
        (json!({"reason": "a\u{0}b"}), "reason"),
        (json!({"reason": 1}), "reason"),
        (json!({"reason": "x", "zzz": 1}), "zzz"),
    ] {
        assert_eq!(app.post(&path, body.clone()).await.field("reason"), field, "{body}");
    }
    for query in ["open=yes", "open=", "limit=0", "starting_after=dis_1", "zzz=1"] {
        let field = query.split('=').next().unwrap();
        assert_eq!(app.get(&format!("/v1/breaks?{query}")).await.field(query), field);
    }
    assert_eq!(open(&app, 1).await[0], {
        let mut same = found.clone();
        same["age_seconds"] = open(&app, 1).await[0]["age_seconds"].clone();
        same
    });
    let nobodys = app.post("/v1/breaks/brk_00000000000000000000000000/resolve", json!({"reason": "x"})).await;
    assert_eq!(nobodys.problem(), (404, "not_found".to_owned()));
    app.by_hand("UPDATE breaks SET mode = 'live' WHERE $1 <> ''", "x").await;
    assert_eq!(app.post(&path, json!({"reason": "x"})).await.problem(), (404, "not_found".to_owned()));
    assert_eq!(app.get("/v1/breaks").await.ok()["data"], json!([]));
    app.stop().await;
}
