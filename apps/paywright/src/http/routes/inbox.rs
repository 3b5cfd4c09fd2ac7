use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use paywright_domain::{JobId, OperationId, ports::Page};
use paywright_postgres::{EventFilter, EventState, EventView};
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::{
    orders::{Answered, moment},
    products::page,
};
use crate::{
    http::{
        auth,
        body::{self, Body, Empty},
        idempotent::{self, Answer},
        openapi::words,
        present::{BulkReplayJson, EventJson, List, ReplayJson, ShownEventJson},
        problem::Problem,
    },
    masked::masked,
    replay::{Replay, replay},
    wiring::App,
};

/// The most events that one request starts; they are read by the worker, behind everything that is new.
const STARTED_MAX: u64 = 10_000;
/// How many are started by one statement.
const STARTED_AT_ONCE: u32 = 1_000;
/// How many are named.
const NAMED: u32 = 100;
/// The longest word of a filter.
const WORD_MAX: usize = 255;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// How many.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The id of the last one of the page before.
    #[param(required = false)]
    starting_after: Option<String>,
    #[param(value_type = words::EventState, required = false)]
    state: Option<String>,
    /// Of this type; `payment_intent.*` stands for all that begin so.
    #[serde(rename = "type")]
    #[param(required = false, min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    kind: Option<String>,
    /// About this object of Stripe's; about a payment is also what was told of its refunds and disputes.
    #[param(required = false, min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    object: Option<String>,
    /// Received then or later.
    #[serde(rename = "received[gte]")]
    #[param(value_type = String, required = false, format = DateTime)]
    received_from: Option<String>,
    /// Received before.
    #[serde(rename = "received[lt]")]
    #[param(value_type = String, required = false, format = DateTime)]
    received_before: Option<String>,
}

/// Lists received events, newest first
#[utoipa::path(
    get,
    path = "/v1/inbox",
    operation_id = "list_events",
    tag = "inbox",
    params(Filter),
    security(("api_key" = ["inbox:read"])),
    responses((status = 200, description = "A page", body = List<EventJson>)),
)]
pub(super) async fn list(app: web::Data<App>, request: HttpRequest) -> Answered {
    auth::caller(&app, &request, "inbox:read").await?;
    let filter: Filter = body::query(&request)?;
    let Page { limit, .. } = page::<JobId>(filter.limit.as_deref(), None, "event")?;
    let page = Page { limit, after: after(&app, filter.starting_after).await? };
    let filter = EventFilter {
        state: filter.state.as_deref().map(state).transpose()?,
        kind: filter.kind.map(|text| word("type", text)).transpose()?,
        object: filter.object.map(|text| word("object", text)).transpose()?,
        received_from: filter.received_from.map(|text| moment("received[gte]", &text)).transpose()?,
        received_before: filter.received_before.map(|text| moment("received[lt]", &text)).transpose()?,
    };
    let listed = app.operations.events(app.settings.mode, &filter, &page).await?;
    let data = listed.rows.iter().map(EventJson::from).collect();
    Ok(HttpResponse::Ok().json(List::new(data, listed.has_more)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Showing {
    /// Whether to show its bytes too.
    #[param(value_type = bool, required = false, default = false)]
    body: Option<String>,
}

/// Shows a received event
///
/// With the jobs that read it and what they changed; with its bytes if asked for.
#[utoipa::path(
    get,
    path = "/v1/inbox/{id}",
    operation_id = "show_event",
    tag = "inbox",
    params(("id" = String, Path, description = "Stripe's id of it"), Showing),
    security(("api_key" = ["inbox:read"])),
    responses((status = 200, description = "The event", body = ShownEventJson)),
)]
pub(super) async fn show(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    let caller = auth::caller(&app, &request, "inbox:read").await?;
    let Showing { body } = body::query(&request)?;
    let wanted = body.map_or(Ok(false), |text| text.parse());
    let wanted = wanted.map_err(|_| Problem::invalid("body", "is true or false"))?;
    let event = find(&app, &path).await?;
    let jobs = app.operations.jobs_of(&event).await?;
    let changes = app.operations.changes(&event.causes(&jobs), &[], &event.names()).await?;
    let body = match app.operations.body(app.settings.mode, &event.id).await?.filter(|_| wanted) {
        Some(bytes) if caller.may("inbox:bodies") => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Some(bytes) => masked(&bytes),
        None => None,
    };
    Ok(HttpResponse::Ok().json(ShownEventJson::new(&event, &jobs, &changes, body)))
}

/// Reads an event once more
///
/// At once, and says what it changed, or why nothing changed. What was done already is not done again. When it fails,
/// that is said too, and the worker tries it again.
#[utoipa::path(
    post,
    path = "/v1/inbox/{id}/replay",
    operation_id = "replay_event",
    tag = "inbox",
    params(("id" = String, Path, description = "Stripe's id of it")),
    request_body(content = Option<Empty>),
    security(("api_key" = ["inbox:write"])),
    extensions(("x-problems" = json!(["event_ignored", "event_busy"]))),
    responses((status = 200, description = "It was read", body = ReplayJson)),
)]
pub(super) async fn replay_one(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let caller = auth::caller(&app, &request, "inbox:write").await?;
    let Empty {} = body::json(&request, &bytes)?;
    let (work_app, id, by) = (app.clone(), path.into_inner(), caller.actor());
    let work = move |operation: OperationId| async move {
        let replayed = replay(&work_app, &id, JobId::from_uuid(operation.uuid())).await?;
        // What is no event's id may be anything: it is not for the log.
        if !matches!(replayed, Replay::Unknown) {
            tracing::info!(event.id = id, %by, "an event was read once more");
        }
        match replayed {
            Replay::Read(replayed) => Ok(Answer::ok(ReplayJson::from(&*replayed))),
            Replay::Unknown => Err(Problem::not_found("event")),
            Replay::Ignored(why) => {
                let title = "The event was not for us";
                Err(Problem::new(StatusCode::CONFLICT, "event_ignored", title).detail(why))
            }
            Replay::Busy(until) => {
                let title = "The event is being read";
                let problem = Problem::new(StatusCode::CONFLICT, "event_busy", title)
                    .detail("by somebody else, or another one about the same payment is");
                Err(problem.retry_after(wait(until, work_app.ports.clock.now())))
            }
        }
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

/// At least one of the filters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewBulkReplay, example = json!({ "state": "dead", "type": "payment_intent.*", "dry_run": true }))]
pub(super) struct Bulk {
    /// In this state, by default `dead`. Ignored events are not read.
    #[schema(value_type = Option<words::EventState>)]
    state: Option<String>,
    /// Of this type; `payment_intent.*` stands for all that begin so.
    #[serde(rename = "type")]
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    kind: Option<String>,
    /// About this object of Stripe's.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    object: Option<String>,
    /// Received then or later.
    #[schema(format = DateTime)]
    received_from: Option<String>,
    /// Received before.
    #[schema(format = DateTime)]
    received_before: Option<String>,
    /// Where to go on, as `next` said.
    starting_after: Option<String>,
    /// Whether only to say how many there are.
    #[serde(default)]
    #[schema(default = false)]
    dry_run: bool,
}

impl Bulk {
    fn filter(&self) -> Result<EventFilter, Problem> {
        let named = [&self.state, &self.kind, &self.object, &self.received_from, &self.received_before];
        if named.iter().all(|filter| filter.is_none()) {
            return Err(Problem::invalid("state", "name at least one filter"));
        }
        let state = self.state.as_deref().map_or(Ok(EventState::Dead), state)?;
        if state == EventState::Ignored {
            return Err(Problem::invalid("state", "events that were not for us are not read"));
        }
        let moment =
            |field, text: &Option<String>| text.as_deref().map(|text| moment(field, text)).transpose();
        Ok(EventFilter {
            state: Some(state),
            kind: self.kind.clone().map(|text| word("type", text)).transpose()?,
            object: self.object.clone().map(|text| word("object", text)).transpose()?,
            received_from: moment("received_from", &self.received_from)?,
            received_before: moment("received_before", &self.received_before)?,
        })
    }
}

/// Reads many events once more
///
/// The newest first, at most 10,000 at once, by the worker and behind everything that is new.
#[utoipa::path(
    post,
    path = "/v1/inbox/replay",
    operation_id = "replay_events",
    tag = "inbox",
    request_body = Bulk,
    security(("api_key" = ["inbox:write"])),
    responses((status = 200, description = "They will be read", body = BulkReplayJson)),
)]
pub(super) async fn replay_many(app: web::Data<App>, request: HttpRequest, bytes: Body) -> Answered {
    let caller = auth::caller(&app, &request, "inbox:write").await?;
    let bulk: Bulk = body::json(&request, &bytes)?;
    let filter = bulk.filter()?;
    let after = after(&app, bulk.starting_after).await?;
    let (work_app, by, dry_run) = (app.clone(), caller.actor(), bulk.dry_run);
    let work = move |operation: OperationId| async move {
        tracing::info!(state = ?filter.state, dry_run, %by, "events are read once more");
        let answer = if dry_run {
            tell(&work_app, &filter, after).await?
        } else {
            start(&work_app, &filter, after, operation).await?
        };
        Ok(Answer::ok(answer))
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

async fn tell(app: &App, filter: &EventFilter, after: Option<String>) -> Result<BulkReplayJson, Problem> {
    let matching = app.operations.count_events(app.settings.mode, filter).await?;
    let first = app.operations.events(app.settings.mode, filter, &Page { limit: NAMED, after }).await?;
    let events = first.rows.into_iter().map(|event| event.id).collect();
    Ok(BulkReplayJson { object: "bulk_replay", dry_run: true, matching, started: 0, events, next: None })
}

async fn start(
    app: &App,
    filter: &EventFilter,
    after: Option<String>,
    operation: OperationId,
) -> Result<BulkReplayJson, Problem> {
    let (mode, operation) = (app.settings.mode, operation.to_string());
    let matching = app.operations.count_events(mode, filter).await?;
    let (mut started, mut events, mut next) = (0, Vec::new(), after);
    loop {
        let page = Page { limit: STARTED_AT_ONCE, after: next };
        let part = app.operations.requeue_events(mode, filter, &page, &operation).await?;
        started += part.events.len() as u64;
        events.extend(part.events.into_iter().map(|(event, _)| event));
        events.truncate(NAMED as usize);
        next = part.after;
        if next.is_none() || started >= STARTED_MAX {
            break;
        }
    }
    Ok(BulkReplayJson { object: "bulk_replay", dry_run: false, matching, started, events, next })
}

async fn find(app: &App, id: &str) -> Result<EventView, Problem> {
    let event = app.operations.event(app.settings.mode, id).await?;
    event.ok_or_else(|| Problem::not_found("event"))
}

/// The last event of the page before, which must be there: a list that begins behind nothing is empty.
async fn after(app: &App, id: Option<String>) -> Result<Option<String>, Problem> {
    let Some(id) = id else { return Ok(None) };
    let known = app.operations.event(app.settings.mode, &id).await?;
    known.map(|event| Some(event.id)).ok_or_else(|| Problem::invalid("starting_after", "is no event"))
}

fn state(text: &str) -> Result<EventState, Problem> {
    let wrong = || Problem::invalid("state", "must be waiting, failing, dead, processed or ignored");
    text.parse().map_err(|_| wrong())
}

fn word(field: &str, text: String) -> Result<String, Problem> {
    let fits = (1..=WORD_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then_some(text).ok_or_else(|| {
        Problem::invalid(field, format!("must be 1 to {WORD_MAX} characters without controls"))
    })
}

/// Seconds to wait before somebody is done.
pub(super) fn wait(until: Option<OffsetDateTime>, now: OffsetDateTime) -> u64 {
    let seconds = until.map_or(1, |until| (until - now).whole_seconds().clamp(1, 5));
    seconds.unsigned_abs()
}
