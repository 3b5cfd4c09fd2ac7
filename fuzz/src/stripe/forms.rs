//! The forms of recorded calls: what Stripe's grammar reads in them is what was recorded, to the letter.

use std::collections::BTreeMap;

use paywright_domain::{
    CaptureMethod, Evidence, GatewayCall, GatewayDisputeId, IntentId, Metadata, Operation, SessionId,
    SessionLine, Subject, ports::Gateway,
};
use paywright_sandbox::model::form::{self, Node};

use super::{
    draw::Draw,
    world::{Asked, Script, adapter, call, now},
};

type Tree = BTreeMap<String, Node>;

/// # Panics
/// When a form says something else than its call, or is not the same twice.
pub fn run(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let call = call(draw.byte(), operation(&mut draw));
    let asked = sent(&call);
    assert_eq!(asked, sent(&call), "a repeat differs");
    assert_eq!(asked.key.as_deref(), Some(&*call.key()));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b));
    assert!(plain(&asked.path) && !asked.path.contains(['?', '%']), "{}", asked.path);
    assert!(plain(&asked.form), "{}", asked.form);
    let read = form::parse(&[&asked.form]).unwrap_or_else(|refusal| panic!("{refusal:?}: {}", asked.form));
    let (path, said) = expected(&call);
    assert_eq!(asked.path, path);
    assert_eq!(read, said, "{}", asked.form);
}

fn sent(call: &GatewayCall) -> Asked {
    let script = Script::new(Vec::new());
    let outcome = now(adapter(script.clone()).perform(call));
    assert!(outcome.is_err(), "nobody answered");
    let [asked] = &script.asked()[..] else { panic!("one call is one request") };
    asked.clone()
}

fn operation(draw: &mut Draw<'_>) -> Operation {
    let kind = draw.byte() % 9;
    let name = draw.text();
    let intent = || IntentId::try_from(name.clone()).unwrap_or_else(|_| of_gateway("pi_1"));
    let dispute = || GatewayDisputeId::try_from(name.clone()).unwrap_or_else(|_| of_gateway("du_1"));
    match kind {
        0 => Operation::CreateIntent {
            amount: draw.number(),
            currency: draw.text(),
            capture_method: capture(draw),
            receipt_email: maybe(draw),
            metadata: pairs(draw),
        },
        // A page always has a line: an order without one cannot be placed.
        1 => Operation::CreateSession {
            currency: name,
            lines: (0..=draw.byte() % 4).map(|_| line(draw)).collect(),
            capture_method: capture(draw),
            customer_email: maybe(draw),
            success_url: draw.text(),
            cancel_url: draw.text(),
            expires_at: i64::from_be_bytes(draw.number().to_be_bytes()),
            metadata: pairs(draw),
        },
        2 => Operation::CancelIntent { intent: intent(), reason: draw.text() },
        3 => Operation::ExpireSession {
            session: SessionId::try_from(name).unwrap_or_else(|_| of_gateway("cs_1")),
        },
        4 => Operation::Capture { intent: intent(), amount: draw.number() },
        5 => Operation::CreateRefund {
            intent: intent(),
            amount: draw.number(),
            reason: maybe(draw),
            metadata: pairs(draw),
        },
        6 => Operation::StageEvidence { dispute: dispute(), evidence: evidence(draw) },
        7 => Operation::SubmitEvidence { dispute: dispute(), evidence: evidence(draw) },
        _ => Operation::CloseDispute { dispute: dispute() },
    }
}

fn of_gateway<T: TryFrom<String, Error: std::fmt::Debug>>(id: &str) -> T {
    id.to_owned().try_into().expect("an id")
}

fn capture(draw: &mut Draw<'_>) -> CaptureMethod {
    draw.pick(&[CaptureMethod::Automatic, CaptureMethod::Manual])
}

fn maybe(draw: &mut Draw<'_>) -> Option<String> {
    (draw.byte() % 2 == 1).then(|| draw.text())
}

/// Sometimes more than Stripe takes.
fn pairs(draw: &mut Draw<'_>) -> Metadata {
    let told: Metadata = (0..draw.byte() % 4).map(|_| (draw.text(), draw.text())).collect();
    let more = (0..draw.byte() % 64).map(|n| (format!("z{n:02}"), "x".to_owned()));
    told.into_iter().chain(more).collect()
}

fn line(draw: &mut Draw<'_>) -> SessionLine {
    let quantity = u32::try_from(draw.number() % (1 << 32)).unwrap_or(1);
    SessionLine { name: draw.text(), unit_amount: draw.number(), quantity }
}

/// Only parts that exist; the texts are checked for their length alone.
fn evidence(draw: &mut Draw<'_>) -> Evidence {
    let parts = (0..draw.byte() % 4).map(|_| (draw.pick(&Evidence::PARTS).to_owned(), draw.text()));
    Evidence::parse(parts.collect()).unwrap_or_default()
}

/// The path, and what must stand in the form.
fn expected(call: &GatewayCall) -> (String, Tree) {
    let mut said = Tree::new();
    let path = match &call.operation {
        Operation::CreateIntent { amount, currency, capture_method, receipt_email, metadata } => {
            said.extend([text("amount", amount), text("currency", currency)]);
            said.extend([list("allowed_payment_method_types", "card")]);
            said.extend(manual(*capture_method));
            said.extend(receipt_email.as_ref().map(|email| text("receipt_email", email)));
            said.extend([("metadata".to_owned(), kept(call, metadata))]);
            "/v1/payment_intents".to_owned()
        }
        Operation::CreateSession {
            currency,
            lines,
            capture_method,
            customer_email,
            success_url,
            cancel_url,
            expires_at,
            metadata,
        } => {
            let metadata = ("metadata".to_owned(), kept(call, metadata));
            let of_intent: Tree = manual(*capture_method).into_iter().chain([metadata.clone()]).collect();
            said.extend([text("mode", "payment"), text("client_reference_id", call.order), metadata]);
            said.extend([text("success_url", success_url), text("cancel_url", cancel_url)]);
            said.extend([text("expires_at", expires_at)]);
            said.extend(customer_email.as_ref().map(|email| text("customer_email", email)));
            said.extend([("payment_intent_data".to_owned(), Node::Table(of_intent))]);
            let lines = lines.iter().enumerate().map(|(n, line)| (n.to_string(), of_line(line, currency)));
            said.extend([("line_items".to_owned(), Node::Table(lines.collect()))]);
            "/v1/checkout/sessions".to_owned()
        }
        Operation::CancelIntent { intent, reason } => {
            said.extend([text("cancellation_reason", reason)]);
            said.extend([list("expand", "latest_charge.balance_transaction")]);
            format!("/v1/payment_intents/{intent}/cancel")
        }
        Operation::ExpireSession { session } => format!("/v1/checkout/sessions/{session}/expire"),
        Operation::Capture { intent, amount } => {
            said.extend([text("amount_to_capture", amount)]);
            said.extend([list("expand", "latest_charge.balance_transaction")]);
            format!("/v1/payment_intents/{intent}/capture")
        }
        Operation::CreateRefund { intent, amount, reason, metadata } => {
            said.extend([text("payment_intent", intent), text("amount", amount)]);
            said.extend(reason.as_ref().map(|reason| text("reason", reason)));
            said.extend([
                ("metadata".to_owned(), kept(call, metadata)),
                list("expand", "balance_transaction"),
            ]);
            "/v1/refunds".to_owned()
        }
        Operation::StageEvidence { dispute, evidence } => {
            said.extend(of_evidence(evidence, false));
            format!("/v1/disputes/{dispute}")
        }
        Operation::SubmitEvidence { dispute, evidence } => {
            said.extend(of_evidence(evidence, true));
            format!("/v1/disputes/{dispute}")
        }
        Operation::CloseDispute { dispute } => format!("/v1/disputes/{dispute}/close"),
    };
    (path, said)
}

fn text(name: &str, value: impl ToString) -> (String, Node) {
    (name.to_owned(), Node::Text(value.to_string()))
}

fn list(name: &str, only: &str) -> (String, Node) {
    (name.to_owned(), Node::Table([text("0", only)].into()))
}

fn manual(method: CaptureMethod) -> Option<(String, Node)> {
    (method == CaptureMethod::Manual).then(|| text("capture_method", "manual"))
}

fn of_line(line: &SessionLine, currency: &str) -> Node {
    let product = Node::Table([text("name", &line.name)].into());
    let price = [text("currency", currency), text("unit_amount", line.unit_amount)];
    let price = price.into_iter().chain([("product_data".to_owned(), product)]);
    let price = ("price_data".to_owned(), Node::Table(price.collect()));
    Node::Table([text("quantity", line.quantity), price].into())
}

fn of_evidence(evidence: &Evidence, submit: bool) -> Tree {
    let parts: Tree = evidence.parts().iter().map(|(part, said)| text(part, said)).collect();
    let parts = (!parts.is_empty()).then(|| ("evidence".to_owned(), Node::Table(parts)));
    parts.into_iter().chain([text("submit", submit)]).collect()
}

/// Our own pairs, and of the others those that Stripe takes: 50 in all, keys of 40 characters without brackets, values
/// of 500.
fn kept(call: &GatewayCall, notes: &Metadata) -> Node {
    let mut pairs: Tree =
        [text("paywright_order", call.order), text("paywright_payment", call.payment)].into();
    let refund = matches!(call.subject, Subject::Refund(_));
    if refund {
        pairs.extend([text("paywright_refund", call.subject)]);
    }
    for (key, value) in notes {
        let ours = if refund { pairs.contains_key(key) } else { key.starts_with("paywright_") };
        let key_fits = (1..=40).contains(&key.chars().count())
            && !key.chars().any(|c| c == '[' || c == ']' || c.is_control());
        if !ours && key_fits && (1..=500).contains(&value.chars().count()) && pairs.len() < 50 {
            pairs.extend([text(key, value)]);
        }
    }
    Node::Table(pairs)
}
