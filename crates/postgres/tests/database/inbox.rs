//! The inbox and the jobs, where the database is the point.

use std::time::{Duration, Instant};

use paywright_domain::{
    Actor, Cause, Changes,
    ports::{Committed, InboxEvent, Queue, QueueName, Received, Store, Task},
};
use paywright_testkit::builders::inbox_event;
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
