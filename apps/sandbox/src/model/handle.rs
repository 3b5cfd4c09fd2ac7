//! One API request, from its key to its answer.

use std::collections::BTreeMap;

use serde_json::Value;

use super::auth::{self, Caller};
use super::context::Context;
use super::error::{ApiError, ApiResult};
use super::fault::Effect;
use super::form::{self, Node};
use super::idempotency::{Fingerprint, KEY_LENGTH_MAX};
use super::params::Params;
use super::random::Random;
use super::request::{Method, Request, Response};
use super::time::Time;
use super::timers::Due;
use super::world::World;
use super::{API_VERSION, Model, expand, expandable, parameters, route};

/// What is known about a request before it is executed.
struct Call<'a> {
    request: &'a Request,
    request_id: String,
    caller: Caller,
    tree: BTreeMap<String, Node>,
    fingerprint: Fingerprint,
}

impl Model {
    pub(super) fn handle(
        &mut self,
        request: &Request,
        fault: Option<Effect>,
        now: Time,
        mut random: Random,
    ) -> Response {
        let request_id = format!("req_{}", random.text(14));
        let response = match prepare(request, &request_id) {
            Ok(call) => self.execute(&call, fault, now, random),
            Err(error) => {
                answer(request, &request_id, error.status, error.body().to_string(), error.should_retry())
            }
        };
        // The server knows the date while ours is the real one.
        match self.clock.is_apart().then(|| now.http_date()).flatten() {
            Some(date) => response.header("Date", date),
            None => response,
        }
    }

    fn execute(&mut self, call: &Call<'_>, fault: Option<Effect>, now: Time, random: Random) -> Response {
        let key = call.request.idempotency_key.as_deref().filter(|_| call.request.method == Method::Post);
        let mode = call.caller.mode;
        if let Some(key) = key {
            let store = &mut self.world_mut(mode).idempotency;
            store.prune(now);
            match store.find(key, call.fingerprint) {
                Ok(Some(kept)) => {
                    let retry = (400..500).contains(&kept.status).then_some(false);
                    return answer(call.request, &call.request_id, kept.status, kept.body.clone(), retry)
                        .header("Idempotent-Replayed", "true")
                        .header("Original-Request", kept.request_id.clone());
                }
                Ok(None) => {}
                Err(error) => {
                    let body = error.body().to_string();
                    return answer(call.request, &call.request_id, error.status, body, error.should_retry());
                }
            }
        }
        let mut context = self.context(mode, now, random);
        context.request_id = Some(call.request_id.clone());
        context.idempotency_key = key.map(str::to_owned);
        let outcome = match fault {
            Some(Effect::ErrorThenRepair { after_seconds }) => {
                plan_repair(&mut context, call, after_seconds);
                Err(ApiError::internal(INTERNAL).into())
            }
            Some(Effect::ErrorWithoutEffect) => Err(ApiError::internal(INTERNAL).into()),
            // A decline is an effect, too; only what was never begun is refused as usual.
            Some(Effect::ErrorWithEffect) => match run(&mut context, call) {
                Err(error) if !error.executed => Err(error),
                Ok(_) | Err(_) => Err(ApiError::internal(INTERNAL).into()),
            },
            Some(Effect::OtherObject | Effect::WrongLivemode | Effect::WrongAmount | Effect::UnknownEnum)
            | None => run(&mut context, call),
        };
        let events = std::mem::take(&mut context.events);
        let (status, body, executed, retry) = match outcome {
            Ok(body) => (200, body.to_string(), true, None),
            Err(error) => (error.status, error.body().to_string(), error.executed, error.should_retry()),
        };
        let mut response = answer(call.request, &call.request_id, status, body, retry);
        response.events = events;
        if let Some(key) = key.filter(|_| executed) {
            let world = self.world_mut(mode);
            world.idempotency.keep(key, now, call.fingerprint, status, &response.body, &call.request_id);
            response = response.header("Original-Request", call.request_id.clone());
        }
        if let Some(fault) = fault {
            distort(fault, &mut response, self.world(mode));
        }
        response
    }
}

/// Reads a request as far as that needs no state.
fn prepare<'a>(request: &'a Request, request_id: &str) -> ApiResult<Call<'a>> {
    let caller = auth::caller(request)?;
    if let Some(version) = &request.stripe_version {
        check_version(version)?;
    }
    let keyed = request.method == Method::Post && request.idempotency_key.is_some();
    if keyed
        && request
            .idempotency_key
            .as_ref()
            .is_some_and(|key| key.chars().count() > KEY_LENGTH_MAX || key.is_empty())
    {
        let message = format!("Idempotency keys must be between 1 and {KEY_LENGTH_MAX} characters long.");
        return Err(ApiError::invalid(message).into());
    }
    let tree = form::parse(&[&request.query, &request.body])?;
    let fingerprint = if keyed {
        let mut canonical = String::new();
        form::canonical(&tree, &mut canonical);
        Fingerprint::of(&[request.method.text(), &request.path, &canonical])
    } else {
        Fingerprint::of(&[])
    };
    Ok(Call { request, request_id: request_id.to_owned(), caller, tree, fingerprint })
}

fn plan_repair(context: &mut Context<'_>, call: &Call<'_>, after_seconds: i64) {
    if call.request.method == Method::Get {
        return;
    }
    let at = context.now.plus_seconds(after_seconds);
    context.world.timers.set(at, Due::RequestRepaired(call.request_id.clone()));
    context.world.repairs.insert(call.request_id.clone(), call.request.clone());
}

/// Carries out what was answered with a 500: the object appears by itself, with its events.
pub(super) fn repair(context: &mut Context<'_>, request_id: &str) {
    let Some(request) = context.world.repairs.remove(request_id) else { return };
    context.request_id = Some(request_id.to_owned());
    context.idempotency_key.clone_from(&request.idempotency_key);
    // Nobody hears the answer; what is refused by now stays undone.
    drop(prepare(&request, request_id).and_then(|call| run(context, &call)));
}

/// The lie is on the wire only: what is kept under the key is the truth.
fn distort(fault: Effect, response: &mut Response, world: &World) {
    if let (200, Ok(mut body)) = (response.status, serde_json::from_str(&response.body)) {
        fault.distort(&mut body, |id| world.another(id));
        response.body = body.to_string();
    }
}

const INTERNAL: &str = "An unknown error occurred";

fn run(context: &mut Context<'_>, call: &Call<'_>) -> ApiResult<Value> {
    let request = call.request;
    let Some((route, ids)) = route::find(request.method, &request.path) else {
        return Err(ApiError::unknown_route(request.method.text(), &request.path).into());
    };
    check_caller(call, route.operation().as_str())?;
    let mut typed = match call.caller.publishable {
        true => parameters::validate_publishable(&route.operation(), &call.tree)?,
        false => parameters::validate(&route.operation(), &call.tree)?,
    };
    let expanded = typed.remove("expand");
    if let Some(Value::Array(paths)) = &expanded {
        expandable::check(&route.operation(), paths)?;
    }
    if request.method == Method::Post {
        context.world.check_room()?;
    }
    let mut body = (route.handler)(context, &ids, Params::new(&typed))?;
    if let Some(Value::Array(paths)) = expanded {
        expand::expand(context.world, &mut body, &paths);
    }
    Ok(body)
}

/// A publishable key reads and confirms one intent, with its client secret.
fn check_caller(call: &Call<'_>, operation: &str) -> ApiResult<()> {
    if !call.caller.publishable {
        return Ok(());
    }
    let allowed = [
        "GET /v1/payment_intents/{}",
        "POST /v1/payment_intents/{}/confirm",
        "GET /v1/setup_intents/{}",
        "POST /v1/setup_intents/{}/confirm",
    ];
    if allowed.contains(&operation) && call.tree.contains_key("client_secret") {
        return Ok(());
    }
    let message = "This API call cannot be made with a publishable API key. Please use a secret API key. You can find a list of your API keys at https://dashboard.stripe.com/account/apikeys.";
    Err(ApiError::unauthorized(message).code("secret_key_required").into())
}

/// `2026-07-29.dahlia`, or a date of the years before names.
fn check_version(version: &str) -> ApiResult<()> {
    let (date, name) = version.split_once('.').unwrap_or((version, "acacia"));
    let digits = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let known =
        date.len() == 10 && digits && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
    if known {
        return Ok(());
    }
    let message = format!("Invalid Stripe API version: {}", form::shorten(version));
    Err(ApiError::invalid(message).into())
}

fn answer(request: &Request, request_id: &str, status: u16, body: String, retry: Option<bool>) -> Response {
    let version = request.stripe_version.as_deref().unwrap_or(API_VERSION);
    let mut response = Response { status, body, ..Response::default() }
        .header("Access-Control-Allow-Origin", "*")
        .header("Request-Id", request_id)
        .header("Stripe-Version", version);
    if let Some(key) = request.idempotency_key.as_ref().filter(|_| request.method == Method::Post) {
        response = response.header("Idempotency-Key", key.as_str());
    }
    if let Some(retry) = retry {
        response = response.header("Stripe-Should-Retry", retry.to_string());
    }
    response
}
