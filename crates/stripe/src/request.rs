//! From the core's words to a request: which method, which path, which parameters.

use paywright_domain::{GatewayCall, IntentId, Operation, SessionId};

use crate::form::{self, CancelIntent, CreateIntent, CreateSession, LineItem, PaymentIntentData};

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
}

impl Request {
    /// The request that performs a recorded call.
    pub(crate) fn of(call: &GatewayCall) -> Self {
        let (path, form) = match &call.operation {
            Operation::CreateIntent { amount, currency, receipt_email, metadata } => {
                let fields = CreateIntent {
                    amount: *amount,
                    currency,
                    allowed_payment_method_types: ["card"],
                    receipt_email: receipt_email.as_deref(),
                    metadata: form::metadata(call, metadata),
                };
                ("/v1/payment_intents".to_owned(), form::write(&fields))
            }
            Operation::CreateSession {
                currency,
                lines,
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
                    payment_intent_data: PaymentIntentData { metadata },
                };
                ("/v1/checkout/sessions".to_owned(), form::write(&fields))
            }
            Operation::CancelIntent { intent, reason } => {
                let path = format!("/v1/payment_intents/{}/cancel", form::segment(intent.as_str()));
                (path, form::write(&CancelIntent { cancellation_reason: reason }))
            }
            Operation::ExpireSession { session } => {
                (format!("/v1/checkout/sessions/{}/expire", form::segment(session.as_str())), String::new())
            }
        };
        Self::Post { path, form, key: call.key() }
    }

    /// A look at a PaymentIntent. Its charge is asked for too: only the charge tells what was refunded.
    ///
    /// Source: <https://docs.stripe.com/api/payment_intents/object#payment_intent_object-latest_charge>
    pub(crate) fn intent(id: &IntentId) -> Self {
        Self::get("/v1/payment_intents", id.as_str(), "?expand%5B0%5D=latest_charge")
    }

    /// A look at a Checkout Session.
    pub(crate) fn session(id: &SessionId) -> Self {
        Self::get("/v1/checkout/sessions", id.as_str(), "")
    }

    /// A look at an object in a collection.
    pub(crate) fn get(collection: &str, id: &str, query: &str) -> Self {
        Self::Get { path: format!("{collection}/{}{query}", form::segment(id)) }
    }

    /// The path with its query string.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Get { path } | Self::Post { path, .. } => path,
        }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
