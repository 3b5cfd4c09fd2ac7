use actix_web::{HttpRequest, HttpResponse, web};
use paywright_domain::{
    CaptureMethod, Currency, CustomerId, Metadata, OrderId, OrderState, ProductId,
    ports::{OrderFilter, OrderView, Reader},
    usecase::{NewItem, NewOrder},
};
use serde::Deserialize;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};
use utoipa::{IntoParams, ToSchema};

use super::products::page;
use crate::{
    http::{
        auth,
        body::{self, Body, Object},
        idempotent::{self, Answer},
        openapi::words,
        present::{EntryJson, List, OrderJson},
        problem::Problem,
    },
    wiring::App,
};

pub(super) type Answered = Result<HttpResponse, Problem>;

/// Prices come from the catalogue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOrder, example = json!({
    "currency": "usd",
    "items": [{ "product": "prod_01kagpz3m4e5tv9w8x7y6z5a4b", "quantity": 2 }],
    "customer_email": "ada@example.org",
}))]
pub(super) struct Place {
    /// That of all the products.
    #[schema(value_type = words::Currency)]
    currency: Currency,
    #[schema(value_type = Vec<Line>, min_items = 1, max_items = 100)]
    items: Vec<Object<Line>>,
    /// One that ordered before.
    #[schema(value_type = Option<words::CustomerId>)]
    customer: Option<CustomerId>,
    /// Of the customer, who is found or made by it.
    #[schema(format = "email", max_length = 254)]
    customer_email: Option<String>,
    /// As configured if not said.
    #[schema(value_type = Option<words::CaptureMethod>)]
    capture_method: Option<String>,
    #[serde(default)]
    #[schema(value_type = words::Metadata)]
    metadata: Metadata,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewItem)]
struct Line {
    #[schema(value_type = words::ProductId)]
    product: ProductId,
    #[schema(minimum = 1, maximum = 999_999)]
    quantity: u32,
}

/// Places an order
#[utoipa::path(
    post,
    path = "/v1/orders",
    operation_id = "place_order",
    tag = "orders",
    request_body = Place,
    security(("api_key" = ["orders:write"])),
    responses((status = 201, description = "The order", body = OrderJson)),
)]
pub(super) async fn place(app: web::Data<App>, request: HttpRequest, bytes: Body) -> Answered {
    let caller = auth::caller(&app, &request, "orders:write").await?;
    let place: Place = body::json(&request, &bytes)?;
    let new = NewOrder {
        currency: place.currency,
        items: place
            .items
            .iter()
            .map(|Object(line)| NewItem { product: line.product, quantity: line.quantity })
            .collect(),
        customer: place.customer,
        customer_email: place.customer_email,
        capture: place.capture_method.as_deref().map(capture_method).transpose()?,
        metadata: place.metadata,
    };
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let order = work_app.place_order.run(operation, actor, new).await?;
        let view = OrderView {
            order,
            payments: Vec::new(),
            declines: Vec::new(),
            refunds: Vec::new(),
            disputes: Vec::new(),
        };
        Ok(Answer::created(OrderJson::new(&view, &work_app.public_url)))
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

fn capture_method(text: &str) -> Result<CaptureMethod, Problem> {
    text.parse().map_err(|_| Problem::invalid("capture_method", "must be automatic or manual"))
}

/// Shows an order
#[utoipa::path(
    get,
    path = "/v1/orders/{id}",
    operation_id = "show_order",
    tag = "orders",
    params(("id" = words::OrderId, Path, description = "The order")),
    security(("api_key" = ["orders:read"])),
    responses((status = 200, description = "The order", body = OrderJson)),
)]
pub(super) async fn show(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "orders:read").await?;
    let id = body::id(&path, "order")?;
    Ok(HttpResponse::Ok().json(view(&app, id).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// How many.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The id of the last one of the page before.
    #[param(value_type = words::OrderId, required = false)]
    starting_after: Option<String>,
    /// In this state.
    #[param(value_type = words::OrderState, required = false)]
    state: Option<String>,
    /// Of this customer.
    #[param(value_type = words::CustomerId, required = false)]
    customer: Option<String>,
    /// Placed then or later.
    #[serde(rename = "created[gte]")]
    #[param(value_type = String, required = false, format = DateTime)]
    created_from: Option<String>,
    /// Placed before.
    #[serde(rename = "created[lt]")]
    #[param(value_type = String, required = false, format = DateTime)]
    created_before: Option<String>,
}

/// Lists orders, newest first
#[utoipa::path(
    get,
    path = "/v1/orders",
    operation_id = "list_orders",
    tag = "orders",
    params(Filter),
    security(("api_key" = ["orders:read"])),
    responses((status = 200, description = "A page", body = List<OrderJson>)),
)]
pub(super) async fn list(app: web::Data<App>, request: HttpRequest) -> Answered {
    auth::caller(&app, &request, "orders:read").await?;
    let filter: Filter = body::query(&request)?;
    let page = page::<OrderId>(filter.limit.as_deref(), filter.starting_after.as_deref(), "order")?;
    let listed = app.store.list_orders(app.settings.mode, filter.parse()?, page).await?;
    let data = listed.rows.iter().map(|view| OrderJson::new(view, &app.public_url)).collect();
    Ok(HttpResponse::Ok().json(List::new(data, listed.has_more)))
}

impl Filter {
    fn parse(self) -> Result<OrderFilter, Problem> {
        let state =
            |text: String| text.parse::<OrderState>().map_err(|_| Problem::invalid("state", "is no state"));
        let customer =
            |text: String| text.parse().map_err(|_| Problem::invalid("customer", "is no customer's id"));
        Ok(OrderFilter {
            state: self.state.map(state).transpose()?,
            customer: self.customer.map(customer).transpose()?,
            created_from: self.created_from.map(|text| moment("created[gte]", &text)).transpose()?,
            created_before: self.created_before.map(|text| moment("created[lt]", &text)).transpose()?,
        })
    }
}

pub(super) fn moment(field: &str, text: &str) -> Result<OffsetDateTime, Problem> {
    // At the end of the calendar an offset may lead out of it.
    let moment =
        OffsetDateTime::parse(text, &Rfc3339).ok().and_then(|at| at.checked_to_offset(UtcOffset::UTC));
    moment.ok_or_else(|| Problem::invalid(field, "must be a time such as 2026-11-21T12:00:00Z"))
}

/// Tells what happened to an order
///
/// Every step, oldest first: who, why, from, to, on whose word.
#[utoipa::path(
    get,
    path = "/v1/orders/{id}/timeline",
    operation_id = "show_timeline",
    tag = "orders",
    params(("id" = words::OrderId, Path, description = "The order")),
    security(("api_key" = ["orders:read"])),
    responses((status = 200, description = "All steps", body = List<EntryJson>)),
)]
pub(super) async fn timeline(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "orders:read").await?;
    let id = body::id(&path, "order")?;
    let order = app.ports.store.order(id).await?.filter(|order| order.mode == app.settings.mode);
    order.ok_or_else(|| Problem::not_found("order"))?;
    let entries = app.store.timeline(id).await?;
    Ok(HttpResponse::Ok().json(List::new(entries.into_iter().map(EntryJson::from).collect(), false)))
}

/// The order with all its parts, as it is now.
pub(super) async fn view(app: &App, id: OrderId) -> Result<OrderJson, Problem> {
    let view = app.store.order_view(app.settings.mode, id).await?;
    let view = view.ok_or_else(|| Problem::not_found("order"))?;
    Ok(OrderJson::new(&view, &app.public_url))
}
