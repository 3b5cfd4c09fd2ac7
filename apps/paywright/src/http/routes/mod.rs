//! The routes, one resource a file. A route parses, calls and presents; it holds no rule about money.

mod checkout;
mod health;
mod orders;
mod payments;
mod products;
mod webhook;

use actix_web::{
    FromRequest, Handler, Resource, Responder,
    web::{self, ServiceConfig},
};

use utoipa::OpenApi;

use crate::http::{body::BodyMax, openapi, problem};

/// The routes that [`openapi::document`] describes: all but those for shoppers and those for readers.
#[derive(OpenApi)]
#[openapi(
    paths(
        health::config,
        products::add,
        products::list,
        products::show,
        products::edit,
        orders::place,
        orders::list,
        orders::show,
        orders::timeline,
        orders::checkout_session,
        orders::payment_intent,
        orders::cancel,
        orders::fulfillment,
        orders::ship,
        orders::complete,
        payments::show,
        webhook::receive,
        health::alive,
        health::ready,
    ),
    components(schemas(problem::Fields)),
    tags(
        (name = "products", description = "What can be bought."),
        (name = "orders", description = "From placing to completing."),
        (name = "payments", description = "How an order is paid."),
        (name = "webhooks", description = "What Stripe tells us."),
        (name = "operations", description = "For browsers and monitors."),
    ),
)]
pub(super) struct Routes;

/// Every route, in one place. One resource a path, so that a wrong method is answered by the right ones.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(
            web::scope("/v1")
                .service(get("/config", health::config))
                .service(
                    web::resource("/products")
                        .route(web::post().to(products::add))
                        .route(web::get().to(products::list)),
                )
                .service(
                    web::resource("/products/{id}")
                        .route(web::get().to(products::show))
                        .route(web::patch().to(products::edit)),
                )
                .service(
                    web::resource("/orders")
                        .route(web::post().to(orders::place))
                        .route(web::get().to(orders::list)),
                )
                .service(get("/orders/{id}", orders::show))
                .service(get("/orders/{id}/timeline", orders::timeline))
                .service(post("/orders/{id}/checkout-session", orders::checkout_session))
                .service(post("/orders/{id}/payment-intent", orders::payment_intent))
                .service(post("/orders/{id}/cancel", orders::cancel))
                .service(post("/orders/{id}/fulfillment", orders::fulfillment))
                .service(post("/orders/{id}/ship", orders::ship))
                .service(post("/orders/{id}/complete", orders::complete))
                .service(get("/payments/{id}", payments::show)),
        )
        .service(post("/webhooks/stripe", webhook::receive).app_data(BodyMax(webhook::BODY_MAX)))
        .service(get("/checkout/{token}", checkout::page))
        .service(post("/checkout/{token}/pay", checkout::pay))
        .service(get("/checkout/{token}/state", checkout::state))
        .service(get("/assets/{name}", checkout::asset))
        .service(get("/openapi.json", openapi::json))
        .service(get("/docs", openapi::index))
        .service(get("/docs/{file:.*}", openapi::file))
        .service(get("/healthz", health::alive))
        .service(get("/readyz", health::ready));
}

fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::get().to(handler))
}

fn post<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::post().to(handler))
}
