//! `/v1/...`: bytes to a request, and its answer to bytes.

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;

use super::shell::Shell;
use crate::model::error::ApiError;
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
        Err(error) => return refuse(&error),
    };
    let held = match shell.hold(&request) {
        Ok(held) => held,
        Err(error) => {
            let response = refused(&error);
            record(&shell, &request, &response);
            return write(response);
        }
    };
    let response = shell.request(request.clone(), None);
    record(&shell, &request, &response);
    drop(held);
    write(response)
}

fn record(shell: &Shell, request: &Request, response: &Response) {
    if let Some(recorder) = &shell.recorder {
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
        api_key: api_key(headers),
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

pub(super) fn refused(error: &ApiError) -> Response {
    let response = Response::json(error.status, &error.body());
    match error.should_retry() {
        Some(retry) => response.header("Stripe-Should-Retry", retry.to_string()),
        None => response,
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
