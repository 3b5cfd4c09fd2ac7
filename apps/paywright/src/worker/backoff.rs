//! When a failed job is tried again.

use paywright_domain::ports::Task;
use time::Duration;

/// The first failures are mostly over in seconds (a commit that is not visible yet, a hiccup of the network), the
/// later ones take a deployment or a person.
const SECONDS: [i64; 8] = [1, 5, 15, 60, 300, 900, 3_600, 10_800];
/// How often a received event is tried: about three days, as long as Stripe itself would go on.
const EVENT_ATTEMPTS_MAX: u32 = 30;

/// How long to wait after the `attempts`-th failure; `None` when it was the last one. `jitter`, 0 to 999, spreads it
/// between 80 and 120 percent, so that jobs which failed together do not come back together.
pub(super) fn delay(task: &Task, attempts: u32, jitter: u32) -> Option<Duration> {
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
pub(super) fn is_spent(task: &Task, attempts: u32) -> bool {
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
    use paywright_domain::JobId;

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
        let task = Task::PerformCall(JobId::from_uuid(uuid::Uuid::nil()));
        assert_eq!(delay(&task, 4, 0), Some(Duration::seconds(48)));
        assert_eq!(delay(&task, 4, 999), Some(Duration::seconds(72)));
    }

    /// Covers: U-6.
    #[test]
    fn a_call_is_never_given_up() {
        let task = Task::PerformCall(JobId::from_uuid(uuid::Uuid::nil()));
        assert_eq!((delay(&task, 10_000, 500), is_spent(&task, 10_000)), (Some(Duration::HOUR), false));
    }
}
