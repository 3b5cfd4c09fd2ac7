//! Stripe's events: verify, look shallowly, store durably, answer. No business logic, no call to Stripe.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use paywright_domain::{
    Mode,
    ports::{InboxEvent, Received, StoreError},
};
use paywright_stripe::{SignatureError, TOLERANCE, envelope, unreadable, verify};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{body::Body, problem::Problem},
    metrics::record,
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
    let begun = Instant::now();
    let header = request.headers().get("stripe-signature").and_then(|value| value.to_str().ok());
    let delivery = take(&app, header, &bytes).await;
    let (outcome, reason) = delivery.labels();
    record::delivery(outcome, reason, begun);
    delivery.answer()
}

/// What became of a delivery; each is counted.
enum Delivery {
    /// It is stored, and will be read.
    Stored,
    /// It was stored before.
    Known,
    /// It is stored, and not for us to read.
    Ignored(Foreign),
    /// It is signed, so it is Stripe's: stored, and shown as dead, rather than lost.
    Unreadable,
    /// It is not Stripe's, or not of now. Nothing was stored.
    Refused(SignatureError),
    /// The database did not take it; Stripe sends it again.
    NotStored(StoreError),
}

/// Why an event is not for us.
#[derive(Debug, Clone, Copy)]
enum Foreign {
    /// Play money on a server of real money, or the reverse.
    OtherMode,
    /// Of an account that is connected to ours.
    ConnectedAccount,
}

async fn take(app: &App, header: Option<&str>, bytes: &[u8]) -> Delivery {
    let (now, mode) = (app.ports.clock.now(), app.settings.mode);
    if let Err(error) = verify(header, bytes, &app.webhook_secrets, now, TOLERANCE) {
        tracing::warn!(%error, "refused an event");
        return Delivery::Refused(error);
    }
    let (mut event, meant) = match envelope(bytes) {
        Ok(event) => {
            let foreign = foreign(&event, mode);
            (event, foreign.map_or(Delivery::Stored, Delivery::Ignored))
        }
        Err(error) => {
            tracing::error!(%error, "stored a signed event that cannot be read");
            (unreadable(bytes, mode, now), Delivery::Unreadable)
        }
    };
    if let Delivery::Ignored(why) = &meant {
        event.ignored = Some(why.words(&event, mode));
    }
    let (id, kind) = (event.id.clone(), event.kind.clone());
    // What was asked of the inbox runs to its end even if the sender hangs up.
    let new = match app.ports.queue.receive(event).await {
        Ok(received) => received == Received::New,
        Err(error) => return Delivery::NotStored(error),
    };
    tracing::info!(event.id = id, event.kind = kind, new, "event received");
    if new { meant } else { Delivery::Known }
}

impl Delivery {
    /// What became of it, and why, for those who count.
    fn labels(&self) -> (&'static str, &'static str) {
        match self {
            Self::Stored => ("stored", ""),
            Self::Known => ("known", ""),
            Self::Ignored(Foreign::OtherMode) => ("ignored", "other_mode"),
            Self::Ignored(Foreign::ConnectedAccount) => ("ignored", "connected_account"),
            Self::Unreadable => ("unreadable", ""),
            Self::Refused(error) => ("refused", record::refusal(*error)),
            Self::NotStored(_) => ("unavailable", ""),
        }
    }

    fn answer(self) -> Result<HttpResponse, Problem> {
        match self {
            Self::Stored | Self::Known | Self::Ignored(_) | Self::Unreadable => {
                Ok(HttpResponse::Ok().json(ReceivedJson { received: true }))
            }
            Self::Refused(error) => Err(refuse(error)),
            Self::NotStored(error) => Err(error.into()),
        }
    }
}

/// Events that are not for us are stored, but not read.
fn foreign(event: &InboxEvent, mode: Mode) -> Option<Foreign> {
    if event.mode != mode {
        Some(Foreign::OtherMode)
    } else {
        event.account.as_ref().map(|_| Foreign::ConnectedAccount)
    }
}

impl Foreign {
    /// As it is kept with the event.
    fn words(self, event: &InboxEvent, mode: Mode) -> String {
        match self {
            Self::OtherMode => format!("a {} event; this server is in {mode} mode", event.mode),
            Self::ConnectedAccount => "of a connected account".to_owned(),
        }
    }
}

fn refuse(error: SignatureError) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_signature", "The event's signature is not valid")
        .detail(error.to_string())
}
