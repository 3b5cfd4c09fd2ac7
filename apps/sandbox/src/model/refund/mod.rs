//! Refunds: giving captured money back.
//!
//! Source: <https://docs.stripe.com/api/refunds>, <https://docs.stripe.com/refunds>.

mod change;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use change::{fail, pay_waiting, settle};

use crate::model::charge::{Charge, ChargeStatus};
use crate::model::context::Context;
use crate::model::currency::format_amount;
use crate::model::error::{ApiError, ApiResult};
use crate::model::list::{self, Page};
use crate::model::metadata::Metadata;
use crate::model::params::Params;
use crate::model::table::Row;

/// Why the test card's refund fails.
pub const FAILURE: &str = "expired_or_canceled_card";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    Pending,
    Succeeded,
    Failed,
    Canceled,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refund {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub currency: String,
    pub charge: String,
    pub payment_intent: String,
    pub reason: Option<String>,
    pub metadata: Metadata,
    pub status: RefundStatus,
    pub balance_transaction: Option<String>,
    pub failure_balance_transaction: Option<String>,
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// It was asked for while the available balance did not cover it.
    #[serde(default)]
    pub waits_for_balance: bool,
}

impl Row for Refund {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Refund {
    pub fn render(&self) -> Value {
        let mut body = json!({
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "balance_transaction": self.balance_transaction,
            "charge": self.charge,
            "created": self.created,
            "currency": self.currency,
            "customer": null,
            "customer_account": null,
            "destination_details": {
                "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
                "type": "card",
            },
            "metadata": self.metadata.to_value(),
            "payment_intent": self.payment_intent,
            "payment_method": null,
            "reason": self.reason,
            "receipt_number": null,
            "source_transfer_reversal": null,
            "status": self.status,
            "transfer_reversal": null,
        });
        if let Some(failure) = &self.failure_balance_transaction {
            body["failure_balance_transaction"] = json!(failure);
        }
        match self.status {
            RefundStatus::Failed => {
                body["failure_reason"] = json!(self.failure_reason.as_deref().unwrap_or(FAILURE));
            }
            RefundStatus::Pending if self.waits_for_balance => {
                body["pending_reason"] = json!("insufficient_funds");
            }
            RefundStatus::Pending => body["pending_reason"] = json!("processing"),
            RefundStatus::Succeeded | RefundStatus::Canceled => {}
        }
        body
    }
}

/// `POST /v1/refunds`.
pub fn create(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let metadata = params.metadata()?;
    let amount = params.positive("amount")?;
    let charge = wanted_charge(context, params)?;
    let amount = refundable(context, charge, amount)?;
    let charge = charge.clone();
    let refund = Refund {
        id: format!("re_3{}", context.random.text(23)),
        created: context.now.seconds(),
        amount,
        currency: charge.currency.clone(),
        charge: charge.id.clone(),
        payment_intent: charge.payment_intent.clone(),
        reason: params.owned("reason"),
        metadata,
        status: RefundStatus::Pending,
        balance_transaction: None,
        failure_balance_transaction: None,
        failure_reason: None,
        waits_for_balance: false,
    };
    let id = refund.id.clone();
    context.world.refunds.insert(refund);
    change::begin(context, &id);
    let before = charge.render(context.world);
    let changed = context.world.charges.get_mut(&charge.id).expect("charges are never removed");
    changed.amount_refunded += amount;
    changed.refunds.push(id.clone());
    let body = context.world.refund(&id);
    context.emit("refund.created", &body);
    let after = context.world.charge(&charge.id);
    context.emit_updated("charge.refunded", &before, &after);
    Ok(body)
}

fn wanted_charge<'a>(context: &'a Context<'_>, params: Params<'_>) -> ApiResult<&'a Charge> {
    let id = match (params.text("charge"), params.text("payment_intent")) {
        (Some(charge), _) => charge.to_owned(),
        (None, Some(intent)) => {
            let Some(known) = context.world.payment_intents.get(intent) else {
                return Err(context.no_such("payment_intent", intent, "payment_intent"));
            };
            let successful = known.latest_charge.clone().filter(|charge| {
                context
                    .world
                    .charges
                    .get(charge)
                    .is_some_and(|charge| charge.status == ChargeStatus::Succeeded)
            });
            match successful {
                Some(charge) => charge,
                None => {
                    let message =
                        format!("This PaymentIntent ({intent}) does not have a successful charge to refund.");
                    return Err(ApiError::refused(message).param("payment_intent").into());
                }
            }
        }
        (None, None) => {
            let message =
                "One of the following params should be provided for this request: payment_intent or charge.";
            return Err(ApiError::invalid(message).into());
        }
    };
    context.world.charges.get(&id).ok_or_else(|| context.no_such("charge", &id, "id"))
}

/// The amount to refund: what was asked for, or all that is left.
fn refundable(context: &Context<'_>, charge: &Charge, asked: Option<i64>) -> ApiResult<i64> {
    if charge.status != ChargeStatus::Succeeded {
        let message = format!("This charge ({}) has failed and cannot be refunded.", charge.id);
        return Err(ApiError::refused(message).code("charge_not_refundable").into());
    }
    if !charge.captured {
        let message = format!(
            "Charge {} has not been captured. To release the authorization, cancel the PaymentIntent instead of refunding it.",
            charge.id
        );
        return Err(ApiError::refused(message).code("charge_not_refundable").into());
    }
    let blocked = charge.disputes.iter().filter_map(|id| context.world.disputes.get(id));
    if blocked.into_iter().any(|dispute| !dispute.is_charge_refundable()) {
        let message = format!("Charge {} has been charged back; cannot issue a refund.", charge.id);
        return Err(ApiError::refused(message).code("charge_disputed").into());
    }
    let left = charge.amount_captured - charge.amount_refunded;
    if left <= 0 {
        let message = format!("Charge {} has already been refunded.", charge.id);
        return Err(ApiError::refused(message).code("charge_already_refunded").into());
    }
    match asked {
        Some(amount) if amount > left => {
            let message = format!(
                "Refund amount ({}) is greater than unrefunded amount on charge ({})",
                format_amount(amount, &charge.currency),
                format_amount(left, &charge.currency)
            );
            Err(ApiError::refused(message).param("amount").into())
        }
        amount => Ok(amount.unwrap_or(left)),
    }
}

/// `POST /v1/refunds/{id}`: only metadata changes.
pub fn update(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let Some(refund) = context.world.refunds.get_mut(ids[0]) else {
        return Err(context.no_such("refund", ids[0], "refund"));
    };
    let before = refund.render();
    params.merge_metadata(&mut refund.metadata)?;
    let after = refund.render();
    context.emit_updated("refund.updated", &before, &after);
    context.emit_updated("charge.refund.updated", &before, &after);
    Ok(after)
}

/// `POST /v1/refunds/{id}/cancel`: never possible for cards.
pub fn cancel(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.refunds.get(ids[0]) {
        Some(_) => Err(ApiError::refused("Canceling this refund is unsupported.").into()),
        None => Err(context.no_such("refund", ids[0], "refund")),
    }
}

/// `GET /v1/refunds/{id}`.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.refunds.get(ids[0]) {
        Some(refund) => Ok(refund.render()),
        None => Err(context.no_such("refund", ids[0], "refund")),
    }
}

/// `GET /v1/refunds`.
pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let (charge, intent) = (params.text("charge"), params.text("payment_intent"));
    list::render(
        &context.world.refunds,
        &Page::from_params(params)?,
        "/v1/refunds",
        |refund| {
            charge.is_none_or(|id| refund.charge == id) && intent.is_none_or(|id| refund.payment_intent == id)
        },
        Refund::render,
    )
}
