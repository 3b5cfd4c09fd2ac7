//! Received events: what can be read is read as it stands there, and what cannot is kept whole and named.

use std::sync::{Arc, OnceLock};

use paywright_domain::{
    Mode, Standing,
    ports::{Fact, Gateway, Heard, InboxEvent, Malformed},
};
use paywright_sandbox::model::Method;
use paywright_stripe::{UNREADABLE, envelope, unreadable};
use serde_json::{Value, json};

use super::{
    draw::Draw,
    json::damage,
    world::{NOW, Sandbox, Script, adapter},
};

/// # Panics
/// When an event is read otherwise than it is written, or something is kept that cannot be stored.
pub fn run(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let real = real();
    let kind = usize::from(draw.byte());
    let Some(event) = real.get(kind) else { return check(draw.rest()) };
    let mut event = event.clone();
    for _ in 0..draw.byte() % 8 {
        damage(&mut event, &mut draw);
    }
    let body = event.to_string().into_bytes();
    let cut = draw.number();
    match usize::try_from(cut).ok().filter(|cut| (1..=body.len()).contains(cut)) {
        Some(cut) => check(&body[..body.len() - cut]),
        None => check(&body),
    }
}

fn check(body: &[u8]) {
    let value = serde_json::from_str::<Value>(&String::from_utf8_lossy(body)).ok();
    let stored = envelope(body);
    assert_eq!(stored, envelope(body));
    match &stored {
        Ok(event) => check_stored(event, body, value.as_ref()),
        Err(malformed) => {
            check_words(malformed);
            let (kept, mode) = (unreadable(body, Mode::Live, NOW), Mode::Live);
            assert_eq!((&*kept.body, kept.mode, kept.created_at), (body, mode, NOW));
            assert_eq!(kept.kind, UNREADABLE);
            check_name(&kept.id);
            assert_eq!(kept.id, unreadable(body, Mode::Test, NOW).id, "a repeat would be taken for another");
            assert_ne!(kept.id, unreadable(&[body, b" "].concat(), mode, NOW).id);
        }
    }
    match adapter(Script::new(Vec::new())).understand(body) {
        Ok(Heard::Fact(fact)) => check_fact(&fact, value.as_ref()),
        Ok(Heard::Nothing(words)) => check_text(&words, 200),
        Err(malformed) => check_words(&malformed),
    }
}

fn check_stored(event: &InboxEvent, body: &[u8], value: Option<&Value>) {
    assert_eq!(event.body, body);
    assert!(event.created_at.unix_timestamp() >= 0 && event.ignored.is_none());
    check_name(&event.id);
    check_name(&event.kind);
    let others = [&event.account, &event.api_version, &event.object, &event.about];
    others.into_iter().flatten().for_each(|name| check_name(name));
    let Some(value) = value else { return };
    assert_eq!(value["id"], *event.id);
    assert_eq!(value["type"], *event.kind);
    assert_eq!(value["livemode"], (event.mode == Mode::Live));
    let object = &value["data"]["object"];
    let shown = if object.is_object() { object } else { &value["related_object"] };
    if let Some(name) = &event.object {
        assert_eq!(shown["id"], **name);
    }
    if let Some(about) = event.about.as_ref().filter(|about| event.object.as_ref() != Some(about)) {
        assert_eq!(shown["payment_intent"], **about);
    }
    if let Some(seconds) = value["created"].as_i64() {
        assert_eq!(event.created_at.unix_timestamp(), seconds);
    }
}

fn check_fact(fact: &Fact, value: Option<&Value>) {
    let Some(value) = value else { return };
    let object = &value["data"]["object"];
    let named = |reference: &Value| reference["id"].as_str().or(reference.as_str()).map(str::to_owned);
    let (amount, origin) = match fact {
        Fact::Payment(told) => {
            let modes = [&value["livemode"], &object["livemode"]];
            assert!(modes.into_iter().any(|live| *live == (told.mode == Mode::Live)));
            assert_eq!(told.sighting.at.unix_timestamp(), value["created"].as_i64().unwrap_or(-1));
            let id = Some(object["id"].as_str().unwrap_or_default());
            match object["object"].as_str() {
                Some("payment_intent") => assert_eq!(told.sighting.intent.as_ref().map(|id| id.as_str()), id),
                Some("checkout.session") => {
                    assert_eq!(told.sighting.session.as_ref().map(|id| id.as_str()), id)
                }
                Some("charge") => {
                    let intent = told.sighting.intent.clone().map(String::from);
                    assert_eq!(intent, named(&object["payment_intent"]));
                }
                other => panic!("a fact about {other:?}"),
            }
            check_standing(&told.sighting.standing, object);
            if let Some(refusal) = &told.refusal {
                check_text(&refusal.message, 500);
                check_text(&refusal.key, 255);
            }
            (told.amount, &told.origin)
        }
        Fact::Refund(told) => {
            assert_eq!(object["id"], told.sighting.id.as_str());
            assert_eq!(told.mode, value["livemode"].as_bool().map(Mode::from_livemode));
            (told.amount, &told.origin)
        }
        Fact::Dispute(told) => {
            assert_eq!(object["id"], told.id.as_str());
            check_text(&told.sighting.reason, 100);
            (Some(told.sighting.amount), &told.origin)
        }
    };
    check_text(origin.event.as_deref().unwrap_or_default(), 255);
    if let Some(amount) = amount {
        let shown = [&object["amount"], &object["amount_total"]].into_iter().find_map(Value::as_u64);
        assert_eq!(shown, Some(amount.minor()));
        assert_eq!(object["currency"], amount.currency().code());
    }
}

/// Money is told of only in the words that mean it.
pub(super) fn check_standing(standing: &Standing, object: &Value) {
    let (status, kind) = (object["status"].as_str(), object["object"].as_str());
    match standing {
        Standing::Captured { captured, refunded } => {
            let (word, taken) = match kind {
                Some("charge") => ("succeeded", &object["amount_captured"]),
                _ => ("succeeded", &object["amount_received"]),
            };
            assert_eq!((status, taken.as_u64()), (Some(word), Some(*captured)));
            assert!(*refunded == 0 || object.to_string().contains("amount_refunded"));
        }
        Standing::Authorized(held) => {
            let shown = if kind == Some("charge") { &object["amount"] } else { &object["amount_capturable"] };
            assert_eq!(shown.as_u64(), Some(*held));
            assert!(matches!(status, Some("requires_capture" | "succeeded")), "{status:?}");
        }
        Standing::Cancelled => assert!(matches!(status, Some("canceled" | "expired")), "{status:?}"),
        Standing::Processing => assert_eq!(status, Some("processing")),
        Standing::ActionRequired => assert_eq!(status, Some("requires_action")),
        Standing::AwaitingMethod => {
            let waiting = ["requires_payment_method", "requires_confirmation", "open"];
            assert!(status.is_some_and(|status| waiting.contains(&status)), "{status:?}");
        }
        Standing::Unclear => {}
    }
}

/// That it can stand in a column and in a log.
fn check_name(name: &str) {
    let printable = name.bytes().all(|b| b.is_ascii_graphic());
    assert!(printable && (1..=255).contains(&name.len()), "{name:?}");
}

pub(super) fn check_text(text: &str, max: usize) {
    assert!(text.chars().count() <= max && !text.chars().any(char::is_control), "{text:?}");
}

/// Where and why, never a whole value.
fn check_words(Malformed(words): &Malformed) {
    check_text(words, 400);
}

/// Events of the sandbox's, one of each type, and a thin one.
fn real() -> &'static [Value] {
    static REAL: OnceLock<Vec<Value>> = OnceLock::new();
    REAL.get_or_init(|| {
        let sandbox = Sandbox::new();
        live(&sandbox);
        let mut events: Vec<Value> = Vec::new();
        let mut after = String::new();
        loop {
            let target = format!("/v1/events?limit=100{after}");
            let page: Value =
                serde_json::from_str(&sandbox.send(Method::Get, &target, "").body).unwrap_or_default();
            for event in page["data"].as_array().into_iter().flatten() {
                if events.iter().all(|known| known["type"] != event["type"]) {
                    events.push(event.clone());
                }
            }
            let last = page["data"].as_array().and_then(|rows| rows.last()).map(|row| row["id"].clone());
            let Some(last) = last.filter(|_| page["has_more"] == true) else { break };
            after = format!("&starting_after={}", last.as_str().unwrap_or_default());
        }
        events.sort_by_key(|event| event["type"].to_string());
        events.push(json!({
            "id": "evt_thin", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered",
            "created": "2026-11-21T12:00:00.000Z", "livemode": false, "related_object": { "id": "mtr_1" },
        }));
        events
    })
}

/// As many sorts of events as a shop sees.
fn live(sandbox: &Arc<Sandbox>) {
    let post = |path: &str, form: &str| {
        let body: Value =
            serde_json::from_str(&sandbox.send(Method::Post, path, form).body).unwrap_or_default();
        body["id"].as_str().unwrap_or_default().to_owned()
    };
    let metadata = "metadata[paywright_order]=ord_01kagpz3m4e5tv9w8x7y6z5a4b\
        &metadata[paywright_payment]=pay_01kagpz3m4e5tv9w8x7y6z5a4b";
    let paid = post(
        "/v1/payment_intents",
        &format!("amount=1999&currency=usd&{metadata}&confirm=true&payment_method=pm_card_visa"),
    );
    post("/v1/refunds", &format!("payment_intent={paid}&amount=500&{metadata}"));
    let held = "amount=5000&currency=usd&capture_method=manual&confirm=true&payment_method=pm_card_visa";
    let captured = post("/v1/payment_intents", held);
    post(&format!("/v1/payment_intents/{captured}/capture"), "");
    let released = post("/v1/payment_intents", held);
    post(&format!("/v1/payment_intents/{released}/cancel"), "");
    for method in ["pm_card_chargeDeclined", "pm_card_createDispute", "pm_card_authenticationRequired"] {
        post(
            "/v1/payment_intents",
            &format!("amount=1000&currency=eur&confirm=true&payment_method={method}"),
        );
    }
    let session = post(
        "/v1/checkout/sessions",
        "mode=payment&success_url=https%3A%2F%2Fa.example&line_items[0][price_data][currency]=usd\
            &line_items[0][price_data][unit_amount]=100&line_items[0][price_data][product_data][name]=Tea\
            &line_items[0][quantity]=2",
    );
    post(&format!("/v1/checkout/sessions/{session}/expire"), "");
    sandbox.advance(10);
    sandbox.advance(700_000);
}
