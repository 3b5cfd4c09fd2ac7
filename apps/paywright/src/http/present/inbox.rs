use paywright_postgres::{Change, EventState, EventView, JobView};
use serde::Serialize;
use utoipa::ToSchema;

use super::{JobJson, rfc3339};
use crate::{http::openapi::words, replay::Replayed};

/// An event of Stripe's, as it was received.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InboxEvent)]
pub struct EventJson {
    /// Stripe's id of it.
    #[schema(examples("evt_1"))]
    id: String,
    #[schema(schema_with = words::inbox_event)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    /// Stripe's type of it.
    #[serde(rename = "type")]
    #[schema(examples("payment_intent.succeeded"))]
    kind: String,
    /// The object that it shows.
    #[schema(required)]
    object_id: Option<String>,
    /// What it is about in the end: a payment, where one is known.
    #[schema(required)]
    about: Option<String>,
    /// The connected account it is about, if it is about one.
    #[schema(required)]
    account: Option<String>,
    #[schema(required)]
    api_version: Option<String>,
    /// How many bytes it has.
    bytes: u32,
    /// When Stripe made it.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was stored.
    #[schema(format = DateTime)]
    received_at: String,
    #[schema(value_type = words::EventState)]
    state: String,
    /// What came of it when it was read first, or why it was ignored. What came of a replay is told by its job.
    #[schema(required)]
    conclusion: Option<String>,
    /// When what follows from it was first stored.
    #[schema(required, format = DateTime)]
    processed_at: Option<String>,
    /// How often it was tried in vain; of one that is processed or ignored, nothing is kept.
    attempts: u32,
    /// Why it failed last.
    #[schema(required)]
    last_error: Option<String>,
    /// When it is tried next.
    #[schema(required, format = DateTime)]
    next_attempt_at: Option<String>,
}

impl From<&EventView> for EventJson {
    fn from(event: &EventView) -> Self {
        let job = event.job.as_ref().filter(|_| event.is_open());
        Self {
            id: event.id.clone(),
            object: "inbox_event",
            mode: event.mode.to_string(),
            kind: event.kind.clone(),
            object_id: event.object.clone(),
            about: event.about.clone(),
            account: event.account.clone(),
            api_version: event.api_version.clone(),
            bytes: event.bytes,
            created_at: rfc3339(event.created_at),
            received_at: rfc3339(event.received_at),
            state: event.state.to_string(),
            conclusion: event.conclusion.clone(),
            processed_at: event.processed_at.map(rfc3339),
            attempts: job.map_or(0, |job| job.attempts),
            last_error: job.and_then(|job| job.last_error.clone()),
            next_attempt_at: job.and_then(|job| next_attempt(event.state, job)),
        }
    }
}

/// An event with what was done about it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShownInboxEvent)]
pub struct ShownEventJson {
    event: EventJson,
    /// The jobs that read it, the first one first. Those that are done are forgotten after a while.
    jobs: Vec<JobJson>,
    /// What they changed.
    changes: Vec<ChangeJson>,
    /// Its bytes as text, if they were asked for. What tells of customers, and client secrets, are masked unless the
    /// key has the scope `inbox:bodies`; what is no JSON then is not shown.
    #[schema(required)]
    body: Option<String>,
}

impl ShownEventJson {
    /// All of it.
    pub fn new(event: &EventView, jobs: &[JobView], changes: &[Change], body: Option<String>) -> Self {
        Self {
            event: event.into(),
            jobs: jobs.iter().map(JobJson::from).collect(),
            changes: changes.iter().map(ChangeJson::from).collect(),
            body,
        }
    }
}

/// A line that was written into an order's timeline.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Change)]
pub struct ChangeJson {
    #[schema(value_type = words::OrderId)]
    order: String,
    #[schema(required, value_type = Option<words::PaymentId>)]
    payment: Option<String>,
    subject: String,
    event: String,
    #[schema(required)]
    from: Option<String>,
    #[schema(required)]
    to: Option<String>,
    #[schema(format = DateTime)]
    at: String,
}

impl From<&Change> for ChangeJson {
    fn from(change: &Change) -> Self {
        Self {
            order: change.order.to_string(),
            payment: change.payment.map(|id| id.to_string()),
            subject: change.subject.clone(),
            event: change.event.clone(),
            from: change.from.clone(),
            to: change.to.clone(),
            at: rfc3339(change.at),
        }
    }
}

/// What came of reading an event once more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Replay)]
pub struct ReplayJson {
    #[schema(schema_with = words::replay)]
    object: &'static str,
    event: String,
    /// The job that read it.
    #[schema(value_type = words::JobId)]
    job: String,
    /// `processed`; or `failing`, and it is tried again by itself; or `dead`, since trying again cannot help.
    #[schema(value_type = words::EventState)]
    state: String,
    /// What came of it: `already true` when there was nothing left to change.
    #[schema(required)]
    conclusion: Option<String>,
    /// Why it failed.
    #[schema(required)]
    error: Option<String>,
    /// When it is tried next.
    #[schema(required, format = DateTime)]
    next_attempt_at: Option<String>,
    /// What it changed.
    changes: Vec<ChangeJson>,
}

impl From<&Replayed> for ReplayJson {
    fn from(replayed: &Replayed) -> Self {
        let Replayed { event, job, changes } = replayed;
        let state = EventState::of(job);
        Self {
            object: "replay",
            event: event.clone(),
            job: job.id.to_string(),
            state: state.to_string(),
            conclusion: job.conclusion.clone(),
            error: job.last_error.clone().filter(|_| state != EventState::Processed),
            next_attempt_at: next_attempt(state, job),
            changes: changes.iter().map(ChangeJson::from).collect(),
        }
    }
}

fn next_attempt(state: EventState, job: &JobView) -> Option<String> {
    match state {
        EventState::Waiting | EventState::Failing => Some(rfc3339(job.due_at)),
        EventState::Dead | EventState::Processed | EventState::Ignored => None,
    }
}

/// What came of the wish to read many events once more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkReplay)]
pub struct BulkReplayJson {
    #[schema(schema_with = words::bulk_replay)]
    pub(in crate::http) object: &'static str,
    /// Whether nothing was started.
    pub(in crate::http) dry_run: bool,
    /// How many there are.
    #[schema(minimum = 0)]
    pub(in crate::http) matching: u64,
    /// How many the worker reads now, behind everything that is new.
    #[schema(minimum = 0)]
    pub(in crate::http) started: u64,
    /// The first of them, at most 100.
    pub(in crate::http) events: Vec<String>,
    /// Where to go on, as `starting_after`: more were found than are started at once.
    #[schema(required)]
    pub(in crate::http) next: Option<String>,
}
