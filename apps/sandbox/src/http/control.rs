//! `/_sandbox/...`: the control API. JSON in, JSON out.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::api::{BODY_MAX, refuse, write};
use super::hand;
use super::shell::Shell;
use crate::model::checkout_session::{Authenticate, PayDetails};
use crate::model::control::ClockCommand;
use crate::model::error::ApiError;
use crate::model::{Control, Mode, Response, fault};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/health", web::get().to(health))
        .route("/checkout/sessions/{id}/pay", web::post().to(pay_session))
        .route("/payment_intents/{id}/pay", web::post().to(pay_intent))
        .route("/payment_intents/{id}/authenticate", web::post().to(authenticate))
        .route("/setup_intents/{id}/pay", web::post().to(pay_intent))
        .route("/setup_intents/{id}/authenticate", web::post().to(authenticate))
        .route("/deliveries", web::get().to(deliveries))
        .route("/events/{id}/resend", web::post().to(resend))
        .route("/webhook_endpoints/{id}/roll", web::post().to(roll))
        .configure(hand::routes)
        .route("/account", web::get().to(account))
        .route("/account", web::post().to(change_account))
        .route("/idempotency_keys/forget", web::post().to(forget_keys))
        .route("/clock", web::get().to(clock))
        .route("/clock", web::post().to(move_clock))
        .route("/faults", web::get().to(faults))
        .route("/faults", web::post().to(add_faults))
        .route("/faults", web::delete().to(clear_faults))
        .route("/faults/{id}", web::delete().to(remove_fault))
        .route("/state", web::get().to(export_state))
        .route("/state", web::post().to(import_state))
        .route("/reset", web::post().to(reset));
}

async fn health(shell: web::Data<Shell>) -> HttpResponse {
    let body = shell.read(|model, wall| {
        json!({
            "status": "ok",
            "api_version": crate::model::API_VERSION,
            "now": model.clock.at(wall).seconds(),
            "payment_intents": model.world(Mode::Test).payment_intents.len(),
            "events": model.world(Mode::Test).events.len(),
            "deliveries_open": model.world(Mode::Test).deliveries.open_count(),
        })
    });
    write(Response::json(200, &body))
}

async fn pay_session(id: web::Path<String>, payload: web::Payload, shell: web::Data<Shell>) -> HttpResponse {
    match json_body::<PayDetails>(payload).await {
        Ok(details) => write(shell.control(Control::PaySession { session: id.into_inner(), details })),
        Err(error) => refuse(&error),
    }
}

async fn pay_intent(id: web::Path<String>, payload: web::Payload, shell: web::Data<Shell>) -> HttpResponse {
    match json_body::<PayDetails>(payload).await {
        Ok(details) => write(shell.control(Control::PayIntent { intent: id.into_inner(), details })),
        Err(error) => refuse(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthenticateBody {
    outcome: Authenticate,
}

async fn authenticate(id: web::Path<String>, payload: web::Payload, shell: web::Data<Shell>) -> HttpResponse {
    match json_body::<AuthenticateBody>(payload).await {
        Ok(body) => {
            write(shell.control(Control::Authenticate { intent: id.into_inner(), outcome: body.outcome }))
        }
        Err(error) => refuse(&error),
    }
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

async fn deliveries(query: web::Query<Limit>, shell: web::Data<Shell>) -> HttpResponse {
    let limit = query.limit.unwrap_or(100).min(crate::model::delivery::LOG_MAX);
    let body = shell.read(|model, _| {
        let attempts = |mode| model.world(mode).deliveries.attempts();
        let mut newest: Vec<_> = attempts(Mode::Test).chain(attempts(Mode::Live)).collect();
        newest.sort_by_key(|attempt| std::cmp::Reverse(attempt.at));
        let data: Vec<Value> = newest.into_iter().take(limit).map(|attempt| attempt.render()).collect();
        let waiting: Vec<Value> = model
            .world(Mode::Test)
            .deliveries
            .waiting()
            .take(limit)
            .map(|(at, event, endpoint, attempts)| {
                json!({"event": event, "endpoint": endpoint, "attempts": attempts, "due": at.seconds()})
            })
            .collect();
        json!({"data": data, "waiting": waiting, "open": model.world(Mode::Test).deliveries.open_count()})
    });
    write(Response::json(200, &body))
}

async fn resend(id: web::Path<String>, shell: web::Data<Shell>) -> HttpResponse {
    write(shell.control(Control::Resend { event: id.into_inner() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollBody {
    /// How long the old secret still signs: `24h` at most; not at all when left out.
    keep_old: Option<Value>,
}

async fn roll(id: web::Path<String>, payload: web::Payload, shell: web::Data<Shell>) -> HttpResponse {
    let body = match json_body::<RollBody>(payload).await {
        Ok(body) => body,
        Err(error) => return refuse(&error),
    };
    match body.keep_old.as_ref().map_or(Some(0), duration_millis) {
        Some(keep_millis) => {
            write(shell.control(Control::RollSecret { endpoint: id.into_inner(), keep_millis }))
        }
        None => refuse(&bad_json("keep_old must be a duration like \"24h\"")),
    }
}

async fn account(shell: web::Data<Shell>) -> HttpResponse {
    write(Response::json(200, &shell.read(|model, _| model.world(Mode::Test).terms.render())))
}

async fn change_account(payload: web::Payload, shell: web::Data<Shell>) -> HttpResponse {
    match json_body::<Value>(payload).await {
        Ok(change) => write(shell.control(Control::Account(change))),
        Err(error) => refuse(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgetBody {
    /// All keys when left out.
    key: Option<String>,
}

async fn forget_keys(payload: web::Payload, shell: web::Data<Shell>) -> HttpResponse {
    match json_body::<ForgetBody>(payload).await {
        Ok(body) => write(shell.control(Control::ForgetKeys { key: body.key })),
        Err(error) => refuse(&error),
    }
}

async fn clock(shell: web::Data<Shell>) -> HttpResponse {
    let body = shell.read(|model, wall| model.render_clock(wall));
    write(Response::json(200, &body))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockBody {
    /// `72h`, `30m`, `1500ms`, `2d`, or a number of seconds.
    advance: Option<Value>,
    frozen: Option<bool>,
}

async fn move_clock(payload: web::Payload, shell: web::Data<Shell>) -> HttpResponse {
    let body = match json_body::<ClockBody>(payload).await {
        Ok(body) => body,
        Err(error) => return refuse(&error),
    };
    let mut commands = Vec::new();
    if let Some(frozen) = body.frozen {
        commands.push(if frozen { ClockCommand::Freeze } else { ClockCommand::Unfreeze });
    }
    if let Some(advance) = &body.advance {
        match duration_millis(advance) {
            Some(millis) => commands.push(ClockCommand::Advance { millis }),
            None => return refuse(&bad_json("advance must be a duration like \"72h\", \"30m\" or \"15s\"")),
        }
    }
    for command in commands {
        shell.control(Control::Clock(command));
    }
    clock(shell).await
}

/// At most ten years.
pub(super) fn duration_millis(given: &Value) -> Option<i64> {
    const MOST: i64 = 10 * 366 * 86_400_000;
    let millis = match given {
        Value::Number(seconds) => seconds.as_i64()?.checked_mul(1_000)?,
        Value::String(text) => {
            let at = text.find(|one: char| !one.is_ascii_digit())?;
            let unit = match &text[at..] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            text[..at].parse::<i64>().ok()?.checked_mul(unit)?
        }
        _ => return None,
    };
    (0..=MOST).contains(&millis).then_some(millis)
}

async fn faults(shell: web::Data<Shell>) -> HttpResponse {
    write(Response::json(200, &shell.faults(|faults| faults.render())))
}

async fn add_faults(payload: web::Payload, shell: web::Data<Shell>) -> HttpResponse {
    let parsed = match json_body::<Value>(payload).await.and_then(|body| fault::parse(&body)) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error),
    };
    let added = shell.faults(|faults| {
        if let Some(seed) = parsed.seed {
            faults.seed(seed);
        }
        if let Some(on) = parsed.rate_limits {
            faults.rate_limits = on;
        }
        parsed.rules.into_iter().map(|rule| faults.add(rule)).collect::<Result<Vec<Value>, _>>()
    });
    match added {
        Ok(added) => write(Response::json(200, &json!({"data": added}))),
        Err(error) => refuse(&error),
    }
}

async fn clear_faults(shell: web::Data<Shell>) -> HttpResponse {
    shell.faults(fault::Faults::clear);
    faults(shell).await
}

async fn remove_fault(id: web::Path<String>, shell: web::Data<Shell>) -> HttpResponse {
    match shell.faults(|faults| faults.remove(&id)) {
        true => faults(shell).await,
        false => refuse(&ApiError::no_such("fault", &id, "id")),
    }
}

/// Longest state that can be imported.
const STATE_MAX: usize = 512 * 1024 * 1024;

async fn export_state(shell: web::Data<Shell>) -> HttpResponse {
    match shell.read(|model, _| serde_json::to_string(model)) {
        Ok(body) => write(Response { status: 200, body, ..Response::default() }),
        Err(error) => refuse(&ApiError::internal(format!("The state could not be written: {error}"))),
    }
}

async fn import_state(payload: web::Payload, shell: web::Data<Shell>) -> HttpResponse {
    let bytes = match payload.to_bytes_limited(STATE_MAX).await {
        Ok(Ok(bytes)) => bytes,
        _ => return refuse(&ApiError::too_large()),
    };
    let model = match serde_json::from_slice(&bytes) {
        Ok(model) => model,
        Err(error) => return refuse(&bad_json(format!("This is no state of a sandbox: {error}"))),
    };
    match shell.replace(model) {
        Ok(()) => write(Response::json(200, &json!({"imported": true}))),
        Err(error) => refuse(&ApiError::internal(format!("The state could not be kept: {error}"))),
    }
}

async fn reset(shell: web::Data<Shell>) -> HttpResponse {
    write(shell.control(Control::Reset))
}

fn bad_json(message: impl Into<String>) -> Box<ApiError> {
    ApiError::invalid(message).into()
}

/// A JSON body of at most 1 MiB; none at all is an empty object.
pub(super) async fn json_body<T: DeserializeOwned>(payload: web::Payload) -> Result<T, Box<ApiError>> {
    let bytes = match payload.to_bytes_limited(BODY_MAX).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(bad_json("The request's body could not be read.")),
        Err(_) => return Err(ApiError::too_large().into()),
    };
    let bytes = if bytes.is_empty() { web::Bytes::from_static(b"{}") } else { bytes };
    serde_json::from_slice(&bytes).map_err(|error| bad_json(format!("Invalid JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_bounded() {
        assert_eq!(duration_millis(&json!("72h")), Some(72 * 3_600_000));
        assert_eq!(duration_millis(&json!("1500ms")), Some(1_500));
        assert_eq!(duration_millis(&json!(5)), Some(5_000));
        for bad in [json!("72"), json!("h"), json!("-5s"), json!(-1), json!("99999999999d"), json!([])] {
            assert_eq!(duration_millis(&bad), None, "{bad}");
        }
    }
}
