//! Reading an event once more, at once: the same run for the API and the command line.

use paywright_domain::{JobId, ports::StoreError};
use paywright_postgres::{Change, JobState, JobView, Taken};
use time::OffsetDateTime;

use crate::{wiring::App, worker};

/// What came of it.
pub(crate) enum Replay {
    /// It was read.
    Read(Box<Replayed>),
    /// There is no such event.
    Unknown,
    /// It was not for us, for this reason, and is not read.
    Ignored(String),
    /// Somebody reads it, or another event about the same payment, at this moment.
    Busy(Option<OffsetDateTime>),
}

/// An event that was read once more.
pub(crate) struct Replayed {
    pub(crate) event: String,
    /// How it went. After a failure it is tried again by the worker, unless that cannot help.
    pub(crate) job: JobView,
    /// What it changed.
    pub(crate) changes: Vec<Change>,
}

impl Replayed {
    /// Whether everything that follows from it is stored.
    pub(crate) fn is_processed(&self) -> bool {
        self.job.state == JobState::Done
    }
}

/// Reads an event once more, under a lease like the worker's, so that nobody else does meanwhile. `fresh` becomes the
/// job of one that was processed; the same one again reads nothing again.
///
/// # Errors
/// [`StoreError`] when the database is away; what was begun is finished by the worker then.
pub(crate) async fn replay(app: &App, id: &str, fresh: JobId) -> Result<Replay, StoreError> {
    let operations = &app.operations;
    let job = match operations.take_event(app.settings.mode, id, fresh, worker::lease(app)).await? {
        Taken::Held(job) => {
            let id = job.lease.job;
            worker::work(app, job).await;
            id
        }
        Taken::Before(job) => job,
        Taken::Unknown => return Ok(Replay::Unknown),
        Taken::Ignored(why) => return Ok(Replay::Ignored(why)),
        Taken::Busy(until) => return Ok(Replay::Busy(until)),
    };
    let (event, job) = (operations.event(app.settings.mode, id).await?, operations.job(job).await?);
    let (Some(event), Some(job)) = (event, job) else { return Ok(Replay::Unknown) };
    // It took longer than the lease, and somebody else goes on.
    if job.state == JobState::Running {
        return Ok(Replay::Busy(Some(job.due_at)));
    }
    let changes = operations.changes(&[job.id], &[], &event.names()).await?;
    Ok(Replay::Read(Box::new(Replayed { event: event.id, job, changes })))
}
