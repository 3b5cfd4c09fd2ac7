use std::{io::Write as _, process::ExitCode};

use clap::{Args, Subcommand};
use paywright_domain::{
    JobId,
    ports::{Page, QueueName},
};
use paywright_postgres::{JobFilter, JobKind, JobState, JobView, Operations, Retried};

use super::operating::{self, Listing, fields, lines};
use crate::{
    config::Settings,
    http::present::{JobJson, rfc3339},
};

/// How many jobs are started by one statement.
const STARTED_AT_ONCE: u32 = 1_000;
/// How many a dry run names.
const NAMED: u32 = 100;

/// `paywright jobs ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// Jobs, newest first.
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        listing: Listing,
        /// Those behind this job.
        #[arg(long, value_name = "JOB")]
        after: Option<JobId>,
    },
    /// A job.
    Show {
        /// Its id, `job_...`.
        job: JobId,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes jobs due now that were given up, or that wait. They stay the same jobs: a call goes out under the same
    /// idempotency key.
    Retry {
        /// Their ids, `job_...`.
        jobs: Vec<JobId>,
        #[command(flatten)]
        filter: Filter,
        /// Only says how many there are.
        #[arg(long, conflicts_with = "jobs")]
        dry_run: bool,
        /// Does not wait until the worker has done them.
        #[arg(long)]
        no_wait: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// Which jobs.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// webhooks or effects.
    #[arg(long)]
    queue: Option<QueueName>,
    /// `read_event`, `perform_call` or `watch_order`.
    #[arg(long)]
    kind: Option<JobKind>,
    /// ready, running, dead or done.
    #[arg(long)]
    state: Option<JobState>,
}

impl From<Filter> for JobFilter {
    fn from(Filter { queue, kind, state }: Filter) -> Self {
        Self { queue, kind, state }
    }
}

impl Jobs {
    pub(crate) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let operations = operating::connect(&settings).await?;
        match self {
            Self::List { filter, listing, after } => {
                let found = operations.jobs(filter.into(), Page { limit: listing.limit, after }).await?;
                let json: Vec<_> = found.rows.iter().map(JobJson::from).collect();
                listing.print(&json, || table(&found.rows), found.has_more)
            }
            Self::Show { job, json } => show(&operations, job, json).await,
            Self::Retry { jobs, filter, dry_run, no_wait, json } => {
                let mut filter = JobFilter::from(filter);
                let all = JobFilter::default();
                anyhow::ensure!(jobs.is_empty() || filter == all, "name jobs or filter them, not both");
                anyhow::ensure!(
                    !jobs.is_empty() || filter != all,
                    "name jobs, or say which: --state dead, for example"
                );
                let started = if jobs.is_empty() {
                    let state = *filter.state.get_or_insert(JobState::Dead);
                    let restartable = matches!(state, JobState::Dead | JobState::Ready);
                    anyhow::ensure!(restartable, "jobs that are {state} are not tried again");
                    if dry_run {
                        return tell(&operations, filter, json).await;
                    }
                    start(&operations, filter).await?
                } else {
                    for job in &jobs {
                        retry(&operations, *job).await?;
                    }
                    jobs
                };
                eprintln!("{} jobs are due now", started.len());
                operating::follow(&operations, &started, no_wait, json).await
            }
        }
    }
}

/// Jobs under one another, each with why it failed last.
pub(super) fn table(jobs: &[JobView]) -> String {
    let mut rows = vec![["job", "kind", "state", "tries", "due"].map(str::to_owned)];
    let mut notes = vec![None];
    for job in jobs {
        let due = job.due_at.replace_nanosecond(0).unwrap_or(job.due_at);
        rows.push([
            job.id.to_string(),
            job.operation.clone().unwrap_or_else(|| job.kind.to_string()),
            job.state.to_string(),
            job.attempts.to_string(),
            job.finished_at.map_or_else(|| rfc3339(due), |_| String::new()),
        ]);
        notes.push(job.last_error.clone().filter(|_| job.state != JobState::Done).or(job.conclusion.clone()));
    }
    lines(&rows, &notes)
}

async fn show(operations: &Operations, id: JobId, json: bool) -> anyhow::Result<ExitCode> {
    let job = operations.job(id).await?.ok_or_else(|| anyhow::anyhow!("no such job: {id}"))?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&JobJson::from(&job))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let facts = [
        ("job", job.id.to_string()),
        ("queue", job.queue.to_string()),
        ("kind", job.kind.to_string()),
        ("state", job.state.to_string()),
        ("event", text(&job.event)),
        ("order", job.order.map(|id| id.to_string()).unwrap_or_default()),
        ("payment", job.payment.map(|id| id.to_string()).unwrap_or_default()),
        ("operation", text(&job.operation)),
        ("key", text(&job.key)),
        ("tries", job.attempts.to_string()),
        ("made", rfc3339(job.created_at)),
        ("due", job.finished_at.map_or_else(|| rfc3339(job.due_at), |_| String::new())),
        ("finished", job.finished_at.map(rfc3339).unwrap_or_default()),
        ("last error", text(&job.last_error)),
        ("conclusion", text(&job.conclusion)),
    ];
    write!(out, "{}", fields(&facts))?;
    Ok(ExitCode::SUCCESS)
}

async fn retry(operations: &Operations, id: JobId) -> anyhow::Result<()> {
    match operations.retry_job(id).await? {
        Retried::Ready(_) => Ok(()),
        Retried::Unknown => anyhow::bail!("no such job: {id}"),
        Retried::Running(until) => {
            anyhow::bail!("somebody is at {id}, until {} at the latest", rfc3339(until))
        }
        Retried::Done => anyhow::bail!("{id} is done"),
        Retried::Replaced => anyhow::bail!("{id} is not needed: a later job does the same"),
    }
}

async fn tell(operations: &Operations, filter: JobFilter, json: bool) -> anyhow::Result<ExitCode> {
    let matching = operations.count_jobs(filter).await?;
    let first = operations.jobs(filter, Page { limit: NAMED, after: None }).await?;
    let mut out = std::io::stdout().lock();
    if json {
        let jobs: Vec<_> = first.rows.iter().map(|job| job.id.to_string()).collect();
        writeln!(out, "{}", serde_json::json!({ "dry_run": true, "matching": matching, "jobs": jobs }))?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{matching} jobs would be due now")?;
    if matching > 0 {
        write!(out, "{}", table(&first.rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn start(operations: &Operations, filter: JobFilter) -> anyhow::Result<Vec<JobId>> {
    let (mut jobs, mut after) = (Vec::new(), None);
    loop {
        let (started, next) = operations.retry_jobs(filter, Page { limit: STARTED_AT_ONCE, after }).await?;
        jobs.extend(started);
        after = next;
        if after.is_none() {
            return Ok(jobs);
        }
    }
}
