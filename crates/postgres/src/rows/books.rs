//! Lines and balances of the ledger, and breaks.

use paywright_domain::{
    Currency, Id, LedgerEntry,
    ports::{Balance, Booked, BreakView, StoreError},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Reading;

/// One line of the ledger.
pub(crate) struct BookedRow {
    pub(crate) id: i64,
    pub(crate) key: String,
    pub(crate) movement: String,
    pub(crate) order_id: Option<Uuid>,
    pub(crate) payment_id: Option<Uuid>,
    pub(crate) transaction_id: Option<String>,
    pub(crate) debit: String,
    pub(crate) credit: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) at: OffsetDateTime,
}

impl BookedRow {
    pub(crate) fn booked(self) -> Result<Booked, StoreError> {
        let row = Reading { table: "ledger_entries", id: self.id };
        let currency: Currency = row.word("currency", &self.currency)?;
        Ok(Booked {
            id: self.id,
            key: self.key,
            movement: row.word("movement", &self.movement)?,
            order: self.order_id.map(Id::from_uuid),
            payment: self.payment_id.map(Id::from_uuid),
            transaction: row.gateway_id("transaction_id", self.transaction_id)?,
            at: self.at,
            entry: LedgerEntry {
                debit: row.word("debit", &self.debit)?,
                credit: row.word("credit", &self.credit)?,
                amount: row.money("amount", self.amount, currency)?,
            },
        })
    }
}

/// What an account got and gave.
pub(crate) struct BalanceRow {
    pub(crate) account: String,
    pub(crate) currency: String,
    pub(crate) debit: i64,
    pub(crate) credit: i64,
}

impl BalanceRow {
    pub(crate) fn balance(self) -> Result<Balance, StoreError> {
        let row = Reading { table: "ledger_entries", id: &self.account };
        let (account, currency) = (row.word("debit", &self.account)?, row.word("currency", &self.currency)?);
        Ok(Balance { account, currency, debit: self.debit, credit: self.credit })
    }
}

/// A break.
pub(crate) struct BreakRow {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) order_id: Option<Uuid>,
    pub(crate) payment_id: Option<Uuid>,
    pub(crate) object: Option<String>,
    pub(crate) detail: String,
    pub(crate) at_risk: Option<i64>,
    pub(crate) at_risk_currency: Option<String>,
    pub(crate) found_at: OffsetDateTime,
    pub(crate) resolved_at: Option<OffsetDateTime>,
    pub(crate) resolved_by: Option<String>,
    pub(crate) resolution: Option<String>,
}

impl BreakRow {
    pub(crate) fn view(self) -> Result<BreakView, StoreError> {
        let row = Reading { table: "breaks", id: self.id };
        let at_risk = match (self.at_risk, self.at_risk_currency) {
            (None, None) => None,
            (Some(minor), Some(currency)) => {
                Some(row.money("at_risk", minor, row.word("at_risk_currency", &currency)?)?)
            }
            _ => return Err(row.impossible("at_risk")),
        };
        Ok(BreakView {
            id: Id::from_uuid(self.id),
            kind: row.word("kind", &self.kind)?,
            order: self.order_id.map(Id::from_uuid),
            payment: self.payment_id.map(Id::from_uuid),
            object: self.object,
            detail: self.detail,
            at_risk,
            found_at: self.found_at,
            resolved_at: self.resolved_at,
            resolved_by: self.resolved_by,
            resolution: self.resolution,
        })
    }
}
