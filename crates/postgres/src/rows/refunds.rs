//! Refunds and disputes; also as JSON inside of an order's parts.

use paywright_domain::{
    Currency, Dispute, DisputeSighting, GatewayDisputeId, Id, Refund, Version, ports::StoreError,
};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Reading;

/// A refund.
#[derive(Deserialize)]
pub(crate) struct RefundRow {
    pub(crate) id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) payment_id: Uuid,
    pub(crate) mode: String,
    pub(crate) version: i64,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) reason: String,
    pub(crate) note: Option<String>,
    pub(crate) state: String,
    pub(crate) gateway: Option<String>,
    pub(crate) failure: Option<String>,
    pub(crate) settlement: Option<String>,
    pub(crate) reversal: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
}

impl RefundRow {
    pub(crate) fn refund(self) -> Result<Refund, StoreError> {
        let row = Reading { table: "refunds", id: self.id };
        let currency = row.word("currency", &self.currency)?;
        Ok(Refund {
            id: Id::from_uuid(self.id),
            order: Id::from_uuid(self.order_id),
            payment: Id::from_uuid(self.payment_id),
            mode: row.word("mode", &self.mode)?,
            version: Version::from_number(row.number("version", self.version)?),
            amount: row.money("amount", self.amount, currency)?,
            reason: row.word("reason", &self.reason)?,
            note: self.note,
            state: row.word("state", &self.state)?,
            gateway: row.gateway_id("gateway", self.gateway)?,
            failure: self.failure,
            settlement: row.gateway_id("settlement", self.settlement)?,
            reversal: row.gateway_id("reversal", self.reversal)?,
            created_at: self.created_at,
        })
    }
}

/// A dispute.
#[derive(Deserialize)]
pub(crate) struct DisputeRow {
    pub(crate) id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) payment_id: Uuid,
    pub(crate) mode: String,
    pub(crate) version: i64,
    pub(crate) gateway: String,
    pub(crate) status: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) reason: String,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) due_by: Option<OffsetDateTime>,
    pub(crate) refundable: bool,
    pub(crate) submitted: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) seen_at: OffsetDateTime,
    pub(crate) evidence: Value,
    pub(crate) answering: Option<String>,
    pub(crate) generation: i64,
    pub(crate) deadline_told: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
}

impl DisputeRow {
    pub(crate) fn dispute(self) -> Result<Dispute, StoreError> {
        let row = Reading { table: "disputes", id: self.id };
        let currency: Currency = row.word("currency", &self.currency)?;
        let seen = DisputeSighting {
            status: row.word("status", &self.status)?,
            amount: row.money("amount", self.amount, currency)?,
            reason: self.reason,
            due_by: self.due_by,
            refundable: self.refundable,
            submitted: self.submitted,
            at: self.seen_at,
        };
        Ok(Dispute {
            id: Id::from_uuid(self.id),
            order: Id::from_uuid(self.order_id),
            payment: Id::from_uuid(self.payment_id),
            mode: row.word("mode", &self.mode)?,
            version: Version::from_number(row.number("version", self.version)?),
            gateway: GatewayDisputeId::try_from(self.gateway).map_err(|_| row.impossible("gateway"))?,
            seen,
            evidence: row.json("evidence", self.evidence)?,
            answering: self.answering.map(|answer| row.word("answering", &answer)).transpose()?,
            generation: row.number("generation", self.generation)?,
            deadline_told: self.deadline_told,
            created_at: self.created_at,
        })
    }
}
