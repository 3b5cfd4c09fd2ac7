//! The description of the API against the API.

use std::collections::{BTreeMap, BTreeSet};

use paywright_app::http::{openapi::document, problem::CATALOGUE};
use serde_json::{Value, json};

use crate::support::{DECLINED, Reply, TestApp, VISA, text};

/// What the description leaves out: for shoppers, and for readers of the description.
const LEFT_OUT: [&str; 7] = [
    "/checkout/{token}",
    "/checkout/{token}/pay",
    "/checkout/{token}/state",
    "/assets/{name}",
    "/openapi.json",
    "/docs",
    "/docs/{file:.*}",
];

pub(crate) type Routes = BTreeMap<String, BTreeSet<String>>;

/// The routes as `routes/mod.rs` declares them: after `configure` every path is one literal, in `get`, `post`, or a
/// `resource` with its methods behind it.
pub(crate) fn declared() -> Routes {
    let source = include_str!("../../src/http/routes/mod.rs");
    let (_, source) = source.split_once("pub fn configure").unwrap();
    let (source, _) = source.split_once("\n}\n").unwrap();
    let mut routes = Routes::new();
    let (mut scope, mut path) = ("", String::new());
    let text = source.replace(char::is_whitespace, "");
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['(', ';']) {
        let (word, after) = (rest[..at].rsplit([':', '.', '(']).next().unwrap().to_owned(), &rest[at + 1..]);
        let literal = after.strip_prefix('"').and_then(|text| text.split('"').next());
        match (word.as_str(), literal) {
            ("scope", Some(prefix)) => scope = prefix,
            ("resource", Some(name)) => path = format!("{scope}{name}"),
            (method @ ("get" | "post"), Some(name)) => {
                // The scope ends where the first path does not belong to it.
                let outside =
                    ["/webhooks", "/checkout", "/assets", "/openapi", "/docs", "/healthz", "/readyz"];
                let scope = if outside.iter().any(|start| name.starts_with(start)) { "" } else { scope };
                routes.entry(format!("{scope}{name}")).or_default().insert(method.to_owned());
            }
            (method @ ("get" | "post" | "patch" | "put" | "delete"), None) => {
                routes.entry(path.clone()).or_default().insert(method.to_owned());
            }
            _ => {}
        }
        rest = after;
    }
    routes
}

/// The routes as the document describes them.
pub(crate) fn described() -> Routes {
    let paths = document()["paths"].as_object().unwrap();
    let methods = |item: &Value| item.as_object().unwrap().keys().cloned().collect();
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    let mut declared = declared();
    for path in LEFT_OUT {
        assert!(declared.remove(path).is_some(), "{path} is gone from the routes");
    }
    assert_eq!(declared, described());
    assert!(declared.len() >= 16, "{declared:?}");
}

/// The server itself agrees: what is described is there, by exactly these methods.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_takes_the_methods_that_are_described() {
    let app = TestApp::start().await;
    for (path, methods) in described() {
        let url = path.replace("{id}", "x");
        let refused = app.send(app.request("DELETE", &url)).await;
        assert_eq!(refused.problem(), (405, "method_not_allowed".to_owned()), "{path}");
        let allowed = refused.header("allow").unwrap().split(',').map(|method| method.trim().to_lowercase());
        assert_eq!(allowed.collect::<BTreeSet<_>>(), methods, "{path}");
    }
    app.stop().await;
}

fn operations() -> Vec<(String, String, Value)> {
    let all = document()["paths"].as_object().unwrap();
    all.iter()
        .flat_map(|(path, item)| {
            let operations = item.as_object().unwrap();
            operations.iter().map(|(method, operation)| (method.clone(), path.clone(), operation.clone()))
        })
        .collect()
}

#[test]
fn the_description_is_sound() {
    assert_eq!(document()["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations() {
        let what = format!("{method} {path}");
        assert!(ids.insert(text(&operation["operationId"])), "{what}: its id is taken");
        assert!(!text(&operation["summary"]).is_empty(), "{what}");
        assert!(operation.get("x-problems").is_none(), "{what}");
        // Every problem that it names is in the catalogue.
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{what}");
        let with_key = operation["parameters"].to_string().contains("IdempotencyKey");
        assert_eq!(with_key, method == "post" && path.starts_with("/v1/"), "{what}");
        let public = !path.starts_with("/v1/") || path == "/v1/config";
        assert_eq!(operation.get("security").is_none(), public, "{what}");
        for (placeholder, _) in path.match_indices('{') {
            let name = path[placeholder + 1..].split('}').next().unwrap();
            let parameters = operation["parameters"].as_array().unwrap();
            assert!(parameters.iter().any(|one| one["name"] == name && one["in"] == "path"), "{what}");
        }
    }
    let mut references = 0;
    visit(document(), &mut |value| {
        let Some(Value::String(target)) = value.get("$ref") else { return };
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document().pointer(pointer).is_some(), "{target} leads nowhere");
        references += 1;
    });
    assert!(references > 50, "{references}");
}

/// A code that the source knows and the catalogue does not would be a code that no client was told of.
#[test]
fn every_code_is_in_the_catalogue() {
    let sources = [
        include_str!("../../src/http/auth.rs"),
        include_str!("../../src/http/body.rs"),
        include_str!("../../src/http/idempotent.rs"),
        include_str!("../../src/http/limits.rs"),
        include_str!("../../src/http/problem.rs"),
        include_str!("../../src/http/problem/errors.rs"),
        include_str!("../../src/http/routes/inbox.rs"),
        include_str!("../../src/http/routes/jobs.rs"),
        include_str!("../../src/http/routes/orders.rs"),
        include_str!("../../src/http/routes/order_commands.rs"),
        include_str!("../../src/http/routes/order_payments.rs"),
        include_str!("../../src/http/routes/reconciliation.rs"),
        include_str!("../../src/http/routes/refunds.rs"),
        include_str!("../../src/http/routes/payments.rs"),
        include_str!("../../src/http/routes/products.rs"),
        include_str!("../../src/http/routes/health.rs"),
        include_str!("../../src/http/routes/webhook.rs"),
    ];
    // What these kinds of error would answer, no route of the API has.
    let unreachable = ["conflict", "outdated", "refused"];
    let mut seen = BTreeSet::new();
    for call in
        sources.iter().flat_map(|source| source.split("::new(").chain(source.split("bad_request(")).skip(1))
    {
        let arguments = call.split([')', ';']).next().unwrap();
        let is_code = |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let Some(code) = arguments.split('"').nth(1).filter(is_code) else { continue };
        if code.len() > 1 && !unreachable.contains(&code) {
            assert!(CATALOGUE.iter().any(|(_, known, _)| *known == code), "{code}");
            seen.insert(code);
        }
    }
    let listed: BTreeSet<_> = CATALOGUE.iter().map(|(_, code, _)| *code).collect();
    assert_eq!(seen, listed);
}

fn visit(value: &Value, each: &mut impl FnMut(&Value)) {
    each(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| visit(item, each)),
        Value::Object(fields) => fields.values().for_each(|field| visit(field, each)),
        _ => {}
    }
}

/// A schema of the document that knows the document's other schemas.
fn validator(schema: &Value) -> jsonschema::Validator {
    let mut root = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema" });
    root["components"] = document()["components"].clone();
    root["allOf"] = json!([schema]);
    jsonschema::options().should_validate_formats(true).build(&root).unwrap()
}

fn check(schema: &Value, value: &Value, what: &str) {
    let errors: Vec<_> = validator(schema)
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
}

fn fits(schema: &Value, value: &Value) -> bool {
    validator(schema).is_valid(value)
}

/// Every property that an answer has must be described: schemas of answers alone would let any other pass.
pub(crate) fn nothing_undescribed(name: &str, value: &Value) {
    let schema = &document()["components"]["schemas"][name];
    let (described, required) = (schema["properties"].as_object().unwrap(), schema["required"].as_array());
    let keys: BTreeSet<_> = value.as_object().unwrap().keys().collect();
    assert_eq!(keys, described.keys().collect(), "{name}");
    assert_eq!(required.unwrap().len(), described.len(), "{name}: an answer has all of its fields");
}

pub(crate) struct Judge<'a>(pub(crate) &'a TestApp);

impl Judge<'_> {
    /// Sends a request and holds the answer to what the description says of it.
    pub(crate) async fn send(&self, method: &str, route: &str, id: &str, body: Option<Value>) -> Reply {
        let url = route.replace("{id}", id);
        let (path, _) = route.split_once('?').unwrap_or((route, ""));
        let operation = &document()["paths"][path][method];
        let what = format!("{method} {url}");
        let request = self.0.request(&method.to_uppercase(), &url);
        let described = &operation["requestBody"]["content"]["application/json"]["schema"];
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let reply = self.0.send(request).await;
        if let (Some(body), 200..300) = (&body, reply.status) {
            check(described, body, &what);
        }
        let response = &operation["responses"][reply.status.to_string()];
        assert!(response.is_object(), "{what}: {} is not described: {}", reply.status, reply.text);
        let kind = reply.header("content-type").unwrap();
        let schema = &response["content"][kind]["schema"];
        assert!(schema.is_object(), "{what}: {kind} is not described");
        check(schema, &reply.json(), &what);
        for name in response["headers"].as_object().unwrap().keys() {
            let optional = ["Retry-After", "Idempotent-Replayed"].contains(&name.as_str());
            assert!(optional || reply.header(name).is_some(), "{what}: no {name}");
        }
        reply
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_answers_is_what_the_description_says() {
    let app = TestApp::start().await;
    let judge = Judge(&app);
    let new = json!({"name": "Tea", "unit_amount": 1999, "currency": "usd", "metadata": {"shelf": "7"}});
    let product = judge.send("post", "/v1/products", "", Some(new)).await.ok();
    nothing_undescribed("Product", &product);
    let product = text(&product["id"]);
    judge.send("get", "/v1/products/{id}", &product, None).await.ok();
    judge.send("patch", "/v1/products/{id}", &product, Some(json!({"name": "Tea, 100 g"}))).await.ok();
    judge.send("get", "/v1/products?limit=1", "", None).await.ok();
    let new = json!({"currency": "usd", "items": [{"product": product, "quantity": 2}],
        "customer_email": "ada@example.org"});
    let order = judge.send("post", "/v1/orders", "", Some(new.clone())).await.ok();
    nothing_undescribed("Order", &order);
    nothing_undescribed("OrderItem", &order["items"][0]);
    let order = text(&order["id"]);
    let page = judge.send("post", "/v1/orders/{id}/checkout-session", &order, None).await.ok();
    nothing_undescribed("CheckoutSession", &page);
    let session = text(&page["url"]).rsplit('/').next().unwrap().to_owned();
    app.pay_session(&session, DECLINED).await;
    app.until_that(&order, |shown| shown["payments"][0]["declines"] != json!([])).await;
    let declined = judge.send("get", "/v1/payments/{id}", &text(&page["payment"]), None).await.ok();
    nothing_undescribed("Payment", &declined);
    nothing_undescribed("Decline", &declined["declines"][0]);
    app.pay_session(&session, VISA).await.ok();
    app.until(&order, "paid").await;
    for (command, body) in [
        ("fulfillment", None),
        ("ship", Some(json!({"carrier": "DHL", "tracking": "JD0001"}))),
        ("complete", Some(json!({}))),
    ] {
        judge.send("post", &format!("/v1/orders/{{id}}/{command}"), &order, body).await.ok();
    }
    let done = judge.send("get", "/v1/orders/{id}", &order, None).await.ok();
    nothing_undescribed("Shipment", &done["shipment"]);
    judge.send("get", "/v1/orders?state=completed&created[gte]=2020-01-01T00:00:00Z", "", None).await.ok();
    let steps = judge.send("get", "/v1/orders/{id}/timeline", &order, None).await.ok();
    nothing_undescribed("TimelineEntry", &steps["data"][0]);
    let other = text(&judge.send("post", "/v1/orders", "", Some(new)).await.ok()["id"]);
    let intent = judge.send("post", "/v1/orders/{id}/payment-intent", &other, Some(json!({}))).await.ok();
    nothing_undescribed("PaymentIntent", &intent);
    let why = json!({"reason": "duplicate"});
    judge.send("post", "/v1/orders/{id}/cancel", &other, Some(why)).await.ok();
    let gone = app.until(&other, "cancelled").await;
    nothing_undescribed("Cancellation", &gone["cancellation"]);
    for path in ["/v1/config", "/healthz", "/readyz"] {
        judge.send("get", path, "", None).await.ok();
    }
    refusals(&judge, &order).await;
    app.stop().await;
}

/// Reserved money, and money that goes back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_about_holds_and_refunds_is_what_the_description_says() {
    let app = TestApp::start().await;
    let judge = Judge(&app);
    let (_, first) = app.authorized().await;
    let part = Some(json!({"amount": 1000}));
    let captured = judge.send("post", "/v1/payments/{id}/capture", &first, part).await.ok();
    nothing_undescribed("Payment", &captured);
    app.until_fee(&first).await;
    let synced = judge.send("post", "/v1/payments/{id}/sync", &first, None).await.ok();
    nothing_undescribed("Fee", &synced["fee"]);
    let (order, second) = app.authorized().await;
    judge.send("post", "/v1/payments/{id}/void", &second, Some(json!({}))).await.ok();
    judge.send("post", "/v1/payments/{id}/void", &second, None).await.refused("void");
    judge.send("post", "/v1/payments/{id}/capture", &second, None).await.refused("capture");
    app.until(&order, "pending").await;
    let (third, _) = app.authorized().await;
    let whole = Some(json!({"amount": 3998}));
    judge.send("post", "/v1/orders/{id}/fulfillment", &third, whole).await.ok();
    let why = Some(json!({"reason": "out of stock"}));
    judge.send("post", "/v1/orders/{id}/fulfillment/failed", &third, why).await.ok();

    let give = |more: Value| {
        let mut refund = json!({"payment": first, "reason": "goodwill"});
        refund.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Some(refund)
    };
    let body = give(json!({"amount": 300, "note": "sorry", "expected_refundable": 1000}));
    let refund = judge.send("post", "/v1/refunds", "", body).await.ok();
    nothing_undescribed("Refund", &refund);
    judge.send("get", "/v1/refunds/{id}", &text(&refund["id"]), None).await.ok();
    judge.send("get", &format!("/v1/refunds?payment={first}&limit=1"), "", None).await.ok();
    for (more, status, code) in [
        (json!({"amount": 800}), 409, "refund_exceeds_refundable"),
        (json!({"amount": 1, "expected_refundable": 999}), 412, "refundable_changed"),
        (json!({"payment": second}), 409, "payment_not_captured"),
        (json!({"payment": "pay_00000000000000000000000000"}), 422, "invalid_request"),
        (json!({"reason": "late_payment"}), 422, "invalid_request"),
    ] {
        let refused = judge.send("post", "/v1/refunds", "", give(more)).await;
        assert_eq!(refused.problem(), (status, code.to_owned()));
        let tells = ["refund_exceeds_refundable", "refundable_changed"].contains(&code);
        assert_eq!(refused.json()["refundable"], if tells { json!(700) } else { Value::Null });
    }
    let unknown = judge.send("get", "/v1/refunds/{id}", "ref_00000000000000000000000000", None).await;
    assert_eq!(unknown.problem(), (404, "not_found".to_owned()));
    app.stop().await;
}

/// Errors too are as described, by route and status.
async fn refusals(judge: &Judge<'_>, done: &str) {
    let nobody = "ord_00000000000000000000000000";
    for (method, route, id, body, expected) in [
        ("post", "/v1/orders/{id}/ship", done, Some(json!({"carrier": "DHL"})), (409, "illegal_transition")),
        ("post", "/v1/orders/{id}/cancel", done, None, (409, "illegal_transition")),
        ("post", "/v1/orders/{id}/payment-intent", done, None, (409, "illegal_transition")),
        ("post", "/v1/orders/{id}/complete", nobody, None, (404, "not_found")),
        ("get", "/v1/orders/{id}", nobody, None, (404, "not_found")),
        ("get", "/v1/orders?state=x", "", None, (422, "invalid_request")),
        ("post", "/v1/orders", "", Some(json!({"currency": "usd", "items": []})), (422, "invalid_request")),
        ("post", "/v1/products", "", Some(json!({"zzz": 1})), (422, "invalid_request")),
        ("patch", "/v1/products/{id}", "x", Some(json!([])), (422, "invalid_request")),
        ("post", "/webhooks/stripe", "", Some(json!({})), (400, "bad_signature")),
    ] {
        let refused = judge.send(method, route, id, body).await;
        assert_eq!(refused.problem(), (expected.0, expected.1.to_owned()), "{method} {route}");
    }
}

/// What the schemas refuse, the server refuses, and the examples pass.
#[test]
fn requests_are_described_as_strictly_as_they_are_read() {
    let schemas = &document()["components"]["schemas"];
    let named = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let requests = [
        "NewProduct",
        "ProductEdit",
        "NewOrder",
        "NewItem",
        "NewCheckoutSession",
        "NewCancellation",
        "NewFulfillment",
        "FailedFulfillment",
        "NewCapture",
        "NewRefund",
        "Empty",
    ];
    for name in requests.into_iter().chain(["NewShipment"]) {
        assert_eq!(schemas[name]["additionalProperties"], false, "{name}");
        assert!(!fits(&named(name), &json!({"zzz": 1})), "{name}");
        if let Some(example) = schemas[name].get("example") {
            check(&named(name), example, name);
        }
    }
    let item = json!({"product": "prod_01kagpz3m4e5tv9w8x7y6z5a4b", "quantity": 1});
    let order = |item: &Value| json!({"currency": "usd", "items": [item]});
    assert!(fits(&named("NewOrder"), &order(&item)));
    for (field, wrong) in [("quantity", json!(0)), ("quantity", json!("1")), ("product", json!("ord_1"))] {
        let mut item = item.clone();
        item[field] = wrong;
        assert!(!fits(&named("NewOrder"), &order(&item)), "{item}");
    }
    for wrong in [json!({"currency": "USD", "items": [item]}), json!({"currency": "usd"})] {
        assert!(!fits(&named("NewOrder"), &wrong), "{wrong}");
    }
    let refund = &schemas["NewRefund"]["example"];
    for (field, wrong) in [
        ("amount", json!(0)),
        ("amount", json!(-1)),
        ("amount", json!(1.5)),
        ("amount", json!("1")),
        ("expected_refundable", json!(-1)),
        ("reason", json!("late_payment")),
        ("reason", json!("")),
        ("note", json!("")),
        ("payment", json!("ord_1")),
    ] {
        let mut refund = refund.clone();
        refund[field] = wrong;
        assert!(!fits(&named("NewRefund"), &refund), "{refund}");
    }
    assert_eq!(schemas["NewRefund"]["required"], json!(["payment", "reason"]));
    assert_eq!(schemas["NewProduct"]["required"], json!(["name", "unit_amount", "currency"]));
    assert_eq!(schemas["NewOrder"]["required"], json!(["currency", "items"]));
    for (key, value, fine) in [("a", "b", true), ("paywright_x", "b", false), ("a[b]", "c", false)] {
        assert_eq!(fits(&named("Metadata"), &json!({ key: value })), fine, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_and_its_pages_are_served_and_load_nothing_from_elsewhere() {
    let app = TestApp::start().await;
    let served = app.send(app.bare("GET", "/openapi.json")).await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    assert_eq!(&served.ok(), document());
    let moved = app.send(app.bare("GET", "/docs")).await;
    assert_eq!((moved.status, moved.header("location")), (308, Some("/docs/")));
    let page = app.send(app.bare("GET", "/docs/")).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!page.text.contains("//cdn") && !page.text.contains("https://"), "{}", page.text);
    for part in page.text.split(['"', '\'']).filter(|part| part.ends_with(".js") || part.ends_with(".css")) {
        let part = part.trim_start_matches("./");
        assert_eq!(app.send(app.bare("GET", &format!("/docs/{part}"))).await.status, 200, "{part}");
    }
    let start = app.send(app.bare("GET", "/docs/swagger-initializer.js")).await;
    assert!(start.text.contains("/openapi.json"), "{}", start.text);
    for path in ["/docs/nothing", "/docs/../Cargo.toml", "/docs/%2e%2e/Cargo.toml"] {
        assert_eq!(app.send(app.bare("GET", path)).await.problem(), (404, "not_found".to_owned()), "{path}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_shown_as_in_its_order_and_only_to_whom_it_may_be() {
    let app = TestApp::start().await;
    let order = app.paid_order().await;
    let inside = app.show(&order).await["payments"][0].clone();
    let id = text(&inside["id"]);
    let path = format!("/v1/payments/{id}");
    assert_eq!(app.get(&path).await.ok(), inside);
    assert_eq!(inside["state"], "captured");
    let foreign = [format!("/v1/payments/{order}"), "/v1/payments/x".to_owned()];
    let unknown = "/v1/payments/pay_00000000000000000000000000".to_owned();
    for path in foreign.into_iter().chain([unknown]) {
        assert_eq!(app.get(&path).await.problem(), (404, "not_found".to_owned()), "{path}");
    }
    assert_eq!(app.send(app.bare("GET", &path)).await.problem(), (401, "unauthorized".to_owned()));
    let keys = paywright_postgres::ApiKeys::new(&app.app.store);
    let scope = ["orders:write".to_owned()];
    let (_, key) = keys.create("writes", paywright_domain::Mode::Test, &scope, [9; 32]).await.unwrap();
    let key = secrecy::ExposeSecret::expose_secret(&key).to_owned();
    let refused = app.send(app.bare("GET", &path).bearer_auth(key)).await;
    assert_eq!(refused.problem(), (403, "missing_scope".to_owned()));
    // The database would not let a payment be of another mode than its order.
    let both =
        "WITH one AS (UPDATE orders SET mode = 'live') UPDATE payments SET mode = 'live' WHERE $1 <> ''";
    app.by_hand(both, "x").await;
    assert_eq!(app.get(&path).await.problem(), (404, "not_found".to_owned()));
    app.stop().await;
}
