use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use paywright_domain::{PayoutId, RunId, Trigger, ports::Books as _};
use serde::Deserialize;
use time::{
    Date, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::format_description,
};
use utoipa::{IntoParams, ToSchema};

use super::{orders::Answered, products::page};
use crate::{
    http::{
        auth,
        body::{self, Body},
        idempotent::{self, Answer},
        openapi::words,
        present::{List, PayoutJson, RunJson, StatementJson},
        problem::{Problem, chain},
    },
    reconcile,
    wiring::App,
};

/// When to ask again while a run is under way.
const RETRY_AFTER_S: u64 = 5;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewReconciliationRun, example = json!({ "since": "2026-11-18T00:00:00Z" }))]
pub(super) struct Start {
    /// Look back at least so far; if not said, to where the runs before have come. Stripe keeps events for 30 days, and
    /// everything else for ever.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
}

/// Starts a comparison of our books with Stripe's
///
/// It runs in the background: ask for it again to see what it comes to.
#[utoipa::path(
    post,
    path = "/v1/reconciliation/runs",
    operation_id = "start_reconciliation",
    tag = "books",
    request_body(content = Option<Start>),
    security(("api_key" = ["reconciliation:write"])),
    extensions(("x-problems" = json!(["reconciliation_under_way"]))),
    responses((status = 201, description = "The run, which has begun", body = RunJson)),
)]
pub(super) async fn start(app: web::Data<App>, request: HttpRequest, bytes: Body) -> Answered {
    let caller = auth::caller(&app, &request, "reconciliation:write").await?;
    let Start { since } = body::json(&request, &bytes)?;
    let since = since.map(|text| moment(&app, &text)).transpose()?;
    let (work_app, actor) = (app.clone().into_inner(), caller.actor());
    let work = move |_| async move {
        if let Some(run) = reconcile::under_way(&work_app).await? {
            return Err(busy(run));
        }
        let ask = reconcile::ask(&work_app, Trigger::Api, since);
        let run = reconcile::announce(&work_app, &ask).await?;
        tracing::info!(run.id = %run.id, %actor, "reconciliation was asked for");
        // What goes wrong in it is told by its row.
        actix_web::rt::spawn(async move {
            if let Err(error) = reconcile::run(&work_app, ask, &|_, _| {}).await {
                tracing::error!(error = chain(&error), "reconciliation could not be recorded");
            }
        });
        Ok(Answer::created(RunJson::from(&run)))
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

fn moment(app: &App, text: &str) -> Result<OffsetDateTime, Problem> {
    let wrong = |detail: &str| Problem::invalid("since", detail);
    let at = OffsetDateTime::parse(text, &Rfc3339).ok().and_then(|at| at.checked_to_offset(UtcOffset::UTC));
    let at = at.ok_or_else(|| wrong("must be a time such as 2026-11-21T12:00:00Z"))?;
    let now = app.ports.clock.now();
    if at > now { Err(wrong("must be in the past")) } else { Ok(at) }
}

fn busy(run: RunId) -> Problem {
    let problem = Problem::new(StatusCode::CONFLICT, "reconciliation_under_way", "A run is under way");
    problem.detail(format!("{run} has not ended")).retry_after(RETRY_AFTER_S)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Runs {
    /// How many.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The id of the last one of the page before.
    #[param(value_type = words::RunId, required = false)]
    starting_after: Option<String>,
}

/// Lists runs of reconciliation, newest first
#[utoipa::path(
    get,
    path = "/v1/reconciliation/runs",
    operation_id = "list_reconciliations",
    tag = "books",
    params(Runs),
    security(("api_key" = ["reconciliation:read"])),
    responses((status = 200, description = "A page", body = List<RunJson>)),
)]
pub(super) async fn list(app: web::Data<App>, request: HttpRequest) -> Answered {
    auth::caller(&app, &request, "reconciliation:read").await?;
    let asked: Runs = body::query(&request)?;
    let page = page::<RunId>(asked.limit.as_deref(), asked.starting_after.as_deref(), "run")?;
    let listed = app.store.list_runs(app.settings.mode, page).await?;
    let data = listed.rows.iter().map(RunJson::from).collect();
    Ok(HttpResponse::Ok().json(List::new(data, listed.has_more)))
}

/// Shows a run of reconciliation
#[utoipa::path(
    get,
    path = "/v1/reconciliation/runs/{id}",
    operation_id = "show_reconciliation",
    tag = "books",
    params(("id" = words::RunId, Path, description = "The run")),
    security(("api_key" = ["reconciliation:read"])),
    responses((status = 200, description = "The run", body = RunJson)),
)]
pub(super) async fn show(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "reconciliation:read").await?;
    let id: RunId = body::id(&path, "run")?;
    let run = app.store.run(app.settings.mode, id).await?.ok_or_else(|| Problem::not_found("run"))?;
    Ok(HttpResponse::Ok().json(RunJson::from(&run)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfDay {
    /// The day in UTC; today if not said.
    #[param(value_type = String, format = Date, required = false, example = "2026-11-21")]
    day: Option<String>,
}

/// Says what reconciliation came to on a day
///
/// How much was compared, how much was the same, what is open, since when, and how much money is at risk.
#[utoipa::path(
    get,
    path = "/v1/reconciliation/statement",
    operation_id = "show_statement",
    tag = "books",
    params(OfDay),
    security(("api_key" = ["reconciliation:read"])),
    responses((status = 200, description = "The statement", body = StatementJson)),
)]
pub(super) async fn statement(app: web::Data<App>, request: HttpRequest) -> Answered {
    auth::caller(&app, &request, "reconciliation:read").await?;
    let OfDay { day } = body::query(&request)?;
    let now = app.ports.clock.now();
    let format = format_description!("[year]-[month]-[day]");
    let read = |text: String| {
        Date::parse(&text, format).map_err(|_| Problem::invalid("day", "must be a day such as 2026-11-21"))
    };
    let day = day.map(read).transpose()?.unwrap_or(now.date());
    let statement = app.reconcile.statement(reconcile::day(day)).await?;
    Ok(HttpResponse::Ok().json(StatementJson::new(day, &statement, now)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Payouts {
    /// How many.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The id of the last one of the page before.
    #[param(value_type = String, required = false, pattern = "^po_[A-Za-z0-9_-]{0,252}$")]
    starting_after: Option<String>,
}

/// Lists payouts to our bank, newest first
///
/// Those that reconciliation has seen, each with what it is made of.
#[utoipa::path(
    get,
    path = "/v1/payouts",
    operation_id = "list_payouts",
    tag = "books",
    params(Payouts),
    security(("api_key" = ["reports:read"])),
    responses((status = 200, description = "A page", body = List<PayoutJson>)),
)]
pub(super) async fn payouts(app: web::Data<App>, request: HttpRequest) -> Answered {
    auth::caller(&app, &request, "reports:read").await?;
    let asked: Payouts = body::query(&request)?;
    let page = page::<PayoutName>(asked.limit.as_deref(), asked.starting_after.as_deref(), "payout")?;
    let after = page.after.map(|PayoutName(id)| id);
    let listed = app.store.list_payouts(app.settings.mode, page.limit, after).await?;
    let data = listed.rows.iter().map(PayoutJson::from).collect();
    Ok(HttpResponse::Ok().json(List::new(data, listed.has_more)))
}

/// Shows a payout, and what it is made of
#[utoipa::path(
    get,
    path = "/v1/payouts/{id}",
    operation_id = "show_payout",
    tag = "books",
    params(("id" = String, Path, description = "Stripe's name for it: `po_...`")),
    security(("api_key" = ["reports:read"])),
    responses((status = 200, description = "The payout", body = PayoutJson)),
)]
pub(super) async fn payout(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "reports:read").await?;
    let PayoutName(id) = body::id(&path, "payout")?;
    let record = app.store.payout(app.settings.mode, &id).await?;
    let record = record.ok_or_else(|| Problem::not_found("payout"))?;
    Ok(HttpResponse::Ok().json(PayoutJson::from(&record)))
}

/// A payout's id in a request.
struct PayoutName(PayoutId);

impl std::str::FromStr for PayoutName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let named = text.starts_with("po_").then(|| text.to_owned());
        named.and_then(|text| text.try_into().ok()).map(Self).ok_or(())
    }
}
