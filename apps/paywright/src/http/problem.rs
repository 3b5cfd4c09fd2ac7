//! Errors as RFC 9457 problems: a stable `code`, a public text, nothing internal.

mod catalogue;
mod errors;

use actix_web::{HttpResponse, ResponseError, http::StatusCode, http::header};
use paywright_domain::{Money, Quota, Rule};
use serde::Serialize;
use utoipa::ToSchema;

pub use catalogue::CATALOGUE;

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
    /// What can be refunded, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refundable: Option<u64>,
    #[serde(skip)]
    retry_after_s: Option<u64>,
    #[serde(skip)]
    limited: Option<(Rule, Quota)>,
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
            refundable: None,
            retry_after_s: None,
            limited: None,
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

    /// By which rule there were too many.
    #[must_use]
    pub fn limited(mut self, rule: Rule, quota: Quota) -> Self {
        self.0.limited = Some((rule, quota));
        self
    }

    /// After how many seconds it is worth trying again.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.0.retry_after_s
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

    fn refundable(mut self, refundable: Money) -> Self {
        self.0.refundable = Some(refundable.minor());
        self
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
        // As draft-ietf-httpapi-ratelimit-headers-10 has them.
        if let (Some((rule, quota)), Some(seconds)) = (self.0.limited, self.0.retry_after_s) {
            let (count, window) = (quota.count(), quota.window().whole_seconds());
            response.insert_header(("ratelimit-policy", format!("\"{rule}\";q={count};w={window}")));
            response.insert_header(("ratelimit", format!("\"{rule}\";r=0;t={seconds}")));
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
