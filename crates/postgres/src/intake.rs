//! Received events: those that come at the same time are stored together, in one statement and with one flush.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use paywright_domain::{
    Id, JobId,
    ports::{InboxEvent, Priority, Received, StoreError},
};

use sqlx::error::DatabaseError;

use crate::{
    error::store_error,
    hint::Bell,
    keyed::{Keyed, Lent},
    lane::{Ticket, refuse},
    text::{clean, micros},
};

/// So many at a time are a flood. Nearly all of a flood is new, and the database stores an event for a tenth less where
/// nobody asks it which were known.
const FLOOD: usize = 8;
/// Where one was known more are: so long it is asked.
const WARY: Duration = Duration::from_secs(10);

/// How many events this process stored.
static ARRIVALS: AtomicU64 = AtomicU64::new(0);

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
        let job = |event: &&InboxEvent| {
            event.ignored.is_none().then(|| job_id(event, ARRIVALS.fetch_add(1, Ordering::Relaxed)).uuid())
        };
        let told = sqlx::query_scalar!(
            "WITH event AS (
                 INSERT INTO inbox_events
                        (id, kind, mode, account, api_version, object, about, created_at, body, ignored, job_id)
                 SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                                      $7::text[], $8::timestamptz[], $9::bytea[], $10::text[], $11::uuid[]) "
                + $known
                + "), job AS (
                 INSERT INTO jobs (id, queue, kind, payload, about, priority, due_at)
                 SELECT told.job, 'webhooks', 'read_event', told.id, told.about,
                        CASE WHEN told.created_at < now() - $12::bigint * interval '1 microsecond'
                             THEN 'backlog' ELSE 'fresh' END,
                        now()
                 FROM unnest($1::text[], $7::text[], $8::timestamptz[], $11::uuid[])
                      AS told (id, about, created_at, job)
                 WHERE CASE WHEN told.job IS NOT NULL THEN "
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
            $events.iter().map(job).collect::<Vec<_>>() as _,
            micros(Priority::FRESH_FOR),
        );
        let told = told.fetch_all(&mut *$lent.connection).await;
        ($lent, told)
    }};
}

/// An id that says when the gateway made the event, and sorts by arrival within that second: what arrives together is
/// written next to each other, for half of the database's work on the key. What tells it from an arrival of the same number
/// at another process follows from the event's id, so that this needs neither clock nor entropy.
fn job_id(event: &InboxEvent, arrival: u64) -> JobId {
    let mut hasher = DefaultHasher::new();
    event.id.hash(&mut hasher);
    let [a, b, c, d, ..] = hasher.finish().to_be_bytes();
    // A UUIDv7 has 12 bits, then 62, before which its version and variant stand.
    let [.., high_a, high_b] = (arrival >> 30).to_be_bytes();
    let [.., low_a, low_b, low_c, low_d] = (arrival & ((1 << 30) - 1)).to_be_bytes();
    Id::from_parts(event.created_at, &[high_a, high_b, low_a, low_b, low_c, low_d, a, b, c, d])
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

#[cfg(test)]
mod tests {
    use paywright_domain::Mode;
    use time::{OffsetDateTime, macros::datetime};

    use super::*;

    const CREATED: OffsetDateTime = datetime!(2026-11-21 12:00:00 UTC);

    fn event(id: &str) -> InboxEvent {
        InboxEvent {
            id: id.to_owned(),
            kind: "payment_intent.succeeded".to_owned(),
            mode: Mode::Test,
            account: None,
            api_version: None,
            object: None,
            about: None,
            created_at: CREATED,
            body: Vec::new(),
            ignored: None,
        }
    }

    #[test]
    fn jobs_sort_by_arrival_and_tell_when_their_event_was_made() {
        let ids: Vec<_> = [0, 1, 2, (1 << 30) - 1, 1 << 30, (1 << 42) - 1]
            .map(|arrival| job_id(&event("evt_1"), arrival))
            .into();
        assert!(ids.is_sorted_by(|one, next| one.uuid() < next.uuid()), "{ids:?}");
        for id in ids {
            assert_eq!(id.uuid().get_version_num(), 7);
            let (seconds, nanos) = id.uuid().get_timestamp().unwrap().to_unix();
            assert_eq!((seconds, nanos), (CREATED.unix_timestamp().unsigned_abs(), 0));
        }
    }

    #[test]
    fn events_of_one_number_have_a_job_each() {
        assert_ne!(job_id(&event("evt_1"), 7), job_id(&event("evt_2"), 7));
    }
}
