//! The sandbox's clock: a time passed in, moved by an offset or frozen.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// Seconds since 1970, as Stripe's objects have them.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    pub fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// As a `Date` header has it; `None` for a time that it cannot say.
    /// Source: <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7>.
    pub fn http_date(self) -> Option<String> {
        let format = format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        OffsetDateTime::from_unix_timestamp(self.seconds()).ok()?.format(format).ok()
    }
}

pub const MINUTE: i64 = 60;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// How the sandbox's time follows from real time. It never goes backwards.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Clock {
    offset: i64,
    frozen_at: Option<Time>,
    latest: Time,
}

impl Clock {
    /// The sandbox's time at the real time `wall`.
    pub fn at(&self, wall: Time) -> Time {
        self.frozen_at.unwrap_or(wall.plus_millis(self.offset)).max(self.latest)
    }

    /// Remembers the newest time seen, so that a real clock set back does no harm.
    pub fn observe(&mut self, wall: Time) -> Time {
        self.latest = self.at(wall);
        self.latest
    }

    pub fn advance(&mut self, millis: i64) {
        self.offset = self.offset.saturating_add(millis);
        self.frozen_at = self.frozen_at.map(|time| time.plus_millis(millis));
    }

    pub fn freeze(&mut self, wall: Time) {
        self.frozen_at = Some(self.at(wall));
    }

    /// Lets time run on from where it stands.
    pub fn unfreeze(&mut self, wall: Time) {
        if let Some(time) = self.frozen_at.take() {
            self.offset = time.0.saturating_sub(wall.0);
        }
    }

    /// Whether it was moved or stopped.
    pub fn is_apart(&self) -> bool {
        self.offset != 0 || self.frozen_at.is_some()
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen_at.is_some()
    }

    pub fn offset_millis(&self, wall: Time) -> i64 {
        self.at(wall).0 - wall.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_clock_moves_only_when_advanced() {
        let mut clock = Clock::default();
        assert_eq!(clock.observe(Time(1_000)), Time(1_000));
        clock.freeze(Time(1_500));
        assert_eq!(clock.at(Time(9_000)), Time(1_500));
        clock.advance(1_000);
        assert_eq!(clock.at(Time(9_000)), Time(2_500));
        clock.unfreeze(Time(9_000));
        assert_eq!(clock.at(Time(9_100)), Time(2_600));
    }

    #[test]
    fn a_date_is_written_as_http_writes_it() {
        let date = Time::from_seconds(1_795_262_400).http_date();
        assert_eq!(date.as_deref(), Some("Sat, 21 Nov 2026 12:00:00 GMT"));
        assert_eq!(Time(i64::MAX).http_date(), None);
    }

    #[test]
    fn time_never_goes_back() {
        let mut clock = Clock::default();
        clock.observe(Time(5_000));
        assert_eq!(clock.at(Time(1_000)), Time(5_000));
    }
}
