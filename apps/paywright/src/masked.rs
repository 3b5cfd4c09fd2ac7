//! Bodies of events as people see them: without what tells of customers, and without what opens something.

use serde_json::Value;

/// What stands where something is not shown.
const MASK: &str = "***";
/// Fields of Stripe's that tell of a person, with everything in them.
const PERSONAL: [&str; 12] = [
    "billing_details",
    "customer_address",
    "customer_details",
    "customer_email",
    "customer_name",
    "customer_phone",
    "customer_shipping",
    "evidence",
    "receipt_email",
    "receipt_url",
    "shipping",
    "shipping_details",
];

/// The body with its personal parts masked; `None` when it is no JSON, since nobody knows then where they are.
pub(crate) fn masked(body: &[u8]) -> Option<String> {
    let mut value = serde_json::from_slice(body).ok()?;
    mask(&mut value, false);
    Some(value.to_string())
}

fn mask(value: &mut Value, personal: bool) {
    match value {
        Value::String(text) if personal => MASK.clone_into(text),
        Value::String(text) => *text = without_secrets(text),
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, personal)),
        Value::Object(fields) => {
            for (name, field) in fields {
                mask(field, personal || name == "client_secret" || PERSONAL.contains(&name.as_str()));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Without the words of a text that are an e-mail address or a client secret, wherever they stand.
fn without_secrets(text: &str) -> String {
    let ends_word = |c: char| c.is_whitespace() || "<>()[]\"',;".contains(c);
    let word = |word: &str| {
        let (bare, end) = word.split_at(word.trim_end_matches(ends_word).len());
        if bare.contains('@') || bare.contains("_secret_") { MASK.to_owned() + end } else { word.to_owned() }
    };
    text.split_inclusive(ends_word).map(word).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Covers: fault 135.
    #[test]
    fn addresses_and_client_secrets_are_masked_wherever_they_stand() {
        let body = json!({"id": "evt_1", "data": {"object": {
            "id": "pi_1", "amount": 1999, "client_secret": "pi_1_secret_canary", "receipt_email": "canary@example.org",
            "description": "for <canary@example.org>, thanks; see pi_1_secret_canary",
            "metadata": {"note": "canary@example.org"},
            "charges": [{"billing_details": {"name": "canary", "address": {"line1": "canary"}, "tax": [{"id": "canary"}]}}],
        }}});
        let shown = masked(body.to_string().as_bytes()).unwrap();
        assert!(!shown.contains("canary"), "{shown}");
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let object = &shown["data"]["object"];
        assert_eq!((&object["id"], &object["amount"]), (&json!("pi_1"), &json!(1999)));
        assert_eq!(object["description"], "for <***>, thanks; see ***");
        // Escapes hide nothing.
        let escaped = masked(br#"{"a": "canary\u0040example.org"}"#).unwrap();
        assert_eq!(escaped, r#"{"a":"***"}"#);
        assert_eq!(masked(b"canary@example.org"), None);
    }
}
