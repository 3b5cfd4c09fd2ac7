//! Typed reading of checked parameters. A parameter is absent, cleared (null) or given.

use serde_json::{Map, Value};

use super::error::{ApiError, ApiResult};
use super::metadata::Metadata;

/// The checked parameters of one request, or of a hash within it.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a>(&'a Map<String, Value>);

impl<'a> Params<'a> {
    pub fn new(map: &'a Map<String, Value>) -> Self {
        Self(map)
    }

    pub fn map(self) -> &'a Map<String, Value> {
        self.0
    }

    pub fn has(self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn value(self, name: &str) -> Option<&'a Value> {
        self.0.get(name)
    }

    pub fn integer(self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64()
    }

    pub fn boolean(self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub fn text(self, name: &str) -> Option<&'a str> {
        self.0.get(name)?.as_str()
    }

    pub fn owned(self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    pub fn object(self, name: &str) -> Option<Params<'a>> {
        self.0.get(name)?.as_object().map(Params)
    }

    /// A value below, by a path of names: `["recurring", "interval"]`.
    pub fn deep(self, path: &[&str]) -> Option<&'a Value> {
        let (last, parents) = path.split_last()?;
        parents.iter().try_fold(self, |inner, name| inner.object(name))?.value(last)
    }

    pub fn list(self, name: &str) -> &'a [Value] {
        self.0.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The hashes of a list.
    pub fn objects(self, name: &str) -> impl Iterator<Item = Params<'a>> {
        self.list(name).iter().filter_map(Value::as_object).map(Params)
    }

    pub fn texts(self, name: &str) -> Vec<String> {
        self.list(name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Writes a text field: given sets it, cleared unsets it, absent leaves it.
    pub fn update_text(self, name: &str, field: &mut Option<String>) {
        if let Some(value) = self.0.get(name) {
            *field = value.as_str().map(str::to_owned);
        }
    }

    /// Merges `metadata`. Source: <https://docs.stripe.com/api/metadata>.
    ///
    /// # Errors
    /// A 400 when keys or values are over Stripe's limits.
    pub fn merge_metadata(self, field: &mut Metadata) -> ApiResult<()> {
        match self.0.get("metadata") {
            None => Ok(()),
            Some(Value::Object(given)) => field.merge(given),
            Some(_) => {
                field.clear();
                Ok(())
            }
        }
    }

    /// The `metadata` of a new object.
    ///
    /// # Errors
    /// As [`Self::merge_metadata`].
    pub fn metadata(self) -> ApiResult<Metadata> {
        let mut metadata = Metadata::default();
        self.merge_metadata(&mut metadata)?;
        Ok(metadata)
    }

    /// An amount of at least one minor unit.
    ///
    /// # Errors
    /// A 400 `parameter_invalid_integer` naming the parameter.
    pub fn positive(self, name: &str) -> ApiResult<Option<i64>> {
        match self.integer(name) {
            Some(amount) if amount < 1 => {
                Err(ApiError::invalid("This value must be greater than or equal to 1.")
                    .code("parameter_invalid_integer")
                    .param(name)
                    .into())
            }
            amount => Ok(amount),
        }
    }
}
