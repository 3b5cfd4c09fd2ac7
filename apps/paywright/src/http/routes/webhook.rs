//! Stripe's events: verify, look shallowly, store durably, answer. No business logic, no call to Stripe.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use paywright_domain::{
    Mode,
    ports::{InboxEvent, Received},
};
use paywright_stripe::{SignatureError, TOLERANCE, envelope, unreadable, verify};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{body::Body, problem::Problem},
    wiring::App,
};

/// The most bytes that an event may have.
pub(super) const BODY_MAX: usize = 1024 * 1024;

/// The event is ours now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventReceived)]
pub(super) struct ReceivedJson {
    /// Always true.
    received: bool,
}

/// Takes Stripe's events
///
/// Answers 200 only once the event is stored; 503 when the database is away, so that Stripe sends it again.
#[utoipa::path(
    post,
    path = "/webhooks/stripe",
    operation_id = "receive_event",
    tag = "webhooks",
    params(("Stripe-Signature" = String, Header, description = "`t=...,v1=...`; the only credential")),
    request_body(
        content = serde_json::Value,
        content_type = "application/json",
        description = "One of Stripe's events, exactly as it signed it; at most 1 MiB",
    ),
    extensions(("x-problems" = json!(["bad_signature", "internal", "unavailable"]))),
    responses((status = 200, description = "Stored", body = ReceivedJson)),
)]
pub(super) async fn receive(
    app: web::Data<App>,
    request: HttpRequest,
    bytes: Body,
) -> Result<HttpResponse, Problem> {
    let header = request.headers().get("stripe-signature").and_then(|value| value.to_str().ok());
    let now = app.ports.clock.now();
    verify(header, &bytes, &app.webhook_secrets, now, TOLERANCE).map_err(refuse)?;
    let event = match envelope(&bytes) {
        Ok(event) => sorted(event, app.settings.mode),
        // It is signed, so it is Stripe's: kept, and shown as dead, rather than lost.
        Err(error) => {
            tracing::error!(%error, "stored a signed event that cannot be read");
            unreadable(&bytes, app.settings.mode, now)
        }
    };
    let (id, kind) = (event.id.clone(), event.kind.clone());
    let app = app.into_inner();
    // Runs to its end even if the sender hangs up.
    let received = actix_web::rt::spawn(async move { app.ports.queue.receive(event).await }).await;
    let received = received.map_err(|error| Problem::bug(&error))??;
    tracing::info!(event.id = id, event.kind = kind, new = received == Received::New, "event received");
    Ok(HttpResponse::Ok().json(ReceivedJson { received: true }))
}

/// Events that are not for us are stored, but not read.
fn sorted(mut event: InboxEvent, mode: Mode) -> InboxEvent {
    event.ignored = if event.mode != mode {
        Some(format!("a {} event; this server is in {mode} mode", event.mode))
    } else {
        event.account.as_ref().map(|_| "of a connected account".to_owned())
    };
    event
}

fn refuse(error: SignatureError) -> Problem {
    tracing::warn!(%error, "refused an event");
    Problem::new(StatusCode::BAD_REQUEST, "bad_signature", "The event's signature is not valid")
        .detail(error.to_string())
}
