//! The order's own page: what is bought, a button to pay, and the true state. The token in its address is the only
//! credential; nothing that the address says besides is believed.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use askama::Template;
use paywright_domain::{
    Actor, Channel, Decline, OperationId, Order, ReturnUrls,
    ports::{OrderView, Reader},
    usecase::{StartPaymentError, Way},
};

use super::standing::Standing;
use crate::{
    http::{present::checkout_url, problem::Problem},
    wiring::App,
};

#[derive(Template)]
#[template(path = "checkout.html")]
struct Page {
    reference: String,
    lines: Vec<PageLine>,
    total: String,
    standing: Standing,
    decline: Option<String>,
    notice: Option<String>,
    path: String,
    test_mode: bool,
}

struct PageLine {
    name: String,
    quantity: u32,
    total: String,
}

pub(super) async fn page(app: web::Data<App>, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let view = find(&app, &path).await?;
    Ok(render(&app, &view, None, StatusCode::OK))
}

fn render(app: &App, view: &OrderView, notice: Option<String>, status: StatusCode) -> HttpResponse {
    let order = &view.order;
    let standing = Standing::of(view);
    let line = |item: &paywright_domain::OrderItem| PageLine {
        name: item.name.clone(),
        quantity: item.quantity,
        total: item.total().map_or_else(|_| String::new(), |total| total.to_string()),
    };
    let page = Page {
        reference: order.id.to_string(),
        lines: order.items.iter().map(line).collect(),
        total: order.total.to_string(),
        // Once another attempt is under way, the one before it does not matter.
        decline: view.declines.last().filter(|_| standing.name == "unpaid").map(words),
        standing,
        notice,
        path: format!("/checkout/{}", order.token),
        test_mode: order.mode == paywright_domain::Mode::Test,
    };
    let html = page.render().expect("the template only prints text");
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
         base-uri 'none'; frame-ancestors 'none'; form-action 'self' {}",
        app.checkout_origins
    );
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(html)
}

/// What the customer is told of a decline: Stripe's words for them, which never tell of theft or suspicion, and what to
/// do next where trying again is in vain.
fn words(decline: &Decline) -> String {
    let refusal = &decline.refusal;
    match refusal.advice.as_deref() {
        Some("do_not_try_again") => format!("{} Please use another card.", refusal.message),
        _ => refusal.message.clone(),
    }
}

/// Starts, or goes on with, the payment on the hosted page, and sends the shopper there.
pub(super) async fn pay(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    same_origin(&request)?;
    let view = find(&app, &path).await?;
    if let Err(refusal) = app.gate.admit(view.order.id, Some(app.gate.network(&request)), None).await {
        return Ok(not_now(&app, &view, &refusal));
    }
    let order = view.order;
    let page = checkout_url(&order, &app.public_url);
    let (work_app, id) = (app.clone(), order.id);
    let urls = ReturnUrls { success: page.clone(), cancel: page };
    let started = actix_web::rt::spawn(async move { start(&work_app, &order, urls).await }).await;
    let notice = match started.map_err(|error| Problem::bug(&error))? {
        Ok(url) => return Ok(see_other(&url)),
        // Paid, cancelled: the page says so.
        Err(StartPaymentError::Illegal(_)) => return Ok(see_other(&format!("/checkout/{}", path.as_str()))),
        Err(StartPaymentError::InProgress) => {
            "Another window is at this payment. Please try again in a moment."
        }
        Err(error) => {
            let problem = Problem::from(error);
            tracing::warn!(order.id = %id, code = %problem, "a shopper could not start a payment");
            "Stripe cannot be reached just now. Nothing was charged. Please try again in a moment."
        }
    };
    let view = find(&app, &path).await?;
    Ok(render(&app, &view, Some(notice.to_owned()), StatusCode::SERVICE_UNAVAILABLE))
}

/// Refused before anything was asked of Stripe, in words for a shopper.
fn not_now(app: &App, view: &OrderView, refusal: &Problem) -> HttpResponse {
    let seconds = refusal.retry_after_s().unwrap_or(1);
    let soon = match seconds.div_ceil(60) {
        0 | 1 => "in a minute".to_owned(),
        minutes @ 2..=90 => format!("in {minutes} minutes"),
        minutes => format!("in {} hours", minutes.div_ceil(60)),
    };
    let why = match refusal.status() {
        StatusCode::TOO_MANY_REQUESTS => "There were too many attempts to pay.",
        _ => "No payments can be taken just now.",
    };
    let notice = format!("{why} Nothing was charged. Please try again {soon}.");
    let mut page = render(app, view, Some(notice), refusal.status());
    page.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
    page
}

/// Two windows may press the button at the same time: the second waits a little for the first.
async fn start(app: &App, order: &Order, urls: ReturnUrls) -> Result<String, StartPaymentError> {
    const TRIES: u32 = 10;
    for attempt in 1.. {
        let operation: OperationId = app.ports.new_id();
        let channel = Channel::Checkout(urls.clone());
        match app.start_payment.run(operation, Actor::Shopper, order.id, channel).await {
            Ok(started) => {
                return match started.way {
                    Way::Page(url) => Ok(url),
                    Way::ClientSecret(_) => Err(StartPaymentError::InProgress),
                };
            }
            Err(StartPaymentError::InProgress) if attempt < TRIES => {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            Err(error) => return Err(error),
        }
    }
    Err(StartPaymentError::InProgress)
}

/// What the page's script asks until the order is settled.
pub(super) async fn state(app: web::Data<App>, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let view = find(&app, &path).await?;
    let standing = Standing::of(&view);
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(serde_json::json!({
        "state": view.order.state.to_string(),
        "standing": standing.name,
        "settled": standing.settled,
        "tag": standing.tag(&view),
    })))
}

async fn find(app: &App, token: &str) -> Result<OrderView, Problem> {
    let well_formed = token.len() <= 64 && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let order = if well_formed { app.ports.store.order_by_token(token).await? } else { None };
    let order =
        order.filter(|order| order.mode == app.settings.mode).ok_or_else(|| Problem::not_found("order"))?;
    let view = app.store.order_view(order.mode, order.id).await?;
    view.ok_or_else(|| Problem::not_found("order"))
}

/// A form that another site sends is refused. Browsers set these headers themselves; without any, it is no browser.
fn same_origin(request: &HttpRequest) -> Result<(), Problem> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let fine = match (header("sec-fetch-site"), header("origin"), header("host")) {
        (Some(site), _, _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, origin)| origin == host)
        }
        (None, _, _) => true,
    };
    let problem = || Problem::new(StatusCode::FORBIDDEN, "cross_site", "Another site sent this form");
    if fine { Ok(()) } else { Err(problem()) }
}

fn see_other(url: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, url)).finish()
}

/// The page's style, script and icon, compiled in.
pub(super) async fn asset(name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let (kind, text) = match name.as_str() {
        "checkout.css" => ("text/css; charset=utf-8", include_str!("../../../assets/checkout.css")),
        "checkout.js" => ("text/javascript; charset=utf-8", include_str!("../../../assets/checkout.js")),
        "checkout.svg" => ("image/svg+xml", include_str!("../../../assets/checkout.svg")),
        _ => return Err(Problem::not_found("asset")),
    };
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .body(text))
}
