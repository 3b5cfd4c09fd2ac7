//! How things stand, in numbers for monitors. Bounded, and each number by an index: this runs every few seconds, also
//! beside a million finished jobs.

use std::collections::HashMap;

use paywright_domain::{
    BreakKind, Currency, Mode, RunState,
    ports::{Priority, QueueName, StoreError},
};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::{Postgres, error::store_error, rows::Reading};

/// Of more rows than this only so many are counted: enough for any alarm.
const COUNTED_MAX: i64 = 20_000;

/// How things stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Jobs that are not finished; what has none is left out.
    pub open: Vec<OpenJobs>,
    /// Jobs that were given up; a queue that has none is left out.
    pub dead: Vec<(QueueName, i64)>,
    /// How long the oldest event that waits to be processed has waited, in seconds.
    pub oldest_event: Option<i64>,
    /// How long ago the newest event was received, in seconds.
    pub newest_event: Option<i64>,
    /// How the newest run of reconciliation stands.
    pub run: Option<RunState>,
    /// How long ago the last run that ended well, or at least ended with its work half done, was begun, in seconds.
    pub run_ended: Option<i64>,
    /// The last check of the webhook endpoint that ended.
    pub endpoint: Option<EndpointCheck>,
    /// Differences that nobody explained yet.
    pub breaks: Vec<OpenBreaks>,
    /// The database's clock.
    pub now: Option<OffsetDateTime>,
}

/// A check of the webhook endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointCheck {
    /// How long ago it ended, in seconds.
    pub age: i64,
    /// What it found, as it was noted; nothing when all was well.
    pub found: Option<String>,
}

/// Jobs that are not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenJobs {
    /// Where they wait.
    pub queue: QueueName,
    /// Who goes first.
    pub priority: Priority,
    /// `due`, `running` or `later`.
    pub state: String,
    /// How many.
    pub jobs: i64,
}

/// Open breaks of a kind, and what is at risk in a currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBreaks {
    /// What differs.
    pub kind: BreakKind,
    /// How many.
    pub count: i64,
    /// How long the oldest has been open, in seconds.
    pub oldest: i64,
    /// In which currency money is at risk, if there is any.
    pub currency: Option<Currency>,
    /// How much, in minor units.
    pub at_risk: i64,
}

/// A pool of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// `keyed` is the hot path's, `general` everything else's.
    pub pool: &'static str,
    /// Lent to somebody.
    pub in_use: u32,
    /// Open, and lent to nobody.
    pub idle: u32,
    /// At most.
    pub max: u32,
}

impl Connections {
    fn of(name: &'static str, pool: &PgPool) -> Self {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        let max = pool.options().get_max_connections();
        Self { pool: name, in_use: pool.size().saturating_sub(idle), idle, max }
    }
}

impl Postgres {
    /// How many connections are open.
    pub fn connections(&self) -> [Connections; 2] {
        [Connections::of("general", self.pool()), Connections::of("keyed", self.keyed.pool())]
    }

    /// How things of a mode stand now.
    ///
    /// # Errors
    /// [`StoreError`] as for every read.
    pub async fn standing(&self, mode: Mode) -> Result<Standing, StoreError> {
        let mut standing = Standing::default();
        self.jobs(&mut standing).await?;
        self.last(mode, &mut standing).await?;
        self.open_breaks(mode, &mut standing).await?;
        Ok(standing)
    }

    /// When each of these events was received, by its id; one that was not is left out.
    ///
    /// # Errors
    /// [`StoreError`] as for every read.
    pub async fn arrivals(&self, events: &[String]) -> Result<HashMap<String, OffsetDateTime>, StoreError> {
        let rows = sqlx::query!("SELECT id, received_at FROM inbox_events WHERE id = ANY($1)", events);
        let rows = rows.fetch_all(&self.pool).await.map_err(store_error)?;
        Ok(rows.into_iter().map(|row| (row.id, row.received_at)).collect())
    }

    async fn jobs(&self, standing: &mut Standing) -> Result<(), StoreError> {
        // By jobs_due_by_priority, which holds what is open and nothing else, the oldest due first.
        let open = sqlx::query!(
            r#"SELECT open.queue AS "queue!", open.priority AS "priority!", open.state AS "state!", count(*) AS "jobs!",
                      extract(epoch FROM now() - min(open.created_at) FILTER (WHERE open.kind = 'read_event'))::bigint
                          AS oldest
               FROM unnest(ARRAY['webhooks', 'effects']) AS queues (name),
                    unnest(ARRAY['fresh', 'backlog']) AS priorities (name),
                    LATERAL (
                        SELECT jobs.queue, jobs.priority, jobs.kind, jobs.created_at,
                               CASE WHEN jobs.leased_until > now() THEN 'running'
                                    WHEN jobs.due_at > now() THEN 'later'
                                    ELSE 'due' END AS state
                        FROM jobs
                        WHERE jobs.queue = queues.name AND jobs.priority = priorities.name AND jobs.state = 'ready'
                        ORDER BY jobs.due_at LIMIT $1
                    ) AS open
               GROUP BY open.queue, open.priority, open.state"#,
            COUNTED_MAX,
        );
        for row in open.fetch_all(&self.pool).await.map_err(store_error)? {
            let reading = Reading { table: "jobs", id: "open" };
            standing.oldest_event = standing.oldest_event.max(row.oldest);
            standing.open.push(OpenJobs {
                queue: reading.word("queue", &row.queue)?,
                priority: reading.word("priority", &row.priority)?,
                state: row.state,
                jobs: row.jobs,
            });
        }
        // By jobs_dead.
        let dead = sqlx::query!(
            r#"SELECT queue AS "queue!", count(*) AS "jobs!"
               FROM (SELECT queue FROM jobs WHERE state = 'dead' LIMIT $1) AS dead GROUP BY queue"#,
            COUNTED_MAX,
        );
        for row in dead.fetch_all(&self.pool).await.map_err(store_error)? {
            let queue = Reading { table: "jobs", id: "dead" }.word("queue", &row.queue)?;
            standing.dead.push((queue, row.jobs));
        }
        Ok(())
    }

    async fn last(&self, mode: Mode, standing: &mut Standing) -> Result<(), StoreError> {
        // By inbox_events_by_time, and by reconciliation_runs_by_time.
        let newest = sqlx::query!(
            r#"SELECT (SELECT extract(epoch FROM now() - received_at)::bigint FROM inbox_events
                       ORDER BY received_at DESC LIMIT 1) AS event,
                      (SELECT state FROM reconciliation_runs WHERE mode = $1
                       ORDER BY started_at DESC LIMIT 1) AS run,
                      (SELECT extract(epoch FROM now() - started_at)::bigint FROM reconciliation_runs
                       WHERE mode = $1 AND state IN ('done', 'incomplete')
                       ORDER BY started_at DESC LIMIT 1) AS run_ended,
                      clock_timestamp() AS "now!""#,
            <&str>::from(mode),
        );
        let newest = newest.fetch_one(&self.pool).await.map_err(store_error)?;
        standing.newest_event = newest.event;
        let reading = Reading { table: "reconciliation_runs", id: "newest" };
        standing.run = newest.run.map(|state| reading.word("state", &state)).transpose()?;
        standing.run_ended = newest.run_ended;
        standing.now = Some(newest.now);
        let check = sqlx::query!(
            r#"SELECT extract(epoch FROM now() - last_finished_at)::bigint AS "age!", last_error FROM schedules
               WHERE name = 'endpoint:' || $1::text AND last_finished_at IS NOT NULL"#,
            <&str>::from(mode),
        );
        let check = check.fetch_optional(&self.pool).await.map_err(store_error)?;
        standing.endpoint = check.map(|row| EndpointCheck { age: row.age, found: row.last_error });
        Ok(())
    }

    async fn open_breaks(&self, mode: Mode, standing: &mut Standing) -> Result<(), StoreError> {
        // By breaks_open.
        let open = sqlx::query!(
            r#"SELECT kind AS "kind!", at_risk_currency AS currency, count(*) AS "count!",
                      extract(epoch FROM now() - min(found_at))::bigint AS "oldest!",
                      coalesce(sum(at_risk), 0)::bigint AS "at_risk!"
               FROM (
                   SELECT kind, at_risk_currency, at_risk, found_at
                   FROM breaks WHERE mode = $1 AND resolved_at IS NULL ORDER BY id LIMIT $2
               ) AS open
               GROUP BY kind, at_risk_currency"#,
            <&str>::from(mode),
            COUNTED_MAX,
        );
        for row in open.fetch_all(&self.pool).await.map_err(store_error)? {
            let reading = Reading { table: "breaks", id: "open" };
            let currency = row.currency.map(|code| reading.word("at_risk_currency", &code)).transpose()?;
            standing.breaks.push(OpenBreaks {
                kind: reading.word("kind", &row.kind)?,
                count: row.count,
                oldest: row.oldest,
                currency,
                at_risk: row.at_risk,
            });
        }
        Ok(())
    }
}
