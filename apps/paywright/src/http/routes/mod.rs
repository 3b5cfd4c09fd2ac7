//! The routes, one resource a file. A route parses, calls and presents; it holds no rule about money.

mod checkout;
mod health;
mod orders;
mod products;
mod webhook;

use actix_web::web::{self, ServiceConfig};

/// Every route, in one place.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(
            web::scope("/v1")
                .route("/config", web::get().to(health::config))
                .route("/products", web::post().to(products::add))
                .route("/products", web::get().to(products::list))
                .route("/products/{id}", web::get().to(products::show))
                .route("/products/{id}", web::patch().to(products::edit))
                .route("/orders", web::post().to(orders::place))
                .route("/orders", web::get().to(orders::list))
                .route("/orders/{id}", web::get().to(orders::show))
                .route("/orders/{id}/timeline", web::get().to(orders::timeline))
                .route("/orders/{id}/checkout-session", web::post().to(orders::checkout_session))
                .route("/orders/{id}/payment-intent", web::post().to(orders::payment_intent))
                .route("/orders/{id}/cancel", web::post().to(orders::cancel))
                .route("/orders/{id}/fulfillment", web::post().to(orders::fulfillment))
                .route("/orders/{id}/ship", web::post().to(orders::ship))
                .route("/orders/{id}/complete", web::post().to(orders::complete)),
        )
        .service(
            web::resource("/webhooks/stripe")
                .app_data(crate::http::body::BodyMax(webhook::BODY_MAX))
                .route(web::post().to(webhook::receive)),
        )
        .route("/checkout/{token}", web::get().to(checkout::page))
        .route("/checkout/{token}/pay", web::post().to(checkout::pay))
        .route("/checkout/{token}/state", web::get().to(checkout::state))
        .route("/assets/{name}", web::get().to(checkout::asset))
        .route("/healthz", web::get().to(health::alive))
        .route("/readyz", web::get().to(health::ready));
}
