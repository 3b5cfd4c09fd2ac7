//! What an order says of its payment, and what its payment says: after each commit they fit, or nobody would do what is
//! left to do.

use paywright_domain::{CancelReason, Operation, Order, OrderState, Payment, PaymentState, ports::Store};
use paywright_testkit::MemoryStore;

use super::{Violation, broken};
use crate::ports::peek;

/// Looks at an order beside its payments.
pub(super) fn fit(rows: &MemoryStore, order: &Order) -> Result<(), Violation> {
    let payments = peek(Store::payments(rows, order.id)).and_then(Result::ok).unwrap_or_default();
    let holder = payments.iter().find(|payment| order.paid_by == Some(payment.id));
    i6_held_money_is_held_by_a_payment(order, holder)?;
    i13_a_wished_capture_is_under_way(order, holder)?;
    i13_a_wished_end_is_under_way(order, &payments)
}

/// I6: an order whose money is held has a payment that holds it.
fn i6_held_money_is_held_by_a_payment(order: &Order, holder: Option<&Payment>) -> Result<(), Violation> {
    let held = holder.is_some_and(|payment| payment.state == PaymentState::Authorized);
    if order.state != OrderState::Authorized || held {
        return Ok(());
    }
    let holder = holder.map(|payment| (payment.id, payment.state));
    broken("I6", format!("{} is {}, and its payment is {holder:?}", order.id, order.state))
}

/// I13: an order that is to be fulfilled as soon as its money is taken has a payment whose money is being taken.
fn i13_a_wished_capture_is_under_way(order: &Order, holder: Option<&Payment>) -> Result<(), Violation> {
    let taken = holder.is_some_and(|payment| payment.capture_requested);
    if order.state != OrderState::Authorized || !order.fulfillment_requested || taken {
        return Ok(());
    }
    broken("I13", format!("{} is to be fulfilled, and nobody takes its money", order.id))
}

/// I13: an order that is to be cancelled has a live payment that is being ended, or whose name at Stripe is not known yet.
fn i13_a_wished_end_is_under_way(order: &Order, payments: &[Payment]) -> Result<(), Violation> {
    let unpaid =
        matches!(order.state, OrderState::Pending | OrderState::PaymentProcessing | OrderState::Authorized);
    let nameless = |payment: &Payment| Operation::end(payment, CancelReason::Duplicate).is_none();
    let ends = |payment: &Payment| payment.state.is_live() && (payment.end_requested || nameless(payment));
    if !unpaid || order.cancellation.is_none() || payments.iter().any(ends) {
        return Ok(());
    }
    let payments: Vec<_> = payments.iter().map(|payment| (payment.id, payment.state)).collect();
    broken("I13", format!("{} is to be cancelled, and nobody ends its payment: {payments:?}", order.id))
}
