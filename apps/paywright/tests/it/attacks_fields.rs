//! Property level: whatever is ours to say is refused by its name when a client says it.

use std::collections::BTreeSet;

use paywright_app::http::openapi::document;
use serde_json::{Value, json};

use crate::{
    attacks_table::{Object, Route, TABLE},
    attacks_world::{one_of_each, stored},
    support::TestApp,
};

/// Names that others give to what only we know.
const TEMPTING: [&str; 24] = [
    "price",
    "unit_price",
    "discount",
    "tax",
    "total",
    "status",
    "paid",
    "owner",
    "owner_id",
    "user_id",
    "role",
    "scopes",
    "is_admin",
    "api_key",
    "livemode",
    "client_secret",
    "idempotency_key",
    "payment_intent",
    "stripe_customer",
    "actor",
    "force",
    "deleted_at",
    "__proto__",
    "constructor",
];

/// Every name of a field in any answer.
fn answered() -> BTreeSet<&'static str> {
    let schemas = document()["components"]["schemas"].as_object().unwrap();
    let fields = schemas.values().filter_map(|schema| schema["properties"].as_object());
    fields.flat_map(|fields| fields.keys().map(String::as_str)).collect()
}

/// What a route's body may hold.
fn writable(route: &Route) -> BTreeSet<&'static str> {
    let operation = &document()["paths"][route.path][route.method.to_lowercase()];
    let reference =
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
    let schema = document().pointer(reference.trim_start_matches('#')).unwrap();
    assert_eq!(schema["additionalProperties"], false, "{}", route.path);
    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// Covers: I33, fault 111.
#[tokio::test(flavor = "multi_thread")]
async fn no_body_may_say_what_is_ours_to_say() {
    let app = TestApp::start().await;
    let known = one_of_each(&app).await;
    let before = stored(&app).await;
    let mut tried = 0;
    for route in TABLE.iter().filter(|route| route.body.is_some()) {
        let id = match route.object {
            Object::Of(kind) | Object::Shared(kind) => known[kind].as_str(),
            Object::None => "",
        };
        let own = writable(route);
        for field in answered().into_iter().chain(TEMPTING).filter(|field| !own.contains(field)) {
            for value in [json!("live"), json!(1), Value::Null] {
                let mut body = route.example(&known);
                body[field] = value;
                let what = format!("{} {} with {field}", route.method, route.path);
                let request = app.request(route.method, &route.to(id)).json(&body);
                let refused = app.send(request.header("idempotency-key", "fields")).await;
                assert_eq!(refused.field(&what), field, "{what}");
                tried += 1;
            }
        }
    }
    // Inside what may be written as well.
    for field in ["unit_amount", "price", "name", "currency", "amount", "discount", "total", "metadata"] {
        let item = json!({"product": known["product"], "quantity": 1, field: 1});
        let body = json!({"currency": "usd", "items": [item]});
        assert_eq!(app.post("/v1/orders", body).await.field(field), format!("items[0].{field}"));
    }
    for field in ["status", "submitted", "paywright_order", "refund"] {
        let body = json!({"evidence": {field: "won"}});
        let path = format!("/v1/disputes/{}/evidence", known["dispute"]);
        assert_eq!(app.post(&path, body).await.field(field), format!("evidence.{field}"));
    }
    assert!(tried > 4_000, "{tried}");
    assert_eq!(stored(&app).await, before);
    app.stop().await;
}
