//! Time and randomness that a test decides.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use paywright_domain::ports::{Clock, Entropy};
use time::{Duration, OffsetDateTime, macros::datetime};

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(Mutex<OffsetDateTime>);

impl ManualClock {
    /// Where [`ManualClock::default`] stands.
    pub const START: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    /// A clock that stands at `at`.
    pub fn new(at: OffsetDateTime) -> Self {
        Self(Mutex::new(at))
    }

    /// Moves it to `at`, also backwards.
    pub fn set(&self, at: OffsetDateTime) {
        *self.0.lock().unwrap() = at;
    }

    /// Moves it on by `by`.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new(Self::START)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap()
    }
}

/// The wall clock, to the microsecond as a database keeps it. Only for the contract suites: their promises about
/// leases also run on stores that keep their own time.
#[derive(Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> OffsetDateTime {
        let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let micros = i64::try_from(since_epoch.as_micros()).unwrap();
        OffsetDateTime::UNIX_EPOCH + Duration::microseconds(micros)
    }
}

/// The same bytes for the same seed, in the order in which they are asked for (SplitMix64).
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// The sequence that `seed` begins.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number of the sequence.
    pub fn number(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0. Slightly uneven, which no test minds.
    pub fn below(&self, bound: u64) -> u64 {
        self.number() % bound
    }
}

impl Default for SeededEntropy {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.number().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_until_it_is_moved() {
        let clock = ManualClock::default();
        assert_eq!(clock.now(), ManualClock::START);
        clock.advance(Duration::hours(1));
        assert_eq!(clock.now(), ManualClock::START + Duration::hours(1));
        clock.set(ManualClock::START);
        assert_eq!(clock.now(), ManualClock::START);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let bytes = |seed| {
            let entropy = SeededEntropy::new(seed);
            let mut bytes = [[0; 11]; 2];
            bytes.iter_mut().for_each(|part| entropy.fill(part));
            bytes
        };
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
        assert_ne!(bytes(7)[0], bytes(7)[1]);
    }
}
