//! One of our processes: the use cases over its own line to the world, its workers, and its turns at reconciling.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use paywright_domain::{
    CaptureMethod, Mode, Section, Trigger,
    ports::{Archive, Gateway, InboxEvent, Job, QueueName, StoreError},
    usecase::{
        AdvanceOrder, AnswerDispute, Ask, CancelOrder, ExpiringHold, Pace, PlaceOrder, Policy, Ports,
        Reconcile, RequestRefund, RunJob, SettleHold, StartPayment, SyncPayment,
    },
};
use paywright_stripe::{Stripe, TOLERANCE, envelope, unreadable, verify};
use time::Duration;

use crate::{
    bugs::Bug,
    executor::Owner,
    fault::Fault,
    ports::{Line, Twisted, Wire},
    world::{Phase, SECRET, World, lock},
};

/// How long a job is held: longer than the longest call to Stripe.
const LEASE: Duration = Duration::seconds(45);
/// How long a request holds the call that it makes itself.
const HELD_FOR: Duration = Duration::seconds(50);
/// How long somebody has the turn to reconcile before others may take it.
const TURN: Duration = Duration::minutes(15);
/// How often reconciliation runs when nothing happens any more.
const CALM: Duration = Duration::hours(18);

/// A process that is up.
pub(crate) struct App {
    pub(crate) line: Line,
    pub(crate) ports: Ports,
    pub(crate) place_order: PlaceOrder,
    pub(crate) start_payment: StartPayment,
    pub(crate) cancel_order: CancelOrder,
    pub(crate) request_refund: RequestRefund,
    pub(crate) settle_hold: SettleHold,
    pub(crate) advance_order: AdvanceOrder,
    pub(crate) answer_dispute: AnswerDispute,
    pub(crate) sync_payment: SyncPayment,
    run_job: RunJob,
    reconcile: Reconcile,
}

/// What the merchant decided, the same for all processes.
fn policy(world: &World) -> Policy {
    let odd = world.knobs.seed.is_multiple_of(2);
    Policy {
        mode: Mode::Test,
        capture: CaptureMethod::Automatic,
        expiring_hold: if odd { ExpiringHold::Capture } else { ExpiringHold::Void },
        order_lifetime: Duration::DAY,
        call_held_for: HELD_FOR,
    }
}

/// Starts a process: its workers, and its turns at reconciling.
pub(crate) fn boot(world: &Arc<World>, process: usize) {
    let skew = world.between(0, world.knobs.skew * 2_000);
    let skew = Duration::milliseconds(i64::try_from(skew).unwrap_or(0))
        - Duration::seconds(world.knobs.skew.cast_signed());
    let line = Line { world: Arc::clone(world), process, skew };
    let app = Arc::new(App::new(line));
    world.note("boot", || format!("p{process}"));
    world.is_up(process, Some(Arc::clone(&app)));
    for queue in [QueueName::Webhooks, QueueName::Effects] {
        app.go(drive(Arc::clone(&app), queue));
    }
    if world.knobs.channels.reconciles() {
        app.go(reconcile(Arc::clone(&app)));
        app.go(look_at_fresh(Arc::clone(&app)));
    }
}

impl App {
    fn new(line: Line) -> Self {
        let policy = policy(&line.world);
        let shared = Arc::new(line.clone());
        let stripe = Arc::new(Stripe::over(Arc::new(Wire(line.clone())), Mode::Test, shared.clone()));
        let gateway: Arc<dyn Gateway> = match line.world.knobs.bug {
            Some(bug) => Arc::new(Twisted { line: line.clone(), inner: stripe.clone(), bug }),
            None => stripe.clone(),
        };
        let archive: Arc<dyn Archive> = stripe;
        let ports = Ports {
            store: shared.clone(),
            queue: shared.clone(),
            gateway,
            clock: shared.clone(),
            entropy: shared.clone(),
        };
        // Its parts are small, so that runs which are cut off have compared something.
        let pace = Pace { look_back: Duration::days(30), overlap: Duration::minutes(10), asks_max: 200 };
        let both = || (ports.clone(), policy.clone());
        let with = |(ports, policy): (Ports, Policy)| (ports, policy);
        let (p, q) = with(both());
        Self {
            place_order: PlaceOrder::new(p.clone(), q.clone()),
            start_payment: StartPayment::new(p.clone(), q.clone()),
            cancel_order: CancelOrder::new(p.clone(), q.clone()),
            request_refund: RequestRefund::new(p.clone(), q.clone()),
            settle_hold: SettleHold::new(p.clone(), q.clone()),
            advance_order: AdvanceOrder::new(p.clone(), q.clone()),
            answer_dispute: AnswerDispute::new(p.clone(), q.clone()),
            sync_payment: SyncPayment::new(p.clone(), q.clone()),
            run_job: RunJob::new(p.clone(), q.clone()),
            reconcile: Reconcile::new(p, q, pace, archive, shared),
            ports,
            line,
        }
    }

    /// Begins something that dies with the process.
    fn go(&self, job: impl Future<Output = ()> + Send + 'static) {
        self.line.world.spawn(Owner::Process(self.line.process), job);
    }

    /// Takes a webhook: verify, look shallowly, store, answer.
    pub(crate) async fn intake(&self, header: &str, body: &[u8]) -> u16 {
        let now = self.ports.clock.now();
        let bug = self.line.world.knobs.bug;
        let checks = bug.is_none_or(Bug::checks_signatures);
        if checks && verify(Some(header), body, &[SECRET.to_owned().into()], now, TOLERANCE).is_err() {
            return 400;
        }
        let body = &bug.map_or_else(|| body.to_vec(), |bug| bug.body(body));
        let event: InboxEvent = envelope(body).unwrap_or_else(|_| unreadable(body, Mode::Test, now));
        if let Some(bug) = bug.filter(|bug| bug.acknowledges_first()) {
            let (queue, world) = (Arc::clone(&self.ports.queue), Arc::clone(&self.line.world));
            self.go(async move {
                let _ = queue.receive(event).await;
                world.note("planted", || bug.to_string());
            });
            return 200;
        }
        if self.ports.queue.receive(event).await.is_ok() { 200 } else { 503 }
    }

    /// Compares everything once.
    pub(crate) async fn compare(&self, trigger: Trigger) -> bool {
        let sections = vec![Section::CatchUp, Section::Local, Section::Gateway, Section::Books];
        let ask = Ask { id: self.ports.new_id(), trigger, since: None, sections };
        let run = self.reconcile.run(ask, &|_, _| {}).await;
        let words = match &run {
            Ok(run) => format!("{:?} {:?}", run.state, run.counts),
            Err(error) => error.to_string(),
        };
        self.line.world.note("compared", || words.clone());
        self.line.world.compared(words);
        run.is_ok_and(|run| run.counts.values().all(paywright_domain::Counts::is_complete))
    }
}

/// Claims jobs, and lets each run by itself.
async fn drive(app: Arc<App>, queue: QueueName) {
    let world = Arc::clone(&app.line.world);
    let place = match queue {
        QueueName::Webhooks => 0,
        QueueName::Effects => 1,
    };
    loop {
        let limit = u32::try_from(world.between(1, 4)).unwrap_or(1);
        match app.ports.queue.claim(queue, limit, LEASE).await {
            Ok(jobs) if jobs.is_empty() => {
                let wait = app.until_work(queue);
                world.work(place, wait).await;
            }
            Ok(jobs) => {
                for job in jobs {
                    app.go(attempt(Arc::clone(&app), job));
                }
            }
            Err(StoreError::Conflict) => world.sleep(Duration::milliseconds(20)).await,
            Err(_) => world.sleep(Duration::seconds(2)).await,
        }
    }
}

impl App {
    /// How long there is nothing to do, as far as is known.
    fn until_work(&self, queue: QueueName) -> Duration {
        let world = &self.line.world;
        let most = if world.phase() == Phase::Healed { Duration::hours(6) } else { world.knobs.load / 40 };
        let next = world.rows.next_due(queue).map_or(most, |due| due - world.now());
        next.clamp(Duration::milliseconds(50), most.max(Duration::MINUTE))
    }
}

async fn attempt(app: Arc<App>, job: Job) {
    let world = &app.line.world;
    world.note("attempt", || format!("{} {} {:?}", job.lease.job, job.lease.token, job.task));
    let verdict = app.run_job.run(&job).await;
    let _ = app.run_job.settle(&job, verdict).await;
    world.rouse();
}

/// Compares everything, in turns with the other processes.
async fn reconcile(app: Arc<App>) {
    let world = Arc::clone(&app.line.world);
    loop {
        let period = if world.phase() == Phase::Healed { CALM } else { world.knobs.reconcile_every };
        if world.take_schedule("everything", TURN) {
            app.compare(Trigger::Schedule).await;
            world.end_schedule("everything", period);
        }
        world.sleep(period).await;
    }
}

/// Looks at what is fresh, more often.
async fn look_at_fresh(app: Arc<App>) {
    let world = Arc::clone(&app.line.world);
    while world.phase() != Phase::Healed {
        let period = Ord::max(world.knobs.reconcile_every / 4, Duration::MINUTE);
        if world.take_schedule("fresh", TURN) {
            let _ = app.reconcile.fresh().await;
            world.end_schedule("fresh", period);
        }
        world.sleep(period).await;
    }
}

/// Where the answer to a request will be.
enum Slot<T> {
    Empty(Option<Waker>),
    Full(T),
    Lost,
}

/// The side that answers: whatever drops it unanswered has lost it.
struct Answers<T>(Arc<Mutex<Slot<T>>>);

impl<T> Answers<T> {
    fn put(&self, slot: Slot<T>) {
        let old = std::mem::replace(&mut *lock(&self.0), slot);
        if let Slot::Empty(Some(waker)) = old {
            waker.wake();
        }
    }
}

impl<T> Drop for Answers<T> {
    fn drop(&mut self) {
        if matches!(*lock(&self.0), Slot::Empty(_)) {
            self.put(Slot::Lost);
        }
    }
}

/// The side that waits.
struct Waits<T>(Arc<Mutex<Slot<T>>>);

impl<T> Future for Waits<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = lock(&self.0);
        match std::mem::replace(&mut *slot, Slot::Lost) {
            Slot::Full(answer) => Poll::Ready(Some(answer)),
            Slot::Lost => Poll::Ready(None),
            Slot::Empty(_) => {
                *slot = Slot::Empty(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

/// Asks one of the processes for something. `None`: there is none, it died, or its answer was lost.
pub(crate) async fn ask<T, R>(world: &Arc<World>, handler: impl FnOnce(Arc<App>) -> R) -> Option<T>
where
    T: Send + 'static,
    R: Future<Output = T> + Send + 'static,
{
    let app = world.some_app()?;
    let slot = Arc::new(Mutex::new(Slot::Empty(None)));
    let (answers, waits) = (Answers(Arc::clone(&slot)), Waits(slot));
    let handler = handler(Arc::clone(&app));
    app.go(async move {
        let answer = handler.await;
        answers.put(Slot::Full(answer));
    });
    drop(app);
    let answer = waits.await;
    if world.strikes(Fault::AnswerLost) { None } else { answer }
}
