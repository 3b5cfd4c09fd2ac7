//! The rules: which fault strikes what, when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Effect;
use crate::model::error::ApiError;
use crate::model::idempotency;
use crate::model::random::Random;
use crate::model::request::Method;
use crate::model::time::Time;

/// Certainty, in millionths.
pub(super) const CERTAIN: u64 = 1_000_000;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The answer (or the webhook) comes later.
    Delay,
    /// The connection ends without an answer.
    Reset,
    /// The answer comes in drops.
    Drip,
    /// The answer ends in its middle.
    Truncate,
    /// A proxy's HTML page instead of JSON.
    HtmlError,
    /// A 500 that is kept under the idempotency key.
    #[serde(rename = "error_500")]
    Error500,
    /// A 502 that is not kept.
    BadGateway,
    /// A 503 that is not kept.
    Unavailable,
    /// A 504 that is not kept.
    GatewayTimeout,
    /// A 200 without a body.
    EmptyBody,
    /// A 200 whose body never ends.
    EndlessBody,
    /// Nothing is wrong but the header `Stripe-Should-Retry`.
    ShouldRetry,
    /// The answer is about another object.
    OtherObject,
    /// 409 `idempotency_key_in_use`.
    Conflict,
    /// 429 by a rate limiter.
    RateLimit,
    /// 429 `lock_timeout`.
    LockTimeout,
    WrongLivemode,
    WrongAmount,
    UnknownEnum,
    /// A webhook is lost for good.
    Drop,
    /// A webhook comes several times.
    Duplicate,
    /// Webhooks overtake each other.
    Reorder,
    /// A webhook's body is not what was signed.
    Corrupt,
    /// A webhook is signed with a secret that nobody knows.
    OldSecret,
}

impl Kind {
    /// Whether it strikes webhooks; a delay strikes both.
    pub fn is_for_webhooks(self) -> bool {
        matches!(
            self,
            Self::Drop | Self::Duplicate | Self::Reorder | Self::Corrupt | Self::OldSecret | Self::Delay
        )
    }

    /// Whether something else is answered than what Stripe said, or nothing at all.
    pub fn replaces_the_answer(self) -> bool {
        matches!(
            self,
            Self::Reset
                | Self::HtmlError
                | Self::BadGateway
                | Self::Unavailable
                | Self::GatewayTimeout
                | Self::EmptyBody
                | Self::EndlessBody
        )
    }

    pub fn is_for_requests(self) -> bool {
        self == Self::Delay || !self.is_for_webhooks()
    }
}

/// What a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Requests,
    Webhooks,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub target: Target,
    pub kind: Kind,
    /// For a fault that replaces the answer: whether the request is carried out first.
    pub effect: bool,
    /// How long a delay is, or between two drops.
    pub millis: u64,
    /// How many further copies of a webhook.
    pub copies: u32,
    pub method: Option<Method>,
    /// `/v1/refunds`, or `/v1/payment_intents/*/capture`; for webhooks a type, `charge.*`.
    pub pattern: Option<String>,
    /// Only the nth match, counted from one.
    pub nth: Option<u64>,
    /// In millionths.
    pub probability: u64,
    /// Ends after so many strikes.
    pub times: Option<u64>,
    /// For a 500 without its effect: the request is carried out by itself so much later.
    pub repair_after_seconds: Option<i64>,
    /// What `Stripe-Should-Retry` says, whatever the answer is.
    pub should_retry: Option<bool>,
}

/// What may be struck.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    Request { method: Method, path: &'a str },
    Webhook { kind: &'a str },
}

/// A fault that strikes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub kind: Kind,
    pub effect: bool,
    pub millis: u64,
    pub copies: u32,
    pub repair_after_seconds: Option<i64>,
    pub should_retry: Option<bool>,
}

#[derive(Debug)]
struct Armed {
    id: u64,
    rule: Rule,
    matched: u64,
    struck: u64,
}

/// All rules, and the generator that decides. Not part of the model's state: a fault that changes a
/// request is part of that request's input.
#[derive(Debug)]
pub struct Faults {
    rules: Vec<Armed>,
    count: u64,
    random: Random,
    /// Stripe's limits: 100 requests a second, 25 an endpoint. Source: <https://docs.stripe.com/rate-limits>.
    pub rate_limits: bool,
    second: i64,
    used: BTreeMap<String, u32>,
}

/// Most rules at once.
pub(super) const RULES_MAX: usize = 100;
const LIMIT_ALL: u32 = 100;
const LIMIT_ENDPOINT: u32 = 25;

impl Default for Faults {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            count: 0,
            random: Random::new(1, 0),
            rate_limits: false,
            second: 0,
            used: BTreeMap::new(),
        }
    }
}

impl Faults {
    /// The same seed makes the same decisions.
    pub fn seed(&mut self, seed: u64) {
        self.random = Random::new(seed, 0);
    }

    /// Adds a rule and answers it with its id.
    ///
    /// # Errors
    /// A 400 when there are too many.
    pub fn add(&mut self, rule: Rule) -> Result<Value, Box<ApiError>> {
        if self.rules.len() >= RULES_MAX {
            return Err(ApiError::invalid(format!("There can be at most {RULES_MAX} rules.")).into());
        }
        self.count += 1;
        let armed = Armed { id: self.count, rule, matched: 0, struck: 0 };
        let body = armed.render();
        self.rules.push(armed);
        Ok(body)
    }

    pub fn clear(&mut self) {
        self.rules.clear();
        self.rate_limits = false;
    }

    /// Removes one rule; whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        let before = self.rules.len();
        self.rules.retain(|armed| armed.name() != id);
        self.rules.len() < before
    }

    pub fn is_idle(&self) -> bool {
        self.rules.is_empty() && !self.rate_limits
    }

    pub fn render(&self) -> Value {
        json!({
            "data": self.rules.iter().map(Armed::render).collect::<Vec<_>>(),
            "rate_limits": self.rate_limits,
        })
    }

    /// The faults that strike a subject, in the order of the rules.
    pub fn decide(&mut self, subject: Subject<'_>) -> Vec<Verdict> {
        let random = &mut self.random;
        let struck = self.rules.iter_mut().filter_map(|armed| armed.strike(subject, random)).collect();
        self.rules.retain(|armed| armed.rule.times.is_none_or(|times| armed.struck < times));
        struck
    }

    /// Counts a request against Stripe's limits; the reason when it is over.
    pub fn limit(&mut self, method: Method, path: &str, now: Time) -> Option<&'static str> {
        if !self.rate_limits {
            return None;
        }
        if self.second != now.seconds() {
            self.second = now.seconds();
            self.used.clear();
        }
        let endpoint = crate::model::route::find(method, path).map(|(route, _)| route.operation());
        let mut over = |name: String, limit: u32| {
            let used = self.used.entry(name).or_default();
            *used += 1;
            *used > limit
        };
        if over(String::new(), LIMIT_ALL) {
            return Some("global-rate");
        }
        over(endpoint.unwrap_or_default() + " ", LIMIT_ENDPOINT).then_some("endpoint-rate")
    }
}

/// Whether a text fits a pattern, in which each `*` stands for any text: `/v1/payment_intents/*/capture`.
fn fits_pattern(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

impl Armed {
    fn name(&self) -> String {
        format!("fault_{}", self.id)
    }

    fn strike(&mut self, subject: Subject<'_>, random: &mut Random) -> Option<Verdict> {
        let rule = &self.rule;
        let fits = match subject {
            Subject::Request { method, path } => {
                rule.target == Target::Requests
                    && rule.method.is_none_or(|wanted| wanted == method)
                    && rule.pattern.as_ref().is_none_or(|pattern| fits_pattern(pattern, path))
            }
            Subject::Webhook { kind } => {
                rule.target == Target::Webhooks
                    && rule.pattern.as_ref().is_none_or(|pattern| fits_pattern(pattern, kind))
            }
        };
        if !fits {
            return None;
        }
        self.matched += 1;
        let chosen = rule.nth.is_none_or(|nth| nth == self.matched)
            && (rule.probability >= CERTAIN || random.below(CERTAIN) < rule.probability);
        if !chosen {
            return None;
        }
        self.struck += 1;
        let Rule { kind, effect, millis, copies, repair_after_seconds, should_retry, .. } = self.rule;
        let millis = if kind == Kind::Reorder { random.below(millis.max(1)) } else { millis };
        Some(Verdict { kind, effect, millis, copies, repair_after_seconds, should_retry })
    }

    fn render(&self) -> Value {
        json!({
            "id": self.name(),
            "target": self.rule.target,
            "fault": self.rule.kind,
            "effect": self.rule.effect,
            "delay_ms": self.rule.millis,
            "copies": self.rule.copies,
            "method": self.rule.method.map(Method::text),
            "match": self.rule.pattern,
            "nth": self.rule.nth,
            "probability_millionths": self.rule.probability,
            "times": self.rule.times,
            "repair_after_seconds": self.rule.repair_after_seconds,
            "should_retry": self.rule.should_retry,
            "matched": self.matched,
            "struck": self.struck,
        })
    }
}

impl Verdict {
    /// The part of it that belongs to the request's input.
    pub fn as_effect(self) -> Option<Effect> {
        match self.kind {
            Kind::Error500 if self.effect => Some(Effect::ErrorWithEffect),
            Kind::Error500 => Some(match self.repair_after_seconds {
                Some(after_seconds) => Effect::ErrorThenRepair { after_seconds },
                None => Effect::ErrorWithoutEffect,
            }),
            Kind::OtherObject => Some(Effect::OtherObject),
            Kind::WrongLivemode => Some(Effect::WrongLivemode),
            Kind::WrongAmount => Some(Effect::WrongAmount),
            Kind::UnknownEnum => Some(Effect::UnknownEnum),
            _ => None,
        }
    }

    /// An answer that is given instead of looking at the request at all; `key` is its idempotency key.
    pub fn as_refusal(self, key: Option<&str>) -> Option<ApiError> {
        match self.kind {
            Kind::Conflict => Some(idempotency::in_use(key.unwrap_or_default())),
            Kind::RateLimit => Some(ApiError::too_many("Request rate limit exceeded.").code("rate_limit")),
            Kind::LockTimeout => Some(
                ApiError::too_many("This object cannot be accessed right now because another API request or Stripe process is currently accessing it. If you see this error intermittently, retry the request. If you see this error frequently and are making multiple concurrent requests to a single object, make your requests serially or at a lower rate.")
                    .code("lock_timeout"),
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: Kind) -> Rule {
        Rule {
            target: Target::Requests,
            kind,
            effect: false,
            millis: 0,
            copies: 0,
            method: None,
            pattern: None,
            nth: None,
            probability: CERTAIN,
            times: None,
            repair_after_seconds: None,
            should_retry: None,
        }
    }

    fn strikes(faults: &mut Faults, path: &str) -> usize {
        faults.decide(Subject::Request { method: Method::Post, path }).len()
    }

    #[test]
    fn the_nth_match_is_struck_and_no_other() {
        let mut faults = Faults::default();
        faults.add(Rule { nth: Some(2), pattern: Some("/v1/refunds*".into()), ..rule(Kind::Reset) }).unwrap();
        let hits: Vec<usize> = ["/v1/refunds", "/v1/charges", "/v1/refunds/re_1", "/v1/refunds"]
            .iter()
            .map(|path| strikes(&mut faults, path))
            .collect();
        assert_eq!(hits, [0, 0, 1, 0]);
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("/v1/payment_intents/*/capture", "/v1/payment_intents/pi_1/capture", true),
            ("/v1/payment_intents/*/capture", "/v1/payment_intents/pi_1/cancel", false),
            ("/v1/payment_intents/*/capture", "/v1/payment_intents/capture", false),
            ("*capture", "/v1/payment_intents/pi_1/capture", true),
            ("*/pi_1/*", "/v1/payment_intents/pi_1/capture", true),
            ("/v1/refunds", "/v1/refunds/re_1", false),
            ("*", "", true),
            ("aa*aa", "aaa", false),
        ] {
            assert_eq!(fits_pattern(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_rule_ends_after_its_times_and_chance_follows_the_seed() {
        let mut faults = Faults::default();
        faults.add(Rule { times: Some(1), ..rule(Kind::Reset) }).unwrap();
        assert_eq!((strikes(&mut faults, "/v1/x"), strikes(&mut faults, "/v1/x")), (1, 0));
        let run = |seed| {
            let mut faults = Faults::default();
            faults.seed(seed);
            faults.add(Rule { probability: CERTAIN / 2, ..rule(Kind::Reset) }).unwrap();
            (0..64).map(|_| strikes(&mut faults, "/v1/x")).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn limits_count_by_second_and_endpoint() {
        let mut faults = Faults { rate_limits: true, ..Faults::default() };
        let path = "/v1/payment_intents";
        for _ in 0..LIMIT_ENDPOINT {
            assert_eq!(faults.limit(Method::Get, path, Time(0)), None);
        }
        assert_eq!(faults.limit(Method::Get, path, Time(999)), Some("endpoint-rate"));
        assert_eq!(faults.limit(Method::Post, path, Time(999)), None);
        assert_eq!(faults.limit(Method::Get, path, Time(1_000)), None);
    }
}
