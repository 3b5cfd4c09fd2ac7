//! Prints all machines, as the code has them, to `docs/state-machines.md`.
#![expect(clippy::unwrap_used, reason = "a broken assumption shall stop the test")]

use std::{fmt::Write as _, path::PathBuf};

use paywright_domain::{
    Applied, CancelReason, Dispute, DisputeAnswer, DisputeEvent, DisputeSighting, DisputeStatus, Evidence,
    IllegalTransition, Order, OrderEvent, OrderState, Payment, PaymentEvent, PaymentId, PaymentState, Refund,
    RefundEvent, RefundStanding, RefundState, Shipment, Standing,
};
use paywright_testkit::builders::{self, seen};
use strum::IntoEnumIterator;

const FILE: &str = "../../docs/state-machines.md";
const REWRITE: &str = "UPDATE_DOCS=1 cargo test -p paywright-domain state_machines";

const HEAD: &str = "# State machines

Printed from the code by a test (`crates/domain/tests/state_machines.rs`), which fails when this file differs.
Rewrite it with

```sh
UPDATE_DOCS=1 cargo test -p paywright-domain state_machines
```

In the tables: **a state** is where the event leads (the same state: something beside the state changes), *so already* \
means that nothing changes and nobody is told off, and a dot is a refusal, which names the events that would be possible.

";

const ORDERS: &str = "## Order

The rules are in [`order.rs`](../crates/domain/src/order.rs). \"Its payment\" is the one that authorized or paid it; \
of any other the table refuses the money, and what is refused of a payment becomes a break (`late_money`, \
`surplus_payment`). Money that came is why an order that shall be cancelled is paid instead. Of an order that was paid \
the cancellation gives back what is left of its money.

";

const CANCELLING: &str = "### While it shall be cancelled

From `cancellation_requested` until the gateway has confirmed that no money will come, or has refused:

";

const PAYMENTS: &str = "## Payment

The rules are in [`payment.rs`](../crates/domain/src/payment.rs). What the gateway says is merged upwards, by phase: \
`created`, then the open ones (`pending`, `requires_action`, `processing`: the newest message counts, and of one second \
the one further on), `authorized`, `failed`, `cancelled`, `captured`. So facts may come late, twice and in any order. A \
payment that was given up as never created does not come to life again: it is ended at the gateway when it comes to \
light, and only captured money brings it back. The table shows sightings that are newer than what is known.

";

const REFUNDS: &str = "## Refund

The rules are in [`refund.rs`](../crates/domain/src/refund.rs). Its amount is reserved on the payment from \
`requested` on, and can be refunded again once it is `cancelled` or `failed`, also after it had `succeeded`. What the \
gateway says is merged upwards, in the order of the columns; one that was refused, and exists at the gateway after all, \
follows the gateway.

";

const DISPUTES: &str = "## Dispute

The rules are in [`dispute.rs`](../crates/domain/src/dispute.rs). Its state is the gateway's status, of which the newest \
word counts, whatever it was before: `won` becomes `lost`, and `lost` `won`. The list of statuses is open; one that we do \
not know is `other`. Below, the sightings are newer than what is known; the evidence is another one; an answer is taken \
where one is due.

";

const ANSWERING: &str = "### While an answer is on its way

From `answer_requested` until the gateway has taken or refused it:

";

/// Covers: I12.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test that writes documentation; the domain itself does no IO"
)]
fn state_machines_are_printed_to_the_docs() {
    let printed = format!("{HEAD}{}{}{}{}", orders(), payments(), refunds(), disputes());
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &printed).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == printed, "docs/state-machines.md is out of date; rewrite it with\n\n    {REWRITE}\n");
}

/// Everything that a row of a table needs: what is shown, and what is done.
type Row<E> = (&'static str, E);

fn order_events() -> Vec<Row<OrderEvent>> {
    let (its, other) = (payment_id(1), payment_id(2));
    vec![
        ("placed", OrderEvent::Placed),
        ("payment_started", OrderEvent::PaymentStarted),
        ("authorized (its payment)", OrderEvent::Authorized(its)),
        ("authorized (another)", OrderEvent::Authorized(other)),
        ("captured (its payment)", OrderEvent::Captured(its)),
        ("captured (another)", OrderEvent::Captured(other)),
        ("authorization_lost", OrderEvent::AuthorizationLost),
        ("fulfillment_requested", OrderEvent::FulfillmentRequested),
        ("fulfillment_refused", OrderEvent::FulfillmentRefused),
        ("fulfillment_started", OrderEvent::FulfillmentStarted),
        ("shipped", OrderEvent::Shipped(Shipment::default())),
        ("completed", OrderEvent::Completed),
        ("cancellation_requested", OrderEvent::CancellationRequested(CancelReason::default())),
        ("cancellation_refused", OrderEvent::CancellationRefused),
        ("cancelled", OrderEvent::Cancelled(CancelReason::default())),
        ("fully_refunded", OrderEvent::FullyRefunded),
    ]
}

fn payment_events(payment: &Payment) -> Vec<Row<PaymentEvent>> {
    let amount = payment.amount.minor();
    let says = |standing| PaymentEvent::Seen(seen(standing));
    vec![
        ("started", PaymentEvent::Started),
        ("refused", PaymentEvent::Refused),
        ("seen: awaiting_method", says(Standing::AwaitingMethod)),
        ("seen: action_required", says(Standing::ActionRequired)),
        ("seen: processing", says(Standing::Processing)),
        ("seen: authorized", says(Standing::Authorized(amount))),
        ("seen: captured", says(Standing::Captured { captured: amount, refunded: 0 })),
        ("seen: cancelled", says(Standing::Cancelled)),
        ("seen: unclear", says(Standing::Unclear)),
        ("end_requested", PaymentEvent::EndRequested),
        ("end_refused", PaymentEvent::EndRefused),
        ("capture_requested", PaymentEvent::CaptureRequested(payment.amount)),
        ("capture_refused", PaymentEvent::CaptureRefused),
        ("hold_expiring", PaymentEvent::HoldExpiring),
        ("unwanted", PaymentEvent::Unwanted),
        (
            "refunds_changed",
            PaymentEvent::RefundsChanged { refunded: payment.amount, returned: payment.amount },
        ),
        ("disputes_changed", PaymentEvent::DisputesChanged { disputed: payment.amount, blocking: 1 }),
    ]
}

fn refund_events() -> Vec<Row<RefundEvent>> {
    let id = builders::gateway_refund_id();
    let says = |standing| RefundEvent::Seen(builders::refund_seen(&id, standing));
    vec![
        ("requested", RefundEvent::Requested),
        ("adopted", RefundEvent::Adopted),
        ("seen: pending", says(RefundStanding::Pending)),
        ("seen: succeeded", says(RefundStanding::Succeeded)),
        ("seen: cancelled", says(RefundStanding::Cancelled)),
        ("seen: failed", says(RefundStanding::Failed)),
        ("refused", RefundEvent::Refused("insufficient_funds".to_owned())),
    ]
}

/// Every status of the gateway that we know, and one that we do not.
fn statuses() -> [(&'static str, DisputeStatus); 9] {
    [
        ("seen: warning_needs_response", DisputeStatus::WarningNeedsResponse),
        ("seen: warning_under_review", DisputeStatus::WarningUnderReview),
        ("seen: warning_closed", DisputeStatus::WarningClosed),
        ("seen: needs_response", DisputeStatus::NeedsResponse),
        ("seen: under_review", DisputeStatus::UnderReview),
        ("seen: won", DisputeStatus::Won),
        ("seen: lost", DisputeStatus::Lost),
        ("seen: prevented", DisputeStatus::Prevented),
        ("seen: other", DisputeStatus::Other("arbitration".to_owned())),
    ]
}

fn dispute_events() -> Vec<Row<DisputeEvent>> {
    let later = |status| {
        let seen = builders::dispute_seen(builders::usd(3998), status);
        DisputeEvent::Seen(DisputeSighting { at: seen.at + time::Duration::SECOND, ..seen })
    };
    let mut events = vec![("opened", DisputeEvent::Opened)];
    events.extend(statuses().map(|(name, status)| (name, later(status))));
    let part = ("uncategorized_text".to_owned(), "It was delivered.".to_owned());
    let evidence = Evidence::parse([part].into()).unwrap();
    events.extend([
        ("evidence_edited", DisputeEvent::EvidenceEdited(evidence)),
        ("answer_requested", DisputeEvent::AnswerRequested(DisputeAnswer::Submit)),
        ("answer_taken", DisputeEvent::AnswerTaken),
        ("answer_refused", DisputeEvent::AnswerRefused),
        ("deadline_near", DisputeEvent::DeadlineNear),
    ]);
    events
}

fn payment_id(number: u128) -> PaymentId {
    PaymentId::from_uuid(uuid::Uuid::from_u128(number))
}

fn orders() -> String {
    let born = builders::order().build();
    let orders = reached(born, |order| order.state, |_| order_events(), apply_order);
    let of = |state| orders.iter().find(|order| order.state == state && order.cancellation.is_none());
    let calm: Vec<Order> = OrderState::iter()
        .map(|state| match state {
            OrderState::Cancelled => orders.iter().find(|order| order.state == state).cloned().unwrap(),
            state => of(state).cloned().unwrap(),
        })
        .collect();
    let wish = OrderEvent::CancellationRequested(CancelReason::default());
    let wished: Vec<Order> = calm.iter().filter_map(|order| moved(order.apply(wish.clone()))).collect();

    let rows = |order: &Order| {
        order_events()
            .into_iter()
            .map(|(name, event)| (name, cell(order.apply(event), |it| it.state)))
            .collect()
    };
    let mut text = ORDERS.to_owned();
    text += &table(&calm, |order| order.state.to_string(), rows);
    text += CANCELLING;
    text += &table(&wished, |order| order.state.to_string(), rows);
    text += &diagram("placed", &calm, |order| order.state.to_string(), rows);
    text
}

fn payments() -> String {
    let order = builders::order().build();
    let born = builders::payment(&order).build();
    let payments = reached(born, |payment| payment.state, payment_events, apply_payment);
    let calm: Vec<Payment> = PaymentState::iter()
        .map(|state| {
            let found = payments.iter().find(|payment| payment.state == state && !payment.end_requested);
            // Each was told of at the clock's start: tell what is newer.
            let found = found.cloned().unwrap();
            Payment { seen_at: found.seen_at.map(|at| at - time::Duration::SECOND), ..found }
        })
        .collect();
    let rows = |payment: &Payment| {
        let events = payment_events(payment).into_iter();
        events.map(|(name, event)| (name, cell(payment.apply(event), |it| it.state))).collect()
    };
    let mut text = PAYMENTS.to_owned();
    text += &table(&calm, |payment| payment.state.to_string(), rows);
    text += &diagram("started", &calm, |payment| payment.state.to_string(), rows);
    text
}

fn refunds() -> String {
    let payment = builders::payment(&builders::order().build()).build();
    let born = builders::refund(&payment, payment.amount).after().clone();
    let refunds =
        reached(born, |refund| refund.state, |_| refund_events(), |it, event| moved(it.apply(event)));
    let calm: Vec<Refund> = RefundState::iter()
        .map(|state| refunds.iter().find(|refund| refund.state == state).cloned().unwrap())
        .collect();
    let rows = |refund: &Refund| {
        let events = refund_events().into_iter();
        events.map(|(name, event)| (name, cell(refund.apply(event), |it| it.state))).collect()
    };
    let mut text = REFUNDS.to_owned();
    text += &table(&calm, |refund| refund.state.to_string(), rows);
    text += &diagram("requested, adopted", &calm, |refund| refund.state.to_string(), rows);
    text
}

fn disputes() -> String {
    let order = builders::order().build();
    let payment = builders::payment(&order).build();
    let calm = statuses().map(|(_, status)| builders::dispute(&payment, status).after().clone());
    let ask = DisputeEvent::AnswerRequested(DisputeAnswer::Stage);
    let asked: Vec<Dispute> = calm.iter().filter_map(|dispute| moved(dispute.apply(ask.clone()))).collect();
    let rows = |dispute: &Dispute| {
        let events = dispute_events().into_iter();
        events.map(|(name, event)| (name, cell(dispute.apply(event), Dispute::state))).collect()
    };
    let mut text = DISPUTES.to_owned();
    text += &table(&calm, |dispute| dispute.state().to_owned(), rows);
    text += ANSWERING;
    text += &table(&asked, |dispute| dispute.state().to_owned(), rows);
    text
}

fn apply_order(order: &Order, event: OrderEvent) -> Option<Order> {
    moved(order.apply(event))
}

fn apply_payment(payment: &Payment, event: PaymentEvent) -> Option<Payment> {
    moved(payment.apply(event))
}

fn moved<A: Clone, E>(verdict: Result<Applied<A, E>, IllegalTransition>) -> Option<A> {
    match verdict {
        Ok(Applied::Moved(step)) => Some(step.after().clone()),
        Ok(Applied::AlreadyTrue) | Err(_) => None,
    }
}

/// One of every state, found by walking the machine itself.
fn reached<A: Clone, E, S: PartialEq>(
    born: A,
    state: impl Fn(&A) -> S,
    events: impl Fn(&A) -> Vec<Row<E>>,
    apply: impl Fn(&A, E) -> Option<A>,
) -> Vec<A> {
    let mut known = vec![born];
    let mut next = 0;
    while let Some(from) = known.get(next).cloned() {
        for (_, event) in events(&from) {
            let Some(after) = apply(&from, event) else { continue };
            if !known.iter().any(|it| state(it) == state(&after)) {
                known.push(after);
            }
        }
        next += 1;
    }
    known
}

/// What a verdict looks like in a table.
#[derive(PartialEq)]
enum Cell {
    To(String),
    Already,
    Refused,
}

fn cell<A, E, S: ToString>(
    verdict: Result<Applied<A, E>, IllegalTransition>,
    state: impl Fn(&A) -> S,
) -> Cell {
    match verdict {
        Ok(Applied::Moved(step)) => Cell::To(state(step.after()).to_string()),
        Ok(Applied::AlreadyTrue) => Cell::Already,
        Err(_) => Cell::Refused,
    }
}

impl Cell {
    fn shown(&self) -> String {
        match self {
            Self::To(state) => format!("**{state}**"),
            Self::Already => "*so already*".to_owned(),
            Self::Refused => "·".to_owned(),
        }
    }
}

/// Events down, states across.
fn table<A>(of: &[A], name: impl Fn(&A) -> String, rows: impl Fn(&A) -> Vec<(&'static str, Cell)>) -> String {
    let columns: Vec<_> = of.iter().map(&rows).collect();
    let mut lines = vec![vec!["event \\ from".to_owned()]];
    lines[0].extend(of.iter().map(name));
    for (index, (event, _)) in columns[0].iter().enumerate() {
        let mut line = vec![(*event).to_owned()];
        line.extend(columns.iter().map(|column| column[index].1.shown()));
        lines.push(line);
    }
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (shown, width) in line.iter().zip(&widths) {
            write!(text, "| {shown:<width$} ").unwrap();
        }
        text += "|\n";
        if number == 0 {
            for width in &widths {
                write!(text, "|{}", "-".repeat(width + 2)).unwrap();
            }
            text += "|\n";
        }
    }
    text + "\n"
}

/// Arrows between different states; several events on one arrow share it.
fn diagram<A>(
    birth: &str,
    of: &[A],
    name: impl Fn(&A) -> String,
    rows: impl Fn(&A) -> Vec<(&'static str, Cell)>,
) -> String {
    let mut arrows: Vec<(String, String, Vec<&str>)> = Vec::new();
    for from in of {
        for (event, cell) in rows(from) {
            let event = event.split(" (").next().unwrap_or(event).trim_start_matches("seen: ");
            let Cell::To(to) = cell else { continue };
            let from = name(from);
            match arrows.iter_mut().find(|arrow| arrow.0 == from && arrow.1 == to) {
                _ if from == to => {}
                Some(arrow) if arrow.2.contains(&event) => {}
                Some(arrow) => arrow.2.push(event),
                None => arrows.push((from, to, vec![event])),
            }
        }
    }
    let mut text = format!("```mermaid\nstateDiagram-v2\n    [*] --> {}: {birth}\n", name(&of[0]));
    for (from, to, events) in arrows {
        writeln!(text, "    {from} --> {to}: {}", events.join(", ")).unwrap();
    }
    text + "```\n\n"
}
