use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use paywright_domain::{
    CancelReason, Channel, Currency, CustomerId, Metadata, OrderId, OrderState, PaymentId, ProductId,
    ReturnUrls, Shipment,
    ports::{OrderFilter, OrderView, Reader},
    usecase::{Advance, Cancellation, NewItem, NewOrder, StartPaymentError, Way},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};
use utoipa::{IntoParams, ToSchema};

use super::products::page;
use crate::{
    http::{
        auth,
        body::{self, Body, Object},
        idempotent::{self, Answer},
        openapi::words,
        present::{EntryJson, List, OrderJson, checkout_url},
        problem::Problem,
    },
    wiring::App,
};

type Answered = Result<HttpResponse, Problem>;

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
        metadata: place.metadata,
    };
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let order = work_app.place_order.run(operation, actor, new).await?;
        let view = OrderView { order, payments: Vec::new(), declines: Vec::new() };
        Ok(Answer::created(OrderJson::new(&view, &work_app.public_url)))
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
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

fn moment(field: &str, text: &str) -> Result<OffsetDateTime, Problem> {
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

/// Where the customer goes afterwards; by default to the order's own page.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCheckoutSession, example = json!({ "success_url": "https://shop.example.org/thanks" }))]
pub(super) struct Checkout {
    /// After paying; http or https. `{CHECKOUT_SESSION_ID}` is filled in by Stripe.
    #[schema(max_length = 2000)]
    success_url: Option<String>,
    /// After going back; http or https.
    #[schema(max_length = 2000)]
    cancel_url: Option<String>,
}

/// A page of Stripe's to pay on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CheckoutSession)]
pub(super) struct CheckoutJson {
    /// Send the customer there.
    #[schema(format = "uri")]
    url: String,
    #[schema(value_type = words::PaymentId)]
    payment: String,
}

/// Starts a payment on Stripe's page
///
/// Asking again gives the same page: an order has one live payment.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/checkout-session",
    operation_id = "start_checkout_session",
    tag = "payments",
    params(("id" = words::OrderId, Path, description = "The order")),
    request_body(content = Option<Checkout>),
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!(["illegal_transition", "payment_in_progress", "payment_refused"]))),
    responses((status = 200, description = "Where to pay", body = CheckoutJson)),
)]
pub(super) async fn checkout_session(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let caller = auth::caller(&app, &request, "orders:write").await?;
    let id: OrderId = body::id(&path, "order")?;
    let checkout: Checkout = body::json(&request, &bytes)?;
    let urls = return_urls(&app, id, checkout).await?;
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let started = work_app.start_payment.run(operation, actor, id, Channel::Checkout(urls)).await?;
        match started.way {
            Way::Page(url) => Ok(Answer::ok(CheckoutJson { url, payment: started.payment.id.to_string() })),
            Way::ClientSecret(_) => Err(StartPaymentError::InProgress.into()),
        }
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

/// The given addresses, or the order's own page.
async fn return_urls(app: &App, id: OrderId, checkout: Checkout) -> Result<ReturnUrls, Problem> {
    let order = app.ports.store.order(id).await?.filter(|order| order.mode == app.settings.mode);
    let order = order.ok_or_else(|| Problem::not_found("order"))?;
    let ours = checkout_url(&order, &app.public_url);
    let pick = |field: &str, given: Option<String>| match given {
        None => Ok(ours.clone()),
        Some(url) => check_url(field, url),
    };
    Ok(ReturnUrls {
        success: pick("success_url", checkout.success_url)?,
        cancel: pick("cancel_url", checkout.cancel_url)?,
    })
}

fn check_url(field: &str, url: String) -> Result<String, Problem> {
    let wrong = || Problem::invalid(field, "must be an http or https address of at most 2000 characters");
    let plain = url.replace("{CHECKOUT_SESSION_ID}", "id");
    let parsed: actix_web::http::Uri = plain.parse().map_err(|_| wrong())?;
    let web = matches!(parsed.scheme_str(), Some("http" | "https")) && parsed.host().is_some();
    if web && url.len() <= 2000 { Ok(url) } else { Err(wrong()) }
}

/// For Stripe's Payment Element on your own page.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentIntent)]
pub(super) struct IntentJson {
    #[schema(value_type = words::PaymentId)]
    payment: String,
    /// For Stripe.js; null if none is configured.
    #[schema(required)]
    publishable_key: Option<String>,
    /// For the customer's browser, and nobody else.
    client_secret: String,
}

/// Starts a payment on your own page
///
/// Ask as often as you like: a live payment is reused.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/payment-intent",
    operation_id = "start_payment_intent",
    tag = "payments",
    params(("id" = words::OrderId, Path, description = "The order")),
    request_body(content = Option<Empty>),
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!(["illegal_transition", "payment_in_progress", "payment_refused"]))),
    responses((status = 200, description = "What Stripe.js needs", body = IntentJson)),
)]
pub(super) async fn payment_intent(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let caller = auth::caller(&app, &request, "orders:write").await?;
    let id: OrderId = body::id(&path, "order")?;
    let Empty {} = body::json(&request, &bytes)?;
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let started = work_app.start_payment.run(operation, actor, id, Channel::PaymentIntent).await?;
        let Way::ClientSecret(secret) = started.way else { return Err(StartPaymentError::InProgress.into()) };
        Ok(Answer::ok(IntentJson {
            payment: started.payment.id.to_string(),
            publishable_key: work_app.settings.credentials().publishable_key.clone(),
            client_secret: secret.expose_secret().to_owned(),
        }))
    };
    let mut outcome = idempotent::once(&app, &caller, &request, &bytes, work).await?;
    if let (true, Ok(answer)) = (outcome.replayed, &outcome.answer) {
        let secret = client_secret(&app, answer.text("payment").unwrap_or_default()).await?;
        outcome.answer = outcome.answer.map(|answer| answer.field("client_secret", secret.expose_secret()));
    }
    Ok(outcome.respond())
}

/// A replayed answer's client secret, from Stripe: we do not store it.
async fn client_secret(app: &App, payment: &str) -> Result<secrecy::SecretString, Problem> {
    let id: PaymentId = body::id(payment, "payment")?;
    let payment = app.ports.store.payment(id).await?.ok_or_else(|| Problem::not_found("payment"))?;
    let intent = payment.intent.ok_or_else(|| Problem::not_found("payment"))?;
    let answer = app.ports.gateway.intent(&intent).await.map_err(StartPaymentError::Gateway)?;
    answer.and_then(|answer| answer.client_secret).ok_or_else(|| Problem::not_found("payment"))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCancellation, example = json!({ "reason": "duplicate" }))]
pub(super) struct Cancel {
    #[schema(value_type = Option<words::CancelFor>)]
    reason: Option<String>,
}

/// Cancels an order that is not paid
///
/// Stripe is asked first, so that nothing is cancelled here that may still be paid there.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/cancel",
    operation_id = "cancel_order",
    tag = "orders",
    params(("id" = words::OrderId, Path, description = "The order")),
    request_body(content = Option<Cancel>),
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!(["illegal_transition", "payment_under_way"]))),
    responses((status = 200, description = "It is cancelled", body = OrderJson), (status = 202, description = "It will be cancelled once Stripe has confirmed", body = OrderJson)),
)]
pub(super) async fn cancel(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let caller = auth::caller(&app, &request, "orders:write").await?;
    let id = body::id(&path, "order")?;
    let cancel: Cancel = body::json(&request, &bytes)?;
    let reason = match cancel.reason.as_deref() {
        None => CancelReason::default(),
        Some("expired") => return Err(Problem::invalid("reason", "is ours to give")),
        Some(text) => text.parse().map_err(|_| {
            Problem::invalid("reason", "must be requested_by_customer, duplicate or fraudulent")
        })?,
    };
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let status = match work_app.cancel_order.run(operation, actor, id, reason).await? {
            Cancellation::Cancelled(_) => StatusCode::OK,
            Cancellation::Requested(_) => StatusCode::ACCEPTED,
        };
        Ok(Answer::with(status, view(&work_app, id).await?))
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

/// Nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewShipment, example = json!({ "carrier": "DHL", "tracking": "JD0001" }))]
pub(super) struct Ship {
    /// No control characters.
    #[schema(min_length = 1, max_length = 100)]
    carrier: String,
    /// No control characters.
    #[schema(min_length = 1, max_length = 200)]
    tracking: Option<String>,
}

/// Says that a paid order is being prepared
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/fulfillment",
    operation_id = "start_fulfillment",
    tag = "orders",
    params(("id" = words::OrderId, Path, description = "The order")),
    request_body(content = Option<Empty>),
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!(["illegal_transition"]))),
    responses((status = 200, description = "The order", body = OrderJson)),
)]
pub(super) async fn fulfillment(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    advance(app, request, &path, &bytes, |Empty {}| Advance::StartFulfillment).await
}

/// Says that an order was handed over
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/ship",
    operation_id = "ship_order",
    tag = "orders",
    params(("id" = words::OrderId, Path, description = "The order")),
    request_body = Ship,
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!(["illegal_transition"]))),
    responses((status = 200, description = "The order", body = OrderJson)),
)]
pub(super) async fn ship(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let shipped = |ship: Ship| Advance::Ship(Shipment { carrier: ship.carrier, tracking: ship.tracking });
    advance(app, request, &path, &bytes, shipped).await
}

/// Says that an order is done
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/complete",
    operation_id = "complete_order",
    tag = "orders",
    params(("id" = words::OrderId, Path, description = "The order")),
    request_body(content = Option<Empty>),
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!(["illegal_transition"]))),
    responses((status = 200, description = "The order", body = OrderJson)),
)]
pub(super) async fn complete(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    advance(app, request, &path, &bytes, |Empty {}| Advance::Complete).await
}

async fn advance<T: DeserializeOwned>(
    app: web::Data<App>,
    request: HttpRequest,
    id: &str,
    bytes: &Body,
    advance: impl FnOnce(T) -> Advance,
) -> Answered {
    let caller = auth::caller(&app, &request, "orders:write").await?;
    let id = body::id(id, "order")?;
    let advance = advance(body::json(&request, bytes)?);
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        work_app.advance_order.run(operation, actor, id, advance).await?;
        Ok(Answer::ok(view(&work_app, id).await?))
    };
    Ok(idempotent::once(&app, &caller, &request, bytes, work).await?.respond())
}

async fn view(app: &App, id: OrderId) -> Result<OrderJson, Problem> {
    let view = app.store.order_view(app.settings.mode, id).await?;
    let view = view.ok_or_else(|| Problem::not_found("order"))?;
    Ok(OrderJson::new(&view, &app.public_url))
}
