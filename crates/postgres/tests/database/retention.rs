//! What is over is forgotten, and nothing else.

use paywright_domain::{
    Actor, Beat, Cause, Changes,
    ports::{Clock, Committed, InboxEvent, Queue, QueueName, Received, Store, StoreError},
};
use paywright_testkit::{
    WallClock,
    builders::{inbox_event, new_id},
};
use time::{Duration, OffsetDateTime};

use crate::stage::Stage;

const DAY: Duration = Duration::DAY;

/// Reads an event to its end; the cause.
async fn read(stage: &Stage, id: &str) -> Changes {
    assert_eq!(stage.store.receive(inbox_event(id)).await.unwrap(), Received::New);
    let job = stage.store.claim(QueueName::Webhooks, 1, Duration::MINUTE).await.unwrap().remove(0);
    let changes = Changes::because(Cause::Job(job.lease), Actor::Gateway, WallClock.now() - DAY * 100);
    stage.now(changes.clone()).await;
    changes
}

async fn left(stage: &Stage, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(&stage.aside).await.unwrap()
}

/// Covers: W-14, I20.
#[tokio::test]
async fn an_event_is_forgotten_when_it_is_old_and_processed_and_not_before() {
    let stage = Stage::new().await;
    for id in ["evt_processed", "evt_young"] {
        let _ = read(&stage, id).await;
    }
    for id in ["evt_waits", "evt_dead"] {
        stage.store.receive(inbox_event(id)).await.unwrap();
    }
    let dead = stage.store.claim(QueueName::Webhooks, 8, Duration::MINUTE).await.unwrap();
    for job in dead {
        stage.store.bury(job.lease, "never").await.unwrap();
    }
    let ignored = InboxEvent { ignored: Some("other mode".to_owned()), ..inbox_event("evt_ignored") };
    stage.store.receive(ignored).await.unwrap();
    stage.store.receive(inbox_event("evt_new")).await.unwrap();
    let age = "UPDATE inbox_events SET received_at = now() - interval '91 days'
               WHERE id NOT IN ('evt_young', 'evt_new')";
    stage.run(age).await.unwrap();
    assert_eq!(stage.store.forget_events(DAY * 90, 1).await.unwrap(), 1, "no more than so many");
    assert_eq!(stage.store.forget_events(DAY * 90, 100).await.unwrap(), 1);
    assert_eq!(stage.store.forget_events(DAY * 90, 100).await.unwrap(), 0);
    assert_eq!(
        left(&stage, "SELECT id FROM inbox_events ORDER BY id").await,
        ["evt_dead", "evt_new", "evt_waits", "evt_young"]
    );
}

/// Covers: I20, T-5.
#[tokio::test]
async fn a_job_is_forgotten_when_it_is_done_and_its_event_is_still_known() {
    let stage = Stage::new().await;
    let _ = read(&stage, "evt_done").await;
    for id in ["evt_dead", "evt_held"] {
        stage.store.receive(inbox_event(id)).await.unwrap();
    }
    let held = stage.store.claim(QueueName::Webhooks, 2, Duration::MINUTE).await.unwrap();
    stage.store.bury(held[0].lease, "never").await.unwrap();
    stage.store.receive(inbox_event("evt_waits")).await.unwrap();
    assert_eq!(stage.store.forget_jobs(DAY * 7, 100).await.unwrap(), 0, "it was done just now");
    stage
        .run("UPDATE jobs SET finished_at = now() - interval '8 days' WHERE state <> 'ready'")
        .await
        .unwrap();
    assert_eq!(stage.store.forget_jobs(DAY * 7, 100).await.unwrap(), 1);
    assert_eq!(left(&stage, "SELECT state FROM jobs ORDER BY state").await, ["dead", "ready", "ready"]);
    assert_eq!(stage.store.receive(inbox_event("evt_done")).await.unwrap(), Received::Known);
}

/// Covers: I22, I30.
#[tokio::test]
async fn a_cause_is_forgotten_after_its_job_and_cannot_be_taken_again() {
    let stage = Stage::new().await;
    let (gone, there) = (read(&stage, "evt_gone").await, read(&stage, "evt_there").await);
    let request = Cause::Request(new_id(OffsetDateTime::UNIX_EPOCH), Beat::Main);
    stage.now(Changes::because(request, Actor::System, WallClock.now() - DAY * 100)).await;
    let young = Cause::Request(new_id(OffsetDateTime::UNIX_EPOCH), Beat::Main);
    stage.now(Changes::because(young, Actor::System, WallClock.now())).await;
    stage.run("DELETE FROM jobs WHERE payload = 'evt_gone'").await.unwrap();
    assert_eq!(stage.store.forget_causes(DAY * 30, 100).await.unwrap(), 2);
    for (cause, known) in [(gone.cause, false), (there.cause, true), (request, false), (young, true)] {
        assert_eq!(stage.store.knows(cause).await.unwrap(), known, "{cause}");
    }
    // A zombie that comes after all of that.
    let outcome = stage.store.commit(gone).await;
    assert!(matches!(outcome, Err(StoreError::LeaseLost)), "{outcome:?}");
    assert_eq!(stage.store.commit(there).await.unwrap(), Committed::Before);
}
