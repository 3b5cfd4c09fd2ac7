//! Webhooks on their way from Stripe to us.

use std::sync::Arc;

use paywright_sandbox::model::{
    Blow, Control, Input, Mode, Time,
    delivery::{Outcome, Outgoing, signature},
};
use serde_json::{Value, json};
use time::Duration;

use crate::{
    executor::Owner,
    fault::Fault,
    process::ask,
    world::{SECRET, World},
};

/// Webhooks that are sent at once.
const AT_ONCE: usize = 6;

/// Longer than a delivery is under way, in milliseconds.
const UNDER_WAY: i64 = 60 * 24 * 3_600_000;

/// Sends what is due.
pub(crate) fn pump(world: &Arc<World>) {
    let wall = world.wall();
    let due = {
        let model = world.model();
        if model.next_at().is_none_or(|at| at > wall) {
            return;
        }
        model.due_deliveries(wall, AT_ONCE, |_, _| false)
    };
    let ticks = world.model().has_due_timer(wall);
    if ticks {
        let answer = world.stripe(&Input::Tick);
        world.watch().stripe_moved(world, &answer.events);
    }
    for (mode, outgoing) in due {
        match outgoing {
            Ok(outgoing) => {
                // Nobody else sends it meanwhile.
                let blow = Blow::Postpone { millis: UNDER_WAY };
                world.stripe(&Input::Strike { mode, delivery: outgoing.delivery, blow });
                world.watch().sends(outgoing.delivery);
                world.spawn(Owner::Outside, deliver(Arc::clone(world), mode, outgoing));
            }
            Err(delivery) => drop(world.stripe(&Input::Abandon { mode, delivery })),
        }
    }
}

async fn deliver(world: Arc<World>, mode: Mode, outgoing: Outgoing) {
    let number = outgoing.delivery;
    if world.strikes(Fault::WebhookLost) {
        world.stripe(&Input::Strike {
            mode,
            delivery: number,
            blow: Blow::Lose { url: outgoing.url.clone() },
        });
        world.watch().arrived(number);
        return;
    }
    if world.strikes(Fault::WebhookDelayed) {
        let time = world.wait(Duration::minutes(3));
        world.sleep(time).await;
    }
    if world.strikes(Fault::WebhookLate) {
        let time = world.wait(Duration::days(2));
        world.sleep(time).await;
    }
    if world.strikes(Fault::WebhookDoubled) {
        for _ in 0..world.between(1, 3) {
            world.spawn(Owner::Outside, again(Arc::clone(&world), outgoing.clone()));
        }
    }
    let stale = world.strikes(Fault::WebhookStale);
    let status = send(&world, &outgoing, stale).await;
    let outcome =
        Outcome { status, error: status.is_none().then(|| "broken".to_owned()), ..Outcome::default() };
    world.stripe(&Input::Attempt { mode, delivery: number, url: outgoing.url.clone(), outcome });
    world.watch().arrived(number);
}

async fn again(world: Arc<World>, outgoing: Outgoing) {
    let time = world.wait(Duration::minutes(20));
    world.sleep(time).await;
    send(&world, &outgoing, false).await;
}

/// Sends it once; the status that came back.
async fn send(world: &Arc<World>, outgoing: &Outgoing, stale: bool) -> Option<u16> {
    let body = if world.strikes(Fault::WebhookOutdated) {
        outdated(world, &outgoing.body)
    } else {
        outgoing.body.clone()
    };
    let mut signed_at = world.wall();
    if stale {
        signed_at = Time(signed_at.0 - 700_000);
    }
    let header = signature(&outgoing.secrets, signed_at, &body);
    let status = post(world, header, body).await;
    world.note("webhook", || format!("{} {} {status:?}", outgoing.kind, outgoing.event));
    if status == Some(200) {
        world.watch().acknowledged(&outgoing.event);
    }
    status
}

async fn post(world: &Arc<World>, header: String, body: String) -> Option<u16> {
    ask(world, move |app| async move { app.intake(&header, body.as_bytes()).await }).await
}

/// The same event as an account of an older version would get it, and it does not say what the API says: what it shows
/// must be looked up.
fn outdated(world: &World, body: &str) -> String {
    let Ok(mut event) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    let object = &mut event["data"]["object"];
    let kind = object["object"].as_str().unwrap_or_default();
    if !matches!(kind, "payment_intent" | "charge" | "checkout.session") {
        return body.to_owned();
    }
    let status = world.pick(&["succeeded", "requires_payment_method", "canceled", "paid", "complete"]);
    object["status"] = json!(status);
    for name in ["amount_received", "amount_captured", "amount_refunded", "amount_capturable"] {
        if object[name].is_number() {
            object[name] = json!(world.below(5_000));
        }
    }
    event["api_version"] = json!("2019-12-03");
    event.to_string()
}

/// Somebody who knows no secret says that a payment was paid.
pub(crate) async fn forge(world: Arc<World>, intent: String) {
    let number = world.bits();
    let body = json!({
        "id": format!("evt_forged{number}"), "object": "event", "type": "payment_intent.succeeded",
        "created": world.wall().seconds(), "livemode": false, "api_version": paywright_stripe_version(),
        "data": {"object": {
            "id": intent, "object": "payment_intent", "amount": 1999, "amount_received": 1999, "currency": "usd",
            "status": "succeeded", "capture_method": "automatic", "created": world.wall().seconds(),
            "livemode": false, "metadata": {}
        }}
    });
    let body = body.to_string();
    let header = signature(&["whsec_guessed".to_owned()], world.wall(), &body);
    let status = post(&world, header, body).await;
    world.note("forged", || format!("{status:?}"));
}

/// Stripe tells of something that nobody knew when we were written.
pub(crate) async fn tell_news(world: Arc<World>, intent: String) {
    let number = world.bits();
    let id = format!("evt_news{number}");
    let kind = world.pick(&["payment_intent.teleported", "moon.phase_changed"]);
    let body = json!({
        "id": id, "object": "event", "type": kind, "created": world.wall().seconds(), "livemode": false,
        "api_version": "2031-01-01.later",
        "data": {"object": {"id": intent, "object": "payment_intent", "status": "teleported"}}
    });
    let body = body.to_string();
    let header = signature(&[SECRET.to_owned()], world.wall(), &body);
    if post(&world, header, body).await == Some(200) {
        world.watch().acknowledged(&id);
    }
}

/// Somebody sends an event again, by hand.
pub(crate) fn resend(world: &World) {
    let event = {
        let model = world.model();
        let events = &model.world(Mode::Test).events;
        let place = world.below(events.len() as u64);
        usize::try_from(place).ok().and_then(|place| events.at(place)).map(|event| event.id.clone())
    };
    if let Some(event) = event {
        world.stripe(&Input::Control(Control::Resend { event }));
    }
}

/// The version whose shapes the adapter reads.
fn paywright_stripe_version() -> &'static str {
    paywright_sandbox::model::API_VERSION
}
