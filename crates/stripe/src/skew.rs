//! How far our clock and Stripe's are apart.
//!
//! Every answer says when it was given, in whole seconds. It was given between our sending and our receiving, so that
//! only what lies outside of both is a difference of the clocks: a slow answer is none.

use std::sync::{Mutex, PoisonError};

use time::{Duration, OffsetDateTime};

/// How long the second is that a date names.
const ITS_SECOND: Duration = Duration::SECOND;

/// The difference between our clock and Stripe's, as the last answer showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSkew {
    /// By how much our clock is ahead at least; below zero, it is behind.
    pub ahead: Duration,
    /// When it was seen, by our clock.
    pub seen_at: OffsetDateTime,
}

/// The last difference that was seen.
#[derive(Debug, Default)]
pub(crate) struct Skew {
    last: Mutex<Option<ClockSkew>>,
}

impl Skew {
    pub(crate) fn last(&self) -> Option<ClockSkew> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns from an answer that was given at `date` by Stripe's clock, and between the two moments by ours.
    pub(crate) fn learn(&self, sent_at: OffsetDateTime, date: OffsetDateTime, received_at: OffsetDateTime) {
        let ahead = Duration::ZERO.max(sent_at - (date + ITS_SECOND));
        let behind = Duration::ZERO.max(date - received_at);
        let seen = ClockSkew { ahead: ahead - behind, seen_at: received_at };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    /// Covers: fault 39, fault 77.
    #[test]
    fn only_what_no_delay_explains_is_a_difference_of_the_clocks() {
        let at = datetime!(2026-11-21 12:00:00 UTC);
        let seconds = Duration::seconds;
        let half = Duration::milliseconds(500);
        for (sent, date, received, ahead) in [
            (at, at, at, Duration::ZERO),
            (at + half, at, at + half, Duration::ZERO),
            (at, at + seconds(3), at + seconds(9), Duration::ZERO),
            (at, at + seconds(9), at + seconds(9), Duration::ZERO),
            (at, at + seconds(600), at + seconds(1), seconds(-599)),
            (at, at - seconds(601), at + seconds(9), seconds(600)),
        ] {
            let skew = Skew::default();
            assert_eq!(skew.last(), None);
            skew.learn(sent, date, received);
            assert_eq!(skew.last(), Some(ClockSkew { ahead, seen_at: received }), "{date}");
        }
    }
}
