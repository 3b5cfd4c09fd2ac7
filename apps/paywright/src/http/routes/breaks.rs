use actix_web::{HttpRequest, HttpResponse, web};
use paywright_domain::{BreakId, check_text, ports::Reader};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{orders::Answered, products::page};
use crate::{
    http::{
        auth,
        body::{self, Body},
        idempotent::{self, Answer},
        openapi::words,
        present::{BreakJson, List},
        problem::Problem,
    },
    wiring::App,
};

/// The most characters of a reason.
const REASON_MAX: usize = 500;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// How many.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The id of the last one of the page before.
    #[param(value_type = words::BreakId, required = false)]
    starting_after: Option<String>,
    /// Only those that are open, or only those that are resolved.
    #[param(value_type = bool, required = false)]
    open: Option<String>,
}

/// Lists breaks, newest first
#[utoipa::path(
    get,
    path = "/v1/breaks",
    operation_id = "list_breaks",
    tag = "books",
    params(Filter),
    security(("api_key" = ["breaks:read"])),
    responses((status = 200, description = "A page", body = List<BreakJson>)),
)]
pub(super) async fn list(app: web::Data<App>, request: HttpRequest) -> Answered {
    auth::caller(&app, &request, "breaks:read").await?;
    let filter: Filter = body::query(&request)?;
    let page = page::<BreakId>(filter.limit.as_deref(), filter.starting_after.as_deref(), "break")?;
    let open = filter.open.map(|text| text.parse().map_err(|_| Problem::invalid("open", "is true or false")));
    let listed = app.store.list_breaks(app.settings.mode, open.transpose()?, page).await?;
    let now = app.ports.clock.now();
    let data = listed.rows.iter().map(|found| BreakJson::new(found, now)).collect();
    Ok(HttpResponse::Ok().json(List::new(data, listed.has_more)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewResolution, example = json!({ "reason": "Paid out by bank transfer, voucher 4711." }))]
pub(super) struct Resolve {
    /// Why it is none any more. No control characters.
    #[schema(min_length = 1, max_length = 500, pattern = r"^(?!\s*$)[^\x00-\x1f\x7f-\x9f]*$")]
    reason: String,
}

/// Resolves a break
///
/// One that is resolved already stays as it is. One that is found again is opened again.
#[utoipa::path(
    post,
    path = "/v1/breaks/{id}/resolve",
    operation_id = "resolve_break",
    tag = "books",
    params(("id" = words::BreakId, Path, description = "The break")),
    request_body = Resolve,
    security(("api_key" = ["breaks:write"])),
    responses((status = 200, description = "The break", body = BreakJson)),
)]
pub(super) async fn resolve(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let caller = auth::caller(&app, &request, "breaks:write").await?;
    let id: BreakId = body::id(&path, "break")?;
    let Resolve { reason } = body::json(&request, &bytes)?;
    check_text("reason", &reason, REASON_MAX)?;
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |_| async move {
        let (mode, now) = (work_app.settings.mode, work_app.ports.clock.now());
        let resolved = work_app.store.resolve_break(mode, id, &actor, &reason, now).await?;
        let resolved = resolved.ok_or_else(|| Problem::not_found("break"))?;
        Ok(Answer::ok(BreakJson::new(&resolved, now)))
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}
