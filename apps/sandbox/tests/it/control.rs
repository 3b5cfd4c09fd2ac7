//! The control API.

use serde_json::json;

use paywright_sandbox::Options;

use crate::harness::{Rig, local};

#[tokio::test]
async fn bad_json_is_a_clear_400() {
    let rig = Rig::start().await;
    let intent = rig.post("/v1/payment_intents", "amount=100&currency=usd").await.ok().id();
    let path = format!("/_sandbox/payment_intents/{intent}/pay");
    for body in
        [json!({}), json!({"card": 4242}), json!({"card": "4242424242424242", "colour": 1}), json!([])]
    {
        let answer = rig.control(&path, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.error("message").starts_with("Invalid JSON"), "{}", answer.text);
    }
    assert_eq!(
        rig.control("/_sandbox/payment_intents/pi_none/pay", &json!({"card": "4242424242424242"}))
            .await
            .status,
        404
    );
    assert_eq!(rig.control("/_sandbox/clock", &json!({"advance": "soon"})).await.status, 400);
    assert_eq!(rig.get("/_sandbox/nothing").await.status, 404);
    assert_eq!(rig.get("/_sandbox/health").await.ok().body["status"], "ok");
    rig.stop().await;
}

/// Memory has an end: nothing is forgotten silently, so a full sandbox says so.
#[tokio::test]
async fn a_full_sandbox_refuses_more_and_still_answers_until_it_is_emptied() {
    let options = Options { bind: local(), objects_max: 4, ..Options::default() };
    let rig = Rig::with(options).await;
    let form = "amount=100&currency=usd";
    let first = rig.post("/v1/payment_intents", form).await.ok().id();
    for _ in 0..3 {
        rig.post("/v1/payment_intents", form).await.ok();
    }
    let refused = rig.post("/v1/payment_intents", form).await;
    assert_eq!(refused.status, 400);
    assert!(refused.error("message").contains("/_sandbox/reset"), "{}", refused.text);
    let card = json!({"card": "4242424242424242"});
    assert_eq!(rig.control(&format!("/_sandbox/payment_intents/{first}/pay"), &card).await.status, 400);
    rig.get(&format!("/v1/payment_intents/{first}")).await.ok();
    rig.control("/_sandbox/reset", &json!({})).await.ok();
    rig.post("/v1/payment_intents", form).await.ok();
    rig.stop().await;
}

#[tokio::test]
async fn an_intent_is_paid_as_by_the_browser() {
    let rig = Rig::start().await;
    let intent = rig.post("/v1/payment_intents", "amount=100&currency=usd").await.ok().id();
    let path = format!("/_sandbox/payment_intents/{intent}/pay");
    let declined = rig.control(&path, &json!({"card": "4000000000000002"})).await;
    assert_eq!((declined.status, declined.error("code")), (402, "card_declined"));
    let waits = rig.control(&path, &json!({"card": "4000000000003220"})).await.ok();
    assert_eq!(waits.body["status"], "requires_action");
    let failed = rig.control(&path, &json!({"card": "4000000000003220", "authenticate": "fail"})).await;
    assert_eq!((failed.status, failed.error("code")), (402, "payment_intent_authentication_failure"));
    let paid =
        rig.control(&path, &json!({"card": "4000000000003220", "authenticate": "complete"})).await.ok();
    assert_eq!(paid.body["status"], "succeeded");
    assert_eq!(rig.control(&path, &json!({"card": "4242424242424242"})).await.status, 400);
    rig.stop().await;
}

#[tokio::test]
async fn a_state_is_carried_to_another_sandbox() {
    let (one, other) = (Rig::start().await, Rig::start().await);
    let intent = one.paid("").await.id();
    let state = one.get("/_sandbox/state").await.ok().body;
    assert_eq!(other.control("/_sandbox/state", &json!({"no": "state"})).await.status, 400);
    other.control("/_sandbox/state", &state).await.ok();
    let carried = other.get(&format!("/v1/payment_intents/{intent}")).await.ok();
    assert_eq!(carried.body["status"], "succeeded");
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_reset_forgets_everything() {
    let rig = Rig::start().await;
    rig.paid("").await;
    rig.control("/_sandbox/reset", &json!({})).await.ok();
    assert_eq!(rig.get("/v1/payment_intents").await.ok().body["data"], json!([]));
    assert_eq!(rig.event_types().await, [""; 0]);
    rig.stop().await;
}

#[tokio::test]
async fn an_answers_date_is_of_the_sandboxs_clock() {
    let rig = Rig::start().await;
    let real = rig.get("/v1/balance").await.ok();
    assert!(real.header("date").is_some_and(|date| date.ends_with(" GMT")));
    rig.control("/_sandbox/clock", &json!({"frozen": true})).await.ok();
    rig.advance("8760h").await;
    let made = rig.post("/v1/payment_intents", "amount=100&currency=usd").await.ok();
    let date = made.header("date").unwrap();
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = time::PrimitiveDateTime::parse(date, format).unwrap().assume_utc();
    assert_eq!(made.body["created"], date.unix_timestamp());
    assert_eq!(made.headers.get_all("date").iter().count(), 1);
    rig.stop().await;
}

/// Each path of what people do by hand, once.
/// Covers: fault 148, fault 156, fault 158.
#[tokio::test]
async fn people_act_by_hand() {
    let rig = Rig::start().await;
    let act =
        async |path: String, body: serde_json::Value| rig.control(&format!("/_sandbox/{path}"), &body).await;
    let paid = rig.paid("").await;
    let (intent, charge) = (paid.id(), paid.body["latest_charge"].as_str().unwrap().to_owned());
    let refund = act(format!("payment_intents/{intent}/refund"), json!({"amount": 100})).await.ok().id();
    let failed = act(format!("refunds/{refund}/fail"), json!({"reason": "declined"})).await.ok();
    assert_eq!(failed.body["failure_reason"], "declined");
    let account = json!({"refunds_wait_for_balance": true, "settlement_currency": "eur", "exchange_rates": {"usd": "0.9"}});
    let changed = act("account".to_owned(), account).await.ok();
    assert_eq!(changed.body, rig.get("/_sandbox/account").await.ok().body);
    let waits = act(format!("payment_intents/{intent}/refund"), json!({"amount": 100})).await.ok();
    assert_eq!(waits.body["pending_reason"], "insufficient_funds");
    let settled = act(format!("refunds/{}/settle", waits.id()), json!({})).await.ok();
    assert_eq!(settled.body["status"], "succeeded");
    assert!(settled.body["balance_transaction"].is_string(), "{}", settled.text);

    let inquiry = json!({"status": "warning_needs_response", "amount": 500, "reason": "duplicate"});
    let dispute = act(format!("charges/{charge}/dispute"), inquiry).await.ok().id();
    let escalated = act(format!("disputes/{dispute}/escalate"), json!({})).await.ok();
    assert_eq!(escalated.body["status"], "needs_response");
    assert_eq!(escalated.body["balance_transactions"][0]["amount"], -450);
    let lost = act(format!("disputes/{dispute}/decide"), json!({"status": "lost"})).await.ok();
    assert_eq!(lost.body["status"], "lost");
    let second = act(format!("payment_intents/{intent}/dispute"), json!({})).await.ok();
    assert_eq!(second.body["amount"], 1000);

    let held = rig.paid("capture_method=manual").await.id();
    let captured = act(format!("payment_intents/{held}/capture"), json!({"amount": 10})).await.ok();
    assert_eq!(captured.body["amount_received"], 10);
    assert_eq!(act(format!("payment_intents/{held}/cancel"), json!({})).await.status, 400);
    for (path, body) in [
        (format!("payment_intents/{intent}/refund"), json!({"colour": 1})),
        (format!("disputes/{dispute}/decide"), json!({})),
        (format!("disputes/{dispute}/escalate"), json!({})),
        ("account".to_owned(), json!({"settlement_currency": "zzz"})),
    ] {
        assert_eq!(act(path.clone(), body).await.status, 400, "{path}");
    }
    for path in [
        "disputes/du_none/escalate",
        "refunds/re_none/settle",
        "payouts/po_none/fail",
        "charges/ch_none/dispute",
    ] {
        assert_eq!(act(path.to_owned(), json!({})).await.status, 404, "{path}");
    }
    rig.stop().await;
}
