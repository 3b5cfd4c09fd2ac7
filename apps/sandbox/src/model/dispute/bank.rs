//! The bank's part: opening a dispute, taking the money, deciding, and deciding again.

use serde_json::{Map, Value, json};

use super::{Dispute, DisputeStatus};
use crate::model::balance_transaction::{self, DISPUTE_FEE, Entry, Fee};
use crate::model::cards::Aftermath;
use crate::model::context::Context;
use crate::model::metadata::Metadata;
use crate::model::time::{DAY, Time};
use crate::model::timers::Due;

/// The deadline for evidence; typically seven to twenty-one days.
const EVIDENCE_SECONDS: i64 = 9 * DAY;

/// How a dispute begins.
#[derive(Clone, Debug)]
pub struct Opening {
    /// All that was captured, unless it says less or more.
    pub amount: Option<i64>,
    pub reason: String,
    pub status: DisputeStatus,
    /// How long evidence is taken; 0 when no answer is allowed.
    pub answer_seconds: i64,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            amount: None,
            reason: "fraudulent".to_owned(),
            status: DisputeStatus::NeedsResponse,
            answer_seconds: EVIDENCE_SECONDS,
        }
    }
}

/// What the test card asks for happens once its money is captured.
pub fn after_capture(context: &mut Context<'_>, charge: &str) {
    let method = context.world.charges.get(charge).map(|charge| charge.payment_method.clone());
    let card = method.and_then(|id| context.world.payment_methods.get(&id)).map(|method| method.card());
    match card.map(|card| card.aftermath) {
        Some(Aftermath::Dispute(reason)) => {
            open(context, charge, Opening { reason: reason.to_owned(), ..Opening::default() });
        }
        Some(Aftermath::Inquiry) => {
            let status = DisputeStatus::WarningNeedsResponse;
            open(context, charge, Opening { status, ..Opening::default() });
        }
        Some(Aftermath::SeveralDisputes) => {
            open(context, charge, Opening::default());
            let (reason, status) = ("product_not_received".to_owned(), DisputeStatus::WarningNeedsResponse);
            open(context, charge, Opening { reason, status, ..Opening::default() });
        }
        Some(Aftermath::FraudWarning) => warn(context, charge),
        _ => {}
    }
}

/// The issuer suspects fraud: `radar.early_fraud_warning.created`. No money moves.
/// Source: <https://docs.stripe.com/api/radar/early_fraud_warnings>.
fn warn(context: &mut Context<'_>, charge: &str) {
    let id = context.random.id("issfr");
    let warning = json!({
        "id": id,
        "object": "radar.early_fraud_warning",
        "actionable": true,
        "charge": charge,
        "created": context.now.seconds(),
        "fraud_type": "misc",
        "livemode": context.world.livemode,
        "payment_intent": context.world.charges.get(charge).map(|charge| charge.payment_intent.as_str()),
    });
    context.emit("radar.early_fraud_warning.created", &warning);
}

/// Opens a dispute over a captured charge and answers its id.
pub fn open(context: &mut Context<'_>, charge: &str, opening: Opening) -> String {
    let id = context.random.id("du");
    let due_by = context.now.plus_seconds(opening.answer_seconds);
    let disputed = context.world.charges.get_mut(charge).expect("the caller found the charge");
    disputed.disputed = true;
    disputed.disputes.push(id.clone());
    let dispute = Dispute {
        id: id.clone(),
        created: context.now.seconds(),
        amount: opening.amount.unwrap_or(disputed.amount_captured),
        currency: disputed.currency.clone(),
        charge: charge.to_owned(),
        payment_intent: disputed.payment_intent.clone(),
        brand: disputed.card["brand"].as_str().unwrap_or("visa").to_owned(),
        reason: opening.reason,
        status: opening.status,
        evidence: Map::new(),
        due_by: if opening.answer_seconds == 0 { 0 } else { due_by.seconds() },
        submissions: 0,
        balance_transactions: Vec::new(),
        metadata: Metadata::default(),
    };
    let closed = dispute.is_closed();
    context.world.disputes.insert(dispute);
    if opening.answer_seconds > 0 {
        context.world.timers.set(due_by, Due::DisputeDeadline(id.clone()));
    }
    let body = context.world.dispute(&id);
    context.emit("charge.dispute.created", &body);
    if opening.status == DisputeStatus::NeedsResponse {
        withdraw(context, &id);
    }
    if closed {
        let body = context.world.dispute(&id);
        context.emit("charge.dispute.closed", &body);
    }
    id
}

/// The bank takes the money: `charge.dispute.funds_withdrawn`. The fee is due once.
fn withdraw(context: &mut Context<'_>, id: &str) {
    let dispute = context.world.disputes.get(id).expect("the caller holds it");
    let fee = if dispute.balance_transactions.is_empty() { Fee::Fixed(DISPUTE_FEE) } else { Fee::None };
    book(context, id, -dispute.amount, fee, "dispute");
    let body = context.world.dispute(id);
    context.emit("charge.dispute.funds_withdrawn", &body);
}

/// The money comes back, the fee does not: `charge.dispute.funds_reinstated`.
fn reinstate(context: &mut Context<'_>, id: &str) {
    let amount = context.world.disputes.get(id).expect("the caller holds it").amount;
    book(context, id, amount, Fee::None, "dispute_reversal");
    let body = context.world.dispute(id);
    context.emit("charge.dispute.funds_reinstated", &body);
}

fn book(context: &mut Context<'_>, id: &str, amount: i64, fee: Fee, category: &'static str) {
    let dispute = context.world.disputes.get(id).expect("the caller holds it");
    let entry = Entry {
        amount,
        currency: dispute.currency.clone(),
        fee,
        kind: "adjustment",
        reporting_category: category,
        source: id.to_owned(),
        description: Some(format!("Chargeback for {}", dispute.charge)),
        available_at_once: true,
    };
    let booked = balance_transaction::book(context, entry);
    context.world.disputes.get_mut(id).expect("it was just read").balance_transactions.push(booked);
}

/// The bank decides by the evidence's `uncategorized_text`.
/// Source: <https://docs.stripe.com/testing#disputes>.
pub fn settle(context: &mut Context<'_>, id: &str) {
    let Some(dispute) = context.world.disputes.get(id).filter(|dispute| dispute.is_under_review()) else {
        return;
    };
    let text =
        dispute.evidence.get("uncategorized_text").and_then(Value::as_str).unwrap_or_default().to_owned();
    match (text.as_str(), dispute.is_inquiry()) {
        ("escalate_inquiry_evidence", true) => escalate(context, id),
        ("winning_evidence", true) | ("losing_evidence", true) => {
            decide(context, id, DisputeStatus::WarningClosed)
        }
        ("winning_evidence", false) => decide(context, id, DisputeStatus::Won),
        ("losing_evidence", false) => decide(context, id, DisputeStatus::Lost),
        _ => {}
    }
}

/// An inquiry becomes a chargeback.
pub fn escalate(context: &mut Context<'_>, id: &str) {
    let before = context.world.dispute(id);
    let dispute = context.world.disputes.get_mut(id).expect("the caller holds it");
    dispute.status = DisputeStatus::NeedsResponse;
    dispute.submissions = 0;
    dispute.due_by = context.now.plus_seconds(EVIDENCE_SECONDS).seconds();
    let due_by = Time::from_seconds(dispute.due_by);
    context.world.timers.set(due_by, Due::DisputeDeadline(id.to_owned()));
    let after = context.world.dispute(id);
    context.emit_updated("charge.dispute.updated", &before, &after);
    withdraw(context, id);
}

/// The deadline passes: without an answer the dispute is lost, an inquiry just ends.
pub fn miss_deadline(context: &mut Context<'_>, id: &str) {
    let Some(dispute) = context.world.disputes.get(id) else { return };
    if context.now.seconds() < dispute.due_by {
        return;
    }
    match dispute.status {
        DisputeStatus::NeedsResponse => decide(context, id, DisputeStatus::Lost),
        DisputeStatus::WarningNeedsResponse => decide(context, id, DisputeStatus::WarningClosed),
        DisputeStatus::WarningUnderReview
        | DisputeStatus::WarningClosed
        | DisputeStatus::UnderReview
        | DisputeStatus::Won
        | DisputeStatus::Lost
        | DisputeStatus::Prevented => {}
    }
}

/// Ends a dispute, or turns an earlier decision round; the money follows.
pub fn decide(context: &mut Context<'_>, id: &str, status: DisputeStatus) {
    let before = context.world.dispute(id);
    let dispute = context.world.disputes.get_mut(id).expect("the caller holds it");
    let again = dispute.is_closed();
    // A withdrawal and its reversal alternate.
    let withheld = dispute.balance_transactions.len() % 2 == 1;
    dispute.status = status;
    let charge = dispute.charge.clone();
    if again {
        let after = context.world.dispute(id);
        context.emit_updated("charge.dispute.updated", &before, &after);
    }
    match (status == DisputeStatus::Lost, withheld) {
        (true, false) => withdraw(context, id),
        (false, true) => reinstate(context, id),
        (true, true) | (false, false) => {}
    }
    if !again {
        let body = context.world.dispute(id);
        context.emit("charge.dispute.closed", &body);
    }
    if status == DisputeStatus::Lost {
        let charge = context.world.charge(&charge);
        context.emit_updated("charge.updated", &charge, &charge);
    }
}
