use std::net::IpAddr;

use actix_web::{HttpRequest, web};
use paywright_domain::{
    ApiKeyId, Channel, Network, OrderId, PaymentId, ReturnUrls,
    usecase::{Payable, StartPaymentError, Way},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::orders::Answered;
use crate::{
    http::{
        auth,
        body::{self, Body},
        idempotent::{self, Answer},
        openapi::words,
        present::checkout_url,
        problem::Problem,
    },
    wiring::App,
};

/// Where the customer goes afterwards; by default to the order's own page.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCheckoutSession, example = json!({ "success_url": "https://shop.example.org/thanks" }))]
pub(super) struct Checkout {
    /// After paying; http or https. `{CHECKOUT_SESSION_ID}` is filled in by Stripe.
    #[schema(format = "uri", max_length = 2000, pattern = "^[Hh][Tt][Tt][Pp][Ss]?://.")]
    success_url: Option<String>,
    /// After going back; http or https.
    #[schema(format = "uri", max_length = 2000, pattern = "^[Hh][Tt][Tt][Pp][Ss]?://.")]
    cancel_url: Option<String>,
    /// The shopper's IP address, as you see it: attempts are limited by it. It is kept for a day.
    #[schema(value_type = Option<words::Address>)]
    shopper_address: Option<String>,
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
    extensions(("x-problems" = json!([
        "illegal_transition", "payment_in_progress", "payment_refused", "payments_paused"
    ]))),
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
    let shopper = shopper(checkout.shopper_address.as_deref())?;
    let urls = return_urls(&app, id, checkout).await?;
    let (work_app, actor, key) = (app.clone(), caller.actor(), caller.key);
    let work = move |operation| async move {
        let payable = admitted(&work_app, id, shopper, key).await?;
        let started =
            work_app.start_payment.run_on(payable, operation, actor, Channel::Checkout(urls)).await?;
        match started.way {
            Way::Page(url) => Ok(Answer::ok(CheckoutJson { url, payment: started.payment.id.to_string() })),
            Way::ClientSecret(_) => Err(StartPaymentError::InProgress.into()),
        }
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}

/// The order, if the attempt is not one too many. Both are asked at the same time: one round trip less for a shopper.
async fn admitted(
    app: &App,
    order: OrderId,
    shopper: Option<Network>,
    key: ApiKeyId,
) -> Result<Payable, Problem> {
    let (admitted, payable) =
        tokio::join!(app.gate.admit(order, shopper, Some(key)), app.start_payment.payable(order));
    admitted?;
    Ok(payable?)
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

/// From where the shopper calls, whom only the caller sees.
fn shopper(address: Option<&str>) -> Result<Option<Network>, Problem> {
    let wrong = |_| Problem::invalid("shopper_address", "must be an IPv4 or IPv6 address");
    address.map(|text| text.parse::<IpAddr>().map(Network::from).map_err(wrong)).transpose()
}

/// Who pays on your own page.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPaymentIntent, example = json!({ "shopper_address": "203.0.113.9" }))]
pub(super) struct Intent {
    /// The shopper's IP address, as you see it: attempts are limited by it. It is kept for a day.
    #[schema(value_type = Option<words::Address>)]
    shopper_address: Option<String>,
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
    request_body(content = Option<Intent>),
    security(("api_key" = ["orders:write"])),
    extensions(("x-problems" = json!([
        "illegal_transition", "payment_in_progress", "payment_refused", "payments_paused"
    ]))),
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
    let Intent { shopper_address } = body::json(&request, &bytes)?;
    let shopper = shopper(shopper_address.as_deref())?;
    let (work_app, actor, key) = (app.clone(), caller.actor(), caller.key);
    let work = move |operation| async move {
        let payable = admitted(&work_app, id, shopper, key).await?;
        let started =
            work_app.start_payment.run_on(payable, operation, actor, Channel::PaymentIntent).await?;
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
