//! What a request is sent to: the endpoint, by which Stripe counts, and the object, which it locks.

use crate::request::Request;

/// The parameter by which a refund names its payment.
const PAYMENT_INTENT: &str = "payment_intent=";

/// The method and the path with `{id}` for the id, so that there are as many as there are operations.
///
/// Source: <https://docs.stripe.com/rate-limits>
pub(crate) fn endpoint(request: &Request) -> String {
    let method = match request {
        Request::Get { .. } => "GET",
        Request::Post { .. } => "POST",
        Request::Delete { .. } => "DELETE",
    };
    let Path { collection, id, action } = split(request.path());
    let id = id.map_or("", |_| "/{id}");
    format!("{method} {collection}{id}{action}")
}

/// The object that a write changes. `None` for a read, and for a write that brings an object into being: nobody else
/// can know of it yet.
///
/// A refund changes its payment too.
pub(crate) fn object(request: &Request) -> Option<&str> {
    match request {
        Request::Get { .. } => None,
        Request::Delete { path } => split(path).id,
        Request::Post { path, form, .. } => split(path).id.or_else(|| {
            let payment = form.split('&').find_map(|field| field.strip_prefix(PAYMENT_INTENT));
            payment.filter(|id| !id.is_empty())
        }),
    }
}

/// `/v1/payment_intents`, `pi_1`, `/capture`.
struct Path<'a> {
    collection: &'a str,
    id: Option<&'a str>,
    action: &'a str,
}

/// Stripe's collections have one word, but those of its products two: `/v1/checkout/sessions`.
fn split(path: &str) -> Path<'_> {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let words = if path.starts_with("/v1/checkout/") { 3 } else { 2 };
    let end = |nth: usize| path.match_indices('/').nth(nth).map_or(path.len(), |(at, _)| at);
    let (collection, rest) = path.split_at(end(words));
    let (id, action) = rest.split_at(end(words + 1) - collection.len());
    Path { collection, id: id.strip_prefix('/').filter(|id| !id.is_empty()), action }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str, form: &str) -> Request {
        Request::Post { path: path.to_owned(), form: form.to_owned(), key: "key".to_owned() }
    }

    #[test]
    fn an_endpoint_is_named_without_ids_and_parameters() {
        for (path, name) in [
            ("/v1/payment_intents", "/v1/payment_intents"),
            ("/v1/payment_intents?limit=3", "/v1/payment_intents"),
            ("/v1/payment_intents/pi_1?expand%5B0%5D=x/y", "/v1/payment_intents/{id}"),
            ("/v1/payment_intents/pi_1/capture", "/v1/payment_intents/{id}/capture"),
            ("/v1/checkout/sessions", "/v1/checkout/sessions"),
            ("/v1/checkout/sessions/cs_test_1", "/v1/checkout/sessions/{id}"),
            ("/v1/checkout/sessions/cs_test_1/expire", "/v1/checkout/sessions/{id}/expire"),
        ] {
            assert_eq!(endpoint(&post(path, "")), format!("POST {name}"));
            assert_eq!(endpoint(&Request::Get { path: path.to_owned() }), format!("GET {name}"));
        }
    }

    /// Covers: U-4, fault 12.
    #[test]
    fn a_write_names_the_object_that_it_changes() {
        for (path, form, changed) in [
            ("/v1/payment_intents", "amount=1", None),
            ("/v1/payment_intents/pi_1/capture", "amount_to_capture=1", Some("pi_1")),
            ("/v1/payment_intents/pi_1/cancel", "", Some("pi_1")),
            ("/v1/refunds", "payment_intent=pi_1&amount=1", Some("pi_1")),
            ("/v1/refunds", "amount=1&payment_intent=pi_1", Some("pi_1")),
            ("/v1/checkout/sessions", "mode=payment&payment_intent_data%5Bx%5D=pi_1", None),
            ("/v1/checkout/sessions/cs_1/expire", "", Some("cs_1")),
            ("/v1/disputes/du_1", "submit=true", Some("du_1")),
            ("/v1/disputes/du_1/close", "", Some("du_1")),
        ] {
            assert_eq!(object(&post(path, form)), changed, "{path} {form}");
        }
        assert_eq!(object(&Request::Get { path: "/v1/payment_intents/pi_1".to_owned() }), None);
        let delete = Request::Delete { path: "/v1/webhook_endpoints/we_1".to_owned() };
        assert_eq!(object(&delete), Some("we_1"));
        assert_eq!(endpoint(&delete), "DELETE /v1/webhook_endpoints/{id}");
    }
}
