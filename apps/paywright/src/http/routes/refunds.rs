use actix_web::{HttpRequest, HttpResponse, web};
use paywright_domain::{PaymentId, RefundId, RefundReason, ports::Reader, usecase::NewRefund};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{orders::Answered, products::page};
use crate::{
    http::{
        auth,
        body::{self, Body, Minor},
        idempotent::{self, Answer},
        openapi::words,
        present::{List, RefundJson},
        problem::Problem,
    },
    wiring::App,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRefund, example = json!({
    "payment": "pay_01kagpz3m4e5tv9w8x7y6z5a4b",
    "amount": 500,
    "reason": "goodwill",
    "expected_refundable": 3998,
}))]
pub(super) struct Give {
    /// A captured one.
    #[schema(value_type = words::PaymentId)]
    payment: PaymentId,
    /// How much, in minor units; everything that can be refunded if not said.
    #[schema(value_type = Option<u64>, minimum = 1)]
    amount: Option<Minor>,
    #[schema(value_type = words::RefundFor)]
    reason: String,
    /// For your colleagues; no control characters.
    #[schema(min_length = 1, max_length = 500, pattern = r"^(?!\s*$)[^\x00-\x1f\x7f-\x9f]*$")]
    note: Option<String>,
    /// What you believe can be refunded, in minor units. If it is another amount, nothing is done.
    #[schema(minimum = 0)]
    expected_refundable: Option<u64>,
}

/// Gives money back
///
/// The amount is reserved first, then Stripe is asked: whatever happens in between, it is given back once. While
/// Stripe has not answered, the refund is `requested`, and it is seen through without you. Most then succeed at once;
/// some are `pending` until the balance at Stripe suffices.
#[utoipa::path(
    post,
    path = "/v1/refunds",
    operation_id = "create_refund",
    tag = "refunds",
    request_body = Give,
    security(("api_key" = ["refunds:write"])),
    extensions(("x-problems" = json!([
        "refund_exceeds_refundable", "dispute_open", "payment_not_captured", "refundable_changed", "refund_refused",
    ]))),
    responses((status = 201, description = "The refund", body = RefundJson)),
)]
pub(super) async fn give(app: web::Data<App>, request: HttpRequest, bytes: Body) -> Answered {
    let caller = auth::caller(&app, &request, "refunds:write").await?;
    let give: Give = body::json(&request, &bytes)?;
    let new = NewRefund {
        payment: give.payment,
        amount: give.amount.map(Minor::get),
        reason: reason(&give.reason)?,
        note: give.note,
        expected_refundable: give.expected_refundable,
    };
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let _turn = work_app.turns.wait(new.payment).await;
        let refund = work_app.request_refund.run(operation, actor, new).await?;
        Ok(Answer::created(RefundJson::from(&refund)))
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

fn reason(text: &str) -> Result<RefundReason, Problem> {
    text.parse().map_err(|_| Problem::invalid("reason", "is no reason of ours"))
}

/// Shows a refund
#[utoipa::path(
    get,
    path = "/v1/refunds/{id}",
    operation_id = "show_refund",
    tag = "refunds",
    params(("id" = words::RefundId, Path, description = "The refund")),
    security(("api_key" = ["refunds:read"])),
    responses((status = 200, description = "The refund", body = RefundJson)),
)]
pub(super) async fn show(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "refunds:read").await?;
    let id: RefundId = body::id(&path, "refund")?;
    let found = app.ports.store.refund(id).await?.filter(|refund| refund.mode == app.settings.mode);
    let refund = found.ok_or_else(|| Problem::not_found("refund"))?;
    Ok(HttpResponse::Ok().json(RefundJson::from(&refund)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// How many.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The id of the last one of the page before.
    #[param(value_type = words::RefundId, required = false)]
    starting_after: Option<String>,
    /// Of this payment.
    #[param(value_type = words::PaymentId, required = false)]
    payment: Option<String>,
}

/// Lists refunds, newest first
#[utoipa::path(
    get,
    path = "/v1/refunds",
    operation_id = "list_refunds",
    tag = "refunds",
    params(Filter),
    security(("api_key" = ["refunds:read"])),
    responses((status = 200, description = "A page", body = List<RefundJson>)),
)]
pub(super) async fn list(app: web::Data<App>, request: HttpRequest) -> Answered {
    auth::caller(&app, &request, "refunds:read").await?;
    let filter: Filter = body::query(&request)?;
    let page = page::<RefundId>(filter.limit.as_deref(), filter.starting_after.as_deref(), "refund")?;
    let payment = |text: String| text.parse().map_err(|_| Problem::invalid("payment", "is no payment's id"));
    let payment: Option<PaymentId> = filter.payment.map(payment).transpose()?;
    let listed = app.store.list_refunds(app.settings.mode, payment, page).await?;
    let data = listed.rows.iter().map(RefundJson::from).collect();
    Ok(HttpResponse::Ok().json(List::new(data, listed.has_more)))
}
