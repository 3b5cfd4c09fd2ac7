//! What will happen by itself, and when.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::time::Time;

/// Something that becomes due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Due {
    /// An open Checkout Session ends.
    SessionExpires(String),
    /// An authorization that was not captured ends.
    HoldExpires(String),
    /// A charge gets its balance transaction.
    ChargeIsBooked(String),
    /// A draft invoice is finalized and collected.
    InvoiceFinalizes(String),
    /// An invoice that could not be collected is tried again.
    InvoiceRetries(String),
    /// A subscription's period ends.
    SubscriptionRenews(String),
    /// A subscription without its first payment ends.
    SubscriptionExpires(String),
    /// Three days before a trial ends.
    TrialWillEnd(String),
    /// A payout is handed to the bank.
    PayoutLeaves(String),
    /// A payout reaches the bank.
    PayoutArrives(String),
    /// What has become available is paid out.
    DailyPayout,
    /// Pending money becomes available.
    FundsAvailable(String),
    /// A delayed payment ends well or not.
    PaymentSettles(String),
    /// A pending refund succeeds.
    RefundSettles(String),
    /// A refund that had succeeded fails.
    RefundFails(String),
    /// The bank decides on a dispute.
    DisputeSettles(String),
    /// The deadline for evidence passes.
    DisputeDeadline(String),
    /// A request that was answered with a 500 is carried out after all.
    RequestRepaired(String),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Timer {
    at: Time,
    number: u64,
    due: Due,
}

/// Pending timers, soonest first; those of the same moment in the order they were set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Timers {
    queue: BTreeSet<Timer>,
    count: u64,
}

impl Timers {
    pub fn set(&mut self, at: Time, due: Due) {
        self.count += 1;
        self.queue.insert(Timer { at, number: self.count, due });
    }

    pub fn next_at(&self) -> Option<Time> {
        self.queue.first().map(|timer| timer.at)
    }

    /// Takes the first timer that is due.
    pub fn pop(&mut self, now: Time) -> Option<(Time, Due)> {
        self.next_at().filter(|at| *at <= now)?;
        self.queue.pop_first().map(|timer| (timer.at, timer.due))
    }
}
