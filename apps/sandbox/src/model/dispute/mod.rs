//! Disputes: the cardholder contests a payment through the bank.
//!
//! Source: <https://docs.stripe.com/api/disputes>, <https://docs.stripe.com/disputes>.

mod bank;
mod render;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use bank::{Opening, after_capture, decide, escalate, miss_deadline, open, settle};

use crate::model::context::Context;
use crate::model::error::{ApiError, ApiResult};
use crate::model::list::{self, Page};
use crate::model::metadata::Metadata;
use crate::model::params::Params;
use crate::model::table::Row;
use crate::model::timers::Due;
use render::EVIDENCE;

/// How long the bank takes in test mode. Stripe says seconds.
const DECISION_SECONDS: i64 = 5;

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
    /// A refund ended it before the bank took any money.
    Prevented,
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
    /// The deadline for evidence; 0 when no answer is allowed.
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
        matches!(
            self.status,
            DisputeStatus::Won
                | DisputeStatus::Lost
                | DisputeStatus::WarningClosed
                | DisputeStatus::Prevented
        )
    }

    /// An inquiry moved no money, and a won dispute gave it back.
    pub fn is_charge_refundable(&self) -> bool {
        self.is_inquiry() || self.status == DisputeStatus::Won
    }
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
    if submits && changed.due_by == 0 {
        return Err(ApiError::refused("Evidence cannot be submitted for this dispute.").into());
    }
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
    decide(context, ids[0], if inquiry { DisputeStatus::WarningClosed } else { DisputeStatus::Lost });
    Ok(context.world.dispute(ids[0]))
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
