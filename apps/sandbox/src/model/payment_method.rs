//! Payment methods: cards, made from test tokens or typed in by a customer.
//!
//! Source: <https://docs.stripe.com/api/payment_methods>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cards::{self, Card};
use super::context::Context;
use super::error::{ApiError, ApiResult};
use super::metadata::Metadata;
use super::params::Params;
use super::random::Random;
use super::table::Row;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PaymentMethod {
    pub id: String,
    pub created: i64,
    pub customer: Option<String>,
    /// A number of the table of test cards.
    pub number: String,
    pub fingerprint: String,
    pub exp_month: i64,
    pub exp_year: i64,
    pub billing: BillingDetails,
    pub metadata: Metadata,
    pub allow_redisplay: String,
    /// Set up for off-session use: 3-D Secure was passed while saving.
    pub set_up: bool,
}

impl Row for PaymentMethod {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingDetails {
    pub email: Option<String>,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub address: Option<Value>,
}

impl BillingDetails {
    pub fn from_params(params: Params<'_>) -> Self {
        Self {
            email: params.owned("email"),
            name: params.owned("name"),
            phone: params.owned("phone"),
            address: params.value("address").cloned(),
        }
    }

    pub fn to_value(&self) -> Value {
        json!({
            "address": full_address(self.address.as_ref()),
            "email": self.email,
            "name": self.name,
            "phone": self.phone,
            "tax_id": null,
        })
    }
}

/// An address with all of its fields, the missing ones null.
pub fn full_address(given: Option<&Value>) -> Value {
    let field = |name: &str| given.and_then(|address| address.get(name)).cloned().unwrap_or(Value::Null);
    json!({
        "city": field("city"),
        "country": field("country"),
        "line1": field("line1"),
        "line2": field("line2"),
        "postal_code": field("postal_code"),
        "state": field("state"),
    })
}

impl PaymentMethod {
    /// What the test card does.
    pub fn card(&self) -> Card {
        cards::find(&self.number).expect("a payment method is only made from a card's number")
    }

    fn last4(&self) -> &str {
        &self.number[self.number.len() - 4..]
    }

    /// The members that a payment method and a charge share.
    pub fn card_facts(&self) -> serde_json::Map<String, Value> {
        let Value::Object(facts) = json!({
            "brand": self.card().brand,
            "checks": {"address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass"},
            "country": "US",
            "exp_month": self.exp_month,
            "exp_year": self.exp_year,
            "fingerprint": self.fingerprint,
            "funding": "credit",
            "last4": self.last4(),
            "regulated_status": "unregulated",
            "wallet": null,
        }) else {
            unreachable!("json! of braces is an object")
        };
        facts
    }

    /// What a bank account shows of itself.
    pub fn debit_facts(&self) -> Value {
        json!({
            "bank_code": "19043",
            "branch_code": "",
            "country": "AT",
            "fingerprint": self.fingerprint,
            "last4": self.last4(),
        })
    }

    pub fn render(&self, livemode: bool) -> Value {
        let kind = self.card().kind;
        let details = if kind == "card" { self.render_card() } else { self.render_debit() };
        let mut body = json!({
            "id": self.id,
            "object": "payment_method",
            "allow_redisplay": self.allow_redisplay,
            "billing_details": self.billing.to_value(),
            "created": self.created,
            "customer": self.customer,
            "customer_account": null,
            "livemode": livemode,
            "metadata": self.metadata.to_value(),
            "type": kind,
        });
        body[kind] = details;
        body
    }

    fn render_debit(&self) -> Value {
        let mut details = self.debit_facts();
        details["generated_from"] = json!({"charge": null, "setup_attempt": null});
        details
    }

    fn render_card(&self) -> Value {
        let mut card = self.card_facts();
        card.insert("display_brand".into(), json!(display_brand(self.card().brand)));
        card.insert("generated_from".into(), Value::Null);
        card.insert("networks".into(), json!({"available": [self.card().brand], "preferred": null}));
        card.insert("three_d_secure_usage".into(), json!({"supported": self.card().supports_three_d_secure}));
        Value::Object(card)
    }
}

fn display_brand(brand: &str) -> &str {
    if brand == "amex" { "american_express" } else { brand }
}

/// Makes a payment method of a card, as Stripe.js does in the browser.
///
/// # Errors
/// 402 `incorrect_number` for what is no card number.
pub fn create(context: &mut Context<'_>, number: &str, billing: BillingDetails) -> ApiResult<String> {
    let Ok(card) = cards::find(number) else {
        return Err(ApiError::card("incorrect_number", "Your card number is incorrect.")
            .param("number")
            .into());
    };
    let typed: String = number.chars().filter(char::is_ascii_digit).collect();
    // A card that is not in the table keeps the number that was typed in.
    let number = if cards::CARDS.contains(&card) { card.number.to_owned() } else { typed };
    let method = new(context, &card, number, billing);
    let id = method.id.clone();
    context.world.payment_methods.insert(method);
    Ok(id)
}

fn new(context: &mut Context<'_>, card: &Card, number: String, billing: BillingDetails) -> PaymentMethod {
    // The same card has the same fingerprint, whoever uses it.
    let seed = number.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    PaymentMethod {
        id: context.random.id("pm"),
        created: context.now.seconds(),
        customer: None,
        number,
        fingerprint: Random::new(seed, 0).text(16),
        exp_month: 12,
        exp_year: 2034,
        billing,
        metadata: Metadata::default(),
        allow_redisplay: "unspecified".to_owned(),
        set_up: card.authentication == cards::Authentication::OnSession,
    }
}

/// The payment method that a request describes in `payment_method_data`: a bank account, by its IBAN.
/// Source: <https://docs.stripe.com/payments/sepa-debit/accept-a-payment>.
///
/// # Errors
/// A 400 for what is no test account, and for kinds that the sandbox does not play.
pub fn from_data(context: &mut Context<'_>, data: Params<'_>) -> ApiResult<String> {
    let kind = data.text("type").unwrap_or_default();
    if kind != "sepa_debit" {
        let message = format!("The sandbox plays no payment method of type {kind} in payment_method_data.");
        return Err(ApiError::refused(message).param("payment_method_data[type]").into());
    }
    let param = "payment_method_data[sepa_debit][iban]";
    let iban = data.object("sepa_debit").and_then(|debit| debit.text("iban"));
    let Some(iban) = iban else { return Err(ApiError::missing(param).into()) };
    if !cards::find(iban).is_ok_and(|card| card.kind == kind) {
        let message = "The IBAN you provided is invalid.";
        return Err(ApiError::refused(message).code("invalid_bank_account_iban").param(param).into());
    }
    let billing = data.object("billing_details").map(BillingDetails::from_params).unwrap_or_default();
    create(context, iban, billing)
}

/// The payment method that a request means: an id of ours, or a token of a test card.
pub fn resolve(context: &mut Context<'_>, id: &str, param: &str) -> ApiResult<String> {
    if context.world.payment_methods.contains(id) {
        return Ok(id.to_owned());
    }
    match cards::by_token(id) {
        Some(_) if context.world.livemode => Err(context.no_such("PaymentMethod", id, param)),
        Some(card) => create(context, card.number, BillingDetails::default()),
        None => Err(context.no_such("PaymentMethod", id, param)),
    }
}

/// `GET /v1/payment_methods/{id}`. A token answers a payment method that is not kept.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    if let Some(method) = context.world.payment_methods.get(ids[0]) {
        return Ok(method.render(livemode));
    }
    match cards::by_token(ids[0]) {
        Some(card) if !livemode => {
            Ok(new(context, &card, card.number.to_owned(), BillingDetails::default()).render(livemode))
        }
        _ => Err(context.no_such("PaymentMethod", ids[0], "payment_method")),
    }
}

/// `POST /v1/payment_methods/{id}/attach`. A card that declines cannot be attached.
pub fn attach(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let Some(customer) = params.text("customer") else { return Err(ApiError::missing("customer").into()) };
    context.customer(Some(customer))?;
    let id = attach_to(context, ids[0], customer)?;
    Ok(context.world.payment_methods.get(&id).expect("it was just attached").render(context.world.livemode))
}

/// Attaches a payment method (or a token's card) to a customer and answers its id.
///
/// # Errors
/// 402 when the card cannot be saved, 400 when it belongs to another customer.
pub fn attach_to(context: &mut Context<'_>, id: &str, customer: &str) -> ApiResult<String> {
    let id = resolve(context, id, "payment_method")?;
    let livemode = context.world.livemode;
    let method = context.world.payment_methods.get_mut(&id).expect("it was just resolved");
    match (&method.customer, method.card().decline) {
        (Some(owner), _) if owner == customer => return Ok(id),
        (Some(_), _) => {
            let message = "The payment method you provided has already been attached to a customer.";
            return Err(ApiError::refused(message).code("payment_method_unexpected_state").into());
        }
        (None, Some(decline)) if !method.card().can_be_attached() => {
            let error = ApiError::card(decline.code, decline.message);
            let code = decline.decline_code.unwrap_or("generic_decline");
            return Err(error.with("decline_code", json!(code)).into());
        }
        (None, _) => {}
    }
    method.customer = Some(customer.to_owned());
    let body = method.render(livemode);
    context.emit("payment_method.attached", &body);
    Ok(id)
}

/// `POST /v1/payment_methods/{id}/detach`. A detached one can never be attached again.
pub fn detach(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    let Some(method) = context.world.payment_methods.get_mut(ids[0]) else {
        return Err(context.no_such("PaymentMethod", ids[0], "payment_method"));
    };
    let before = method.render(livemode);
    let Some(owner) = method.customer.take() else {
        let message =
            "The payment method you provided is not attached to a customer so detachment is impossible.";
        return Err(ApiError::refused(message).code("payment_method_unexpected_state").into());
    };
    let after = method.render(livemode);
    let customer = context.world.customers.get_mut(&owner);
    if let Some(customer) = customer.filter(|one| one.default_payment_method.as_deref() == Some(ids[0])) {
        customer.default_payment_method = None;
    }
    context.emit_updated("payment_method.detached", &before, &after);
    Ok(after)
}

/// `GET /v1/payment_methods` and `GET /v1/customers/{id}/payment_methods`.
pub fn list(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let customer = ids.first().copied().or(params.text("customer"));
    if let Some(id) = customer {
        super::customer::alive(context, id)?;
    }
    let url = ids
        .first()
        .map_or("/v1/payment_methods".to_owned(), |id| format!("/v1/customers/{id}/payment_methods"));
    let (livemode, kind) = (context.world.livemode, params.text("type"));
    super::list::render(
        &context.world.payment_methods,
        &super::list::Page::from_params(params)?,
        &url,
        |method| {
            kind.is_none_or(|kind| kind == method.card().kind)
                && customer.is_some()
                && method.customer.as_deref() == customer
        },
        |method| method.render(livemode),
    )
}
