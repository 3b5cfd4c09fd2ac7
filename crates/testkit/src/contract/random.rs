//! Batches of units of work at random, all at the same moment: what comes of them is what comes of them one after the
//! other, in some order, on the memory store.

use std::sync::{Arc, Mutex};

use paywright_domain::{
    Cause, JobId, Lease,
    ports::{Committed, Page, QueueName, Received, StoreError},
};
use time::Duration;

use super::{
    Backend,
    random_units::{Scene, Unit},
    stage::{Stage, at_once},
};
use crate::{MemoryStore, SeededEntropy, WallClock, builders};

/// How many batches, unless `PAYWRIGHT_CONTRACT_ROUNDS` says otherwise.
const ROUNDS: u64 = 100;
/// How often a unit that came to nothing by bad luck is tried again when it is alone.
const TRIES: usize = 3;

/// What a unit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Committed(Committed),
    Conflict,
    LeaseLost,
    Received(Received),
    /// A lease with this token, or none.
    Claimed(Option<u32>),
    /// Nobody is told what came of it.
    Untold,
    /// Nobody knows.
    Unavailable,
}

impl Outcome {
    /// Whether bad luck alone may have come to it. Then nothing was written, or nobody knows: whoever does it again when
    /// nobody else does anything is told what holds. A conflict may be one over locks, and a claim passes over what is
    /// locked just then.
    fn may_be_bad_luck(self) -> bool {
        match self {
            Self::Conflict | Self::Unavailable | Self::Claimed(None) => true,
            Self::Committed(_)
            | Self::LeaseLost
            | Self::Received(_)
            | Self::Claimed(Some(_))
            | Self::Untold => false,
        }
    }

    fn of<T>(outcome: Result<T, StoreError>, told: impl FnOnce(T) -> Self) -> Self {
        match outcome {
            Ok(value) => told(value),
            Err(StoreError::Conflict) => Self::Conflict,
            Err(StoreError::LeaseLost) => Self::LeaseLost,
            Err(StoreError::Unavailable(_)) => Self::Unavailable,
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// The rounds differ by their seeds, which are the same each time. One that fails prints its seed.
///
/// Covers: D-10, I3, I14, I16, I22, I27, I28, fault 64, fault 65.
pub async fn units_at_once_come_to_what_some_order_of_them_comes_to(backend: Arc<dyn Backend>) {
    let rounds = std::env::var("PAYWRIGHT_CONTRACT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let (stage, mut together) = (Stage::new(backend), 0);
    let rounds = rounds.unwrap_or(ROUNDS);
    for seed in 1..=rounds {
        together += u64::from(round(&stage, seed).await);
    }
    // Otherwise they had nothing to do with each other.
    assert!(together * 4 > rounds, "only {together} of {rounds} batches had units in each other's way");
}

/// Whether the units were in each other's way.
async fn round(stage: &Stage, seed: u64) -> bool {
    // Each is later than the one before, so that its differences are the newest.
    let scene = Arc::new(Scene::new(stage.now + Duration::SECOND * u32::try_from(seed).unwrap()));
    let units = scene.batch(&SeededEntropy::new(seed));
    let job = prepare(&*stage.backend, &scene).await;
    let ended = Arc::new(Mutex::new(Vec::new()));
    let doers = units.iter().cloned().enumerate().map(|(number, unit)| {
        let (backend, ended) = (stage.backend.clone(), ended.clone());
        async move {
            let outcome = act(&*backend, job, unit).await;
            ended.lock().unwrap().push(number);
            (number, outcome)
        }
    });
    let mut told = at_once(doers).await;
    told.sort_by_key(|(number, _)| *number);
    let mut told: Vec<_> = told.into_iter().map(|(_, outcome)| outcome).collect();
    for _ in 0..TRIES {
        for (unit, told) in units.iter().zip(&mut told).filter(|(_, told)| told.may_be_bad_luck()) {
            *told = match (*told, act(&*stage.backend, job, unit.clone()).await) {
                // It was its own first try.
                (Outcome::Unavailable, Outcome::Committed(Committed::Before)) => {
                    Outcome::Committed(Committed::Now)
                }
                (_, outcome) => outcome,
            };
        }
    }
    let rows = rows(&*stage.backend, &scene, &units, job).await;
    let mut order = ended.lock().unwrap().clone();
    let mut near = Vec::new();
    let explained = loop {
        match one_by_one(&scene, &units, &order, &told).await {
            Some(others) if others == rows => break true,
            Some(others) => near.push((order.clone(), others)),
            None => {}
        }
        if !next_order(&mut order, &ended.lock().unwrap()) {
            break false;
        }
    };
    assert!(
        explained,
        "seed {seed}: no order of these units comes to what they came to at once\n{units:#?}\ncame to {told:#?}\nand \
         left {rows:#?}\nwhere orders that come to the same leave {near:#?}"
    );
    told.iter().any(|told| !matches!(told, Outcome::Committed(Committed::Now) | Outcome::Untold))
}

/// Makes the scene. Returns the job of its event, claimed once under a lease that is over.
async fn prepare(backend: &dyn Backend, scene: &Scene) -> JobId {
    backend.add(scene.product.clone()).await.unwrap();
    for changes in &scene.setup {
        assert_eq!(backend.commit(changes.clone()).await.unwrap(), Committed::Now);
    }
    assert_eq!(backend.receive(scene.event.clone()).await.unwrap(), Received::New);
    let claimed = backend.claim(QueueName::Webhooks, 2, Duration::ZERO).await.unwrap();
    assert_eq!(claimed.len(), 1, "{claimed:#?}");
    claimed[0].lease.job
}

async fn act(backend: &dyn Backend, job: JobId, unit: Unit) -> Outcome {
    match unit {
        Unit::Commit(changes) => Outcome::of(backend.commit(*changes).await, Outcome::Committed),
        Unit::Finish { token, mut changes } => {
            changes.cause = Cause::Job(Lease { job, token });
            Outcome::of(backend.commit(*changes).await, Outcome::Committed)
        }
        Unit::Receive(event) => Outcome::of(backend.receive(event).await, Outcome::Received),
        Unit::Claim => Outcome::of(backend.claim(QueueName::Webhooks, 1, Duration::HOUR).await, |jobs| {
            Outcome::Claimed(jobs.first().map(|job| job.lease.token))
        }),
        Unit::Retry { token, delay } => {
            let given_back = backend.retry(Lease { job, token }, delay, "later").await;
            Outcome::of(given_back, |()| Outcome::Untold)
        }
        Unit::Bury { token } => {
            Outcome::of(backend.bury(Lease { job, token }, "never").await, |()| Outcome::Untold)
        }
    }
}

/// Does the units one after the other on a memory store. `None` if one comes to something else than was told.
async fn one_by_one(scene: &Scene, units: &[Unit], order: &[usize], told: &[Outcome]) -> Option<Vec<String>> {
    let store = MemoryStore::new(Arc::new(WallClock));
    let job = prepare(&store, scene).await;
    for number in order {
        if act(&store, job, units[*number].clone()).await != told[*number] {
            return None;
        }
    }
    Some(rows(&store, scene, units, job).await)
}

/// Everything that a store shows of a scene, without its own names for things and without the order of what came at once.
/// Claims all that is due, and ends it.
async fn rows(backend: &dyn Backend, scene: &Scene, units: &[Unit], job: JobId) -> Vec<String> {
    let mut rows = Vec::new();
    for order in scene.orders() {
        let view = backend.order_view(order.mode, order.id).await.unwrap().unwrap();
        rows.push(format!("{:?}", view.order));
        rows.extend(view.payments.iter().map(|it| format!("{it:?}")));
        rows.extend(view.declines.iter().map(|it| format!("{it:?}")));
        rows.extend(view.refunds.iter().map(|it| format!("{it:?}")));
        rows.extend(view.disputes.iter().map(|it| format!("{it:?}")));
        let mine = |told: String| told.replace(&job.to_string(), "the job");
        let told = backend.timeline(order.id).await.unwrap();
        rows.extend(told.iter().map(|it| mine(format!("{it:?}"))));
        for mut line in backend.ledger_of_order(order.id).await.unwrap() {
            line.id = 0;
            rows.push(format!("{line:?}"));
        }
        let breaks =
            backend.list_breaks(order.mode, None, Page { limit: 5, after: None }).await.unwrap().rows;
        for mut found in breaks.into_iter().filter(|found| found.order == Some(order.id)) {
            found.id = builders::new_id(found.found_at);
            let (id, shown) = (found.id.to_string(), format!("{found:?}"));
            rows.push(mine(shown.replace(&id, "")));
        }
    }
    let mode = scene.orders()[0].mode;
    rows.push(format!("{:?}", backend.customer_by_email(mode, scene.email()).await.unwrap()));
    rows.push(format!("{:?}", backend.call(scene.call().id).await.unwrap()));
    for unit in units {
        let (cause, event) = match unit {
            Unit::Commit(changes) => (Some(changes.cause), None),
            Unit::Finish { token, .. } => (Some(Cause::Job(Lease { job, token: *token })), None),
            Unit::Receive(event) => (None, Some(event)),
            Unit::Claim | Unit::Retry { .. } | Unit::Bury { .. } => (None, None),
        };
        if let Some(cause) = cause {
            rows.push(format!("knows: {}", backend.knows(cause).await.unwrap()));
        }
        if let Some(event) = event {
            rows.push(format!("{:?}", backend.event(&event.id).await.unwrap()));
        }
    }
    for queue in [QueueName::Webhooks, QueueName::Effects] {
        for due in backend.claim(queue, 50, Duration::HOUR).await.unwrap() {
            rows.push(format!("due: {:?}, attempt {}, token {}", due.task, due.attempts, due.lease.token));
            backend.bury(due.lease, "the end").await.unwrap();
        }
    }
    rows.sort();
    rows
}

/// The next order of these numbers; false when all were there, the first one being `first`.
fn next_order(order: &mut [usize], first: &[usize]) -> bool {
    let rank = |number: usize| first.iter().position(|it| *it == number);
    let Some(at) = (1..order.len()).rev().find(|at| rank(order[at - 1]) < rank(order[*at])) else {
        return false;
    };
    let with = (at..order.len()).rev().find(|with| rank(order[*with]) > rank(order[at - 1])).unwrap_or(at);
    order.swap(at - 1, with);
    order[at..].reverse();
    true
}
