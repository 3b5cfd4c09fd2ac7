//! The routes, one resource a file. A route parses, calls and presents; it holds no rule about money.

mod checkout;
mod health;
mod orders;
mod products;
mod webhook;

use actix_web::{
    FromRequest, Handler, Resource, Responder,
    web::{self, ServiceConfig},
};

use crate::http::body::BodyMax;

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
                .service(post("/orders/{id}/complete", orders::complete)),
        )
        .service(post("/webhooks/stripe", webhook::receive).app_data(BodyMax(webhook::BODY_MAX)))
        .service(get("/checkout/{token}", checkout::page))
        .service(post("/checkout/{token}/pay", checkout::pay))
        .service(get("/checkout/{token}/state", checkout::state))
        .service(get("/assets/{name}", checkout::asset))
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
