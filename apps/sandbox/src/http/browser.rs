//! `/v3/`: the stand-in for Stripe.js, and what it calls. Any page may use it, as with Stripe's own.

use actix_web::http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::api::{refuse, write};
use super::shell::Shell;
use crate::model::auth;
use crate::model::checkout_session::{Authenticate, PayDetails};
use crate::model::error::ApiError;
use crate::model::{Control, Method, Request};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    for path in ["/v3", "/v3/", "/v3/stripe.js", "/dahlia/stripe.js"] {
        config.route(path, web::get().to(script));
    }
    config
        .route("/v3/{kind}/{id}/confirm", web::post().to(confirm))
        .route("/v3/{kind}/{id}/authenticate", web::post().to(authenticate));
}

async fn script() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .insert_header(("Cache-Control", "max-age=60"))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .body(include_str!("../../assets/stripe.js"))
}

#[derive(Deserialize)]
struct Confirm {
    key: String,
    client_secret: String,
    card: Option<String>,
    email: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    key: String,
    client_secret: String,
    outcome: Authenticate,
}

async fn confirm(
    path: web::Path<(String, String)>,
    form: web::Form<Confirm>,
    shell: web::Data<Shell>,
) -> HttpResponse {
    let ((kind, id), form) = (path.into_inner(), form.into_inner());
    if let Err(error) = check(&shell, &kind, &id, &form.key, &form.client_secret) {
        return open(refuse(&error));
    }
    let details = PayDetails {
        card: form.card.unwrap_or_default(),
        email: form.email,
        name: form.name,
        ..PayDetails::default()
    };
    open(write(shell.control(Control::PayIntent { intent: id, details })))
}

async fn authenticate(
    path: web::Path<(String, String)>,
    form: web::Form<Answer>,
    shell: web::Data<Shell>,
) -> HttpResponse {
    let (kind, id) = path.into_inner();
    match check(&shell, &kind, &id, &form.key, &form.client_secret) {
        Ok(()) => open(write(shell.control(Control::Authenticate { intent: id, outcome: form.outcome }))),
        Err(error) => open(refuse(&error)),
    }
}

/// A browser must bring a publishable key of the right world and the object's client secret.
fn check(shell: &Shell, kind: &str, id: &str, key: &str, secret: &str) -> Result<(), Box<ApiError>> {
    let request = Request::new(Method::Get, "").key(key);
    let caller = auth::caller(&request)?;
    let known = shell.read(|model, _| {
        let world = model.world(caller.mode);
        match kind {
            "payment_intents" => world.payment_intents.get(id).map(|intent| intent.client_secret == secret),
            "setup_intents" => world.setup_intents.get(id).map(|intent| intent.client_secret == secret),
            _ => None,
        }
    });
    match known {
        Some(true) => Ok(()),
        Some(false) => {
            let message = "The client_secret provided does not match any associated intent.";
            Err(ApiError::invalid(message)
                .code("payment_intent_invalid_parameter")
                .param("client_secret")
                .into())
        }
        None => Err(ApiError::no_such("intent", id, "intent").into()),
    }
}

/// Pages of any origin may read the answer.
fn open(mut response: HttpResponse) -> HttpResponse {
    let any = actix_web::http::header::HeaderValue::from_static("*");
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}
