//! Refunds, disputes, differences, and what moves the gateway's balance.

use paywright_domain::{
    BalanceTransaction, Break, BreakKind, Dispute, DisputeEvent, DisputeSighting, DisputeStatus, GatewayCall,
    GatewayDisputeId, GatewayRefundId, Money, Operation, Order, Origin, Payment, Refund, RefundDraft,
    RefundEvent, RefundReason, RefundSighting, RefundStanding, Subject, TransactionId, Transition,
    ports::{DisputeSnapshot, RefundSnapshot},
};
use time::Duration;

use super::{call, new_id, number};
use crate::ManualClock;

/// A refund's name at the gateway that nobody has yet.
pub fn gateway_refund_id() -> GatewayRefundId {
    format!("re_{}", number()).try_into().unwrap()
}

/// A dispute's name at the gateway that nobody has yet.
pub fn gateway_dispute_id() -> GatewayDisputeId {
    format!("du_{}", number()).try_into().unwrap()
}

/// The name of a movement of the gateway's balance that nobody has yet.
pub fn transaction_id() -> TransactionId {
    format!("txn_{}", number()).try_into().unwrap()
}

/// A movement of the gateway's balance by so many US cents before a fee, at the manual clock's start.
pub fn transaction(amount: i64, fee: i64) -> BalanceTransaction {
    let (id, currency) = (transaction_id(), super::usd(0).currency());
    BalanceTransaction { id, amount, fee, currency, at: ManualClock::START }
}

/// A refund of so much that the customer asked for.
pub fn refund_draft(amount: Money) -> RefundDraft {
    let (reason, at) = (RefundReason::RequestedByCustomer, ManualClock::START);
    RefundDraft { id: new_id(at), amount, reason, note: None, created_at: at }
}

/// The birth of a refund of a part of `payment`, for [`Changes`](paywright_domain::Changes). The payment follows by
/// [`Payment::follow_refund`].
pub fn refund(payment: &Payment, amount: Money) -> Transition<Refund, RefundEvent> {
    Refund::request(payment, refund_draft(amount))
}

/// The birth of a refund that somebody made at the gateway.
pub fn adopted_refund(payment: &Payment, amount: Money) -> Transition<Refund, RefundEvent> {
    Refund::adopt(payment, refund_draft(amount), gateway_refund_id())
}

/// A look at a refund of this name.
pub fn refund_seen(id: &GatewayRefundId, standing: RefundStanding) -> RefundSighting {
    RefundSighting { id: id.clone(), standing, failure: None, settlement: None, reversal: None }
}

/// What the gateway shows of `refund`, which stands like this and moved nothing yet.
pub fn refund_snapshot(payment: &Payment, refund: &Refund, standing: RefundStanding) -> RefundSnapshot {
    let id = refund.gateway.clone().unwrap_or_else(gateway_refund_id);
    RefundSnapshot {
        refund: Some(refund.id),
        payment: Some(payment.id),
        intent: payment.intent.clone(),
        mode: Some(payment.mode),
        amount: Some(refund.amount),
        reason: refund.reason.of_gateway().map(str::to_owned),
        sighting: refund_seen(&id, standing),
        created_at: refund.created_at,
        origin: Origin::default(),
    }
}

/// A recorded call that asks for `refund`, of a payment whose name at the gateway is known.
pub fn refund_call(order: &Order, payment: &Payment, refund: &Refund) -> GatewayCall {
    GatewayCall {
        subject: Subject::Refund(refund.id),
        operation: Operation::create_refund(payment, refund, None).unwrap(),
        ..call(order, payment)
    }
}

/// A look at a dispute over so much at the manual clock's start, to be answered within a week. An inquiry leaves the
/// payment refundable.
pub fn dispute_seen(amount: Money, status: DisputeStatus) -> DisputeSighting {
    let refundable = !status.withholds();
    DisputeSighting {
        status,
        amount,
        reason: "fraudulent".to_owned(),
        due_by: Some(ManualClock::START + Duration::WEEK),
        refundable,
        submitted: false,
        at: ManualClock::START,
    }
}

/// The birth of a dispute over all of `payment`, for [`Changes`](paywright_domain::Changes). The payment follows by
/// [`Payment::follow_dispute`].
pub fn dispute(payment: &Payment, status: DisputeStatus) -> Transition<Dispute, DisputeEvent> {
    let (id, seen) = (new_id(ManualClock::START), dispute_seen(payment.amount, status));
    Dispute::open(id, payment, gateway_dispute_id(), seen, ManualClock::START)
}

/// What the gateway shows of a dispute over all of `payment` that moved nothing yet.
pub fn dispute_snapshot(payment: &Payment, id: &GatewayDisputeId, status: DisputeStatus) -> DisputeSnapshot {
    DisputeSnapshot {
        id: id.clone(),
        intent: payment.intent.clone(),
        mode: payment.mode,
        sighting: dispute_seen(payment.amount, status),
        movements: Vec::new(),
        created_at: ManualClock::START,
        origin: Origin::default(),
    }
}

/// A difference on `payment`.
pub fn found(kind: BreakKind, payment: &Payment) -> Break {
    Break {
        kind,
        mode: payment.mode,
        order: Some(payment.order),
        payment: Some(payment.id),
        object: None,
        detail: "ours is one thing, the gateway's another".to_owned(),
        at_risk: None,
    }
}
