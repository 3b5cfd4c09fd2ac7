mod compare;
mod learning;
mod local;
mod past;
mod payouts;
mod slices;
mod sweeps;
mod transactions;

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::{ErrorKind, PerformCall, Policy, Ports, RecordEvent};
use crate::{
    Counts, Run, RunId, RunState, Section, Statement, Trigger,
    ports::{Archive, Books, GatewayError, StoreError, Window},
};
use past::Past;
use slices::Budget;

/// Compares what the gateway keeps with what is here, and repairs what is here, by the same functions that webhooks
/// use. What no rule explains is a break.
///
/// Everything may be repeated, killed half-way, and run twice at a time: a cursor moves only when everything before it
/// was compared, and whatever is learned is learned once.
#[derive(Clone)]
pub struct Reconcile {
    ports: Ports,
    policy: Policy,
    pace: Pace,
    archive: Arc<dyn Archive>,
    books: Arc<dyn Books>,
    events: RecordEvent,
    calls: PerformCall,
}

/// How far back reconciliation looks, and how much it asks of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How far back the first run looks.
    pub look_back: Duration,
    /// How far before its cursor each run begins: the gateway shows some things later than it dates them.
    pub overlap: Duration,
    /// About how often each section of a run asks the gateway. What is left over comes in the next run.
    pub asks_max: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { look_back: Duration::days(3), overlap: Duration::minutes(10), asks_max: 1000 }
    }
}

/// What a run is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The run's identity, fresh.
    pub id: RunId,
    /// Who asks. What a person asks for leaves nothing out that was looked at a moment ago.
    pub trigger: Trigger,
    /// Look back at least so far, where the cursors stand later.
    pub since: Option<OffsetDateTime>,
    /// Which sections, in this order.
    pub sections: Vec<Section>,
}

/// Why a run could not even be recorded; what it had learned by then is stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// The store does not answer.
    #[error("failed to keep the books of reconciliation")]
    Store(#[from] StoreError),
}

impl ReconcileError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

/// Told how far a section has come, for whoever watches.
pub type Watch<'a> = &'a (dyn Fn(Section, &Counts) + Send + Sync);

/// Why a section ends early.
#[derive(Debug)]
enum Stop {
    /// The gateway's past cannot be read just now.
    Gateway(GatewayError),
    /// Our own side cannot be read or written.
    Store(StoreError),
}

impl From<GatewayError> for Stop {
    fn from(error: GatewayError) -> Self {
        Self::Gateway(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A section under way.
struct Work<'a> {
    section: Section,
    now: OffsetDateTime,
    counts: Counts,
    budget: Budget,
    watch: Watch<'a>,
}

impl Work<'_> {
    fn show(&self) {
        (self.watch)(self.section, &self.counts);
    }
}

impl Reconcile {
    /// The use case over these ports.
    pub fn new(
        ports: Ports,
        policy: Policy,
        pace: Pace,
        archive: Arc<dyn Archive>,
        books: Arc<dyn Books>,
    ) -> Self {
        let (events, calls) =
            (RecordEvent::new(ports.clone()), PerformCall::new(ports.clone(), policy.clone()));
        Self { ports, policy, pace, archive, books, events, calls }
    }

    /// Runs the sections that are asked for, one after the other, and records what they come to. A section that the
    /// gateway interrupts leaves the others alone; without the store the run ends.
    ///
    /// # Errors
    /// [`ReconcileError::Store`] when the run itself could not be recorded. Whatever else goes wrong is told by
    /// [`Run::state`], [`Run::error`] and [`Counts::problems`].
    pub async fn run(&self, ask: Ask, watch: Watch<'_>) -> Result<Run, ReconcileError> {
        let mut run = self.begin(&ask).await?;
        for section in ask.sections {
            let mut work = self.work(section, watch);
            let outcome = self.section(&mut work, &ask.trigger, ask.since).await;
            let stopped = match outcome {
                Ok(()) => None,
                Err(Stop::Gateway(error)) => {
                    work.counts.note("the gateway", &chain(&error));
                    work.counts.more = true;
                    None
                }
                Err(Stop::Store(error)) => Some(error),
            };
            work.show();
            run.counts.insert(section, work.counts);
            if let Some(error) = stopped {
                run.state = RunState::Failed;
                run.error = Some(format!("{section}: {}", chain(&error)));
                break;
            }
        }
        self.end(run).await
    }

    /// Looks at unfinished payments that were started within the last hour, and records no run.
    ///
    /// # Errors
    /// [`ReconcileError::Store`]; what was learned by then is stored.
    pub async fn fresh(&self) -> Result<Counts, ReconcileError> {
        let mut work = self.work(Section::Local, &|_, _| {});
        match self.fresh_payments(&mut work).await {
            Ok(()) => {}
            Err(Stop::Gateway(error)) => work.counts.note("the gateway", &chain(&error)),
            Err(Stop::Store(error)) => return Err(error.into()),
        }
        Ok(work.counts)
    }

    /// What reconciliation came to over a time.
    ///
    /// # Errors
    /// [`ReconcileError::Store`].
    pub async fn statement(&self, window: Window) -> Result<Statement, ReconcileError> {
        let runs = self.books.run_totals(self.policy.mode, window).await?;
        let breaks = self.books.break_totals(self.policy.mode, window).await?;
        Ok(Statement { window, runs, breaks })
    }

    async fn begin(&self, ask: &Ask) -> Result<Run, ReconcileError> {
        let run = Run {
            id: ask.id,
            mode: self.policy.mode,
            trigger: ask.trigger,
            since: ask.since,
            state: RunState::Running,
            counts: [].into(),
            opened: 0,
            resolved: 0,
            error: None,
            started_at: self.ports.clock.now(),
            finished_at: None,
        };
        self.books.begin(&run).await?;
        Ok(run)
    }

    async fn end(&self, mut run: Run) -> Result<Run, ReconcileError> {
        let now = self.ports.clock.now();
        if run.state == RunState::Running {
            let complete = run.counts.values().all(Counts::is_complete);
            run.state = if complete { RunState::Done } else { RunState::Incomplete };
        }
        // What is found at this very moment counts.
        let window = Window { from: run.started_at, before: now + Duration::MICROSECOND };
        let totals = self.books.break_totals(run.mode, window).await?;
        (run.opened, run.resolved) = (totals.opened, totals.resolved);
        run.finished_at = Some(now);
        self.books.finish(&run).await?;
        Ok(run)
    }

    fn work<'a>(&self, section: Section, watch: Watch<'a>) -> Work<'a> {
        let (now, budget) = (self.ports.clock.now(), Budget::new(self.pace.asks_max));
        Work { section, now, counts: Counts::default(), budget, watch }
    }

    /// Compares one section.
    async fn section(
        &self,
        work: &mut Work<'_>,
        trigger: &Trigger,
        since: Option<OffsetDateTime>,
    ) -> Result<(), Stop> {
        match work.section {
            Section::CatchUp => self.past(work, Past::Events, since).await,
            Section::Local => {
                self.abandoned(work).await?;
                self.unsettled(work, *trigger).await
            }
            Section::Gateway => {
                self.past(work, Past::Objects, since).await?;
                self.found_after_all(work).await
            }
            Section::Books => {
                self.past(work, Past::Transactions, since).await?;
                self.booked_after_all(work).await?;
                self.payouts(work, since).await
            }
        }
    }
}

/// An error with what is behind it, for people.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
