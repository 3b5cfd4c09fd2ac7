//! Calls to the gateway, written down before they are made.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};
use time::{Duration, OffsetDateTime};

use crate::{CancelReason, IntentId, JobId, Metadata, Mode, Order, OrderId, Payment, PaymentId, SessionId};

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
    /// Test or live.
    pub mode: Mode,
    /// What is asked.
    pub operation: Operation,
    /// Counts the asks of the same kind for the same payment. A new one is born only after the one before was
    /// definitely refused.
    pub generation: u32,
    /// How it ended, as far as is known.
    pub state: CallState,
    /// When it was written down. Never sent once it is [`GatewayCall::SEND_WITHIN`] old.
    pub recorded_at: OffsetDateTime,
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

    /// Whether it brings a payment into being at the gateway, rather than ending one.
    pub fn creates(&self) -> bool {
        match self {
            Self::CreateIntent { .. } | Self::CreateSession { .. } => true,
            Self::CancelIntent { .. } | Self::ExpireSession { .. } => false,
        }
    }

    /// Asks for a PaymentIntent over the payment's amount.
    pub fn create_intent(order: &Order, payment: &Payment) -> Self {
        Self::CreateIntent {
            amount: payment.amount.minor(),
            currency: payment.amount.currency().code().to_owned(),
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
                    CancelReason::RequestedByCustomer => "requested_by_customer",
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
}

impl GatewayCall {
    /// A call is never sent when it is older: the gateway may have forgotten its key, and the same key would then
    /// be a new payment. Source: <https://docs.stripe.com/api/idempotent_requests> ("at least 24 hours").
    pub const SEND_WITHIN: Duration = Duration::hours(23);

    /// The idempotency key: the operation, what it is about, and the attempt. Nothing else, so that whoever
    /// performs the call uses the same one.
    pub fn key(&self) -> String {
        format!("{}:{}:{}", self.operation.name(), self.payment, self.generation)
    }

    /// Whether it may still be sent.
    pub fn may_be_sent(&self, now: OffsetDateTime) -> bool {
        now - self.recorded_at < Self::SEND_WITHIN
    }
}
