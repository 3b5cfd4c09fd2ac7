//! Runs of reconciliation, and the numbers of a statement.

use std::{collections::BTreeMap, time::Duration};

use paywright_domain::{
    BreakTotals, Counts, Mode, Run, RunId, RunTotals, Section,
    ports::{Listed, Page, RUN_DEAD_AFTER, StoreError, Window},
};
use sqlx::types::Json;

use crate::{
    Postgres,
    catalogue::{listed, one_more},
    error::store_error,
    rows::{BreaksRow, RunRow, RunsRow},
    text::{micros, note},
};

macro_rules! runs {
    ($rest:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            RunRow,
            "SELECT id, mode, trigger, since, state, counts, opened, resolved, error, started_at, finished_at
             FROM reconciliation_runs WHERE "
                + $rest,
            $($argument),*
        )
    };
}

/// Ends the dead, then keeps the new one. Dead is also who gave no sign of life for long: one who was only slow says how it
/// ended all the same.
pub(super) async fn begin(store: &Postgres, run: &Run) -> Result<(), StoreError> {
    let dead = sqlx::query!(
        "UPDATE reconciliation_runs
         SET state = 'failed', finished_at = $3, error = 'its process ended before it did'
         WHERE mode = $1 AND state = 'running' AND id <> $4
           AND (started_at <= $2 OR heard_at <= now() - interval '10 minutes')",
        <&str>::from(run.mode),
        run.started_at - RUN_DEAD_AFTER,
        run.started_at,
        run.id.uuid(),
    );
    dead.execute(&store.pool).await.map_err(store_error)?;
    keep(store, run).await
}

/// Keeps how a run stands now.
pub(super) async fn keep(store: &Postgres, run: &Run) -> Result<(), StoreError> {
    let upsert = sqlx::query!(
        "INSERT INTO reconciliation_runs (id, mode, trigger, since, state, counts, opened, resolved, error, started_at,
                                          finished_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT ON CONSTRAINT reconciliation_runs_pkey DO UPDATE
         SET trigger = excluded.trigger, since = excluded.since, state = excluded.state, counts = excluded.counts,
             opened = excluded.opened, resolved = excluded.resolved, error = excluded.error,
             started_at = excluded.started_at, finished_at = excluded.finished_at, heard_at = now()
         WHERE reconciliation_runs.mode = excluded.mode",
        run.id.uuid(),
        <&str>::from(run.mode),
        <&str>::from(run.trigger),
        run.since,
        <&str>::from(run.state),
        Json(&run.counts) as _,
        run.opened.cast_signed(),
        run.resolved.cast_signed(),
        run.error.as_deref().map(|text| note(text).into_owned()),
        run.started_at,
        run.finished_at,
    );
    upsert.execute(&store.pool).await.map(drop).map_err(store_error)
}

pub(super) async fn find(store: &Postgres, mode: Mode, id: RunId) -> Result<Option<Run>, StoreError> {
    let row = runs!("id = $1 AND mode = $2", id.uuid(), <&str>::from(mode)).fetch_optional(&store.pool);
    row.await.map_err(store_error)?.map(RunRow::run).transpose()
}

pub(super) async fn list(store: &Postgres, mode: Mode, page: Page<RunId>) -> Result<Listed<Run>, StoreError> {
    let rows = runs!(
        "mode = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        <&str>::from(mode),
        page.after.map(|id| id.uuid()),
        one_more(page.limit)
    );
    let rows = rows.fetch_all(&store.pool).await.map_err(store_error)?;
    listed(rows, page.limit, RunRow::run)
}

pub(super) async fn totals(store: &Postgres, mode: Mode, window: Window) -> Result<RunTotals, StoreError> {
    let row = sqlx::query_as!(
        RunsRow,
        r#"SELECT count(*) FILTER (WHERE state = 'done') AS "done!",
                  count(*) FILTER (WHERE state = 'incomplete') AS "incomplete!",
                  count(*) FILTER (WHERE state = 'failed') AS "failed!",
                  coalesce(array_agg(counts ORDER BY id), '{}') AS "counts!"
           FROM reconciliation_runs
           WHERE mode = $1 AND started_at >= $2 AND started_at < $3 AND state <> 'running'"#,
        <&str>::from(mode),
        window.from,
        window.before,
    );
    row.fetch_one(&store.pool).await.map_err(store_error)?.totals()
}

pub(super) async fn break_totals(
    store: &Postgres,
    mode: Mode,
    window: Window,
) -> Result<BreakTotals, StoreError> {
    // Those open at the end: open still, or resolved since. A sum that is too great for money is as much as money can
    // be.
    let row = sqlx::query_as!(
        BreaksRow,
        r#"WITH open AS (
               SELECT found_at, at_risk, at_risk_currency FROM breaks
               WHERE mode = $1 AND resolved_at IS NULL AND found_at < $3
               UNION ALL
               SELECT found_at, at_risk, at_risk_currency FROM breaks
               WHERE mode = $1 AND resolved_at >= $3 AND found_at < $3
           ), risk AS (
               SELECT at_risk_currency, least(sum(at_risk), 9223372036854775807)::bigint AS at_risk
               FROM open WHERE at_risk IS NOT NULL GROUP BY at_risk_currency
           )
           SELECT (SELECT count(*) FROM open) AS "open!",
                  (SELECT min(found_at) FROM open) AS oldest,
                  (SELECT count(*) FROM breaks WHERE mode = $1 AND found_at >= $2 AND found_at < $3) AS "opened!",
                  (SELECT count(*) FROM breaks WHERE mode = $1 AND resolved_at >= $2 AND resolved_at < $3)
                      AS "resolved!",
                  (SELECT coalesce(array_agg(at_risk ORDER BY at_risk_currency), '{}') FROM risk) AS "at_risk!",
                  (SELECT coalesce(array_agg(at_risk_currency ORDER BY at_risk_currency), '{}') FROM risk)
                      AS "currencies!""#,
        <&str>::from(mode),
        window.from,
        window.before,
    );
    row.fetch_one(&store.pool).await.map_err(store_error)?.totals()
}

impl Postgres {
    /// Notes that a run is still under way, and what its sections have come to so far. One that has ended stays as it
    /// is.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn run_goes_on(
        &self,
        mode: Mode,
        id: RunId,
        counts: &BTreeMap<Section, Counts>,
    ) -> Result<(), StoreError> {
        let update = sqlx::query!(
            "UPDATE reconciliation_runs SET heard_at = now(), counts = $3
             WHERE id = $1 AND mode = $2 AND state = 'running'",
            id.uuid(),
            <&str>::from(mode),
            Json(counts) as _,
        );
        update.execute(&self.pool).await.map(drop).map_err(store_error)
    }

    /// The run of `mode` that is under way: one that gave a sign of life within `silence`, by the database's clock.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn run_under_way(&self, mode: Mode, silence: Duration) -> Result<Option<Run>, StoreError> {
        let silence = time::Duration::try_from(silence).unwrap_or(time::Duration::MAX);
        let row = runs!(
            "mode = $1 AND state = 'running' AND heard_at > now() - $2::bigint * interval '1 microsecond'
             ORDER BY heard_at DESC LIMIT 1",
            <&str>::from(mode),
            micros(silence)
        );
        row.fetch_optional(&self.pool).await.map_err(store_error)?.map(RunRow::run).transpose()
    }
}
