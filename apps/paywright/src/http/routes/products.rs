use actix_web::{HttpRequest, HttpResponse, web};
use paywright_domain::{
    Currency, Metadata, Money, OperationId, Product, ProductId, Version, check_metadata, check_text,
    ports::{Catalogue, Page, StoreError},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{
        auth,
        body::{self, Body},
        idempotent::{self, Answer},
        openapi::words,
        present::{List, ProductJson},
        problem::Problem,
    },
    wiring::App,
};

const NAME_MAX: usize = 250;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Tea, 100 g", "unit_amount": 1999, "currency": "usd" }))]
pub(super) struct NewProduct {
    /// What the customer reads; no control characters.
    #[schema(min_length = 1, max_length = 250, pattern = r"^(?!\s*$)[^\x00-\x1f\x7f-\x9f]*$")]
    name: String,
    /// The price of one, in minor units; at most 99999999, more in IDR, COP and INR. Some currencies have steps.
    #[schema(minimum = 1)]
    unit_amount: u64,
    #[schema(value_type = words::Currency)]
    currency: Currency,
    /// Whether it can be ordered.
    #[serde(default = "yes")]
    #[schema(default = true)]
    active: bool,
    #[serde(default)]
    #[schema(value_type = words::Metadata)]
    metadata: Metadata,
}

/// What is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProductEdit, example = json!({ "unit_amount": 2199 }))]
pub(super) struct Edit {
    /// What the customer reads; no control characters.
    #[schema(min_length = 1, max_length = 250, pattern = r"^(?!\s*$)[^\x00-\x1f\x7f-\x9f]*$")]
    name: Option<String>,
    /// The price of one from now on; orders keep the price of when they were placed.
    #[schema(minimum = 1)]
    unit_amount: Option<u64>,
    /// Whether it can be ordered.
    active: Option<bool>,
    /// All of it anew.
    #[schema(value_type = Option<words::Metadata>)]
    metadata: Option<Metadata>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// How many.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The id of the last one of the page before.
    #[param(value_type = words::ProductId, required = false)]
    starting_after: Option<String>,
}

fn yes() -> bool {
    true
}

/// Adds a product
#[utoipa::path(
    post,
    path = "/v1/products",
    operation_id = "add_product",
    tag = "products",
    request_body = NewProduct,
    security(("api_key" = ["products:write"])),
    responses((status = 201, description = "The product", body = ProductJson)),
)]
pub(super) async fn add(
    app: web::Data<App>,
    request: HttpRequest,
    bytes: Body,
) -> Result<HttpResponse, Problem> {
    let caller = auth::caller(&app, &request, "products:write").await?;
    let new: NewProduct = body::json(&request, &bytes)?;
    let work = {
        let app = app.clone();
        move |operation| async move { insert(&app, operation, new).await }
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

async fn insert(app: &App, operation: OperationId, new: NewProduct) -> Result<Answer, Problem> {
    let product = Product {
        id: ProductId::from_uuid(operation.uuid()),
        mode: app.settings.mode,
        version: Version::FIRST,
        name: new.name,
        unit_price: price(new.unit_amount, new.currency)?,
        active: new.active,
        metadata: new.metadata,
        created_at: app.ports.clock.now(),
    };
    check(&product)?;
    let product = app.store.add(product).await?;
    Ok(Answer::created(ProductJson::from(&product)))
}

/// Shows a product
#[utoipa::path(
    get,
    path = "/v1/products/{id}",
    operation_id = "show_product",
    tag = "products",
    params(("id" = words::ProductId, Path, description = "The product")),
    security(("api_key" = ["products:read"])),
    responses((status = 200, description = "The product", body = ProductJson)),
)]
pub(super) async fn show(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    auth::caller(&app, &request, "products:read").await?;
    let product = find(&app, &path).await?;
    Ok(HttpResponse::Ok().json(ProductJson::from(&product)))
}

/// Lists products, newest first
#[utoipa::path(
    get,
    path = "/v1/products",
    operation_id = "list_products",
    tag = "products",
    params(Paging),
    security(("api_key" = ["products:read"])),
    responses((status = 200, description = "A page", body = List<ProductJson>)),
)]
pub(super) async fn list(app: web::Data<App>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    auth::caller(&app, &request, "products:read").await?;
    let paging: Paging = body::query(&request)?;
    let page = page(paging.limit.as_deref(), paging.starting_after.as_deref(), "product")?;
    let listed = Catalogue::list(&app.store, app.settings.mode, page).await?;
    let data = listed.rows.iter().map(ProductJson::from).collect();
    Ok(HttpResponse::Ok().json(List::new(data, listed.has_more)))
}

/// Changes a product
///
/// Orders that were placed before keep their names and prices.
#[utoipa::path(
    patch,
    path = "/v1/products/{id}",
    operation_id = "edit_product",
    tag = "products",
    params(("id" = words::ProductId, Path, description = "The product")),
    request_body(content = Option<Edit>),
    security(("api_key" = ["products:write"])),
    responses((status = 200, description = "The product", body = ProductJson)),
)]
pub(super) async fn edit(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Result<HttpResponse, Problem> {
    auth::caller(&app, &request, "products:write").await?;
    let edit: Edit = body::json(&request, &bytes)?;
    for _ in 0..8 {
        let edited = edit.apply(find(&app, &path).await?)?;
        match app.store.replace(edited.clone()).await {
            Ok(()) => return Ok(HttpResponse::Ok().json(ProductJson::from(&edited))),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict.into())
}

impl Edit {
    fn apply(&self, product: Product) -> Result<Product, Problem> {
        let currency = product.unit_price.currency();
        let edited = Product {
            version: Version::from_number(product.version.number() + 1),
            name: self.name.clone().unwrap_or(product.name),
            unit_price: self.unit_amount.map_or(Ok(product.unit_price), |minor| price(minor, currency))?,
            active: self.active.unwrap_or(product.active),
            metadata: self.metadata.clone().unwrap_or(product.metadata),
            ..product
        };
        check(&edited)?;
        Ok(edited)
    }
}

fn check(product: &Product) -> Result<(), Problem> {
    check_text("name", &product.name, NAME_MAX)?;
    Ok(check_metadata(&product.metadata)?)
}

/// The price of one thing, as a client names it.
///
/// # Errors
/// 422 for one that no shop could ask.
pub fn price(minor: u64, currency: Currency) -> Result<Money, Problem> {
    let wrong = |detail: String| Problem::invalid("unit_amount", detail);
    if minor == 0 || minor > currency.maximum() {
        return Err(wrong(format!("must be 1 to {} minor units", currency.maximum())));
    }
    if !minor.is_multiple_of(currency.step()) {
        return Err(wrong(format!("must be a multiple of {} in {currency}", currency.step())));
    }
    Money::from_minor(minor, currency).map_err(|error| wrong(error.to_string()))
}

async fn find(app: &App, id: &str) -> Result<Product, Problem> {
    let id = body::id(id, "product")?;
    app.store.product(app.settings.mode, id).await?.ok_or_else(|| Problem::not_found("product"))
}

/// The part of a list that `limit` and `starting_after` name.
///
/// # Errors
/// 422 naming the one that is wrong.
pub fn page<T: std::str::FromStr>(
    limit: Option<&str>,
    after: Option<&str>,
    what: &str,
) -> Result<Page<T>, Problem> {
    let limit = limit.map_or(Ok(20), str::parse).ok().filter(|limit| (1..=100).contains(limit));
    let limit = limit.ok_or_else(|| Problem::invalid("limit", "must be 1 to 100"))?;
    let after = after
        .map(|text| {
            text.parse().map_err(|_| Problem::invalid("starting_after", format!("is no id of a {what}")))
        })
        .transpose()?;
    Ok(Page { limit, after })
}
