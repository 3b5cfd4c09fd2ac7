use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use paywright_domain::{
    CancelReason, Channel, Currency, CustomerId, Metadata, OrderId, OrderState, PaymentId, ProductId,
    ReturnUrls, Shipment,
    ports::{OrderFilter, OrderView, Reader},
    usecase::{Advance, Cancellation, NewItem, NewOrder, StartPaymentError, Way},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, de::DeserializeOwned};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use super::products::page;
use crate::{
    http::{
        auth,
        body::{self, Body, Object},
        idempotent::{self, Answer},
        present::{EntryJson, List, OrderJson, checkout_url},
        problem::Problem,
    },
    wiring::App,
};

type Answered = Result<HttpResponse, Problem>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    currency: Currency,
    items: Vec<Object<Line>>,
    customer: Option<CustomerId>,
    customer_email: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    product: ProductId,
    quantity: u32,
}

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

pub(super) async fn show(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "orders:read").await?;
    let id = body::id(&path, "order")?;
    Ok(HttpResponse::Ok().json(view(&app, id).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    limit: Option<String>,
    starting_after: Option<String>,
    state: Option<String>,
    customer: Option<String>,
    #[serde(rename = "created[gte]")]
    created_from: Option<String>,
    #[serde(rename = "created[lt]")]
    created_before: Option<String>,
}

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

pub(super) async fn timeline(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "orders:read").await?;
    let id = body::id(&path, "order")?;
    let order = app.ports.store.order(id).await?.filter(|order| order.mode == app.settings.mode);
    order.ok_or_else(|| Problem::not_found("order"))?;
    let entries = app.store.timeline(id).await?;
    Ok(HttpResponse::Ok().json(List::new(entries.into_iter().map(EntryJson::from).collect(), false)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkout {
    success_url: Option<String>,
    cancel_url: Option<String>,
}

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
            Way::Page(url) => {
                Ok(Answer::ok(serde_json::json!({ "url": url, "payment": started.payment.id.to_string() })))
            }
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

pub(super) async fn payment_intent(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let caller = auth::caller(&app, &request, "orders:write").await?;
    let id: OrderId = body::id(&path, "order")?;
    let Nothing {} = body::json(&request, &bytes)?;
    let (work_app, actor) = (app.clone(), caller.actor());
    let work = move |operation| async move {
        let started = work_app.start_payment.run(operation, actor, id, Channel::PaymentIntent).await?;
        let Way::ClientSecret(secret) = started.way else { return Err(StartPaymentError::InProgress.into()) };
        let answer = Answer::ok(serde_json::json!({
            "payment": started.payment.id.to_string(),
            "publishable_key": work_app.settings.credentials().publishable_key,
        }));
        Ok(answer.field("client_secret", secret.expose_secret()))
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    reason: Option<String>,
}

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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ship {
    carrier: String,
    tracking: Option<String>,
}

pub(super) async fn fulfillment(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    advance(app, request, &path, &bytes, |Empty {}| Advance::StartFulfillment).await
}

pub(super) async fn ship(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let shipped = |ship: Ship| Advance::Ship(Shipment { carrier: ship.carrier, tracking: ship.tracking });
    advance(app, request, &path, &bytes, shipped).await
}

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
