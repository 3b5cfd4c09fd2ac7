//! What the webhook's route and the worker tell.

use std::time::{Duration, Instant};

use paywright_domain::{
    JobId, Rule,
    ports::{Job, Task},
};
use paywright_stripe::SignatureError;
use strum::IntoEnumIterator as _;
use time::OffsetDateTime;

use super::{
    catalogue::{JOB, LAG, REFUSED, WEBHOOK},
    kept::Kept,
};

/// Not a rule of anybody: the whole shop takes no payments.
pub const PAUSED: &str = "payments_paused";

/// A delivery was answered: what became of the event, and why, if that has reasons.
pub fn delivery(outcome: &'static str, reason: &'static str, begun: Instant) {
    thread_local!(static DURATIONS: Kept = Kept::default());
    DURATIONS.with(|durations| {
        durations.record(
            [outcome, reason],
            begun.elapsed(),
            |[outcome, reason]| metrics::histogram!(WEBHOOK, "outcome" => outcome, "reason" => reason),
        );
    });
}

/// Why an event was refused, as a label.
pub fn refusal(error: SignatureError) -> &'static str {
    match error {
        SignatureError::Missing => "no_header",
        SignatureError::TooLong => "too_long",
        SignatureError::NoTime => "no_time",
        SignatureError::NoSignature => "no_signature",
        SignatureError::Mismatch => "mismatch",
        SignatureError::TooOld => "too_old",
        SignatureError::TooNew => "too_new",
        SignatureError::NoSecret => "no_secret",
    }
}

/// A request was refused by a rule.
pub fn refused(rule: &'static str) {
    metrics::counter!(REFUSED, "rule" => rule).increment(1);
}

/// What was never refused is shown as well: an alarm cannot be set on what is absent.
pub(super) fn nobody_refused() {
    for rule in Rule::iter() {
        metrics::counter!(REFUSED, "rule" => <&str>::from(rule)).increment(0);
    }
    metrics::counter!(REFUSED, "rule" => PAUSED).increment(0);
}

/// An attempt at a job ended.
pub fn attempt(task: &Task, result: &'static str, begun: Instant) {
    metrics::histogram!(JOB, "task" => name(task), "result" => result).record(begun.elapsed());
}

/// A job was done. The id of one about an event begins with the moment in which Stripe made the event.
pub fn done(job: &Job, now: OffsetDateTime, begun: Instant) {
    attempt(&job.task, "done", begun);
    if let Task::ReadEvent(_) = job.task
        && let Some(made) = named_at(job.lease.job)
    {
        metrics::histogram!(LAG).record(Duration::try_from(now - made).unwrap_or_default());
    }
}

fn name(task: &Task) -> &'static str {
    match task {
        Task::ReadEvent(_) => "read_event",
        Task::PerformCall(_) => "perform_call",
        Task::WatchOrder(_) => "watch_order",
    }
}

fn named_at(job: JobId) -> Option<OffsetDateTime> {
    let (seconds, nanos) = job.uuid().get_timestamp()?.to_unix();
    let second = OffsetDateTime::from_unix_timestamp(seconds.try_into().ok()?).ok()?;
    Some(second + Duration::from_nanos(nanos.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_when_its_event_was_made() {
        let made = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        assert_eq!(named_at(JobId::from_parts(made, &[7; 10])), Some(made));
        assert_eq!(named_at(JobId::from_uuid(uuid::Uuid::nil())), None);
    }
}
