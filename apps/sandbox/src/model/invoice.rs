//! Invoices and their payments: what a subscription asks for, each period.
//!
//! Source: <https://docs.stripe.com/api/invoices>, <https://docs.stripe.com/api/invoice-payment>.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::context::Context;
use super::error::{ApiError, ApiResult};
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::payment_intent::{self, Owner, Status as IntentStatus};
use super::subscription;
use super::table::Row;
use super::time::{DAY, HOUR};
use super::timers::Due;
use super::world::World;

/// Drafts of a cycle are finalized an hour later.
/// Source: <https://docs.stripe.com/billing/invoices/subscription>.
const DRAFT_SECONDS: i64 = HOUR;
/// Waits between the tries to collect; then the subscription is cancelled.
/// Source: <https://docs.stripe.com/billing/revenue-recovery/smart-retries>.
const RETRY_DAYS: [i64; 3] = [3, 5, 7];

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

impl InvoicePayment {
    pub fn render(&self, livemode: bool) -> Value {
        let status = match (self.paid_at, self.canceled_at) {
            (Some(_), _) => "paid",
            (None, Some(_)) => "canceled",
            (None, None) => "open",
        };
        json!({
            "id": self.id,
            "object": "invoice_payment",
            "amount_paid": self.paid_at.map(|_| self.amount),
            "amount_requested": self.amount,
            "created": self.created,
            "currency": self.currency,
            "invoice": self.invoice,
            "is_default": true,
            "livemode": livemode,
            "payment": {"payment_intent": self.payment_intent, "type": "payment_intent"},
            "status": status,
            "status_transitions": {"canceled_at": self.canceled_at, "paid_at": self.paid_at},
        })
    }
}

impl InvoiceLine {
    fn render(&self, invoice: &Invoice, livemode: bool) -> Value {
        json!({
            "id": self.id,
            "object": "line_item",
            "amount": self.amount,
            "currency": invoice.currency,
            "description": self.description,
            "discount_amounts": [],
            "discountable": true,
            "discounts": [],
            "invoice": invoice.id,
            "livemode": livemode,
            "metadata": {},
            "parent": {
                "invoice_item_details": null,
                "subscription_item_details": {
                    "invoice_item": null,
                    "proration": false,
                    "proration_details": {"credited_items": null},
                    "subscription": invoice.subscription,
                    "subscription_item": self.item,
                },
                "type": "subscription_item_details",
            },
            "period": {"end": self.end, "start": self.start},
            "pretax_credit_amounts": [],
            "pricing": {
                "price_details": {"price": self.price, "product": self.product},
                "type": "price_details",
                "unit_amount_decimal": self.unit_amount.to_string(),
            },
            "quantity": self.quantity,
            "quantity_decimal": self.quantity.to_string(),
            "subscription": invoice.subscription,
            "subtotal": self.amount,
            "taxes": [],
        })
    }
}

impl Invoice {
    pub fn total(&self) -> i64 {
        self.lines.iter().map(|line| line.amount).sum()
    }

    fn is_settled(&self) -> bool {
        self.status == InvoiceStatus::Paid
    }

    pub fn render(&self, world: &World) -> Value {
        let (total, livemode) = (self.total(), world.livemode);
        let customer = world.customers.get(&self.customer);
        let lines: Vec<Value> = self.lines.iter().map(|line| line.render(self, livemode)).collect();
        json!({
            "id": self.id,
            "object": "invoice",
            "account_country": "US",
            "account_name": "Paywright Sandbox",
            "account_tax_ids": null,
            "amount_due": total,
            "amount_overpaid": 0,
            "amount_paid": self.amount_paid,
            "amount_remaining": total - self.amount_paid,
            "amount_shipping": 0,
            "application": null,
            "attempt_count": self.attempts,
            "attempted": self.attempts > 0,
            "auto_advance": matches!(self.status, InvoiceStatus::Draft | InvoiceStatus::Open),
            "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null, "provider": null, "status": null},
            "automatically_finalizes_at": self.finalizes_at,
            "billing_reason": self.billing_reason,
            "collection_method": "charge_automatically",
            "created": self.created,
            "currency": self.currency,
            "custom_fields": null,
            "customer": self.customer,
            "customer_account": null,
            "customer_address": null,
            "customer_email": customer.and_then(|customer| customer.email.as_ref()),
            "customer_name": customer.and_then(|customer| customer.name.as_ref()),
            "customer_phone": null,
            "customer_shipping": null,
            "customer_tax_exempt": "none",
            "customer_tax_ids": [],
            "default_payment_method": null,
            "default_source": null,
            "default_tax_rates": [],
            "description": null,
            "discounts": [],
            "due_date": null,
            "effective_at": self.finalized_at,
            "ending_balance": self.finalized_at.map(|_| 0),
            "footer": null,
            "from_invoice": null,
            "hosted_invoice_url": null,
            "invoice_pdf": null,
            "issuer": {"type": "self"},
            "last_finalization_error": null,
            "latest_revision": null,
            "lines": list::of(lines, false, &format!("/v1/invoices/{}/lines", self.id)),
            "livemode": livemode,
            "metadata": self.metadata.to_value(),
            "next_payment_attempt": self.next_attempt,
            "number": self.number,
            "on_behalf_of": null,
            "parent": {
                "quote_details": null,
                "subscription_details": {"metadata": {}, "subscription": self.subscription},
                "type": "subscription_details",
            },
            "payment_settings": {"default_mandate": null, "payment_method_options": null, "payment_method_types": null},
            "period_end": self.period_end,
            "period_start": self.period_start,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "receipt_number": null,
            "rendering": null,
            "shipping_cost": null,
            "shipping_details": null,
            "starting_balance": 0,
            "statement_descriptor": null,
            "status": self.status,
            "status_transitions": {
                "finalized_at": self.finalized_at,
                "marked_uncollectible_at": null,
                "paid_at": self.paid_at,
                "voided_at": self.voided_at,
            },
            "subtotal": total,
            "subtotal_excluding_tax": total,
            "test_clock": null,
            "total": total,
            "total_discount_amounts": [],
            "total_excluding_tax": total,
            "total_pretax_credit_amounts": [],
            "total_taxes": [],
            "webhooks_delivered_at": self.finalized_at,
        })
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
    parameters.insert("amount".into(), json!(total.max(super::currency::minimum(currency))));
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

/// The invoice of an intent follows it: paid, failed, or waiting for the customer.
pub fn follow(context: &mut Context<'_>, intent: &str) {
    let Some(intent) = context.world.payment_intents.get(intent) else { return };
    let Some(Owner::Invoice(id)) = intent.owner.clone() else { return };
    match intent.status {
        IntentStatus::Succeeded => settle(context, &id),
        IntentStatus::RequiresAction => {
            let body = context.world.invoice(&id);
            context.emit("invoice.payment_action_required", &body);
        }
        IntentStatus::RequiresPaymentMethod if intent.last_payment_error.is_some() => fail(context, &id),
        _ => {}
    }
}

fn settle(context: &mut Context<'_>, id: &str) {
    let now = context.now.seconds();
    let Some(invoice) = context.world.invoices.get_mut(id).filter(|invoice| !invoice.is_settled()) else {
        return;
    };
    invoice.status = InvoiceStatus::Paid;
    invoice.amount_paid = invoice.total();
    invoice.paid_at = Some(now);
    invoice.attempts += 1;
    invoice.next_attempt = None;
    let payment = invoice.payment.clone();
    if let Some(payment) = payment {
        context.world.invoice_payments.get_mut(&payment).expect("payments are never removed").paid_at =
            Some(now);
        let body = context.world.invoice_payment(&payment);
        context.emit("invoice_payment.paid", &body);
    }
    let body = context.world.invoice(id);
    context.emit("invoice.paid", &body);
    context.emit("invoice.payment_succeeded", &body);
    subscription::invoice_was_paid(context, id);
}

fn fail(context: &mut Context<'_>, id: &str) {
    let now = context.now;
    let invoice = change(context, id);
    let place = usize::try_from(invoice.attempts).unwrap_or(usize::MAX);
    invoice.attempts += 1;
    let renews = invoice.billing_reason == "subscription_cycle";
    let retry = RETRY_DAYS.get(place).filter(|_| renews).map(|days| now.plus_seconds(days * DAY));
    invoice.next_attempt = retry.map(super::time::Time::seconds);
    if let Some(at) = retry {
        context.world.timers.set(at, Due::InvoiceRetries(id.to_owned()));
    }
    let body = context.world.invoice(id);
    context.emit("invoice.payment_failed", &body);
    subscription::invoice_has_failed(context, id, retry.is_none());
}

/// Charges the saved card, off session.
///
/// # Errors
/// 402 for a decline.
pub fn collect(context: &mut Context<'_>, id: &str, method: Option<&str>) -> ApiResult<()> {
    let invoice = get(context, id)?;
    let Some(intent) = invoice.payment_intent.clone() else { return Ok(()) };
    let method = method.map(str::to_owned).or_else(|| subscription::saved_method(context, invoice));
    let Some(method) = method else {
        let message = "There is no `default_payment_method` set on this Customer or Invoice. Please set a default payment method.";
        return Err(ApiError::refused(message).code("invoice_payment_intent_requires_action").into());
    };
    let mut parameters = Map::new();
    parameters.insert("payment_method".into(), json!(method));
    parameters.insert("off_session".into(), json!(true));
    payment_intent::confirm(context, &[&intent], Params::new(&parameters)).map(drop)
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

/// `POST /v1/invoices/{id}/pay`.
pub fn pay(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let id = ids[0];
    match get(context, id)?.status {
        InvoiceStatus::Draft => finalize_now(context, id),
        InvoiceStatus::Open => {}
        InvoiceStatus::Paid => return Err(ApiError::refused("Invoice is already paid").into()),
        InvoiceStatus::Void | InvoiceStatus::Uncollectible => {
            return Err(ApiError::refused("This invoice can no longer be paid.").into());
        }
    }
    if params.boolean("paid_out_of_band") {
        if let Some(intent) = get(context, id)?.payment_intent.clone() {
            payment_intent::cancel_now(context, &intent, None);
        }
        settle(context, id);
        return Ok(context.world.invoice(id));
    }
    if !get(context, id)?.is_settled() {
        collect(context, id, params.text("payment_method"))?;
    }
    Ok(context.world.invoice(id))
}

/// An open invoice that will never be paid.
pub fn void(context: &mut Context<'_>, id: &str) {
    let now = context.now.seconds();
    let Some(invoice) = context.world.invoices.get_mut(id).filter(|one| one.status == InvoiceStatus::Open)
    else {
        return;
    };
    invoice.status = InvoiceStatus::Void;
    invoice.voided_at = Some(now);
    invoice.next_attempt = None;
    let body = context.world.invoice(id);
    context.emit("invoice.voided", &body);
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

/// Tries an open invoice again.
pub fn retry(context: &mut Context<'_>, id: &str) {
    if get(context, id).is_ok_and(|invoice| invoice.status == InvoiceStatus::Open) {
        // A decline has its own events.
        drop(collect(context, id, None));
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
