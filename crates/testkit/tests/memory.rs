//! What the memory store does beyond the contract: exact times, and a look inside.

use std::sync::Arc;

use paywright_domain::{
    Cause, Effect, Lease,
    ports::{Committed, Queue, QueueName, Store, StoreError},
};
use paywright_testkit::{
    JobState, ManualClock, MemoryStore,
    builders::{self, ChangesExt},
};
use time::Duration;

fn store() -> (Arc<ManualClock>, MemoryStore) {
    let clock = Arc::new(ManualClock::default());
    (clock.clone(), MemoryStore::new(clock))
}

#[tokio::test]
async fn a_held_call_is_claimable_at_the_very_end_of_its_lease() {
    let (clock, store) = store();
    let placed = builders::order().placed();
    let started = builders::payment(placed.after()).started();
    let call = builders::call(placed.after(), started.after());
    let held = Effect::Call { call: call.clone(), held_for: Some(Duration::MINUTE) };
    let outcome = store.commit(builders::changes().step(placed).step(started).effect(held)).await;
    assert!(matches!(outcome, Ok(Committed::Now)), "{outcome:?}");

    clock.advance(Duration::MINUTE - Duration::NANOSECOND);
    let claim = || store.claim(QueueName::Effects, 10, Duration::MINUTE);
    assert_eq!(claim().await.expect("the memory store is there"), []);
    clock.advance(Duration::NANOSECOND);
    let jobs = claim().await.expect("the memory store is there");
    assert_eq!(jobs.len(), 1);
    // Being held from birth was the first attempt.
    assert_eq!((jobs[0].lease, jobs[0].attempts), (Lease { job: call.id, token: 2 }, 2));
    assert_eq!(store.jobs()[0].state, JobState::Held { until: ManualClock::START + Duration::MINUTE * 2 });
    assert_eq!(store.calls(), [call]);
}

#[tokio::test]
async fn a_row_without_its_order_is_a_bug_and_writes_nothing() {
    let (_, store) = store();
    let order = builders::order().build();
    let changes = builders::changes().step(builders::payment(&order).started());
    let cause = changes.cause;
    assert!(matches!(store.commit(changes).await, Err(StoreError::Bug(_))));
    assert!(store.payments().is_empty() && store.audit().is_empty());
    assert!(!store.knows(cause).await.expect("the memory store is there"));
}

#[tokio::test]
async fn a_job_keeps_what_came_of_it() {
    let (_, store) = store();
    for id in ["evt_1", "evt_2"] {
        let _ = store.receive(builders::inbox_event(id)).await.expect("the memory store is there");
    }
    let jobs =
        store.claim(QueueName::Webhooks, 2, Duration::MINUTE).await.expect("the memory store is there");
    let mut changes = builders::changes();
    changes.cause = Cause::Job(jobs[0].lease);
    changes.conclusion = Some("nothing of ours".to_owned());
    let outcome = store.commit(changes).await;
    assert!(matches!(outcome, Ok(Committed::Now)), "{outcome:?}");
    store.bury(jobs[1].lease, "not readable").await.expect("the memory store is there");
    let ends: Vec<_> = store.jobs().into_iter().map(|job| (job.state, job.note)).collect();
    let note = |text: &str| Some(text.to_owned());
    assert_eq!(ends, [(JobState::Done, note("nothing of ours")), (JobState::Buried, note("not readable"))]);
}
