//! One run, from its seed to its verdict.

use std::sync::{Arc, Mutex};

use paywright_domain::{Metadata, Mode, Money, Product, ProductId, Trigger, Version, ports::Catalogue as _};
use paywright_sandbox::model::Mode as World_;
use paywright_testkit::{JobState, ManualClock};
use time::Duration;

use crate::{
    edges,
    executor::{Executor, Owner},
    fault::Each,
    invariants::{Violation, at_rest, broken, given_up_in_time, soon},
    net,
    ports::peek,
    process::{ask, boot},
    swarm::Knobs,
    trail::Trail,
    world::{Blow, Phase, Timer, World, lock},
};

/// More steps than this are a livelock.
const STEPS_MAX: u64 = 400_000;
/// A run comes to rest within so long after nothing goes wrong any more.
const REST_WITHIN: Duration = Duration::days(45);
/// How often somebody looks whether it has.
const LOOK: Duration = Duration::hours(6);

/// How a run went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What did not hold, if something did not.
    pub violation: Option<Violation>,
    /// How often each class of faults struck.
    pub faults: Each<u64>,
    /// How many futures were polled.
    pub steps: u64,
    /// What happened.
    pub trail: Trail,
    /// How many orders were placed.
    pub orders: u64,
}

/// Runs what `knobs` say. With `words` the trail can be read afterwards.
pub fn run(knobs: &Knobs, words: bool) -> Outcome {
    let world = Arc::new(World::new(knobs.clone(), Trail::new(words)));
    let mut run = Run { world: Arc::clone(&world), executor: Executor::default(), steps: 0 };
    let violation = run.go().err();
    let outcome = Outcome {
        violation,
        faults: world.counts(),
        steps: run.steps,
        trail: world.trail().clone(),
        orders: world.rows.orders().len() as u64,
    };
    world.end();
    outcome
}

struct Run {
    world: Arc<World>,
    executor: Executor,
    steps: u64,
}

impl Run {
    fn go(&mut self) -> Result<(), Violation> {
        let world = Arc::clone(&self.world);
        let product = product(&world);
        for process in 0..world.knobs.processes {
            boot(&world, process);
        }
        for number in 0..world.knobs.orders {
            world.spawn(Owner::Outside, edges::shop(Arc::clone(&world), product, number));
        }
        world.spawn(Owner::Outside, edges::haunt(Arc::clone(&world)));
        world.later(world.knobs.load, Timer::Phase(Phase::Draining));
        world.later(world.knobs.load + Duration::minutes(20), Timer::Phase(Phase::Healed));
        while world.phase() != Phase::Healed {
            self.step()?;
        }
        self.come_to_rest()?;
        at_rest(&world)
    }

    /// Lets everything that is under way end.
    fn come_to_rest(&mut self) -> Result<(), Violation> {
        let world = Arc::clone(&self.world);
        let until = world.now() + REST_WITHIN;
        edges::decide_disputes(&world);
        given_up_in_time(&world)?;
        // What is dead is a person's to try again.
        let dead = world.rows.jobs().into_iter().filter(|job| job.state == JobState::Buried);
        dead.for_each(|job| world.rows.revive(job.id));
        self.pass(Duration::HOUR)?;
        // What is under way may still keep something from being compared.
        let begun = world.knobs.channels.reconciles().then(|| world.wall());
        let compared = begun.is_none() || self.compare_once()?;
        self.pass(Duration::HOUR)?;
        if compared {
            soon(&world, begun)?;
        }
        loop {
            self.pass(LOOK)?;
            if self.is_at_rest() {
                break;
            }
            if world.now() > until {
                // Whatever is still open is told by the invariants.
                break;
            }
        }
        if world.knobs.channels.reconciles() {
            self.compare()?;
            self.pass(Duration::hours(2))?;
            self.compare()?;
            self.pass(Duration::hours(8))?;
        }
        Ok(())
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) -> Result<(), Violation> {
        let until = self.world.now() + time;
        // So that there is something to wait for.
        let world = Arc::clone(&self.world);
        self.world.spawn(Owner::Outside, async move { world.sleep(time).await });
        while self.world.now() < until {
            self.step()?;
        }
        Ok(())
    }

    fn is_at_rest(&self) -> bool {
        let world = &self.world;
        let jobs = world.rows.jobs();
        let open = jobs.iter().any(|job| matches!(job.state, JobState::Waiting | JobState::Held { .. }));
        let deliveries = world.model().world(World_::Test).deliveries.open_count();
        !open && deliveries == 0 && world.watch().under_way() == 0
    }

    /// Somebody asks for a complete comparison, until there is one.
    fn compare(&mut self) -> Result<(), Violation> {
        let world = Arc::clone(&self.world);
        for _ in 0..10 {
            if self.compare_once()? {
                return Ok(());
            }
            self.pass(Duration::HOUR)?;
        }
        let last = world.last_comparison();
        broken("rest", format!("no comparison is complete: {last}"))
    }

    /// Somebody asks for a comparison; whether it was complete.
    fn compare_once(&mut self) -> Result<bool, Violation> {
        let done = Arc::new(Mutex::new(None));
        let (told, world) = (Arc::clone(&done), Arc::clone(&self.world));
        self.world.spawn(Owner::Outside, async move {
            let complete = ask(&world, |app| async move { app.compare(Trigger::Command).await }).await;
            *lock(&told) = Some(complete == Some(true));
        });
        loop {
            self.step()?;
            let ended = *lock(&done);
            if let Some(complete) = ended {
                return Ok(complete);
            }
        }
    }

    fn step(&mut self) -> Result<(), Violation> {
        let world = Arc::clone(&self.world);
        for (owner, job) in world.spawned() {
            self.executor.spawn(owner, job);
        }
        for timer in world.due() {
            self.ring(timer);
        }
        net::pump(&world);
        for (owner, job) in world.spawned() {
            self.executor.spawn(owner, job);
        }
        let next = self.executor.next(&mut world.dice());
        match next {
            Some(place) => {
                let owner = self.executor.owner(place);
                world.trail().turn(place, || match owner {
                    Owner::Outside => format!("-:{place}"),
                    Owner::Process(number) => format!("p{number}:{place}"),
                });
                self.executor.poll(place);
                self.steps += 1;
                world.step();
            }
            None => {
                let net = world.model().next_at().map(|at| at.0 * 1000);
                let next = [world.next_timer(), net].into_iter().flatten().min();
                let Some(next) = next else { return broken("rest", "nothing will ever happen again") };
                world.advance_to(next.max(world.micros() + 1));
            }
        }
        self.blows();
        if let Some(violation) = world.watch().take_violation() {
            return Err(violation);
        }
        if self.steps > STEPS_MAX {
            let open = world.rows.jobs().into_iter().filter(|job| {
                matches!(job.state, JobState::Waiting | JobState::Held { .. }) && job.due_at < world.now()
            });
            let open: Vec<_> = open.collect();
            return broken("steps", format!("{} steps, and no end at {}: {open:?}", self.steps, world.now()));
        }
        if world.knobs.calm_after.is_some_and(|steps| self.steps == steps) {
            self.heal(Phase::Draining);
            self.heal(Phase::Healed);
        }
        Ok(())
    }

    fn ring(&mut self, timer: Timer) {
        match timer {
            Timer::Wake(waker) => waker.wake(),
            Timer::Restart(process) => boot(&self.world, process),
            Timer::Thaw(process) => self.thaw(process),
            Timer::Arrive(input) => self.world.arrive(&input),
            Timer::Phase(phase) => self.heal(phase),
        }
    }

    fn heal(&mut self, phase: Phase) {
        self.world.enter(phase);
        if phase == Phase::Healed {
            (0..self.world.knobs.processes).for_each(|process| self.thaw(process));
        }
    }

    fn thaw(&mut self, process: usize) {
        self.executor.thaw(Owner::Process(process));
    }

    fn blows(&mut self) {
        for (process, blow) in self.world.blows() {
            let owner = Owner::Process(process);
            match blow {
                Blow::Crash => {
                    self.world.is_up(process, None);
                    let lost = self.executor.kill(owner);
                    self.world.note("crash", || format!("p{process}: {lost} tasks"));
                    let after = self.world.wait(Duration::minutes(4));
                    self.world.later(after, Timer::Restart(process));
                }
                Blow::Pause(time) => {
                    self.world.note("pause", || format!("p{process}: {time}"));
                    self.executor.freeze(owner);
                    self.world.later(time, Timer::Thaw(process));
                }
            }
        }
    }
}

/// What is sold: a hat of 19.99 USD.
fn product(world: &World) -> ProductId {
    let hat = Product {
        id: ProductId::from_parts(ManualClock::START, &[1; 10]),
        mode: Mode::Test,
        version: Version::FIRST,
        name: "A fine hat".to_owned(),
        unit_price: Money::from_minor(
            1999,
            paywright_domain::Currency::all()
                .find(|one| one.code() == "usd")
                .unwrap_or_else(|| unreachable!()),
        )
        .unwrap_or_else(|_| unreachable!()),
        active: true,
        metadata: Metadata::new(),
        created_at: ManualClock::START,
    };
    let id = hat.id;
    let _ = peek(world.rows.add(hat));
    id
}
