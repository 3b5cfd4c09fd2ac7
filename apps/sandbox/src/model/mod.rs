//! The model: everything Stripe remembers, and how each input changes it.
//!
//! Pure: no HTTP, no runtime, no clock, no source of entropy. The same inputs in the same order give the
//! same state and the same answers, so a journal of inputs rebuilds a sandbox, and a simulation can drive it.
//!
//! ```
//! use paywright_sandbox::model::{Input, Method, Model, Request, Time};
//!
//! let mut model = Model::default();
//! let request = Request::new(Method::Post, "/v1/payment_intents").key("sk_test_1").form("amount=1999&currency=eur");
//! let answer = model.apply(&Input::Request { request, fault: None }, Time(0), 42);
//! assert_eq!(answer.status, 200);
//! ```

pub mod account;
pub mod auth;
pub mod balance_transaction;
pub mod billing_portal;
pub mod by_hand;
pub mod cards;
pub mod charge;
pub mod checkout_session;
pub mod context;
pub mod control;
pub mod currency;
pub mod customer;
pub mod delivery;
pub mod dispute;
pub mod error;
pub mod event;
pub mod expand;
pub mod expandable;
pub mod fault;
pub mod form;
pub mod handle;
pub mod idempotency;
pub mod invoice;
pub mod list;
pub mod metadata;
pub mod parameters;
pub mod params;
pub mod payment_intent;
pub mod payment_method;
pub mod payout;
pub mod price;
pub mod product;
pub mod random;
pub mod refund;
pub mod request;
pub mod route;
pub mod setup_intent;
pub mod subscription;
pub mod table;
pub mod time;
pub mod timers;
pub mod webhook_endpoint;
pub mod world;

use serde::{Deserialize, Serialize};

pub use control::Control;
pub use fault::Effect;
pub use request::{Method, Request, Response};
pub use time::{Clock, Time};

use context::Context;
use delivery::{Outcome, Outgoing};
use random::Random;
use timers::Due;
use world::World;

/// The version of Stripe's API that this sandbox is. Source: <https://docs.stripe.com/changelog>.
pub const API_VERSION: &str = "2026-07-29.dahlia";

/// Most timers run by one input, so that a far jump of the clock ends.
const TIMERS_MAX: usize = 100_000;

/// What the shell decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where the sandbox's own pages are, without a slash at the end.
    pub public_url: String,
    /// Waits after the first, second, ... failed delivery attempt, in milliseconds.
    pub retry_schedule_ms: Vec<i64>,
    /// The most objects that each mode holds; then a POST is refused until a reset.
    #[serde(default = "objects_max")]
    pub objects_max: usize,
}

/// By default: about 125,000 card payments, some 2 GB.
pub(crate) fn objects_max() -> usize {
    500_000
}

/// A webhook endpoint that is configured from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preset {
    pub url: String,
    pub secret: String,
    pub enabled_events: Vec<String>,
}

/// Test or live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    Test,
    Live,
}

/// Everything that changes the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input {
    Configure {
        settings: Settings,
        presets: Vec<Preset>,
    },
    Request {
        request: Request,
        fault: Option<Effect>,
    },
    Control(Control),
    /// Timers that are due.
    Tick,
    /// What came of sending a webhook.
    Attempt {
        mode: Mode,
        delivery: u64,
        url: String,
        outcome: Outcome,
    },
    /// An endpoint or an event is gone.
    Abandon {
        mode: Mode,
        delivery: u64,
    },
    /// A fault strikes a delivery.
    Strike {
        mode: Mode,
        delivery: u64,
        blow: Blow,
    },
}

/// What a fault does to a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blow {
    Lose { url: String },
    Duplicate { copies: u32 },
    Postpone { millis: i64 },
}

/// All state. See the module's documentation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    pub settings: Settings,
    pub clock: Clock,
    inputs: u64,
    test: World,
    live: World,
}

impl Default for Settings {
    fn default() -> Self {
        let public_url = "http://127.0.0.1:12111".to_owned();
        Self { public_url, retry_schedule_ms: vec![1_000], objects_max: objects_max() }
    }
}

impl Default for Model {
    fn default() -> Self {
        let settings = Settings::default();
        let world = |livemode| World {
            livemode,
            public_url: settings.public_url.clone(),
            objects_max: settings.objects_max,
            ..World::default()
        };
        Self { clock: Clock::default(), inputs: 0, test: world(false), live: world(true), settings }
    }
}

impl Model {
    /// Handles one input at the real time `wall`. Timers that are due run first.
    pub fn apply(&mut self, input: &Input, wall: Time, entropy: u64) -> Response {
        self.inputs += 1;
        let mut random = Random::new(entropy, self.inputs);
        let now = self.clock.observe(wall);
        self.run_timers(now, &mut random);
        self.test.clock_seconds = now.seconds();
        self.live.clock_seconds = now.seconds();
        match input {
            Input::Configure { settings, presets } => self.configure(settings, presets, now, &mut random),
            Input::Request { request, fault } => return self.handle(request, *fault, now, random),
            Input::Control(control) => return self.control(control, wall, random),
            Input::Tick => {}
            Input::Attempt { mode, delivery, url, outcome } => {
                let settings = self.settings.clone();
                self.world_mut(*mode).record_attempt(*delivery, url, outcome.clone(), &settings, now);
            }
            Input::Abandon { mode, delivery } => self.world_mut(*mode).abandon_delivery(*delivery),
            Input::Strike { mode, delivery, blow } => {
                let world = self.world_mut(*mode);
                match blow {
                    Blow::Lose { url } => world.lose_delivery(*delivery, url, now),
                    Blow::Duplicate { copies } => world.duplicate_delivery(*delivery, *copies, now),
                    Blow::Postpone { millis } => {
                        world.deliveries.postpone(*delivery, now.plus_millis(*millis))
                    }
                }
            }
        }
        Response::default()
    }

    /// Answers a GET. Nothing changes, so a journal need not know of it: timers that are due must have
    /// been run by an [`Input::Tick`] before.
    pub fn read(&mut self, request: &Request, fault: Option<Effect>, wall: Time, entropy: u64) -> Response {
        let now = self.clock.at(wall);
        self.handle(request, fault, now, Random::new(entropy, 0))
    }

    pub fn world(&self, mode: Mode) -> &World {
        match mode {
            Mode::Test => &self.test,
            Mode::Live => &self.live,
        }
    }

    fn world_mut(&mut self, mode: Mode) -> &mut World {
        match mode {
            Mode::Test => &mut self.test,
            Mode::Live => &mut self.live,
        }
    }

    /// The mode that an object is in.
    pub fn mode_of(&self, id: &str) -> Option<Mode> {
        [Mode::Test, Mode::Live].into_iter().find(|mode| self.world(*mode).find(id).is_some())
    }

    /// When something is due: a timer, or a delivery.
    pub fn next_at(&self) -> Option<Time> {
        let worlds = [&self.test, &self.live];
        worlds
            .into_iter()
            .flat_map(|world| [world.timers.next_at(), world.deliveries.next_at()])
            .flatten()
            .min()
    }

    /// Whether a timer is due, so that a [`Input::Tick`] would change something.
    pub fn has_due_timer(&self, wall: Time) -> bool {
        let now = self.clock.at(wall);
        [&self.test, &self.live].into_iter().filter_map(|world| world.timers.next_at()).any(|at| at <= now)
    }

    /// What is to be sent now. An error names a delivery that has lost its event or endpoint.
    pub fn due_deliveries(
        &self,
        wall: Time,
        most: usize,
        is_being_sent: impl Fn(Mode, u64) -> bool,
    ) -> Vec<(Mode, Result<Outgoing, u64>)> {
        let now = self.clock.at(wall);
        let modes = [Mode::Test, Mode::Live].into_iter();
        modes
            .flat_map(|mode| {
                let due = self.world(mode).deliveries.due(now, most, |number| is_being_sent(mode, number));
                due.into_iter().map(move |number| (mode, number))
            })
            .map(|(mode, number)| (mode, self.world(mode).outgoing(number, now).ok_or(number)))
            .take(most)
            .collect()
    }

    fn configure(&mut self, settings: &Settings, presets: &[Preset], now: Time, random: &mut Random) {
        self.settings = settings.clone();
        self.test.public_url.clone_from(&settings.public_url);
        self.live.public_url.clone_from(&settings.public_url);
        (self.test.objects_max, self.live.objects_max) = (settings.objects_max, settings.objects_max);
        for preset in presets {
            webhook_endpoint::preset(&mut self.test.webhook_endpoints, random.id("we"), preset, now);
        }
    }

    /// A context to work in one world.
    fn context(&mut self, mode: Mode, now: Time, random: Random) -> Context<'_> {
        let (world, other) = match mode {
            Mode::Test => (&mut self.test, &self.live),
            Mode::Live => (&mut self.live, &self.test),
        };
        Context { world, other, now, random, request_id: None, idempotency_key: None, events: Vec::new() }
    }

    /// Runs what is due, each at its own time, the earliest first.
    fn run_timers(&mut self, now: Time, random: &mut Random) {
        for mode in [Mode::Test, Mode::Live] {
            for _ in 0..TIMERS_MAX {
                let Some((at, due)) = self.world_mut(mode).timers.pop(now) else { break };
                let entropy = Random::new(random.bits(), self.inputs);
                let mut context = self.context(mode, at, entropy);
                context.world.clock_seconds = at.seconds();
                happen(&mut context, due);
            }
        }
    }
}

fn happen(context: &mut Context<'_>, due: Due) {
    match due {
        Due::SessionExpires(id) => checkout_session::expire_now(context, &id),
        Due::HoldExpires(id) => payment_intent::expire_hold(context, &id),
        Due::ChargeIsBooked(id) => charge::book_later(context, &id),
        Due::FundsAvailable(id) => balance_transaction::become_available(context, &id),
        Due::RefundSettles(id) => refund::settle(context, &id),
        Due::RefundFails(id) => refund::fail(context, &id, refund::FAILURE),
        Due::DisputeSettles(id) => dispute::settle(context, &id),
        Due::RequestRepaired(id) => handle::repair(context, &id),
        Due::DisputeDeadline(id) => dispute::miss_deadline(context, &id),
        Due::InvoiceFinalizes(id) => {
            invoice::finalize_now(context, &id);
            invoice::retry(context, &id);
        }
        Due::InvoiceRetries(id) => invoice::retry(context, &id),
        Due::SubscriptionRenews(id) => subscription::renew(context, &id),
        Due::SubscriptionExpires(id) => subscription::expire_incomplete(context, &id),
        Due::TrialWillEnd(id) => subscription::trial_will_end(context, &id),
        Due::PayoutLeaves(id) => payout::leave(context, &id),
        Due::PayoutArrives(id) => payout::arrive(context, &id),
        Due::DailyPayout => payout::pay_out_daily(context),
        Due::PaymentSettles(id) => {
            payment_intent::conclude(context, &id);
            checkout_session::conclude(context, &id);
        }
    }
}
