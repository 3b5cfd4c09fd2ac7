//! The routes, one resource a file. A route parses, calls and presents; it holds no rule about money.

mod breaks;
mod checkout;
mod disputes;
mod health;
mod inbox;
mod jobs;
mod order_commands;
mod order_payments;
mod orders;
mod payments;
mod products;
mod reconciliation;
mod refunds;
mod reports;
mod standing;
mod webhook;

use actix_web::{
    FromRequest, Handler, Resource, Responder,
    web::{self, ServiceConfig},
};

use utoipa::OpenApi;

pub use products::{page, price};

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
        order_payments::checkout_session,
        order_payments::payment_intent,
        order_commands::cancel,
        order_commands::fulfillment,
        order_commands::fulfillment_failed,
        order_commands::ship,
        order_commands::complete,
        payments::show,
        payments::capture,
        payments::void,
        payments::sync,
        refunds::give,
        refunds::list,
        refunds::show,
        disputes::list,
        disputes::show,
        disputes::stage,
        disputes::submit,
        disputes::accept,
        breaks::list,
        breaks::resolve,
        reconciliation::start,
        reconciliation::list,
        reconciliation::show,
        reconciliation::statement,
        reconciliation::payouts,
        reconciliation::payout,
        reports::order,
        reports::day,
        inbox::list,
        inbox::show,
        inbox::replay_one,
        inbox::replay_many,
        jobs::list,
        jobs::show,
        jobs::retry,
        webhook::receive,
        health::alive,
        health::ready,
    ),
    components(schemas(problem::Fields)),
    tags(
        (name = "products", description = "What can be bought."),
        (name = "orders", description = "From placing to completing."),
        (name = "payments", description = "How an order is paid."),
        (name = "refunds", description = "How money goes back."),
        (name = "disputes", description = "When a customer asks their bank for the money back."),
        (name = "books", description = "Where every cent went, and what no rule explains."),
        (name = "inbox", description = "What was heard, what waits to be done, and how to start it again."),
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
                .service(post("/orders/{id}/checkout-session", order_payments::checkout_session))
                .service(post("/orders/{id}/payment-intent", order_payments::payment_intent))
                .service(post("/orders/{id}/cancel", order_commands::cancel))
                .service(post("/orders/{id}/fulfillment", order_commands::fulfillment))
                .service(post("/orders/{id}/fulfillment/failed", order_commands::fulfillment_failed))
                .service(post("/orders/{id}/ship", order_commands::ship))
                .service(post("/orders/{id}/complete", order_commands::complete))
                .service(get("/payments/{id}", payments::show))
                .service(post("/payments/{id}/capture", payments::capture))
                .service(post("/payments/{id}/void", payments::void))
                .service(post("/payments/{id}/sync", payments::sync))
                .service(
                    web::resource("/refunds")
                        .route(web::post().to(refunds::give))
                        .route(web::get().to(refunds::list)),
                )
                .service(get("/refunds/{id}", refunds::show))
                .service(get("/disputes", disputes::list))
                .service(get("/disputes/{id}", disputes::show))
                .service(post("/disputes/{id}/evidence", disputes::stage))
                .service(post("/disputes/{id}/submit", disputes::submit))
                .service(post("/disputes/{id}/accept", disputes::accept))
                .service(get("/breaks", breaks::list))
                .service(post("/breaks/{id}/resolve", breaks::resolve))
                .service(
                    web::resource("/reconciliation/runs")
                        .route(web::post().to(reconciliation::start))
                        .route(web::get().to(reconciliation::list)),
                )
                .service(get("/reconciliation/runs/{id}", reconciliation::show))
                .service(get("/reconciliation/statement", reconciliation::statement))
                .service(get("/payouts", reconciliation::payouts))
                .service(get("/payouts/{id}", reconciliation::payout))
                .service(get("/inbox", inbox::list))
                .service(post("/inbox/replay", inbox::replay_many))
                .service(get("/inbox/{id}", inbox::show))
                .service(post("/inbox/{id}/replay", inbox::replay_one))
                .service(get("/jobs", jobs::list))
                .service(get("/jobs/{id}", jobs::show))
                .service(post("/jobs/{id}/retry", jobs::retry))
                .service(get("/reports/orders/{id}", reports::order))
                .service(get("/reports/days/{day}", reports::day)),
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
