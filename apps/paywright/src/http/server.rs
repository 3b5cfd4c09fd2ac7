//! The HTTP server: limits, request ids, headers, and the routes.

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    App as ActixApp, HttpServer,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Server, ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::{Next, from_fn},
    web,
};
use futures::FutureExt as _;
use tracing_actix_web::{RequestId, TracingLogger};

use super::{limits, problem::Problem, routes};
use crate::{
    metrics::http::{Route, method},
    wiring::App,
};

/// How long a client may take to send a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// Connections at the same time, for each thread.
const CONNECTIONS_MAX: usize = 5_000;
/// What every answer has, unless its route says otherwise.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Starts serving on `listener`, and looking after the declines of the whole shop. The caller awaits the server and stops
/// it by its handle.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(app: Arc<App>, listener: TcpListener) -> std::io::Result<Server> {
    let (workers, drain) = (app.settings.http.workers, app.settings.http.drain_seconds);
    tokio::spawn(limits::watch(Arc::downgrade(&app)));
    let data = web::Data::from(app);
    let server = HttpServer::new(move || {
        ActixApp::new()
            .app_data(data.clone())
            .wrap(from_fn(around))
            .wrap(TracingLogger::<Span>::new())
            .configure(routes::configure)
            .default_service(web::to(async || Err::<String, _>(Problem::not_found("route"))))
    });
    Ok(server
        .workers(workers)
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(drain)
        .disable_signals()
        .listen(listener)?
        .run())
}

/// Around every request: measures it, names it in its answer, turns bare refusals of the framework (405 for example) into
/// problems. A panic is the end of one request, not of its connection.
async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    use actix_web::HttpMessage as _;
    let (begun, method) = (Instant::now(), method(request.method()));
    let id = request.extensions().get::<RequestId>().copied();
    let route = request.extensions().get::<Route>().cloned();
    let called = std::panic::AssertUnwindSafe(next.call(request)).catch_unwind().await;
    let outcome = match called {
        Ok(called) => called.map(|response| finished(response.map_into_boxed_body(), id)),
        Err(_) => Err(panicked(id)),
    };
    if let Some(route) = route {
        route.answered(method, status(&outcome), begun.elapsed());
    }
    outcome
}

fn finished(mut response: ServiceResponse<BoxBody>, id: Option<RequestId>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    if status.is_client_error() && response.response().body().size() == BodySize::Sized(0) {
        let problem = match status {
            StatusCode::METHOD_NOT_ALLOWED => {
                Problem::new(status, "method_not_allowed", "The route does not take this method")
            }
            _ => Problem::new(status, "bad_request", "The request cannot be read"),
        };
        let (request, bare) = response.into_parts();
        let mut answer = actix_web::ResponseError::error_response(&problem);
        if let Some(methods) = bare.headers().get(header::ALLOW) {
            answer.headers_mut().insert(header::ALLOW, methods.clone());
        }
        response = ServiceResponse::new(request, answer);
    }
    complete(response.headers_mut(), id);
    response
}

/// What the panic said is in the log, where the panic hook writes it.
fn panicked(id: Option<RequestId>) -> actix_web::Error {
    let title = "Something is wrong on our side";
    let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", title);
    tracing::error!(request.id = id.map(tracing::field::display), "request panicked");
    let mut answer = actix_web::ResponseError::error_response(&problem);
    complete(answer.headers_mut(), id);
    InternalError::from_response(problem, answer).into()
}

fn complete(headers: &mut HeaderMap, id: Option<RequestId>) {
    for (name, value) in HEADERS {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
    if let Some(id) = id
        && let Ok(id) = HeaderValue::from_str(id.hyphenated().encode_lower(&mut [0; 36]))
    {
        headers.insert(REQUEST_ID, id);
    }
}

fn status<B>(outcome: &Result<ServiceResponse<B>, actix_web::Error>) -> StatusCode {
    match outcome {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    }
}

/// One span a request: method, route and id; never the path's token, a query string or a header.
struct Span;

impl tracing_actix_web::RootSpanBuilder for Span {
    fn on_request_start(request: &ServiceRequest) -> tracing::Span {
        use actix_web::HttpMessage as _;
        let route = Route::of(request);
        let known = request.extensions();
        tracing::info_span!(
            "request",
            method = %request.method(),
            route = route.pattern(),
            request.id = known.get::<RequestId>().map(tracing::field::display),
            status = tracing::field::Empty
        )
    }

    fn on_request_end<B: MessageBody>(
        span: tracing::Span,
        outcome: &Result<ServiceResponse<B>, actix_web::Error>,
    ) {
        span.record("status", status(outcome).as_u16());
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{HttpResponse, test};

    use super::*;

    /// Covers: fault 89, fault 142.
    #[actix_web::test]
    async fn a_panic_is_answered_with_a_problem_that_tells_nothing() {
        let panics = web::get().to(async || -> HttpResponse { panic!("canary") });
        let app = ActixApp::new().wrap(from_fn(around)).wrap(TracingLogger::<Span>::new()).route("/", panics);
        let app = test::init_service(app).await;
        let answer = test::try_call_service(&app, test::TestRequest::get().uri("/").to_request()).await;
        let answer = answer.expect_err("an error, which the server renders").error_response();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), "application/problem+json");
        assert!(answer.headers().contains_key("x-request-id"));
        assert_eq!(answer.headers().get(header::X_FRAME_OPTIONS).unwrap(), "DENY");
        let body = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("canary"));
    }
}
