//! `metadata`: fifty keys of forty characters with values of five hundred.
//!
//! Source: <https://docs.stripe.com/api/metadata>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{ApiError, ApiResult};
use super::form::shorten;

pub const KEYS_MAX: usize = 50;
pub const KEY_LENGTH_MAX: usize = 40;
pub const VALUE_LENGTH_MAX: usize = 500;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// Sets the given keys; an empty value removes its key.
    ///
    /// # Errors
    /// A 400 when a limit is exceeded; nothing was changed.
    pub fn merge(&mut self, given: &Map<String, Value>) -> ApiResult<()> {
        let mut merged = self.0.clone();
        for (key, value) in given {
            let text = value.as_str().unwrap_or_default();
            check_pair(key, text)?;
            if text.is_empty() {
                merged.remove(key);
            } else {
                merged.insert(key.clone(), text.to_owned());
            }
        }
        if merged.len() > KEYS_MAX {
            let message = format!(
                "You can only set metadata on an object with up to {KEYS_MAX} keys. You tried to set {}.",
                merged.len()
            );
            return Err(ApiError::invalid(message).param("metadata").into());
        }
        self.0 = merged;
        Ok(())
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub fn to_value(&self) -> Value {
        Value::Object(self.0.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect())
    }
}

fn check_pair(key: &str, value: &str) -> ApiResult<()> {
    if key.is_empty() || key.chars().count() > KEY_LENGTH_MAX {
        let message = format!(
            "Metadata keys can be up to {KEY_LENGTH_MAX} characters; you passed in '{}' which has a length of {}.",
            shorten(key),
            key.chars().count()
        );
        return Err(ApiError::invalid(message).param("metadata").into());
    }
    if value.chars().count() > VALUE_LENGTH_MAX {
        let message = format!(
            "Metadata values can have up to {VALUE_LENGTH_MAX} characters, but you passed in a value that is {} characters long. Invalid value: {}",
            value.chars().count(),
            shorten(value)
        );
        return Err(ApiError::invalid(message).param(format!("metadata[{key}]")).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merge(metadata: &mut Metadata, given: &Value) -> bool {
        metadata.merge(given.as_object().unwrap()).is_ok()
    }

    #[test]
    fn an_empty_value_removes_its_key() {
        let mut metadata = Metadata::default();
        assert!(merge(&mut metadata, &json!({"a": "1", "b": "2"})));
        assert!(merge(&mut metadata, &json!({"a": "", "c": "3"})));
        assert_eq!(metadata.to_value(), json!({"b": "2", "c": "3"}));
    }

    #[test]
    fn limits_hold_and_a_refusal_changes_nothing() {
        let mut metadata = Metadata::default();
        assert!(!merge(&mut metadata, &json!({"a": "1", "k".repeat(41): "x"})));
        assert!(!merge(&mut metadata, &json!({"a": "x".repeat(501)})));
        let many: Map<String, Value> = (0..51).map(|n| (format!("k{n}"), json!("v"))).collect();
        assert!(metadata.merge(&many).is_err());
        assert_eq!(metadata, Metadata::default());
    }
}
