//! The rows that intake stores, written the barest way: into tables of the same shape, by one statement a commit.

use anyhow::ensure;
use paywright_domain::ports::InboxEvent;
use paywright_stripe::envelope;
use sqlx::{PgConnection, PgPool, types::Uuid};

use super::events;

/// Tables like those of the product, with their indexes, constraints and room on each page, and nothing in them.
const TABLES: &str = "
    DROP SCHEMA IF EXISTS bare CASCADE;
    CREATE SCHEMA bare;
    CREATE TABLE bare.inbox_events (LIKE public.inbox_events INCLUDING ALL);
    CREATE TABLE bare.jobs (LIKE public.jobs INCLUDING ALL);
    DO $$
    DECLARE shape record;
    BEGIN
        -- LIKE does not take these over.
        FOR shape IN SELECT relname, array_to_string(reloptions, ', ') AS options FROM pg_class
                     WHERE oid IN ('public.inbox_events'::regclass, 'public.jobs'::regclass) AND reloptions IS NOT NULL
        LOOP
            EXECUTE format('ALTER TABLE bare.%I SET (%s)', shape.relname, shape.options);
        END LOOP;
    END $$;
    CREATE SEQUENCE bare.numbers CACHE 1000;
    CHECKPOINT";

/// Events with their jobs. Nobody looks whether one is known already.
const INSERT: &str = "
    WITH event AS (
        INSERT INTO bare.inbox_events (id, kind, mode, account, api_version, object, about, created_at, body, job_id)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                             $8::timestamptz[], $9::bytea[], $10::uuid[])
    )
    INSERT INTO bare.jobs (id, queue, kind, payload, about, due_at)
    SELECT job.id, 'webhooks', 'read_event', job.event, job.about, now()
    FROM unnest($10::uuid[], $1::text[], $7::text[]) AS job (id, event, about)";

pub(super) async fn empty_tables(pool: &PgPool) -> anyhow::Result<()> {
    sqlx::raw_sql(TABLES).execute(pool).await?;
    Ok(())
}

/// One event.
pub(super) struct Row {
    event: InboxEvent,
    job: Uuid,
}

impl Row {
    /// What the product stores of these bytes.
    pub(super) fn read(body: &[u8], number: u32) -> anyhow::Result<Self> {
        Ok(Self { event: envelope(body)?, job: events::id::<paywright_domain::kind::Job>(number).uuid() })
    }
}

/// Commits the rows.
pub(super) async fn insert(connection: &mut PgConnection, rows: &[Row]) -> anyhow::Result<()> {
    fn each<'a, T>(rows: &'a [Row], of: impl Fn(&'a InboxEvent) -> T) -> Vec<T> {
        rows.iter().map(|row| of(&row.event)).collect()
    }
    let insert = sqlx::query(INSERT)
        .bind(each(rows, |event| event.id.as_str()))
        .bind(each(rows, |event| event.kind.as_str()))
        .bind(each(rows, |event| event.mode.to_string()))
        .bind(each(rows, |event| event.account.as_deref()))
        .bind(each(rows, |event| event.api_version.as_deref()))
        .bind(each(rows, |event| event.object.as_deref()))
        .bind(each(rows, |event| event.about.as_deref()))
        .bind(each(rows, |event| event.created_at))
        .bind(each(rows, |event| event.body.as_slice()))
        .bind(rows.iter().map(|row| row.job).collect::<Vec<_>>());
    let written = insert.execute(connection).await?.rows_affected();
    ensure!(written == rows.len() as u64, "{written} rows of {} were written", rows.len());
    Ok(())
}
