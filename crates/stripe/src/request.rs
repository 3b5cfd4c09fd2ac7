//! From the core's words to a request: which method, which path, which parameters.

use paywright_domain::{
    Evidence, GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId, Operation, SessionId,
};

use crate::form::{
    self, AnswerDispute, CancelIntent, Capture, CreateIntent, CreateRefund, CreateSession, LineItem,
    ListQuery, PaymentIntentData,
};

/// A request, ready to be sent as often as needed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// A read; parameters stand in the query string.
    Get {
        /// With the query string.
        path: String,
    },
    /// A write; parameters stand in the body.
    Post {
        /// Without parameters.
        path: String,
        /// The body.
        form: String,
        /// The idempotency key.
        key: String,
    },
    /// A removal; to repeat it does no harm.
    Delete {
        /// Without parameters.
        path: String,
    },
}

impl Request {
    /// The request that performs a recorded call.
    pub(crate) fn of(call: &GatewayCall) -> Self {
        let (path, form) = match &call.operation {
            Operation::CreateIntent { amount, currency, capture_method, receipt_email, metadata } => {
                let fields = CreateIntent {
                    amount: *amount,
                    currency,
                    allowed_payment_method_types: ["card"],
                    capture_method: form::capture_method(*capture_method),
                    receipt_email: receipt_email.as_deref(),
                    metadata: form::metadata(call, metadata),
                };
                ("/v1/payment_intents".to_owned(), form::write(&fields))
            }
            Operation::CreateSession {
                currency,
                lines,
                capture_method,
                customer_email,
                success_url,
                cancel_url,
                expires_at,
                metadata,
            } => {
                let metadata = form::metadata(call, metadata);
                let fields = CreateSession {
                    mode: "payment",
                    client_reference_id: call.order.to_string(),
                    line_items: lines.iter().map(|line| LineItem::new(line, currency)).collect(),
                    customer_email: customer_email.as_deref(),
                    success_url,
                    cancel_url,
                    expires_at: *expires_at,
                    metadata: metadata.clone(),
                    payment_intent_data: PaymentIntentData {
                        capture_method: form::capture_method(*capture_method),
                        metadata,
                    },
                };
                ("/v1/checkout/sessions".to_owned(), form::write(&fields))
            }
            Operation::CancelIntent { intent, reason } => {
                let path = format!("/v1/payment_intents/{}/cancel", form::segment(intent.as_str()));
                (path, form::write(&CancelIntent::new(reason)))
            }
            Operation::ExpireSession { session } => {
                (format!("/v1/checkout/sessions/{}/expire", form::segment(session.as_str())), String::new())
            }
            Operation::Capture { intent, amount } => {
                let path = format!("/v1/payment_intents/{}/capture", form::segment(intent.as_str()));
                (path, form::write(&Capture::new(*amount)))
            }
            Operation::CreateRefund { intent, amount, reason, metadata } => {
                let metadata = form::refund_metadata(call, metadata);
                let fields = CreateRefund::new(intent.as_str(), *amount, reason.as_deref(), metadata);
                ("/v1/refunds".to_owned(), form::write(&fields))
            }
            Operation::StageEvidence { dispute, evidence } => answer_dispute(dispute, evidence, false),
            Operation::SubmitEvidence { dispute, evidence } => answer_dispute(dispute, evidence, true),
            Operation::CloseDispute { dispute } => {
                (format!("/v1/disputes/{}/close", form::segment(dispute.as_str())), String::new())
            }
        };
        Self::Post { path, form, key: call.key() }
    }

    /// A look at a PaymentIntent, with its charge and what that moved in the balance.
    pub(crate) fn intent(id: &IntentId) -> Self {
        let query = "?expand%5B0%5D=latest_charge.balance_transaction";
        Self::get("/v1/payment_intents", id.as_str(), query)
    }

    /// A look at a Checkout Session.
    pub(crate) fn session(id: &SessionId) -> Self {
        Self::get("/v1/checkout/sessions", id.as_str(), "")
    }

    /// A look at a refund, with what it moved in the balance.
    ///
    /// Source: <https://docs.stripe.com/api/refunds/object#refund_object-balance_transaction>
    pub(crate) fn refund(id: &GatewayRefundId) -> Self {
        let query = "?expand%5B0%5D=balance_transaction&expand%5B1%5D=failure_balance_transaction";
        Self::get("/v1/refunds", id.as_str(), query)
    }

    /// A look at a dispute. What it moved in the balance stands in it.
    pub(crate) fn dispute(id: &GatewayDisputeId) -> Self {
        Self::get("/v1/disputes", id.as_str(), "")
    }

    /// A page of a list.
    pub(crate) fn list(collection: &str, query: &ListQuery<'_>) -> Self {
        Self::Get { path: format!("{collection}?{}", form::write(query)) }
    }

    /// A look at an object in a collection.
    pub(crate) fn get(collection: &str, id: &str, query: &str) -> Self {
        Self::Get { path: format!("{collection}/{}{query}", form::segment(id)) }
    }

    /// The path with its query string.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Get { path } | Self::Post { path, .. } | Self::Delete { path } => path,
        }
    }
}

fn answer_dispute(dispute: &GatewayDisputeId, evidence: &Evidence, submit: bool) -> (String, String) {
    let path = format!("/v1/disputes/{}", form::segment(dispute.as_str()));
    (path, form::write(&AnswerDispute::new(evidence, submit)))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
