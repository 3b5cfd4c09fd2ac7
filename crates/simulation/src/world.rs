//! The world of one run: the time, the dice, Stripe's model, our rows, and what is noted about them. One lock a part,
//! each held for a moment and never across an await.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering},
    },
    task::{Poll, Waker},
};

use paywright_domain::ports::Clock;
use paywright_sandbox::model::{Input, Model, Preset, Response, Settings, Time};
use paywright_testkit::MemoryStore;
use time::{Duration, OffsetDateTime};

use crate::{
    bugs::Bug,
    dice::Dice,
    executor::{Job, Owner},
    fault::{Each, Fault},
    invariants::Watch,
    process::App,
    swarm::Knobs,
    trail::Trail,
};

/// When every run begins: 2026-11-21 12:00 UTC.
const START_MICROS: i64 = 1_795_262_400_000_000;
/// With what webhooks are signed.
pub(crate) const SECRET: &str = "whsec_simulation";
/// Waits between the attempts to deliver a webhook, in minutes: five days in all.
const DELIVERED_AFTER: [i64; 14] = [1, 2, 5, 10, 30, 60, 120, 240, 480, 720, 720, 1440, 1440, 2160];

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// People act, and things go wrong.
    Load,
    /// Nobody begins anything new; things still go wrong.
    Draining,
    /// Nothing goes wrong any more.
    Healed,
}

/// Something that happens by itself at its time.
pub(crate) enum Timer {
    /// A task goes on.
    Wake(Waker),
    /// A process stands up again.
    Restart(usize),
    /// A process goes on.
    Thaw(usize),
    /// A request arrives that its sender has given up.
    Arrive(Box<Input>),
    /// A part of the run ends.
    Phase(Phase),
}

/// What a process is to suffer before anything else moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It dies.
    Crash,
    /// It stands still for so long.
    Pause(Duration),
}

/// How many were ever set, and those that are to come: by their time, then in the order in which they were set.
type Timers = (u64, BTreeMap<(i64, u64), Timer>);

/// Somebody who waits for work, and how to tell them that there is some.
type Idle = (Waker, Arc<AtomicBool>);

/// What strikes everybody, until its time.
#[derive(Debug, Default)]
struct Outages {
    store_until: i64,
    gateway_until: i64,
}

/// See the module's documentation.
pub(crate) struct World {
    pub(crate) knobs: Knobs,
    /// Our rows, as they are, without anything in between.
    pub(crate) rows: Arc<MemoryStore>,
    clock: Arc<TrueClock>,
    phase: AtomicU8,
    dice: Mutex<Dice>,
    model: Mutex<Model>,
    timers: Mutex<Timers>,
    spawned: Mutex<Vec<(Owner, Job)>>,
    blows: Mutex<Vec<(usize, Blow)>>,
    outages: Mutex<Outages>,
    counts: Mutex<Each<u64>>,
    trail: Mutex<Trail>,
    watch: Mutex<Watch>,
    /// Who waits for work: the queue's place, and how to wake them.
    idle: Mutex<[Vec<Idle>; 2]>,
    /// Our processes that are up.
    apps: Mutex<Vec<Option<Arc<App>>>>,
    /// When each schedule is due, and until when somebody has it.
    schedules: Mutex<BTreeMap<&'static str, (i64, i64)>>,
    /// Keys of requests that arrive late.
    late: Mutex<BTreeSet<String>>,
    /// What the last comparison came to.
    compared: Mutex<String>,
}

pub(crate) fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time as it is, for our rows.
struct TrueClock(AtomicI64);

impl Clock for TrueClock {
    fn now(&self) -> OffsetDateTime {
        moment(self.0.load(Ordering::Relaxed))
    }
}

fn moment(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.whole_microseconds()).unwrap_or(i64::MAX / 4)
}

impl World {
    pub(crate) fn new(knobs: Knobs, trail: Trail) -> Self {
        let clock = Arc::new(TrueClock(AtomicI64::new(START_MICROS)));
        let rows = match knobs.bug.and_then(Bug::flaw) {
            Some(flaw) => MemoryStore::flawed(clock.clone(), flaw),
            None => MemoryStore::new(clock.clone()),
        };
        let settings = Settings {
            retry_schedule_ms: DELIVERED_AFTER.map(|minutes| minutes * 60_000).to_vec(),
            ..Settings::default()
        };
        let endpoint = Preset {
            url: "https://shop.example/webhooks/stripe".to_owned(),
            secret: SECRET.to_owned(),
            enabled_events: vec!["*".to_owned()],
        };
        let presets = if knobs.channels.webhooks() { vec![endpoint] } else { Vec::new() };
        let dice = Dice::new(knobs.seed);
        let world = Self {
            rows: Arc::new(rows),
            clock,
            phase: AtomicU8::new(Phase::Load as u8),
            dice: Mutex::new(dice),
            model: Mutex::new(Model::default()),
            timers: Mutex::default(),
            spawned: Mutex::default(),
            blows: Mutex::default(),
            outages: Mutex::default(),
            counts: Mutex::default(),
            trail: Mutex::new(trail),
            watch: Mutex::default(),
            idle: Mutex::default(),
            apps: Mutex::new(vec![None; knobs.processes]),
            schedules: Mutex::default(),
            late: Mutex::default(),
            compared: Mutex::default(),
            knobs,
        };
        world.stripe(&Input::Configure { settings, presets });
        world
    }

    // Time.

    pub(crate) fn micros(&self) -> i64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        moment(self.micros())
    }

    /// Stripe's time.
    pub(crate) fn wall(&self) -> Time {
        Time(self.micros() / 1000)
    }

    /// Moves the time on; it never goes back.
    pub(crate) fn advance_to(&self, micros: i64) {
        self.clock.0.fetch_max(micros, Ordering::Relaxed);
    }

    /// Lets a step take its time.
    pub(crate) fn step(&self) {
        let micros = lock(&self.dice).between(1, self.knobs.step * 1000);
        self.clock.0.fetch_add(i64::try_from(micros).unwrap_or(1), Ordering::Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Load,
            1 => Phase::Draining,
            _ => Phase::Healed,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
        if phase == Phase::Healed {
            *lock(&self.outages) = Outages::default();
        }
        self.note("phase", || format!("{phase:?}"));
    }

    pub(crate) fn later(&self, after: Duration, timer: Timer) {
        let at = self.micros() + micros(after).max(1);
        let mut timers = lock(&self.timers);
        timers.0 += 1;
        let number = timers.0;
        timers.1.insert((at, number), timer);
    }

    /// The timers that are due, the earliest first.
    pub(crate) fn due(&self) -> Vec<Timer> {
        let (now, mut timers) = (self.micros(), lock(&self.timers));
        let mut due = Vec::new();
        while timers.1.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            due.extend(timers.1.pop_first().map(|(_, timer)| timer));
        }
        due
    }

    pub(crate) fn next_timer(&self) -> Option<i64> {
        lock(&self.timers).1.first_key_value().map(|((at, _), _)| *at)
    }

    /// Waits so long.
    pub(crate) fn sleep(self: &Arc<Self>, duration: Duration) -> impl Future<Output = ()> + Send + use<> {
        let (world, until) = (Arc::clone(self), self.micros() + micros(duration));
        let mut set = false;
        std::future::poll_fn(move |context| {
            if world.micros() >= until {
                return Poll::Ready(());
            }
            if !set {
                set = true;
                let wait = Duration::microseconds(until - world.micros());
                world.later(wait, Timer::Wake(context.waker().clone()));
            }
            Poll::Pending
        })
    }

    // Chance.

    pub(crate) fn dice(&self) -> MutexGuard<'_, Dice> {
        lock(&self.dice)
    }

    pub(crate) fn bits(&self) -> u64 {
        lock(&self.dice).bits()
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        lock(&self.dice).below(bound)
    }

    pub(crate) fn between(&self, least: u64, most: u64) -> u64 {
        lock(&self.dice).between(least, most)
    }

    pub(crate) fn chance(&self, per_mille: u16) -> bool {
        lock(&self.dice).chance(per_mille)
    }

    pub(crate) fn wait(&self, longest: Duration) -> Duration {
        lock(&self.dice).wait(longest)
    }

    pub(crate) fn pick<T: Clone>(&self, from: &[T]) -> T {
        lock(&self.dice).pick(from).clone()
    }

    /// Whether a class of faults strikes now; if so, it is counted.
    pub(crate) fn strikes(&self, fault: Fault) -> bool {
        let rate = self.knobs.rates.of(fault);
        if rate == 0 || self.is_calm() || !lock(&self.dice).chance(rate) {
            return false;
        }
        self.count(fault);
        true
    }

    /// Whether a class of faults may strike in this run at all.
    pub(crate) fn exists(&self, fault: Fault) -> bool {
        self.knobs.rates.of(fault) > 0
    }

    pub(crate) fn count(&self, fault: Fault) {
        *lock(&self.counts).of_mut(fault) += 1;
        self.note("fault", || fault.to_string());
    }

    /// Whether nothing goes wrong any more.
    pub(crate) fn is_calm(&self) -> bool {
        self.phase() == Phase::Healed
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.knobs.bug == Some(bug)
    }

    pub(crate) fn counts(&self) -> Each<u64> {
        *lock(&self.counts)
    }

    // Who moves.

    pub(crate) fn spawn(&self, owner: Owner, job: impl Future<Output = ()> + Send + 'static) {
        lock(&self.spawned).push((owner, Box::pin(job)));
    }

    pub(crate) fn spawned(&self) -> Vec<(Owner, Job)> {
        std::mem::take(&mut *lock(&self.spawned))
    }

    /// A process suffers this as soon as its present step is over.
    pub(crate) fn strike(&self, process: usize, blow: Blow) {
        lock(&self.blows).push((process, blow));
    }

    pub(crate) fn blows(&self) -> Vec<(usize, Blow)> {
        std::mem::take(&mut *lock(&self.blows))
    }

    /// Whether the store answers nobody.
    pub(crate) fn store_is_away(&self) -> bool {
        self.micros() < lock(&self.outages).store_until
    }

    /// Whether Stripe answers nobody.
    pub(crate) fn gateway_is_away(&self) -> bool {
        self.micros() < lock(&self.outages).gateway_until
    }

    pub(crate) fn store_goes_away(&self, time: Duration) {
        lock(&self.outages).store_until = self.micros() + micros(time);
    }

    pub(crate) fn gateway_goes_away(&self, time: Duration) {
        lock(&self.outages).gateway_until = self.micros() + micros(time);
    }

    // Waiting for work.

    /// Waits until something changes in the queue at this place, or so long.
    pub(crate) fn work(
        self: &Arc<Self>,
        queue: usize,
        most: Duration,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (world, until) = (Arc::clone(self), self.micros() + micros(most));
        let (roused, mut asked) = (Arc::new(AtomicBool::new(false)), false);
        std::future::poll_fn(move |context| {
            if roused.load(Ordering::Relaxed) || world.micros() >= until {
                return Poll::Ready(());
            }
            if !asked {
                asked = true;
                lock(&world.idle)[queue].push((context.waker().clone(), Arc::clone(&roused)));
                let wait = Duration::microseconds((until - world.micros()).max(1));
                world.later(wait, Timer::Wake(context.waker().clone()));
            }
            Poll::Pending
        })
    }

    /// There may be work: sometimes all who wait hear of it at once, mostly one.
    pub(crate) fn rouse(&self) {
        let all = self.chance(200);
        let mut idle = lock(&self.idle);
        for queue in idle.iter_mut() {
            // Whoever has gone on by themselves needs no waking.
            queue.retain(|(_, roused)| Arc::strong_count(roused) > 1);
            let most = if all { queue.len() } else { queue.len().min(1) };
            for (waker, roused) in queue.drain(..most) {
                roused.store(true, Ordering::Relaxed);
                waker.wake();
            }
        }
    }

    // Stripe.

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.model)
    }

    /// Stripe takes an input.
    pub(crate) fn stripe(&self, input: &Input) -> Response {
        let entropy = lock(&self.dice).bits();
        lock(&self.model).apply(input, self.wall(), entropy)
    }

    /// A request arrives when its sender has given it up; until then its key is in use.
    pub(crate) fn late(&self, key: &str, after: Duration, input: Input) {
        lock(&self.late).insert(key.to_owned());
        self.later(after, Timer::Arrive(Box::new(input)));
    }

    pub(crate) fn arrive(&self, input: &Input) {
        if let Input::Request { request, .. } = input {
            let key = request.idempotency_key.as_deref().unwrap_or_default();
            lock(&self.late).remove(key);
            self.watch().sent(self, key, &request.path, &request.body);
        }
        let answer = self.stripe(input);
        self.note("arrived", || answer.status.to_string());
        self.watch().stripe_moved(self, &answer.events);
    }

    pub(crate) fn is_late(&self, key: &str) -> bool {
        lock(&self.late).contains(key)
    }

    pub(crate) fn compared(&self, words: String) {
        *lock(&self.compared) = words;
    }

    pub(crate) fn last_comparison(&self) -> String {
        lock(&self.compared).clone()
    }

    // Our processes.

    pub(crate) fn is_up(&self, app: usize, up: Option<Arc<App>>) {
        lock(&self.apps)[app] = up;
    }

    /// One of the processes that are up.
    pub(crate) fn some_app(&self) -> Option<Arc<App>> {
        let apps = lock(&self.apps);
        let up: Vec<_> = apps.iter().flatten().cloned().collect();
        if up.is_empty() { None } else { Some(self.pick(&up)) }
    }

    /// Takes a schedule for so long, if it is due and nobody has it.
    pub(crate) fn take_schedule(&self, name: &'static str, lease: Duration) -> bool {
        let (now, mut schedules) = (self.micros(), lock(&self.schedules));
        let (due, held) = schedules.entry(name).or_insert((now, 0));
        let free = *due <= now && *held <= now;
        if free {
            *held = now + micros(lease);
        }
        free
    }

    /// The next run of a schedule is due after so long.
    pub(crate) fn end_schedule(&self, name: &'static str, next_in: Duration) {
        let next = self.micros() + micros(next_in);
        lock(&self.schedules).insert(name, (next, 0));
    }

    /// Lets go of everything, which holds on to this in turn.
    pub(crate) fn end(&self) {
        lock(&self.apps).clear();
        let timers = std::mem::take(&mut *lock(&self.timers));
        let idle = std::mem::take(&mut *lock(&self.idle));
        drop((timers, idle, self.spawned()));
    }

    // What is noted.

    /// Mixes what happens into the trail's hash; the words are for whoever reads it.
    pub(crate) fn note(&self, what: &'static str, words: impl FnOnce() -> String) {
        lock(&self.trail).note(self.micros(), what, words);
    }

    pub(crate) fn trail(&self) -> MutexGuard<'_, Trail> {
        lock(&self.trail)
    }

    pub(crate) fn watch(&self) -> MutexGuard<'_, Watch> {
        lock(&self.watch)
    }
}
