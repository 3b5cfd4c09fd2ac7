//! Errors as RFC 9457 problems: a stable `code`, a public text, nothing internal.

use actix_web::{HttpResponse, ResponseError, http::StatusCode, http::header};
use paywright_domain::{
    IllegalTransition, InvalidInput,
    ports::{GatewayError, StoreError},
    usecase::{AdvanceOrderError, CancelOrderError, ErrorKind, PlaceOrderError, StartPaymentError},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Every code that a route of the API answers with its status, and what it means to a client.
pub const CATALOGUE: [(u16, &str, &str); 19] = [
    (400, "malformed_json", "The body is not JSON."),
    (400, "unreadable_body", "The body broke off."),
    (400, "malformed_idempotency_key", "The key is empty, too long, or not visible ASCII."),
    (400, "bad_signature", "The event is not signed with our webhook secret, or too old."),
    (401, "unauthorized", "No API key, an unknown or revoked one, or one of the other mode."),
    (403, "missing_scope", "The key may not do this."),
    (404, "not_found", "There is no such thing; also if it is of the other mode."),
    (408, "body_too_slow", "The body did not come within 10 seconds."),
    (409, "illegal_transition", "The state does not allow this; `from`, `event` and `allowed` say why."),
    (409, "payment_under_way", "The payment cannot be ended now: it is being processed."),
    (409, "payment_in_progress", "Another request is at this payment; try again."),
    (409, "idempotency_key_in_use", "The first request with this key still runs; try again."),
    (413, "body_too_large", "The body has more than 256 KiB, or an event more than 1 MiB."),
    (415, "unsupported_media_type", "The body is not `application/json`."),
    (422, "invalid_request", "A field is wrong; `errors` names it. Nothing was done."),
    (422, "idempotency_key_reused", "The key was used for another request. Nothing was done."),
    (500, "internal", "Something is wrong on our side."),
    (502, "payment_refused", "Stripe refused to create the payment."),
    (
        503,
        "unavailable",
        "The database or Stripe did not answer. Nothing is lost; send the same request again.",
    ),
];

/// One error answer. Boxed, since it travels in every `Result` of every route.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<Fields>);

/// An error (RFC 9457). `code` is stable; `title` and `detail` are for people and may change.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Fields {
    /// `urn:paywright:problem:{code}`.
    #[serde(rename = "type")]
    #[schema(pattern = "^urn:paywright:problem:[a-z_]+$")]
    kind: String,
    /// What kind of problem it is.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What a program should look at.
    #[schema(pattern = "^[a-z_]+$")]
    code: &'static str,
    /// About this case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// The wrong fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// The state that does not allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    from: Option<&'static str>,
    /// What the state does not allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event: Option<&'static str>,
    /// What it would allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    allowed: Option<Vec<&'static str>>,
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

/// Which field is wrong, and why.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct FieldError {
    /// The field as a path: `items[0].quantity`.
    field: String,
    /// What is wrong with it.
    detail: String,
}

impl Problem {
    /// A problem with a code of its own.
    pub fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        Self(Box::new(Fields {
            kind: format!("urn:paywright:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: None,
            errors: Vec::new(),
            from: None,
            event: None,
            allowed: None,
            retry_after_s: None,
        }))
    }

    /// With a sentence about this case.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Worth trying again after so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// 400: the request is not what HTTP or JSON allow.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, "The request cannot be read").detail(detail)
    }

    /// 422: a field is wrong.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), detail.into());
        let mut problem =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "The request has a wrong field")
                .detail(if field.is_empty() { detail.clone() } else { format!("{field}: {detail}") });
        problem.0.errors.push(FieldError { field, detail });
        problem
    }

    /// 404.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing")
            .detail(format!("no such {what}"))
    }

    /// 503.
    pub fn unavailable(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Try again in a moment")
            .detail(detail)
            .retry_after(2)
    }

    /// 500. The error is logged, not shown.
    pub fn bug(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = chain(error), "request failed by our fault");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something is wrong on our side")
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).expect("made from a status")
    }

    /// Whether the same request may end otherwise in a moment, so that its idempotency key must not be bound to
    /// this answer.
    pub fn is_passing(&self) -> bool {
        self.0.retry_after_s.is_some() || self.0.status >= 500
    }

    fn illegal(error: &IllegalTransition) -> Self {
        let mut problem =
            Self::new(StatusCode::CONFLICT, "illegal_transition", "The state does not allow this")
                .detail(error.to_string());
        (problem.0.from, problem.0.event) = (Some(error.from), Some(error.event));
        problem.0.allowed = Some(error.allowed.clone());
        problem
    }

    fn store(error: &StoreError) -> Self {
        if error.is_transient() || matches!(error, StoreError::LeaseLost) {
            tracing::warn!(error = chain(error), "store not available");
            Self::unavailable("the database did not take it; nothing is lost, send the request again")
        } else {
            Self::bug(error)
        }
    }
}

/// An error with everything below it, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.code)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status());
        if let Some(seconds) = self.0.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.content_type("application/problem+json").body(self.body())
    }
}

impl Problem {
    /// The body.
    pub fn body(&self) -> String {
        serde_json::to_string(self).expect("a problem is plain text and numbers")
    }
}

impl From<InvalidInput> for Problem {
    fn from(error: InvalidInput) -> Self {
        Self::invalid(error.field, error.problem)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::store(&error)
    }
}

impl From<PlaceOrderError> for Problem {
    fn from(error: PlaceOrderError) -> Self {
        match error {
            PlaceOrderError::Invalid(error) => error.into(),
            PlaceOrderError::Store(error) => Self::store(&error),
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl From<AdvanceOrderError> for Problem {
    fn from(error: AdvanceOrderError) -> Self {
        match error {
            AdvanceOrderError::Invalid(error) => error.into(),
            AdvanceOrderError::Illegal(error) => Self::illegal(&error),
            AdvanceOrderError::Store(error) => Self::store(&error),
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl From<CancelOrderError> for Problem {
    fn from(error: CancelOrderError) -> Self {
        match error {
            CancelOrderError::Illegal(error) => Self::illegal(&error),
            CancelOrderError::Store(error) => Self::store(&error),
            CancelOrderError::PaymentUnderWay => {
                Self::new(StatusCode::CONFLICT, "payment_under_way", "The payment cannot be ended now")
                    .detail(error.to_string())
            }
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl From<StartPaymentError> for Problem {
    fn from(error: StartPaymentError) -> Self {
        match error {
            StartPaymentError::Illegal(error) => Self::illegal(&error),
            StartPaymentError::Store(error) => Self::store(&error),
            StartPaymentError::InProgress => {
                Self::new(StatusCode::CONFLICT, "payment_in_progress", "Another request is at this payment")
                    .detail(error.to_string())
                    .retry_after(1)
            }
            StartPaymentError::Refused(rejection) => {
                tracing::error!(
                    code = rejection.code,
                    message = rejection.message,
                    "stripe refused a payment"
                );
                Self::new(StatusCode::BAD_GATEWAY, "payment_refused", "Stripe refused to create the payment")
                    .detail(format!("Stripe's code: {}", rejection.code))
            }
            StartPaymentError::Gateway(error @ GatewayError::KeyReused { .. }) => Self::bug(&error),
            StartPaymentError::Gateway(error) => {
                tracing::warn!(error = chain(&error), "stripe gave no answer");
                Self::unavailable("Stripe did not answer; the payment is recorded, send the request again")
            }
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl Problem {
    /// The one match over what a caller can do.
    fn of_kind(kind: ErrorKind, error: &dyn std::error::Error) -> Self {
        match kind {
            ErrorKind::NotFound => Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing")
                .detail(error.to_string()),
            ErrorKind::Conflict => {
                Self::new(StatusCode::CONFLICT, "conflict", "The state does not allow this")
                    .detail(error.to_string())
            }
            ErrorKind::Invalid => Self::invalid("", error.to_string()),
            ErrorKind::Refused => {
                Self::new(StatusCode::BAD_GATEWAY, "refused", "Stripe refused it").detail(error.to_string())
            }
            ErrorKind::Unavailable => Self::unavailable("not available for a moment; send the request again"),
            ErrorKind::Bug => Self::bug(error),
        }
    }
}
