//! Stops calling while Stripe is away, and finds out when it is back.
//!
//! Of our own making: the ready one (`recloser`) keeps a clock that tests cannot move, lets several calls find out at
//! once, and judges by a number of calls, however old they are and only once they have ended.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::client::{Failure, Reply};

/// Older outcomes say nothing of how Stripe is now.
const WINDOW: Duration = Duration::from_secs(10);
/// More outcomes than this are not kept.
const WINDOW_MAX: usize = 100;
/// Fewer failures than this are bad luck.
const FAILURES_MIN: usize = 5;

/// Closed while Stripe answers.
#[derive(Debug)]
pub(crate) struct Breaker {
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Closed(VecDeque<Outcome>),
    /// Until then nothing is sent; then one call may find out.
    Open(Instant),
}

#[derive(Debug)]
struct Outcome {
    at: Instant,
    failed: bool,
}

/// One call's leave to be sent.
#[derive(Debug)]
pub(crate) struct Leave {
    probe: bool,
    /// Whether it was counted already.
    counted: bool,
}

/// Stripe is away; nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("Stripe did not answer of late")]
pub(crate) struct Open {
    /// When it is worth while to ask again.
    pub(crate) after: Duration,
}

impl Breaker {
    /// Once open, it lets one call through in each `pause`.
    pub(crate) fn new(pause: Duration) -> Self {
        Self { pause, state: Mutex::new(State::Closed(VecDeque::new())) }
    }

    /// Whether a call may go on; it is asked again by [`Self::enter`] when it is about to be sent.
    pub(crate) fn check(&self) -> Result<(), Open> {
        match &*self.lock() {
            State::Closed(_) => Ok(()),
            State::Open(until) => due(*until, Instant::now()),
        }
    }

    /// Lets a call through. If that is to find out whether Stripe is back, it is the only one for a pause: then the
    /// next one goes, so that one which never comes back closes nothing for ever.
    pub(crate) fn enter(&self) -> Result<Leave, Open> {
        match &mut *self.lock() {
            State::Closed(_) => Ok(Leave { probe: false, counted: false }),
            State::Open(until) => {
                let now = Instant::now();
                due(*until, now)?;
                *until = now + self.pause;
                Ok(Leave { probe: true, counted: false })
            }
        }
    }

    /// Learns that a call has been without an answer for long; the answer may still come.
    pub(crate) fn silent(&self, leave: &mut Leave) {
        leave.counted = true;
        self.count(leave.probe, true);
    }

    /// Learns how a call ended.
    pub(crate) fn learn(&self, leave: &Leave, outcome: &Result<Reply, Failure>) {
        match verdict(outcome) {
            Some(true) if leave.counted => {}
            Some(failed) => self.count(leave.probe, failed),
            None => {}
        }
    }

    fn count(&self, probe: bool, failed: bool) {
        let now = Instant::now();
        let mut state = self.lock();
        match (&mut *state, probe, failed) {
            (State::Closed(outcomes), _, _) => {
                note(outcomes, Outcome { at: now, failed });
                if is_away(outcomes) {
                    *state = State::Open(now + self.pause);
                    drop(state);
                    let pause_ms = self.pause.as_millis();
                    tracing::warn!(pause_ms, "Stripe does not answer; calls are held back");
                }
            }
            (State::Open(_), true, false) => {
                *state = State::Closed(VecDeque::new());
                drop(state);
                tracing::info!("Stripe answers again");
            }
            (State::Open(until), true, true) => *until = now + self.pause,
            // Of a call that was sent before: no news.
            (State::Open(_), false, _) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn due(until: Instant, now: Instant) -> Result<(), Open> {
    let after = until.saturating_duration_since(now);
    if after.is_zero() { Ok(()) } else { Err(Open { after }) }
}

/// Whether Stripe failed to answer. `None` when the outcome does not tell: a failure that was stored is of the past.
fn verdict(outcome: &Result<Reply, Failure>) -> Option<bool> {
    match outcome {
        Ok(reply) if reply.status < 500 => Some(false),
        Ok(reply) => (!reply.replayed).then_some(true),
        Err(Failure::NotSent(_) | Failure::Deadline(_) | Failure::Broken(_)) => Some(true),
        Err(Failure::TooLarge(_)) => None,
    }
}

fn note(outcomes: &mut VecDeque<Outcome>, outcome: Outcome) {
    let now = outcome.at;
    outcomes.retain(|old| now.duration_since(old.at) < WINDOW);
    if outcomes.len() == WINDOW_MAX {
        outcomes.pop_front();
    }
    outcomes.push_back(outcome);
}

/// Several failures, and at least as many as answers.
fn is_away(outcomes: &VecDeque<Outcome>) -> bool {
    let failures = outcomes.iter().filter(|outcome| outcome.failed).count();
    failures >= FAILURES_MIN && 2 * failures >= outcomes.len()
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
