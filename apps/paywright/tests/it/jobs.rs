//! The job engine at work: floods, poison, rivals and zombies, with the whole program around it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use paywright_app::{config::Settings, wiring::App, worker};
use paywright_domain::{
    CaptureMethod, Lease, Mode,
    ports::{InboxEvent, Job, Queue, QueueName, Received, StoreError},
    usecase::{ExpiringHold, Policy, Ports, RunJob},
};
use paywright_postgres::Postgres;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::support::{TestApp, VISA, text};

/// A program that hears only what a test tells it, and has no hands of its own.
async fn without_hands() -> TestApp {
    let none = |settings: &mut Settings| {
        (settings.worker.webhooks, settings.worker.effects) = (0, 0);
        settings.reconciliation.enabled = false;
    };
    TestApp::with(none, false).await
}

/// What reading an event does here, before it reads it.
type Twist = Arc<dyn Fn(String) -> futures::future::BoxFuture<'static, ()> + Send + Sync>;

/// The queue of a worker to whom things happen.
struct Twisted {
    store: Postgres,
    twist: Twist,
}

#[async_trait::async_trait]
impl Queue for Twisted {
    async fn receive(&self, event: InboxEvent) -> Result<Received, StoreError> {
        self.store.receive(event).await
    }

    async fn event(&self, id: &str) -> Result<Option<InboxEvent>, StoreError> {
        (self.twist)(id.to_owned()).await;
        self.store.event(id).await
    }

    async fn claim(
        &self,
        queue: QueueName,
        limit: u32,
        lease: time::Duration,
    ) -> Result<Vec<Job>, StoreError> {
        self.store.claim(queue, limit, lease).await
    }

    async fn retry(&self, lease: Lease, delay: time::Duration, reason: &str) -> Result<(), StoreError> {
        self.store.retry(lease, delay, reason).await
    }

    async fn bury(&self, lease: Lease, reason: &str) -> Result<(), StoreError> {
        self.store.bury(lease, reason).await
    }
}

/// A worker over the same database, with so many hands for events.
struct Worker {
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Worker {
    fn start(app: &TestApp, hands: u32, twist: Twist) -> Self {
        let mut settings = app.app.settings.clone();
        (settings.worker.webhooks, settings.worker.effects) = (hands, 4);
        let store = app.app.store.clone();
        let mut own = App::new(settings, store.clone(), app.url.clone()).unwrap();
        let ports = Ports { queue: Arc::new(Twisted { store, twist }), ..own.ports.clone() };
        own.run_job = RunJob::new(ports, policy());
        let stop = CancellationToken::new();
        Self { running: tokio::spawn(worker::run(Arc::new(own), stop.clone())), stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

/// Events are read without it.
fn policy() -> Policy {
    Policy {
        mode: Mode::Test,
        capture: CaptureMethod::Automatic,
        expiring_hold: ExpiringHold::Void,
        order_lifetime: time::Duration::DAY,
        call_held_for: time::Duration::MINUTE,
    }
}

fn twist<F: Future<Output = ()> + Send + 'static>(
    twist: impl Fn(String) -> F + Send + Sync + 'static,
) -> Twist {
    Arc::new(move |id| Box::pin(twist(id)))
}

/// An event of no consequence, of an object of its own.
fn plain(id: String, created_at: OffsetDateTime) -> InboxEvent {
    let body = json!({
        "id": id, "object": "event", "type": "customer.created", "created": created_at.unix_timestamp(),
        "livemode": false, "api_version": "2026-07-29.dahlia", "data": {"object": {"id": "cus_1", "object": "customer"}}
    });
    InboxEvent {
        kind: "customer.created".to_owned(),
        mode: Mode::Test,
        account: None,
        api_version: Some("2026-07-29.dahlia".to_owned()),
        object: None,
        about: None,
        created_at,
        body: body.to_string().into_bytes(),
        ignored: None,
        id,
    }
}

/// Receives so many events of a day ago.
async fn flood(app: &TestApp, count: usize) {
    let yesterday = app.app.ports.clock.now() - time::Duration::DAY;
    for chunk in (0..count).collect::<Vec<_>>().chunks(50) {
        let received = chunk.iter().map(|n| app.app.store.receive(plain(format!("evt_old_{n}"), yesterday)));
        join_all(received)
            .await
            .into_iter()
            .for_each(|received| assert_eq!(received.unwrap(), Received::New));
    }
}

/// Pays an order at Stripe; the events about it, the oldest first.
async fn paid_at_stripe(app: &TestApp, order: &str) -> Vec<Value> {
    app.pay_intent(&app.intent(order).await, VISA).await.ok();
    let listed = app.stripe("events?limit=100").await;
    let about = |event: &&Value| event["data"]["object"].to_string().contains(order);
    let mut events: Vec<Value> = listed["data"].as_array().unwrap().iter().filter(about).cloned().collect();
    events.reverse();
    assert!(events.len() >= 2, "{events:#?}");
    events
}

async fn until(app: &TestApp, what: &str, question: &'static str) {
    let begun = Instant::now();
    while app.count(question).await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 seconds: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const BACKLOG: &str = "SELECT count(*) FROM jobs WHERE state = 'ready' AND priority = 'backlog'";

/// After an outage thousands of old events come, and customers go on buying: their orders do not wait for the flood, nor
/// is the flood forgotten.
///
/// Covers: fault 35, W-11.
#[tokio::test(flavor = "multi_thread")]
async fn new_orders_are_paid_within_seconds_while_a_flood_of_old_events_waits() {
    let app = without_hands().await;
    flood(&app, 2_000).await;
    // Eight hands, 20 ms each: five seconds at least.
    let slow = twist(|_| tokio::time::sleep(Duration::from_millis(20)));
    let worker = Worker::start(&app, 8, slow);
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let order = app.order().await;
        let events = paid_at_stripe(&app, &order).await;
        let before = app.count(BACKLOG).await;
        let begun = Instant::now();
        for event in &events {
            assert_eq!(app.deliver(event).await.status, 200);
        }
        app.until(&order, "paid").await;
        slowest = slowest.max(begun.elapsed());
        assert!(before > 0, "the flood was over too soon");
    }
    assert!(slowest < Duration::from_secs(2), "an order waited {slowest:?}");
    assert!(app.count(BACKLOG).await > 0, "the flood was over too soon");
    let begun = Instant::now();
    while app.count(BACKLOG).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the flood is not read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    app.quiet().await;
    let unread = "SELECT count(*) FROM inbox_events WHERE processed_at IS NULL";
    assert_eq!(app.count(unread).await, 0);
    worker.stop().await;
    app.stop().await;
}

/// While new events keep all hands busy, old ones are read too.
///
/// Covers: fault 35.
#[tokio::test(flavor = "multi_thread")]
async fn the_flood_is_read_while_new_events_never_end() {
    let app = without_hands().await;
    flood(&app, 20).await;
    let now = app.app.ports.clock.now();
    for n in 0..400 {
        let _ = app.app.store.receive(plain(format!("evt_new_{n}"), now)).await.unwrap();
    }
    let worker = Worker::start(&app, 4, twist(|_| tokio::time::sleep(Duration::from_millis(20))));
    until(
        &app,
        "the flood is read",
        "SELECT 1 - least(1, count(*)) FROM jobs WHERE state = 'ready' AND priority = 'backlog'",
    )
    .await;
    let fresh =
        "SELECT count(*) FROM jobs WHERE state = 'ready' AND priority = 'fresh' AND kind = 'read_event'";
    assert!(app.count(fresh).await > 50, "it was read only after the others");
    worker.stop().await;
    app.stop().await;
}

/// An event that makes its reader panic is tried again later, then kept as dead with the reason; nobody else waits.
///
/// Covers: fault 59, fault 89, W-1, W-3, T-5, I23.
#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_event_is_put_off_then_given_up_and_others_go_on() {
    let app = without_hands().await;
    let now = app.app.ports.clock.now();
    let panic = twist(|id| async move { assert_ne!(id, "evt_poison", "poison") });
    let worker = Worker::start(&app, 4, panic);
    let _ = app.app.store.receive(plain("evt_poison".to_owned(), now)).await.unwrap();
    let order = app.order().await;
    for event in paid_at_stripe(&app, &order).await {
        assert_eq!(app.deliver(&event).await.status, 200);
    }
    app.until(&order, "paid").await;
    let put_off = "SELECT count(*) FROM jobs j JOIN inbox_events e ON e.id = j.payload
        WHERE e.id = 'evt_poison' AND j.state = 'ready' AND j.attempts = 1 AND j.last_error = 'panicked'
          AND j.due_at > now() AND j.leased_until IS NULL AND e.processed_at IS NULL";
    until(&app, "the poison is put off", put_off).await;
    // Stripe sends it again: known, and its job goes on as it was.
    assert_eq!(app.deliver_bytes(plain("evt_poison".to_owned(), now).body).await.status, 200);
    app.by_hand("UPDATE jobs SET attempts = 29, due_at = now() WHERE payload = $1", "evt_poison").await;
    let dead = "SELECT count(*) FROM jobs j JOIN inbox_events e ON e.id = j.payload
        WHERE e.id = 'evt_poison' AND j.state = 'dead' AND j.attempts = 30 AND j.last_error = 'panicked'
          AND e.processed_at IS NULL";
    until(&app, "the poison is dead", dead).await;
    worker.stop().await;
    app.stop().await;
}

/// A job that never comes back from its attempts, because the process dies of it, ends all the same.
///
/// Covers: fault 94.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_its_process_with_it_is_given_up_unread() {
    let app = without_hands().await;
    let _ = app.app.store.receive(plain("evt_fatal".to_owned(), app.app.ports.clock.now())).await.unwrap();
    app.by_hand("UPDATE jobs SET attempts = 30 WHERE payload = $1", "evt_fatal").await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let worker = Worker::start(
        &app,
        1,
        twist(move |_| {
            counted.fetch_add(1, Ordering::AcqRel);
            async {}
        }),
    );
    let dead = "SELECT count(*) FROM jobs WHERE state = 'dead' AND last_error LIKE 'none of its attempts%'";
    until(&app, "it is dead", dead).await;
    assert_eq!(runs.load(Ordering::Acquire), 0);
    worker.stop().await;
    app.stop().await;
}

/// Two workers share what there is: each event is read once, and no two about one payment at a time.
///
/// Covers: fault 90, I27, I22.
#[tokio::test(flavor = "multi_thread")]
async fn two_workers_read_each_event_once_and_one_at_a_time_about_a_payment() {
    let app = without_hands().await;
    let (mut orders, mut events) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let order = app.order().await;
        events.extend(paid_at_stripe(&app, &order).await);
        orders.push(order);
    }
    let payments: std::collections::BTreeMap<String, String> =
        events.iter().map(|event| (text(&event["id"]), payment_of(event))).collect();
    for replies in join_all(events.iter().map(|event| app.deliver(event))).await {
        assert_eq!(replies.status, 200);
    }
    let (payments, busy) = (Arc::new(payments), Arc::new(Mutex::new(BTreeSet::new())));
    let clashes = Arc::new(AtomicUsize::new(0));
    let watch = {
        let (payments, busy, clashes) = (Arc::clone(&payments), Arc::clone(&busy), Arc::clone(&clashes));
        twist(move |id| {
            let (payments, busy, clashes) = (Arc::clone(&payments), Arc::clone(&busy), Arc::clone(&clashes));
            async move {
                let payment = payments[&id].clone();
                if !busy.lock().unwrap().insert(payment.clone()) {
                    clashes.fetch_add(1, Ordering::AcqRel);
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
                busy.lock().unwrap().remove(&payment);
            }
        })
    };
    let workers = [Worker::start(&app, 16, Arc::clone(&watch)), Worker::start(&app, 16, watch)];
    for order in &orders {
        app.until(order, "paid").await;
    }
    app.quiet().await;
    assert_eq!(clashes.load(Ordering::Acquire), 0, "two about one payment at a time");
    let twice = "SELECT count(*) FROM jobs WHERE kind = 'read_event' AND (attempts <> 1 OR state <> 'done')";
    assert_eq!(app.count(twice).await, 0);
    assert_eq!(app.breaks().await, [""; 0]);
    for worker in workers {
        worker.stop().await;
    }
    app.stop().await;
}

/// The payment that an event of the sandbox is about.
fn payment_of(event: &Value) -> String {
    let object = &event["data"]["object"];
    match object["object"] == "payment_intent" {
        true => text(&object["id"]),
        false => text(&object["payment_intent"]),
    }
}

/// A worker stands still for longer than its lease, and another does its work: when the first one wakes it changes nothing.
///
/// Covers: fault 91, I16, I27.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_wakes_after_its_lease_changes_nothing() {
    let app = without_hands().await;
    let order = app.order().await;
    let events = paid_at_stripe(&app, &order).await;
    let event = events.iter().find(|event| event["type"] == "payment_intent.succeeded").unwrap();
    let asleep = Arc::new(Semaphore::new(0));
    let (gate, reached) = (Arc::clone(&asleep), Arc::new(AtomicUsize::new(0)));
    let arrived = Arc::clone(&reached);
    let zombie = Worker::start(
        &app,
        1,
        twist(move |_| {
            arrived.fetch_add(1, Ordering::AcqRel);
            let gate = Arc::clone(&gate);
            async move { drop(gate.acquire().await.unwrap()) }
        }),
    );
    assert_eq!(app.deliver(event).await.status, 200);
    let begun = Instant::now();
    while reached.load(Ordering::Acquire) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody claimed it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Its hand is taken, so the other one gets it when the lease is over.
    let over = "UPDATE jobs SET due_at = now(), leased_until = now() WHERE payload = $1";
    app.by_hand(over, &text(&event["id"])).await;
    let other = Worker::start(&app, 1, twist(|_| async {}));
    app.until(&order, "paid").await;
    let (before, trail) = (app.show(&order).await, app.timeline(&order).await);
    asleep.add_permits(1);
    zombie.stop().await;
    assert_eq!((app.show(&order).await, app.timeline(&order).await), (before, trail));
    let job = "SELECT count(*) FROM jobs WHERE kind = 'read_event' AND state = 'done' AND attempts = 2 AND last_error IS NULL";
    assert_eq!(app.count(job).await, 1);
    other.stop().await;
    app.stop().await;
}

/// A worker that is killed leaves its jobs to the next one, and those about the same payments.
///
/// Covers: fault 58, W-5.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_and_not_read_is_read_by_the_next_worker() {
    let app = without_hands().await;
    let order = app.order().await;
    for event in paid_at_stripe(&app, &order).await {
        assert_eq!(app.deliver(&event).await.status, 200);
    }
    let claimed =
        app.app.store.claim(QueueName::Webhooks, 10, time::Duration::milliseconds(300)).await.unwrap();
    assert_eq!(claimed.len(), 1, "one at a time about a payment");
    let worker = Worker::start(&app, 4, twist(|_| async {}));
    app.until(&order, "paid").await;
    app.quiet().await;
    worker.stop().await;
    app.stop().await;
}

/// An idle program begins with an event at once, whether it came alone or behind another one about its payment.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_begins_at_once() {
    let app = without_hands().await;
    let worker = Worker::start(&app, 64, twist(|_| async {}));
    let done = "SELECT count(*) FROM jobs WHERE state <> 'done'";
    let mut times = Vec::new();
    for n in 0..15 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let begun = Instant::now();
        for copy in 0..3 {
            let about = Some("cus_1".to_owned());
            let event = plain(format!("evt_{n}_{copy}"), app.app.ports.clock.now());
            let _ = app.app.store.receive(InboxEvent { about, ..event }).await.unwrap();
        }
        while app.count(done).await > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(begun.elapsed());
    }
    times.sort();
    println!("three events about one object, one after the other: {times:?}");
    assert!(times[7] < Duration::from_millis(250), "{times:?}");
    worker.stop().await;
    app.stop().await;
}
