//! Requests, measured around everything else.

use std::time::Instant;

use actix_web::{
    HttpMessage as _,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, StatusCode},
    middleware::Next,
};

use super::catalogue::HTTP;

/// The pattern of a request's route, left with the request by [`measure`]: finding it is half of the way to the route.
pub(crate) struct Route(pub(crate) String);

/// Measures a request: by its route's pattern, never by its path, in which ids and tokens stand.
///
/// # Errors
/// Those of the route.
pub async fn measure<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let begun = Instant::now();
    let route = request.match_pattern().unwrap_or_else(|| "none".to_owned());
    let method = method(request.method());
    request.extensions_mut().insert(Route(route.clone()));
    let outcome = next.call(request).await;
    let status = match &outcome {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    metrics::histogram!(HTTP, "route" => route, "method" => method, "status" => class(status))
        .record(begun.elapsed());
    outcome
}

/// A client may invent methods; we count those together.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
