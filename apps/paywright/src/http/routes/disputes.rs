use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use paywright_domain::{
    Dispute, DisputeId, Happened, PaymentId,
    ports::{Reader, TimelineEntry},
    usecase::Say,
};
use serde::{Deserialize, de::DeserializeOwned};
use time::macros::format_description;
use utoipa::{IntoParams, ToSchema};

use super::{orders::Answered, products::page};
use crate::{
    http::{
        auth,
        body::{self, Body, Empty},
        idempotent::{self, Answer},
        openapi::words,
        present::{DisputeJson, List},
        problem::Problem,
    },
    wiring::App,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// How many.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The id of the last one of the page before.
    #[param(value_type = words::DisputeId, required = false)]
    starting_after: Option<String>,
    /// About this payment.
    #[param(value_type = words::PaymentId, required = false)]
    payment: Option<String>,
}

/// Lists disputes, newest first
#[utoipa::path(
    get,
    path = "/v1/disputes",
    operation_id = "list_disputes",
    tag = "disputes",
    params(Filter),
    security(("api_key" = ["disputes:read"])),
    responses((status = 200, description = "A page", body = List<DisputeJson>)),
)]
pub(super) async fn list(app: web::Data<App>, request: HttpRequest) -> Answered {
    auth::caller(&app, &request, "disputes:read").await?;
    let filter: Filter = body::query(&request)?;
    let page = page::<DisputeId>(filter.limit.as_deref(), filter.starting_after.as_deref(), "dispute")?;
    let payment = |text: String| text.parse().map_err(|_| Problem::invalid("payment", "is no payment's id"));
    let payment: Option<PaymentId> = filter.payment.map(payment).transpose()?;
    let listed = app.store.list_disputes(app.settings.mode, payment, page).await?;
    let data = listed.rows.iter().map(DisputeJson::new).collect();
    Ok(HttpResponse::Ok().json(List::new(data, listed.has_more)))
}

/// Shows a dispute
///
/// With what would be submitted for the parts that nobody wrote.
#[utoipa::path(
    get,
    path = "/v1/disputes/{id}",
    operation_id = "show_dispute",
    tag = "disputes",
    params(("id" = words::DisputeId, Path, description = "The dispute")),
    security(("api_key" = ["disputes:read"])),
    responses((status = 200, description = "The dispute", body = DisputeJson)),
)]
pub(super) async fn show(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "disputes:read").await?;
    let dispute = find(&app, body::id(&path, "dispute")?).await?;
    let shown = DisputeJson::new(&dispute);
    if !dispute.is_answerable() {
        return Ok(HttpResponse::Ok().json(shown));
    }
    let happened = happened(&app.store.timeline(dispute.order).await?);
    let gathered = app.answer_dispute.gather(dispute.id, &happened).await?;
    Ok(HttpResponse::Ok().json(shown.suggesting(&gathered)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEvidence, example = json!({
    "evidence": { "product_description": "Tea, 100 g", "shipping_tracking_number": "JD0001" },
}))]
pub(super) struct Stage {
    /// Over the parts that are there; an empty text removes one.
    #[schema(value_type = words::Evidence)]
    evidence: BTreeMap<String, String>,
}

/// Writes evidence
///
/// Stripe keeps it, and does not send it to the bank yet: it can be edited until it is submitted.
#[utoipa::path(
    post,
    path = "/v1/disputes/{id}/evidence",
    operation_id = "stage_evidence",
    tag = "disputes",
    params(("id" = words::DisputeId, Path, description = "The dispute")),
    request_body = Stage,
    security(("api_key" = ["disputes:write"])),
    extensions(("x-problems" = json!(["illegal_transition", "answer_refused"]))),
    responses(
        (status = 200, description = "Stripe keeps it", body = DisputeJson),
        (status = 202, description = "It is kept here, and will be at Stripe once Stripe answers", body = DisputeJson),
    ),
)]
pub(super) async fn stage(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    answer(app, request, &path, &bytes, async |_: &App, _, Stage { evidence }| Ok(Say::Stage(evidence))).await
}

/// Submits the evidence to the bank
///
/// Once, and for good: what was written, and for the other parts what our books say (`suggested_evidence`).
#[utoipa::path(
    post,
    path = "/v1/disputes/{id}/submit",
    operation_id = "submit_evidence",
    tag = "disputes",
    params(("id" = words::DisputeId, Path, description = "The dispute")),
    request_body(content = Option<Empty>),
    security(("api_key" = ["disputes:write"])),
    extensions(("x-problems" = json!(["illegal_transition", "answer_refused"]))),
    responses(
        (status = 200, description = "It was submitted", body = DisputeJson),
        (status = 202, description = "It will be submitted once Stripe answers", body = DisputeJson),
    ),
)]
pub(super) async fn submit(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let say = async |app: &App, id, Empty {}| {
        let order = find(app, id).await?.order;
        Ok(Say::Submit(happened(&app.store.timeline(order).await?)))
    };
    answer(app, request, &path, &bytes, say).await
}

/// Gives a dispute up
///
/// It is lost, for good.
#[utoipa::path(
    post,
    path = "/v1/disputes/{id}/accept",
    operation_id = "accept_dispute",
    tag = "disputes",
    params(("id" = words::DisputeId, Path, description = "The dispute")),
    request_body(content = Option<Empty>),
    security(("api_key" = ["disputes:write"])),
    extensions(("x-problems" = json!(["illegal_transition", "answer_refused"]))),
    responses(
        (status = 200, description = "It is lost", body = DisputeJson),
        (status = 202, description = "It will be given up once Stripe answers", body = DisputeJson),
    ),
)]
pub(super) async fn accept(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    answer(app, request, &path, &bytes, async |_: &App, _, Empty {}| Ok(Say::Accept)).await
}

async fn answer<T: DeserializeOwned + 'static>(
    app: web::Data<App>,
    request: HttpRequest,
    id: &str,
    bytes: &Body,
    say: impl AsyncFnOnce(&App, DisputeId, T) -> Result<Say, Problem> + 'static,
) -> Answered {
    let caller = auth::caller(&app, &request, "disputes:write").await?;
    let id: DisputeId = body::id(id, "dispute")?;
    let said: T = body::json(&request, bytes)?;
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let say = say(&work_app, id, said).await?;
        let dispute = work_app.answer_dispute.run(operation, actor, id, say).await?;
        let under_way = dispute.answering.is_some();
        let status = if under_way { StatusCode::ACCEPTED } else { StatusCode::OK };
        Ok(Answer::with(status, DisputeJson::new(&dispute)))
    };
    Ok(idempotent::once(&app, &caller, &request, bytes, work).await?.respond())
}

async fn find(app: &App, id: DisputeId) -> Result<Dispute, Problem> {
    let found = app.ports.store.dispute(id).await?.filter(|dispute| dispute.mode == app.settings.mode);
    found.ok_or_else(|| Problem::not_found("dispute"))
}

/// What the bank may read of an order's timeline: how far order, payment and refunds came, and when. Neither who did
/// it nor any detail.
fn happened(timeline: &[TimelineEntry]) -> Happened {
    let minute = format_description!("[year]-[month]-[day] [hour]:[minute]");
    let mut happened = Happened::default();
    for entry in timeline {
        let Some(to) = entry.to.as_ref().filter(|_| entry.from != entry.to) else { continue };
        if !matches!(entry.subject.as_str(), "order" | "payment" | "refund") {
            continue;
        }
        if entry.subject == "order" && to == "shipped" {
            happened.shipped_on = Some(entry.at.date().to_string());
        }
        if let Ok(at) = entry.at.format(minute) {
            happened.timeline.push(format!("{at} {} {}", entry.subject, to.replace('_', " ")));
        }
    }
    happened
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn entry(subject: &str, from: Option<&str>, to: Option<&str>) -> TimelineEntry {
        TimelineEntry {
            at: datetime!(2026-11-21 12:03:59 UTC),
            subject: subject.to_owned(),
            payment: None,
            event: "seen by ada@example.org".to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            actor: "api_key:key_1".to_owned(),
            cause: "op_1".to_owned(),
            gateway_event: None,
            gateway_request: None,
            detail: BTreeMap::from([("note".to_owned(), "ada@example.org".to_owned())]),
        }
    }

    #[test]
    fn the_bank_reads_how_far_things_came_and_nothing_else() {
        let timeline = [
            entry("order", None, Some("pending")),
            entry("call", None, None),
            entry("payment", Some("pending"), Some("pending")),
            entry("payment", Some("pending"), Some("captured")),
            entry("order", Some("paid"), Some("fulfillment_started")),
            entry("order", Some("fulfillment_started"), Some("shipped")),
            entry("dispute", None, Some("needs_response")),
            entry("break", None, Some("amount_mismatch")),
        ];
        let told = happened(&timeline);
        assert_eq!(told.shipped_on.as_deref(), Some("2026-11-21"));
        assert_eq!(
            told.timeline,
            [
                "2026-11-21 12:03 order pending",
                "2026-11-21 12:03 payment captured",
                "2026-11-21 12:03 order fulfillment started",
                "2026-11-21 12:03 order shipped",
            ]
        );
    }
}
