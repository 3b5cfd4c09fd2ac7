//! Deliveries of events to webhook endpoints: which are due, how they are signed, what came of them.
//!
//! Source: <https://docs.stripe.com/webhooks> and <https://docs.stripe.com/webhooks/signatures>.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;

use super::event::Event;
use super::table::Table;
use super::time::Time;
use super::webhook_endpoint::WebhookEndpoint;

/// Attempts kept in the log of one world.
pub const LOG_MAX: usize = 5_000;
/// Longest part of an endpoint's answer that is kept.
pub const ANSWER_MAX: usize = 1_000;

/// One event on its way to one endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Delivery {
    event: String,
    endpoint: String,
    /// Attempts made.
    attempts: u32,
    due: Time,
    /// A resend by hand is tried once and never again.
    once: bool,
}

/// An attempt, as the log keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    pub delivery: u64,
    pub number: u32,
    pub event: String,
    pub kind: String,
    pub endpoint: String,
    pub url: String,
    /// Milliseconds on the sandbox's clock.
    pub at: Time,
    pub outcome: Outcome,
    /// When it will be tried again.
    pub retry_at: Option<Time>,
}

/// What an endpoint answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub status: Option<u16>,
    pub error: Option<String>,
    pub answer: Option<String>,
    pub latency_ms: u64,
}

impl Outcome {
    /// Only a 2xx is a success: redirects are never followed.
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// What is to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub delivery: u64,
    pub event: String,
    /// The type of the event.
    pub kind: String,
    /// Attempts made before.
    pub attempts: u32,
    pub url: String,
    pub body: String,
    pub secrets: Vec<String>,
    /// A fault changes the body after it was signed.
    pub corrupt: bool,
}

/// The deliveries of one world.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Deliveries {
    open: BTreeMap<u64, Delivery>,
    queue: BTreeSet<(Time, u64)>,
    log: VecDeque<Attempt>,
    count: u64,
}

impl Deliveries {
    /// Plans the delivery of an event to each endpoint that wants it; answers which those are.
    pub fn address(&mut self, event: &Event, endpoints: &Table<WebhookEndpoint>, now: Time) -> Vec<String> {
        let wanting = endpoints.iter().filter(|endpoint| endpoint.wants(&event.kind));
        let wanting: Vec<String> = wanting.map(|endpoint| endpoint.id.clone()).collect();
        for endpoint in &wanting {
            self.plan(&event.id, endpoint, now, false);
        }
        wanting
    }

    /// Plans one more attempt, whatever came of the earlier ones.
    pub fn plan(&mut self, event: &str, endpoint: &str, due: Time, once: bool) -> u64 {
        self.count += 1;
        let delivery =
            Delivery { event: event.to_owned(), endpoint: endpoint.to_owned(), attempts: 0, due, once };
        self.open.insert(self.count, delivery);
        self.queue.insert((due, self.count));
        self.count
    }

    pub fn next_at(&self) -> Option<Time> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The numbers of the deliveries that are due and not among those being sent already.
    pub fn due(&self, now: Time, most: usize, is_being_sent: impl Fn(u64) -> bool) -> Vec<u64> {
        let due = self.queue.iter().take_while(|(at, _)| *at <= now).map(|(_, number)| *number);
        due.filter(|number| !is_being_sent(*number)).take(most).collect()
    }

    /// The number of the newest delivery.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many deliveries have neither succeeded nor been given up.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    pub fn event_of(&self, number: u64) -> Option<(&str, &str)> {
        self.open.get(&number).map(|delivery| (delivery.event.as_str(), delivery.endpoint.as_str()))
    }

    /// How many attempts were made.
    pub fn attempts_of(&self, number: u64) -> u32 {
        self.open.get(&number).map_or(0, |delivery| delivery.attempts)
    }

    /// Puts a delivery off.
    pub fn postpone(&mut self, number: u64, due: Time) {
        if let Some(delivery) = self.open.get_mut(&number) {
            self.queue.remove(&(delivery.due, number));
            delivery.due = due;
            self.queue.insert((due, number));
        }
    }

    /// Ends a delivery without an attempt.
    pub fn abandon(&mut self, number: u64) {
        if let Some(delivery) = self.open.remove(&number) {
            self.queue.remove(&(delivery.due, number));
        }
    }

    /// Ends the deliveries of an event that is forgotten. Deliveries are numbered as their events came, so those of the
    /// oldest event stand first; one that was resent by hand stands later, and ends when it is due.
    pub fn forget(&mut self, event: &str) {
        while let Some((&number, _)) = self.open.first_key_value().filter(|(_, first)| first.event == event) {
            self.abandon(number);
        }
    }

    /// Records an attempt, and ends the delivery after a success or the last attempt.
    pub fn record(
        &mut self,
        number: u64,
        kind: &str,
        url: &str,
        outcome: Outcome,
        schedule: &[i64],
        now: Time,
    ) {
        let Some(delivery) = self.open.get_mut(&number) else { return };
        self.queue.remove(&(delivery.due, number));
        delivery.attempts += 1;
        let place = usize::try_from(delivery.attempts - 1).expect("a count of attempts fits");
        let retry_at = match schedule.get(place) {
            Some(wait) if !outcome.is_success() && !delivery.once => Some(now.plus_millis(*wait)),
            _ => None,
        };
        self.log.push_back(Attempt {
            delivery: number,
            number: delivery.attempts,
            event: delivery.event.clone(),
            kind: kind.to_owned(),
            endpoint: delivery.endpoint.clone(),
            url: url.to_owned(),
            at: now,
            outcome,
            retry_at,
        });
        if self.log.len() > LOG_MAX {
            self.log.pop_front();
        }
        match retry_at {
            Some(at) => {
                delivery.due = at;
                self.queue.insert((at, number));
            }
            None => drop(self.open.remove(&number)),
        }
    }

    /// The newest attempts first.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.log.iter().rev()
    }

    /// Deliveries that wait for an attempt, soonest first.
    pub fn waiting(&self) -> impl Iterator<Item = (Time, &str, &str, u32)> {
        self.queue.iter().filter_map(|(at, number)| {
            let delivery = self.open.get(number)?;
            Some((*at, delivery.event.as_str(), delivery.endpoint.as_str(), delivery.attempts))
        })
    }
}

impl Attempt {
    pub fn render(&self) -> Value {
        json!({
            "delivery": self.delivery,
            "attempt": self.number,
            "event": self.event,
            "type": self.kind,
            "endpoint": self.endpoint,
            "url": self.url,
            "status": self.outcome.status,
            "error": self.outcome.error,
            "answer": self.outcome.answer,
            "latency_ms": self.outcome.latency_ms,
            "at": self.at.seconds(),
            "next_attempt": self.retry_at.map(Time::seconds),
        })
    }
}

/// The `Stripe-Signature` header: one `v1` for each secret, over `{t}.{body}`.
///
/// `t` is real time, also when the sandbox's clock was moved: receivers compare it with their own clock.
pub fn signature(secrets: &[String], wall: Time, body: &str) -> String {
    let t = wall.seconds();
    let mut header = format!("t={t}");
    for secret in secrets {
        header.push_str(",v1=");
        header.push_str(&sign(secret, t, body));
    }
    // Stripe adds a scheme of test events that verifiers must ignore.
    header.push_str(",v0=");
    header.push_str(&sign("a scheme to be ignored", t, body));
    header
}

fn sign(secret: &str, t: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(t.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Outcome {
        Outcome { status: Some(500), ..Outcome::default() }
    }

    #[test]
    fn a_failed_attempt_is_tried_again_by_the_schedule_and_then_given_up() {
        let mut deliveries = Deliveries::default();
        let number = deliveries.plan("evt_1", "we_1", Time(0), false);
        assert_eq!(deliveries.due(Time(0), 10, |_| false), [number]);
        deliveries.record(number, "x", "u", failed(), &[1_000], Time(0));
        assert_eq!(deliveries.open_count(), 1);
        assert_eq!(deliveries.due(Time(999), 10, |_| false), [0; 0]);
        assert_eq!(deliveries.due(Time(1_000), 10, |_| false), [number]);
        deliveries.record(number, "x", "u", failed(), &[1_000], Time(1_000));
        assert_eq!(deliveries.open_count(), 0);
        assert_eq!(deliveries.attempts().count(), 2);
    }

    #[test]
    fn a_success_ends_a_delivery_and_a_redirect_is_none() {
        let mut deliveries = Deliveries::default();
        let number = deliveries.plan("evt_1", "we_1", Time(0), false);
        let redirect = Outcome { status: Some(302), ..Outcome::default() };
        deliveries.record(number, "x", "u", redirect, &[1, 1], Time(0));
        assert_eq!(deliveries.open_count(), 1);
        let success = Outcome { status: Some(204), ..Outcome::default() };
        deliveries.record(number, "x", "u", success, &[1, 1], Time(1));
        assert_eq!(deliveries.open_count(), 0);
    }

    /// Memory has an end also when an endpoint never answers.
    #[test]
    fn the_deliveries_of_a_forgotten_event_end_with_it() {
        let mut world = super::super::world::World::default();
        let numbers: Vec<u64> = ["evt_1", "evt_1", "evt_2"]
            .into_iter()
            .map(|event| world.deliveries.plan(event, "we_1", Time(0), false))
            .collect();
        world.deliveries.record(numbers[0], "x", "u", failed(), &[60_000], Time(0));
        for (id, created) in [("evt_1", 0), ("evt_2", 60)] {
            let event = json!({"id": id, "created": created, "type": "x", "livemode": false,
                "snapshot": "{}", "previous": null, "request_id": null, "idempotency_key": null, "addressed": 1});
            world.events.insert(serde_json::from_value(event).unwrap());
        }
        world.forget_old_events(Time((super::super::event::KEPT_SECONDS + 1) * 1_000));
        assert_eq!((world.events.len(), world.deliveries.open_count()), (1, 1));
        assert_eq!(world.deliveries.due(Time(i64::MAX), 10, |_| false), [numbers[2]]);
    }

    #[test]
    fn every_active_secret_signs_the_raw_body() {
        let header = signature(&["whsec_a".to_owned(), "whsec_b".to_owned()], Time(1_000), "{}");
        let expected = sign("whsec_a", 1, "{}");
        assert!(header.starts_with(&format!("t=1,v1={expected},v1=")));
        assert_ne!(sign("whsec_a", 1, "{}"), sign("whsec_a", 2, "{}"));
        // By an independent implementation: printf '1.{}' | openssl dgst -sha256 -hmac whsec_a
        assert_eq!(expected, "7aaed73a0f45f657eacd5c9b580562745d6023b1e3e6d17dce076b81940aa046");
    }
}
