//! The inbox and the jobs, where the database is the point.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use paywright_domain::{
    Actor, Cause, Changes,
    ports::{Clock, Committed, InboxEvent, Queue, QueueName, Received, Store, StoreError, Task},
};
use paywright_postgres::{PoolOptions, Postgres};
use paywright_testkit::{WallClock, builders::inbox_event};
use sqlx::Row;
use time::OffsetDateTime;

use crate::stage::Stage;

const MINUTE: time::Duration = time::Duration::MINUTE;

/// Covers: fault 48, I20, I23.
#[tokio::test]
async fn odd_bytes_and_odd_texts_are_stored() {
    let stage = Stage::new().await;
    let odd = |text: &str| format!("{text}\0{text}");
    let event = InboxEvent {
        kind: odd("kind"),
        account: Some(odd("acct")),
        api_version: Some(odd("version")),
        object: Some(odd("pi")),
        body: (0..=255).chain(*b"\\u0000").collect(),
        ..inbox_event(&odd("evt"))
    };
    assert_eq!(stage.store.receive(event.clone()).await.unwrap(), Received::New);
    assert_eq!(stage.store.receive(event.clone()).await.unwrap(), Received::Known);
    let stored = stage.store.event(&event.id).await.unwrap().unwrap();
    assert_eq!((stored.body, stored.kind.as_str()), (event.body, "kind\u{fffd}kind"));
    let jobs = stage.store.claim(QueueName::Webhooks, 10, MINUTE).await.unwrap();
    assert_eq!(jobs[0].task, Task::ReadEvent("evt\u{fffd}evt".to_owned()));
    stage.store.retry(jobs[0].lease, time::Duration::ZERO, &odd("reason").repeat(10_000)).await.unwrap();
    let again = stage.store.claim(QueueName::Webhooks, 10, MINUTE).await.unwrap();
    stage.store.bury(again[0].lease, &odd("reason")).await.unwrap();
}

/// Covers: I20, fault 37.
#[tokio::test]
async fn an_event_that_was_read_tells_what_came_of_it() {
    let stage = Stage::new().await;
    stage.store.receive(inbox_event("evt_1")).await.unwrap();
    let job = stage.store.claim(QueueName::Webhooks, 1, MINUTE).await.unwrap().remove(0);
    let mut changes = Changes::because(Cause::Job(job.lease), Actor::Gateway, OffsetDateTime::UNIX_EPOCH);
    changes.conclusion = Some("nothing to do".to_owned());
    stage.now(changes.clone()).await;
    assert_eq!(stage.store.commit(changes).await.unwrap(), Committed::Before);
    let row =
        sqlx::query("SELECT outcome, processed_at IS NOT NULL FROM inbox_events").fetch_one(&stage.aside);
    let row = row.await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (Some("nothing to do".to_owned()), true));
    let row = sqlx::query("SELECT state, conclusion FROM jobs").fetch_one(&stage.aside).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), ("done".to_owned(), Some("nothing to do".to_owned())));
    assert_eq!(stage.store.receive(inbox_event("evt_1")).await.unwrap(), Received::Known);
    assert_eq!(stage.store.claim(QueueName::Webhooks, 1, MINUTE).await.unwrap(), []);
}

/// A worker that dies again and again on one job leaves the count behind.
///
/// Covers: fault 94, fault 58.
#[tokio::test]
async fn an_attempt_counts_before_the_job_is_run() {
    let stage = Stage::new().await;
    stage.store.receive(inbox_event("evt_1")).await.unwrap();
    for attempt in 1..=4 {
        let job = stage.store.claim(QueueName::Webhooks, 1, time::Duration::ZERO).await.unwrap().remove(0);
        assert_eq!((job.attempts, job.lease.token), (attempt, attempt));
    }
}

/// Covers: fault 66, fault 73.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_worker_is_woken_and_survives_a_lost_connection() {
    let stage = Stage::new().await;
    let mut hints = stage.store.listener();
    hints.wait(Duration::from_secs(10)).await; // listens now
    for round in 0..2 {
        let begun = Instant::now();
        stage.store.receive(inbox_event(&format!("evt_{round}"))).await.unwrap();
        hints.wait(Duration::from_secs(20)).await;
        assert!(begun.elapsed() < Duration::from_secs(10));
        // Nothing new: it waits in vain.
        let begun = Instant::now();
        hints.wait(Duration::from_millis(100)).await;
        assert!(begun.elapsed() >= Duration::from_millis(100));
        stage
            .run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND query LIKE 'LISTEN%'",
            )
            .await
            .unwrap();
        hints.wait(Duration::from_secs(5)).await; // finds out
        hints.wait(Duration::from_secs(5)).await; // listens again
    }
}

/// One row that nobody can read is put aside, and those that were claimed with it are worked on.
///
/// Covers: fault 59, I23.
#[tokio::test]
async fn a_row_that_cannot_be_is_buried_and_holds_nobody_up() {
    let stage = Stage::new().await;
    let rows = "INSERT INTO jobs (id, queue, kind, payload, due_at) VALUES
        (gen_random_uuid(), 'webhooks', 'read_event', 'evt_1', now() - interval '2 minutes'),
        (gen_random_uuid(), 'webhooks', 'watch_order', 'no order', now() - interval '1 minute'),
        (gen_random_uuid(), 'webhooks', 'read_event', 'evt_2', now())";
    stage.run(rows).await.unwrap();
    let claimed = stage.store.claim(QueueName::Webhooks, 10, MINUTE).await.unwrap();
    let tasks: Vec<_> = claimed.into_iter().map(|job| job.task).collect();
    assert_eq!(tasks, ["evt_1", "evt_2"].map(|event| Task::ReadEvent(event.to_owned())));
    let dead = "SELECT last_error FROM jobs WHERE state = 'dead'";
    let dead: Vec<String> = sqlx::query_scalar(dead).fetch_all(&stage.aside).await.unwrap();
    assert!(dead.len() == 1 && dead[0].contains("jobs.payload"), "{dead:?}");
}

/// Whoever writes: the database refuses a second lease about one payment.
///
/// Covers: I27, fault 90.
#[tokio::test]
async fn two_leases_about_one_payment_cannot_be() {
    let stage = Stage::new().await;
    for id in ["evt_1", "evt_2"] {
        let about = Some("pi_1".to_owned());
        stage.store.receive(InboxEvent { about, ..inbox_event(id) }).await.unwrap();
    }
    let all =
        "UPDATE jobs SET due_at = now() + interval '1 minute', leased_until = now() + interval '1 minute'";
    let refused = stage.run(all).await.unwrap_err();
    let refused = refused.as_database_error().unwrap();
    assert_eq!(refused.constraint(), Some("jobs_one_leased_per_about"));
}

/// An event is old by the database's clock, not by ours.
///
/// Covers: fault 35, fault 77.
#[tokio::test]
async fn old_events_are_received_as_a_backlog() {
    let stage = Stage::new().await;
    let now = WallClock.now();
    for (id, age) in [("evt_1", 0), ("evt_2", 299), ("evt_3", 301), ("evt_4", 86_400), ("evt_5", -3_600)] {
        let created_at = now - time::Duration::seconds(age);
        stage.store.receive(InboxEvent { created_at, ..inbox_event(id) }).await.unwrap();
    }
    let backlog = "SELECT payload FROM jobs WHERE priority = 'backlog' ORDER BY payload";
    let backlog: Vec<String> = sqlx::query_scalar(backlog).fetch_all(&stage.aside).await.unwrap();
    assert_eq!(backlog, ["evt_3", "evt_4"]);
}

/// A flood is stored without a look at what is known. Some of it was known all the same, also to somebody else who stores
/// the same at the same moment.
///
/// Covers: fault 31, I20.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_flood_each_event_is_new_to_one_whatever_is_known() {
    let stage = Stage::new().await;
    let other = Postgres::connect(stage.db.url(), PoolOptions::default()).await.unwrap();
    let count =
        async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&stage.aside).await.unwrap();
    // Each begins among those that the one before stored.
    for first in [0, 100, 150, 175] {
        let known = count("SELECT count(*) FROM inbox_events").await;
        let told = (first..first + 100).flat_map(|n| {
            [&stage.store, &other].map(|store| async move {
                let ignored = (n % 10 == 0).then(|| "not for us".to_owned());
                store.receive(InboxEvent { ignored, ..inbox_event(&format!("evt_{n:03}")) }).await.unwrap()
            })
        });
        let told = futures::future::join_all(told).await;
        let new = told.into_iter().filter(|received| *received == Received::New).count();
        assert_eq!(known + i64::try_from(new).unwrap(), first + 100);
        assert_eq!(count("SELECT count(*) FROM inbox_events").await, first + 100);
        let jobs =
            "SELECT count(*) FROM jobs JOIN inbox_events ON inbox_events.id = payload WHERE ignored IS NULL";
        assert_eq!(count(jobs).await, (first + 100) * 9 / 10);
        assert_eq!(count("SELECT count(*) FROM jobs").await, (first + 100) * 9 / 10);
    }
}

/// A crowd rings, and a few hints are sent; the first at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_events_sends_few_hints() {
    let stage = Stage::new().await;
    let mut listener = sqlx::postgres::PgListener::connect(stage.db.url()).await.unwrap();
    listener.listen("paywright_jobs").await.unwrap();
    let begun = Instant::now();
    let store = &stage.store;
    let received =
        (0..200).map(|n| async move { store.receive(inbox_event(&format!("evt_{n}"))).await.unwrap() });
    futures::future::join_all(received).await;
    let took = begun.elapsed();
    let mut hints = 0;
    while tokio::time::timeout(Duration::from_millis(200), listener.recv()).await.is_ok() {
        hints += 1;
    }
    let most = 2 + took.as_millis() / 25;
    assert!((1..=most).contains(&hints), "{hints} hints in {took:?}");
}

/// Several processes claim from one deep queue, in which those about one payment stand side by side, and complete many
/// jobs at once: nobody is caught in a deadlock, and every job is given out once.
///
/// Covers: fault 64, fault 90, I27.
#[tokio::test(flavor = "multi_thread")]
async fn many_who_claim_and_complete_at_once_never_block_each_other() {
    const JOBS: i64 = 6_000;
    let stage = Stage::new().await;
    let rows = "INSERT INTO jobs (id, queue, kind, payload, about, due_at)
                SELECT gen_random_uuid(), 'webhooks', 'read_event', n::text, 'pi_' || n / 3,
                       now() - interval '1 minute' + n * interval '1 microsecond'
                FROM generate_series(1, 6000) AS n";
    stage.run(rows).await.unwrap();
    let done = Arc::new(AtomicI64::new(0));
    let worker = |store: Postgres, done: Arc<AtomicI64>| async move {
        let mut longest = Duration::ZERO;
        while done.load(Ordering::Acquire) < JOBS {
            let begun = Instant::now();
            let claimed = store.claim(QueueName::Webhooks, 64, MINUTE).await;
            longest = longest.max(begun.elapsed());
            let jobs = match claimed {
                Err(StoreError::Conflict) => continue,
                claimed => claimed.unwrap(),
            };
            let ids: Vec<_> = jobs.iter().map(|job| job.lease.job.uuid()).collect();
            let complete = "UPDATE jobs SET state = 'done', leased_until = NULL, finished_at = now()
                            WHERE id = ANY ($1)";
            let complete = sqlx::query(complete).bind(ids).execute(store.pool()).await.unwrap();
            done.fetch_add(i64::try_from(complete.rows_affected()).unwrap(), Ordering::AcqRel);
        }
        longest
    };
    let workers = (0..6).map(|_| tokio::spawn(worker(stage.store.clone(), Arc::clone(&done))));
    for longest in futures::future::join_all(workers).await {
        // PostgreSQL looks for a deadlock after one second of waiting.
        assert!(longest.unwrap() < Duration::from_secs(1));
    }
    let twice = "SELECT count(*) FROM jobs WHERE attempts <> 1 OR state <> 'done'";
    assert_eq!(sqlx::query_scalar::<_, i64>(twice).fetch_one(&stage.aside).await.unwrap(), 0);
}
