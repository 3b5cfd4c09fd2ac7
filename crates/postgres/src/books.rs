//! What reconciliation asks of our side. Each call is one statement.

mod payouts;
mod runs;

use std::collections::BTreeSet;

use async_trait::async_trait;
use paywright_domain::{
    BreakId, BreakKind, BreakTotals, Id, JobId, Mode, PaymentId, PayoutId, PayoutRecord, Run, RunId,
    RunTotals, Section, TransactionId,
    ports::{Books, BreakView, Listed, Page, StoreError, Unsettled, Window},
};
use time::OffsetDateTime;

use crate::{
    Postgres,
    error::store_error,
    rows::{BreakRow, Reading},
};

#[async_trait]
impl Books for Postgres {
    async fn cursor(&self, mode: Mode, section: Section) -> Result<Option<OffsetDateTime>, StoreError> {
        let at = sqlx::query_scalar!(
            "SELECT at FROM cursors WHERE mode = $1 AND section = $2",
            <&str>::from(mode),
            <&str>::from(section)
        );
        at.fetch_optional(&self.pool).await.map_err(store_error)
    }

    async fn advance(&self, mode: Mode, section: Section, to: OffsetDateTime) -> Result<(), StoreError> {
        let upsert = sqlx::query!(
            "INSERT INTO cursors (mode, section, at) VALUES ($1, $2, $3)
             ON CONFLICT ON CONSTRAINT cursors_pkey DO UPDATE SET at = excluded.at WHERE cursors.at < excluded.at",
            <&str>::from(mode),
            <&str>::from(section),
            to,
        );
        upsert.execute(&self.pool).await.map(drop).map_err(store_error)
    }

    async fn unsettled(
        &self,
        mode: Mode,
        asked: Unsettled,
        after: Option<PaymentId>,
        limit: u32,
    ) -> Result<Vec<PaymentId>, StoreError> {
        // Two ranges of indexes that hold only what is open, each cut before they are put together.
        let ids = sqlx::query_scalar!(
            r#"SELECT id AS "id!" FROM (
                   (SELECT p.id FROM payments AS p LEFT JOIN payment_looks AS look ON look.payment_id = p.id
                    WHERE p.mode = $1
                      AND ((p.state IN ('created', 'pending', 'requires_action', 'processing', 'authorized')
                            AND (p.intent IS NOT NULL OR p.session IS NOT NULL))
                           OR (p.state = 'captured' AND (p.fee IS NULL OR p.refunded <> p.returned)))
                      AND ($2::uuid IS NULL OR p.id > $2) AND p.created_at >= $3 AND p.created_at < $4
                      AND coalesce(look.at, p.created_at) < $5
                    ORDER BY p.id LIMIT $6)
                   UNION
                   (SELECT p.id FROM disputes AS d JOIN payments AS p ON p.id = d.payment_id
                    LEFT JOIN payment_looks AS look ON look.payment_id = p.id
                    WHERE d.mode = $1 AND d.status NOT IN ('warning_closed', 'won', 'lost', 'prevented')
                      AND ($2::uuid IS NULL OR d.payment_id > $2) AND p.created_at >= $3 AND p.created_at < $4
                      AND coalesce(look.at, p.created_at) < $5
                    ORDER BY d.payment_id LIMIT $6)
               ) AS open ORDER BY id LIMIT $6"#,
            <&str>::from(mode),
            after.map(|id| id.uuid()),
            asked.started.from,
            asked.started.before,
            asked.looked_before,
            i64::from(limit),
        );
        let ids = ids.fetch_all(&self.pool).await.map_err(store_error)?;
        Ok(ids.into_iter().map(Id::from_uuid).collect())
    }

    async fn looked(&self, payments: &[PaymentId], at: OffsetDateTime) -> Result<(), StoreError> {
        // In the order of ids, so that two who remember the same payments wait for each other instead of both giving up.
        let ids: BTreeSet<_> = payments.iter().map(|id| id.uuid()).collect();
        let upsert = sqlx::query!(
            "INSERT INTO payment_looks (payment_id, at)
             SELECT looked.id, $2 FROM unnest($1::uuid[]) WITH ORDINALITY AS looked (id, position) ORDER BY position
             ON CONFLICT ON CONSTRAINT payment_looks_pkey DO UPDATE SET at = excluded.at
             WHERE payment_looks.at < excluded.at",
            &ids.into_iter().collect::<Vec<_>>(),
            at,
        );
        upsert.execute(&self.pool).await.map(drop).map_err(store_error)
    }

    async fn abandoned_calls(
        &self,
        mode: Mode,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError> {
        let ids = sqlx::query_scalar!(
            "SELECT id FROM gateway_calls AS call
             WHERE mode = $1 AND state = 'recorded' AND ($2::uuid IS NULL OR id > $2)
               AND NOT EXISTS (SELECT FROM jobs WHERE jobs.id = call.id AND jobs.state = 'ready')
             ORDER BY id LIMIT $3",
            <&str>::from(mode),
            after.map(|id| id.uuid()),
            i64::from(limit),
        );
        let ids = ids.fetch_all(&self.pool).await.map_err(store_error)?;
        Ok(ids.into_iter().map(Id::from_uuid).collect())
    }

    async fn booked(
        &self,
        mode: Mode,
        transactions: &[TransactionId],
    ) -> Result<BTreeSet<TransactionId>, StoreError> {
        // What a transaction told is booked under its name, by ledger_entries_transaction.
        let names: Vec<_> = transactions.iter().map(|id| id.as_str().to_owned()).collect();
        let booked = sqlx::query_scalar!(
            "SELECT key FROM ledger_entries
             WHERE key = ANY($2) AND line = 1 AND mode = $1 AND transaction_id IS NOT NULL",
            <&str>::from(mode),
            &names,
        );
        let booked = booked.fetch_all(&self.pool).await.map_err(store_error)?;
        let name = |key: String| {
            let row = Reading { table: "ledger_entries", id: key.clone() };
            key.try_into().map_err(|_| row.impossible("key"))
        };
        booked.into_iter().map(name).collect()
    }

    async fn record_payout(&self, record: &PayoutRecord) -> Result<(), StoreError> {
        payouts::record(self, record).await
    }

    async fn payout(&self, mode: Mode, id: &PayoutId) -> Result<Option<PayoutRecord>, StoreError> {
        payouts::find(self, mode, id).await
    }

    async fn list_payouts(
        &self,
        mode: Mode,
        limit: u32,
        after: Option<PayoutId>,
    ) -> Result<Listed<PayoutRecord>, StoreError> {
        payouts::list(self, mode, limit, after).await
    }

    async fn begin(&self, run: &Run) -> Result<(), StoreError> {
        runs::begin(self, run).await
    }

    async fn finish(&self, run: &Run) -> Result<(), StoreError> {
        runs::keep(self, run).await
    }

    async fn run(&self, mode: Mode, id: RunId) -> Result<Option<Run>, StoreError> {
        runs::find(self, mode, id).await
    }

    async fn list_runs(&self, mode: Mode, page: Page<RunId>) -> Result<Listed<Run>, StoreError> {
        runs::list(self, mode, page).await
    }

    async fn run_totals(&self, mode: Mode, window: Window) -> Result<RunTotals, StoreError> {
        runs::totals(self, mode, window).await
    }

    async fn break_totals(&self, mode: Mode, window: Window) -> Result<BreakTotals, StoreError> {
        runs::break_totals(self, mode, window).await
    }

    async fn open_breaks(
        &self,
        mode: Mode,
        kind: BreakKind,
        after: Option<BreakId>,
        limit: u32,
    ) -> Result<Vec<BreakView>, StoreError> {
        let rows = sqlx::query_as!(
            BreakRow,
            "SELECT id, kind, order_id, payment_id, object, detail, at_risk, at_risk_currency, found_at, resolved_at,
                    resolved_by, resolution
             FROM breaks
             WHERE mode = $1 AND kind = $2 AND resolved_at IS NULL AND ($3::uuid IS NULL OR id > $3)
             ORDER BY id LIMIT $4",
            <&str>::from(mode),
            <&str>::from(kind),
            after.map(|id| id.uuid()),
            i64::from(limit),
        );
        rows.fetch_all(&self.pool).await.map_err(store_error)?.into_iter().map(BreakRow::view).collect()
    }
}
