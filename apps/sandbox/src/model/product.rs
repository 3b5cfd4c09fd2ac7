//! Products: what a line item sells.
//!
//! Source: <https://docs.stripe.com/api/products>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::context::Context;
use super::error::{ApiError, ApiResult};
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::price;
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

impl Row for Product {
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

pub(super) fn new(context: &mut Context<'_>, params: Params<'_>) -> ApiResult<Product> {
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
    let mut product = new(context, params)?;
    if context.world.products.contains(&product.id) {
        let message = format!("Product already exists with ID: {}", product.id);
        return Err(ApiError::refused(message).code("resource_already_exists").param("id").into());
    }
    let default_price = match params.object("default_price_data") {
        Some(data) => Some(price::new(context, data, &product.id)?),
        None => None,
    };
    product.default_price = default_price.as_ref().map(|price| price.id.clone());
    let id = product.id.clone();
    context.world.products.insert(product);
    let body = context.world.product(&id);
    context.emit("product.created", &body);
    if let Some(price) = default_price {
        price::insert(context, price);
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

pub(super) fn alive<'a>(context: &'a Context<'_>, id: &str) -> ApiResult<&'a Product> {
    match context.world.products.get(id) {
        Some(product) if !product.deleted => Ok(product),
        _ => Err(context.no_such("product", id, "id")),
    }
}
