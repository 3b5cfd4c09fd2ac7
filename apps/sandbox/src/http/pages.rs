//! Pages for people: hosted Checkout, the 3-D Secure step, receipts.
//!
//! They work without JavaScript and run none; every text is escaped by the templates.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;
use serde_json::Value;

use super::shell::Shell;
use crate::model::checkout_session::{Authenticate, CheckoutSession, PayDetails, Status};
use crate::model::currency::format_amount;
use crate::model::payment_intent::{self, Owner};
use crate::model::setup_intent::SetupStatus;
use crate::model::world::World;
use crate::model::{Control, Model, cards};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/c/pay/{id}", web::get().to(checkout))
        .route("/c/pay/{id}", web::post().to(pay))
        .route("/c/recover/{id}", web::get().to(recover))
        .route("/authenticate/{id}", web::get().to(challenge))
        .route("/authenticate/{id}", web::post().to(answer_challenge))
        .route("/receipts/{id}", web::get().to(receipt))
        .route("/assets/sandbox.css", web::get().to(stylesheet));
}

async fn stylesheet() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header(("Cache-Control", "max-age=60"))
        .body(include_str!("../../assets/sandbox.css"))
}

// ---------------------------------------------------------------- hosted Checkout

#[derive(Template)]
#[template(path = "checkout.html")]
struct CheckoutPage {
    id: String,
    lines: Vec<LineView>,
    /// What the button does: `Pay $10.00`, `Subscribe`, `Save card`.
    action: String,
    total: String,
    email: String,
    card: String,
    error: Option<String>,
    cancel_url: Option<String>,
    cards: Vec<CardView>,
    livemode: bool,
}

struct LineView {
    description: String,
    quantity: i64,
    amount: String,
}

struct CardView {
    number: &'static str,
    spaced: String,
    about: &'static str,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    title: String,
    text: String,
    link: Option<(String, String)>,
}

#[derive(Deserialize, Default)]
struct PayForm {
    #[serde(default)]
    email: String,
    /// What was typed in.
    #[serde(default)]
    number: String,
    /// A test card's button, which wins.
    card: Option<String>,
}

async fn checkout(id: web::Path<String>, shell: web::Data<Shell>) -> HttpResponse {
    show_checkout(&shell, &id, &PayForm::default(), None)
}

async fn pay(id: web::Path<String>, form: web::Form<PayForm>, shell: web::Data<Shell>) -> HttpResponse {
    let (id, form) = (id.into_inner(), form.into_inner());
    let email = form.email.trim();
    if !email.contains('@') || email.len() > 512 {
        return show_checkout(&shell, &id, &form, Some("Please enter your e-mail address.".to_owned()));
    }
    let details = PayDetails {
        card: form.card.clone().unwrap_or_else(|| form.number.clone()),
        email: Some(email.to_owned()),
        ..PayDetails::default()
    };
    let response = shell.control(Control::PaySession { session: id.clone(), details });
    let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
    if response.status != 200 {
        return show_checkout(&shell, &id, &form, body["error"]["message"].as_str().map(str::to_owned));
    }
    let next = match body["status"].as_str() {
        Some("requires_action") => body["intent"].as_str().map(|intent| format!("/authenticate/{intent}")),
        _ => find_session(&shell, &id).and_then(|session| session.success_url()),
    };
    redirect(&next.unwrap_or_else(|| format!("/c/pay/{id}")))
}

/// The link in `after_expiration.recovery.url`.
async fn recover(id: web::Path<String>, shell: web::Data<Shell>) -> HttpResponse {
    let response = shell.control(Control::Recover { session: id.into_inner() });
    let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
    match body["url"].as_str().filter(|_| response.status == 200) {
        Some(url) => redirect(url),
        None => {
            message(StatusCode::GONE, "Too late", "This Checkout Session can no longer be recovered.", None)
        }
    }
}

fn find_session(shell: &Shell, id: &str) -> Option<CheckoutSession> {
    shell.read(|model, _| Some(model.world(model.mode_of(id)?).checkout_sessions.get(id)?.clone()))
}

fn show_checkout(shell: &Shell, id: &str, form: &PayForm, error: Option<String>) -> HttpResponse {
    let Some(session) = find_session(shell, id) else {
        return message(StatusCode::NOT_FOUND, "Not found", "There is no such Checkout Session.", None);
    };
    match session.status {
        Status::Open => {}
        Status::Complete => {
            let link = session.success_url().map(|url| (url, "Continue".to_owned()));
            return message(
                StatusCode::OK,
                "You are all done here",
                "This Checkout Session has been paid.",
                link,
            );
        }
        Status::Expired => {
            let link = session.cancel_url.clone().map(|url| (url, "Back to the shop".to_owned()));
            return message(
                StatusCode::GONE,
                "Something went wrong",
                "This Checkout Session has expired.",
                link,
            );
        }
    }
    let page = CheckoutPage::new(&session, form, error, id.starts_with("cs_live"));
    let status = if page.error.is_some() { StatusCode::PAYMENT_REQUIRED } else { StatusCode::OK };
    // The answer to the form redirects to the shop, which `form-action` must allow.
    let targets = [session.success_url(), session.cancel_url.clone()];
    html(status, &page, &targets.iter().flatten().filter_map(|url| origin(url)).collect::<Vec<_>>())
}

impl CheckoutPage {
    fn new(session: &CheckoutSession, form: &PayForm, error: Option<String>, livemode: bool) -> Self {
        let currency = session.currency.clone().unwrap_or_default();
        let lines = session.lines.iter().map(|line| LineView {
            description: line.description.clone(),
            quantity: line.quantity,
            amount: format_amount(line.amount(), &line.currency),
        });
        let known = session.customer_details.as_ref().and_then(|details| details["email"].as_str());
        let email = match form.email.as_str() {
            "" => known.or(session.customer_email.as_deref()).unwrap_or_default().to_owned(),
            typed => typed.to_owned(),
        };
        Self {
            id: session.id.clone(),
            lines: lines.collect(),
            action: match session.mode.as_str() {
                "setup" => "Save card".to_owned(),
                "subscription" => "Subscribe".to_owned(),
                _ => format!("Pay {}", format_amount(session.amount(), &currency)),
            },
            total: format_amount(session.amount(), &currency),
            email,
            card: form.number.clone(),
            error,
            cancel_url: session.cancel_url.clone(),
            cards: card_views(),
            livemode,
        }
    }
}

fn card_views() -> Vec<CardView> {
    let spaced = |number: &str| {
        let groups: Vec<String> =
            number.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
        groups.join(" ")
    };
    let view =
        |card: &cards::Card| CardView { number: card.number, spaced: spaced(card.number), about: card.about };
    cards::CARDS.iter().map(view).collect()
}

// ---------------------------------------------------------------- 3-D Secure

#[derive(Template)]
#[template(path = "authenticate.html")]
struct AuthenticatePage {
    id: String,
    amount: String,
}

#[derive(Deserialize)]
struct AuthenticateForm {
    outcome: Authenticate,
}

/// Where an intent's customer goes on.
struct Onward {
    amount: String,
    waits: bool,
    session: Option<String>,
    return_url: Option<String>,
    client_secret: String,
}

fn onward(shell: &Shell, id: &str) -> Option<Onward> {
    shell.read(|model, _| {
        let world = world_of(model, id)?;
        if let Some(setup) = world.setup_intents.get(id) {
            return Some(Onward {
                amount: "nothing, to save the card".to_owned(),
                waits: setup.status == SetupStatus::RequiresAction,
                session: setup.checkout_session.clone(),
                return_url: setup.return_url.clone(),
                client_secret: setup.client_secret.clone(),
            });
        }
        let intent = world.payment_intents.get(id)?;
        Some(Onward {
            amount: format_amount(intent.amount, &intent.currency),
            waits: intent.status == payment_intent::Status::RequiresAction,
            session: intent.owner.as_ref().and_then(|owner| session_of(world, owner)),
            return_url: intent.return_url.clone(),
            client_secret: intent.client_secret.clone(),
        })
    })
}

/// The Checkout Session behind an intent, directly or through a subscription's invoice.
fn session_of(world: &World, owner: &Owner) -> Option<String> {
    match owner {
        Owner::CheckoutSession(session) => Some(session.clone()),
        Owner::Invoice(invoice) => {
            let invoice = world.invoices.get(invoice)?;
            world.subscriptions.get(&invoice.subscription)?.checkout_session.clone()
        }
    }
}

fn world_of<'a>(model: &'a Model, id: &str) -> Option<&'a World> {
    model.mode_of(id).map(|mode| model.world(mode))
}

async fn challenge(id: web::Path<String>, shell: web::Data<Shell>) -> HttpResponse {
    match onward(&shell, &id) {
        Some(intent) if intent.waits => {
            let page = AuthenticatePage { id: id.into_inner(), amount: intent.amount };
            let target = intent.return_url.as_deref().and_then(origin);
            html(StatusCode::OK, &page, &target.into_iter().collect::<Vec<_>>())
        }
        Some(_) => {
            message(StatusCode::OK, "Nothing to do", "This payment does not wait for authentication.", None)
        }
        None => message(StatusCode::NOT_FOUND, "Not found", "There is no such payment.", None),
    }
}

async fn answer_challenge(
    id: web::Path<String>,
    form: web::Form<AuthenticateForm>,
    shell: web::Data<Shell>,
) -> HttpResponse {
    let id = id.into_inner();
    let response = shell.control(Control::Authenticate { intent: id.clone(), outcome: form.outcome });
    let Some(intent) = onward(&shell, &id) else {
        return message(StatusCode::NOT_FOUND, "Not found", "There is no such payment.", None);
    };
    let paid = response.status == 200;
    if let Some(session) = &intent.session {
        let success = find_session(&shell, session).and_then(|session| session.success_url());
        return match success.filter(|_| paid) {
            Some(url) => redirect(&url),
            None => {
                let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
                let reason = body["error"]["message"].as_str().unwrap_or("The payment failed.").to_owned();
                show_checkout(&shell, session, &PayForm::default(), Some(reason))
            }
        };
    }
    match &intent.return_url {
        Some(url) => redirect(&with_outcome(url, &id, &intent.client_secret, paid)),
        None if paid => message(StatusCode::OK, "Authenticated", "You can close this page.", None),
        None => message(StatusCode::OK, "Not authenticated", "You can close this page.", None),
    }
}

/// What Stripe adds to `return_url`. Source: <https://docs.stripe.com/payments/accept-a-payment>.
fn with_outcome(url: &str, intent: &str, secret: &str, paid: bool) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    let status = if paid { "succeeded" } else { "failed" };
    let kind = if intent.starts_with("seti_") { "setup_intent" } else { "payment_intent" };
    format!("{url}{joint}{kind}={intent}&{kind}_client_secret={secret}&redirect_status={status}")
}

// ---------------------------------------------------------------- receipts

async fn receipt(id: web::Path<String>, shell: web::Data<Shell>) -> HttpResponse {
    let text = shell.read(|model, _| {
        let charge = world_of(model, &id)?.charges.get(&id)?.clone();
        Some(format!(
            "{} paid with a card that ends in {}.",
            format_amount(charge.amount_captured, &charge.currency),
            charge.card["last4"].as_str().unwrap_or("....")
        ))
    });
    match text {
        Some(text) => message(StatusCode::OK, "Receipt", &text, None),
        None => message(StatusCode::NOT_FOUND, "Not found", "There is no such receipt.", None),
    }
}

// ---------------------------------------------------------------- answers

pub(super) fn message(
    status: StatusCode,
    title: &str,
    text: &str,
    link: Option<(String, String)>,
) -> HttpResponse {
    html(status, &MessagePage { title: title.to_owned(), text: text.to_owned(), link }, &[])
}

/// A page under a policy that runs no script and sends its forms nowhere else.
pub(super) fn html(status: StatusCode, page: &impl Template, form_targets: &[String]) -> HttpResponse {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' {}",
        form_targets.join(" ")
    );
    match page.render() {
        Ok(body) => HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .insert_header((CONTENT_SECURITY_POLICY, policy.trim_end()))
            .insert_header(("X-Content-Type-Options", "nosniff"))
            .insert_header(("Referrer-Policy", "no-referrer"))
            .insert_header(("Cache-Control", "no-store"))
            .body(body),
        Err(error) => {
            tracing::error!(%error, "could not render a page");
            HttpResponse::InternalServerError().body("The page could not be shown.")
        }
    }
}

pub(super) fn redirect(url: &str) -> HttpResponse {
    match actix_web::http::header::HeaderValue::from_str(url) {
        Ok(location) => HttpResponse::SeeOther().insert_header((LOCATION, location)).finish(),
        Err(_) => message(StatusCode::OK, "Done", "The shop's address cannot be followed.", None),
    }
}

/// Scheme and host of a URL, if they are plain enough to stand in a policy.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    let plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '.' | ':' | '-' | '[' | ']');
    let ok = matches!(scheme, "http" | "https") && !host.is_empty() && host.chars().all(plain);
    ok.then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_origins_enter_the_policy() {
        assert_eq!(origin("https://shop.example:8443/x?y").as_deref(), Some("https://shop.example:8443"));
        assert_eq!(origin("https://shop.example; script-src *"), None);
        assert_eq!(origin("javascript:alert(1)"), None);
    }
}
