//! What goes into the model and what comes out of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    Get,
    Post,
    Delete,
}

impl Method {
    pub fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// One HTTP request to `/v1/...`, without HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    pub method: Method,
    /// Without the query string.
    pub path: String,
    pub query: String,
    /// The form of a POST.
    pub body: String,
    /// The key itself, from a Bearer or a Basic header.
    pub api_key: Option<String>,
    pub idempotency_key: Option<String>,
    pub stripe_version: Option<String>,
    pub stripe_account: Option<String>,
}

impl Request {
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: String::new(),
            body: String::new(),
            api_key: None,
            idempotency_key: None,
            stripe_version: None,
            stripe_account: None,
        }
    }

    pub fn key(self, api_key: &str) -> Self {
        Self { api_key: Some(api_key.to_owned()), ..self }
    }

    pub fn form(self, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..self }
    }

    pub fn idempotent(self, key: &str) -> Self {
        Self { idempotency_key: Some(key.to_owned()), ..self }
    }
}

/// One answer, without HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub status: u16,
    pub body: String,
    pub headers: Vec<(String, String)>,
    /// Ids of the events that the request caused.
    pub events: Vec<String>,
}

impl Response {
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string(), ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
