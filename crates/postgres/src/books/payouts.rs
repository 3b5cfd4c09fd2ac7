//! Payouts, and what each is made of.

use paywright_domain::{
    Mode, PayoutId, PayoutRecord,
    ports::{Listed, StoreError},
};
use sqlx::types::Json;

use crate::{
    Postgres,
    catalogue::{listed, one_more},
    error::store_error,
    rows::PayoutRow,
    text::clean,
};

macro_rules! payouts {
    ($rest:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            PayoutRow,
            "SELECT id, mode, amount, currency, taken, status, automatic, parts, remainder, created_at, arrives_at, seen_at
             FROM payouts WHERE "
                + $rest,
            $($argument),*
        )
    };
}

/// Keeps what was seen last.
pub(super) async fn record(store: &Postgres, record: &PayoutRecord) -> Result<(), StoreError> {
    let payout = &record.payout;
    let upsert = sqlx::query!(
        "INSERT INTO payouts (mode, id, amount, currency, taken, status, automatic, parts, remainder, created_at,
                              arrives_at, seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT ON CONSTRAINT payouts_pkey DO UPDATE
         SET amount = excluded.amount, currency = excluded.currency, taken = excluded.taken, status = excluded.status,
             automatic = excluded.automatic, parts = excluded.parts, remainder = excluded.remainder,
             created_at = excluded.created_at, arrives_at = excluded.arrives_at, seen_at = excluded.seen_at
         WHERE payouts.seen_at <= excluded.seen_at",
        <&str>::from(record.mode),
        payout.id.as_str(),
        payout.amount.minor().cast_signed(),
        payout.amount.currency().code(),
        payout.taken,
        &clean(&payout.status),
        payout.automatic,
        Json(&record.parts) as _,
        record.remainder,
        payout.created_at,
        payout.arrives_at,
        record.seen_at,
    );
    upsert.execute(&store.pool).await.map(drop).map_err(store_error)
}

pub(super) async fn find(
    store: &Postgres,
    mode: Mode,
    id: &PayoutId,
) -> Result<Option<PayoutRecord>, StoreError> {
    let row = payouts!("mode = $1 AND id = $2", <&str>::from(mode), id.as_str());
    row.fetch_optional(&store.pool).await.map_err(store_error)?.map(PayoutRow::record).transpose()
}

/// Newest first. After one that is not there comes nothing.
pub(super) async fn list(
    store: &Postgres,
    mode: Mode,
    limit: u32,
    after: Option<PayoutId>,
) -> Result<Listed<PayoutRecord>, StoreError> {
    let rows = payouts!(
        "mode = $1
           AND ($2::text IS NULL OR (created_at, id) < (SELECT created_at, id FROM payouts WHERE mode = $1 AND id = $2))
         ORDER BY created_at DESC, id DESC LIMIT $3",
        <&str>::from(mode),
        after.as_ref().map(|id| id.as_str()),
        one_more(limit)
    );
    let rows = rows.fetch_all(&store.pool).await.map_err(store_error)?;
    listed(rows, limit, PayoutRow::record)
}
