use std::collections::BTreeMap;

use proptest::prelude::*;
use strum::IntoEnumIterator;
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::{
    Applied, CaptureMethod, Channel, Mode, PaymentEvent, RefundDraft, RefundId, RefundReason, Sighting,
    Standing,
};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// Two decimals, none, and hundredths that must be whole.
const CURRENCIES: [&str; 5] = ["usd", "jpy", "isk", "ugx", "huf"];

fn of(minor: u64, currency: &str) -> Money {
    Money::from_minor(minor, currency.parse().unwrap()).unwrap()
}

fn born(amount: Money) -> Payment {
    let (id, order) = (PaymentId::from_uuid(Uuid::nil()), OrderId::from_uuid(Uuid::nil()));
    let (channel, capture) = (Channel::PaymentIntent, CaptureMethod::Manual);
    Payment::start(id, order, Mode::Test, channel, capture, amount, NOW).after().clone()
}

fn captured(before: &Payment, minor: u64) -> Payment {
    let taken = Sighting {
        standing: Standing::Captured { captured: minor, refunded: 0 },
        at: NOW,
        intent: None,
        session: None,
        capture_before: None,
        settlement: None,
    };
    match before.apply(PaymentEvent::Seen(taken)).unwrap() {
        Applied::Moved(step) => step.after().clone(),
        Applied::AlreadyTrue => before.clone(),
    }
}

fn refund(payment: &Payment, amount: Money) -> Refund {
    let (id, reason) = (RefundId::from_uuid(Uuid::nil()), RefundReason::Goodwill);
    let draft = RefundDraft { id, amount, reason, note: None, created_at: NOW };
    Refund::request(payment, draft).after().clone()
}

fn moved(number: usize, amount: i64, fee: i64, currency: &str) -> BalanceTransaction {
    let id = format!("txn_{number}").try_into().unwrap();
    BalanceTransaction { id, amount, fee, currency: currency.parse().unwrap(), at: NOW }
}

/// What every account got less what it gave, by currency.
fn balances(journals: &[Journal]) -> BTreeMap<(Account, String), i128> {
    let mut sums = BTreeMap::new();
    for line in journals.iter().flat_map(|journal| &journal.entries) {
        let (minor, currency) = (i128::from(line.amount.minor()), line.amount.currency().to_string());
        *sums.entry((line.debit, currency.clone())).or_insert(0) += minor;
        *sums.entry((line.credit, currency)).or_insert(0) -= minor;
    }
    sums
}

fn of_account(journals: &[Journal], account: Account, currency: &str) -> i128 {
    balances(journals).get(&(account, currency.to_owned())).copied().unwrap_or(0)
}

fn assert_balanced(journals: &[Journal]) {
    for line in journals.iter().flat_map(|journal| &journal.entries) {
        assert!(!line.amount.is_zero(), "a line that moves nothing: {line:?}");
        assert_ne!(line.debit, line.credit, "a line within one account: {line:?}");
    }
    let mut sums = BTreeMap::new();
    for ((_, currency), sum) in balances(journals) {
        *sums.entry(currency).or_insert(0) += sum;
    }
    assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
}

/// What a balance of this currency makes of so much; `per_thousand` of its units for a thousand of the customer's.
fn converted(amount: Money, per_thousand: Option<u64>) -> i64 {
    let minor = amount.minor();
    i64::try_from(per_thousand.map_or(minor, |rate| minor * rate / 1000)).unwrap()
}

/// One payment's life: what is taken, given back, comes back, and is disputed; each as the balance tells it.
#[derive(Debug, Clone)]
struct Life {
    currency: &'static str,
    /// The balance's units for a thousand of the customer's, where it has another currency.
    rate: Option<u64>,
    taken: u64,
    fee: i64,
    /// Each refund: its share in percent, and whether it comes back.
    refunds: Vec<(u64, bool)>,
    /// Each step of disputes: what leaves the balance (or comes back), and what it costs.
    disputed: Vec<(i64, i64)>,
}

fn any_life() -> impl Strategy<Value = Life> {
    let refunds = prop::collection::vec((1_u64..100, any::<bool>()), 0..5);
    let disputed = prop::collection::vec((-50_000_i64..50_000, -2_000_i64..2_000), 0..5);
    let rate = prop::option::of(500_u64..5_000);
    (prop::sample::select(&CURRENCIES[..]), rate, 1_000_u64..10_000_000, 0_i64..1_000, refunds, disputed)
        .prop_map(|(currency, rate, taken, fee, refunds, disputed)| Life {
            currency,
            rate,
            taken,
            fee,
            refunds,
            disputed,
        })
}

/// The journals of a life, and the balance transactions that told them.
fn lived(life: &Life) -> (Vec<Journal>, Vec<BalanceTransaction>) {
    let held_in = if life.rate.is_some() { "eur" } else { life.currency };
    let (mut journals, mut told) = (Vec::new(), Vec::new());
    let before = born(of(life.taken, life.currency));
    let payment = captured(&before, life.taken);
    journals.extend(Journal::captured(&before, &payment, NOW));
    let mut transaction = |amount, fee| {
        told.push(moved(told.len(), amount, fee, held_in));
        told.last().unwrap().clone()
    };
    let taken = converted(payment.captured, life.rate);
    journals.push(Journal::settled(&payment, &transaction(taken, life.fee)));
    for (percent, comes_back) in &life.refunds {
        let refund = refund(&payment, of(life.taken * percent / 100, life.currency));
        let amount = converted(refund.amount, life.rate);
        journals.push(Journal::refunded(&payment, &refund, NOW));
        journals.push(Journal::refund_settled(&payment, &refund, &transaction(-amount, 0)));
        if *comes_back {
            journals.push(Journal::refund_failed(&payment, &refund, NOW));
            journals.push(Journal::refund_settled(&payment, &refund, &transaction(amount, 0)));
        }
    }
    for (amount, fee) in &life.disputed {
        journals.push(Journal::disputed(&payment, &transaction(*amount, *fee)));
    }
    (journals, told)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Covers: I8, I9, fault 110, fault 147, fault 148, X-1, X-2, X-4, X-5, M-4, M-5.
    #[test]
    fn a_whole_life_is_explained_to_the_cent(life in any_life()) {
        let (journals, told) = lived(&life);
        assert_balanced(&journals);
        let held_in = if life.rate.is_some() { "eur" } else { life.currency };
        for currency in [life.currency, held_in] {
            prop_assert_eq!(of_account(&journals, Account::Clearing, currency), 0, "everything is explained");
        }
        let sum = |part: fn(&BalanceTransaction) -> i64| told.iter().map(|it| i128::from(part(it))).sum::<i128>();
        let held = of_account(&journals, Account::GatewayBalance, held_in);
        prop_assert_eq!(held, sum(|it| it.amount - it.fee), "the balance is the gateway's");
        prop_assert_eq!(of_account(&journals, Account::Fees, held_in), sum(|it| it.fee), "a fee is its own line");
        let disputed: i128 = life.disputed.iter().map(|(amount, _)| i128::from(*amount)).sum();
        prop_assert_eq!(of_account(&journals, Account::Disputes, held_in), -disputed);
        let sales = of_account(&journals, Account::Sales, life.currency);
        prop_assert_eq!(sales, -i128::from(life.taken));
        let kept = life.refunds.iter().filter(|(_, comes_back)| !comes_back);
        let given: u64 = kept.map(|(percent, _)| life.taken * percent / 100).sum();
        prop_assert_eq!(of_account(&journals, Account::Refunds, life.currency), i128::from(given));
        if life.rate.is_none() {
            prop_assert!(balances(&journals).keys().all(|(account, _)| *account != Account::Exchange));
        }
    }

    /// Covers: I8, I9, fault 160.
    #[test]
    fn no_amount_that_the_gateway_could_tell_unbalances_the_ledger_or_stops_it(
        amount in any_amount(),
        fee in any_amount(),
        charged in prop_oneof![any::<u64>().prop_map(|it| it >> 1), Just(0), Just(i64::MAX.unsigned_abs())],
        currency in prop::sample::select(&CURRENCIES[..]),
        held_in in prop::sample::select(&CURRENCIES[..]),
    ) {
        let before = born(of(charged, currency));
        let payment = captured(&before, charged);
        let (refund, told) = (refund(&payment, of(charged.max(1), currency)), moved(1, amount, fee, held_in));
        let mut journals = vec![
            Journal::settled(&payment, &told),
            Journal::refund_settled(&payment, &refund, &told),
            Journal::disputed(&payment, &told),
            Journal::refunded(&payment, &refund, NOW),
            Journal::refund_failed(&payment, &refund, NOW),
        ];
        journals.extend(Journal::captured(&before, &payment, NOW));
        for journal in journals {
            assert_balanced(&[journal]);
        }
    }
}

fn any_amount() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX), Just(0)]
}

/// Covers: I22, X-5, fault 32, fault 150.
#[test]
fn a_movement_is_named_so_that_it_is_booked_once() {
    let before = born(of(1000, "usd"));
    let part = captured(&before, 400);
    let first = Journal::captured(&before, &part, NOW).unwrap();
    assert_eq!(first, Journal::captured(&before, &part, NOW).unwrap());
    assert_eq!(first.entries[0].amount, of(400, "usd"));
    assert_eq!(Journal::captured(&part, &part, NOW), None, "nothing more was taken");
    let more = Journal::captured(&part, &captured(&part, 1000), NOW).unwrap();
    assert_ne!(first.key, more.key, "another movement");
    assert_eq!(more.entries[0].amount, of(600, "usd"), "only what is beyond");
    let told = moved(7, -400, 1500, "usd");
    for journal in [
        Journal::settled(&part, &told),
        Journal::disputed(&part, &told),
        Journal::refund_settled(&part, &refund(&part, of(400, "usd")), &told),
    ] {
        assert_eq!((journal.key.as_str(), journal.transaction.as_ref()), ("txn_7", Some(&told.id)));
    }
}

/// Covers: I9, M-4.
#[test]
fn a_refund_too_small_for_the_balances_currency_is_explained_all_the_same() {
    let before = born(of(5_000_000, "idr"));
    let payment = captured(&before, 5_000_000);
    let (out, back) = (moved(2, 0, 0, "usd"), moved(3, 0, 0, "usd"));
    let (settlement, reversal) = (Some(out.id.clone()), Some(back.id.clone()));
    let refund = Refund { settlement, reversal, ..refund(&payment, of(50, "idr")) };
    let mut journals = vec![
        Journal::settled(&payment, &moved(1, 300, 30, "usd")),
        Journal::refunded(&payment, &refund, NOW),
        Journal::refund_settled(&payment, &refund, &out),
    ];
    journals.extend(Journal::captured(&before, &payment, NOW));
    assert_eq!(of_account(&journals, Account::Clearing, "idr"), 0);
    journals.push(Journal::refund_failed(&payment, &refund, NOW));
    journals.push(Journal::refund_settled(&payment, &refund, &back));
    assert_eq!(of_account(&journals, Account::Clearing, "idr"), 0);
    assert_balanced(&journals);
}

/// Covers, fault 148.
#[test]
fn a_dispute_that_was_won_costs_its_fee_and_one_that_was_lost_its_amount_too() {
    let payment = captured(&born(of(1000, "usd")), 1000);
    let withdrawn = Journal::disputed(&payment, &moved(1, -1000, 1500, "usd"));
    let reinstated = Journal::disputed(&payment, &moved(2, 1000, 0, "usd"));
    let lost = [withdrawn.clone()];
    assert_eq!(of_account(&lost, Account::GatewayBalance, "usd"), -2500);
    assert_eq!(of_account(&lost, Account::Disputes, "usd"), 1000);
    let won = [withdrawn, reinstated];
    assert_eq!(of_account(&won, Account::GatewayBalance, "usd"), -1500);
    assert_eq!(of_account(&won, Account::Disputes, "usd"), 0);
    assert_eq!(of_account(&won, Account::Fees, "usd"), 1500, "the fee stays, on a line of its own");
    assert!(
        Account::iter()
            .all(|account| account != Account::Clearing || { of_account(&won, account, "usd") == 0 })
    );
}

/// Covers: I9, S-6.
#[test]
fn a_payout_is_booked_there_and_when_it_fails_back() {
    let payout = |status: &str, taken, minor| Payout {
        id: "po_1".to_owned().try_into().unwrap(),
        amount: of(minor, "usd"),
        taken,
        status: status.to_owned(),
        automatic: true,
        created_at: NOW,
        arrives_at: NOW,
    };
    for (status, taken, minor, bank, movements) in [
        ("pending", false, 500, 500, 1),
        ("paid", false, 500, 500, 1),
        ("paid", true, 500, -500, 1),
        ("failed", false, 500, 0, 2),
        ("canceled", true, 500, 0, 2),
        ("paid", false, 0, 0, 0),
    ] {
        let journals = Journal::paid_out(Mode::Live, &payout(status, taken, minor));
        assert_balanced(&journals);
        assert_eq!(of_account(&journals, Account::Bank, "usd"), bank, "{status}");
        assert_eq!(of_account(&journals, Account::GatewayBalance, "usd"), -bank, "{status}");
        let keys: std::collections::BTreeSet<_> =
            journals.iter().map(|journal| journal.key.clone()).collect();
        assert_eq!((journals.len(), keys.len()), (movements, movements), "each has a key of its own");
        assert!(journals.iter().all(|journal| (journal.mode, journal.order) == (Mode::Live, None)));
    }
}
