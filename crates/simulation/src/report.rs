//! What many runs come to.

use std::fmt::{self, Write as _};

use strum::IntoEnumIterator;

use crate::{
    fault::{Each, Fault},
    invariants::Violation,
    run::Outcome,
    swarm::{Channels, Knobs},
};

/// Sums over runs.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How many runs.
    pub runs: u64,
    /// Of those, by which channels we heard of Stripe: both, webhooks, reconciliation.
    pub by_channels: [u64; 3],
    /// How often each class of faults struck.
    pub faults: Each<u64>,
    /// Polled futures.
    pub steps: u64,
    /// Placed orders.
    pub orders: u64,
    /// The runs in which an invariant did not hold, in the order of their seeds.
    pub failures: Vec<(Knobs, Violation)>,
}

impl Report {
    /// Adds a run.
    pub fn add(&mut self, knobs: &Knobs, outcome: &Outcome) {
        self.runs += 1;
        let place = match knobs.channels {
            Channels::Both => 0,
            Channels::Webhooks => 1,
            Channels::Reconciliation => 2,
        };
        self.by_channels[place] += 1;
        for fault in Fault::iter() {
            *self.faults.of_mut(fault) += outcome.faults.of(fault);
        }
        self.steps += outcome.steps;
        self.orders += outcome.orders;
        if let Some(violation) = &outcome.violation {
            self.failures.push((knobs.clone(), violation.clone()));
        }
    }

    /// Adds what somebody else counted.
    pub fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        for (sum, more) in self.by_channels.iter_mut().zip(other.by_channels) {
            *sum += more;
        }
        for fault in Fault::iter() {
            *self.faults.of_mut(fault) += other.faults.of(fault);
        }
        self.steps += other.steps;
        self.orders += other.orders;
        self.failures.extend(other.failures);
        self.failures.sort_by_key(|(knobs, _)| knobs.seed);
    }

    /// All faults together.
    pub fn faults(&self) -> u64 {
        Fault::iter().map(|fault| self.faults.of(fault)).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [both, webhooks, reconciliation] = self.by_channels;
        writeln!(
            f,
            "{} runs: {both} with both channels, {webhooks} with webhooks only, {reconciliation} with reconciliation only",
            self.runs
        )?;
        writeln!(f, "{} orders, {} steps, {} faults:", self.orders, self.steps, self.faults())?;
        let mut classes: Vec<_> = Fault::iter().map(|fault| (self.faults.of(fault), fault)).collect();
        classes.sort_by(|a, b| b.cmp(a));
        for line in classes.chunks(4) {
            let mut words = String::new();
            for (count, fault) in line {
                write!(words, "{:>20} {count:<10}", fault.to_string())?;
            }
            writeln!(f, "{}", words.trim_end())?;
        }
        if self.failures.is_empty() {
            // After n runs without a failure, the true rate is below 3/n in 95 of 100 cases.
            return write!(
                f,
                "no violation; the true rate of violating runs is most likely below 3 in {}",
                self.runs
            );
        }
        write!(f, "{} violating runs", self.failures.len())?;
        for (knobs, violation) in self.failures.iter().take(20) {
            write!(f, "\n  {knobs}\n    {violation}")?;
        }
        Ok(())
    }
}
