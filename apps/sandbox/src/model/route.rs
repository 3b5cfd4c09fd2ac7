//! Which handler answers which request.

use serde_json::Value;

use super::context::Context;
use super::error::ApiResult;
use super::params::Params;
use super::request::Method::{self, Delete, Get, Post};
use super::{
    account, balance_transaction, billing_portal, charge, checkout_session, customer, dispute, event,
    invoice, payment_intent, payment_method, payout, price, product, refund, setup_intent, subscription,
    webhook_endpoint,
};

/// Handles one operation; the texts are the ids in the path.
pub type Handler = fn(&mut Context<'_>, &[&str], Params<'_>) -> ApiResult<Value>;

/// One operation: `{}` stands for an id.
pub struct Route {
    method: Method,
    template: &'static str,
    pub handler: Handler,
}

const fn route(method: Method, template: &'static str, handler: Handler) -> Route {
    Route { method, template, handler }
}

pub const ROUTES: &[Route] = &[
    route(Post, "/v1/payment_intents", payment_intent::create),
    route(Get, "/v1/payment_intents", payment_intent::list),
    route(Get, "/v1/payment_intents/{}", payment_intent::retrieve),
    route(Post, "/v1/payment_intents/{}", payment_intent::update),
    route(Post, "/v1/payment_intents/{}/confirm", payment_intent::confirm),
    route(Post, "/v1/payment_intents/{}/capture", payment_intent::capture),
    route(Post, "/v1/payment_intents/{}/cancel", payment_intent::cancel),
    route(Post, "/v1/payment_intents/{}/increment_authorization", payment_intent::increment_authorization),
    route(Post, "/v1/checkout/sessions", checkout_session::create),
    route(Get, "/v1/checkout/sessions", checkout_session::list),
    route(Get, "/v1/checkout/sessions/{}", checkout_session::retrieve),
    route(Post, "/v1/checkout/sessions/{}/expire", checkout_session::expire),
    route(Get, "/v1/checkout/sessions/{}/line_items", checkout_session::line_items),
    route(Get, "/v1/charges", charge::list),
    route(Get, "/v1/charges/{}", charge::retrieve),
    route(Post, "/v1/refunds", refund::create),
    route(Get, "/v1/refunds", refund::list),
    route(Get, "/v1/refunds/{}", refund::retrieve),
    route(Post, "/v1/refunds/{}", refund::update),
    route(Post, "/v1/refunds/{}/cancel", refund::cancel),
    route(Get, "/v1/disputes", dispute::list),
    route(Get, "/v1/disputes/{}", dispute::retrieve),
    route(Post, "/v1/disputes/{}", dispute::update),
    route(Post, "/v1/disputes/{}/close", dispute::close),
    route(Get, "/v1/events", event::list),
    route(Get, "/v1/events/{}", event::retrieve),
    route(Post, "/v1/webhook_endpoints", webhook_endpoint::create),
    route(Get, "/v1/webhook_endpoints", webhook_endpoint::list),
    route(Get, "/v1/webhook_endpoints/{}", webhook_endpoint::retrieve),
    route(Post, "/v1/webhook_endpoints/{}", webhook_endpoint::update),
    route(Delete, "/v1/webhook_endpoints/{}", webhook_endpoint::delete),
    route(Post, "/v1/customers", customer::create),
    route(Get, "/v1/customers", customer::list),
    route(Get, "/v1/customers/{}", customer::retrieve),
    route(Post, "/v1/customers/{}", customer::update),
    route(Delete, "/v1/customers/{}", customer::delete),
    route(Get, "/v1/customers/{}/payment_methods", payment_method::list),
    route(Get, "/v1/payment_methods", payment_method::list),
    route(Get, "/v1/payment_methods/{}", payment_method::retrieve),
    route(Post, "/v1/payment_methods/{}/attach", payment_method::attach),
    route(Post, "/v1/payment_methods/{}/detach", payment_method::detach),
    route(Post, "/v1/products", product::create),
    route(Get, "/v1/products", product::list),
    route(Get, "/v1/products/{}", product::retrieve),
    route(Post, "/v1/products/{}", product::update),
    route(Delete, "/v1/products/{}", product::delete),
    route(Post, "/v1/prices", price::create),
    route(Get, "/v1/prices", price::list),
    route(Get, "/v1/prices/{}", price::retrieve),
    route(Post, "/v1/prices/{}", price::update),
    route(Post, "/v1/setup_intents", setup_intent::create),
    route(Get, "/v1/setup_intents", setup_intent::list),
    route(Get, "/v1/setup_intents/{}", setup_intent::retrieve),
    route(Post, "/v1/setup_intents/{}", setup_intent::update),
    route(Post, "/v1/setup_intents/{}/confirm", setup_intent::confirm),
    route(Post, "/v1/setup_intents/{}/cancel", setup_intent::cancel),
    route(Post, "/v1/subscriptions", subscription::create),
    route(Get, "/v1/subscriptions", subscription::list),
    route(Get, "/v1/subscriptions/{}", subscription::retrieve),
    route(Post, "/v1/subscriptions/{}", subscription::update),
    route(Delete, "/v1/subscriptions/{}", subscription::cancel),
    route(Get, "/v1/invoices", invoice::list),
    route(Get, "/v1/invoices/{}", invoice::retrieve),
    route(Post, "/v1/invoices/{}/finalize", invoice::finalize),
    route(Post, "/v1/invoices/{}/pay", invoice::pay),
    route(Get, "/v1/invoice_payments", invoice::list_payments),
    route(Get, "/v1/invoice_payments/{}", invoice::retrieve_payment),
    route(Post, "/v1/billing_portal/configurations", billing_portal::create_configuration),
    route(Get, "/v1/billing_portal/configurations", billing_portal::list_configurations),
    route(Get, "/v1/billing_portal/configurations/{}", billing_portal::retrieve_configuration),
    route(Post, "/v1/billing_portal/configurations/{}", billing_portal::update_configuration),
    route(Post, "/v1/billing_portal/sessions", billing_portal::create_session),
    route(Post, "/v1/payouts", payout::create),
    route(Get, "/v1/payouts", payout::list),
    route(Get, "/v1/payouts/{}", payout::retrieve),
    route(Post, "/v1/payouts/{}/cancel", payout::cancel),
    route(Get, "/v1/balance", balance_transaction::balance),
    route(Get, "/v1/balance_transactions", balance_transaction::list),
    route(Get, "/v1/balance_transactions/{}", balance_transaction::retrieve),
    route(Get, "/v1/account", account::retrieve),
];

impl Route {
    /// `POST /v1/refunds/{}`: its name in the list of parameters.
    pub fn operation(&self) -> String {
        format!("{} {}", self.method.text(), self.template)
    }
}

/// The route of a request, and the ids in its path.
pub fn find(method: Method, path: &str) -> Option<(&'static Route, Vec<&str>)> {
    ROUTES.iter().filter(|route| route.method == method).find_map(|route| {
        let ids = matches(route.template, path)?;
        Some((route, ids))
    })
}

fn matches<'a>(template: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut ids = Vec::new();
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(ids),
            (Some("{}"), Some(id)) if !id.is_empty() => ids.push(id),
            (Some(part), Some(same)) if part == same => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_its_parameters_listed() {
        for route in ROUTES {
            assert!(crate::model::parameters::is_known(&route.operation()), "{}", route.operation());
        }
    }

    #[test]
    fn ids_are_taken_from_the_path() {
        let (route, ids) = find(Post, "/v1/payment_intents/pi_1/confirm").unwrap();
        assert_eq!((route.template, ids.as_slice()), ("/v1/payment_intents/{}/confirm", ["pi_1"].as_slice()));
        assert!(find(Get, "/v1/payment_intents/").is_none());
        assert!(find(Post, "/v1/nothing").is_none());
    }
}
