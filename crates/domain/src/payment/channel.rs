//! How the customer pays, and what the gateway calls it.

use strum::Display;

/// How the customer pays.
#[derive(Debug, Clone, PartialEq, Eq, Display)]
#[strum(serialize_all = "snake_case")]
pub enum Channel {
    /// On the merchant's own page, with the client secret of a PaymentIntent.
    PaymentIntent,
    /// On the gateway's hosted page.
    Checkout(ReturnUrls),
}

/// Where the hosted page sends the customer afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnUrls {
    /// After paying. May hold `{CHECKOUT_SESSION_ID}`.
    pub success: String,
    /// After turning back.
    pub cancel: String,
}

macro_rules! gateway_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        /// Opaque, at most 255 characters.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text as the gateway writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAGatewayId;
            fn try_from(text: String) -> Result<Self, NotAGatewayId> {
                let fits = (1..=255).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
                if fits { Ok(Self(text)) } else { Err(NotAGatewayId) }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

gateway_ids! {
    /// The gateway's name for a payment: a PaymentIntent's id.
    IntentId;
    /// The gateway's name for a hosted checkout page: a Checkout Session's id.
    SessionId;
    /// The gateway's name for a refund.
    GatewayRefundId;
    /// The gateway's name for a dispute.
    GatewayDisputeId;
    /// The gateway's name for a movement of its balance: a balance transaction's id.
    TransactionId;
    /// The gateway's name for a payout.
    PayoutId;
}

/// The text can not be an id of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected 1 to 255 letters, digits, '_' or '-'")]
pub struct NotAGatewayId;
