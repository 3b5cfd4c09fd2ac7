//! The rows that intake stores, written the barest way: into tables of the same shape, by one statement a commit.

use anyhow::ensure;
use sqlx::{PgConnection, PgPool, types::Uuid};

use super::events::{self, KIND, Template};
use paywright_stripe::API_VERSION;

/// Tables like those of the product, with their indexes and constraints, and nothing in them.
const TABLES: &str = "
    DROP SCHEMA IF EXISTS bare CASCADE;
    CREATE SCHEMA bare;
    CREATE TABLE bare.inbox_events (LIKE public.inbox_events INCLUDING ALL);
    CREATE TABLE bare.jobs (LIKE public.jobs INCLUDING ALL);
    CREATE SEQUENCE bare.numbers CACHE 1000;
    CHECKPOINT";

/// An event with its job.
const INSERT: &str = "
    WITH event AS (
        INSERT INTO bare.inbox_events (id, kind, mode, api_version, object, about, created_at, body)
        SELECT event.id, $5, 'test', $6, event.object, event.object, now(), event.body
        FROM unnest($1::text[], $2::text[], $3::bytea[]) AS event (id, object, body)
    )
    INSERT INTO bare.jobs (id, queue, kind, payload, about, due_at)
    SELECT job.id, 'webhooks', 'read_event', job.event, job.about, now()
    FROM unnest($4::uuid[], $1::text[], $2::text[]) AS job (id, event, about)";

pub(super) async fn empty_tables(pool: &PgPool) -> anyhow::Result<()> {
    sqlx::raw_sql(TABLES).execute(pool).await?;
    Ok(())
}

/// One event.
pub(super) struct Row<B> {
    pub(super) id: String,
    pub(super) object: String,
    pub(super) job: Uuid,
    pub(super) body: B,
}

impl Row<Vec<u8>> {
    pub(super) fn new(template: &Template, number: u32, created: i64) -> Self {
        let mut body = Vec::new();
        template.body(number, created, &mut body);
        Self { id: events::event(number), object: events::intent(number), job: job(number), body }
    }
}

/// The id of a job.
pub(super) fn job(number: u32) -> Uuid {
    events::id::<paywright_domain::kind::Job>(number).uuid()
}

/// Commits the rows.
pub(super) async fn insert<B: AsRef<[u8]>>(
    connection: &mut PgConnection,
    rows: &[Row<B>],
) -> anyhow::Result<()> {
    let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    let objects: Vec<_> = rows.iter().map(|row| row.object.as_str()).collect();
    let bodies: Vec<_> = rows.iter().map(|row| row.body.as_ref()).collect();
    let jobs: Vec<_> = rows.iter().map(|row| row.job).collect();
    let insert = sqlx::query(INSERT).bind(ids).bind(objects).bind(bodies).bind(jobs);
    let written = insert.bind(KIND).bind(API_VERSION).execute(connection).await?.rows_affected();
    ensure!(written == rows.len() as u64, "{written} rows of {} were written", rows.len());
    Ok(())
}
