//! One write at a time for each object, as Stripe asks: two at once make it refuse the second.
//!
//! Source: <https://docs.stripe.com/rate-limits#object-lock-timeouts>

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::{
    sync::{Mutex as Turn, OwnedMutexGuard},
    time::{Instant, timeout_at},
};

/// Below so many names nothing is cleared away.
const KEPT_MIN: usize = 64;

/// The turns at the objects that are being written, of this process.
#[derive(Debug, Default)]
pub(crate) struct Serial {
    turns: Mutex<Turns>,
}

/// A turn lives as long as somebody has it or waits for it.
#[derive(Debug, Default)]
struct Turns {
    of: HashMap<String, Weak<Turn<()>>>,
    /// How many were alive when the dead were last cleared away.
    alive: usize,
}

/// Another write of this process held the object for as long as we would wait.
#[derive(Debug, thiserror::Error)]
#[error("another call about {0} is under way")]
pub(crate) struct Busy(String);

impl Serial {
    /// Waits for the turn at `object`, in the order of asking, until the moment `until`.
    pub(crate) async fn turn(&self, object: &str, until: Instant) -> Result<OwnedMutexGuard<()>, Busy> {
        let turn = self.turns.lock().unwrap_or_else(PoisonError::into_inner).at(object);
        timeout_at(until, turn.lock_owned()).await.map_err(|_| Busy(object.to_owned()))
    }
}

impl Turns {
    fn at(&mut self, object: &str) -> Arc<Turn<()>> {
        if let Some(turn) = self.of.get(object).and_then(Weak::upgrade) {
            return turn;
        }
        // Each clearing follows as many newcomers as it has survivors, so that a turn costs the same at any number.
        if self.of.len() >= KEPT_MIN.max(2 * self.alive) {
            self.of.retain(|_, turn| turn.strong_count() > 0);
            self.alive = self.of.len();
        }
        let turn = Arc::default();
        self.of.insert(object.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn in_five_seconds() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    /// Covers: U-4, fault 12.
    #[tokio::test(start_paused = true)]
    async fn a_turn_that_does_not_come_in_time_is_given_up() {
        let serial = Serial::default();
        let first = serial.turn("pi_1", in_five_seconds()).await.unwrap();
        let other = serial.turn("pi_2", in_five_seconds()).await.unwrap();
        let begin = Instant::now();
        assert!(serial.turn("pi_1", in_five_seconds()).await.is_err());
        assert_eq!(begin.elapsed().as_secs(), 5);
        drop((first, other));
        assert!(serial.turn("pi_1", Instant::now()).await.is_ok());
    }

    /// Covers: U-4.
    #[tokio::test]
    async fn turns_that_are_over_take_no_room() {
        let serial = Serial::default();
        let held = serial.turn("pi_held", in_five_seconds()).await.unwrap();
        for n in 0..10_000 {
            serial.turn(&format!("pi_{n}"), in_five_seconds()).await.unwrap();
        }
        assert!(serial.turns.lock().unwrap().of.len() <= KEPT_MIN);
        assert!(serial.turn("pi_held", Instant::now()).await.is_err(), "what is held is not forgotten");
        drop(held);
    }
}
