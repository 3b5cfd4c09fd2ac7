//! The way to Stripe: what the adapter would send over HTTP goes to the model, if it gets there.

use std::time::Duration as StdDuration;

use async_trait::async_trait;
use paywright_sandbox::model::{Effect, Input, Method, Request, Response};
use paywright_stripe::{Answered, Lost, Sent, Transport};
use time::Duration;

use super::Line;
use crate::fault::Fault;

/// The account's key.
const KEY: &str = "sk_test_simulation";
/// How long the adapter waits for an answer.
const DEADLINE: Duration = Duration::seconds(20);
/// How late a request may arrive that its sender has given up.
const LATEST: Duration = Duration::seconds(35);

/// The way from one process to Stripe.
pub(crate) struct Wire(pub(crate) Line);

#[async_trait]
impl Transport for Wire {
    async fn exchange(&self, sent: Sent<'_>) -> Result<Answered, Lost> {
        let world = &self.0.world;
        self.0.pass().await;
        self.on_the_way(&sent).await?;
        if let Some(refusal) = self.refused(&sent) {
            return Ok(refusal);
        }
        let (request, writes) = (read(&sent), sent.method == "POST");
        if writes && world.strikes(Fault::LateEffect) {
            let after = world.wait(LATEST);
            world.late(sent.key.unwrap_or_default(), after, Input::Request { request, fault: None });
            world.sleep(DEADLINE).await;
            return Err(Lost::Unanswered);
        }
        let creates = sent.key.is_some_and(|key| key.starts_with("create_"));
        let fault = self.twist(writes, creates);
        if let Some(key) = sent.key {
            world.watch().sent(world, key, sent.path, sent.form);
        }
        let answer = world.stripe(&Input::Request { request, fault });
        world.note("stripe", || told(&sent, &answer));
        world.watch().stripe_moved(world, &answer.events);
        self.0.pass().await;
        self.on_the_way_back(&sent, answer).await
    }
}

impl Wire {
    async fn on_the_way(&self, sent: &Sent<'_>) -> Result<(), Lost> {
        let world = &self.0.world;
        if world.strikes(Fault::GatewayOutage) {
            let longest = world.pick(&[1, 3, 60]);
            let time = world.wait(Duration::hours(longest));
            world.gateway_goes_away(time);
        }
        if world.gateway_is_away() {
            let (lost, wait) = if world.chance(500) {
                (Lost::NotSent, Duration::seconds(1))
            } else {
                (Lost::Unanswered, DEADLINE)
            };
            world.sleep(wait).await;
            return Err(lost);
        }
        if world.strikes(Fault::GatewaySlow) {
            let time = world.wait(DEADLINE);
            world.sleep(time).await;
        }
        if world.strikes(Fault::NotSent) {
            return Err(Lost::NotSent);
        }
        if world.strikes(Fault::UnknownBefore) {
            world.note("lost", || told(sent, &Response::default()));
            world.sleep(DEADLINE).await;
            return Err(Lost::Unanswered);
        }
        Ok(())
    }

    /// Answers from before the place where requests are carried out.
    fn refused(&self, sent: &Sent<'_>) -> Option<Answered> {
        let world = &self.0.world;
        if world.strikes(Fault::Limited) {
            let locked = sent.method == "POST" && world.chance(500);
            let (code, reason) =
                if locked { ("lock_timeout", "resource-specific") } else { ("rate_limit", "endpoint-rate") };
            let wait = world.between(1, 30).to_string();
            let mut answer = error(429, "invalid_request_error", code);
            answer.headers.push(("Stripe-Rate-Limited-Reason".to_owned(), reason.to_owned()));
            answer.headers.push(("Retry-After".to_owned(), wait));
            return Some(answer);
        }
        let key = sent.key?;
        if world.is_late(key) || world.strikes(Fault::InUse) {
            return Some(error(409, "idempotency_error", "idempotency_key_in_use"));
        }
        None
    }

    /// What Stripe itself gets wrong.
    fn twist(&self, writes: bool, creates: bool) -> Option<Effect> {
        let world = &self.0.world;
        if writes && world.strikes(Fault::SpentBefore) {
            return Some(Effect::ErrorWithoutEffect);
        }
        if writes && world.strikes(Fault::SpentAfter) {
            return Some(Effect::ErrorWithEffect);
        }
        if writes && world.strikes(Fault::SpentThenDone) {
            let after_seconds = world.pick(&[5, 300, 20_000]);
            return Some(Effect::ErrorThenRepair { after_seconds });
        }
        if world.strikes(Fault::Untrue) {
            let lies = [Effect::OtherObject, Effect::WrongLivemode, Effect::WrongAmount, Effect::UnknownEnum];
            // Nobody can know that what was just created has another name than the one that Stripe gives it.
            let first = usize::from(creates);
            return Some(world.pick(&lies[first..]));
        }
        None
    }

    async fn on_the_way_back(&self, sent: &Sent<'_>, answer: Response) -> Result<Answered, Lost> {
        let world = &self.0.world;
        if world.strikes(Fault::UnknownAfter) {
            world.note("unheard", || told(sent, &answer));
            world.sleep(DEADLINE).await;
            return Err(Lost::Unanswered);
        }
        if world.strikes(Fault::BadGateway) {
            let status = world.pick(&[502, 503, 504]);
            return Ok(Answered {
                status,
                body: b"<html>Bad gateway</html>".to_vec(),
                ..Answered::default()
            });
        }
        let mut answered =
            Answered { status: answer.status, headers: answer.headers, body: answer.body.into() };
        if world.strikes(Fault::Garbled) {
            answered.body.truncate(answered.body.len() / 2);
        }
        if let Some(date) = world.wall().http_date() {
            answered.headers.push(("Date".to_owned(), date));
        }
        Ok(answered)
    }
}

fn read(sent: &Sent<'_>) -> Request {
    let method = match sent.method {
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        _ => Method::Get,
    };
    let (path, query) = sent.path.split_once('?').unwrap_or((sent.path, ""));
    let mut request = Request::new(method, path).key(KEY).form(sent.form);
    query.clone_into(&mut request.query);
    request.idempotency_key = sent.key.map(str::to_owned);
    request
}

/// An error as Stripe words it.
fn error(status: u16, kind: &str, code: &str) -> Answered {
    let body = serde_json::json!({"error": {"type": kind, "code": code, "message": "A fault."}});
    let headers = vec![("Request-Id".to_owned(), "req_fault".to_owned())];
    Answered { status, headers, body: body.to_string().into() }
}

fn told(sent: &Sent<'_>, answer: &Response) -> String {
    let key = sent.key.unwrap_or_default();
    let replayed = answer.header_value("Idempotent-Replayed").map_or("", |_| " replayed");
    format!("{} {} {key} -> {}{replayed} {}", sent.method, sent.path, answer.status, answer.events.len())
}

/// That the adapter's own deadline is the one that is simulated.
const _: () = assert!(paywright_stripe::Settings::DEADLINE.as_secs() == StdDuration::from_secs(20).as_secs());
