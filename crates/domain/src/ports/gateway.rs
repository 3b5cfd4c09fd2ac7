use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::BoxError;
use crate::{GatewayCall, IntentId, Mode, Money, Origin, PaymentId, Refusal, SessionId, Sighting};

/// The payment provider.
///
/// # What an implementor must guarantee
/// - One attempt a call: no hidden retries, no redirects, a total deadline and a bound on the answer's size.
/// - A call carries [`GatewayCall::key`] as its idempotency key and exactly the recorded parameters.
/// - [`GatewayError::NotDone`] only when it is certain that nothing happened; when in doubt, `Unknown`.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Gateway: Send + Sync {
    /// Performs a recorded call.
    async fn perform(&self, call: &GatewayCall) -> Result<Answer, GatewayError>;
    /// Looks at a payment; `None` when the gateway has none of this name.
    async fn intent(&self, id: &IntentId) -> Result<Option<Answer>, GatewayError>;
    /// Looks at a hosted page; `None` when the gateway has none of this name.
    async fn session(&self, id: &SessionId) -> Result<Option<Answer>, GatewayError>;
    /// Reads a received event.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are no event that we can read.
    fn understand(&self, body: &[u8]) -> Result<Heard, Malformed>;
}

/// What the gateway answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How the payment stands.
    pub snapshot: Snapshot,
    /// For the customer's browser, to pay a PaymentIntent. Never stored, never logged.
    pub client_secret: Option<SecretString>,
    /// The hosted page, while it is open.
    pub url: Option<String>,
}

/// One payment as the gateway shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The payment of ours that the object's metadata names.
    pub payment: Option<PaymentId>,
    /// Test or live.
    pub mode: Mode,
    /// What the object is over. `None` when it does not tell.
    pub amount: Option<Money>,
    /// How it stands.
    pub sighting: Sighting,
    /// The last attempt, if the issuer refused it.
    pub refusal: Option<Refusal>,
    /// On whose word.
    pub origin: Origin,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A payment.
    Payment(Box<Snapshot>),
    /// Something that needs nothing of us; the text says what.
    Nothing(String),
}

/// The bytes are no event that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a readable event: {0}")]
pub struct Malformed(pub String);

/// Why the gateway gave no answer to rely on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The request is wrong, or the object's state does not allow it. Nothing happened; retrying cannot help.
    #[error("the gateway refused: {code}")]
    Rejected {
        /// The gateway's code.
        code: String,
        /// The gateway's words, for operators.
        message: String,
        /// The gateway's name for the request.
        request: Option<String>,
    },
    /// Our credentials are wrong or lack a right. Nothing happened, and no payment failed: tell an operator, retry
    /// rarely.
    #[error("the gateway does not accept our credentials: {0}")]
    NotAllowed(String),
    /// The key was used before for other parameters. That first request may have been performed, so this is neither
    /// done nor refused: a bug of ours, for a person. Never try another key.
    #[error("the idempotency key was used for another request: {message}")]
    KeyReused {
        /// The gateway's words, for operators.
        message: String,
    },
    /// Certainly not performed: not sent, rate limited, or the same key is still under way. Retry later.
    #[error("not performed")]
    NotDone {
        /// How long the gateway asks us to wait.
        after: Option<Duration>,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// May have been performed: no answer, or one that cannot be relied on. Retry with the same key, or look.
    #[error("outcome unknown")]
    Unknown(#[source] BoxError),
}
