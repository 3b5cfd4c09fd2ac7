//! Rules from JSON: whole ones, and short forms such as `{"webhooks": {"drop": 1.0}}`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::rules::{CERTAIN, Kind, Rule, Target};
use crate::model::error::ApiError;
use crate::model::request::Method;

/// Longest delay: an hour.
const MILLIS_MAX: u64 = 3_600_000;
/// Longest wait for a repair: thirty days.
const REPAIR_MILLIS_MAX: u64 = 30 * 24 * MILLIS_MAX;
const COPIES_MAX: u64 = 20;

/// What a request to the fault console asks for.
#[derive(Debug, Default)]
pub struct ParsedFaults {
    pub rules: Vec<Rule>,
    pub seed: Option<u64>,
    pub rate_limits: Option<bool>,
}

type Parsed<T> = Result<T, Box<ApiError>>;

fn wrong(message: impl Into<String>) -> Box<ApiError> {
    ApiError::invalid(message).into()
}

/// Reads the body of `POST /_sandbox/faults`.
///
/// # Errors
/// A 400 that names what is wrong; nothing was added.
pub fn parse(body: &Value) -> Parsed<ParsedFaults> {
    let mut parsed = ParsedFaults::default();
    match body {
        Value::Array(rules) => {
            for rule in rules {
                parsed.rules.push(whole(rule)?);
            }
        }
        Value::Object(map) if map.contains_key("fault") => parsed.rules.push(whole(body)?),
        Value::Object(map) => short(map, &mut parsed)?,
        _ => return Err(wrong("A rule, a list of rules or a short form is expected.")),
    }
    Ok(parsed)
}

fn short(map: &Map<String, Value>, parsed: &mut ParsedFaults) -> Parsed<()> {
    for (name, value) in map {
        match (name.as_str(), value) {
            ("rules", Value::Array(rules)) => {
                for rule in rules {
                    parsed.rules.push(whole(rule)?);
                }
            }
            ("seed", seed) => {
                parsed.seed = Some(seed.as_u64().ok_or_else(|| wrong("seed must be a whole number"))?);
            }
            ("rate_limits", Value::Bool(on)) => parsed.rate_limits = Some(*on),
            ("webhooks", Value::Object(faults)) => shorts(Target::Webhooks, faults, parsed)?,
            ("requests" | "api", Value::Object(faults)) => shorts(Target::Requests, faults, parsed)?,
            _ => {
                return Err(wrong(format!(
                    "Unknown short form `{}`: use webhooks, requests, rules, rate_limits or seed.",
                    crate::model::form::shorten(name)
                )));
            }
        }
    }
    Ok(())
}

fn shorts(target: Target, faults: &Map<String, Value>, parsed: &mut ParsedFaults) -> Parsed<()> {
    for (name, value) in faults {
        let (name, effect) = match name.as_str() {
            "reset_before" => ("reset", false),
            "reset_after" => ("reset", true),
            "error_500_after" => ("error_500", true),
            "duplicate" | "delay" | "reorder" => {
                parsed.rules.push(measured(target, kind(name)?, value)?);
                continue;
            }
            name => (name, false),
        };
        let rule = Rule { probability: probability(value)?, effect, ..plain(target, kind(name)?)? };
        parsed.rules.push(rule);
    }
    Ok(())
}

/// `{"duplicate": 2}`, `{"delay": "5s"}`, `{"reorder": 0.5}`.
fn measured(target: Target, kind: Kind, value: &Value) -> Parsed<Rule> {
    let rule = plain(target, kind)?;
    match kind {
        Kind::Duplicate => {
            let copies = value.as_u64().filter(|copies| (1..=COPIES_MAX).contains(copies));
            let copies =
                copies.ok_or_else(|| wrong(format!("duplicate must be between 1 and {COPIES_MAX}")))?;
            Ok(Rule { copies: u32::try_from(copies).unwrap_or(1), ..rule })
        }
        Kind::Delay => Ok(Rule { millis: millis(value)?, ..rule }),
        _ => Ok(Rule { probability: probability(value)?, ..rule }),
    }
}

fn plain(target: Target, kind: Kind) -> Parsed<Rule> {
    let fits = match target {
        Target::Requests => kind.is_for_requests(),
        Target::Webhooks => kind.is_for_webhooks(),
    };
    if !fits {
        return Err(wrong(format!("The fault {kind:?} does not strike {target:?}.")));
    }
    let millis = match kind {
        Kind::Reorder => 3_000,
        Kind::Drip => 200,
        _ => 0,
    };
    Ok(Rule {
        target,
        kind,
        effect: false,
        millis,
        copies: 1,
        method: None,
        pattern: None,
        nth: None,
        probability: CERTAIN,
        times: None,
        repair_after_seconds: None,
        should_retry: None,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    fault: Kind,
    target: Option<Target>,
    effect: Option<bool>,
    delay: Option<Value>,
    copies: Option<u32>,
    method: Option<String>,
    #[serde(alias = "path", alias = "type")]
    r#match: Option<String>,
    nth: Option<u64>,
    probability: Option<Value>,
    times: Option<u64>,
    repair_after: Option<Value>,
    should_retry: Option<bool>,
}

fn whole(value: &Value) -> Parsed<Rule> {
    let given: Whole =
        serde_json::from_value(value.clone()).map_err(|error| wrong(format!("Invalid rule: {error}")))?;
    let target = given.target.unwrap_or(match given.fault {
        Kind::Delay => Target::Requests,
        kind if kind.is_for_webhooks() => Target::Webhooks,
        _ => Target::Requests,
    });
    let rule = plain(target, given.fault)?;
    let method = match given.method.as_deref() {
        None => None,
        Some("GET") => Some(Method::Get),
        Some("POST") => Some(Method::Post),
        Some("DELETE") => Some(Method::Delete),
        Some(_) => return Err(wrong("method must be GET, POST or DELETE")),
    };
    let repairs = given.fault == Kind::Error500 && given.effect != Some(true);
    if given.repair_after.is_some() && !repairs {
        return Err(wrong("repair_after belongs to an error_500 without effect"));
    }
    if given.fault == Kind::ShouldRetry && given.should_retry.is_none() {
        return Err(wrong("should_retry must be true or false"));
    }
    let repair_after_seconds = given.repair_after.as_ref().map(repair_seconds).transpose()?;
    Ok(Rule {
        effect: given.effect.unwrap_or(false),
        millis: given.delay.as_ref().map(millis).transpose()?.unwrap_or(rule.millis),
        copies: given.copies.unwrap_or(1).clamp(1, 20),
        method,
        pattern: given.r#match,
        nth: given.nth,
        probability: given.probability.as_ref().map(probability).transpose()?.unwrap_or(CERTAIN),
        times: given.times,
        repair_after_seconds,
        should_retry: given.should_retry,
        ..rule
    })
}

fn kind(name: &str) -> Parsed<Kind> {
    serde_json::from_value(Value::from(name))
        .map_err(|_| wrong(format!("Unknown fault `{}`.", crate::model::form::shorten(name))))
}

/// A number between 0 and 1, in millionths; read from its digits, so that it is exact.
fn probability(value: &Value) -> Parsed<u64> {
    let bad = || wrong("a probability must be between 0 and 1");
    let text = match value {
        Value::Bool(on) => return Ok(if *on { CERTAIN } else { 0 }),
        Value::Number(number) => number.to_string(),
        _ => return Err(bad()),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let millionths: u64 = digits.parse().map_err(|_| bad())?;
    match whole {
        "0" => Ok(millionths),
        "1" if millionths == 0 => Ok(CERTAIN),
        _ => Err(bad()),
    }
}

/// When a repair comes, on the sandbox's clock: `"10s"`, `"6h"`.
fn repair_seconds(value: &Value) -> Parsed<i64> {
    let millis = duration(value, REPAIR_MILLIS_MAX)?;
    Ok(i64::try_from(millis.div_ceil(1_000)).unwrap_or(i64::MAX))
}

fn millis(value: &Value) -> Parsed<u64> {
    duration(value, MILLIS_MAX)
}

/// `"5s"`, `"250ms"`, `"2m"`, `"6h"`, or a number of milliseconds.
fn duration(value: &Value, most: u64) -> Parsed<u64> {
    let bad = || wrong("a delay must be like \"250ms\", \"5s\" or \"2m\"");
    let millis = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => {
            let at = text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len());
            let unit = match &text[at..] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return Err(bad()),
            };
            text[..at].parse::<u64>().ok().and_then(|count| count.checked_mul(unit))
        }
        _ => None,
    };
    millis.filter(|millis| *millis <= most).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn short_forms_and_whole_rules_are_read() {
        let lost = parse(&json!({"webhooks": {"drop": 1.0}})).unwrap().rules;
        assert_eq!((lost[0].kind, lost[0].probability), (Kind::Drop, CERTAIN));
        let some = parse(&json!({"requests": {"error_500": 0.25, "delay": "2s"}, "seed": 7})).unwrap();
        assert_eq!(some.seed, Some(7));
        assert!(some.rules.iter().any(|rule| rule.kind == Kind::Error500 && rule.probability == 250_000));
        assert!(some.rules.iter().any(|rule| rule.kind == Kind::Delay && rule.millis == 2_000));
        let rule =
            json!({"fault": "reset", "effect": true, "method": "POST", "path": "/v1/refunds", "nth": 2});
        let rule = &parse(&rule).unwrap().rules[0];
        assert!(rule.effect && rule.nth == Some(2) && rule.method == Some(Method::Post));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            json!(5),
            json!({"fault": "melt"}),
            json!({"fault": "drop", "colour": 1}),
            json!({"webhooks": {"drop": 1.5}}),
            json!({"webhooks": {"drop": "often"}}),
            json!({"webhooks": {"reset": 1.0}}),
            json!({"weather": {}}),
            json!({"fault": "delay", "delay": "99999999s"}),
            json!({"fault": "should_retry"}),
            json!({"fault": "reset", "repair_after": "1h"}),
            json!({"fault": "error_500", "effect": true, "repair_after": "1h"}),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }
}
