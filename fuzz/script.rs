//! A script of requests, and what must hold of every answer. Shared by the fuzz target and the replay of its corpus.

use paywright_sandbox::model::control::ClockCommand;
use paywright_sandbox::model::{Control, Input, Method, Model, Request, Response, Time};
use serde_json::Value;

/// Lines that are run of one script.
const LINES_MAX: usize = 24;
/// Longest single move of the clock.
const SECONDS_MAX: i64 = 400 * 86_400;

/// Runs a script against an empty sandbox.
///
/// # Panics
/// When an answer is not one that Stripe could give.
pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut model = Model::default();
    let mut ids = Vec::new();
    for (line, number) in text.split('\n').take(LINES_MAX).zip(1_u32..) {
        let wall = Time(i64::from(number) * 1_000);
        if let Some(seconds) = line.strip_prefix('+') {
            let seconds = seconds.trim().parse::<i64>().unwrap_or(0).clamp(0, SECONDS_MAX);
            let clock = Control::Clock(ClockCommand::Advance { millis: seconds * 1_000 });
            model.apply(&Input::Control(clock), wall, u64::from(number));
            ids.push(String::new());
            continue;
        }
        let Some(request) = request(&with_ids(line, &ids)) else { continue };
        let answer = match request.method {
            Method::Get => model.read(&request, None, wall, u64::from(number)),
            _ => model.apply(
                &Input::Request { request: request.clone(), fault: None },
                wall,
                u64::from(number),
            ),
        };
        ids.push(check(&request, &answer));
    }
}

/// `METHOD PATH[?QUERY] [FORM]`.
fn request(line: &str) -> Option<Request> {
    let mut words = line.splitn(3, ' ');
    let (method, target) = (words.next()?, words.next()?);
    let (name, keyed) = method.strip_suffix('!').map_or((method, false), |name| (name, true));
    let method = match name {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        _ => return None,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request::new(method, path).key("sk_test_fuzz");
    query.clone_into(&mut request.query);
    if let Some(key) = query.strip_prefix("key=") {
        request.api_key = key.split('&').next().map(str::to_owned);
    }
    if method == Method::Post {
        words.next().unwrap_or_default().clone_into(&mut request.body);
    }
    request.idempotency_key = keyed.then(|| "fuzz".to_owned());
    Some(request)
}

/// Puts the ids of earlier answers in place of `$1`, `$2`, ...
fn with_ids(line: &str, ids: &[String]) -> String {
    let mut parts = line.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let id = part[..digits].parse::<usize>().ok().and_then(|number| ids.get(number.checked_sub(1)?));
        match id {
            Some(id) => text.extend([id.as_str(), &part[digits..]]),
            None => text.extend(["$", part]),
        }
    }
    text
}

/// The id of what was answered.
fn check(request: &Request, answer: &Response) -> String {
    let place = || format!("{} {} {:?}: {}", request.method.text(), request.path, request.body, answer.body);
    let body: Value =
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", place()));
    match answer.status {
        200 => assert!(body.is_object(), "{}", place()),
        400 | 401 | 402 | 403 | 404 | 409 => {
            let text = |name: &str| body["error"][name].as_str().is_some_and(|text| !text.is_empty());
            assert!(text("type") && text("message"), "{}", place());
        }
        status => panic!("{status}: {}", place()),
    }
    body["id"].as_str().unwrap_or_default().to_owned()
}
