//! Calls to the gateway, written down before they are made.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};
use time::{Duration, OffsetDateTime};

use crate::{
    CancelReason, CaptureMethod, Dispute, DisputeId, Evidence, GatewayDisputeId, IntentId, JobId, Metadata,
    Mode, Money, Order, OrderId, Payment, PaymentId, Refund, RefundId, SessionId,
};

/// A write to the gateway with everything it needs, so that it can be repeated to the letter.
///
/// The id is that of the job which performs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayCall {
    /// Its identity, and its job's.
    pub id: JobId,
    /// Which order it serves.
    pub order: OrderId,
    /// Which payment it is about.
    pub payment: PaymentId,
    /// What it is about in particular.
    pub subject: Subject,
    /// Test or live.
    pub mode: Mode,
    /// What is asked.
    pub operation: Operation,
    /// Counts the asks of the same kind about the same subject. A new one is born only after the one before was
    /// definitely refused, or the gateway was searched and has no trace of it.
    pub generation: u32,
    /// How it ended, as far as is known.
    pub state: CallState,
    /// When it was written down. Never sent once it is [`GatewayCall::SEND_WITHIN`] old.
    pub recorded_at: OffsetDateTime,
}

/// What a call is about; the middle of its idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The payment itself.
    Payment(PaymentId),
    /// One of its refunds.
    Refund(RefundId),
    /// One of its disputes.
    Dispute(DisputeId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payment(id) => id.fmt(f),
            Self::Refund(id) => id.fmt(f),
            Self::Dispute(id) => id.fmt(f),
        }
    }
}

/// The text is the id of no subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a payment, refund or dispute")]
pub struct NotASubject;

impl FromStr for Subject {
    type Err = NotASubject;

    fn from_str(text: &str) -> Result<Self, NotASubject> {
        let payment = text.parse().map(Self::Payment);
        let other = || text.parse().map(Self::Refund).or_else(|_| text.parse().map(Self::Dispute));
        payment.or_else(|_| other()).map_err(|_| NotASubject)
    }
}

/// What the gateway is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(tag = "operation", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Operation {
    /// Create a PaymentIntent.
    CreateIntent {
        /// Minor units.
        amount: u64,
        /// Three lower-case letters.
        currency: String,
        /// Whether to take the money at once.
        #[serde(default)]
        capture_method: CaptureMethod,
        /// Where the receipt goes.
        receipt_email: Option<String>,
        /// The merchant's notes.
        metadata: Metadata,
    },
    /// Create a hosted Checkout Session.
    CreateSession {
        /// Three lower-case letters.
        currency: String,
        /// What is bought.
        lines: Vec<SessionLine>,
        /// Whether to take the money at once.
        #[serde(default)]
        capture_method: CaptureMethod,
        /// Prefills the page.
        customer_email: Option<String>,
        /// Where to go after paying.
        success_url: String,
        /// Where to go after turning back.
        cancel_url: String,
        /// Unix seconds; the page closes then.
        expires_at: i64,
        /// The merchant's notes.
        metadata: Metadata,
    },
    /// Cancel a PaymentIntent.
    CancelIntent {
        /// Which.
        intent: IntentId,
        /// Why: one of the gateway's words.
        reason: String,
    },
    /// Expire a Checkout Session.
    ExpireSession {
        /// Which.
        session: SessionId,
    },
    /// Take reserved money. What is not taken is released.
    Capture {
        /// Of which PaymentIntent.
        intent: IntentId,
        /// Minor units; always said, so that nobody has to guess.
        amount: u64,
    },
    /// Give captured money back.
    CreateRefund {
        /// Of which PaymentIntent.
        intent: IntentId,
        /// Minor units; always said.
        amount: u64,
        /// One of the gateway's reasons, where one fits.
        reason: Option<String>,
        /// What the gateway shall keep with it: our reason, and why fulfilment failed.
        metadata: Metadata,
    },
    /// Keep evidence at the gateway, without sending it to the bank.
    StageEvidence {
        /// In which dispute.
        dispute: GatewayDisputeId,
        /// What we say.
        evidence: Evidence,
    },
    /// Send evidence to the bank.
    SubmitEvidence {
        /// In which dispute.
        dispute: GatewayDisputeId,
        /// What we say.
        evidence: Evidence,
    },
    /// Accept that a dispute is lost.
    CloseDispute {
        /// Which.
        dispute: GatewayDisputeId,
    },
}

/// One line on the hosted page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLine {
    /// The product's name.
    pub name: String,
    /// Minor units for one.
    pub unit_amount: u64,
    /// How many.
    pub quantity: u32,
}

impl Operation {
    /// Its name, as in the idempotency key.
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// Asks to take `amount` of what is reserved, if the gateway's name for the payment is known.
    pub fn capture(payment: &Payment, amount: Money) -> Option<Self> {
        let intent = payment.intent.clone()?;
        Some(Self::Capture { intent, amount: amount.minor() })
    }

    /// Asks to give money back, if the gateway's name for the payment is known. `failure` says why the order could not
    /// be fulfilled.
    ///
    /// Source: <https://docs.stripe.com/api/refunds/create>
    pub fn create_refund(payment: &Payment, refund: &Refund, failure: Option<&str>) -> Option<Self> {
        let mut metadata = Metadata::from([("paywright_reason".to_owned(), refund.reason.to_string())]);
        if let Some(failure) = failure {
            metadata.insert("failure_reason".to_owned(), failure.chars().take(500).collect());
        }
        Some(Self::CreateRefund {
            intent: payment.intent.clone()?,
            amount: refund.amount.minor(),
            reason: refund.reason.of_gateway().map(str::to_owned),
            metadata,
        })
    }

    /// Tells the gateway our answer to a dispute.
    pub fn answer(dispute: &Dispute, answer: crate::DisputeAnswer) -> Self {
        let (name, evidence) = (dispute.gateway.clone(), dispute.evidence.clone());
        match answer {
            crate::DisputeAnswer::Stage => Self::StageEvidence { dispute: name, evidence },
            crate::DisputeAnswer::Submit => Self::SubmitEvidence { dispute: name, evidence },
            crate::DisputeAnswer::Accept => Self::CloseDispute { dispute: name },
        }
    }

    /// Asks for a PaymentIntent over the payment's amount.
    pub fn create_intent(order: &Order, payment: &Payment) -> Self {
        Self::CreateIntent {
            amount: payment.amount.minor(),
            currency: payment.amount.currency().code().to_owned(),
            capture_method: payment.capture,
            receipt_email: order.customer_email.clone(),
            metadata: order.metadata.clone(),
        }
    }

    /// Asks for a hosted page that shows the order's lines, open until `expires_at`.
    pub fn create_session(
        order: &Order,
        success_url: &str,
        cancel_url: &str,
        expires_at: OffsetDateTime,
    ) -> Self {
        let lines = order.items.iter().map(|item| SessionLine {
            name: item.name.clone(),
            unit_amount: item.unit_price.minor(),
            quantity: item.quantity,
        });
        Self::CreateSession {
            currency: order.total.currency().code().to_owned(),
            lines: lines.collect(),
            capture_method: order.capture,
            customer_email: order.customer_email.clone(),
            success_url: success_url.to_owned(),
            cancel_url: cancel_url.to_owned(),
            expires_at: expires_at.unix_timestamp(),
            metadata: order.metadata.clone(),
        }
    }

    /// Asks to end a payment, if the gateway's name for it is known. A hosted page is expired; its intent can be
    /// cancelled only once it is authorized.
    ///
    /// Source: <https://docs.stripe.com/api/payment_intents/cancel>
    pub fn end(payment: &Payment, reason: CancelReason) -> Option<Self> {
        let authorized = payment.state == crate::PaymentState::Authorized;
        match (&payment.session, &payment.intent) {
            (Some(session), _) if !authorized => Some(Self::ExpireSession { session: session.clone() }),
            (_, Some(intent)) => {
                let reason = match reason {
                    CancelReason::RequestedByCustomer | CancelReason::FulfillmentFailed => {
                        "requested_by_customer"
                    }
                    CancelReason::Duplicate => "duplicate",
                    CancelReason::Fraudulent => "fraudulent",
                    CancelReason::Expired => "abandoned",
                };
                Some(Self::CancelIntent { intent: intent.clone(), reason: reason.to_owned() })
            }
            (_, None) => None,
        }
    }
}

/// How a recorded call ended, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum CallState {
    /// Written down; not known to be performed.
    Recorded,
    /// Performed.
    Done,
    /// Definitely refused; nothing happened.
    Rejected,
    /// Its outcome was unknown, and the gateway was searched: nothing happened.
    Absent,
}

impl GatewayCall {
    /// A call is never sent when it is older: the gateway may have forgotten its key, and the same key would then
    /// be a new payment. Source: <https://docs.stripe.com/api/idempotent_requests> ("at least 24 hours").
    pub const SEND_WITHIN: Duration = Duration::hours(23);

    /// That the gateway has no trace of a call is believed only when the call is this old: it may still have been on
    /// its way, or the gateway busy with it.
    pub const ABSENT_AFTER: Duration = Duration::minutes(1);
    /// How often the same thing is asked under a new key before it is left to a person.
    pub const GENERATIONS_MAX: u32 = 5;

    /// The idempotency key: the operation, what it is about, and the attempt. Nothing else, so that whoever
    /// performs the call uses the same one.
    pub fn key(&self) -> String {
        format!("{}:{}:{}", self.operation.name(), self.subject, self.generation)
    }

    /// Whether it may still be sent.
    pub fn may_be_sent(&self, now: OffsetDateTime) -> bool {
        now - self.recorded_at < Self::SEND_WITHIN
    }
}
