//! What people do apart from the API: the merchant in Stripe's dashboard, and the cardholder's bank. Their events name
//! no request and no idempotency key, as Stripe's do.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::context::Context;
use super::dispute::{self, DisputeStatus, Opening};
use super::error::{ApiError, ApiResult};
use super::params::Params;
use super::{payment_intent, payout, refund};

/// Something that a person does, to the object with this id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    pub id: String,
    pub deed: Deed,
}

/// What is done, as its JSON says it: `{"refund": {"amount": 500}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Gives an intent's money back.
    Refund(Amount),
    /// Captures an intent's hold.
    Capture(Amount),
    /// Cancels an intent.
    Cancel(Cause),
    /// A pending refund succeeds at once.
    SettleRefund,
    /// A refund fails, also one that had succeeded.
    FailRefund(Cause),
    /// The bank sends a payout back.
    FailPayout,
    /// The cardholder contests a charge, named by its id or by its intent's.
    Dispute(Complaint),
    /// An inquiry becomes a chargeback.
    Escalate,
    /// The bank decides, or turns its decision round.
    Decide(Decision),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// All that is left, when it is left out.
    #[serde(default)]
    pub amount: Option<i64>,
    #[serde(default)]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    #[serde(default)]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Complaint {
    #[serde(default)]
    pub amount: Option<i64>,
    #[serde(default)]
    pub reason: Option<String>,
    /// `needs_response`, `warning_needs_response` or `prevented`.
    #[serde(default)]
    pub status: Option<DisputeStatus>,
    /// How long evidence is taken; 0 when no answer is allowed.
    #[serde(default)]
    pub answer_seconds: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    pub status: DisputeStatus,
}

/// The reasons of the dashboard's refund form.
const REFUND_REASONS: &[&str] = &["duplicate", "fraudulent", "requested_by_customer"];
/// Source: <https://docs.stripe.com/api/refunds/object#refund_object-failure_reason>.
const FAILURE_REASONS: &[&str] = &[
    "charge_for_pending_refund_disputed",
    "declined",
    "expired_or_canceled_card",
    "insufficient_funds",
    "lost_or_stolen_card",
    "merchant_request",
    "unknown",
];
/// Source: <https://docs.stripe.com/api/payment_intents/cancel>.
const CANCELLATION_REASONS: &[&str] = &["abandoned", "duplicate", "fraudulent", "requested_by_customer"];

/// Does it, and answers the object as it is then.
///
/// # Errors
/// Those of the API for the same thing; nothing was done.
pub fn act(context: &mut Context<'_>, hand: &ByHand) -> ApiResult<Value> {
    let id = hand.id.as_str();
    match &hand.deed {
        Deed::Refund(given) => {
            check_one_of(given.reason.as_deref(), REFUND_REASONS)?;
            let form = form(&[
                ("payment_intent", json!(id)),
                ("amount", json!(given.amount)),
                ("reason", json!(given.reason)),
            ]);
            context.world.check_room()?;
            refund::create(context, &[], Params::new(&form))
        }
        Deed::Capture(given) => payment_intent::capture(
            context,
            &[id],
            Params::new(&form(&[("amount_to_capture", json!(given.amount))])),
        ),
        Deed::Cancel(cause) => {
            check_one_of(cause.reason.as_deref(), CANCELLATION_REASONS)?;
            let form = form(&[("cancellation_reason", json!(cause.reason))]);
            payment_intent::cancel(context, &[id], Params::new(&form))
        }
        Deed::SettleRefund => {
            check_refund(context, id)?;
            refund::settle(context, id);
            Ok(context.world.refund(id))
        }
        Deed::FailRefund(cause) => {
            check_refund(context, id)?;
            check_one_of(cause.reason.as_deref(), FAILURE_REASONS)?;
            refund::fail(context, id, cause.reason.as_deref().unwrap_or(refund::FAILURE));
            Ok(context.world.refund(id))
        }
        Deed::FailPayout => payout::fail(context, id),
        Deed::Dispute(complaint) => contest(context, id, complaint),
        Deed::Escalate => {
            let status = status_of(context, id)?;
            if !matches!(status, DisputeStatus::WarningNeedsResponse | DisputeStatus::WarningUnderReview) {
                return Err(ApiError::invalid("Only an open inquiry escalates.").into());
            }
            dispute::escalate(context, id);
            Ok(context.world.dispute(id))
        }
        Deed::Decide(decision) => decide(context, id, decision.status),
    }
}

/// Parameters, without those that were left out.
fn form(fields: &[(&str, Value)]) -> Map<String, Value> {
    let given = fields.iter().filter(|(_, value)| !value.is_null());
    given.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn check_one_of(given: Option<&str>, known: &[&str]) -> ApiResult<()> {
    if given.is_none_or(|given| known.contains(&given)) {
        return Ok(());
    }
    Err(ApiError::invalid(format!("reason must be one of {}.", known.join(", "))).param("reason").into())
}

fn check_refund(context: &Context<'_>, id: &str) -> ApiResult<()> {
    match context.world.refunds.contains(id) {
        true => Ok(()),
        false => Err(context.no_such("refund", id, "refund")),
    }
}

fn status_of(context: &Context<'_>, id: &str) -> ApiResult<DisputeStatus> {
    match context.world.disputes.get(id) {
        Some(dispute) => Ok(dispute.status),
        None => Err(context.no_such("dispute", id, "dispute")),
    }
}

fn contest(context: &mut Context<'_>, id: &str, complaint: &Complaint) -> ApiResult<Value> {
    let charge = context.world.payment_intents.get(id).and_then(|intent| intent.latest_charge.clone());
    let charge = charge.unwrap_or_else(|| id.to_owned());
    match context.world.charges.get(&charge) {
        None => return Err(context.no_such("charge", id, "charge")),
        Some(found) if !found.captured => {
            return Err(ApiError::invalid("Only a captured charge can be disputed.").into());
        }
        Some(_) => {}
    }
    if complaint.amount.is_some_and(|amount| amount < 1) {
        return Err(ApiError::invalid("amount must be at least 1.").param("amount").into());
    }
    let usual = Opening::default();
    let status = complaint.status.unwrap_or(usual.status);
    let begins = matches!(
        status,
        DisputeStatus::NeedsResponse | DisputeStatus::WarningNeedsResponse | DisputeStatus::Prevented
    );
    if !begins {
        let message = "A dispute begins as needs_response, warning_needs_response or prevented.";
        return Err(ApiError::invalid(message).param("status").into());
    }
    context.world.check_room()?;
    let opening = Opening {
        amount: complaint.amount,
        reason: complaint.reason.clone().unwrap_or(usual.reason),
        status,
        answer_seconds: complaint.answer_seconds.map_or(usual.answer_seconds, i64::from),
    };
    let dispute = dispute::open(context, &charge, opening);
    Ok(context.world.dispute(&dispute))
}

fn decide(context: &mut Context<'_>, id: &str, status: DisputeStatus) -> ApiResult<Value> {
    let now = status_of(context, id)?;
    let possible: &[DisputeStatus] = match now {
        DisputeStatus::WarningNeedsResponse | DisputeStatus::WarningUnderReview => {
            &[DisputeStatus::WarningClosed, DisputeStatus::Prevented]
        }
        DisputeStatus::NeedsResponse | DisputeStatus::UnderReview => {
            &[DisputeStatus::Won, DisputeStatus::Lost, DisputeStatus::Prevented]
        }
        DisputeStatus::Won => &[DisputeStatus::Lost],
        DisputeStatus::Lost => &[DisputeStatus::Won],
        DisputeStatus::WarningClosed | DisputeStatus::Prevented => &[],
    };
    if !possible.contains(&status) {
        let message = format!("A dispute that is {} cannot become {}.", json!(now), json!(status));
        return Err(ApiError::invalid(message.replace('"', "")).param("status").into());
    }
    dispute::decide(context, id, status);
    Ok(context.world.dispute(id))
}
