//! Prices: what a product costs, once or each period.
//!
//! Source: <https://docs.stripe.com/api/prices>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::context::Context;
use super::currency;
use super::error::{ApiError, ApiResult};
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::product::{self, Product, alive};
use super::table::Row;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Price {
    pub id: String,
    pub created: i64,
    pub active: bool,
    pub currency: String,
    pub product: String,
    pub unit_amount: i64,
    pub recurring: Option<Recurring>,
    pub nickname: Option<String>,
    pub lookup_key: Option<String>,
    pub tax_behavior: String,
    pub metadata: Metadata,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurring {
    pub interval: String,
    pub interval_count: i64,
    pub trial_period_days: Option<i64>,
    pub usage_type: String,
}

impl Row for Price {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Price {
    pub fn render(&self, livemode: bool) -> Value {
        let recurring = self.recurring.as_ref().map(|recurring| {
            json!({
                "interval": recurring.interval,
                "interval_count": recurring.interval_count,
                "meter": null,
                "trial_period_days": recurring.trial_period_days,
                "usage_type": recurring.usage_type,
            })
        });
        json!({
            "id": self.id,
            "object": "price",
            "active": self.active,
            "billing_scheme": "per_unit",
            "created": self.created,
            "currency": self.currency,
            "custom_unit_amount": null,
            "livemode": livemode,
            "lookup_key": self.lookup_key,
            "metadata": self.metadata.to_value(),
            "nickname": self.nickname,
            "product": self.product,
            "recurring": recurring,
            "tax_behavior": self.tax_behavior,
            "tiers_mode": null,
            "transform_quantity": null,
            "type": if self.recurring.is_some() { "recurring" } else { "one_time" },
            "unit_amount": self.unit_amount,
            "unit_amount_decimal": self.unit_amount.to_string(),
        })
    }
}

/// A price of `currency`, `unit_amount` or `unit_amount_decimal`, and `recurring`.
pub(super) fn new(context: &mut Context<'_>, params: Params<'_>, product: &str) -> ApiResult<Price> {
    let currency = currency::check(params.text("currency").unwrap_or_default())?;
    let recurring = params.object("recurring").map(|given| Recurring {
        interval: given.text("interval").unwrap_or("month").to_owned(),
        interval_count: given.integer("interval_count").unwrap_or(1).clamp(1, 1_000),
        trial_period_days: given.integer("trial_period_days"),
        usage_type: given.text("usage_type").unwrap_or("licensed").to_owned(),
    });
    Ok(Price {
        id: context.random.id("price"),
        created: context.now.seconds(),
        active: params.value("active").and_then(Value::as_bool).unwrap_or(true),
        currency,
        product: product.to_owned(),
        unit_amount: unit_amount(params)?,
        recurring,
        nickname: params.owned("nickname"),
        lookup_key: params.owned("lookup_key"),
        tax_behavior: params.text("tax_behavior").unwrap_or("unspecified").to_owned(),
        metadata: params.metadata()?,
    })
}

fn unit_amount(params: Params<'_>) -> ApiResult<i64> {
    let whole = |text: &str| text.split_once('.').map_or(text, |(whole, _)| whole).parse().ok();
    let given = params.integer("unit_amount").or_else(|| params.text("unit_amount_decimal").and_then(whole));
    match given {
        Some(amount) if (0..=currency::AMOUNT_MAX).contains(&amount) => Ok(amount),
        Some(_) => Err(ApiError::invalid("Invalid non-negative integer").param("unit_amount").into()),
        None => Err(ApiError::missing("unit_amount").into()),
    }
}

pub(super) fn insert(context: &mut Context<'_>, price: Price) -> Value {
    let body = price.render(context.world.livemode);
    context.world.prices.insert(price);
    context.emit("price.created", &body);
    body
}

/// `POST /v1/prices`.
pub fn create(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let product = match (params.text("product"), params.object("product_data")) {
        (Some(id), _) => alive(context, id).map_err(|error| error.status(400).param("product"))?.id.clone(),
        (None, Some(data)) => {
            let product = product::new(context, data)?;
            let id = product.id.clone();
            context.world.products.insert(product);
            let body = context.world.product(&id);
            context.emit("product.created", &body);
            id
        }
        (None, None) => {
            let message = "You must specify either `product` or `product_data` when creating a price.";
            return Err(ApiError::invalid(message).code("parameter_missing").param("product").into());
        }
    };
    let price = new(context, params, &product)?;
    if let Some(key) = &price.lookup_key {
        let taken = context.world.prices.iter().find(|known| known.lookup_key.as_ref() == Some(key));
        let taken = taken.map(|known| known.id.clone());
        match (taken, params.boolean("transfer_lookup_key")) {
            (Some(other), true) => {
                context.world.prices.get_mut(&other).expect("it was just found").lookup_key = None;
            }
            (Some(_), false) => {
                let message = format!("A price (`{key}`) already uses that lookup key.");
                return Err(ApiError::refused(message).param("lookup_key").into());
            }
            (None, _) => {}
        }
    }
    Ok(insert(context, price))
}

/// `POST /v1/prices/{id}`.
pub fn update(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    let Some(known) = context.world.prices.get(ids[0]) else {
        return Err(context.no_such("price", ids[0], "price"));
    };
    let mut price = known.clone();
    let before = price.render(livemode);
    params.merge_metadata(&mut price.metadata)?;
    params.update_text("nickname", &mut price.nickname);
    params.update_text("lookup_key", &mut price.lookup_key);
    if let Some(active) = params.value("active").and_then(Value::as_bool) {
        price.active = active;
    }
    if let Some(behavior) = params.text("tax_behavior") {
        price.tax_behavior = behavior.to_owned();
    }
    let after = price.render(livemode);
    *context.world.prices.get_mut(ids[0]).expect("it was just found") = price;
    context.emit_updated("price.updated", &before, &after);
    Ok(after)
}

/// `GET /v1/prices/{id}`.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.prices.get(ids[0]) {
        Some(price) => Ok(price.render(context.world.livemode)),
        None => Err(context.no_such("price", ids[0], "price")),
    }
}

/// `GET /v1/prices`.
pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    let (active, keys) = (params.value("active").and_then(Value::as_bool), params.texts("lookup_keys"));
    let kind = |price: &Price| if price.recurring.is_some() { "recurring" } else { "one_time" };
    list::render(
        &context.world.prices,
        &Page::from_params(params)?,
        "/v1/prices",
        |price| {
            active.is_none_or(|active| price.active == active)
                && params.text("product").is_none_or(|id| price.product == id)
                && params.text("currency").is_none_or(|code| price.currency == code)
                && params.text("type").is_none_or(|wanted| kind(price) == wanted)
                && (keys.is_empty() || price.lookup_key.as_ref().is_some_and(|key| keys.contains(key)))
        },
        |price| price.render(livemode),
    )
}

/// The price of a line: an id of one, or `price_data`, which makes an inactive one.
pub fn line_price(context: &mut Context<'_>, line: Params<'_>, at: &str) -> ApiResult<String> {
    if let Some(id) = line.text("price") {
        let Some(price) = context.world.prices.get(id) else {
            let error = *context.no_such("price", id, &format!("{at}[price]"));
            return Err(error.status(400).into());
        };
        if !price.active {
            let message = format!(
                "The price specified is inactive. This field only accepts active prices. Price: {id}"
            );
            return Err(ApiError::refused(message).param(format!("{at}[price]")).into());
        }
        return Ok(id.to_owned());
    }
    let Some(data) = line.object("price_data") else {
        return Err(ApiError::missing(format!("{at}[price]")).into());
    };
    let product = match (data.text("product"), data.object("product_data")) {
        (Some(id), _) => alive(context, id).map_err(|error| error.status(400))?.id.clone(),
        (None, Some(given)) => {
            let product = Product { active: false, ..product::new(context, given)? };
            let id = product.id.clone();
            context.world.products.insert(product);
            id
        }
        (None, None) => return Err(ApiError::missing(format!("{at}[price_data][product_data]")).into()),
    };
    let price = Price { active: false, ..new(context, data, &product)? };
    let id = price.id.clone();
    context.world.prices.insert(price);
    Ok(id)
}
