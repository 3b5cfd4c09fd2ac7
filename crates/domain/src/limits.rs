//! How often somebody may try to pay: who is counted, in which time, and what is said to one more. Whoever tests stolen
//! cards needs many attempts, and most of them are declined; a customer needs few.
//!
//! Pure: a [`Limiter`](crate::ports::Limiter) keeps the counts.

use std::{fmt, net::IpAddr, str::FromStr};

use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use time::{Duration, OffsetDateTime};

use crate::{ApiKeyId, Mode, OrderId};

/// So many in a time: `20/10m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    count: u32,
    window: Duration,
}

/// The text is no quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be \"off\", or a number and a time such as \"20/10m\": 1 to 1000000 in 1s to 24h (s, m, h)")]
pub struct NotAQuota;

impl Quota {
    /// The most that can be counted.
    pub const COUNT_MAX: u32 = 1_000_000;
    /// The longest time over which is counted.
    pub const WINDOW_MAX: Duration = Duration::DAY;

    /// `None` beyond the bounds.
    pub fn new(count: u32, window: Duration) -> Option<Self> {
        let fits = (1..=Self::COUNT_MAX).contains(&count)
            && window >= Duration::SECOND
            && window <= Self::WINDOW_MAX;
        fits.then_some(Self { count, window })
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.count
    }

    /// In which time.
    pub fn window(self) -> Duration {
        self.window
    }

    /// How long it takes until one is free again, in whole microseconds.
    pub fn pace(self) -> Duration {
        let micros = self.window.whole_microseconds() / i128::from(self.count);
        Duration::microseconds(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// A part of it, one at least.
    #[must_use]
    pub fn tightened(self) -> Self {
        Self { count: (self.count / TIGHTENED).max(1), ..self }
    }

    /// How long until one more may come, where each counts for the whole time; `None`: it may come now. `moments` are when
    /// the others came, the newest first.
    pub fn wait(
        self,
        mut moments: impl Iterator<Item = OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Option<Duration> {
        let fills = moments.nth(self.count as usize - 1)?;
        Some(fills + self.window - now).filter(|wait| wait.is_positive())
    }
}

/// How many times fewer attempts are allowed while the [`Breaker`] is open.
pub const TIGHTENED: u32 = 5;

impl FromStr for Quota {
    type Err = NotAQuota;

    fn from_str(text: &str) -> Result<Self, NotAQuota> {
        let (count, window) = text.split_once('/').ok_or(NotAQuota)?;
        let count = count.trim().parse().map_err(|_| NotAQuota)?;
        let window = window.trim();
        let unit = window.chars().last().ok_or(NotAQuota)?;
        let number: u32 = window.trim_end_matches(unit).parse().map_err(|_| NotAQuota)?;
        let number = i64::from(number);
        let window = match unit {
            's' => Duration::seconds(number),
            'm' => Duration::minutes(number),
            'h' => Duration::hours(number),
            _ => return Err(NotAQuota),
        };
        Self::new(count, window).ok_or(NotAQuota)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.window.whole_seconds();
        match seconds {
            _ if seconds % 3_600 == 0 => write!(f, "{}/{}h", self.count, seconds / 3_600),
            _ if seconds % 60 == 0 => write!(f, "{}/{}m", self.count, seconds / 60),
            _ => write!(f, "{}/{seconds}s", self.count),
        }
    }
}

/// How much of a quota is used, as the moment in which all of it is free again. A whole quota can be used at once;
/// afterwards one comes back after the other, at its [pace](Quota::pace). (GCRA, the leaky bucket of ATM.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    /// When all of it is free again.
    pub free_at: OffsetDateTime,
}

impl Meter {
    /// Nothing is used.
    pub fn unused(now: OffsetDateTime) -> Self {
        Self { free_at: now }
    }

    /// How many may come now.
    pub fn room(self, quota: Quota, now: OffsetDateTime) -> u32 {
        let free = quota.pace() * quota.count - self.used(now);
        let room = free.whole_microseconds() / quota.pace().whole_microseconds();
        u32::try_from(room).unwrap_or(0)
    }

    /// After `count` more came, for which there was room.
    #[must_use]
    pub fn after(self, count: u32, quota: Quota, now: OffsetDateTime) -> Self {
        Self { free_at: now + self.used(now) + quota.pace() * count }
    }

    /// How long until there is room for one.
    pub fn wait(self, quota: Quota, now: OffsetDateTime) -> Duration {
        (self.used(now) + quota.pace() - quota.pace() * quota.count).max(Duration::ZERO)
    }

    fn used(self, now: OffsetDateTime) -> Duration {
        (self.free_at - now).max(Duration::ZERO)
    }
}

/// Where somebody calls from, as far as it tells people apart: an address of IPv4, or the /64 of IPv6 that a household has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

/// What is limited.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumIter, EnumString, IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum Rule {
    /// Requests to start a payment from one network.
    PaymentsPerAddress,
    /// Payments of one order.
    PaymentsPerOrder,
    /// Requests to start a payment for one customer.
    PaymentsPerCustomer,
    /// Requests to start a payment under one API key.
    PaymentsPerKey,
    /// Declined attempts on orders that were tried from one network.
    DeclinesPerAddress,
    /// Declined attempts on one order.
    DeclinesPerOrder,
    /// Declined attempts of one customer.
    DeclinesPerCustomer,
    /// Requests with an API key that is none, from one network.
    BadKeysPerAddress,
}

/// All quotas; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Of [`Rule::PaymentsPerAddress`].
    pub payments_per_address: Option<Quota>,
    /// Of [`Rule::PaymentsPerOrder`].
    pub payments_per_order: Option<Quota>,
    /// Of [`Rule::PaymentsPerCustomer`].
    pub payments_per_customer: Option<Quota>,
    /// Of [`Rule::PaymentsPerKey`].
    pub payments_per_key: Option<Quota>,
    /// Of [`Rule::DeclinesPerAddress`].
    pub declines_per_address: Option<Quota>,
    /// Of [`Rule::DeclinesPerOrder`].
    pub declines_per_order: Option<Quota>,
    /// Of [`Rule::DeclinesPerCustomer`].
    pub declines_per_customer: Option<Quota>,
    /// Of [`Rule::BadKeysPerAddress`].
    pub bad_keys_per_address: Option<Quota>,
}

impl Limits {
    /// The quota of a rule.
    pub fn quota(&self, rule: Rule) -> Option<Quota> {
        match rule {
            Rule::PaymentsPerAddress => self.payments_per_address,
            Rule::PaymentsPerOrder => self.payments_per_order,
            Rule::PaymentsPerCustomer => self.payments_per_customer,
            Rule::PaymentsPerKey => self.payments_per_key,
            Rule::DeclinesPerAddress => self.declines_per_address,
            Rule::DeclinesPerOrder => self.declines_per_order,
            Rule::DeclinesPerCustomer => self.declines_per_customer,
            Rule::BadKeysPerAddress => self.bad_keys_per_address,
        }
    }

    /// With less for each shopper. An API key is a shop's, with all its shoppers behind it: its quota stays.
    #[must_use]
    pub fn tightened(self) -> Self {
        let less = |quota: Option<Quota>| quota.map(Quota::tightened);
        Self {
            payments_per_address: less(self.payments_per_address),
            payments_per_order: less(self.payments_per_order),
            payments_per_customer: less(self.payments_per_customer),
            payments_per_key: self.payments_per_key,
            declines_per_address: less(self.declines_per_address),
            declines_per_order: less(self.declines_per_order),
            declines_per_customer: less(self.declines_per_customer),
            bad_keys_per_address: self.bad_keys_per_address,
        }
    }
}

/// Somebody wants to pay. The customer is the order's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Test or live: each is counted by itself.
    pub mode: Mode,
    /// What is to be paid.
    pub order: OrderId,
    /// From where the shopper calls, if that is known.
    pub network: Option<Network>,
    /// The API key of whoever asks in the shopper's place.
    pub key: Option<ApiKeyId>,
}

/// What is said to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Go on.
    Admitted,
    /// Not now.
    Refused {
        /// Of all rules that say so, the one that says so for longest.
        rule: Rule,
        /// After so long none of them does, unless more comes in between.
        wait: Duration,
    },
}

impl Admission {
    /// Both of them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refused { wait, .. }, Self::Refused { wait: longer, .. }) if longer > wait => other,
            (Self::Refused { .. }, _) => self,
            (Self::Admitted, other) => other,
        }
    }
}

/// When so many attempts of the whole shop are declined that somebody must be testing cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// So many declines in so long,
    pub declines: Quota,
    /// and of all attempts at least so many of a hundred.
    pub percent: u32,
}

/// What became of the attempts of the last while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lately {
    /// Attempts that were declined.
    pub declined: u32,
    /// Payments that brought money, or a promise of it.
    pub paid: u32,
    /// After so long there are [few](Breaker::few) of those declines left, unless more come.
    pub few_in: Duration,
}

impl Breaker {
    /// So few declines close it.
    pub fn few(self) -> u32 {
        self.declines.count / 2
    }

    /// Whether it is open after a look. It opens at the number and closes at half of it, so that it does not flutter.
    pub fn is_open(self, was_open: bool, lately: Lately) -> bool {
        let attempts = u64::from(lately.declined) + u64::from(lately.paid);
        let many = u64::from(lately.declined) * 100 >= u64::from(self.percent) * attempts;
        let enough =
            if was_open { lately.declined > self.few() } else { lately.declined >= self.declines.count };
        enough && many
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
