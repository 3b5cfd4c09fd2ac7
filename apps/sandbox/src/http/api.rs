//! `/v1/...`: bytes to a request, and its answer to bytes.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;

use super::fault;
use super::shell::{Held, Shell, request_id};
use crate::model::error::ApiError;
use crate::model::fault::{Kind, Verdict};
use crate::model::{Method, Request, Response};

/// Longest body of a request.
pub(super) const BODY_MAX: usize = 1024 * 1024;

pub(super) async fn handle(
    http: HttpRequest,
    payload: web::Payload,
    shell: web::Data<Shell>,
) -> HttpResponse {
    let request = match read(&http, payload).await {
        Ok(request) => request,
        Err(error) => return write(early(&error)),
    };
    let held = match shell.hold(&request) {
        Ok(held) => held,
        Err(error) => return answer(&shell, &request, early(&error)),
    };
    let verdicts = match shell.decide(&request) {
        Ok(verdicts) => verdicts,
        Err(response) => return answer(&shell, &request, *response),
    };
    if verdicts.is_empty() {
        let response = shell.request(request.clone(), None);
        drop(held);
        return answer(&shell, &request, response);
    }
    let mut response = with_faults(&http, &request, &shell, held, &verdicts).await;
    if let Some(retry) = verdicts.iter().find_map(|verdict| verdict.should_retry) {
        let name = HeaderName::from_static("stripe-should-retry");
        let value = if retry { "true" } else { "false" };
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn answer(shell: &Shell, request: &Request, response: Response) -> HttpResponse {
    record(shell, request, &response);
    write(response)
}

/// Carries a request out, or not, and answers as its faults want.
async fn with_faults(
    http: &HttpRequest,
    request: &Request,
    shell: &Shell,
    held: Option<Held<'_>>,
    verdicts: &[Verdict],
) -> HttpResponse {
    let find = |wanted: fn(&Verdict) -> bool| verdicts.iter().copied().find(wanted);
    for delay in verdicts.iter().filter(|verdict| verdict.kind == Kind::Delay) {
        tokio::time::sleep(Duration::from_millis(delay.millis)).await;
    }
    let key = request.idempotency_key.as_deref();
    if let Some(error) = verdicts.iter().find_map(|verdict| verdict.as_refusal(key)) {
        let mut response = early(&error);
        if error.code == Some("rate_limit") {
            response = response.header("Stripe-Rate-Limited-Reason", "endpoint-rate");
        }
        return answer(shell, request, response);
    }
    let replacing = find(|verdict| verdict.kind.replaces_the_answer());
    let effect = verdicts.iter().find_map(|verdict| verdict.as_effect());
    let response = match replacing {
        Some(verdict) if !verdict.effect => Response::default(),
        _ => shell.request(request.clone(), effect),
    };
    // A client whose connection is reset may repeat its request at once.
    drop(held);
    if let Some(instead) = replacing.and_then(|verdict| fault::instead(http, verdict.kind)) {
        return instead;
    }
    // An answer that lies on purpose is no exchange that the checker should see.
    if effect.is_none_or(|effect| effect.is_error()) {
        record(shell, request, &response);
    }
    match find(|verdict| matches!(verdict.kind, Kind::Drip | Kind::Truncate)) {
        Some(verdict) => {
            let body = response.body.clone();
            fault::mangle(write(response), body, verdict)
        }
        None => write(response),
    }
}

/// Records what servers say. What Stripe.js says in a browser, with a publishable key, is not in Stripe's published
/// description.
fn record(shell: &Shell, request: &Request, response: &Response) {
    let browser = [&request.query, &request.body].iter().any(|text| text.contains("key=pk_"))
        || request.api_key.as_deref().is_some_and(|key| key.starts_with("pk_"));
    let server = request.path.starts_with("/v1/") && !browser;
    if let Some(recorder) = shell.recorder.as_ref().filter(|_| server) {
        recorder.write(request, response);
    }
}

async fn read(http: &HttpRequest, payload: web::Payload) -> Result<Request, Box<ApiError>> {
    let unknown = || ApiError::unknown_route(http.method().as_str(), http.path());
    let method = match http.method().as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        _ => return Err(unknown().into()),
    };
    let body = match payload.to_bytes_limited(BODY_MAX).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(ApiError::invalid("The request's body could not be read.").into()),
        Err(_) => return Err(ApiError::too_large().into()),
    };
    let headers = http.headers();
    check_content_type(headers, !body.is_empty())?;
    let body = String::from_utf8(body.to_vec())
        .map_err(|_| ApiError::invalid("Invalid request: the body must be valid UTF-8."))?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Request {
        method,
        path: http.path().to_owned(),
        query: http.query_string().to_owned(),
        body: if method == Method::Post { body } else { String::new() },
        api_key: api_key(headers).or_else(|| publishable_key(http.query_string())),
        idempotency_key: header("Idempotency-Key"),
        stripe_version: header("Stripe-Version"),
        stripe_account: header("Stripe-Account"),
    })
}

fn check_content_type(headers: &HeaderMap, has_body: bool) -> Result<(), Box<ApiError>> {
    let Some(given) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return Ok(()) };
    if !has_body || given.starts_with("application/x-www-form-urlencoded") {
        return Ok(());
    }
    let message = "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you have any questions, we can help at https://support.stripe.com/.";
    Err(ApiError::invalid(message).into())
}

/// Stripe.js sends its publishable key as a parameter.
fn publishable_key(query: &str) -> Option<String> {
    let key = query.split('&').find_map(|pair| pair.strip_prefix("key="))?;
    key.starts_with("pk_").then(|| key.to_owned())
}

/// `Bearer key`, or Basic with the key as the user. Source: <https://docs.stripe.com/api/authentication>.
fn api_key(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = given.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
    let pair = String::from_utf8(decoded).ok()?;
    Some(pair.split_once(':').map_or(pair.clone(), |(user, _)| user.to_owned()))
}

fn refused(error: &ApiError) -> Response {
    let response = Response::json(error.status, &error.body());
    match error.should_retry() {
        Some(retry) => response.header("Stripe-Should-Retry", retry.to_string()),
        None => response,
    }
}

/// A refusal before Stripe looked at the request. Only one by a lock has no request id.
pub(super) fn early(error: &ApiError) -> Response {
    match error.code {
        Some("lock_timeout") => refused(error),
        _ => refused(error).header("Request-Id", request_id()),
    }
}

pub(super) fn refuse(error: &ApiError) -> HttpResponse {
    write(refused(error))
}

pub(super) fn write(response: Response) -> HttpResponse {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut http = HttpResponse::build(status);
    http.content_type("application/json").insert_header(("Cache-Control", "no-cache, no-store"));
    for (name, value) in response.headers {
        http.insert_header((name, value));
    }
    if response.status == 413 {
        // The rest of the body is not read.
        http.force_close();
    }
    http.body(response.body)
}
