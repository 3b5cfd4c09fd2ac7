//! Prints both machines, as the code has them, to `docs/state-machines.md`.
#![expect(clippy::unwrap_used, reason = "a broken assumption shall stop the test")]

use std::{fmt::Write as _, path::PathBuf};

use paywright_domain::{
    Applied, CancelReason, IllegalTransition, Order, OrderEvent, OrderState, Payment, PaymentEvent,
    PaymentId, PaymentState, Shipment, Standing,
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
`surplus_payment`). Money that came is why an order that shall be cancelled is paid instead.

";

const CANCELLING: &str = "### While it shall be cancelled

From `cancellation_requested` until the gateway has confirmed that no money will come, or has refused:

";

const PAYMENTS: &str = "## Payment

The rules are in [`payment.rs`](../crates/domain/src/payment.rs). What the gateway says is merged upwards, by phase: \
`created`, `failed`, then the open ones (`pending`, `requires_action`, `processing`: the newest message counts, and of \
one second the one further on), `authorized`, `cancelled`, `captured`. So facts may come late, twice and in any order. \
The table shows sightings that are newer than what is known.

";

/// Covers: I12.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test that writes documentation; the domain itself does no IO"
)]
fn state_machines_are_printed_to_the_docs() {
    let printed = format!("{HEAD}{}{}", orders(), payments());
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
    ]
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
