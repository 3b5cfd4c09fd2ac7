use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use paywright_domain::{Payment, PaymentId, ports::Reader};
use serde::Deserialize;
use utoipa::ToSchema;

use super::orders::Answered;
use crate::{
    http::{
        auth,
        body::{self, Body, Empty, Minor},
        idempotent::{self, Answer},
        openapi::words,
        present::PaymentJson,
        problem::Problem,
    },
    wiring::App,
};

/// Shows a payment
///
/// As it is among its order's `payments`.
#[utoipa::path(
    get,
    path = "/v1/payments/{id}",
    operation_id = "show_payment",
    tag = "payments",
    params(("id" = words::PaymentId, Path, description = "The payment")),
    security(("api_key" = ["orders:read"])),
    responses((status = 200, description = "The payment", body = PaymentJson)),
)]
pub(super) async fn show(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "orders:read").await?;
    let id: PaymentId = body::id(&path, "payment")?;
    let mode = app.settings.mode;
    let found = app.ports.store.payment(id).await?.filter(|payment| payment.mode == mode);
    let found = found.ok_or_else(|| Problem::not_found("payment"))?;
    Ok(HttpResponse::Ok().json(view(&app, &found).await?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCapture, example = json!({ "amount": 1999 }))]
pub(super) struct Capture {
    /// How much of what is reserved, in minor units; all of it if not said. The rest is released, for good.
    #[schema(value_type = Option<u64>, minimum = 1)]
    amount: Option<Minor>,
}

/// Takes reserved money
///
/// Without beginning to fulfil the order, which is paid then.
#[utoipa::path(
    post,
    path = "/v1/payments/{id}/capture",
    operation_id = "capture_payment",
    tag = "payments",
    params(("id" = words::PaymentId, Path, description = "The payment")),
    request_body(content = Option<Capture>),
    security(("api_key" = ["payments:write"])),
    extensions(("x-problems" = json!(["illegal_transition", "hold_refused"]))),
    responses(
        (status = 200, description = "It is captured", body = PaymentJson),
        (status = 202, description = "It will be once Stripe has confirmed", body = PaymentJson),
    ),
)]
pub(super) async fn capture(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let caller = auth::caller(&app, &request, "payments:write").await?;
    let id = body::id(&path, "payment")?;
    let Capture { amount } = body::json(&request, &bytes)?;
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let amount = amount.map(Minor::get);
        let payment = work_app.settle_hold.capture(operation, actor, id, amount).await?;
        shown(&work_app, &payment).await
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

/// Releases reserved money
///
/// The order waits for money again. To end it as well, cancel the order.
#[utoipa::path(
    post,
    path = "/v1/payments/{id}/void",
    operation_id = "void_payment",
    tag = "payments",
    params(("id" = words::PaymentId, Path, description = "The payment")),
    request_body(content = Option<Empty>),
    security(("api_key" = ["payments:write"])),
    extensions(("x-problems" = json!(["illegal_transition", "hold_refused"]))),
    responses(
        (status = 200, description = "It is cancelled", body = PaymentJson),
        (status = 202, description = "It will be once Stripe has confirmed", body = PaymentJson),
    ),
)]
pub(super) async fn void(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let caller = auth::caller(&app, &request, "payments:write").await?;
    let id = body::id(&path, "payment")?;
    let Empty {} = body::json(&request, &bytes)?;
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let payment = work_app.settle_hold.void(operation, actor, id).await?;
        shown(&work_app, &payment).await
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

/// Asks Stripe how a payment stands
///
/// What Stripe knows of it, of its refunds and of disputes about it is learned as if its events had just come.
#[utoipa::path(
    post,
    path = "/v1/payments/{id}/sync",
    operation_id = "sync_payment",
    tag = "payments",
    params(("id" = words::PaymentId, Path, description = "The payment")),
    request_body(content = Option<Empty>),
    security(("api_key" = ["payments:write"])),
    extensions(("x-problems" = json!(["payment_in_progress"]))),
    responses(
        (status = 200, description = "It stands so", body = PaymentJson),
        (status = 202, description = "It stands so, and Stripe is being asked to take or release it", body = PaymentJson),
    ),
)]
pub(super) async fn sync(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let caller = auth::caller(&app, &request, "payments:write").await?;
    let id = body::id(&path, "payment")?;
    let Empty {} = body::json(&request, &bytes)?;
    let work_app = app.clone();
    let work = move |operation| async move {
        let payment = work_app.sync_payment.run(operation, id).await?;
        shown(&work_app, &payment).await
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

/// 202 while Stripe is being asked.
async fn shown(app: &App, payment: &Payment) -> Result<Answer, Problem> {
    let asked = payment.state.is_live() && (payment.capture_requested || payment.end_requested);
    let status = if asked { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(Answer::with(status, view(app, payment).await?))
}

/// From the order's view alone, so that payment and declines are of one reading.
async fn view(app: &App, payment: &Payment) -> Result<PaymentJson, Problem> {
    let view = app.store.order_view(payment.mode, payment.order).await?;
    let shown = view.as_ref().and_then(|view| {
        let payment = view.payments.iter().find(|one| one.id == payment.id)?;
        Some(PaymentJson::new(payment, &view.declines))
    });
    shown.ok_or_else(|| Problem::not_found("payment"))
}
