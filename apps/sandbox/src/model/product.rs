//! Products and prices: what a line item sells.
//!
//! Source: <https://docs.stripe.com/api/products>, <https://docs.stripe.com/api/prices>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::context::Context;
use super::currency;
use super::error::{ApiError, ApiResult};
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::table::Row;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Product {
    pub id: String,
    pub created: i64,
    pub updated: i64,
    pub name: String,
    pub active: bool,
    pub description: Option<String>,
    pub images: Vec<String>,
    pub metadata: Metadata,
    pub default_price: Option<String>,
    pub unit_label: Option<String>,
    pub url: Option<String>,
    pub statement_descriptor: Option<String>,
    pub tax_code: Option<String>,
    pub shippable: Option<bool>,
    pub deleted: bool,
}

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

impl Row for Product {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Row for Price {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Product {
    pub fn render(&self, livemode: bool) -> Value {
        if self.deleted {
            return json!({"id": self.id, "object": "product", "deleted": true});
        }
        json!({
            "id": self.id,
            "object": "product",
            "active": self.active,
            "created": self.created,
            "default_price": self.default_price,
            "description": self.description,
            "images": self.images,
            "livemode": livemode,
            "marketing_features": [],
            "metadata": self.metadata.to_value(),
            "name": self.name,
            "package_dimensions": null,
            "shippable": self.shippable,
            "statement_descriptor": self.statement_descriptor,
            "tax_code": self.tax_code,
            "type": "service",
            "unit_label": self.unit_label,
            "updated": self.updated,
            "url": self.url,
        })
    }

    fn apply(&mut self, params: Params<'_>) -> ApiResult<()> {
        params.merge_metadata(&mut self.metadata)?;
        if let Some(name) = params.text("name") {
            self.name = name.to_owned();
        }
        if let Some(active) = params.value("active").and_then(Value::as_bool) {
            self.active = active;
        }
        if params.has("images") {
            self.images = params.texts("images");
        }
        if let Some(shippable) = params.value("shippable") {
            self.shippable = shippable.as_bool();
        }
        params.update_text("description", &mut self.description);
        params.update_text("unit_label", &mut self.unit_label);
        params.update_text("url", &mut self.url);
        params.update_text("statement_descriptor", &mut self.statement_descriptor);
        params.update_text("tax_code", &mut self.tax_code);
        params.update_text("default_price", &mut self.default_price);
        Ok(())
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

fn new_product(context: &mut Context<'_>, params: Params<'_>) -> ApiResult<Product> {
    let mut product = Product {
        id: params.owned("id").unwrap_or_else(|| format!("prod_{}", context.random.text(14))),
        created: context.now.seconds(),
        updated: context.now.seconds(),
        name: String::new(),
        active: true,
        description: None,
        images: Vec::new(),
        metadata: Metadata::default(),
        default_price: None,
        unit_label: None,
        url: None,
        statement_descriptor: None,
        tax_code: None,
        shippable: None,
        deleted: false,
    };
    product.apply(params)?;
    Ok(product)
}

/// `POST /v1/products`.
pub fn create(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let mut product = new_product(context, params)?;
    if context.world.products.contains(&product.id) {
        let message = format!("Product already exists with ID: {}", product.id);
        return Err(ApiError::refused(message).code("resource_already_exists").param("id").into());
    }
    let default_price = match params.object("default_price_data") {
        Some(data) => Some(new_price(context, data, &product.id)?),
        None => None,
    };
    product.default_price = default_price.as_ref().map(|price| price.id.clone());
    let id = product.id.clone();
    context.world.products.insert(product);
    let body = context.world.product(&id);
    context.emit("product.created", &body);
    if let Some(price) = default_price {
        insert_price(context, price);
    }
    Ok(body)
}

/// `POST /v1/products/{id}`.
pub fn update(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let mut changed = alive(context, ids[0])?.clone();
    let before = changed.render(context.world.livemode);
    changed.apply(params)?;
    changed.updated = context.now.seconds();
    *context.world.products.get_mut(ids[0]).expect("it was just found") = changed;
    let after = context.world.product(ids[0]);
    context.emit_updated("product.updated", &before, &after);
    Ok(after)
}

/// `DELETE /v1/products/{id}`: only without prices.
pub fn delete(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    alive(context, ids[0])?;
    if context.world.prices.iter().any(|price| price.product == ids[0]) {
        let message = "This product cannot be deleted because it has one or more user-created prices.";
        return Err(ApiError::refused(message).into());
    }
    let body = context.world.product(ids[0]);
    context.world.products.get_mut(ids[0]).expect("it was just found").deleted = true;
    context.emit("product.deleted", &body);
    Ok(context.world.product(ids[0]))
}

/// `GET /v1/products/{id}`.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    match context.world.products.get(ids[0]) {
        Some(product) => Ok(product.render(livemode)),
        None => Err(context.no_such("product", ids[0], "id")),
    }
}

/// `GET /v1/products`.
pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    let (active, ids) = (params.value("active").and_then(Value::as_bool), params.texts("ids"));
    list::render(
        &context.world.products,
        &Page::from_params(params)?,
        "/v1/products",
        |product| {
            !product.deleted
                && active.is_none_or(|active| product.active == active)
                && (ids.is_empty() || ids.contains(&product.id))
                && params.text("url").is_none_or(|url| product.url.as_deref() == Some(url))
        },
        |product| product.render(livemode),
    )
}

fn alive<'a>(context: &'a Context<'_>, id: &str) -> ApiResult<&'a Product> {
    match context.world.products.get(id) {
        Some(product) if !product.deleted => Ok(product),
        _ => Err(context.no_such("product", id, "id")),
    }
}

/// A price of `currency`, `unit_amount` or `unit_amount_decimal`, and `recurring`.
fn new_price(context: &mut Context<'_>, params: Params<'_>, product: &str) -> ApiResult<Price> {
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

fn insert_price(context: &mut Context<'_>, price: Price) -> Value {
    let body = price.render(context.world.livemode);
    context.world.prices.insert(price);
    context.emit("price.created", &body);
    body
}

/// `POST /v1/prices`.
pub fn create_price(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let product = match (params.text("product"), params.object("product_data")) {
        (Some(id), _) => alive(context, id).map_err(|error| error.status(400).param("product"))?.id.clone(),
        (None, Some(data)) => {
            let product = new_product(context, data)?;
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
    let price = new_price(context, params, &product)?;
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
    Ok(insert_price(context, price))
}

/// `POST /v1/prices/{id}`.
pub fn update_price(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
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
pub fn retrieve_price(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.prices.get(ids[0]) {
        Some(price) => Ok(price.render(context.world.livemode)),
        None => Err(context.no_such("price", ids[0], "price")),
    }
}

/// `GET /v1/prices`.
pub fn list_prices(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
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
            let product = Product { active: false, ..new_product(context, given)? };
            let id = product.id.clone();
            context.world.products.insert(product);
            id
        }
        (None, None) => return Err(ApiError::missing(format!("{at}[price_data][product_data]")).into()),
    };
    let price = Price { active: false, ..new_price(context, data, &product)? };
    let id = price.id.clone();
    context.world.prices.insert(price);
    Ok(id)
}
