mod replay;

use std::{io::Write as _, process::ExitCode};

use clap::{Args, Subcommand};
use paywright_domain::ports::Page;
use paywright_postgres::{Change, EventFilter, EventState, EventView, Operations};
use time::OffsetDateTime;

use super::operating::{self, Listing, clipped, fields, lines};
use crate::{
    config::Settings,
    http::present::{EventJson, ShownEventJson, rfc3339},
    masked::masked,
};

/// `paywright inbox ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Inbox {
    /// Received events, newest first.
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        listing: Listing,
        /// Those behind this event.
        #[arg(long, value_name = "EVENT")]
        after: Option<String>,
    },
    /// An event with the jobs that read it and what they changed.
    Show {
        /// Stripe's id of it, `evt_...`.
        event: String,
        /// Its bytes too; what tells of customers, and client secrets, are masked.
        #[arg(long)]
        body: bool,
        /// Its bytes to the letter.
        #[arg(long, conflicts_with = "body")]
        unmasked: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Reads events once more: named ones at once and here, those that a filter finds by the worker. What was done
    /// already is not done again.
    Replay {
        /// Stripe's ids of them, `evt_...`.
        events: Vec<String>,
        #[command(flatten)]
        filter: Filter,
        /// Only says how many there are.
        #[arg(long, conflicts_with = "events")]
        dry_run: bool,
        /// Does not wait until the worker has read them.
        #[arg(long, conflicts_with = "events")]
        no_wait: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// waiting, failing, dead, processed or ignored.
    #[arg(long)]
    state: Option<EventState>,
    /// Of this type; `payment_intent.*` stands for all that begin so.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// About this object of Stripe's, `pi_...` for example.
    #[arg(long)]
    object: Option<String>,
    /// Received then or later: 2026-11-21 or 2026-11-21T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = operating::moment)]
    from: Option<OffsetDateTime>,
    /// Received before.
    #[arg(long, value_name = "TIME", value_parser = operating::moment)]
    before: Option<OffsetDateTime>,
}

impl Filter {
    fn is_empty(&self) -> bool {
        let Self { state, kind, object, from, before } = self;
        state.is_none() && kind.is_none() && object.is_none() && from.is_none() && before.is_none()
    }
}

impl From<Filter> for EventFilter {
    fn from(filter: Filter) -> Self {
        Self {
            state: filter.state,
            kind: filter.kind,
            object: filter.object,
            received_from: filter.from,
            received_before: filter.before,
        }
    }
}

impl Inbox {
    pub(crate) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { filter, listing, after } => {
                let operations = operating::connect(&settings).await?;
                let page = Page { limit: listing.limit, after: known(&operations, &settings, after).await? };
                let found = operations.events(settings.mode, &filter.into(), &page).await?;
                let json: Vec<_> = found.rows.iter().map(EventJson::from).collect();
                listing.print(&json, || table(&found.rows), found.has_more)
            }
            Self::Show { event, body, unmasked, json } => {
                let operations = operating::connect(&settings).await?;
                show(&operations, &settings, &event, body, unmasked, json).await
            }
            Self::Replay { events, filter, json, .. } if !events.is_empty() => {
                anyhow::ensure!(filter.is_empty(), "name events or filter them, not both");
                replay::here(settings, &events, json).await
            }
            Self::Replay { filter, dry_run, no_wait, json, .. } => {
                anyhow::ensure!(!filter.is_empty(), "name events, or say which: --state dead, for example");
                let mut filter = EventFilter::from(filter);
                let state = *filter.state.get_or_insert(EventState::Dead);
                anyhow::ensure!(state != EventState::Ignored, "events that were not for us are not read");
                let operations = operating::connect(&settings).await?;
                if dry_run {
                    return replay::tell(&operations, &settings, &filter, json).await;
                }
                replay::there(&operations, &settings, &filter, no_wait, json).await
            }
        }
    }
}

/// The last event of the page before, which must be there.
async fn known(
    operations: &Operations,
    settings: &Settings,
    id: Option<String>,
) -> anyhow::Result<Option<String>> {
    let Some(id) = id else { return Ok(None) };
    let event = operations.event(settings.mode, &id).await?;
    anyhow::ensure!(event.is_some(), "no such event in {} mode: {id}", settings.mode);
    Ok(Some(id))
}

fn table(events: &[EventView]) -> String {
    let mut rows = vec![["received", "event", "type", "state", "tries"].map(str::to_owned)];
    let mut notes = vec![None];
    for event in events {
        let job = event.job.as_ref().filter(|_| event.is_open());
        rows.push([
            rfc3339(event.received_at.replace_nanosecond(0).unwrap_or(event.received_at)),
            clipped(&event.id, 32),
            clipped(&event.kind, 27),
            event.state.to_string(),
            job.map(|job| job.attempts.to_string()).unwrap_or_default(),
        ]);
        notes.push(job.and_then(|job| job.last_error.clone()));
    }
    lines(&rows, &notes)
}

async fn show(
    operations: &Operations,
    settings: &Settings,
    id: &str,
    body: bool,
    unmasked: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mode = settings.mode;
    let event = operations.event(mode, id).await?;
    let event = event.ok_or_else(|| anyhow::anyhow!("no such event in {mode} mode: {id}"))?;
    let jobs = operations.jobs_of(&event).await?;
    let changes = operations.changes(&event.causes(&jobs), &[], &event.names()).await?;
    let body = match operations.body(mode, id).await?.filter(|_| body || unmasked) {
        Some(bytes) if unmasked => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Some(bytes) => Some(masked(&bytes).unwrap_or_else(|| "no JSON: --unmasked shows it".to_owned())),
        None => None,
    };
    let mut out = std::io::stdout().lock();
    if json {
        let shown = ShownEventJson::new(&event, &jobs, &changes, body);
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let facts = [
        ("event", event.id.clone()),
        ("type", event.kind.clone()),
        ("object", text(&event.object)),
        ("about", text(&event.about)),
        ("account", text(&event.account)),
        ("made", rfc3339(event.created_at)),
        ("received", rfc3339(event.received_at)),
        ("state", event.state.to_string()),
        ("conclusion", text(&event.conclusion)),
    ];
    writeln!(out, "{}", fields(&facts))?;
    if !jobs.is_empty() {
        writeln!(out, "{}", super::jobs::table(&jobs))?;
    }
    writeln!(out, "{}", changed(&changes))?;
    if let Some(body) = body {
        writeln!(out, "\n{body}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What was changed, a line each.
fn changed(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "it changed nothing".to_owned();
    }
    let line = |change: &Change| {
        let subject = match &change.payment {
            Some(payment) if change.subject != "order" => format!("{} of {payment}", change.subject),
            Some(_) | None => format!("{} {}", change.subject, change.order),
        };
        let step = match (&change.from, &change.to) {
            (Some(from), Some(to)) => format!("{from} -> {to}"),
            (None, Some(to)) => format!("-> {to}"),
            (_, None) => String::new(),
        };
        format!("{subject}: {} {step}", change.event).trim_end().to_owned()
    };
    changes.iter().map(line).collect::<Vec<_>>().join("\n")
}
