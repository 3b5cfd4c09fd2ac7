//! What may be made of answers, told apart from the adapter's own reading.

use paywright_domain::{Mode, Operation, ports::GatewayError};
use paywright_sandbox::model::form::{self, Node};
use paywright_stripe::Answered;
use serde_json::Value;

use super::{
    events::{check_standing, check_text},
    questions::{Object, Question, Told, WINDOW},
    scenes::Scene,
    world::{Script, adapter},
};

/// That all that is told stands in `read`, and nothing there is left out.
pub fn check_told(scene: &Scene, read: &[Answered], told: &Told) {
    let Some(values) = read.iter().map(value).collect::<Option<Vec<_>>>() else { return };
    let (Some(answer), Some(last)) = (read.last(), values.last()) else { panic!("told without an answer") };
    let Told { objects, next } = told;
    match &scene.question {
        Question::Perform
        | Question::Intent(_)
        | Question::Session(_)
        | Question::Refund(_)
        | Question::Dispute(_)
        | Question::CreateEndpoint
        | Question::UpdateEndpoint(_)
        | Question::DeleteEndpoint(_) => match &objects[..] {
            [] => check_missing(answer, last),
            [object] if answer.status == 402 && is_creation(scene) => {
                check_object(object, &last["error"]["payment_intent"], scene);
            }
            [object] => {
                assert!((200..300).contains(&answer.status));
                check_object(object, last, scene);
            }
            _ => panic!("more than one"),
        },
        Question::Find => {
            let rows = rows(read, &values);
            assert_eq!(last["has_more"], false, "a search that ended too early");
            let first = rows.iter().rfind(|row| is_ours(scene, row));
            assert_eq!(first.is_some(), !objects.is_empty(), "{first:?}");
            if let (Some(row), Some(object)) = (first, objects.first()) {
                check_object(object, row, scene);
            }
        }
        Question::Refunds(_) | Question::Disputes(_) | Question::Endpoints => {
            let rows = rows(read, &values);
            assert_eq!(last["has_more"], false, "a list that ended too early");
            check_rows(objects, &rows, scene);
        }
        Question::List(_) => {
            check_rows(objects, &rows(read, &values), scene);
            check_next(scene, next.as_deref(), last);
        }
        Question::PaidOut(payout) => {
            assert_eq!(values[0]["id"], payout.as_str());
            assert_ne!(values[0]["reconciliation_status"], "in_progress");
            check_rows(objects, &rows(&read[1..], &values[1..]), scene);
            check_next(scene, next.as_deref(), last);
        }
    }
}

/// `None` for what our own reader takes and this one does not: what nobody looks at may be no UTF-8, or deep.
fn value(answer: &Answered) -> Option<Value> {
    serde_json::from_str(&String::from_utf8_lossy(&answer.body)).ok()
}

fn rows<'a>(read: &[Answered], values: &'a [Value]) -> Vec<&'a Value> {
    assert!(read.iter().all(|answer| (200..300).contains(&answer.status)));
    assert!(values.iter().all(|value| value["object"] == "list"));
    values.iter().flat_map(|value| value["data"].as_array().into_iter().flatten()).collect()
}

fn check_rows(objects: &[Object], rows: &[&Value], scene: &Scene) {
    assert_eq!(objects.len(), rows.len(), "rows were left out");
    for (object, row) in objects.iter().zip(rows) {
        check_object(object, row, scene);
    }
}

fn check_object(object: &Object, value: &Value, scene: &Scene) {
    assert_eq!(value["id"], *object.id, "{value}");
    if !matches!(scene.question, Question::DeleteEndpoint(_)) {
        assert_eq!(value["object"], object.kind, "{value}");
    }
    if let Some((minor, currency)) = object.amount {
        let amount = &value[if object.kind == "checkout.session" { "amount_total" } else { "amount" }];
        let shown = amount.as_i64().map(i128::from).or(amount.as_u64().map(i128::from));
        assert_eq!((shown, value["currency"].as_str()), (Some(minor), Some(currency.code())), "{value}");
    }
    if let Some(mode) = object.mode {
        assert_eq!(value["livemode"], (mode == Mode::Live));
    }
    if let Some(standing) = &object.standing {
        check_standing(standing, value);
    }
    check_about(value, scene);
}

/// That it is what was asked for.
fn check_about(value: &Value, scene: &Scene) {
    let id = |asked: &str| assert_eq!(value["id"], asked);
    let of = |intent: &str| {
        let named = &value["payment_intent"];
        assert_eq!(named.as_str().or(named["id"].as_str()), Some(intent));
    };
    match &scene.question {
        Question::Perform => match &scene.call.operation {
            Operation::CreateIntent { .. } | Operation::CreateSession { .. } => {
                assert!(is_ours(scene, value))
            }
            Operation::CreateRefund { intent, .. } => {
                assert!(is_ours(scene, value));
                of(intent.as_str());
            }
            Operation::CancelIntent { intent, .. } | Operation::Capture { intent, .. } => id(intent.as_str()),
            Operation::ExpireSession { session } => id(session.as_str()),
            Operation::StageEvidence { dispute, .. }
            | Operation::SubmitEvidence { dispute, .. }
            | Operation::CloseDispute { dispute } => id(dispute.as_str()),
        },
        Question::Find => assert!(is_ours(scene, value)),
        Question::Intent(asked) => id(asked.as_str()),
        Question::Session(asked) => id(asked.as_str()),
        Question::Refund(asked) => id(asked.as_str()),
        Question::Dispute(asked) => id(asked.as_str()),
        Question::Refunds(intent) | Question::Disputes(intent) => of(intent.as_str()),
        Question::List(_) => {
            let window = WINDOW.from.unix_timestamp()..WINDOW.before.unix_timestamp();
            assert!(value["created"].as_i64().is_some_and(|at| window.contains(&at)), "{value}");
        }
        Question::UpdateEndpoint(asked) | Question::DeleteEndpoint(asked) => id(asked),
        Question::PaidOut(_) | Question::Endpoints | Question::CreateEndpoint => {}
    }
}

fn is_creation(scene: &Scene) -> bool {
    matches!(scene.call.operation, Operation::CreateIntent { .. }) && scene.question == Question::Perform
}

fn is_ours(scene: &Scene, value: &Value) -> bool {
    let name = match scene.call.operation {
        Operation::CreateRefund { .. } => {
            return value["metadata"]["paywright_refund"] == scene.call.subject.to_string();
        }
        _ => &value["metadata"]["paywright_payment"],
    };
    *name == scene.call.payment.to_string()
}

/// That the next part begins behind the last row, and that there is one where Stripe says so.
fn check_next(scene: &Scene, next: Option<&str>, last: &Value) {
    assert_eq!(Some(next.is_some()), last["has_more"].as_bool());
    let Some(next) = next else { return };
    let script = Script::new(Vec::new());
    let outcome = scene.question.ask(&adapter(script.clone()), &scene.call, Some(next.to_owned()));
    assert!(matches!(outcome, Err(GatewayError::Unknown(_))), "{outcome:?}");
    let asked = script.asked().pop().expect("the next part was asked for");
    let query = form::parse(&[asked.path.split_once('?').expect("a list has a query").1]);
    let query = query.expect("a query is a form");
    let row = last["data"].as_array().and_then(|rows| rows.last()).expect("more follows a row");
    let behind = row["id"].as_str().map(|id| Node::Text(id.to_owned()));
    assert_eq!(query.get("starting_after"), behind.as_ref());
}

/// That Stripe itself said that there is no such thing.
fn check_missing(answer: &Answered, value: &Value) {
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    let error = &value["error"];
    let code = error["code"].as_str().or(error["type"].as_str()).unwrap_or_default();
    let code: String = code.chars().filter(|c| !c.is_control()).collect();
    assert_eq!(code, "resource_missing", "{value}");
}

/// `answer` is the last one; `None` when none came.
pub fn check_error(error: &GatewayError, answer: Option<&Answered>, scene: &Scene) {
    let value = answer.and_then(value).unwrap_or_default();
    let status = answer.map_or(0, |answer| answer.status);
    let header = |name: &str, text: &str| {
        answer.is_some_and(|answer| {
            answer.headers.iter().any(|(n, t)| n.eq_ignore_ascii_case(name) && t == text)
        })
    };
    let refused = (400..500).contains(&status) && value["error"]["type"].is_string();
    match error {
        GatewayError::Unknown(_) => {}
        GatewayError::Spent(_) => assert!(status == 500 && header("Idempotent-Replayed", "true")),
        GatewayError::NotDone { .. } => {
            let not_itemised = matches!(scene.question, Question::PaidOut(_))
                && (200..300).contains(&status)
                && value["reconciliation_status"] == "in_progress";
            let again = refused && header("Stripe-Should-Retry", "true");
            assert!(matches!(status, 409 | 429) || again || not_itemised, "{status} {value}");
        }
        GatewayError::Rejected { code, message, .. } => {
            assert!(refused, "{status} {value}");
            check_text(code, 100);
            check_text(message, 500);
        }
        GatewayError::NotAllowed(message) => {
            assert!(refused && matches!(status, 401 | 403), "{status} {value}");
            check_text(message, 500);
        }
        GatewayError::KeyReused { message } => {
            assert!(refused && value["error"]["type"] == "idempotency_error", "{status} {value}");
            check_text(message, 500);
        }
        other => panic!("{other:?}"),
    }
}
