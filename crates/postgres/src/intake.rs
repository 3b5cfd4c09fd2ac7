//! Received events: those that come at the same time are stored together, in one statement and with one flush.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use paywright_domain::{
    JobId,
    ports::{InboxEvent, Priority, Received, StoreError},
};

use sqlx::error::DatabaseError;

use crate::{
    error::store_error,
    hint::Bell,
    keyed::{Keyed, Lent},
    lane::{Ticket, refuse},
    text::{clean, micros, named_id},
};

/// So many at a time are a flood. Nearly all of a flood is new, and the database stores an event for a tenth less where
/// nobody asks it which were known.
const FLOOD: usize = 8;
/// Where one was known more are: so long it is asked.
const WARY: Duration = Duration::from_secs(10);

/// An event on its way into the inbox.
type Arrival = Ticket<InboxEvent, Received>;

/// The ids of those that were new; none where all were.
type New = Option<HashSet<String>>;

/// Stores events.
#[derive(Clone)]
pub(crate) struct Intake {
    keyed: Keyed,
    bell: Bell,
    met_known: Arc<Mutex<Option<Instant>>>,
}

impl Intake {
    pub(crate) fn new(keyed: Keyed, bell: Bell) -> Self {
        Self { keyed, bell, met_known: Arc::default() }
    }

    /// Stores them all; if anything is wrong with one of them, each alone.
    pub(crate) async fn ride(self, arrivals: Vec<Arrival>) {
        let events = arrivals.iter().map(|arrival| &arrival.question).collect();
        match self.store(events).await {
            Ok(mut new) => {
                for arrival in arrivals {
                    let is_new = take(&mut new, &arrival.question);
                    arrival.answer(Ok(is_new));
                }
            }
            // A table that is locked is locked for each of them.
            Err(error @ (StoreError::Unavailable(_) | StoreError::Conflict)) => refuse(arrivals, &error),
            Err(error) if arrivals.len() == 1 => refuse(arrivals, &error),
            Err(_) => {
                for arrival in arrivals {
                    let alone = self.store(vec![&arrival.question]).await;
                    let answer = alone.map(|mut new| take(&mut new, &arrival.question));
                    arrival.answer(answer);
                }
            }
        }
    }

    async fn store(&self, mut events: Vec<&InboxEvent>) -> Result<New, StoreError> {
        let arrived = events.len();
        // Two who store the same events in another order would wait for each other.
        events.sort_unstable_by(|one, other| clean(&one.id).cmp(&clean(&other.id)));
        events.dedup_by(|one, other| clean(&one.id) == clean(&other.id));
        let new = if arrived >= FLOOD && events.len() == arrived && !self.is_wary() {
            match self.keyed.read(events.clone(), store_new).await {
                Ok(_) => Ok(None),
                Err(error) if is_known(&error) => {
                    *self.met_known() = Some(Instant::now());
                    self.keyed.read(events.clone(), store_unknown).await.map(Some)
                }
                Err(error) => Err(error),
            }
        } else {
            self.keyed.read(events.clone(), store_unknown).await.map(Some)
        };
        let new = new.map_err(store_error)?.map(HashSet::from_iter);
        if events.iter().any(|event| event.ignored.is_none() && is_new(&new, event)) {
            self.bell.ring();
        }
        Ok(new)
    }

    fn is_wary(&self) -> bool {
        self.met_known().is_some_and(|at| at.elapsed() < WARY)
    }

    fn met_known(&self) -> MutexGuard<'_, Option<Instant>> {
        self.met_known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an event was there already.
fn is_known(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(DatabaseError::is_unique_violation)
}

fn is_new(new: &New, event: &InboxEvent) -> bool {
    new.as_ref().is_none_or(|ids| ids.contains(&*clean(&event.id)))
}

/// Of several copies one is new.
fn take(new: &mut New, event: &InboxEvent) -> Received {
    let is_new = new.as_mut().is_none_or(|ids| ids.remove(&*clean(&event.id)));
    if is_new { Received::New } else { Received::Known }
}

/// Stores events, each of another id, with their jobs. `$known` is what becomes of an event that is there, `$new` which
/// have a job, `$told` what is answered.
macro_rules! store {
    ($lent:ident, $events:ident, $known:tt, $new:tt, $told:tt) => {{
        // The job's id follows from the event's, so that this needs no entropy.
        let job = |event: &&InboxEvent| -> JobId { named_id(event.created_at, &event.id) };
        let told = sqlx::query_scalar!(
            "WITH event AS (
                 INSERT INTO inbox_events
                        (id, kind, mode, account, api_version, object, about, created_at, body, ignored)
                 SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                                      $7::text[], $8::timestamptz[], $9::bytea[], $10::text[]) "
                + $known
                + "), job AS (
                 INSERT INTO jobs (id, queue, kind, payload, about, priority, due_at)
                 SELECT told.job, 'webhooks', 'read_event', told.id, told.about,
                        CASE WHEN told.created_at < now() - $12::bigint * interval '1 microsecond'
                             THEN 'backlog' ELSE 'fresh' END,
                        now()
                 FROM unnest($1::text[], $7::text[], $8::timestamptz[], $10::text[], $11::uuid[])
                      AS told (id, about, created_at, ignored, job)
                 WHERE CASE WHEN told.ignored IS NULL THEN "
                + $new
                + " ELSE false END)"
                + $told,
            $events.iter().map(|event| clean(&event.id)).collect::<Vec<_>>() as _,
            $events.iter().map(|event| clean(&event.kind)).collect::<Vec<_>>() as _,
            $events.iter().map(|event| event.mode.into()).collect::<Vec<&str>>() as _,
            $events.iter().map(|event| event.account.as_deref().map(clean)).collect::<Vec<_>>() as _,
            $events.iter().map(|event| event.api_version.as_deref().map(clean)).collect::<Vec<_>>() as _,
            $events.iter().map(|event| event.object.as_deref().map(clean)).collect::<Vec<_>>() as _,
            $events.iter().map(|event| event.about.as_deref().map(clean)).collect::<Vec<_>>() as _,
            $events.iter().map(|event| event.created_at).collect::<Vec<_>>() as _,
            $events.iter().map(|event| event.body.as_slice()).collect::<Vec<_>>() as _,
            $events.iter().map(|event| event.ignored.as_deref().map(clean)).collect::<Vec<_>>() as _,
            $events.iter().map(|event| job(event).uuid()).collect::<Vec<_>>() as _,
            micros(Priority::FRESH_FOR),
        );
        let told = told.fetch_all(&mut *$lent.connection).await;
        ($lent, told)
    }};
}

/// Stores those that are not known, and tells their ids.
async fn store_unknown(mut lent: Lent, events: Vec<&InboxEvent>) -> (Lent, sqlx::Result<Vec<String>>) {
    store!(
        lent,
        events,
        "ON CONFLICT ON CONSTRAINT inbox_events_pkey DO NOTHING RETURNING id",
        "told.id IN (SELECT id FROM event)",
        r#"SELECT id AS "id!" FROM event"#
    )
}

/// Stores them if none is known; otherwise none, and that is an error.
async fn store_new(mut lent: Lent, events: Vec<&InboxEvent>) -> (Lent, sqlx::Result<Vec<String>>) {
    store!(lent, events, "", "true", r#"SELECT '' AS "id!" WHERE false"#)
}
