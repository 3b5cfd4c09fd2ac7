//! Customers and the payment methods saved on them.
//!
//! Source: <https://docs.stripe.com/api/customers>.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::context::Context;
use super::error::ApiResult;
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::payment_intent::shipping;
use super::payment_method::full_address;
use super::table::Row;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Customer {
    pub id: String,
    pub created: i64,
    pub email: Option<String>,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub description: Option<String>,
    pub address: Option<Value>,
    pub shipping: Option<Value>,
    pub metadata: Metadata,
    pub invoice_prefix: String,
    pub default_payment_method: Option<String>,
    pub invoices: i64,
    /// Returned as sent: `tax_exempt`, `preferred_locales`, `balance`.
    pub kept: Map<String, Value>,
    pub deleted: bool,
}

impl Row for Customer {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Customer {
    pub fn render(&self, livemode: bool) -> Value {
        if self.deleted {
            return json!({"id": self.id, "object": "customer", "deleted": true});
        }
        let kept = |name: &str, default: Value| self.kept.get(name).cloned().unwrap_or(default);
        json!({
            "id": self.id,
            "object": "customer",
            "address": self.address,
            "balance": kept("balance", json!(0)),
            "created": self.created,
            "currency": null,
            "customer_account": null,
            "default_source": null,
            "delinquent": false,
            "description": self.description,
            "discount": null,
            "email": self.email,
            "invoice_prefix": self.invoice_prefix,
            "invoice_settings": {
                "custom_fields": null,
                "default_payment_method": self.default_payment_method,
                "footer": null,
                "rendering_options": null,
            },
            "livemode": livemode,
            "metadata": self.metadata.to_value(),
            "name": self.name,
            "next_invoice_sequence": self.invoices + 1,
            "phone": self.phone,
            "preferred_locales": kept("preferred_locales", json!([])),
            "shipping": self.shipping,
            "tax_exempt": kept("tax_exempt", json!("none")),
            "test_clock": null,
        })
    }

    fn apply(&mut self, params: Params<'_>) -> ApiResult<()> {
        params.merge_metadata(&mut self.metadata)?;
        params.update_text("email", &mut self.email);
        params.update_text("name", &mut self.name);
        params.update_text("phone", &mut self.phone);
        params.update_text("description", &mut self.description);
        if params.has("address") {
            self.address = params.object("address").map(|_| full_address(params.value("address")));
        }
        if params.has("shipping") {
            self.shipping = params.object("shipping").map(shipping);
        }
        if let Some(method) = params.deep(&["invoice_settings", "default_payment_method"]) {
            self.default_payment_method = method.as_str().map(str::to_owned);
        }
        for name in ["balance", "preferred_locales", "tax_exempt"] {
            if let Some(value) = params.value(name) {
                self.kept.insert(name.to_owned(), value.clone());
            }
        }
        Ok(())
    }
}

/// `POST /v1/customers`.
pub fn create(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let mut customer = Customer {
        id: format!("cus_{}", context.random.text(14)),
        created: context.now.seconds(),
        email: None,
        name: None,
        phone: None,
        description: None,
        address: None,
        shipping: None,
        metadata: Metadata::default(),
        invoice_prefix: context.random.text(8).to_uppercase(),
        default_payment_method: None,
        invoices: 0,
        kept: Map::new(),
        deleted: false,
    };
    customer.apply(params)?;
    let id = customer.id.clone();
    let method = params.text("payment_method").map(str::to_owned);
    context.world.customers.insert(customer);
    if let Some(method) = method {
        super::payment_method::attach_to(context, &method, &id)?;
    }
    let body = context.world.customer(&id);
    context.emit("customer.created", &body);
    Ok(body)
}

/// `POST /v1/customers/{id}`.
pub fn update(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let mut changed = alive(context, ids[0])?.clone();
    let before = changed.render(context.world.livemode);
    changed.apply(params)?;
    *context.world.customers.get_mut(ids[0]).expect("it was just found") = changed;
    let after = context.world.customer(ids[0]);
    context.emit_updated("customer.updated", &before, &after);
    Ok(after)
}

/// `DELETE /v1/customers/{id}`.
pub fn delete(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    alive(context, ids[0])?;
    let body = context.world.customer(ids[0]);
    context.world.customers.get_mut(ids[0]).expect("it was just found").deleted = true;
    context.emit("customer.deleted", &body);
    Ok(context.world.customer(ids[0]))
}

/// `GET /v1/customers/{id}`; a deleted one says so.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.customers.get(ids[0]) {
        Some(customer) => Ok(customer.render(context.world.livemode)),
        None => Err(context.no_such("customer", ids[0], "id")),
    }
}

/// `GET /v1/customers`.
pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let (livemode, email) = (context.world.livemode, params.text("email"));
    list::render(
        &context.world.customers,
        &Page::from_params(params)?,
        "/v1/customers",
        |customer| !customer.deleted && email.is_none_or(|email| customer.email.as_deref() == Some(email)),
        |customer| customer.render(livemode),
    )
}

/// A customer that exists and was not deleted.
///
/// # Errors
/// 404 `resource_missing`.
pub fn alive<'a>(context: &'a Context<'_>, id: &str) -> ApiResult<&'a Customer> {
    match context.world.customers.get(id) {
        Some(customer) if !customer.deleted => Ok(customer),
        _ => Err(context.no_such("customer", id, "customer")),
    }
}

/// Keeps the payment method of a successful payment, when `setup_future_usage` asked for it.
/// Source: <https://docs.stripe.com/payments/save-during-payment>.
pub fn save_method(context: &mut Context<'_>, intent: &str, authenticated: bool) {
    let Some(intent) = context.world.payment_intents.get(intent) else { return };
    let (Some(customer), Some(usage)) = (intent.customer.clone(), intent.setup_future_usage.clone()) else {
        return;
    };
    let Some(method) = intent.payment_method.clone() else { return };
    let Some(method) = context.world.payment_methods.get_mut(&method) else { return };
    method.set_up = method.set_up || (authenticated && usage == "off_session");
    if method.customer.is_none() {
        method.customer = Some(customer);
        let body = method.render(context.world.livemode);
        context.emit("payment_method.attached", &body);
    }
}
