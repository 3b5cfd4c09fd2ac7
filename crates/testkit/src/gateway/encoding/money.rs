//! Refunds, disputes and movements of the balance.

use paywright_domain::{
    BalanceTransaction, DisputeSighting, RefundSighting, RefundStanding,
    ports::{DisputeSnapshot, Malformed, RefundSnapshot},
};

use super::{Fields, moment, put_known, put_origin};

/// The field that every refund has, and nothing else.
pub(super) const REFUND: &str = "refund.standing";
/// The field that every dispute has, and nothing else.
pub(super) const DISPUTE: &str = "dispute.status";

/// A movement on one line: its name, amount, fee, currency and time.
pub(super) fn transaction(moved: &BalanceTransaction) -> String {
    let BalanceTransaction { id, amount, fee, currency, at } = moved;
    format!("{id} {amount} {fee} {currency} {}", at.unix_timestamp())
}

pub(super) fn put_refund(put: &mut dyn FnMut(&str, String), snapshot: &RefundSnapshot) {
    let RefundSnapshot { refund, payment, intent, mode, amount, reason, sighting, created_at, origin } =
        snapshot;
    put(REFUND, sighting.standing.to_string());
    put("id", sighting.id.to_string());
    put("created_at", created_at.unix_timestamp().to_string());
    let optional = [
        ("refund", refund.map(|id| id.to_string())),
        ("payment", payment.map(|id| id.to_string())),
        ("intent", intent.as_ref().map(ToString::to_string)),
        ("mode", mode.map(|mode| mode.to_string())),
        ("amount", amount.map(|amount| amount.minor().to_string())),
        ("currency", amount.map(|amount| amount.currency().to_string())),
        ("reason", reason.clone()),
        ("failure", sighting.failure.clone()),
        ("settlement", sighting.settlement.as_ref().map(transaction)),
        ("reversal", sighting.reversal.as_ref().map(transaction)),
    ];
    put_known(put, optional);
    put_origin(put, origin);
}

pub(super) fn put_dispute(put: &mut dyn FnMut(&str, String), snapshot: &DisputeSnapshot) {
    let DisputeSnapshot { id, intent, mode, sighting, movements, created_at, origin } = snapshot;
    let DisputeSighting { status, amount, reason, due_by, refundable, submitted, at } = sighting;
    put(DISPUTE, status.to_string());
    put("id", id.to_string());
    put("mode", mode.to_string());
    put("amount", amount.minor().to_string());
    put("currency", amount.currency().to_string());
    put("reason", reason.clone());
    put("refundable", refundable.to_string());
    put("submitted", submitted.to_string());
    put("at", at.unix_timestamp().to_string());
    put("created_at", created_at.unix_timestamp().to_string());
    for (number, moved) in movements.iter().enumerate() {
        put(&format!("movement.{number}"), transaction(moved));
    }
    let optional = [
        ("intent", intent.as_ref().map(ToString::to_string)),
        ("due_by", due_by.map(|at| at.unix_timestamp().to_string())),
    ];
    put_known(put, optional);
    put_origin(put, origin);
}

impl Fields<'_> {
    pub(super) fn transaction(&self, name: &str) -> Result<Option<BalanceTransaction>, Malformed> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        let spoilt = || Malformed(format!("{name}: {text:?}"));
        let mut parts = text.split(' ');
        let mut part = || parts.next().ok_or_else(spoilt);
        Ok(Some(BalanceTransaction {
            id: part()?.to_owned().try_into().map_err(|_| spoilt())?,
            amount: part()?.parse().map_err(|_| spoilt())?,
            fee: part()?.parse().map_err(|_| spoilt())?,
            currency: part()?.parse().map_err(|_| spoilt())?,
            at: moment(part()?.parse().map_err(|_| spoilt())?)?,
        }))
    }

    pub(super) fn refund(&self) -> Result<RefundSnapshot, Malformed> {
        let standing: String = self.need(REFUND)?;
        let standing = match standing.as_str() {
            "pending" => RefundStanding::Pending,
            "succeeded" => RefundStanding::Succeeded,
            "cancelled" => RefundStanding::Cancelled,
            "failed" => RefundStanding::Failed,
            other => return Err(Malformed(format!("{REFUND}: {other:?}"))),
        };
        Ok(RefundSnapshot {
            refund: self.get("refund")?,
            payment: self.get("payment")?,
            intent: self.name("intent")?,
            mode: self.get("mode")?,
            amount: self.money()?,
            reason: self.get("reason")?,
            sighting: RefundSighting {
                id: self.name("id")?.ok_or_else(|| Malformed("id is missing".to_owned()))?,
                standing,
                failure: self.get("failure")?,
                settlement: self.transaction("settlement")?,
                reversal: self.transaction("reversal")?,
            },
            created_at: self.time("created_at")?,
            origin: self.origin()?,
        })
    }

    pub(super) fn dispute(&self) -> Result<DisputeSnapshot, Malformed> {
        let mut movements = Vec::new();
        while let Some(moved) = self.transaction(&format!("movement.{}", movements.len()))? {
            movements.push(moved);
        }
        Ok(DisputeSnapshot {
            id: self.name("id")?.ok_or_else(|| Malformed("id is missing".to_owned()))?,
            intent: self.name("intent")?,
            mode: self.need("mode")?,
            sighting: DisputeSighting {
                status: self.need(DISPUTE)?,
                amount: self.money()?.ok_or_else(|| Malformed("amount is missing".to_owned()))?,
                reason: self.need("reason")?,
                due_by: self.get("due_by")?.map(moment).transpose()?,
                refundable: self.need("refundable")?,
                submitted: self.need("submitted")?,
                at: self.time("at")?,
            },
            movements,
            created_at: self.time("created_at")?,
            origin: self.origin()?,
        })
    }
}
