//! Charges: one try to take money from a card.
//!
//! Source: <https://docs.stripe.com/api/charges>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::balance_transaction::{self, Entry, Fee};
use super::cards::{Decline, Risk};
use super::context::Context;
use super::error::ApiResult;
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::table::Row;
use super::time::{DAY, HOUR};
use super::timers::Due;
use super::world::World;

/// How long an authorization of a card holds, by default.
/// Source: <https://docs.stripe.com/payments/place-a-hold-on-a-payment-method>.
const HOLD_SECONDS: i64 = 7 * DAY;
/// A Visa authorization that the merchant began, without its holder, ends earlier.
const VISA_OFF_SESSION_HOLD_SECONDS: i64 = 4 * DAY + 18 * HOUR;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeStatus {
    Succeeded,
    Pending,
    Failed,
}

/// Whether the holder was authenticated for this charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThreeDSecure {
    NotTried,
    Passed,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Charge {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub amount_captured: i64,
    pub amount_refunded: i64,
    pub currency: String,
    pub status: ChargeStatus,
    pub captured: bool,
    /// The hold ran out or was released.
    pub released: bool,
    pub capture_before: Option<i64>,
    pub payment_intent: String,
    pub payment_method: String,
    /// `payment_method_details.card`, as it was then; of a debit, `sepa_debit`.
    pub card: Value,
    pub method_kind: String,
    pub billing_details: Value,
    pub customer: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub receipt_email: Option<String>,
    pub shipping: Option<Value>,
    pub statement_descriptor: Option<String>,
    pub statement_descriptor_suffix: Option<String>,
    pub transfer_group: Option<String>,
    pub failure: Option<Failure>,
    pub risk_level: String,
    pub balance_transaction: Option<String>,
    pub refunds: Vec<String>,
    pub disputes: Vec<String>,
    pub disputed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub decline_code: Option<String>,
    pub message: String,
    pub advice: Option<String>,
}

impl From<Decline> for Failure {
    fn from(decline: Decline) -> Self {
        Self {
            code: decline.code.to_owned(),
            decline_code: decline.decline_code.map(str::to_owned),
            message: decline.message.to_owned(),
            advice: decline.advice.map(str::to_owned),
        }
    }
}

impl Row for Charge {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Charge {
    pub fn is_fully_refunded(&self) -> bool {
        self.captured && self.amount_refunded >= self.amount_captured && self.amount_captured > 0
    }

    fn outcome(&self) -> Value {
        let blocked = self.risk_level == "highest";
        let (kind, network, seller, reason) = match &self.failure {
            None if self.risk_level == "elevated" => {
                ("authorized", "approved_by_network", "Payment complete.", Value::Null)
            }
            None => ("authorized", "approved_by_network", "Payment complete.", Value::Null),
            Some(_) if blocked => (
                "blocked",
                "not_sent_to_network",
                "Stripe blocked this payment as too risky.",
                json!("highest_risk_level"),
            ),
            Some(failure) => (
                "issuer_declined",
                "declined_by_network",
                "The bank did not return any further details with this decline.",
                json!(failure.decline_code.as_ref().unwrap_or(&failure.code)),
            ),
        };
        json!({
            "advice_code": self.failure.as_ref().and_then(|failure| failure.advice.as_ref()),
            "network_advice_code": null,
            "network_decline_code": self.failure.as_ref().filter(|_| !blocked).map(|_| "01"),
            "network_status": network,
            "reason": reason,
            "risk_level": self.risk_level,
            "risk_score": match self.risk_level.as_str() { "highest" => 95, "elevated" => 70, _ => 20 },
            "seller_message": seller,
            "type": kind,
        })
    }

    pub fn render(&self, world: &World) -> Value {
        let succeeded = self.status == ChargeStatus::Succeeded;
        json!({
            "id": self.id,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": self.amount_captured,
            "amount_refunded": self.amount_refunded,
            "application": null,
            "application_fee": null,
            "application_fee_amount": null,
            "balance_transaction": self.balance_transaction,
            "billing_details": self.billing_details,
            "calculated_statement_descriptor": self.statement_descriptor.as_deref().unwrap_or("PAYWRIGHT SANDBOX"),
            "captured": self.captured,
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "description": self.description,
            "disputed": self.disputed,
            "failure_balance_transaction": null,
            "failure_code": self.failure.as_ref().map(|failure| &failure.code),
            "failure_message": self.failure.as_ref().map(|failure| &failure.message),
            "fraud_details": {},
            "livemode": world.livemode,
            "metadata": self.metadata.to_value(),
            "on_behalf_of": null,
            "outcome": self.outcome(),
            "paid": succeeded,
            "payment_intent": self.payment_intent,
            "payment_method": self.payment_method,
            "payment_method_details": {(&self.method_kind): self.card, "type": self.method_kind},
            "receipt_email": self.receipt_email,
            "receipt_number": null,
            "receipt_url": succeeded.then(|| format!("{}/receipts/{}", world.public_url, self.id)),
            "refunded": self.is_fully_refunded(),
            "review": null,
            "shipping": self.shipping,
            "source": null,
            "source_transfer": null,
            "statement_descriptor": self.statement_descriptor,
            "statement_descriptor_suffix": self.statement_descriptor_suffix,
            "status": self.status,
            "transfer_data": null,
            "transfer_group": self.transfer_group,
        })
    }
}

/// A new charge of an intent's amount; `failure` says that it was declined.
pub fn create(
    context: &mut Context<'_>,
    intent: &str,
    secure: ThreeDSecure,
    failure: Option<Decline>,
) -> String {
    let id = format!("ch_3{}", context.random.text(23));
    let authorization_code = context.random.text(6).to_uppercase();
    let transaction = context.random.below(1_000_000_000_000_000).to_string();
    let intent = context.world.payment_intents.get(intent).expect("the caller holds the intent");
    let method = intent.payment_method.as_deref().and_then(|id| context.world.payment_methods.get(id));
    let method = method.expect("a charge is made with a payment method");
    let ok = failure.is_none();
    let delayed = ok && method.card().delayed.is_some();
    let captures_now = ok && !delayed && intent.captures_automatically();
    let hold = match (intent.off_session, method.card().brand) {
        (true, "visa") => VISA_OFF_SESSION_HOLD_SECONDS,
        _ => HOLD_SECONDS,
    };
    let capture_before = (ok && !captures_now && !delayed).then(|| context.now.seconds() + hold);
    let mut card = method.card_facts();
    let more = json!({
        "amount_authorized": ok.then_some(intent.amount),
        "authorization_code": ok.then_some(authorization_code),
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": if capture_before.is_some() { "available" } else { "unavailable" }},
        "installments": null,
        "mandate": null,
        "multicapture": {"status": "unavailable"},
        "network": method.card().brand,
        "network_token": {"used": false},
        "network_transaction_id": transaction,
        "overcapture": {"maximum_amount_capturable": intent.amount, "status": "unavailable"},
        "three_d_secure": three_d_secure(secure),
        "transaction_link_id": null,
    });
    card.extend(more.as_object().cloned().unwrap_or_default());
    if let Some(before) = capture_before {
        card.insert("capture_before".into(), json!(before));
    }
    let risk_level = match method.card().risk {
        Risk::Normal => "normal",
        Risk::Elevated => "elevated",
        Risk::Highest => "highest",
    };
    let charge = Charge {
        id: id.clone(),
        created: context.now.seconds(),
        amount: intent.amount,
        amount_captured: if captures_now { intent.amount } else { 0 },
        amount_refunded: 0,
        currency: intent.currency.clone(),
        status: match (ok, delayed) {
            (false, _) => ChargeStatus::Failed,
            (true, true) => ChargeStatus::Pending,
            (true, false) => ChargeStatus::Succeeded,
        },
        captured: captures_now,
        released: false,
        capture_before,
        payment_intent: intent.id.clone(),
        payment_method: method.id.clone(),
        card: if delayed {
            let mut debit = method.debit_facts();
            debit["mandate"] = Value::Null;
            debit
        } else {
            Value::Object(card)
        },
        method_kind: method.card().kind.to_owned(),
        billing_details: method.billing.to_value(),
        customer: intent.customer.clone(),
        description: intent.description.clone(),
        metadata: intent.metadata.clone(),
        receipt_email: intent.receipt_email.clone(),
        shipping: intent.shipping.clone(),
        statement_descriptor: intent.kept_text("statement_descriptor"),
        statement_descriptor_suffix: intent.kept_text("statement_descriptor_suffix"),
        transfer_group: intent.kept_text("transfer_group"),
        failure: failure.map(Failure::from),
        risk_level: risk_level.to_owned(),
        balance_transaction: None,
        refunds: Vec::new(),
        disputes: Vec::new(),
        disputed: false,
    };
    context.world.charges.insert(charge);
    id
}

fn three_d_secure(secure: ThreeDSecure) -> Value {
    match secure {
        ThreeDSecure::NotTried => Value::Null,
        ThreeDSecure::Passed => json!({
            "authentication_flow": "challenge",
            "electronic_commerce_indicator": "05",
            "exemption_indicator": null,
            "result": "authenticated",
            "result_reason": null,
            "transaction_id": "2b7f7a0e-7a3c-4f0a-9a5b-9d9a6b1d2c3e",
            "version": "2.2.0",
        }),
    }
}

/// The outcome of a delayed payment arrives.
pub fn conclude(context: &mut Context<'_>, id: &str, failure: Option<Decline>) {
    let charge = context.world.charges.get_mut(id).expect("charges are never removed");
    match failure {
        Some(failure) => {
            charge.status = ChargeStatus::Failed;
            charge.failure = Some(failure.into());
        }
        None => {
            charge.status = ChargeStatus::Succeeded;
            charge.captured = true;
            charge.amount_captured = charge.amount;
        }
    }
}

/// Books the money of a captured charge, once. Answers whether it did.
pub fn book(context: &mut Context<'_>, id: &str) -> bool {
    let Some(charge) = context.world.charges.get(id) else { return false };
    if !charge.captured || charge.balance_transaction.is_some() {
        return false;
    }
    let method = context.world.payment_methods.get(&charge.payment_method);
    let at_once = method.is_some_and(|method| method.card().available_at_once);
    let entry = Entry {
        amount: charge.amount_captured,
        currency: charge.currency.clone(),
        fee: Fee::Charge,
        kind: "charge",
        reporting_category: "charge",
        source: id.to_owned(),
        description: charge.description.clone(),
        available_at_once: at_once,
    };
    let booked = balance_transaction::book(context, entry);
    context.world.charges.get_mut(id).expect("it was just read").balance_transaction = Some(booked);
    true
}

/// The balance transaction of an asynchronous capture arrives: `charge.updated`.
pub fn book_later(context: &mut Context<'_>, id: &str) {
    let Some(before) = context.world.charges.get(id).map(|charge| charge.render(context.world)) else {
        return;
    };
    if book(context, id) {
        let after = context.world.charge(id);
        context.emit_updated("charge.updated", &before, &after);
    }
}

/// Sets when the balance transaction of a charge arrives.
/// Source: <https://docs.stripe.com/payments/payment-intents/asynchronous-capture>.
pub fn book_soon(context: &mut Context<'_>, id: &str) {
    let at = context.now.plus_seconds(1);
    context.world.timers.set(at, Due::ChargeIsBooked(id.to_owned()));
}

pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.charges.get(ids[0]) {
        Some(charge) => Ok(charge.render(context.world)),
        None => Err(context.no_such("charge", ids[0], "id")),
    }
}

pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let (customer, group) = (params.text("customer"), params.text("transfer_group"));
    let page = Page::from_params(params)?;
    let keep = |charge: &Charge| {
        customer.is_none_or(|id| charge.customer.as_deref() == Some(id))
            && group.is_none_or(|group| charge.transfer_group.as_deref() == Some(group))
    };
    let render = |charge: &Charge| charge.render(context.world);
    let Some(intent) = params.text("payment_intent") else {
        return list::render(&context.world.charges, &page, "/v1/charges", keep, render);
    };
    // An intent knows its charges, so this does not read all of them.
    let Some(intent) = context.world.payment_intents.get(intent) else {
        return Err(context.no_such("payment_intent", intent, "payment_intent"));
    };
    let own = intent.charges.iter().filter_map(|id| context.world.charges.get(id)).cloned().collect();
    list::render(&own, &page, "/v1/charges", keep, render)
}
