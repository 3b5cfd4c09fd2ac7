use paywright_domain::{Channel, Decline, Payment};
use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;
use crate::http::openapi::words;

/// A payment. Its amounts are in minor units of its currency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub struct PaymentJson {
    #[schema(value_type = words::PaymentId)]
    id: String,
    #[schema(schema_with = words::payment)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    #[schema(value_type = words::OrderId)]
    order: String,
    #[schema(value_type = words::PaymentState)]
    state: String,
    #[schema(value_type = words::Channel)]
    channel: String,
    #[schema(value_type = words::CaptureMethod)]
    capture_method: String,
    #[schema(value_type = words::Currency)]
    currency: String,
    amount: u64,
    /// Reserved and not yet taken.
    amount_capturable: u64,
    amount_captured: u64,
    /// Given back, or on its way: refunds that failed do not count.
    amount_refunded: u64,
    /// Withheld or taken by disputes. May be more than was captured.
    amount_disputed: u64,
    /// Until when what is reserved can be taken.
    #[schema(required, format = DateTime)]
    capture_before: Option<String>,
    /// Whether Stripe is being asked to take what is reserved, and has not answered.
    capture_requested: bool,
    /// Whether Stripe is being asked to end the payment, and has not answered.
    end_requested: bool,
    /// What Stripe kept of the capture, once known.
    #[schema(required)]
    fee: Option<FeeJson>,
    #[schema(required)]
    stripe_payment_intent: Option<String>,
    #[schema(required)]
    stripe_checkout_session: Option<String>,
    declines: Vec<DeclineJson>,
    #[schema(format = DateTime)]
    created_at: String,
}

/// In the currency of the balance at Stripe, which may be another than the payment's.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Fee)]
struct FeeJson {
    amount: u64,
    #[schema(value_type = words::Currency)]
    currency: String,
}

/// An attempt that the issuer refused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decline)]
struct DeclineJson {
    code: String,
    #[schema(required)]
    decline_code: Option<String>,
    /// `do_not_try_again`, `try_again_later` or `confirm_card_data`, if the issuer advises anything.
    #[schema(required)]
    advice: Option<String>,
    message: String,
    #[schema(format = DateTime)]
    at: String,
}

impl PaymentJson {
    /// The payment with those of the declines that are its own.
    pub fn new(payment: &Payment, declines: &[Decline]) -> Self {
        Self {
            id: payment.id.to_string(),
            object: "payment",
            mode: payment.mode.to_string(),
            order: payment.order.to_string(),
            state: payment.state.to_string(),
            channel: match payment.channel {
                Channel::PaymentIntent => "payment_intent".to_owned(),
                Channel::Checkout(_) => "checkout".to_owned(),
            },
            capture_method: payment.capture.to_string(),
            currency: payment.amount.currency().to_string(),
            amount: payment.amount.minor(),
            amount_capturable: payment.capturable.minor(),
            amount_captured: payment.captured.minor(),
            amount_refunded: payment.refunded.minor(),
            amount_disputed: payment.disputed.minor(),
            capture_before: payment.capture_before.map(rfc3339),
            capture_requested: payment.capture_requested,
            end_requested: payment.end_requested,
            fee: payment.fee.as_ref().map(|fee| FeeJson {
                amount: fee.amount.minor(),
                currency: fee.amount.currency().to_string(),
            }),
            stripe_payment_intent: payment.intent.as_ref().map(ToString::to_string),
            stripe_checkout_session: payment.session.as_ref().map(ToString::to_string),
            declines: declines.iter().filter(|one| one.payment == payment.id).map(DeclineJson::new).collect(),
            created_at: rfc3339(payment.created_at),
        }
    }
}

impl DeclineJson {
    fn new(decline: &Decline) -> Self {
        Self {
            code: decline.refusal.code.clone(),
            decline_code: decline.refusal.decline_code.clone(),
            advice: decline.refusal.advice.clone(),
            message: decline.refusal.message.clone(),
            at: rfc3339(decline.refusal.at),
        }
    }
}
