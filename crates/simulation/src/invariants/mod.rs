//! What must hold: after every step, and when everything has come to rest. Each is a small function, named by its
//! number in the project's list of invariants.

mod commits;
mod rest;
mod sent;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};

use paywright_domain::{Money, OperationId, Order, OrderId, Payment, PaymentId, Refund, RefundId};

pub(crate) use commits::Before;
pub(crate) use rest::{at_rest, given_up_in_time, soon};

use crate::world::World;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id}: {words}")]
pub struct Violation {
    /// Which: `I3` for example; `rest` when a run does not come to rest, `steps` when it goes on and on.
    pub id: &'static str,
    /// Both sides, for people.
    pub words: String,
}

/// What `id` demands is not so.
pub(crate) fn broken<T>(id: &'static str, words: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { id, words: words.into() })
}

/// A key as it was first sent.
struct Used {
    micros: i64,
    request: String,
}

/// What is remembered about a run, to be compared with what comes later.
#[derive(Default)]
pub(crate) struct Watch {
    violation: Option<Violation>,
    /// Deliveries under way.
    sent: BTreeSet<u64>,
    /// Events that were answered with 200.
    acknowledged: BTreeSet<String>,
    /// What clients were told under their operations.
    ordered: BTreeMap<OperationId, (OrderId, Money)>,
    refunded: BTreeMap<OperationId, (RefundId, Money)>,
    /// The pages on which each order could be paid.
    tabs: BTreeMap<OrderId, Vec<Payment>>,
    keys: BTreeMap<String, Used>,
    /// What was committed.
    causes: BTreeSet<String>,
    /// The most that was seen captured.
    captured: BTreeMap<PaymentId, u64>,
}

impl Watch {
    /// The first violation counts.
    pub(crate) fn judge(&mut self, outcome: Result<(), Violation>) {
        if let (Err(violation), None) = (outcome, &self.violation) {
            self.violation = Some(violation);
        }
    }

    pub(crate) fn take_violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }

    pub(crate) fn sends(&mut self, delivery: u64) {
        self.sent.insert(delivery);
    }

    pub(crate) fn arrived(&mut self, delivery: u64) {
        self.sent.remove(&delivery);
    }

    pub(crate) fn under_way(&self) -> usize {
        self.sent.len()
    }

    pub(crate) fn acknowledged(&mut self, event: &str) {
        self.acknowledged.insert(event.to_owned());
    }

    pub(crate) fn tabs_of(&mut self, order: OrderId, tabs: Vec<Payment>) {
        self.tabs.insert(order, tabs);
    }

    /// I17: the same operation is told the same.
    pub(crate) fn ordered(&mut self, world: &World, operation: OperationId, order: &Order) {
        let told = (order.id, order.total);
        let first = *self.ordered.entry(operation).or_insert(told);
        world.note("ordered", || format!("{} {}", order.id, order.total));
        if first != told {
            self.judge(broken("I17", format!("{operation} was told {first:?}, and now {told:?}")));
        }
    }

    /// I17: the same operation is told the same.
    pub(crate) fn refunded(&mut self, _: &World, operation: OperationId, refund: &Refund) {
        let told = (refund.id, refund.amount);
        let first = *self.refunded.entry(operation).or_insert(told);
        if first != told {
            self.judge(broken("I17", format!("{operation} was told {first:?}, and now {told:?}")));
        }
    }
}
