//! Differences that no rule explains: found, explained, and resolved by hand.

use paywright_domain::{
    Actor, BreakId, Changes, Entry, Id, Mode, Resolution,
    ports::{BreakView, StoreError},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Postgres,
    error::{Failure, store_error},
    rows::BreakRow,
    text::{clean, clean_opt, named_id},
};

/// Stores breaks that are new, opens those again that were resolved, and tells what the trail says of both.
pub(crate) async fn found(connection: &mut PgConnection, changes: &Changes) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for found in &changes.breaks {
        let key = found.key();
        let id: BreakId = named_id(changes.at, &key);
        let upsert = sqlx::query!(
            "INSERT INTO breaks (id, key, kind, mode, order_id, payment_id, object, detail, at_risk, at_risk_currency,
                                 found_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT ON CONSTRAINT breaks_one_per_key DO UPDATE
             SET detail = excluded.detail, at_risk = excluded.at_risk, at_risk_currency = excluded.at_risk_currency,
                 found_at = excluded.found_at, resolved_at = NULL, resolved_by = NULL, resolution = NULL
             WHERE breaks.resolved_at IS NOT NULL",
            id.uuid(),
            &clean(&key),
            <&str>::from(found.kind),
            <&str>::from(found.mode),
            found.order.map(|id| id.uuid()),
            found.payment.map(|id| id.uuid()),
            clean_opt(found.object.as_deref()),
            &clean(&found.detail),
            found.at_risk.map(|amount| amount.minor().cast_signed()),
            found.at_risk.map(|amount| amount.currency().code()),
            changes.at,
        );
        if upsert.execute(&mut *connection).await?.rows_affected() == 1 {
            entries.extend(found.entry());
        }
    }
    Ok(entries)
}

/// Ends breaks that a rule explains now, and tells what the trails of their orders say of that.
pub(crate) async fn explained(
    connection: &mut PgConnection,
    changes: &Changes,
) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for resolution in &changes.resolutions {
        let orders = end(&mut *connection, changes, resolution).await?;
        entries.extend(orders.into_iter().flatten().map(|order| resolution.entry(Id::from_uuid(order))));
    }
    Ok(entries)
}

/// Ends breaks, and tells on which orders they were. A statement for each index that finds them: one for both would
/// read all that are open.
async fn end(
    connection: &mut PgConnection,
    changes: &Changes,
    resolution: &Resolution,
) -> sqlx::Result<Vec<Option<Uuid>>> {
    let (kind, by) = (<&str>::from(resolution.kind), changes.actor.to_string());
    let (reason, object) = (clean(&resolution.reason), clean_opt(resolution.object.as_deref()));
    match (resolution.payment, object) {
        (Some(payment), object) => {
            let update = sqlx::query_scalar!(
                "UPDATE breaks SET resolved_at = $3, resolved_by = $4, resolution = $5
                 WHERE payment_id = $1 AND kind = $2 AND resolved_at IS NULL AND ($6::text IS NULL OR object = $6)
                 RETURNING order_id",
                payment.uuid(),
                kind,
                changes.at,
                by,
                &reason,
                object,
            );
            update.fetch_all(connection).await
        }
        (None, Some(object)) => {
            let update = sqlx::query_scalar!(
                "UPDATE breaks SET resolved_at = $3, resolved_by = $4, resolution = $5
                 WHERE object = $1 AND kind = $2 AND resolved_at IS NULL
                 RETURNING order_id",
                object,
                kind,
                changes.at,
                by,
                &reason,
            );
            update.fetch_all(connection).await
        }
        (None, None) => Ok(Vec::new()),
    }
}

impl Postgres {
    /// Resolves a break of `mode` by hand: `by` says why it is none any more. One that is resolved already stays as it
    /// is, so doing it again changes nothing. `None`: there is no such break.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; after [`StoreError::Unavailable`] do it again.
    pub async fn resolve_break(
        &self,
        mode: Mode,
        id: BreakId,
        by: &Actor,
        reason: &str,
        at: OffsetDateTime,
    ) -> Result<Option<BreakView>, StoreError> {
        let resolve = sqlx::query!(
            "WITH resolved AS (
                 UPDATE breaks SET resolved_at = $3, resolved_by = $4, resolution = $5
                 WHERE id = $1 AND mode = $2 AND resolved_at IS NULL
                 RETURNING order_id, mode, payment_id, kind
             )
             INSERT INTO order_transitions (order_id, mode, payment_id, subject, event, detail, actor, cause, at)
             SELECT order_id, mode, payment_id, 'break', kind || '_resolved',
                    jsonb_build_object('reason', $5::text), $4, $6::text, $3
             FROM resolved WHERE order_id IS NOT NULL",
            id.uuid(),
            <&str>::from(mode),
            at,
            by.to_string(),
            &clean(reason),
            id.to_string(),
        );
        resolve.execute(&self.pool).await.map_err(store_error)?;
        let row = sqlx::query_as!(
            BreakRow,
            "SELECT id, kind, order_id, payment_id, object, detail, at_risk, at_risk_currency, found_at, resolved_at,
                    resolved_by, resolution
             FROM breaks WHERE id = $1 AND mode = $2",
            id.uuid(),
            <&str>::from(mode),
        );
        row.fetch_optional(&self.pool).await.map_err(store_error)?.map(BreakRow::view).transpose()
    }
}
