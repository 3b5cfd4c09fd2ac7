//! Answers of any shape to everything that is asked: what is told stands in the answer, and a definite word is taken
//! from nothing but a definite answer.

use paywright_stripe::Answered;
use serde_json::{Value, json};

use super::{
    draw::Draw,
    expected,
    json::damage,
    scenes::{Scene, scenes},
    world::{Script, adapter},
};

const STATUSES: [u16; 19] =
    [200, 201, 204, 100, 301, 400, 401, 402, 403, 404, 409, 410, 424, 429, 500, 502, 503, 0, 999];
const HEADERS: [&str; 6] = [
    "Stripe-Should-Retry",
    "Retry-After",
    "Idempotent-Replayed",
    "Stripe-Rate-Limited-Reason",
    "Request-Id",
    "Date",
];
const TYPES: [&str; 5] =
    ["invalid_request_error", "idempotency_error", "card_error", "api_error", "resource_missing"];

/// # Panics
/// When something is told that does not stand in the answers, or a definite refusal is read in an indefinite one.
pub fn run(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let scene = &scenes()[draw.below(scenes().len())];
    let mut answers = scene.answers.clone();
    let changes = draw.byte() % 8;
    for _ in 0..changes {
        change(&mut answers, &mut draw);
    }
    let script = Script::new(answers.clone());
    let outcome = scene.question.ask(&adapter(script.clone()), &scene.call, None);
    let asked = script.asked().len();
    let read = &answers[..asked.min(answers.len())];
    match outcome {
        Ok(told) => {
            assert!(asked <= answers.len(), "somebody answered that was not asked");
            expected::check_told(scene, read, &told);
        }
        Err(error) => {
            assert_ne!(changes, 0, "{:?}: {error:?}", scene.question);
            expected::check_error(&error, read.last().filter(|_| asked <= answers.len()), scene);
        }
    }
}

fn change(answers: &mut Vec<Answered>, draw: &mut Draw<'_>) {
    if answers.is_empty() {
        return;
    }
    let at = draw.below(answers.len());
    let answer = &mut answers[at];
    match draw.byte() % 14 {
        0 => answer.status = draw.pick(&STATUSES),
        1 => {
            let value = match draw.byte() % 4 {
                0 => "true".to_owned(),
                1 => "false".to_owned(),
                _ => draw.text(),
            };
            answer.headers.push((draw.pick(&HEADERS).to_owned(), value));
        }
        2 => answer.body = draw.text().into_bytes(),
        3 => answer.body.truncate(draw.below(answer.body.len() + 1)),
        4 => {
            let again = answer.clone();
            answers.insert(at, again);
        }
        5 => drop(answers.remove(at)),
        6 => {
            let other: &Scene = &scenes()[draw.below(scenes().len())];
            answer.body = other.answers.first().map(|answer| answer.body.clone()).unwrap_or_default();
        }
        7 => {
            answer.status = draw.pick(&STATUSES);
            let error = json!({ "type": draw.pick(&TYPES), "code": draw.text(), "message": draw.text() });
            answer.body = json!({ "error": error }).to_string().into_bytes();
        }
        8 => edit(answer, |value| value["has_more"] = json!(true)),
        _ => edit(answer, |value| damage(value, draw)),
    }
}

fn edit(answer: &mut Answered, change: impl FnOnce(&mut Value)) {
    let Ok(mut value) = serde_json::from_slice::<Value>(&answer.body) else { return };
    if value.is_object() {
        change(&mut value);
        answer.body = value.to_string().into_bytes();
    }
}
