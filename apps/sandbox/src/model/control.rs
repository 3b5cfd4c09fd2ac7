//! The control API: what a customer, the calendar or a tester does, apart from Stripe's own API.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::by_hand::{self, ByHand};
use super::checkout_session::{self, Authenticate, PayDetails};
use super::error::{ApiError, ApiResult};
use super::payment_intent::{self, Attempt, Status};
use super::random::Random;
use super::request::Response;
use super::time::Time;
use super::{Mode, Model, refund, setup_intent, webhook_endpoint};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    PaySession {
        session: String,
        details: PayDetails,
    },
    PayIntent {
        intent: String,
        details: PayDetails,
    },
    Authenticate {
        intent: String,
        outcome: Authenticate,
    },
    /// Opens an expired Session's recovery.
    Recover {
        session: String,
    },
    /// Sends an event again, to every endpoint that wants it.
    Resend {
        event: String,
    },
    /// Gives an endpoint a new secret; the old one signs along for a while.
    RollSecret {
        endpoint: String,
        keep_millis: i64,
    },
    /// Someone acts on an object apart from the API.
    ByHand(ByHand),
    /// Changes the account's terms, in both modes.
    Account(Value),
    /// Forgets one idempotency key, or all, in both modes.
    ForgetKeys {
        key: Option<String>,
    },
    Clock(ClockCommand),
    /// Forgets everything but the endpoints that were configured from outside.
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClockCommand {
    Advance { millis: i64 },
    Freeze,
    Unfreeze,
}

impl Model {
    pub(super) fn control(&mut self, control: &Control, wall: Time, random: Random) -> Response {
        match self.carry_out(control, wall, random) {
            Ok((body, events)) => Response { events, ..Response::json(200, &body) },
            Err(error) => Response::json(error.status, &error.body()),
        }
    }

    fn carry_out(
        &mut self,
        control: &Control,
        wall: Time,
        random: Random,
    ) -> ApiResult<(Value, Vec<String>)> {
        let now = self.clock.at(wall);
        match control {
            Control::PaySession { session, details } => {
                let mut context = self.context(self.mode_or_test(session), now, random);
                context.world.check_room()?;
                let body = checkout_session::pay(&mut context, session, details.clone())?;
                Ok((body, context.events))
            }
            Control::PayIntent { intent, details } if intent.starts_with("seti_") => {
                let mut context = self.context(self.mode_or_test(intent), now, random);
                set_up_intent(&mut context, intent, details)?;
                Ok((context.world.setup_intent(intent), context.events))
            }
            Control::Authenticate { intent, outcome } if intent.starts_with("seti_") => {
                let mut context = self.context(self.mode_or_test(intent), now, random);
                setup_intent::authenticate(&mut context, intent, *outcome == Authenticate::Complete)?;
                checkout_session::follow_setup(&mut context, intent);
                Ok((context.world.setup_intent(intent), context.events))
            }
            Control::PayIntent { intent, details } => {
                let mut context = self.context(self.mode_or_test(intent), now, random);
                context.world.check_room()?;
                pay_intent(&mut context, intent, details)?;
                Ok((context.world.intent(intent), context.events))
            }
            Control::Authenticate { intent, outcome } => {
                let mut context = self.context(self.mode_or_test(intent), now, random);
                payment_intent::authenticate(&mut context, intent, *outcome == Authenticate::Complete)?;
                checkout_session::follow(&mut context, intent);
                Ok((context.world.intent(intent), context.events))
            }
            Control::Recover { session } => {
                let mut context = self.context(self.mode_or_test(session), now, random);
                checkout_session::recover(&mut context, session).map(|body| (body, Vec::new()))
            }
            Control::Resend { event } => self.resend(event, now).map(|body| (body, Vec::new())),
            Control::RollSecret { endpoint, keep_millis } => {
                let mut context = self.context(self.mode_or_test(endpoint), now, random);
                let until = now.plus_millis((*keep_millis).clamp(0, webhook_endpoint::ROLL_MILLIS_MAX));
                webhook_endpoint::roll(&mut context, endpoint, until).map(|body| (body, Vec::new()))
            }
            Control::ByHand(hand) => {
                let mut context = self.context(self.mode_or_test(&hand.id), now, random);
                let body = by_hand::act(&mut context, hand)?;
                Ok((body, context.events))
            }
            Control::Account(change) => self.change_account(change, now, random),
            Control::ForgetKeys { key } => {
                let modes = [Mode::Test, Mode::Live].into_iter();
                let forgotten = modes.map(|mode| self.world_mut(mode).idempotency.forget(key.as_deref()));
                Ok((json!({"forgotten": forgotten.sum::<usize>()}), Vec::new()))
            }
            Control::Clock(command) => {
                self.move_clock(*command, wall, random);
                Ok((self.render_clock(wall), Vec::new()))
            }
            Control::Reset => {
                self.reset();
                Ok((json!({"reset": true}), Vec::new()))
            }
        }
    }

    fn change_account(
        &mut self,
        change: &Value,
        now: Time,
        mut random: Random,
    ) -> ApiResult<(Value, Vec<String>)> {
        let terms = self.world(Mode::Test).terms.changed(change)?;
        let mut events = Vec::new();
        for mode in [Mode::Test, Mode::Live] {
            let entropy = Random::new(random.bits(), 0);
            let mut context = self.context(mode, now, entropy);
            context.world.terms = terms.clone();
            refund::pay_waiting(&mut context);
            events.append(&mut context.events);
        }
        Ok((terms.render(), events))
    }

    fn mode_or_test(&self, id: &str) -> Mode {
        self.mode_of(id).unwrap_or(Mode::Test)
    }

    fn resend(&mut self, id: &str, now: Time) -> ApiResult<Value> {
        let world = self.world_mut(self.mode_or_test(id));
        let Some(event) = world.events.get_mut(id) else {
            return Err(ApiError::no_such("event", id, "id").into());
        };
        let kind = event.kind.clone();
        let wanting = world.webhook_endpoints.iter().filter(|endpoint| endpoint.wants(&kind));
        let endpoints: Vec<String> = wanting.map(|endpoint| endpoint.id.clone()).collect();
        if event.addressed == 0 {
            event.undelivered.clone_from(&endpoints);
            event.addressed = endpoints.len();
        }
        for endpoint in &endpoints {
            world.deliveries.plan(id, endpoint, now, true);
        }
        Ok(json!({"event": id, "endpoints": endpoints}))
    }

    fn move_clock(&mut self, command: ClockCommand, wall: Time, mut random: Random) {
        match command {
            ClockCommand::Advance { millis } => self.clock.advance(millis.max(0)),
            ClockCommand::Freeze => self.clock.freeze(wall),
            ClockCommand::Unfreeze => self.clock.unfreeze(wall),
        }
        let now = self.clock.observe(wall);
        self.run_timers(now, &mut random);
    }

    /// The clock, for people and programs.
    pub fn render_clock(&self, wall: Time) -> Value {
        json!({
            "now": self.clock.at(wall).seconds(),
            "now_ms": self.clock.at(wall).0,
            "offset_ms": self.clock.offset_millis(wall),
            "frozen": self.clock.is_frozen(),
        })
    }

    fn reset(&mut self) {
        let fresh = Model::default();
        for mode in [Mode::Test, Mode::Live] {
            let world = self.world_mut(mode);
            let endpoints = std::mem::take(&mut world.webhook_endpoints);
            let public_url = std::mem::take(&mut world.public_url);
            let objects_max = world.objects_max;
            *world = super::world::World {
                livemode: mode == Mode::Live,
                public_url,
                objects_max,
                ..Default::default()
            };
            let kept = endpoints.iter().filter(|endpoint| endpoint.preset && !endpoint.deleted).cloned();
            world.webhook_endpoints = kept.collect();
        }
        self.clock = fresh.clock;
    }
}

fn set_up_intent(context: &mut super::context::Context<'_>, id: &str, details: &PayDetails) -> ApiResult<()> {
    setup_intent::get(context, id)?;
    setup_intent::set_up_with(context, id, &details.card, details.billing())?;
    let waits = setup_intent::get(context, id)?.status == setup_intent::SetupStatus::RequiresAction;
    if let Some(answer) = details.authenticate.filter(|_| waits) {
        setup_intent::authenticate(context, id, answer == Authenticate::Complete)?;
    }
    checkout_session::follow_setup(context, id);
    Ok(())
}

fn pay_intent(context: &mut super::context::Context<'_>, id: &str, details: &PayDetails) -> ApiResult<()> {
    payment_intent::get(context, id)?;
    payment_intent::pay_with(context, id, &details.card, details.billing(), Attempt::default())?;
    let waits = payment_intent::get(context, id)?.status == Status::RequiresAction;
    if let Some(answer) = details.authenticate.filter(|_| waits) {
        payment_intent::authenticate(context, id, answer == Authenticate::Complete)?;
    }
    checkout_session::follow(context, id);
    Ok(())
}
