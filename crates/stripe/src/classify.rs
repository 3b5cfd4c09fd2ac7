//! What an answer, or the want of one, means: a pure function, one table.
//!
//! | answer | meaning |
//! |---|---|
//! | no connection | not done |
//! | deadline, reset, truncated, too large | unknown |
//! | 2xx with the object | done |
//! | any other 2xx, 3xx, 424, 5xx | unknown |
//! | a stored 500, given again | unknown, and its key is spent |
//! | 401, 403 | not allowed |
//! | 402 | declined |
//! | 409, 429 | not done |
//! | any other 4xx | rejected |
//! | 4xx (but 429) without Stripe's error in the body | unknown: somebody in between spoke |
//!
//! `Stripe-Should-Retry` wins over the status: `true` makes a 4xx not done, and `false` makes unknown what
//! the status alone would have us repeat. It is never read as proof that nothing happened: a stored 500 comes
//! with `false`, and a limiter stands before the place where earlier requests of the same key are known.
//!
//! A refusal without a code is named by the parameter that it is about, else by its type.
//!
//! Sources: <https://docs.stripe.com/error-low-level>, <https://docs.stripe.com/api/errors>

use std::time::Duration;

use paywright_domain::ports::GatewayError;
use serde::de::DeserializeOwned;

use crate::{
    client::{Failure, Reply},
    json::{self, Unreadable},
    text,
    wire::{self, ApiError},
};

/// An answer that can be relied on.
pub(crate) enum Said<T> {
    /// The object, as it is now.
    Done(T),
    /// The issuer refused.
    Declined(Box<ApiError>),
}

/// Why an answer cannot be relied on, or the call was not performed; the source behind a [`GatewayError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Doubt {
    /// Not what such an answer looks like.
    #[error("status {status}, and the body is no answer of Stripe's")]
    Unreadable {
        status: u16,
        #[source]
        source: Unreadable,
    },
    /// A redirect, for example.
    #[error("status {0}, which Stripe does not answer")]
    Status(u16),
    /// Something went wrong there.
    #[error("status {status}{}: {message}", hint(.should_retry))]
    Failed { status: u16, should_retry: Option<bool>, message: String },
    /// Another object than the one asked for.
    #[error("asked for {asked}, but the answer is {got}")]
    WrongObject { asked: String, got: String },
    /// The object lacks what every such object has, or has what none can have.
    #[error("the {object} has no usable {field}")]
    Unfit { object: &'static str, field: &'static str },
    /// A list that goes on and on, or in circles.
    #[error("the list does not end")]
    Endless,
}

fn hint(should_retry: &Option<bool>) -> &'static str {
    match should_retry {
        Some(true) => " (Stripe says: repeat)",
        Some(false) => " (Stripe says: do not repeat)",
        None => "",
    }
}

impl From<Doubt> for GatewayError {
    fn from(doubt: Doubt) -> Self {
        Self::Unknown(Box::new(doubt))
    }
}

impl From<Failure> for GatewayError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(_) => Self::NotDone { after: None, source: Box::new(failure) },
            Failure::Deadline(_) | Failure::Broken(_) | Failure::TooLarge(_) => {
                Self::Unknown(Box::new(failure))
            }
        }
    }
}

/// Judges an answer that came whole.
pub(crate) fn classify<T: DeserializeOwned>(reply: &Reply) -> Result<Said<T>, GatewayError> {
    let status = reply.status;
    match status {
        200..=299 => json::read(&reply.body)
            .map(Said::Done)
            .map_err(|source| Doubt::Unreadable { status, source }.into()),
        400..=499 => refused(reply),
        500..=599 => Err(failed(reply, read_error(reply).ok().as_ref())),
        _ => Err(Doubt::Status(status).into()),
    }
}

fn refused<T>(reply: &Reply) -> Result<Said<T>, GatewayError> {
    let status = reply.status;
    let error = match read_error(reply) {
        Ok(error) => error,
        Err(_) if status == 429 => return Err(not_now(reply, None)),
        Err(source) => return Err(Doubt::Unreadable { status, source }.into()),
    };
    match (status, reply.should_retry) {
        (424, _) => Err(failed(reply, Some(&error))),
        (409 | 429, None | Some(true)) => Err(not_now(reply, Some(&error))),
        (409 | 429, Some(false)) => Err(failed(reply, Some(&error))),
        (_, Some(true)) => Err(not_now(reply, Some(&error))),
        (401 | 403, _) => Err(GatewayError::NotAllowed(message(status, Some(&error)))),
        (402, _) => Ok(Said::Declined(Box::new(error))),
        _ => Err(rejected(reply, &error)),
    }
}

/// A definite refusal, unless it is of a key that was used twice: the first request under it may have been performed.
///
/// Source: <https://docs.stripe.com/error-low-level#idempotency>
pub(crate) fn rejected(reply: &Reply, error: &ApiError) -> GatewayError {
    if error.kind == "idempotency_error" {
        return GatewayError::KeyReused { message: message(reply.status, Some(error)) };
    }
    GatewayError::Rejected {
        code: code(error),
        message: message(reply.status, Some(error)),
        request: reply.request.clone(),
    }
}

/// Some refusals have no code, that of a refund which is too large among them: `invalid_amount`. Codes are not to be
/// guessed from messages, so the parameter at fault, or at least the type, says what sort of error it is.
fn code(error: &ApiError) -> String {
    let code = match (&error.code, &error.param) {
        (Some(code), _) => code.clone(),
        (None, Some(param)) => format!("invalid_{param}"),
        (None, None) => error.kind.clone(),
    };
    text::tidy(&code, 100)
}

fn not_now(reply: &Reply, error: Option<&ApiError>) -> GatewayError {
    let message = match &reply.limited_by {
        Some(limiter) => format!("{} ({limiter})", message(reply.status, error)),
        None => message(reply.status, error),
    };
    let doubt = Doubt::Failed { status: reply.status, should_retry: reply.should_retry, message };
    GatewayError::NotDone {
        after: reply.retry_after.filter(|after| *after > Duration::ZERO),
        source: doubt.into(),
    }
}

/// A 500 is kept with its key: under that key the outcome will never be told.
///
/// Source: <https://docs.stripe.com/error-low-level#idempotency>
fn failed(reply: &Reply, error: Option<&ApiError>) -> GatewayError {
    let message = message(reply.status, error);
    let doubt = Doubt::Failed { status: reply.status, should_retry: reply.should_retry, message };
    if reply.status == 500 && reply.replayed && reply.should_retry != Some(true) {
        return GatewayError::Spent(Box::new(doubt));
    }
    doubt.into()
}

/// Stripe's words for operators.
fn message(status: u16, error: Option<&ApiError>) -> String {
    let said = error.and_then(|error| error.message.as_deref().or(error.code.as_deref()));
    said.map_or_else(|| format!("status {status} without a message"), |said| text::tidy(said, 500))
}

fn read_error(reply: &Reply) -> Result<ApiError, Unreadable> {
    json::read::<wire::ErrorBody>(&reply.body).map(|body| body.error)
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
