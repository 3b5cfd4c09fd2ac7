use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::BoxError;
use time::OffsetDateTime;

use crate::{
    BalanceTransaction, DisputeSighting, GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId, Mode,
    Money, OrderId, Origin, PaymentId, RefundId, RefundSighting, Refusal, SessionId, Sighting,
};

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
    async fn perform(&self, call: &GatewayCall) -> Result<Reply, GatewayError>;
    /// Searches for what a call of unknown outcome brought into being: a payment, a page or a refund that carries our
    /// id. Lists, which are complete, never a search index, which lags. `None`: there is none. Calls that change
    /// something which is there already need no search: look at that thing.
    async fn find(&self, call: &GatewayCall) -> Result<Option<Reply>, GatewayError>;
    /// Looks at a payment; `None` when the gateway has none of this name.
    async fn intent(&self, id: &IntentId) -> Result<Option<Answer>, GatewayError>;
    /// Looks at a hosted page; `None` when the gateway has none of this name.
    async fn session(&self, id: &SessionId) -> Result<Option<Answer>, GatewayError>;
    /// Looks at a refund, with what it moved in the balance; `None` when the gateway has none of this name.
    async fn refund(&self, id: &GatewayRefundId) -> Result<Option<RefundSnapshot>, GatewayError>;
    /// All refunds of a payment, with what they moved in the balance.
    async fn refunds(&self, id: &IntentId) -> Result<Vec<RefundSnapshot>, GatewayError>;
    /// All disputes about a payment, with what they moved in the balance.
    async fn disputes(&self, id: &IntentId) -> Result<Vec<DisputeSnapshot>, GatewayError>;
    /// Looks at a dispute; `None` when the gateway has none of this name.
    async fn dispute(&self, id: &GatewayDisputeId) -> Result<Option<DisputeSnapshot>, GatewayError>;
    /// Reads a received event.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are no event that we can read.
    fn understand(&self, body: &[u8]) -> Result<Heard, Malformed>;
}

/// How a payment stands, and how the customer makes it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How the payment stands.
    pub snapshot: Snapshot,
    /// For the customer's browser, to pay a PaymentIntent. Never stored, never logged.
    pub client_secret: Option<SecretString>,
    /// The hosted page, while it is open.
    pub url: Option<String>,
}

/// What the gateway said to a call.
#[derive(Debug, Clone)]
pub enum Reply {
    /// To one about a payment.
    Payment(Box<Answer>),
    /// To one about a refund.
    Refund(Box<RefundSnapshot>),
    /// To one about a dispute.
    Dispute(Box<DisputeSnapshot>),
}

impl Reply {
    /// What it tells.
    pub fn fact(&self) -> Fact {
        match self {
            Self::Payment(answer) => Fact::Payment(Box::new(answer.snapshot.clone())),
            Self::Refund(snapshot) => Fact::Refund(snapshot.clone()),
            Self::Dispute(snapshot) => Fact::Dispute(snapshot.clone()),
        }
    }
}

/// Something that the gateway says is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Of a payment.
    Payment(Box<Snapshot>),
    /// Of a refund.
    Refund(Box<RefundSnapshot>),
    /// Of a dispute.
    Dispute(Box<DisputeSnapshot>),
}

/// One refund as the gateway shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundSnapshot {
    /// The refund of ours that the object's metadata names.
    pub refund: Option<RefundId>,
    /// The payment of ours that the object's metadata names.
    pub payment: Option<PaymentId>,
    /// The payment that it refunds.
    pub intent: Option<IntentId>,
    /// Test or live; a refund alone does not tell.
    pub mode: Option<Mode>,
    /// How much. `None` in a currency that we do not know.
    pub amount: Option<Money>,
    /// The gateway's reason.
    pub reason: Option<String>,
    /// How it stands.
    pub sighting: RefundSighting,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// On whose word.
    pub origin: Origin,
}

/// One dispute as the gateway shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeSnapshot {
    /// The gateway's name for it.
    pub id: GatewayDisputeId,
    /// The payment that is disputed; a charge without one is not of our making.
    pub intent: Option<IntentId>,
    /// Test or live.
    pub mode: Mode,
    /// How it stands.
    pub sighting: DisputeSighting,
    /// What it moved in the gateway's balance so far.
    pub movements: Vec<BalanceTransaction>,
    /// When it was opened.
    pub created_at: OffsetDateTime,
    /// On whose word.
    pub origin: Origin,
}

/// One payment as the gateway shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The order of ours that the object's metadata names.
    pub order: Option<OrderId>,
    /// The payment of ours that the object's metadata names.
    pub payment: Option<PaymentId>,
    /// Test or live.
    pub mode: Mode,
    /// What the object is over. `None` when it does not tell.
    pub amount: Option<Money>,
    /// How it stands.
    pub sighting: Sighting,
    /// Whether the gateway has booked the capture in its balance, although this message may not tell how.
    pub settled: bool,
    /// The last attempt, if the issuer refused it.
    pub refusal: Option<Refusal>,
    /// On whose word.
    pub origin: Origin,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A payment, a refund or a dispute.
    Fact(Fact),
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
    /// May have been performed, and the gateway repeats the same failure for ever under this key: only a look tells.
    #[error("outcome unknown, and its key is spent")]
    Spent(#[source] BoxError),
}
