use actix_web::{HttpRequest, http::StatusCode, web};
use paywright_domain::{
    CancelReason, OperationId, OrderId, OrderState, Shipment, check_text,
    usecase::{Advance, Cancellation},
};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::orders::{Answered, view};
use crate::{
    http::{
        auth,
        body::{self, Body, Empty, Minor},
        idempotent::{self, Answer},
        openapi::words,
        present::OrderJson,
        problem::Problem,
    },
    wiring::App,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCancellation, example = json!({ "reason": "duplicate" }))]
pub(super) struct Cancel {
    #[schema(value_type = Option<words::CancelFor>)]
    reason: Option<String>,
}

/// Cancels an order
///
/// Of one that is not paid, Stripe is asked first to end the payment, so that nothing is cancelled here that may still
/// be paid there. Of one that is paid and not yet shipped, what is left of its money is given back: the refund is among
/// the order's `refunds`, and once all of it is sent the order is `refunded`.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/cancel",
    operation_id = "cancel_order",
    tag = "orders",
    params(("id" = words::OrderId, Path, description = "The order")),
    request_body(content = Option<Cancel>),
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!(["illegal_transition", "payment_under_way", "dispute_open"]))),
    responses(
        (status = 200, description = "It is cancelled", body = OrderJson),
        (status = 202, description = "It will be cancelled once Stripe has confirmed", body = OrderJson),
    ),
)]
pub(super) async fn cancel(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let caller = auth::caller(&app, &request, "orders:write").await?;
    let id = body::id(&path, "order")?;
    let cancel: Cancel = body::json(&request, &bytes)?;
    let reason = match cancel.reason.as_deref() {
        None => CancelReason::default(),
        Some(text) => reason(text)?,
    };
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let cancelled = work_app.cancel_order.run(operation, actor, id, reason).await?;
        shown(&work_app, id, &cancelled).await
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

fn reason(text: &str) -> Result<CancelReason, Problem> {
    let wrong = |problem: &str| Err(Problem::invalid("reason", problem));
    match text.parse() {
        Ok(
            reason @ (CancelReason::RequestedByCustomer | CancelReason::Duplicate | CancelReason::Fraudulent),
        ) => Ok(reason),
        Ok(CancelReason::Expired) => wrong("is ours to give"),
        Ok(CancelReason::FulfillmentFailed) => wrong("has a command of its own: fulfillment/failed"),
        Err(_) => wrong("must be requested_by_customer, duplicate or fraudulent"),
    }
}

async fn shown(app: &App, id: OrderId, cancelled: &Cancellation) -> Result<Answer, Problem> {
    let status = match cancelled {
        Cancellation::Cancelled(_) => StatusCode::OK,
        Cancellation::Requested(_) => StatusCode::ACCEPTED,
    };
    Ok(Answer::with(status, view(app, id).await?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewShipment, example = json!({ "carrier": "DHL", "tracking": "JD0001" }))]
pub(super) struct Ship {
    /// No control characters.
    #[schema(min_length = 1, max_length = 100, pattern = r"^(?!\s*$)[^\x00-\x1f\x7f-\x9f]*$")]
    carrier: String,
    /// No control characters.
    #[schema(min_length = 1, max_length = 200, pattern = r"^(?!\s*$)[^\x00-\x1f\x7f-\x9f]*$")]
    tracking: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewFulfillment, example = json!({ "amount": 1999 }))]
pub(super) struct Fulfil {
    /// How much of the reserved money to take, in minor units; all of it if not said. The rest is released, for good.
    #[schema(value_type = Option<u64>, minimum = 1)]
    amount: Option<Minor>,
}

/// Says that an order is being prepared
///
/// Reserved money is taken first: fulfilment begins by itself as soon as Stripe has taken it.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/fulfillment",
    operation_id = "start_fulfillment",
    tag = "orders",
    params(("id" = words::OrderId, Path, description = "The order")),
    request_body(content = Option<Fulfil>),
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!(["illegal_transition", "hold_refused"]))),
    responses(
        (status = 200, description = "It is being prepared", body = OrderJson),
        (status = 202, description = "It will be once Stripe has taken the money", body = OrderJson),
    ),
)]
pub(super) async fn fulfillment(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let started = |fulfil: Fulfil| Advance::StartFulfillment { amount: fulfil.amount.map(Minor::get) };
    advance(app, request, &path, &bytes, started).await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FailedFulfillment, example = json!({ "reason": "the warehouse has burnt down" }))]
pub(super) struct Fail {
    /// Goes with the refund to Stripe; no control characters.
    #[schema(min_length = 1, max_length = 500, pattern = r"^(?!\s*$)[^\x00-\x1f\x7f-\x9f]*$")]
    reason: String,
}

/// Says that an order cannot be fulfilled
///
/// It is cancelled: what is reserved is released, what was taken and is left is given back.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/fulfillment/failed",
    operation_id = "fail_fulfillment",
    tag = "orders",
    params(("id" = words::OrderId, Path, description = "The order")),
    request_body = Fail,
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!(["illegal_transition", "payment_under_way", "dispute_open"]))),
    responses(
        (status = 200, description = "It is cancelled", body = OrderJson),
        (status = 202, description = "It will be cancelled once Stripe has confirmed", body = OrderJson),
    ),
)]
pub(super) async fn fulfillment_failed(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let caller = auth::caller(&app, &request, "orders:write").await?;
    let id = body::id(&path, "order")?;
    let Fail { reason } = body::json(&request, &bytes)?;
    check_text("reason", &reason, 500)?;
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let cancelled = work_app.cancel_order.fulfillment_failed(operation, actor, id, &reason).await?;
        shown(&work_app, id, &cancelled).await
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

/// Says that an order was handed over
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/ship",
    operation_id = "ship_order",
    tag = "orders",
    params(("id" = words::OrderId, Path, description = "The order")),
    request_body = Ship,
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!(["illegal_transition"]))),
    responses((status = 200, description = "The order", body = OrderJson)),
)]
pub(super) async fn ship(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let shipped = |ship: Ship| Advance::Ship(Shipment { carrier: ship.carrier, tracking: ship.tracking });
    advance(app, request, &path, &bytes, shipped).await
}

/// Says that an order is done
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/complete",
    operation_id = "complete_order",
    tag = "orders",
    params(("id" = words::OrderId, Path, description = "The order")),
    request_body(content = Option<Empty>),
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!(["illegal_transition"]))),
    responses((status = 200, description = "The order", body = OrderJson)),
)]
pub(super) async fn complete(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    advance(app, request, &path, &bytes, |Empty {}| Advance::Complete).await
}

async fn advance<T: DeserializeOwned>(
    app: web::Data<App>,
    request: HttpRequest,
    id: &str,
    bytes: &Body,
    advance: impl FnOnce(T) -> Advance,
) -> Answered {
    let caller = auth::caller(&app, &request, "orders:write").await?;
    let id = body::id(id, "order")?;
    let advance = advance(body::json(&request, bytes)?);
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation: OperationId| async move {
        let order = work_app.advance_order.run(operation, actor, id, advance).await?;
        // Only reserved money keeps an order from what was asked.
        let waits = order.state == OrderState::Authorized;
        let status = if waits { StatusCode::ACCEPTED } else { StatusCode::OK };
        Ok(Answer::with(status, view(&work_app, id).await?))
    };
    Ok(idempotent::once(&app, &caller, &request, bytes, work).await?.respond())
}
