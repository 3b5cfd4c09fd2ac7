//! What each route asks of whoever calls it. A route that is not here fails the tests.

use std::collections::BTreeMap;

use paywright_app::http::openapi::document;
use serde_json::{Value, json};

use crate::openapi::{declared, described};

/// What opens a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// An API key with this scope.
    Scope(&'static str),
    /// A signature over the body.
    Signature,
    /// The token in the address, which is that of one order.
    Token,
    /// Nothing: what is behind it is for everybody.
    Open,
}

/// Whose the thing is that a path names by `{id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    /// Nobody's: the path names none, or a day, or a file.
    None,
    /// One of a mode; of the other mode it does not exist.
    Of(&'static str),
    /// One of the whole installation.
    Shared(&'static str),
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) door: Door,
    pub(crate) object: Object,
    /// A body that it would take, if it takes one; `{payment}` and the like stand for what exists.
    pub(crate) body: Option<&'static str>,
}

use Door::{Open, Scope, Signature, Token};
use Object::{None as Nobody, Of, Shared};

const fn route(method: &'static str, path: &'static str, door: Door, object: Object) -> Route {
    Route { method, path, door, object, body: None }
}

const fn send(
    method: &'static str,
    path: &'static str,
    scope: &'static str,
    object: Object,
    body: &'static str,
) -> Route {
    Route { method, path, door: Scope(scope), object, body: Some(body) }
}

/// Every route of the program.
#[rustfmt::skip]
pub(crate) const TABLE: &[Route] = &[
    send("POST", "/v1/products", "products:write", Nobody, r#"{"name": "Tea", "unit_amount": 500, "currency": "usd"}"#),
    route("GET", "/v1/products", Scope("products:read"), Nobody),
    route("GET", "/v1/products/{id}", Scope("products:read"), Of("product")),
    send("PATCH", "/v1/products/{id}", "products:write", Of("product"), r#"{"name": "Other"}"#),
    send("POST", "/v1/orders", "orders:write", Nobody,
        r#"{"currency": "usd", "items": [{"product": "{product}", "quantity": 1}]}"#),
    route("GET", "/v1/orders", Scope("orders:read"), Nobody),
    route("GET", "/v1/orders/{id}", Scope("orders:read"), Of("order")),
    route("GET", "/v1/orders/{id}/timeline", Scope("orders:read"), Of("order")),
    send("POST", "/v1/orders/{id}/checkout-session", "orders:write", Of("order"), "{}"),
    send("POST", "/v1/orders/{id}/payment-intent", "orders:write", Of("order"), "{}"),
    send("POST", "/v1/orders/{id}/cancel", "orders:write", Of("order"), r#"{"reason": "duplicate"}"#),
    send("POST", "/v1/orders/{id}/fulfillment", "orders:write", Of("order"), "{}"),
    send("POST", "/v1/orders/{id}/fulfillment/failed", "orders:write", Of("order"), r#"{"reason": "out of stock"}"#),
    send("POST", "/v1/orders/{id}/ship", "orders:write", Of("order"), r#"{"carrier": "DHL"}"#),
    send("POST", "/v1/orders/{id}/complete", "orders:write", Of("order"), "{}"),
    route("GET", "/v1/payments/{id}", Scope("orders:read"), Of("payment")),
    send("POST", "/v1/payments/{id}/capture", "payments:write", Of("payment"), "{}"),
    send("POST", "/v1/payments/{id}/void", "payments:write", Of("payment"), "{}"),
    send("POST", "/v1/payments/{id}/sync", "payments:write", Of("payment"), "{}"),
    send("POST", "/v1/refunds", "refunds:write", Nobody, r#"{"payment": "{payment}", "amount": 1, "reason": "goodwill"}"#),
    route("GET", "/v1/refunds", Scope("refunds:read"), Nobody),
    route("GET", "/v1/refunds/{id}", Scope("refunds:read"), Of("refund")),
    route("GET", "/v1/disputes", Scope("disputes:read"), Nobody),
    route("GET", "/v1/disputes/{id}", Scope("disputes:read"), Of("dispute")),
    send("POST", "/v1/disputes/{id}/evidence", "disputes:write", Of("dispute"),
        r#"{"evidence": {"product_description": "Tea"}}"#),
    send("POST", "/v1/disputes/{id}/submit", "disputes:write", Of("dispute"), "{}"),
    send("POST", "/v1/disputes/{id}/accept", "disputes:write", Of("dispute"), "{}"),
    route("GET", "/v1/breaks", Scope("breaks:read"), Nobody),
    send("POST", "/v1/breaks/{id}/resolve", "breaks:write", Of("break"), r#"{"reason": "a test"}"#),
    send("POST", "/v1/reconciliation/runs", "reconciliation:write", Nobody, "{}"),
    route("GET", "/v1/reconciliation/runs", Scope("reconciliation:read"), Nobody),
    route("GET", "/v1/reconciliation/runs/{id}", Scope("reconciliation:read"), Of("run")),
    route("GET", "/v1/reconciliation/statement", Scope("reconciliation:read"), Nobody),
    route("GET", "/v1/payouts", Scope("reports:read"), Nobody),
    route("GET", "/v1/payouts/{id}", Scope("reports:read"), Of("payout")),
    route("GET", "/v1/inbox", Scope("inbox:read"), Nobody),
    route("GET", "/v1/inbox/{id}", Scope("inbox:read"), Of("event")),
    send("POST", "/v1/inbox/{id}/replay", "inbox:write", Of("event"), "{}"),
    send("POST", "/v1/inbox/replay", "inbox:write", Nobody, r#"{"type": "payment_intent.*", "dry_run": true}"#),
    route("GET", "/v1/jobs", Scope("inbox:read"), Nobody),
    route("GET", "/v1/jobs/{id}", Scope("inbox:read"), Shared("job")),
    send("POST", "/v1/jobs/{id}/retry", "inbox:write", Shared("job"), "{}"),
    route("GET", "/v1/reports/orders/{id}", Scope("reports:read"), Of("order")),
    route("GET", "/v1/reports/days/{day}", Scope("reports:read"), Nobody),
    route("GET", "/v1/config", Open, Nobody),
    route("POST", "/webhooks/stripe", Signature, Nobody),
    route("GET", "/checkout/{token}", Token, Nobody),
    route("POST", "/checkout/{token}/pay", Token, Nobody),
    route("GET", "/checkout/{token}/state", Token, Nobody),
    route("GET", "/assets/{name}", Open, Nobody),
    route("GET", "/openapi.json", Open, Nobody),
    route("GET", "/docs", Open, Nobody),
    route("GET", "/docs/{file:.*}", Open, Nobody),
    route("GET", "/healthz", Open, Nobody),
    route("GET", "/readyz", Open, Nobody),
];

/// The routes of the API, each with the scope that opens it.
pub(crate) fn closed() -> impl Iterator<Item = (&'static Route, &'static str)> {
    TABLE.iter().filter_map(|route| match route.door {
        Scope(scope) => Some((route, scope)),
        Signature | Token | Open => None,
    })
}

/// How ids of a kind begin.
pub(crate) fn prefix(kind: &str) -> &'static str {
    match kind {
        "product" => "prod",
        "order" => "ord",
        "payment" => "pay",
        "refund" => "ref",
        "dispute" => "dis",
        "break" => "brk",
        "run" => "run",
        "job" => "job",
        "payout" => "po",
        "event" => "evt",
        _ => panic!("no kind: {kind}"),
    }
}

impl Route {
    /// The path with something well-formed in every place, of which none exists.
    pub(crate) fn to_nobody(self) -> String {
        let nobody = match self.object {
            Of(kind) | Shared(kind) => format!("{}_00000000000000000000000000", prefix(kind)),
            Nobody => String::new(),
        };
        self.to(&nobody)
    }

    /// The path to this object.
    pub(crate) fn to(&self, id: &str) -> String {
        let path = self.path.replace("{id}", id).replace("{day}", "2026-11-21");
        path.replace("{token}", &"0".repeat(48)).replace("{name}", "checkout.css").replace("{file:.*}", "")
    }

    /// The body that it would take.
    pub(crate) fn example(&self, known: &BTreeMap<&'static str, String>) -> Value {
        let filled = known.iter().fold(self.body.unwrap_or("{}").to_owned(), |body, (kind, id)| {
            body.replace(&format!("{{{kind}}}"), id)
        });
        serde_json::from_str(&filled).unwrap()
    }
}

/// Covers: fault 116, fault 133 (the part about completeness).
#[test]
fn no_route_is_left_out() {
    let mut table = BTreeMap::<String, Vec<String>>::new();
    for route in TABLE {
        table.entry(route.path.to_owned()).or_default().push(route.method.to_lowercase());
    }
    let table = table.into_iter().map(|(path, methods)| (path, methods.into_iter().collect()));
    assert_eq!(table.collect::<BTreeMap<_, _>>(), declared(), "the table and the router differ");
    // What the API promises of its doors is what they are.
    for (path, methods) in described() {
        for method in methods {
            let route =
                TABLE.iter().find(|route| route.path == path && route.method.to_lowercase() == method);
            let promised = &document()["paths"][&path][&method]["security"];
            let expected = match route.unwrap().door {
                Scope(scope) => json!([{"api_key": [scope]}]),
                Signature | Token | Open => Value::Null,
            };
            assert_eq!(*promised, expected, "{method} {path}");
            let takes = document()["paths"][&path][&method].get("requestBody").is_some();
            let signed = route.unwrap().door == Signature;
            assert_eq!(route.unwrap().body.is_some() || signed, takes, "{method} {path}: a body");
        }
    }
}
