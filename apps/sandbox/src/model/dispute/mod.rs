//! Disputes: the cardholder contests a payment through the bank.
//!
//! Source: <https://docs.stripe.com/api/disputes>, <https://docs.stripe.com/disputes>.

mod render;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::model::balance_transaction::{self, DISPUTE_FEE, Entry};
use crate::model::cards::Aftermath;
use crate::model::context::Context;
use crate::model::error::{ApiError, ApiResult};
use crate::model::list::{self, Page};
use crate::model::metadata::Metadata;
use crate::model::params::Params;
use crate::model::table::Row;
use crate::model::time::{DAY, Time};
use crate::model::timers::Due;
use render::EVIDENCE;

/// How long the bank takes in test mode. Stripe says seconds.
const DECISION_SECONDS: i64 = 5;
/// The deadline for evidence; typically seven to twenty-one days.
const EVIDENCE_SECONDS: i64 = 9 * DAY;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeStatus {
    WarningNeedsResponse,
    WarningUnderReview,
    WarningClosed,
    NeedsResponse,
    UnderReview,
    Won,
    Lost,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dispute {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub currency: String,
    pub charge: String,
    pub payment_intent: String,
    pub brand: String,
    pub reason: String,
    pub status: DisputeStatus,
    pub evidence: Map<String, Value>,
    pub due_by: i64,
    pub submissions: i64,
    pub balance_transactions: Vec<String>,
    pub metadata: Metadata,
}

impl Row for Dispute {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Dispute {
    fn is_inquiry(&self) -> bool {
        matches!(
            self.status,
            DisputeStatus::WarningNeedsResponse
                | DisputeStatus::WarningUnderReview
                | DisputeStatus::WarningClosed
        )
    }

    fn is_closed(&self) -> bool {
        matches!(self.status, DisputeStatus::Won | DisputeStatus::Lost | DisputeStatus::WarningClosed)
    }

    /// An inquiry moved no money, and a won dispute gave it back.
    pub fn is_charge_refundable(&self) -> bool {
        self.is_inquiry() || self.status == DisputeStatus::Won
    }
}

/// What the test card asks for happens once its money is captured.
pub fn after_capture(context: &mut Context<'_>, charge: &str) {
    let method = context.world.charges.get(charge).map(|charge| charge.payment_method.clone());
    let card = method.and_then(|id| context.world.payment_methods.get(&id)).map(|method| method.card());
    match card.map(|card| card.aftermath) {
        Some(Aftermath::Dispute(reason)) => open(context, charge, reason, DisputeStatus::NeedsResponse),
        Some(Aftermath::Inquiry) => open(context, charge, "fraudulent", DisputeStatus::WarningNeedsResponse),
        Some(Aftermath::SeveralDisputes) => {
            open(context, charge, "fraudulent", DisputeStatus::NeedsResponse);
            open(context, charge, "product_not_received", DisputeStatus::WarningNeedsResponse);
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

/// Opens a dispute over all that was captured.
pub fn open(context: &mut Context<'_>, charge: &str, reason: &str, status: DisputeStatus) {
    let id = context.random.id("du");
    let Some(disputed) = context.world.charges.get_mut(charge) else { return };
    disputed.disputed = true;
    disputed.disputes.push(id.clone());
    let due_by = context.now.plus_seconds(EVIDENCE_SECONDS);
    let dispute = Dispute {
        id: id.clone(),
        created: context.now.seconds(),
        amount: disputed.amount_captured,
        currency: disputed.currency.clone(),
        charge: charge.to_owned(),
        payment_intent: disputed.payment_intent.clone(),
        brand: disputed.card["brand"].as_str().unwrap_or("visa").to_owned(),
        reason: reason.to_owned(),
        status,
        evidence: Map::new(),
        due_by: due_by.seconds(),
        submissions: 0,
        balance_transactions: Vec::new(),
        metadata: Metadata::default(),
    };
    context.world.disputes.insert(dispute);
    context.world.timers.set(due_by, Due::DisputeDeadline(id.clone()));
    let body = context.world.dispute(&id);
    context.emit("charge.dispute.created", &body);
    if status == DisputeStatus::NeedsResponse {
        withdraw(context, &id);
    }
}

/// The bank takes the money: `charge.dispute.funds_withdrawn`.
fn withdraw(context: &mut Context<'_>, id: &str) {
    let amount = context.world.disputes.get(id).expect("the caller holds it").amount;
    book(context, id, -amount, DISPUTE_FEE, "dispute");
    let body = context.world.dispute(id);
    context.emit("charge.dispute.funds_withdrawn", &body);
}

fn book(context: &mut Context<'_>, id: &str, amount: i64, fee: i64, category: &'static str) {
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

/// `POST /v1/disputes/{id}`: evidence, submitted to the bank unless `submit=false`.
pub fn update(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let dispute = open_one(context, ids[0])?;
    let mut changed = dispute.clone();
    params.merge_metadata(&mut changed.metadata)?;
    let given = params.object("evidence");
    for name in EVIDENCE {
        match given.and_then(|given| given.value(name)) {
            Some(Value::Null) => drop(changed.evidence.remove(*name)),
            Some(value) => drop(changed.evidence.insert((*name).to_owned(), value.clone())),
            None => {}
        }
    }
    // Staged evidence goes to the bank with `submit=true` alone.
    let submits = params.value("submit").and_then(Value::as_bool).unwrap_or(given.is_some());
    if submits && (changed.submissions > 0 || changed.is_under_review()) {
        return Err(ApiError::refused("Evidence for this dispute was already submitted.").into());
    }
    let before = context.world.dispute(ids[0]);
    if submits {
        changed.submissions += 1;
        changed.status = match changed.status {
            DisputeStatus::WarningNeedsResponse => DisputeStatus::WarningUnderReview,
            _ => DisputeStatus::UnderReview,
        };
        let at = context.now.plus_seconds(DECISION_SECONDS);
        context.world.timers.set(at, Due::DisputeSettles(ids[0].to_owned()));
    }
    let charge = changed.charge.clone();
    *context.world.disputes.get_mut(ids[0]).expect("it was just read") = changed;
    let after = context.world.dispute(ids[0]);
    context.emit_updated("charge.dispute.updated", &before, &after);
    if submits {
        let charge = context.world.charge(&charge);
        context.emit_updated("charge.updated", &charge, &charge);
    }
    Ok(after)
}

impl Dispute {
    fn is_under_review(&self) -> bool {
        matches!(self.status, DisputeStatus::UnderReview | DisputeStatus::WarningUnderReview)
    }
}

/// `POST /v1/disputes/{id}/close`: accepting it; irreversible.
pub fn close(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    let dispute = open_one(context, ids[0])?;
    let inquiry = dispute.is_inquiry();
    finish(context, ids[0], if inquiry { DisputeStatus::WarningClosed } else { DisputeStatus::Lost });
    Ok(context.world.dispute(ids[0]))
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
            finish(context, id, DisputeStatus::WarningClosed)
        }
        ("winning_evidence", false) => finish(context, id, DisputeStatus::Won),
        ("losing_evidence", false) => finish(context, id, DisputeStatus::Lost),
        _ => {}
    }
}

/// An inquiry becomes a chargeback.
fn escalate(context: &mut Context<'_>, id: &str) {
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
        DisputeStatus::NeedsResponse => finish(context, id, DisputeStatus::Lost),
        DisputeStatus::WarningNeedsResponse => finish(context, id, DisputeStatus::WarningClosed),
        _ => {}
    }
}

fn finish(context: &mut Context<'_>, id: &str, status: DisputeStatus) {
    let dispute = context.world.disputes.get_mut(id).expect("the caller holds it");
    dispute.status = status;
    let (amount, charge) = (dispute.amount, dispute.charge.clone());
    if status == DisputeStatus::Won {
        book(context, id, amount, 0, "dispute_reversal");
        let body = context.world.dispute(id);
        context.emit("charge.dispute.funds_reinstated", &body);
    }
    let body = context.world.dispute(id);
    context.emit("charge.dispute.closed", &body);
    if status == DisputeStatus::Lost {
        let charge = context.world.charge(&charge);
        context.emit_updated("charge.updated", &charge, &charge);
    }
}

fn open_one<'a>(context: &'a Context<'_>, id: &str) -> ApiResult<&'a Dispute> {
    match context.world.disputes.get(id) {
        Some(dispute) if dispute.is_closed() => {
            Err(ApiError::refused("This dispute is already closed").into())
        }
        Some(dispute) => Ok(dispute),
        None => Err(context.no_such("dispute", id, "dispute")),
    }
}

/// `GET /v1/disputes/{id}`.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.disputes.get(ids[0]) {
        Some(dispute) => Ok(dispute.render(context.world)),
        None => Err(context.no_such("dispute", ids[0], "dispute")),
    }
}

/// `GET /v1/disputes`.
pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let (charge, intent) = (params.text("charge"), params.text("payment_intent"));
    list::render(
        &context.world.disputes,
        &Page::from_params(params)?,
        "/v1/disputes",
        |dispute| {
            charge.is_none_or(|id| dispute.charge == id)
                && intent.is_none_or(|id| dispute.payment_intent == id)
        },
        |dispute| dispute.render(context.world),
    )
}
