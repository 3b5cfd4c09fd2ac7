//! What a seed draws before anything happens: which faults exist at all and how often they strike, how many processes,
//! orders and days there are, and by which channels we hear of Stripe.

use std::fmt;

use strum::{Display, EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};
use time::Duration;

use crate::{
    bugs::Bug,
    dice::Dice,
    fault::{Each, Fault},
};

/// By which channels we hear of what happens at Stripe. Reconciliation hides what is wrong with webhooks, and webhooks
/// hide what is wrong with reconciliation, so each is also tried without the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Channels {
    /// Both; webhooks may be lost.
    Both,
    /// Webhooks, none of which is lost for ever; reconciliation is switched off.
    Webhooks,
    /// Reconciliation; not one webhook comes.
    Reconciliation,
}

impl Channels {
    /// Whether webhooks come.
    pub fn webhooks(self) -> bool {
        self != Self::Reconciliation
    }

    /// Whether reconciliation runs.
    pub fn reconciles(self) -> bool {
        self != Self::Webhooks
    }
}

/// Everything about a run that its seed decides beforehand, and that can be changed to make it smaller.
#[derive(Debug, Clone, PartialEq)]
pub struct Knobs {
    /// What all chance of the run comes from.
    pub seed: u64,
    /// By which channels we hear of Stripe.
    pub channels: Channels,
    /// How many of our processes there are; each answers requests, works, and reconciles in turns with the others.
    pub processes: usize,
    /// How many orders are placed.
    pub orders: u32,
    /// For how long people order, pay and change their minds.
    pub load: Duration,
    /// How long a step takes at most, in milliseconds.
    pub step: u64,
    /// How far the clocks of our processes are from Stripe's at most, in seconds.
    pub skew: u64,
    /// How often reconciliation runs.
    pub reconcile_every: Duration,
    /// Of a thousand occasions on which a class may strike, so many are taken.
    pub rates: Each<u16>,
    /// After so many steps nothing goes wrong any more; for making a failure smaller.
    pub calm_after: Option<u64>,
    /// A bug that was planted to see whether it is found.
    pub bug: Option<Bug>,
}

impl Knobs {
    /// What `seed` draws.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x5eed);
        let channels = [Channels::Both, Channels::Webhooks, Channels::Reconciliation];
        let channels = *dice.pick(&channels);
        let mut rates = Each::default();
        // Few classes at a time find what all at once would hide.
        let share = *dice.pick(&[150, 350, 600, 900]);
        // A class that came later has dice of its own: what older seeds draw stays as it is.
        let mut newer = Dice::new(!seed);
        for fault in Fault::iter() {
            let dice = if fault == Fault::AtOnce { &mut newer } else { &mut dice };
            let drawn = dice.chance(share);
            let rate = u16::try_from(dice.between(1, u64::from(fault.worst()))).unwrap_or(1);
            let rate = if dice.chance(300) { fault.worst() } else { rate };
            let possible = match channels {
                Channels::Both => true,
                Channels::Webhooks => !fault.needs_reconciliation(),
                Channels::Reconciliation => fault != Fault::WebhookLost,
            };
            *rates.of_mut(fault) = if drawn && possible { rate } else { 0 };
        }
        let spans = [Duration::minutes(10), Duration::hours(2), Duration::hours(30), Duration::days(9)];
        let load = *dice.pick(&spans);
        let orders = match dice.below(10) {
            0..6 => dice.between(1, 3),
            6..9 => dice.between(3, 7),
            _ => dice.between(7, 20),
        };
        Self {
            seed,
            channels,
            processes: usize::try_from(dice.between(1, 4)).unwrap_or(1),
            orders: u32::try_from(orders).unwrap_or(1),
            load,
            step: *dice.pick(&[1, 5, 30, 150]),
            skew: *dice.pick(&[0, 0, 2, 20, 120]),
            reconcile_every: Ord::clamp(load / 6, Duration::minutes(5), Duration::hours(12)),
            rates,
            calm_after: None,
            bug: None,
        }
    }

    /// The classes that exist in this run.
    pub fn classes(&self) -> impl Iterator<Item = Fault> + '_ {
        Fault::iter().filter(|fault| self.rates.of(*fault) > 0)
    }
}

/// As words, so that a run that was made smaller can be run again: those that differ from what the seed draws.
impl fmt::Display for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let drawn = Self::draw(self.seed);
        write!(f, "seed={}", self.seed)?;
        if self.channels != drawn.channels {
            write!(f, " channels={}", self.channels)?;
        }
        if self.processes != drawn.processes {
            write!(f, " processes={}", self.processes)?;
        }
        if self.orders != drawn.orders {
            write!(f, " orders={}", self.orders)?;
        }
        if self.skew != drawn.skew {
            write!(f, " skew={}", self.skew)?;
        }
        if let Some(steps) = self.calm_after {
            write!(f, " calm_after={steps}")?;
        }
        if let Some(bug) = self.bug {
            write!(f, " bug={bug}")?;
        }
        let without: Vec<_> = drawn.classes().filter(|fault| self.rates.of(*fault) == 0).collect();
        if !without.is_empty() {
            let names: Vec<&str> = without.into_iter().map(Into::into).collect();
            write!(f, " without={}", names.join(","))?;
        }
        Ok(())
    }
}

/// The words say no knobs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {0:?}")]
pub struct NoKnobs(String);

impl std::str::FromStr for Knobs {
    type Err = NoKnobs;

    fn from_str(line: &str) -> Result<Self, NoKnobs> {
        let words: Vec<_> = line.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let bad = |word: &str| NoKnobs(word.to_owned());
        let seed = words.iter().find(|(name, _)| *name == "seed").ok_or_else(|| bad(line))?.1;
        let mut knobs = Self::draw(seed.parse().map_err(|_| bad(seed))?);
        for (name, value) in words {
            let number = || value.parse::<u64>().map_err(|_| bad(value));
            match name {
                "seed" => {}
                "channels" => knobs.channels = value.parse().map_err(|_| bad(value))?,
                "processes" => knobs.processes = value.parse().map_err(|_| bad(value))?,
                "orders" => knobs.orders = value.parse().map_err(|_| bad(value))?,
                "skew" => knobs.skew = number()?,
                "calm_after" => knobs.calm_after = Some(number()?),
                "bug" => knobs.bug = Some(value.parse().map_err(|_| bad(value))?),
                "without" => {
                    for name in value.split(',') {
                        let fault = Fault::iter().find(|fault| fault.to_string() == name);
                        *knobs.rates.of_mut(fault.ok_or_else(|| bad(name))?) = 0;
                    }
                }
                _ => return Err(bad(name)),
            }
        }
        Ok(knobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_read_back_what_they_print() {
        for seed in 0..50 {
            let mut knobs = Knobs::draw(seed);
            assert_eq!(knobs.to_string(), format!("seed={seed}"));
            assert_eq!(knobs.to_string().parse(), Ok(knobs.clone()));
            (knobs.processes, knobs.orders, knobs.calm_after) = (9, 99, Some(3));
            let first = knobs.classes().next();
            if let Some(fault) = first {
                *knobs.rates.of_mut(fault) = 0;
            }
            assert_eq!(knobs.to_string().parse(), Ok(knobs.clone()), "{knobs}");
        }
        assert!("seed=x".parse::<Knobs>().is_err());
        assert!("orders=1".parse::<Knobs>().is_err());
        assert!("seed=1 orders=many".parse::<Knobs>().is_err());
    }

    #[test]
    fn where_nothing_mends_it_no_webhook_is_lost() {
        for seed in 0..500 {
            let knobs = Knobs::draw(seed);
            if knobs.channels == Channels::Webhooks {
                assert_eq!(knobs.rates.of(Fault::WebhookLost), 0);
            }
        }
    }
}
