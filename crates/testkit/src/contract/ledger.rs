//! The ledger: each movement once, for ever, and zero in sum.

use std::{collections::BTreeMap, sync::Arc};

use paywright_domain::{
    Account, BalanceTransaction, Currency, Journal, LedgerEntry, Mode, Movement, Payment, ports::Booked,
};
use time::Duration;

use super::{
    Backend,
    stage::{Stage, at_once},
};
use crate::builders::{self, ChangesExt, refund, transaction, usd};

/// A journal's lines keep everything of it, in their order, and are those of their order alone.
///
/// Covers: I9, X-4.
pub async fn a_movement_is_booked_line_by_line(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let ((order, payment), (other, others)) = (stage.paid().await, stage.paid().await);
    let journals = [taken(&stage, &payment), settled(&stage, &payment, 0), dispute(&stage, &payment)];
    let mut changes = stage.request();
    changes.journals.extend(journals.iter().cloned());
    changes.journals.push(taken(&stage, &others));
    stage.now(changes).await;
    let told = stage.ledger_of_order(order.id).await.unwrap();
    assert_lines(&told, &journals);
    assert!(told.is_sorted_by(|a, b| a.id < b.id));
    assert_lines(&stage.ledger_of_order(other.id).await.unwrap(), &[taken(&stage, &others)]);
    assert_eq!(stage.ledger_of_order(builders::new_id(stage.now)).await.unwrap(), []);
}

/// Told again, in other words, in the same unit or a later one: passed over whole, and what else the unit says stays.
///
/// Covers: I9, I22, X-5, D-18.
pub async fn a_movement_is_booked_once(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.paid().await;
    let first = settled(&stage, &payment, 0);
    stage.now(stage.request().journal(first.clone()).journal(first.clone())).await;
    let second = taken(&stage, &payment);
    let mut other_words = Journal { movement: Movement::Dispute, at: stage.now + LATER, ..first.clone() };
    other_words.entries.push(LedgerEntry { debit: Account::Fees, credit: Account::Sales, amount: usd(1) });
    stage.now(stage.request().journal(other_words).journal(second.clone())).await;
    assert_lines(&stage.ledger_of_order(order.id).await.unwrap(), &[first, second]);
}

/// However many tell of it at the same moment.
///
/// Covers: I9, I22, I28.
pub async fn a_movement_told_by_many_at_once_is_booked_once(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.paid().await;
    let journals = [taken(&stage, &payment), settled(&stage, &payment, 0)];
    let told = at_once((0..8).map(|_| {
        let (stage, journals) = (stage.clone(), journals.clone());
        async move {
            let mut changes = stage.request();
            changes.journals.extend(journals);
            stage.commit(changes).await.map(drop)
        }
    }));
    for outcome in told.await {
        outcome.unwrap();
    }
    assert_lines(&stage.ledger_of_order(order.id).await.unwrap(), &journals);
}

/// A unit that is not kept books nothing.
///
/// Covers: I9, I16.
pub async fn a_unit_that_conflicts_books_nothing(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.paid().await;
    let stale = refund(&payment, usd(1));
    stage.give_back(&payment, stale.clone()).await;
    stage.conflicts(stage.request().journal(taken(&stage, &payment)).step(stale)).await;
    assert_eq!(stage.ledger_of_order(order.id).await.unwrap(), []);
}

/// Over all accounts each currency is zero, whatever was booked; an account's two sides are summed apart.
///
/// Covers: I8, I9.
pub async fn each_currency_sums_to_zero(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    assert_eq!(stage.balances(Mode::Test, None, None).await.unwrap(), []);
    let (_, payment) = stage.paid().await;
    let euro: Currency = "eur".parse().unwrap();
    let abroad = BalanceTransaction { currency: euro, ..transaction(3600, 134) };
    let birth = refund(&payment, usd(1000));
    let after = stage.give_back(&payment, birth.clone()).await;
    let given_back = Journal::refunded(&after, birth.after(), stage.now);
    let changes = stage
        .request()
        .journal(taken(&stage, &payment))
        .journal(Journal::settled(&payment, &abroad))
        .journal(given_back)
        .journal(dispute(&stage, &payment));
    stage.now(changes).await;

    let told = stage.balances(Mode::Test, None, None).await.unwrap();
    let mut sums: BTreeMap<Currency, i64> = BTreeMap::new();
    for balance in &told {
        *sums.entry(balance.currency).or_default() += balance.debit - balance.credit;
    }
    assert_eq!(sums, [(euro, 0), (usd(0).currency(), 0)].into());
    let of = |account, currency| {
        let found = told.iter().find(|row| row.account == account && row.currency == currency);
        found.map(|row| (row.debit, row.credit))
    };
    let dollar = usd(0).currency();
    assert_eq!(of(Account::Clearing, dollar), Some((3998, 4998)));
    assert_eq!(of(Account::GatewayBalance, dollar), Some((0, 5498)));
    assert_eq!(of(Account::GatewayBalance, euro), Some((3466, 0)));
    assert_eq!(of(Account::Exchange, euro), Some((0, 3600)));
    assert_eq!(of(Account::Sales, euro), None);
    assert_eq!(stage.balances(Mode::Live, None, None).await.unwrap(), []);
}

/// From a moment itself until just before another, in pages by place.
///
/// Covers: I9, S-6.
pub async fn the_ledger_is_read_by_time_in_pages(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.paid().await;
    let journals: Vec<_> = (0..4).map(|hours| settled(&stage, &payment, hours)).collect();
    for journal in &journals {
        stage.now(stage.request().journal(journal.clone())).await;
    }
    let all = stage.ledger_of_order(order.id).await.unwrap();
    assert_eq!(all.len(), 8, "two lines each");
    let (from, before) = (stage.now + LATER, stage.now + LATER * 3);
    let read = async |after: Option<&Booked>, limit| {
        let after = after.map(|line| line.id);
        stage.ledger(Mode::Test, from, before, after, limit).await.unwrap()
    };
    assert_eq!(read(None, 100).await, all[2..6]);
    assert_eq!(read(None, 3).await, all[2..5]);
    assert_eq!(read(Some(&all[4]), 3).await, all[5..6]);
    assert_eq!(read(Some(&all[5]), 3).await, []);
    assert_eq!(stage.ledger(Mode::Live, from, before, None, 100).await.unwrap(), []);
    let fees = async |from, before| {
        let told = stage.balances(Mode::Test, from, before).await.unwrap();
        told.iter().find(|row| row.account == Account::Fees).map(|row| row.debit)
    };
    assert_eq!(fees(None, None).await, Some(4 * 146));
    assert_eq!(fees(Some(from), Some(before)).await, Some(2 * 146));
    assert_eq!(fees(None, Some(from)).await, Some(146));
    assert_eq!(fees(Some(stage.now + LATER * 4), None).await, None);
}

const LATER: Duration = Duration::HOUR;

fn taken(stage: &Stage, payment: &Payment) -> Journal {
    let nothing = Payment { captured: usd(0), ..payment.clone() };
    Journal::captured(&nothing, payment, stage.now).unwrap()
}

fn settled(stage: &Stage, payment: &Payment, hours: i32) -> Journal {
    Journal::settled(payment, &BalanceTransaction { at: stage.now + LATER * hours, ..transaction(3998, 146) })
}

fn dispute(stage: &Stage, payment: &Payment) -> Journal {
    Journal::disputed(payment, &BalanceTransaction { at: stage.now, ..transaction(-3998, 1500) })
}

fn assert_lines(told: &[Booked], journals: &[Journal]) {
    let lines: Vec<_> = journals
        .iter()
        .flat_map(|journal| journal.entries.iter().map(move |entry| (journal, entry)))
        .collect();
    assert_eq!(told.len(), lines.len(), "{told:#?}");
    for (line, (journal, entry)) in told.iter().zip(lines) {
        let Journal { key, movement, mode: _, order, payment, transaction, at, entries: _ } = journal.clone();
        let expected =
            Booked { id: line.id, key, movement, order, payment, transaction, at, entry: entry.clone() };
        assert_eq!(*line, expected);
    }
}
