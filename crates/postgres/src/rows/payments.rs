//! Payments, refused attempts, and recorded calls.

use paywright_domain::{
    Channel, Currency, Decline, Fee, GatewayCall, Id, Payment, Refusal, ReturnUrls, Version,
    ports::StoreError,
};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Reading;

/// A payment; also as JSON inside of an order's parts.
#[derive(Clone, Deserialize)]
pub(crate) struct PaymentRow {
    pub(crate) id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) mode: String,
    pub(crate) version: i64,
    pub(crate) channel: String,
    pub(crate) success_url: Option<String>,
    pub(crate) cancel_url: Option<String>,
    pub(crate) capture: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) state: String,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) seen_at: Option<OffsetDateTime>,
    pub(crate) intent: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) capturable: i64,
    pub(crate) captured: i64,
    pub(crate) capture_asked: Option<i64>,
    pub(crate) capture_requested: bool,
    pub(crate) capture_generation: i64,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) capture_before: Option<OffsetDateTime>,
    pub(crate) hold_told: bool,
    pub(crate) refunded: i64,
    pub(crate) returned: i64,
    pub(crate) disputed: i64,
    pub(crate) disputes_blocking: i64,
    pub(crate) unwanted: bool,
    pub(crate) fee_transaction: Option<String>,
    pub(crate) fee: Option<i64>,
    pub(crate) fee_currency: Option<String>,
    pub(crate) end_requested: bool,
    pub(crate) end_generation: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
}

impl PaymentRow {
    pub(crate) fn payment(self) -> Result<Payment, StoreError> {
        let row = Reading { table: "payments", id: self.id };
        let currency: Currency = row.word("currency", &self.currency)?;
        let channel = match (self.channel.as_str(), self.success_url, self.cancel_url) {
            ("payment_intent", None, None) => Channel::PaymentIntent,
            ("checkout", Some(success), Some(cancel)) => Channel::Checkout(ReturnUrls { success, cancel }),
            _ => return Err(row.impossible("channel")),
        };
        let transaction = row.gateway_id("fee_transaction", self.fee_transaction)?;
        let fee = match (transaction, self.fee, self.fee_currency) {
            (None, None, None) => None,
            (Some(transaction), Some(minor), Some(currency)) => {
                let currency = row.word("fee_currency", &currency)?;
                Some(Fee { transaction, amount: row.money("fee", minor, currency)? })
            }
            _ => return Err(row.impossible("fee")),
        };
        let asked = self.capture_asked.map(|minor| row.money("capture_asked", minor, currency));
        Ok(Payment {
            id: Id::from_uuid(self.id),
            order: Id::from_uuid(self.order_id),
            mode: row.word("mode", &self.mode)?,
            version: Version::from_number(row.number("version", self.version)?),
            channel,
            capture: row.word("capture", &self.capture)?,
            amount: row.money("amount", self.amount, currency)?,
            state: row.word("state", &self.state)?,
            seen_at: self.seen_at,
            intent: row.gateway_id("intent", self.intent)?,
            session: row.gateway_id("session", self.session)?,
            capturable: row.money("capturable", self.capturable, currency)?,
            captured: row.money("captured", self.captured, currency)?,
            capture_asked: asked.transpose()?,
            capture_requested: self.capture_requested,
            capture_generation: row.number("capture_generation", self.capture_generation)?,
            capture_before: self.capture_before,
            hold_told: self.hold_told,
            refunded: row.money("refunded", self.refunded, currency)?,
            returned: row.money("returned", self.returned, currency)?,
            disputed: row.money("disputed", self.disputed, currency)?,
            disputes_blocking: row.number("disputes_blocking", self.disputes_blocking)?,
            unwanted: self.unwanted,
            fee,
            end_requested: self.end_requested,
            end_generation: row.number("end_generation", self.end_generation)?,
            created_at: self.created_at,
        })
    }
}

/// A refused attempt, as JSON inside of an order's parts.
#[derive(Deserialize)]
pub(crate) struct DeclineRow {
    order_id: Uuid,
    payment_id: Uuid,
    key: String,
    code: String,
    decline_code: Option<String>,
    advice: Option<String>,
    message: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

impl From<DeclineRow> for Decline {
    fn from(row: DeclineRow) -> Self {
        let DeclineRow { order_id, payment_id, key, code, decline_code, advice, message, at } = row;
        let refusal = Refusal { key, code, decline_code, advice, message, at };
        Self { order: Id::from_uuid(order_id), payment: Id::from_uuid(payment_id), refusal }
    }
}

/// A recorded call.
pub(crate) struct CallRow {
    pub(crate) id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) payment_id: Uuid,
    pub(crate) subject: String,
    pub(crate) mode: String,
    pub(crate) generation: i64,
    pub(crate) parameters: Value,
    pub(crate) idempotency_key: String,
    pub(crate) state: String,
    pub(crate) recorded_at: OffsetDateTime,
}

impl CallRow {
    pub(crate) fn call(self) -> Result<GatewayCall, StoreError> {
        let row = Reading { table: "gateway_calls", id: self.id };
        let call = GatewayCall {
            id: Id::from_uuid(self.id),
            order: Id::from_uuid(self.order_id),
            payment: Id::from_uuid(self.payment_id),
            subject: row.word("subject", &self.subject)?,
            mode: row.word("mode", &self.mode)?,
            operation: row.json("parameters", self.parameters)?,
            generation: row.number("generation", self.generation)?,
            state: row.word("state", &self.state)?,
            recorded_at: self.recorded_at,
        };
        // The gateway knows the call by the key of the day it was recorded; another one would be another payment.
        if call.key() == self.idempotency_key { Ok(call) } else { Err(row.impossible("idempotency_key")) }
    }
}
