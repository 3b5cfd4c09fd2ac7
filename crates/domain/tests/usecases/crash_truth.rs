//! What must hold when everything has come to rest, whatever went wrong before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use paywright_domain::{ports::Task, *};
use paywright_testkit::{FakeIntent, IntentStatus, JobState};
use strum::IntoEnumIterator;

use crate::support::Shop;

/// The machines as they are published; a test prints them from the code.
const MACHINES: &str = include_str!("../../../../docs/state-machines.md");

/// Checks: I1, I2, I3, I6, I7, I9, I12, I13, I14, I18, I20, I24.
pub(crate) fn assert_settled(shop: &Shop) {
    shop.assert_sound();
    assert_nothing_is_left(shop);
    assert_trails_are_paths(shop);
    for intent in shop.gateway.intents() {
        assert_intent_is_known(shop, &intent);
    }
    for payment in shop.store.payments() {
        assert_payment_is_true(shop, &payment);
    }
    for order in shop.store.orders() {
        let kept = |it: &FakeIntent| it.order == Some(order.id) && it.captured > it.refunded();
        let kept = shop.gateway.intents().into_iter().filter(kept).count();
        assert!(kept <= 1, "the money of {kept} payments was kept for {}", order.id);
    }
    assert_refunds_and_disputes_are_true(shop);
    assert_books_are_true(shop);
}

/// Nothing waits for an answer, and no job for its time, but for orders that are looked after later.
fn assert_nothing_is_left(shop: &Shop) {
    for call in shop.store.calls() {
        assert_ne!(call.state, CallState::Recorded, "nobody knows how {} ended", call.key());
    }
    for job in shop.store.jobs() {
        let timer = matches!(job.task, Task::WatchOrder(_)) && job.due_at > shop.clock_now();
        match job.state {
            JobState::Done => {}
            JobState::Waiting => assert!(timer, "left: {job:#?}"),
            JobState::Held { .. } => panic!("left: {job:#?}"),
            JobState::Buried => assert!(job.note.is_some(), "given up without a reason: {job:#?}"),
        }
    }
    for order in shop.store.orders() {
        match order.state {
            OrderState::Pending | OrderState::PaymentProcessing | OrderState::Authorized => {
                assert_eq!((order.cancellation, order.fulfillment_requested), (None, false), "{order:#?}");
            }
            OrderState::Paid
            | OrderState::FulfillmentStarted
            | OrderState::Shipped
            | OrderState::Completed
            | OrderState::Cancelled
            | OrderState::Refunded => {}
        }
    }
    for payment in shop.store.payments().iter().filter(|payment| payment.state.is_live()) {
        assert_ne!(payment.state, PaymentState::Created, "nobody asked the gateway for {}", payment.id);
        assert!(!payment.end_requested && !payment.capture_requested, "{payment:#?}");
    }
    for refund in shop.store.refunds() {
        assert_ne!(refund.state, RefundState::Requested, "nobody asked the gateway for {}", refund.id);
    }
    assert!(shop.store.disputes().iter().all(|dispute| dispute.answering.is_none()));
}

/// Each trail begins at a birth, has no gap, takes steps that the published machine has, and ends where the row is.
fn assert_trails_are_paths(shop: &Shop) {
    let mut ends = BTreeMap::new();
    for row in shop.store.audit() {
        let id = match row.entry.subject.as_str() {
            "order" => row.order.to_string(),
            "payment" => row.entry.payment.unwrap().to_string(),
            subject @ ("refund" | "dispute") => row.entry.detail[subject].clone(),
            _ => continue,
        };
        let from = ends.insert(id.clone(), row.entry.to.clone());
        assert_eq!(row.entry.from, from.flatten(), "a gap in the trail of {id}");
        if let (Some(from), Some(to)) = (&row.entry.from, &row.entry.to) {
            let step = (row.entry.subject.clone(), from.clone(), to.clone());
            assert!(STEPS.contains(&step), "no machine leads {id} from {from} to {to}");
        }
    }
    let told = |id: String, state: String| assert_eq!(ends[&id], Some(state), "{id}");
    shop.store.orders().iter().for_each(|it| told(it.id.to_string(), it.state.to_string()));
    shop.store.payments().iter().for_each(|it| told(it.id.to_string(), it.state.to_string()));
    shop.store.refunds().iter().for_each(|it| told(it.id.to_string(), it.state.to_string()));
    shop.store.disputes().iter().for_each(|it| told(it.id.to_string(), it.state().to_string()));
}

/// The steps of the published machines: subject, from, to.
static STEPS: LazyLock<BTreeSet<(String, String, String)>> = LazyLock::new(|| {
    let mut steps = BTreeSet::new();
    for chapter in MACHINES.split("\n## ").skip(1) {
        let subject = chapter.lines().next().unwrap().to_lowercase();
        let mut states = Vec::new();
        for line in chapter.lines().filter(|line| line.starts_with('|')) {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            if cells[1] == "event \\ from" {
                states = cells;
                continue;
            }
            for (from, cell) in states.iter().zip(cells).skip(2) {
                if let Some(to) = cell.strip_prefix("**").and_then(|cell| cell.strip_suffix("**")) {
                    steps.insert((subject.clone(), (*from).to_owned(), to.to_owned()));
                }
            }
        }
    }
    assert!(steps.len() > 80, "only {} steps are published", steps.len());
    steps
});

fn assert_intent_is_known(shop: &Shop, intent: &FakeIntent) {
    if intent.foreign {
        return;
    }
    let payment = shop.store.payments().into_iter().find(|payment| payment.id == intent.payment);
    let payment = payment.unwrap_or_else(|| panic!("nobody knows {intent:#?}"));
    let seen = (payment.state, payment.captured.minor(), payment.refunded.minor());
    match intent.status {
        IntentStatus::Captured { refunded } => {
            assert_eq!(seen, (PaymentState::Captured, intent.captured, refunded), "{payment:#?}");
        }
        IntentStatus::Authorized => assert_eq!(seen.0, PaymentState::Authorized, "{payment:#?}"),
        IntentStatus::Cancelled => assert!(!payment.state.is_live() && seen.1 == 0, "{payment:#?}"),
        IntentStatus::AwaitingMethod | IntentStatus::ActionRequired | IntentStatus::Processing => {
            assert!(payment.state.is_live() && seen.1 == 0, "{payment:#?}");
        }
    }
}

/// Money here is money there, and what may still be paid here may be paid there.
fn assert_payment_is_true(shop: &Shop, payment: &Payment) {
    let own: Vec<_> =
        shop.gateway.intents().into_iter().filter(|intent| intent.payment == payment.id).collect();
    let captured: u64 = own.iter().map(|intent| intent.captured).sum();
    assert_eq!(payment.captured.minor(), captured, "{payment:#?}");
    let page = shop.gateway.sessions().into_iter().any(|page| page.payment == payment.id);
    assert!(!payment.state.is_live() || page || !own.is_empty(), "nothing can be paid: {payment:#?}");
}

fn assert_refunds_and_disputes_are_true(shop: &Shop) {
    let made = shop.gateway.refunds_made();
    for refund in &made {
        let ours: Vec<_> =
            shop.store.refunds().into_iter().filter(|it| it.gateway.as_ref() == Some(&refund.id)).collect();
        assert_eq!(ours.len(), 1, "{refund:#?} is one here: {ours:#?}");
        let expected = match refund.standing {
            RefundStanding::Pending => RefundState::Pending,
            RefundStanding::Succeeded => RefundState::Succeeded,
            RefundStanding::Cancelled => RefundState::Cancelled,
            RefundStanding::Failed => RefundState::Failed,
        };
        assert_eq!((ours[0].state, ours[0].amount), (expected, refund.amount), "{refund:#?}");
    }
    let sent = shop.store.refunds().into_iter().filter(|refund| refund.state.is_reserved()).count();
    assert!(sent <= made.len(), "{sent} refunds here, {} there", made.len());
    let ours: BTreeMap<_, _> = shop
        .store
        .disputes()
        .into_iter()
        .map(|it| (it.gateway.clone(), (it.seen.status, it.seen.submitted)))
        .collect();
    let theirs = shop
        .gateway
        .disputes_opened()
        .into_iter()
        .map(|it| (it.id.clone(), (it.status, it.submitted)))
        .collect();
    assert_eq!(ours, theirs);
}

/// The books say what the gateway's balance says, and everything in them is explained.
fn assert_books_are_true(shop: &Shop) {
    let balances: BTreeMap<_, _> =
        Account::iter().map(|account| (account, shop.balance(account, "usd"))).collect();
    assert_eq!(balances.values().sum::<i64>(), 0, "{balances:?}");
    let intents = shop.gateway.intents();
    let sold: u64 = intents.iter().map(|intent| intent.captured).sum();
    let back: u64 = intents.iter().map(FakeIntent::refunded).sum();
    let minor = |minor: u64| i64::try_from(minor).unwrap();
    assert_eq!((balances[&Account::Sales], balances[&Account::Refunds]), (-minor(sold), minor(back)));
    let (refunds, disputes) = (shop.gateway.refunds_made(), shop.gateway.disputes_opened());
    let moved = intents.iter().filter_map(|it| it.settlement.as_ref());
    let moved = moved.chain(refunds.iter().flat_map(|it| it.settlement.iter().chain(&it.reversal)));
    let moved = moved.chain(disputes.iter().flat_map(|it| &it.movements));
    let balance: i64 = moved.map(|transaction| transaction.amount - transaction.fee).sum();
    let held = balances[&Account::GatewayBalance] + balances[&Account::Bank];
    assert_eq!((held, balances[&Account::Clearing]), (balance, 0), "{balances:?}");
}
