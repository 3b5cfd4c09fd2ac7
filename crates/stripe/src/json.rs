//! Reading JSON that somebody else wrote: bounded, and without quoting what could not be read.

mod strict;

use std::{fmt, marker::PhantomData};

use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

pub(crate) use strict::Strict;

/// A text that does not print.
pub(crate) struct Secret(pub(crate) SecretString);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// A reference that Stripe writes as an id, or as the object when asked to expand it.
///
/// Source: <https://docs.stripe.com/expand>
pub(crate) enum Expandable<T> {
    /// The id alone.
    Id(String),
    /// The whole object.
    Object(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Expandable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdOrObject(PhantomData))
    }
}

struct IdOrObject<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for IdOrObject<T> {
    type Value = Expandable<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id or an object")
    }

    fn visit_str<E: de::Error>(self, id: &str) -> Result<Self::Value, E> {
        Ok(Expandable::Id(id.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Expandable::Object)
    }
}

/// Bytes that could not be read: where and why, never what they hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {path}: {why}")]
pub(crate) struct Unreadable {
    path: String,
    why: String,
}

/// Reads an object.
pub(crate) fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Unreadable> {
    // To know at each value where one is takes as long as the reading itself: it is done for what cannot be read.
    read_fast(body).or_else(|_| explain(body))
}

fn read_fast<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = T::deserialize(Strict(&mut json))?;
    json.end()?;
    Ok(value)
}

fn explain<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Unreadable> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(Strict(&mut json)).map_err(|error| {
        let path = error.path().to_string();
        Unreadable::new(path, error.inner())
    })?;
    json.end().map_err(|error| Unreadable::new("the end".to_owned(), &error))?;
    Ok(value)
}

impl Unreadable {
    /// What follows a colon in serde's text quotes the value, which may be anything.
    fn new(path: String, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let why = text.split_once(": ").map_or(text.as_str(), |(why, _)| why).to_owned();
        Self { path: crate::text::tidy(&path, 200), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Bare, Dispute, ErrorBody, Intent, Named};
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    #[test]
    fn a_reference_is_an_id_or_an_object() {
        for json in [
            r#"{"id":"x","payment_intent":"pi_1"}"#,
            r#"{"payment_intent":{"id":"pi_1","amount":5},"id":"x"}"#,
        ] {
            let bare: Bare = read(json.as_bytes()).unwrap();
            assert_eq!(bare.payment_intent.unwrap().id(), "pi_1");
        }
        for json in [r#"{"id":"x","payment_intent":null}"#, r#"{"id":"x"}"#, r#"{"id":"x","new_field":[1]}"#]
        {
            assert!(read::<Bare>(json.as_bytes()).unwrap().payment_intent.is_none(), "{json}");
        }
        assert!(read::<Bare>(br#"{"id":"x","payment_intent":5}"#).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_named_without_its_value() {
        let error = read::<ErrorBody>(br#"{"error":{"type":"x","message":{"canary":1}}}"#).err().unwrap();
        assert_eq!(error.to_string(), "at error.message: invalid type");
        let error = read::<ErrorBody>(br#"{"error":{"code":"canary"}}"#).err().unwrap();
        assert!(error.to_string().contains("missing field `type`"), "{error}");
        let error = read::<Named>(br#"{"id": "canary", "id": "x"}"#).err().unwrap();
        assert!(!error.to_string().contains("canary"));
    }

    /// Covers: fault 5.
    #[test]
    fn a_prefix_or_a_tail_is_never_taken_for_the_whole() {
        for json in [r#"{"id":"pi_1""#, r#"{"id":"pi_1"}{"#, "", "null", "[]", r#"["pi_1"]"#, r#""pi_1""#] {
            assert!(read::<Named>(json.as_bytes()).is_err(), "{json}");
        }
    }

    /// Reads an object, then the same with a list in the place of each of these, which serde alone would read.
    fn check_lists<T: DeserializeOwned>(object: &Value, places: &[&str]) {
        assert!(read::<T>(object.to_string().as_bytes()).is_ok());
        for place in places {
            let mut json = object.clone();
            let within = json.pointer_mut(place).unwrap();
            *within = within.as_object().unwrap().values().cloned().collect();
            let text = json.to_string();
            assert!(serde_json::from_str::<T>(&text).is_ok(), "not the fields in their order: {text}");
            let error = read::<T>(text.as_bytes()).err().unwrap_or_else(|| panic!("read: {text}"));
            assert!(error.to_string().ends_with(": invalid type"), "{error}");
        }
    }

    #[test]
    fn a_list_is_never_taken_for_an_object() {
        let movement = json!({"id": "txn_1", "amount": -1999, "fee": 1500, "currency": "usd", "created": 1});
        let metadata = json!({"endpoint": null, "order": null, "payment": null, "refund": null});
        let failed = json!({
            "type": "card_error", "code": null, "decline_code": null, "advice_code": null, "message": null,
            "charge": "ch_1", "payment_method": {"id": "pm_1"},
        });
        let charge = json!({
            "id": "ch_1", "balance_transaction": movement,
            "payment_method_details": {"card": {"capture_before": 1}},
        });
        let intent = json!({
            "id": "pi_1", "object": "payment_intent", "amount": 1999, "amount_capturable": 0, "amount_received": 0,
            "currency": "usd", "status": "requires_payment_method", "created": 1, "livemode": false,
            "metadata": metadata, "client_secret": null, "latest_charge": charge, "last_payment_error": failed,
        });
        let details = "/latest_charge/payment_method_details";
        let card = "/latest_charge/payment_method_details/card";
        check_lists::<Intent>(&intent, &["", "/metadata", "/last_payment_error", details, card]);
        let dispute = json!({
            "id": "du_1", "object": "dispute", "amount": 1999, "currency": "usd", "created": 1, "livemode": false,
            "status": "needs_response", "reason": "general", "is_charge_refundable": true, "payment_intent": "pi_1",
            "evidence_details": {"due_by": 1, "submission_count": 0}, "balance_transactions": [movement],
        });
        check_lists::<Dispute>(&dispute, &["", "/evidence_details", "/balance_transactions/0"]);
        let error = json!({"error": {
            "type": "api_error", "code": null, "param": null, "decline_code": null, "advice_code": null,
            "message": null, "charge": null, "payment_intent": null,
        }});
        check_lists::<ErrorBody>(&error, &["", "/error"]);
    }

    /// Where nobody looks, depth costs nothing; where a value is kept, it is bounded.
    ///
    /// Covers: fault 118.
    #[test]
    fn deep_json_never_overflows_the_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read::<Named>(format!(r#"{{"id":"pi_1","x":{deep}}}"#).as_bytes()).is_ok());
        let error = format!(r#"{{"error":{{"type":"x","payment_intent":{deep}}}}}"#);
        assert!(read::<ErrorBody>(error.as_bytes()).is_err());
        let expanded = format!(r#"{{"id":"x","payment_intent":{deep}}}"#);
        assert!(read::<Bare>(expanded.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn reading_random_bytes_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::<Intent>(&body);
            let _ = read::<ErrorBody>(&body);
        }
    }
}
