//! Invoices and their payments: what a subscription asks for, each period.
//!
//! Source: <https://docs.stripe.com/api/invoices>, <https://docs.stripe.com/api/invoice-payment>.

mod pay;
mod render;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use pay::settle;
pub use pay::{collect, follow, pay, retry, void};

use crate::model::context::Context;
use crate::model::error::{ApiError, ApiResult};
use crate::model::list::{self, Page};
use crate::model::metadata::Metadata;
use crate::model::params::Params;
use crate::model::payment_intent::{self, Owner};
use crate::model::table::Row;
use crate::model::time::HOUR;
use crate::model::timers::Due;
use crate::model::world::World;

/// Drafts of a cycle are finalized an hour later.
/// Source: <https://docs.stripe.com/billing/invoices/subscription>.
const DRAFT_SECONDS: i64 = HOUR;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceStatus {
    Draft,
    Open,
    Paid,
    Uncollectible,
    Void,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Invoice {
    pub id: String,
    pub created: i64,
    pub customer: String,
    pub subscription: String,
    pub currency: String,
    pub status: InvoiceStatus,
    pub billing_reason: String,
    pub number: Option<String>,
    pub lines: Vec<InvoiceLine>,
    pub amount_paid: i64,
    pub period_start: i64,
    pub period_end: i64,
    pub attempts: i64,
    pub next_attempt: Option<i64>,
    pub finalizes_at: Option<i64>,
    pub finalized_at: Option<i64>,
    pub paid_at: Option<i64>,
    pub voided_at: Option<i64>,
    pub payment_intent: Option<String>,
    pub payment: Option<String>,
    pub metadata: Metadata,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InvoiceLine {
    pub id: String,
    pub amount: i64,
    pub description: String,
    pub quantity: i64,
    pub price: String,
    pub product: String,
    pub unit_amount: i64,
    pub item: String,
    pub start: i64,
    pub end: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InvoicePayment {
    pub id: String,
    pub created: i64,
    pub invoice: String,
    pub payment_intent: String,
    pub amount: i64,
    pub currency: String,
    pub paid_at: Option<i64>,
    pub canceled_at: Option<i64>,
}

impl Row for Invoice {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Row for InvoicePayment {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Invoice {
    pub fn total(&self) -> i64 {
        self.lines.iter().map(|line| line.amount).sum()
    }

    fn is_settled(&self) -> bool {
        self.status == InvoiceStatus::Paid
    }

    fn can_be_paid(&self) -> bool {
        matches!(self.status, InvoiceStatus::Draft | InvoiceStatus::Open | InvoiceStatus::Uncollectible)
    }
}

/// A draft; it is finalized at once, or by its timer.
pub fn draft(context: &mut Context<'_>, invoice: Invoice, finalize_later: bool) -> String {
    let id = invoice.id.clone();
    context.world.invoices.insert(invoice);
    if finalize_later {
        let at = context.now.plus_seconds(DRAFT_SECONDS);
        change(context, &id).finalizes_at = Some(at.seconds());
        context.world.timers.set(at, Due::InvoiceFinalizes(id.clone()));
    }
    let body = context.world.invoice(&id);
    context.emit("invoice.created", &body);
    id
}

fn change<'a>(context: &'a mut Context<'_>, id: &str) -> &'a mut Invoice {
    context.world.invoices.get_mut(id).expect("the caller found it")
}

fn get<'a>(context: &'a Context<'_>, id: &str) -> ApiResult<&'a Invoice> {
    context.world.invoices.get(id).ok_or_else(|| context.no_such("invoice", id, "invoice"))
}

/// A draft becomes open, with a number and a PaymentIntent; one over nothing is paid at once.
pub fn finalize_now(context: &mut Context<'_>, id: &str) {
    let (now, number) = (context.now.seconds(), context.world.invoices.len());
    let Some(invoice) = context.world.invoices.get_mut(id).filter(|one| one.status == InvoiceStatus::Draft)
    else {
        return;
    };
    invoice.status = InvoiceStatus::Open;
    invoice.finalized_at = Some(now);
    invoice.finalizes_at = None;
    invoice.number = Some(format!("SANDBOX-{number:04}"));
    let (total, customer) = (invoice.total(), invoice.customer.clone());
    let currency = invoice.currency.clone();
    if total > 0 {
        make_intent(context, id, total, &currency, &customer);
    }
    let body = context.world.invoice(id);
    context.emit("invoice.finalized", &body);
    if total == 0 {
        settle(context, id);
    }
}

fn make_intent(context: &mut Context<'_>, id: &str, total: i64, currency: &str, customer: &str) {
    let mut parameters = Map::new();
    parameters.insert("amount".into(), json!(total.max(crate::model::currency::minimum(currency))));
    parameters.insert("currency".into(), json!(currency));
    parameters.insert("customer".into(), json!(customer));
    parameters.insert("setup_future_usage".into(), json!("off_session"));
    parameters.insert("capture_method".into(), json!("automatic"));
    parameters.insert("description".into(), json!("Subscription"));
    let Ok(mut intent) = payment_intent::new(context, Params::new(&parameters)) else { return };
    intent.owner = Some(Owner::Invoice(id.to_owned()));
    let payment = InvoicePayment {
        id: context.random.id("inpay"),
        created: context.now.seconds(),
        invoice: id.to_owned(),
        payment_intent: intent.id.clone(),
        amount: total,
        currency: currency.to_owned(),
        paid_at: None,
        canceled_at: None,
    };
    let invoice = change(context, id);
    invoice.payment_intent = Some(intent.id.clone());
    invoice.payment = Some(payment.id.clone());
    let intent_id = intent.id.clone();
    context.world.payment_intents.insert(intent);
    context.world.invoice_payments.insert(payment);
    let body = context.world.intent(&intent_id);
    context.emit("payment_intent.created", &body);
}

/// `POST /v1/invoices/{id}/finalize`.
pub fn finalize(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    if get(context, ids[0])?.status != InvoiceStatus::Draft {
        let message = "This invoice is already finalized, you can't re-finalize a non-draft invoice.";
        return Err(ApiError::refused(message).code("invoice_not_editable").into());
    }
    finalize_now(context, ids[0]);
    Ok(context.world.invoice(ids[0]))
}

/// What is shown only when expanded: `payments` and `confirmation_secret`.
pub fn hidden(world: &World, id: &str, name: &str) -> Option<Value> {
    let invoice = world.invoices.get(id)?;
    match name {
        "payments" => {
            let payments = invoice.payment.as_ref().and_then(|id| world.invoice_payments.get(id));
            let data = payments.map(|payment| payment.render(world.livemode)).into_iter().collect();
            Some(list::of(data, false, &format!("/v1/invoices/{id}/payments")))
        }
        "confirmation_secret" => {
            let intent = invoice.payment_intent.as_ref().and_then(|id| world.payment_intents.get(id));
            Some(intent.map_or(
                Value::Null,
                |intent| json!({"client_secret": intent.client_secret, "type": "payment_intent"}),
            ))
        }
        _ => None,
    }
}

/// `GET /v1/invoices/{id}`.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    Ok(get(context, ids[0])?.render(context.world))
}

/// `GET /v1/invoices`.
pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let matches = |name: &str, value: &str| params.text(name).is_none_or(|wanted| wanted == value);
    list::render(
        &context.world.invoices,
        &Page::from_params(params)?,
        "/v1/invoices",
        |invoice| {
            matches("customer", &invoice.customer)
                && matches("subscription", &invoice.subscription)
                && params.text("status").is_none_or(|status| json!(invoice.status) == status)
        },
        |invoice| invoice.render(context.world),
    )
}

/// `GET /v1/invoice_payments/{id}`.
pub fn retrieve_payment(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.invoice_payments.get(ids[0]) {
        Some(payment) => Ok(payment.render(context.world.livemode)),
        None => Err(context.no_such("invoice_payment", ids[0], "invoice_payment")),
    }
}

/// `GET /v1/invoice_payments`: which invoice a payment belongs to.
pub fn list_payments(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    let intent = params.deep(&["payment", "payment_intent"]).and_then(Value::as_str);
    list::render(
        &context.world.invoice_payments,
        &Page::from_params(params)?,
        "/v1/invoice_payments",
        |payment| {
            intent.is_none_or(|id| payment.payment_intent == id)
                && params.text("invoice").is_none_or(|id| payment.invoice == id)
        },
        |payment| payment.render(livemode),
    )
}
