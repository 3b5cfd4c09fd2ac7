use std::collections::HashMap;

use paywright_domain::{
    JobId, Mode,
    ports::{Listed, Page, StoreError},
};

use super::{
    EventFilter, EventState, EventView, JobView, Operations,
    jobs::jobs,
    rows::{EventRow, JobRow},
};
use crate::{
    catalogue::{listed, one_more},
    error::store_error,
    text::{clean, clean_opt},
};

/// Events by a filter, in one of two ways. `open`: those still to be read, by their jobs, of which few are open.
/// `all`: the others, by the time at which they came. One of the other mode is seen if it came here, where it was
/// ignored.
macro_rules! events {
    (open: $($rest:tt)*) => {
        events!(
            "jobs AS j JOIN inbox_events AS e ON e.id = j.payload",
            "j.queue = 'webhooks' AND j.kind = 'read_event' AND e.processed_at IS NULL AND e.ignored IS NULL
             AND ($6::text = 'dead' AND j.state = 'dead'
                  OR $6 = 'waiting' AND j.state = 'ready' AND (j.attempts = 0 OR j.last_error IS NULL)
                  OR $6 = 'failing' AND j.state = 'ready' AND j.attempts > 0 AND j.last_error IS NOT NULL)",
            $($rest)*
        )
    };
    (all: $($rest:tt)*) => {
        events!(
            "inbox_events AS e",
            "($6::text IS NULL OR $6 = 'processed' AND e.processed_at IS NOT NULL
                               OR $6 = 'ignored' AND e.ignored IS NOT NULL)",
            $($rest)*
        )
    };
    ($from:tt, $which:tt,
     $ask:ident ($($into:ident)?) $columns:tt $rest:tt, $mode:expr, $filter:expr $(, $more:expr)*) => {
        sqlx::$ask!(
            $($into,)?
            "SELECT " + $columns + " FROM " + $from + " WHERE " + $which + "
               AND (e.mode = $1 OR e.ignored IS NOT NULL)
               AND ($2::text IS NULL OR e.kind LIKE $2)
               AND ($3::text IS NULL OR e.about = $3 OR e.object = $3 AND e.object IS DISTINCT FROM e.about)
               AND ($4::timestamptz IS NULL OR e.received_at >= $4)
               AND ($5::timestamptz IS NULL OR e.received_at < $5)" + $rest,
            <&str>::from($mode),
            $filter.kind.as_deref().map(pattern),
            clean_opt($filter.object.as_deref()),
            $filter.received_from,
            $filter.received_before,
            $filter.state.map(<&str>::from)
            $(, $more)*
        )
    };
}

/// A page of events, newest first.
macro_rules! page {
    ($way:ident, $mode:expr, $filter:expr, $page:expr) => {
        events!(
            $way: query_as(EventRow)
            "e.id AS \"id!\", e.kind AS \"kind!\", e.mode AS \"mode!\", e.account, e.api_version, e.object, e.about,
             e.created_at AS \"created_at!\", e.received_at AS \"received_at!\",
             octet_length(e.body) AS \"bytes!\", e.ignored, e.outcome, e.processed_at, e.job_id"
            "AND ($7::text IS NULL
                  OR (e.received_at, e.id) < ((SELECT received_at FROM inbox_events WHERE id = $7), $7))
             ORDER BY e.received_at DESC, e.id DESC LIMIT $8",
            $mode,
            $filter,
            clean_opt($page.after.as_deref()),
            one_more($page.limit)
        )
    };
}

impl Operations {
    /// Events that came to this server, newest first.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn events(
        &self,
        mode: Mode,
        filter: &EventFilter,
        page: &Page<String>,
    ) -> Result<Listed<EventView>, StoreError> {
        let pool = &self.store.pool;
        let rows = match filter.state {
            Some(EventState::Waiting | EventState::Failing | EventState::Dead) => {
                page!(open, mode, filter, page).fetch_all(pool).await
            }
            None | Some(EventState::Processed | EventState::Ignored) => {
                page!(all, mode, filter, page).fetch_all(pool).await
            }
        };
        let mut found = listed(rows.map_err(store_error)?, page.limit, EventRow::view)?;
        self.add_jobs(&mut found.rows).await?;
        Ok(found)
    }

    /// How many events a filter finds.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn count_events(&self, mode: Mode, filter: &EventFilter) -> Result<u64, StoreError> {
        let pool = &self.store.pool;
        let count = match filter.state {
            Some(EventState::Waiting | EventState::Failing | EventState::Dead) => {
                events!(open: query_scalar() "count(*) AS \"count!\"" "", mode, filter).fetch_one(pool).await
            }
            None | Some(EventState::Processed | EventState::Ignored) => {
                events!(all: query_scalar() "count(*) AS \"count!\"" "", mode, filter).fetch_one(pool).await
            }
        };
        Ok(count.map_err(store_error)?.unsigned_abs())
    }

    /// An event that came to this server.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn event(&self, mode: Mode, id: &str) -> Result<Option<EventView>, StoreError> {
        let row = sqlx::query_as!(
            EventRow,
            r#"SELECT id, kind, mode, account, api_version, object, about, created_at, received_at,
                      octet_length(body) AS "bytes!", ignored, outcome, processed_at, job_id
               FROM inbox_events WHERE id = $1 AND (mode = $2 OR ignored IS NOT NULL)"#,
            &clean(id),
            <&str>::from(mode),
        );
        let row = row.fetch_optional(&self.store.pool).await.map_err(store_error)?;
        let Some(event) = row.map(EventRow::view).transpose()? else { return Ok(None) };
        let mut events = [event];
        self.add_jobs(&mut events).await?;
        let [event] = events;
        Ok(Some(event))
    }

    /// The bytes of an event of this mode.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn body(&self, mode: Mode, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let body = sqlx::query_scalar!(
            "SELECT body FROM inbox_events WHERE id = $1 AND mode = $2",
            &clean(id),
            <&str>::from(mode)
        );
        body.fetch_optional(&self.store.pool).await.map_err(store_error)
    }

    /// The jobs that read an event, the first one first; those that are done are forgotten after a while.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn jobs_of(&self, event: &EventView) -> Result<Vec<JobView>, StoreError> {
        let rows = jobs!(
            "j.id = $1 OR (j.kind = 'read_event' AND j.unique_key IS NOT NULL AND j.payload = $2)
             ORDER BY j.created_at, j.id",
            event.first_job.uuid(),
            event.id
        );
        let rows = rows.fetch_all(&self.store.pool).await.map_err(store_error)?;
        rows.into_iter().map(JobRow::view).collect()
    }

    /// Adds to each event that is not processed the job that reads it.
    async fn add_jobs(&self, events: &mut [EventView]) -> Result<(), StoreError> {
        let unread = events.iter().filter(|event| event.state == EventState::Waiting);
        let ids: Vec<_> = unread.map(|event| event.first_job.uuid()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let rows = jobs!("j.id = ANY ($1)", &ids).fetch_all(&self.store.pool).await.map_err(store_error)?;
        let found = rows.into_iter().map(JobRow::view).collect::<Result<Vec<_>, _>>()?;
        let mut found: HashMap<JobId, JobView> = found.into_iter().map(|job| (job.id, job)).collect();
        for event in events {
            if let Some(job) = found.remove(&event.first_job) {
                event.follow(job);
            }
        }
        Ok(())
    }
}

/// A type for `LIKE`: only a star at its end stands for more than itself.
fn pattern(kind: &str) -> String {
    let (kind, rest) = kind.strip_suffix('*').map_or((kind, ""), |start| (start, "%"));
    let escaped = clean(kind).replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    escaped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_star_at_the_end_of_a_type_stands_for_more() {
        assert_eq!(pattern("payment_intent.*"), r"payment\_intent.%");
        assert_eq!(pattern("a*b%"), r"a*b\%");
        assert_eq!((pattern("*").as_str(), pattern("").as_str()), ("%", ""));
    }
}
