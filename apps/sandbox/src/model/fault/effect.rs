//! Faults that change what a request does, or what it answers.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A fault that changes what a request does, or what it answers. It is part of the request's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A 500 that is kept under the idempotency key; nothing was done.
    ErrorWithoutEffect,
    /// A 500 that is kept under the idempotency key; everything was done.
    ErrorWithEffect,
    /// A 500 that is kept under the idempotency key; the request is carried out later, by itself.
    ErrorThenRepair { after_seconds: i64 },
    /// The answer is about another object.
    OtherObject,
    /// The answer claims the other mode.
    WrongLivemode,
    /// The answer echoes another amount.
    WrongAmount,
    /// The answer's status is a word that no client knows.
    UnknownEnum,
}

impl Effect {
    /// A 500, rather than an answer that is not true.
    pub fn is_error(self) -> bool {
        matches!(self, Self::ErrorWithoutEffect | Self::ErrorWithEffect | Self::ErrorThenRepair { .. })
    }

    /// Changes a successful answer; `another` is an object of the same kind, if there is one.
    pub fn distort(self, body: &mut Value, another: impl FnOnce(&str) -> Option<Value>) {
        match self {
            Self::ErrorWithoutEffect | Self::ErrorWithEffect | Self::ErrorThenRepair { .. } => {}
            Self::OtherObject => {
                let id = body["id"].as_str().unwrap_or_default().to_owned();
                match another(&id) {
                    Some(other) => *body = other,
                    None if id.is_empty() => {}
                    None => body["id"] = json!(format!("{id}0")),
                }
            }
            Self::WrongLivemode => {
                if let Some(livemode) = body.get("livemode").and_then(Value::as_bool) {
                    body["livemode"] = json!(!livemode);
                }
            }
            Self::WrongAmount => {
                for name in ["amount", "amount_total"] {
                    if let Some(amount) = body.get(name).and_then(Value::as_i64) {
                        body[name] = json!(amount.saturating_add(1));
                    }
                }
            }
            Self::UnknownEnum => {
                if body.get("status").is_some() {
                    body["status"] = json!("requires_teleportation");
                }
            }
        }
    }
}
