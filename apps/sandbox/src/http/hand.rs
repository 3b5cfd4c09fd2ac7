//! What people do by hand, as JSON under `/_sandbox/` and as forms of the dashboard.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{refuse, write};
use super::control::json_body;
use super::dashboard::{foreign, is_foreign};
use super::pages::{message, redirect};
use super::shell::Shell;
use crate::model::Control;
use crate::model::by_hand::{ByHand, Deed};
use crate::model::error::ApiError;

/// Under `/_sandbox`.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    for (path, deed) in [
        ("/payment_intents/{id}/refund", "refund"),
        ("/payment_intents/{id}/capture", "capture"),
        ("/payment_intents/{id}/cancel", "cancel"),
        ("/payment_intents/{id}/dispute", "dispute"),
        ("/charges/{id}/dispute", "dispute"),
        ("/refunds/{id}/fail", "fail_refund"),
        ("/refunds/{id}/settle", "settle_refund"),
        ("/payouts/{id}/fail", "fail_payout"),
        ("/disputes/{id}/escalate", "escalate"),
        ("/disputes/{id}/decide", "decide"),
    ] {
        let handler = move |id: web::Path<String>, payload: web::Payload, shell: web::Data<Shell>| async move {
            match json_body::<Value>(payload).await.and_then(|body| read(deed, body)) {
                Ok(deed) => write(shell.control(Control::ByHand(ByHand { id: id.into_inner(), deed }))),
                Err(error) => refuse(&error),
            }
        };
        config.route(path, web::post().to(handler));
    }
}

/// `("refund", {"amount": 500})`, as the model names it.
fn read(deed: &str, body: Value) -> Result<Deed, Box<ApiError>> {
    let plain = matches!(deed, "settle_refund" | "fail_payout" | "escalate");
    let named = if plain { json!(deed) } else { json!({ (deed): body }) };
    serde_json::from_value(named).map_err(|error| ApiError::invalid(format!("Invalid JSON: {error}")).into())
}

/// A button of the dashboard: what it does, its label and whether an amount may be given.
pub(super) struct Button {
    pub(super) deed: &'static str,
    pub(super) label: &'static str,
    pub(super) takes_amount: bool,
}

const fn button(deed: &'static str, label: &'static str, takes_amount: bool) -> Button {
    Button { deed, label, takes_amount }
}

/// What can be done to an object as it is now.
pub(super) fn buttons(object: &Value) -> Vec<Button> {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let open = ["needs_response", "under_review", "won", "lost"].contains(&text("status"));
    match (text("object"), text("status")) {
        ("payment_intent", "succeeded") => {
            vec![button("refund", "Refund", true), button("dispute", "Dispute", true)]
        }
        ("payment_intent", "requires_capture") => {
            vec![button("capture", "Capture", true), button("cancel", "Cancel", false)]
        }
        ("payment_intent", "requires_payment_method" | "requires_confirmation" | "requires_action") => {
            vec![button("cancel", "Cancel", false)]
        }
        ("refund", "pending") => {
            vec![button("settle_refund", "Settle", false), button("fail_refund", "Fail", false)]
        }
        ("refund", "succeeded") => vec![button("fail_refund", "Fail", false)],
        ("payout", "pending" | "in_transit" | "paid") => vec![button("fail_payout", "Fail", false)],
        ("dispute", "warning_needs_response" | "warning_under_review") => {
            vec![button("escalate", "Escalate", false), button("close", "Close the inquiry", false)]
        }
        ("dispute", _) if open => {
            vec![button("win", "The merchant wins", false), button("lose", "The merchant loses", false)]
        }
        _ => Vec::new(),
    }
}

#[derive(Deserialize)]
pub(super) struct DeedForm {
    deed: String,
    #[serde(default)]
    amount: String,
}

/// `POST /dashboard/object/{id}`.
pub(super) async fn act(
    http: HttpRequest,
    id: web::Path<String>,
    form: web::Form<DeedForm>,
    shell: web::Data<Shell>,
) -> HttpResponse {
    if is_foreign(&http) {
        return foreign();
    }
    let amount = form.amount.trim();
    let amount = if amount.is_empty() { Ok(None) } else { amount.parse::<i64>().map(Some) };
    let Ok(amount) = amount else {
        return refused("The amount is a number of cents (or of the currency's smallest unit).", &id);
    };
    let sum = amount.map_or(json!({}), |amount| json!({"amount": amount}));
    let deed = match form.deed.as_str() {
        "close" => read("decide", json!({"status": "warning_closed"})),
        "win" => read("decide", json!({"status": "won"})),
        "lose" => read("decide", json!({"status": "lost"})),
        deed => read(deed, sum),
    };
    let response = match deed {
        Ok(deed) => shell.control(Control::ByHand(ByHand { id: id.clone(), deed })),
        Err(error) => return refused(&error.message, &id),
    };
    if response.status == 200 {
        return redirect(&format!("/dashboard/object/{id}"));
    }
    let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
    refused(body["error"]["message"].as_str().unwrap_or("It could not be done."), &id)
}

fn refused(reason: &str, id: &str) -> HttpResponse {
    let back = Some((format!("/dashboard/object/{id}"), "Back".to_owned()));
    message(StatusCode::BAD_REQUEST, "Not done", reason, back)
}
