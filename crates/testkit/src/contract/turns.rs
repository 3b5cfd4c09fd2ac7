//! Who goes first: new events before a flood of old ones, and one at a time about one payment.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use paywright_domain::{
    Cause,
    ports::{BACKLOG_SHARE, InboxEvent, Job, QueueName, Task},
};
use time::OffsetDateTime;

use super::{
    Backend,
    stage::{LONG, SHORT, Stage, at_once},
};
use crate::{ManualClock, builders::inbox_event};

const WEBHOOKS: QueueName = QueueName::Webhooks;
/// Of eight places one is the backlog's.
const PLACES: u32 = BACKLOG_SHARE;
/// When the gateway made an event that nobody waits for.
const OLD: OffsetDateTime = ManualClock::START;

/// Receives events `name_0`, `name_1` and so on, made at a time.
async fn flood(stage: &Stage, name: &str, created_at: OffsetDateTime, count: usize) {
    for n in 0..count {
        let event = InboxEvent { created_at, ..inbox_event(&format!("{name}_{n}")) };
        let _ = stage.receive(event).await.unwrap();
    }
}

/// Receives an event about a payment.
async fn about(stage: &Stage, id: &str, payment: &str) {
    let event = InboxEvent { about: Some(payment.to_owned()), ..inbox_event(id) };
    let _ = stage.receive(event).await.unwrap();
}

fn name(job: &Job) -> String {
    match &job.task {
        Task::ReadEvent(event) => event.clone(),
        Task::PerformCall(_) | Task::WatchOrder(_) => unreachable!("only events were received"),
    }
}

fn names(jobs: &[Job]) -> BTreeSet<String> {
    jobs.iter().map(name).collect()
}

/// The events among them whose name begins so, in their order.
fn of(jobs: &[Job], flood: &str) -> Vec<String> {
    jobs.iter().map(name).filter(|event| event.starts_with(flood)).collect()
}

/// `pi_0` of `evt_0_3`.
fn payment_of(job: &Job) -> String {
    name(job).split('_').nth(1).unwrap().to_owned()
}

/// New events pass a flood of old ones.
///
/// Covers: fault 35.
pub async fn fresh_events_pass_a_backlog(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    flood(&stage, "old", OLD, 40).await;
    flood(&stage, "new", stage.now, 20).await;
    for fresh in [7, 7, 6] {
        let claimed = stage.claim(WEBHOOKS, PLACES, LONG).await.unwrap();
        assert_eq!((of(&claimed, "new").len(), claimed.len()), (fresh, 8), "{claimed:?}");
        // Who is waited for goes first.
        assert!(claimed[..fresh].iter().all(|job| of(std::slice::from_ref(job), "new").len() == 1));
    }
}

/// Of every eight places the backlog has one, however many new ones come; in each priority the oldest go first.
///
/// Covers: fault 35.
pub async fn a_backlog_is_not_starved(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    flood(&stage, "old", OLD, 3).await;
    let mut passed = Vec::new();
    for round in 0..3 {
        flood(&stage, &format!("new_{round}"), stage.now, 10).await;
        passed.extend(of(&stage.claim(WEBHOOKS, PLACES, LONG).await.unwrap(), "old"));
    }
    assert_eq!(passed, ["old_0", "old_1", "old_2"]);
}

/// One hand alone serves both, the new ones mostly.
///
/// Covers: fault 35.
pub async fn a_single_hand_serves_the_backlog_too(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    flood(&stage, "old", OLD, 100).await;
    flood(&stage, "new", stage.now, 100).await;
    let mut claimed = Vec::new();
    for _ in 0..100 {
        let jobs = stage.claim(WEBHOOKS, 1, LONG).await.unwrap();
        assert_eq!(jobs.len(), 1);
        claimed.extend(jobs);
    }
    // An eighth, give or take what chance does once in a hundred thousand runs.
    let passed = of(&claimed, "old").len();
    assert!((1..=30).contains(&passed), "{passed} of 100");
}

/// A flood alone gets all hands, and so do new ones alone.
///
/// Covers: fault 35.
pub async fn either_priority_alone_has_all_places(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    for (name, at) in [("old", OLD), ("new", stage.now)] {
        flood(&stage, name, at, 20).await;
        for expected in [16, 4, 0] {
            let claimed = stage.claim(WEBHOOKS, 2 * PLACES, LONG).await.unwrap();
            assert_eq!((of(&claimed, name).len(), claimed.len()), (expected, expected));
        }
    }
}

/// Events about one payment are not handled at the same time; which one is next follows from when they came.
///
/// Covers: I27.
pub async fn events_about_one_payment_are_claimed_one_by_one_the_oldest_first(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    for n in 0..3 {
        about(&stage, &format!("evt_{n}"), "pi_1").await;
    }
    about(&stage, "evt_other", "pi_2").await;
    let first = stage.take(WEBHOOKS, LONG).await;
    assert_eq!(names(&first), BTreeSet::from(["evt_0".to_owned(), "evt_other".to_owned()]));
    stage.idle(WEBHOOKS).await;
    // Whatever becomes of it makes way: completed, given back, given up.
    let holder = first.iter().find(|job| job.task == Task::ReadEvent("evt_0".to_owned())).unwrap();
    stage.now(stage.because(Cause::Job(holder.lease))).await;
    let second = stage.take_one(WEBHOOKS, LONG).await;
    assert_eq!(second.task, Task::ReadEvent("evt_1".to_owned()));
    stage.retry(second.lease, LONG, "later").await.unwrap();
    let third = stage.take_one(WEBHOOKS, LONG).await;
    assert_eq!(third.task, Task::ReadEvent("evt_2".to_owned()));
    stage.idle(WEBHOOKS).await;
    about(&stage, "evt_4", "pi_1").await;
    stage.bury(third.lease, "never").await.unwrap();
    assert_eq!(stage.take_one(WEBHOOKS, LONG).await.task, Task::ReadEvent("evt_4".to_owned()));
}

/// Others pass those that wait for a busy payment, however many they are.
///
/// Covers: fault 35.
pub async fn nobody_waits_behind_a_busy_payment(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    for n in 0..30 {
        about(&stage, &format!("evt_{n}"), "pi_busy").await;
    }
    for n in 0..3 {
        about(&stage, &format!("evt_other_{n}"), &format!("pi_{n}")).await;
    }
    let mut claimed = Vec::new();
    for _ in 0..2 {
        claimed.extend(stage.claim(WEBHOOKS, PLACES, LONG).await.unwrap());
    }
    let expected = ["evt_0", "evt_other_0", "evt_other_1", "evt_other_2"].map(str::to_owned);
    assert_eq!(names(&claimed), BTreeSet::from(expected));
}

/// When the holder is gone, its own job is the next one about the payment, and then the others come.
///
/// Covers: fault 94, I27.
pub async fn a_payment_is_free_again_when_its_holder_is_gone(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    about(&stage, "evt_0", "pi_1").await;
    stage.take_one(WEBHOOKS, SHORT).await;
    about(&stage, "evt_1", "pi_1").await;
    stage.idle(WEBHOOKS).await;
    let again = stage.take_soon(WEBHOOKS, LONG).await;
    assert_eq!((&again.task, again.attempts), (&Task::ReadEvent("evt_0".to_owned()), 2));
    stage.now(stage.because(Cause::Job(again.lease))).await;
    assert_eq!(stage.take_one(WEBHOOKS, LONG).await.task, Task::ReadEvent("evt_1".to_owned()));
}

/// Many workers at once at events about few payments: never two at one payment, and none is left.
///
/// Covers: fault 90, I27.
pub async fn concurrent_claims_never_take_two_jobs_about_one_payment(backend: Arc<dyn Backend>) {
    const EACH: usize = 6;
    let stage = Stage::new(backend);
    for n in 0..EACH {
        for payment in 0..4 {
            about(&stage, &format!("evt_{payment}_{n}"), &format!("pi_{payment}")).await;
        }
    }
    let (busy, done) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicUsize::new(0)));
    let begun = Instant::now();
    let worker = |stage: Stage, busy: Arc<Mutex<BTreeSet<String>>>, done: Arc<AtomicUsize>| async move {
        while done.load(Ordering::Acquire) < 4 * EACH {
            assert!(begun.elapsed().as_secs() < 20, "not all were claimed");
            let jobs = stage.claim(WEBHOOKS, 5, LONG).await.unwrap();
            for job in &jobs {
                let payment = payment_of(job);
                assert!(busy.lock().unwrap().insert(payment.clone()), "two at once at {payment}");
            }
            for job in jobs {
                busy.lock().unwrap().remove(&payment_of(&job));
                stage.now(stage.because(Cause::Job(job.lease))).await;
                done.fetch_add(1, Ordering::AcqRel);
            }
        }
    };
    at_once((0..6).map(|_| worker(stage.clone(), Arc::clone(&busy), Arc::clone(&done)))).await;
    assert_eq!(done.load(Ordering::Acquire), 4 * EACH);
}
