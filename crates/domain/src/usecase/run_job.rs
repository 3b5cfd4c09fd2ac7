use time::Duration;

use super::{
    CancelOrderError, ErrorKind, PerformCall, PerformCallError, Policy, Ports, RecordEvent, RecordEventError,
    WatchOrder, WatchOrderError, reconcile::chain,
};
use crate::ports::{GatewayError, Job, StoreError, Task};

/// Runs a claimed job, and decides what follows from how that went.
///
/// A worker claims ([`Queue::claim`](crate::ports::Queue::claim)), lets each job run, and hands the [`Verdict`] back
/// to [`RunJob::settle`]. Between the two it may count, and take a panic for a verdict of its own:
/// [`Verdict::Retry`].
#[derive(Clone)]
pub struct RunJob {
    ports: Ports,
    events: RecordEvent,
    calls: PerformCall,
    orders: WatchOrder,
}

/// What an attempt at a job comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done, and completed by the commit of what it decided.
    Done,
    /// Somebody else has it.
    Leave,
    /// Try again later.
    Retry {
        /// Why it failed.
        reason: String,
        /// Not before so long, as the gateway asks us.
        asked: Option<Duration>,
    },
    /// Trying again cannot help: keep it for a person.
    Bury {
        /// Why it failed.
        reason: String,
    },
}

/// What became of a job after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Nothing was left to do: it is done, or somebody else's.
    Over,
    /// It waits for its next attempt.
    Waits {
        /// For so long.
        delay: Duration,
        /// Since it failed like this.
        reason: String,
    },
    /// It is dead, and waits for a person.
    Dead {
        /// Since it failed like this.
        reason: String,
    },
}

impl RunJob {
    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        let (events, calls) =
            (RecordEvent::new(ports.clone()), PerformCall::new(ports.clone(), policy.clone()));
        Self { orders: WatchOrder::new(ports.clone(), policy), ports, events, calls }
    }

    /// Makes one attempt.
    ///
    /// Attempts are counted when a job is claimed, so one that takes its whole process with it, again and again, ends
    /// here without being tried.
    pub async fn run(&self, job: &Job) -> Verdict {
        if is_spent(&job.task, job.attempts) {
            return Verdict::Bury { reason: "none of its attempts came to an end".to_owned() };
        }
        match &job.task {
            Task::ReadEvent(event) => self.events.run(job.lease, event).await.map(drop).map_or_else(
                |error| match (&error, error.kind()) {
                    (RecordEventError::Store(StoreError::LeaseLost), _) => Verdict::Leave,
                    (_, ErrorKind::Invalid) => Verdict::Bury { reason: chain(&error) },
                    _ => retry(&error),
                },
                |()| Verdict::Done,
            ),
            Task::PerformCall(_) => self.calls.run(job.lease).await.map(drop).map_or_else(
                |error| match error {
                    PerformCallError::Store(StoreError::LeaseLost) => Verdict::Leave,
                    PerformCallError::Gateway(GatewayError::KeyReused { .. }) => {
                        Verdict::Bury { reason: chain(&error) }
                    }
                    error => retry(&error),
                },
                |()| Verdict::Done,
            ),
            Task::WatchOrder(order) => self.orders.run(job.lease, *order).await.map_or_else(
                |error| match error {
                    WatchOrderError::Store(StoreError::LeaseLost)
                    | WatchOrderError::Cancel(CancelOrderError::Store(StoreError::LeaseLost)) => {
                        Verdict::Leave
                    }
                    error => retry(&error),
                },
                |()| Verdict::Done,
            ),
        }
    }

    /// Gives the job back as the verdict says: to be tried again after a wait that grows, or, after its last attempt,
    /// for a person.
    ///
    /// # Errors
    /// [`StoreError`]: it could not be given back. Its lease ends by itself, and it is tried again then.
    pub async fn settle(&self, job: &Job, verdict: Verdict) -> Result<Settled, StoreError> {
        let (reason, delay) = match verdict {
            Verdict::Done | Verdict::Leave => return Ok(Settled::Over),
            Verdict::Bury { reason } => (reason, None),
            Verdict::Retry { reason, asked } => {
                let delay = delay(&job.task, job.attempts, self.jitter());
                (reason, delay.map(|delay| delay.max(asked.unwrap_or(delay))))
            }
        };
        match delay {
            Some(delay) => {
                self.ports.queue.retry(job.lease, delay, &reason).await?;
                Ok(Settled::Waits { delay, reason })
            }
            None => {
                self.ports.queue.bury(job.lease, &reason).await?;
                Ok(Settled::Dead { reason })
            }
        }
    }

    /// A number from 0 to 999.
    fn jitter(&self) -> u32 {
        let mut bytes = [0; 4];
        self.ports.entropy.fill(&mut bytes);
        u32::from_le_bytes(bytes) % 1000
    }
}

/// Try again later, when the gateway asks for it if it does.
fn retry(error: &(dyn std::error::Error + 'static)) -> Verdict {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let asked = causes.find_map(|error| match error.downcast_ref::<GatewayError>() {
        Some(GatewayError::NotDone { after, .. }) => after.map(Duration::try_from),
        Some(_) | None => None,
    });
    Verdict::Retry { reason: chain(error), asked: asked.and_then(Result::ok) }
}

/// The first failures are mostly over in seconds (a commit that is not visible yet, a hiccup of the network), the
/// later ones take a deployment or a person.
const SECONDS: [i64; 8] = [1, 5, 15, 60, 300, 900, 3_600, 10_800];
/// How often a received event is tried: about three days, as long as Stripe itself would go on.
const EVENT_ATTEMPTS_MAX: u32 = 30;

/// How long to wait after the `attempts`-th failure; `None` when it was the last one. `jitter`, 0 to 999, spreads it
/// between 80 and 120 percent, so that jobs which failed together do not come back together.
fn delay(task: &Task, attempts: u32, jitter: u32) -> Option<Duration> {
    if attempts_max(task).is_some_and(|max| attempts >= max) {
        return None;
    }
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(SECONDS.len() - 1);
    let longest = match task {
        Task::ReadEvent(_) => i64::MAX,
        Task::PerformCall(_) | Task::WatchOrder(_) => 3_600,
    };
    let millis = SECONDS[step].min(longest) * 1000;
    Some(Duration::milliseconds(millis * (800 + i64::from(jitter) * 400 / 999) / 1000))
}

/// Whether a job was claimed once more than it is tried: nobody lived to say how its last attempt ended.
fn is_spent(task: &Task, attempts: u32) -> bool {
    attempts_max(task).is_some_and(|max| attempts > max)
}

/// A call or a timer that is given up would leave money unexplained: it is tried every hour, whatever it takes.
fn attempts_max(task: &Task) -> Option<u32> {
    match task {
        Task::ReadEvent(_) => Some(EVENT_ATTEMPTS_MAX),
        Task::PerformCall(_) | Task::WatchOrder(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JobId;

    fn call() -> Task {
        Task::PerformCall(JobId::from_uuid(uuid::Uuid::nil()))
    }

    #[test]
    fn waits_grow_and_then_end() {
        let task = Task::ReadEvent("evt_1".to_owned());
        let waits: Vec<_> = (1..EVENT_ATTEMPTS_MAX).map(|n| delay(&task, n, 500).unwrap()).collect();
        assert!(waits.is_sorted());
        assert_eq!(delay(&task, EVENT_ATTEMPTS_MAX, 500), None);
        assert!(!is_spent(&task, EVENT_ATTEMPTS_MAX) && is_spent(&task, EVENT_ATTEMPTS_MAX + 1));
        let total: Duration = waits.iter().copied().sum();
        assert!(total > Duration::days(2) && total < Duration::days(4), "{total}");
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        assert_eq!(delay(&call(), 4, 0), Some(Duration::seconds(48)));
        assert_eq!(delay(&call(), 4, 999), Some(Duration::seconds(72)));
    }

    /// Covers: U-6.
    #[test]
    fn a_call_is_never_given_up() {
        assert_eq!((delay(&call(), 10_000, 500), is_spent(&call(), 10_000)), (Some(Duration::HOUR), false));
    }

    /// Covers: fault 11.
    #[test]
    fn the_gateways_wish_to_wait_is_heard() {
        let limited = |after| GatewayError::NotDone { after, source: "429".into() };
        let wait = |error: PerformCallError| match retry(&error) {
            Verdict::Retry { asked, .. } => asked,
            Verdict::Done | Verdict::Leave | Verdict::Bury { .. } => unreachable!("it is to be tried again"),
        };
        let minute = Some(std::time::Duration::from_secs(60));
        assert_eq!(wait(PerformCallError::Gateway(limited(minute))), Some(Duration::MINUTE));
        assert_eq!(wait(PerformCallError::Gateway(limited(None))), None);
        assert_eq!(wait(PerformCallError::Gateway(GatewayError::Unknown("reset".into()))), None);
    }
}
