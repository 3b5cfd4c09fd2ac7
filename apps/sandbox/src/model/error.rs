//! Errors in Stripe's shape: status, type, code, message and the parameter to blame.
//!
//! Source: <https://docs.stripe.com/api/errors> and <https://docs.stripe.com/error-codes>.

use serde_json::{Map, Value, json};

/// The four types of errors that Stripe's API answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    Api,
    Card,
    Idempotency,
    InvalidRequest,
}

impl ErrorType {
    fn text(self) -> &'static str {
        match self {
            Self::Api => "api_error",
            Self::Card => "card_error",
            Self::Idempotency => "idempotency_error",
            Self::InvalidRequest => "invalid_request_error",
        }
    }
}

/// One refused request.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub status: u16,
    pub kind: ErrorType,
    pub code: Option<&'static str>,
    pub message: String,
    pub param: Option<String>,
    /// Further members of the error's body: `payment_intent`, `charge`, `decline_code` and so on.
    pub extra: Map<String, Value>,
    /// Whether execution had begun, so that an idempotency key remembers this answer.
    /// Source: <https://docs.stripe.com/error-low-level>.
    pub executed: bool,
}

pub type ApiResult<T> = Result<T, Box<ApiError>>;

impl ApiError {
    fn new(status: u16, kind: ErrorType, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            message: message.into(),
            param: None,
            extra: Map::new(),
            executed: true,
        }
    }

    /// A 400 found before anything was executed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { executed: false, ..Self::new(400, ErrorType::InvalidRequest, message) }
    }

    /// A 400 found while executing: the request is well-formed, but cannot be done now.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(400, ErrorType::InvalidRequest, message)
    }

    pub fn missing(param: impl Into<String>) -> Self {
        let param = param.into();
        Self::invalid(format!("Missing required param: {param}.")).code("parameter_missing").param(param)
    }

    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self { executed: false, ..Self::new(401, ErrorType::InvalidRequest, message) }
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { executed: false, ..Self::new(403, ErrorType::InvalidRequest, message) }
    }

    /// 404: an object that is not there. `param` is the request's parameter that named it.
    pub fn no_such(kind: &str, id: &str, param: &str) -> Self {
        let message = format!("No such {kind}: '{}'", super::form::shorten(id));
        Self { status: 404, ..Self::refused(message) }.code("resource_missing").param(param)
    }

    /// 404: a path that is no route.
    pub fn unknown_route(method: &str, path: &str) -> Self {
        let path = super::form::shorten(path);
        let message = format!(
            "Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
        );
        Self { status: 404, ..Self::invalid(message) }
    }

    /// 402: the request was fine and the card was not.
    pub fn card(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(402, ErrorType::Card, message).code(code)
    }

    pub fn idempotency(message: impl Into<String>) -> Self {
        Self { executed: false, ..Self::new(400, ErrorType::Idempotency, message) }
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self { executed: false, ..Self::new(409, ErrorType::Idempotency, message) }
            .code("idempotency_key_in_use")
    }

    pub fn too_large() -> Self {
        Self { status: 413, ..Self::invalid("Request body is too large: the limit is 1 MiB.") }
    }

    /// 429: by a limiter, or by a lock on an object.
    pub fn too_many(message: impl Into<String>) -> Self {
        Self { executed: false, ..Self::new(429, ErrorType::InvalidRequest, message) }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, ErrorType::Api, message)
    }

    pub fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub fn param(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.extra.insert(name.to_owned(), value);
        self
    }

    /// `Stripe-Should-Retry`, where the answer is certain.
    pub fn should_retry(&self) -> Option<bool> {
        match self.status {
            409 => Some(true),
            // A limiter leaves it to the client, which backs off.
            429 => (self.code == Some("lock_timeout")).then_some(true),
            400..=499 => Some(false),
            _ => None,
        }
    }

    /// The body that Stripe would answer.
    pub fn body(&self) -> Value {
        let mut error = self.extra.clone();
        error.insert("type".into(), json!(self.kind.text()));
        error.insert("message".into(), json!(self.message));
        if let Some(code) = self.code {
            error.insert("code".into(), json!(code));
            error.insert("doc_url".into(), json!(doc_url(code)));
        }
        if let Some(param) = &self.param {
            error.insert("param".into(), json!(param));
        }
        json!({ "error": error })
    }
}

/// Where Stripe explains an error code.
pub fn doc_url(code: &str) -> String {
    format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-"))
}
