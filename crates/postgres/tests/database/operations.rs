//! The inbox and the jobs as operators see and restart them.

use paywright_domain::{
    Actor, Cause, Changes, Effect, JobId, Lease, Mode,
    ports::{Committed, InboxEvent, Job, Page, Queue, QueueName, Store, StoreError, Task},
};
use paywright_postgres::{
    EventFilter, EventState, EventView, JobFilter, JobKind, JobState, Operations, Retried, Taken,
};
use paywright_testkit::{
    ManualClock,
    builders::{self, ChangesExt, inbox_event, new_id},
};
use sqlx::{Connection as _, Executor as _, PgConnection};
use time::{Duration, OffsetDateTime};

use crate::{schema_plans::plan, stage::Stage};

const MINUTE: Duration = Duration::MINUTE;

/// A stage with what operators do.
struct Site {
    stage: Stage,
    operations: Operations,
}

impl Site {
    async fn new() -> Self {
        let stage = Stage::new().await;
        Self { operations: Operations::new(&stage.store), stage }
    }

    async fn receive(&self, id: &str) {
        self.receive_as(inbox_event(id)).await;
    }

    async fn receive_as(&self, event: InboxEvent) {
        self.stage.store.receive(event).await.unwrap();
    }

    /// Claims the only job of the inbox that is due.
    async fn claim(&self) -> Job {
        let mut jobs = self.stage.store.claim(QueueName::Webhooks, 10, MINUTE).await.unwrap();
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs.remove(0)
    }

    async fn bury(&self, job: &Job, reason: &str) {
        self.stage.store.bury(job.lease, reason).await.unwrap();
    }

    /// A received event whose reading was given up.
    async fn dead(&self, id: &str) {
        self.receive(id).await;
        let job = self.claim().await;
        self.bury(&job, "poison").await;
    }

    /// Commits what a reading comes to.
    async fn conclude(&self, lease: Lease, conclusion: &str) -> Result<Committed, StoreError> {
        let mut changes = Changes::because(Cause::Job(lease), Actor::Gateway, OffsetDateTime::UNIX_EPOCH);
        changes.conclusion = Some(conclusion.to_owned());
        self.stage.store.commit(changes).await
    }

    async fn processed(&self, id: &str) {
        self.receive(id).await;
        let job = self.claim().await;
        self.conclude(job.lease, "2 steps").await.unwrap();
    }

    async fn list(&self, filter: EventFilter) -> Vec<EventView> {
        let listed = self.operations.events(Mode::Test, &filter, &page(100)).await.unwrap();
        let count = self.operations.count_events(Mode::Test, &filter).await.unwrap();
        assert_eq!((listed.has_more, count), (false, listed.rows.len() as u64));
        listed.rows
    }

    async fn ids(&self, filter: EventFilter) -> Vec<String> {
        self.list(filter).await.into_iter().map(|event| event.id).collect()
    }

    async fn state(&self, id: &str) -> EventState {
        self.operations.event(Mode::Test, id).await.unwrap().unwrap().state
    }

    async fn take(&self, id: &str, fresh: JobId) -> Taken {
        self.operations.take_event(Mode::Test, id, fresh, MINUTE).await.unwrap()
    }
}

fn page<T>(limit: u32) -> Page<T> {
    Page { limit, after: None }
}

fn in_state(state: EventState) -> EventFilter {
    EventFilter { state: Some(state), ..EventFilter::default() }
}

fn fresh() -> JobId {
    new_id(ManualClock::START)
}

fn held(taken: Taken) -> Job {
    match taken {
        Taken::Held(job) => job,
        other => panic!("not held: {other:?}"),
    }
}

/// Covers: W-3, T-5, I20.
#[tokio::test]
async fn an_event_is_seen_in_exactly_the_state_that_it_is_in() {
    let site = Site::new().await;
    site.processed("evt_processed").await;
    site.dead("evt_dead").await;
    site.receive("evt_failing").await;
    let job = site.claim().await;
    site.stage.store.retry(job.lease, Duration::HOUR, "the gateway is away").await.unwrap();
    site.receive("evt_running").await;
    let running = site.claim().await;
    site.receive("evt_waiting").await;
    let foreign = Some("of a connected account".to_owned());
    site.receive_as(InboxEvent { ignored: foreign.clone(), ..inbox_event("evt_ignored") }).await;
    let other = InboxEvent { ignored: foreign, mode: Mode::Live, ..inbox_event("evt_other") };
    site.receive_as(other).await;
    site.receive_as(InboxEvent { mode: Mode::Live, ..inbox_event("evt_live") }).await;

    let expected = [
        (EventState::Waiting, vec!["evt_waiting", "evt_running"]),
        (EventState::Failing, vec!["evt_failing"]),
        (EventState::Dead, vec!["evt_dead"]),
        (EventState::Processed, vec!["evt_processed"]),
        (EventState::Ignored, vec!["evt_other", "evt_ignored"]),
    ];
    for (state, ids) in &expected {
        let found = site.list(in_state(*state)).await;
        assert_eq!(found.iter().map(|event| &event.id).collect::<Vec<_>>(), *ids, "{state}");
        assert!(found.iter().all(|event| event.state == *state), "{found:#?}");
    }
    // Without a state: all of them once, the newest first; those of the other mode only if they were ignored.
    let all = site.list(EventFilter::default()).await;
    assert_eq!(all.len(), 7);
    assert!(all.is_sorted_by(|one, next| one.received_at >= next.received_at));
    for event in &all {
        let (state, _) = expected.iter().find(|(_, ids)| ids.contains(&event.id.as_str())).unwrap();
        assert_eq!(event.state, *state, "{event:#?}");
    }
    assert_eq!(site.operations.event(Mode::Test, "evt_live").await.unwrap(), None);
    assert_eq!(site.operations.body(Mode::Test, "evt_other").await.unwrap(), None);
    assert_eq!(site.operations.body(Mode::Test, "evt_dead").await.unwrap(), Some(b"{}".to_vec()));

    let dead = site.operations.event(Mode::Test, "evt_dead").await.unwrap().unwrap();
    let job = dead.job.clone().unwrap();
    assert_eq!((job.state, job.attempts, job.last_error.as_deref()), (JobState::Dead, 1, Some("poison")));
    assert_eq!(site.operations.jobs_of(&dead).await.unwrap(), [job]);
    let job = site.operations.job(running.lease.job).await.unwrap().unwrap();
    assert_eq!(
        (job.state, job.kind, job.event.as_deref()),
        (JobState::Running, JobKind::ReadEvent, Some("evt_running"))
    );
}

#[tokio::test]
async fn events_are_found_by_type_object_and_time_page_by_page() {
    let site = Site::new().await;
    let event = |id: &str, kind: &str, object: &str, about: &str| InboxEvent {
        kind: kind.to_owned(),
        object: Some(object.to_owned()),
        about: Some(about.to_owned()),
        ..inbox_event(id)
    };
    site.receive_as(event("evt_1", "payment_intent.created", "pi_1", "pi_1")).await;
    site.receive_as(event("evt_2", "payment_intent.succeeded", "pi_1", "pi_1")).await;
    site.receive_as(event("evt_3", "charge.refunded", "ch_1", "pi_1")).await;
    site.receive_as(event("evt_4", "payment_intentional", "x_1", "x_1")).await;
    let old = InboxEvent { about: None, ..event("evt_5", "a%b", "pi_2", "") };
    site.receive_as(old).await;

    let kind = |kind: &str| EventFilter { kind: Some(kind.to_owned()), ..EventFilter::default() };
    let object = |object: &str| EventFilter { object: Some(object.to_owned()), ..EventFilter::default() };
    for (filter, expected) in [
        (kind("payment_intent.*"), vec!["evt_2", "evt_1"]),
        (kind("payment_intent.created"), vec!["evt_1"]),
        (kind("payment%"), vec![]),
        (kind("a%b"), vec!["evt_5"]),
        (kind("*"), vec!["evt_5", "evt_4", "evt_3", "evt_2", "evt_1"]),
        (object("pi_1"), vec!["evt_3", "evt_2", "evt_1"]),
        (object("ch_1"), vec!["evt_3"]),
        (object("pi_2"), vec!["evt_5"]),
        (object("pi"), vec![]),
    ] {
        assert_eq!(site.ids(filter.clone()).await, expected, "{filter:?}");
        // The same by way of the jobs.
        let waiting = EventFilter { state: Some(EventState::Waiting), ..filter };
        assert_eq!(site.ids(waiting.clone()).await, expected, "{waiting:?}");
    }
    let received = |id: &'static str| {
        let site = &site;
        async move { site.operations.event(Mode::Test, id).await.unwrap().unwrap().received_at }
    };
    let from = EventFilter { received_from: Some(received("evt_4").await), ..EventFilter::default() };
    assert_eq!(site.ids(from).await, ["evt_5", "evt_4"]);
    let before = EventFilter { received_before: Some(received("evt_2").await), ..EventFilter::default() };
    assert_eq!(site.ids(before).await, ["evt_1"]);

    // Some came in one moment.
    site.stage.run("UPDATE inbox_events SET received_at = now() WHERE id <> 'evt_5'").await.unwrap();
    for state in [None, Some(EventState::Waiting)] {
        let (filter, mut seen, mut after) =
            (EventFilter { state, ..EventFilter::default() }, Vec::new(), None);
        loop {
            let part = site.operations.events(Mode::Test, &filter, &Page { limit: 2, after }).await.unwrap();
            seen.extend(part.rows.into_iter().map(|event| event.id));
            after = seen.last().cloned();
            if !part.has_more {
                break;
            }
        }
        assert_eq!(seen, ["evt_4", "evt_3", "evt_2", "evt_1", "evt_5"], "{state:?}");
    }
}

/// Covers: T-5, fault 59 (the part about replay).
#[tokio::test]
async fn a_dead_event_is_taken_by_its_own_job_which_counts_anew() {
    let site = Site::new().await;
    site.dead("evt_1").await;
    let job = held(site.take("evt_1", fresh()).await);
    assert_eq!((job.attempts, &job.task), (1, &Task::ReadEvent("evt_1".to_owned())));
    assert_eq!(site.stage.store.claim(QueueName::Webhooks, 10, MINUTE).await.unwrap(), []);
    assert!(matches!(site.take("evt_1", fresh()).await, Taken::Busy(Some(_))));
    // It fails again: the worker's once more.
    site.stage.store.retry(job.lease, Duration::ZERO, "still away").await.unwrap();
    assert_eq!(site.state("evt_1").await, EventState::Failing);
    let again = site.claim().await;
    assert_eq!((again.lease.job, again.attempts), (job.lease.job, 2));
    assert!(matches!(site.conclude(job.lease, "late").await, Err(StoreError::LeaseLost)));
    site.conclude(again.lease, "2 steps").await.unwrap();
    assert_eq!(site.state("evt_1").await, EventState::Processed);
}

/// Covers: fault 37, fault 138, I20.
#[tokio::test]
async fn a_processed_event_is_read_by_a_new_job_and_one_wish_once() {
    let site = Site::new().await;
    site.processed("evt_1").await;
    let first = site.operations.event(Mode::Test, "evt_1").await.unwrap().unwrap();
    let wish = fresh();
    let job = held(site.take("evt_1", wish).await);
    assert_eq!((job.lease.job, job.attempts), (wish, 1));
    assert_eq!(site.conclude(job.lease, "already true").await.unwrap(), Committed::Now);
    assert_eq!(site.take("evt_1", wish).await, Taken::Before(wish));
    let event = site.operations.event(Mode::Test, "evt_1").await.unwrap().unwrap();
    // The event keeps what came of it first; what came of each reading is with its job.
    assert_eq!((event.conclusion.as_deref(), event.processed_at), (Some("2 steps"), first.processed_at));
    let conclusions: Vec<_> = site
        .operations
        .jobs_of(&event)
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.conclusion.unwrap())
        .collect();
    assert_eq!(conclusions, ["2 steps", "already true"]);
    // Many at once: one of them.
    let wishes = futures::future::join_all((0..8).map(|_| site.take("evt_1", fresh()))).await;
    let busy = wishes.iter().filter(|taken| matches!(taken, Taken::Busy(_))).count();
    assert_eq!(busy, 7, "{wishes:?}");
}

#[tokio::test]
async fn what_is_not_for_us_or_busy_is_not_taken() {
    let site = Site::new().await;
    assert_eq!(site.take("evt_nobody", fresh()).await, Taken::Unknown);
    let foreign = InboxEvent { ignored: Some("of a connected account".to_owned()), ..inbox_event("evt_1") };
    site.receive_as(foreign).await;
    assert_eq!(site.take("evt_1", fresh()).await, Taken::Ignored("of a connected account".to_owned()));
    site.receive_as(InboxEvent { mode: Mode::Live, ..inbox_event("evt_live") }).await;
    assert_eq!(site.take("evt_live", fresh()).await, Taken::Unknown);
    // Another event about the same payment is being read.
    let about = |id: &str| InboxEvent { about: Some("pi_1".to_owned()), ..inbox_event(id) };
    site.stage.run("UPDATE jobs SET state = 'dead', finished_at = now()").await.unwrap();
    site.receive_as(about("evt_2")).await;
    let job = site.claim().await;
    site.receive_as(about("evt_3")).await;
    assert_eq!(site.take("evt_3", fresh()).await, Taken::Busy(None));
    site.conclude(job.lease, "2 steps").await.unwrap();
    let job = held(site.take("evt_3", fresh()).await);
    assert_eq!(site.take("evt_2", fresh()).await, Taken::Busy(None), "by a new job neither");
    site.conclude(job.lease, "already true").await.unwrap();
    held(site.take("evt_2", fresh()).await);
}

/// Covers: T-5, fault 138.
#[tokio::test]
async fn many_events_are_started_again_behind_everything_that_is_new() {
    let site = Site::new().await;
    for number in 0..5 {
        site.dead(&format!("evt_dead{number}")).await;
        site.processed(&format!("evt_processed{number}")).await;
    }
    let all = |state, operation: &'static str| {
        let operations = &site.operations;
        async move {
            let (mut started, mut after) = (Vec::new(), None);
            loop {
                let (filter, page) = (in_state(state), Page { limit: 2, after });
                let part = operations.requeue_events(Mode::Test, &filter, &page, operation).await.unwrap();
                started.extend(part.events);
                after = part.after;
                if after.is_none() {
                    return started;
                }
            }
        }
    };
    let dead = all(EventState::Dead, "op_1").await;
    assert_eq!(dead.len(), 5);
    assert_eq!(site.list(in_state(EventState::Waiting)).await.len(), 5);
    assert_eq!(all(EventState::Dead, "op_1").await, []);
    let processed = all(EventState::Processed, "op_1").await;
    assert_eq!(processed.len(), 5);
    assert!(all(EventState::Processed, "op_2").await.is_empty(), "they wait already");
    let backlog =
        "SELECT count(*) = 10 FROM jobs WHERE state = 'ready' AND priority = 'backlog' AND attempts = 0";
    site.stage.until(backlog).await;

    let ids: Vec<_> = dead.iter().chain(&processed).map(|(_, job)| *job).collect();
    assert_eq!(site.operations.still_open(&ids).await.unwrap(), 10);
    let jobs = site.stage.store.claim(QueueName::Webhooks, 100, MINUTE).await.unwrap();
    assert_eq!(jobs.len(), 10);
    assert_eq!(site.operations.still_open(&ids).await.unwrap(), 10);
    for job in &jobs[..9] {
        site.conclude(job.lease, "already true").await.unwrap();
    }
    site.stage.store.retry(jobs[9].lease, Duration::HOUR, "away").await.unwrap();
    assert_eq!(site.operations.still_open(&ids).await.unwrap(), 0);
    assert_eq!(site.operations.jobs_by_id(&ids).await.unwrap().len(), 10);
    // The same operation once more starts only what it has not started: those that were dead then.
    let more = all(EventState::Processed, "op_1").await;
    assert_eq!(more.len(), 5);
    assert!(more.iter().all(|(event, _)| event.starts_with("evt_dead")), "{more:?}");
}

/// Covers: I18, T-5.
#[tokio::test]
async fn a_dead_call_is_due_again_as_the_same_job_under_the_same_key() {
    let site = Site::new().await;
    let (order, payment) = site.stage.started().await;
    let call = builders::call(&order, &payment);
    let mut changes = builders::changes();
    changes.effects.push(Effect::Call { call: call.clone(), held_for: None });
    site.stage.now(changes).await;
    let claim = async || site.stage.store.claim(QueueName::Effects, 10, MINUTE).await.unwrap().remove(0);
    let job = claim().await;
    assert!(matches!(site.operations.retry_job(call.id).await.unwrap(), Retried::Running(_)));
    site.stage.store.bury(job.lease, "the key was used for other parameters").await.unwrap();
    let dead = JobFilter { state: Some(JobState::Dead), ..JobFilter::default() };
    let listed = site.operations.jobs(dead, page(10)).await.unwrap().rows;
    assert_eq!((listed.len() as u64, site.operations.count_jobs(dead).await.unwrap()), (1, 1));
    let shown = &listed[0];
    assert_eq!((shown.id, shown.order, shown.payment), (call.id, Some(order.id), Some(payment.id)));
    assert_eq!(
        (shown.key.clone(), shown.operation.as_deref()),
        (Some(call.key()), Some(call.operation.name()))
    );

    let Retried::Ready(ready) = site.operations.retry_job(call.id).await.unwrap() else {
        panic!("not ready")
    };
    assert_eq!((ready.state, ready.attempts, ready.finished_at), (JobState::Ready, 0, None));
    let again = claim().await;
    assert_eq!((again.lease.job, again.attempts), (call.id, 1));
    assert!(again.lease.token > job.lease.token);
    let key = "SELECT count(*) = 1 FROM gateway_calls";
    site.stage.until(key).await;
    site.conclude(again.lease, "done").await.unwrap();
    assert_eq!(site.operations.retry_job(call.id).await.unwrap(), Retried::Done);
    assert_eq!(site.operations.retry_job(fresh()).await.unwrap(), Retried::Unknown);
}

#[tokio::test]
async fn a_dead_timer_is_not_wanted_once_the_order_has_another() {
    let site = Site::new().await;
    let (order, _) = site.stage.started().await;
    let watch = async || {
        let job = fresh();
        let mut changes = builders::changes();
        let at = changes.at;
        changes.effects.push(Effect::WatchOrder { job, order: order.id, at });
        site.stage.now(changes).await;
        job
    };
    let bury = async || {
        let job = site.stage.store.claim(QueueName::Effects, 10, MINUTE).await.unwrap().remove(0);
        site.bury(&job, "panicked").await;
    };
    let first = watch().await;
    bury().await;
    let second = watch().await;
    assert_eq!(site.operations.retry_job(first).await.unwrap(), Retried::Replaced);
    bury().await;
    // Of two dead ones the newer.
    let dead = JobFilter { state: Some(JobState::Dead), ..JobFilter::default() };
    assert_eq!(site.operations.retry_jobs(dead, page(10)).await.unwrap(), (vec![second], None));
    let shown = site.operations.job(second).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.order), (JobState::Ready, Some(order.id)));
}

#[tokio::test]
async fn what_a_job_changed_is_found_by_what_it_is_about() {
    let site = Site::new().await;
    let (_, payment) = site.stage.paid().await;
    let intent = payment.intent.clone().unwrap().to_string();
    site.receive("evt_1").await;
    let job = site.claim().await;
    let mut changes = Changes::because(Cause::Job(job.lease), Actor::Gateway, OffsetDateTime::UNIX_EPOCH);
    let refund = builders::refund(&payment, payment.amount);
    let reserved = builders::moved(payment.follow_refund(&refund).unwrap());
    changes = changes.step(refund).step(reserved);
    site.stage.now(changes).await;
    let found = site.operations.changes(&[job.lease.job], &[], &[intent]).await.unwrap();
    assert!(found.iter().any(|change| change.subject == "refund"), "{found:#?}");
    assert!(found.iter().all(|change| change.order == payment.order), "{found:#?}");
    let other = site.operations.changes(&[fresh()], &[payment.order], &[]).await.unwrap();
    assert_eq!(other, []);
}

/// Looking at an inbox and at jobs that are nearly all done reads none of the rest.
///
/// Covers: fault 96 (the part about operators).
#[tokio::test]
async fn what_operators_ask_runs_on_the_indexes_made_for_it() {
    let stage = Stage::new().await;
    let mut connection = PgConnection::connect(stage.db.url()).await.unwrap();
    let rows = "INSERT INTO inbox_events (id, kind, mode, object, about, created_at, body, received_at, processed_at,
                                          ignored)
                SELECT 'evt_' || n, 'payment_intent.succeeded', 'test', 'ch_' || n, 'pi_' || n % 2000, now(), '',
                       now() - n * interval '1 minute', CASE WHEN n % 100 > 0 THEN now() END,
                       CASE WHEN n % 500 = 1 THEN 'other mode' END
                FROM generate_series(1, 10000) AS n;
                INSERT INTO jobs (id, queue, kind, payload, unique_key, due_at, state, finished_at)
                SELECT gen_random_uuid(), 'webhooks', 'read_event', 'evt_' || n,
                       CASE WHEN n % 50 = 1 THEN 'replay:evt_' || n END, now(),
                       CASE WHEN n % 200 = 0 THEN 'dead' WHEN n % 100 = 0 THEN 'ready' ELSE 'done' END,
                       CASE WHEN n % 200 = 0 OR n % 100 > 0 THEN now() END
                FROM generate_series(1, 10000) AS n;
                ANALYZE jobs, inbox_events";
    connection.execute(rows).await.unwrap();
    // So few and short rows are read whole the fastest; what counts is that the indexes serve.
    connection.execute("SET enable_seqscan = off").await.unwrap();
    let id = "'00000000-0000-7000-8000-000000000000'";
    let all = "e.job_id FROM inbox_events AS e WHERE";
    let open = "e.job_id FROM jobs AS j JOIN";
    let of_job = "j.unique_key IS NOT NULL AND j.payload = $2";
    let jobs = "ORDER BY j.id DESC LIMIT $5";
    let take = "ORDER BY state = 'ready' DESC";
    for (part, arguments, index) in [
        (all, "'test', NULL, NULL, NULL, NULL, NULL, NULL, 20".to_owned(), "inbox_events_by_receipt"),
        (all, "'test', NULL, NULL, NULL, NULL, NULL, 'evt_9', 20".to_owned(), "inbox_events_by_receipt"),
        (all, "'test', NULL, NULL, NULL, NULL, 'ignored', NULL, 20".to_owned(), "inbox_events_ignored"),
        (all, "'test', NULL, 'pi_7', NULL, NULL, NULL, NULL, 20".to_owned(), "inbox_events_by_about"),
        (all, "'test', NULL, 'ch_7', NULL, NULL, NULL, NULL, 20".to_owned(), "inbox_events_by_object"),
        (open, "'test', NULL, NULL, NULL, NULL, 'dead', NULL, 20".to_owned(), "jobs_dead"),
        (open, "'test', NULL, NULL, NULL, NULL, 'failing', NULL, 20".to_owned(), "jobs_due_by_priority"),
        (of_job, format!("{id}, 'evt_51'"), "jobs_replays"),
        (of_job, format!("{id}, 'evt_51'"), "jobs_pkey"),
        (take, format!("{id}, 'evt_51', 1"), "jobs_replays"),
        (jobs, "NULL, NULL, NULL, NULL, 20".to_owned(), "jobs_pkey"),
        (jobs, "'webhooks', NULL, 'dead', NULL, 20".to_owned(), "jobs_dead"),
    ] {
        let plan = plan(&mut connection, part, &arguments).await;
        assert!(plan.contains(index), "{index} is not in the plan of {part:?} ({arguments}):\n{plan}");
        assert!(!plan.contains("Seq Scan on inbox_events") && !plan.contains("Seq Scan on jobs"), "{plan}");
    }
}
