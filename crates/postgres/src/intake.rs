//! Received events: those that come at the same time are stored together, in one statement and with one flush.

use std::collections::HashSet;

use paywright_domain::{
    JobId,
    ports::{InboxEvent, Priority, Received, StoreError},
};

use crate::{
    error::store_error,
    hint::Bell,
    keyed::{Keyed, Lent},
    lane::{Ticket, refuse},
    text::{clean, clean_opt, micros, named_id},
};

/// An event on its way into the inbox.
type Arrival = Ticket<InboxEvent, Received>;

/// Stores events.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) keyed: Keyed,
    pub(crate) bell: Bell,
}

impl Intake {
    /// Stores them all; if anything is wrong with one of them, each alone.
    pub(crate) async fn ride(self, arrivals: Vec<Arrival>) {
        let events: Vec<_> = arrivals.iter().map(|arrival| &arrival.question).collect();
        match self.store(&events).await {
            Ok(mut new) => {
                for arrival in arrivals {
                    let is_new = new.remove(&*clean(&arrival.question.id));
                    arrival.answer(Ok(if is_new { Received::New } else { Received::Known }));
                }
            }
            // A table that is locked is locked for each of them.
            Err(error @ (StoreError::Unavailable(_) | StoreError::Conflict)) => refuse(arrivals, &error),
            Err(error) if arrivals.len() == 1 => refuse(arrivals, &error),
            Err(_) => {
                for arrival in arrivals {
                    let alone = self.store(&[&arrival.question]).await;
                    arrival.answer(
                        alone.map(|new| if new.is_empty() { Received::Known } else { Received::New }),
                    );
                }
            }
        }
    }

    /// The ids of those that were new.
    async fn store(&self, events: &[&InboxEvent]) -> Result<HashSet<String>, StoreError> {
        let new = self.keyed.read(events.to_vec(), insert).await.map_err(store_error)?;
        let new: HashSet<_> = new.into_iter().collect();
        if events.iter().any(|event| event.ignored.is_none() && new.contains(&*clean(&event.id))) {
            self.bell.ring();
        }
        Ok(new)
    }
}

/// The ids of those that were new. Storing them twice stores them once.
async fn insert(mut lent: Lent, events: Vec<&InboxEvent>) -> (Lent, sqlx::Result<Vec<String>>) {
    let mut ids = HashSet::new();
    let mut events: Vec<_> = events.iter().filter(|event| ids.insert(clean(&event.id))).collect();
    // Two who store the same events in another order would wait for each other.
    events.sort_unstable_by_key(|event| &event.id);
    // The job's id follows from the event's, so that this needs no entropy.
    let jobs: Vec<_> = events
        .iter()
        .map(|event| {
            let job: JobId = named_id(event.created_at, &event.id);
            job.uuid()
        })
        .collect();
    let ids: Vec<_> = events.iter().map(|event| clean(&event.id).into_owned()).collect();
    let kinds: Vec<_> = events.iter().map(|event| clean(&event.kind).into_owned()).collect();
    let modes: Vec<_> = events.iter().map(|event| event.mode.to_string()).collect();
    let accounts: Vec<_> = events.iter().map(|event| clean_opt(event.account.as_deref())).collect();
    let versions: Vec<_> = events.iter().map(|event| clean_opt(event.api_version.as_deref())).collect();
    let objects: Vec<_> = events.iter().map(|event| clean_opt(event.object.as_deref())).collect();
    let abouts: Vec<_> = events.iter().map(|event| clean_opt(event.about.as_deref())).collect();
    let moments: Vec<_> = events.iter().map(|event| event.created_at).collect();
    let bodies: Vec<_> = events.iter().map(|event| event.body.as_slice()).collect();
    let ignored: Vec<_> = events.iter().map(|event| clean_opt(event.ignored.as_deref())).collect();
    let insert = sqlx::query_scalar!(
        r#"WITH event AS (
               INSERT INTO inbox_events
                      (id, kind, mode, account, api_version, object, about, created_at, body, ignored)
               SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                                    $8::timestamptz[], $9::bytea[], $10::text[])
               ON CONFLICT ON CONSTRAINT inbox_events_pkey DO NOTHING
               RETURNING id
           ), job AS (
               INSERT INTO jobs (id, queue, kind, payload, about, priority, due_at)
               SELECT told.job, 'webhooks', 'read_event', told.id, told.about,
                      CASE WHEN told.created_at < now() - $12::bigint * interval '1 microsecond'
                           THEN 'backlog' ELSE 'fresh' END,
                      now()
               FROM unnest($1::text[], $7::text[], $8::timestamptz[], $10::text[], $11::uuid[])
                    AS told (id, about, created_at, ignored, job)
               WHERE CASE WHEN told.ignored IS NULL THEN told.id IN (SELECT id FROM event) ELSE false END
           )
           SELECT id AS "id!" FROM event"#,
        &ids,
        &kinds,
        &modes,
        accounts as _,
        versions as _,
        objects as _,
        abouts as _,
        &moments,
        bodies as _,
        ignored as _,
        &jobs,
        micros(Priority::FRESH_FOR),
    );
    let new = insert.fetch_all(&mut *lent.connection).await;
    (lent, new)
}
