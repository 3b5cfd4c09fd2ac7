//! What reconciliation found: runs, payouts, differences summed up.

use std::{collections::BTreeMap, sync::Arc};

use paywright_domain::{
    Break, BreakKind, BreakTotals, Counts, Mode, Money, PayoutPart, PayoutRecord, Resolution, Run, RunId,
    RunState, RunTotals, Section, Trigger,
    ports::{Page, Payout, RUN_DEAD_AFTER, Window},
};
use time::Duration;

use super::{Bookkeeper, books::payout, stage::Stage};
use crate::builders::{self, ChangesExt, usd};

/// Every field, before and after its end; the last word counts.
///
/// Covers: S-1.
pub async fn a_run_reads_back(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let begun = Run { since: Some(stage.now - Duration::DAY), ..run(&stage, Trigger::Command, 0) };
    backend.begin(&begun).await.unwrap();
    assert_eq!(backend.run(Mode::Test, begun.id).await.unwrap(), Some(begun.clone()));
    let ended = Run {
        state: RunState::Failed,
        counts: [(Section::Books, counts()), (Section::CatchUp, Counts::default())].into(),
        opened: 3,
        resolved: 2,
        error: Some("die Datenbank ' \" \\ antwortet nicht 値".to_owned()),
        finished_at: Some(stage.now + Duration::MINUTE),
        ..begun.clone()
    };
    for _ in 0..2 {
        backend.finish(&ended).await.unwrap();
        assert_eq!(backend.run(Mode::Test, begun.id).await.unwrap(), Some(ended.clone()));
    }
    assert_eq!(backend.run(Mode::Live, begun.id).await.unwrap(), None);
    assert_eq!(backend.run(Mode::Test, builders::new_id(stage.now)).await.unwrap(), None);
}

/// One that began too long ago has died, and says so when the next begins; others stay as they are.
///
/// Covers: I26, fault 85.
pub async fn a_run_that_died_is_ended_by_the_next(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let dead = run(&stage, Trigger::Schedule, -RUN_DEAD_AFTER.whole_minutes());
    let slow = run(&stage, Trigger::Api, 1 - RUN_DEAD_AFTER.whole_minutes());
    let live = Run { mode: Mode::Live, ..run(&stage, Trigger::Api, -RUN_DEAD_AFTER.whole_minutes()) };
    for run in [&dead, &slow, &live] {
        backend.begin(run).await.unwrap();
    }
    backend.begin(&run(&stage, Trigger::Schedule, 0)).await.unwrap();
    let told = backend.run(Mode::Test, dead.id).await.unwrap().unwrap();
    assert_eq!((told.state, told.finished_at), (RunState::Failed, Some(stage.now)));
    assert!(told.error.is_some());
    assert_eq!(backend.run(Mode::Test, slow.id).await.unwrap(), Some(slow));
    assert_eq!(backend.run(Mode::Live, live.id).await.unwrap(), Some(live));
}

/// Newest first, in pages, of one mode.
///
/// Covers: S-1.
pub async fn runs_are_listed_newest_first_in_pages(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let mut runs: Vec<_> = (0..3).map(|minutes| run(&stage, Trigger::Schedule, minutes)).collect();
    for run in &runs {
        backend.begin(run).await.unwrap();
    }
    backend.begin(&Run { mode: Mode::Live, ..run(&stage, Trigger::Api, 9) }).await.unwrap();
    runs.reverse();
    let page = async |limit, after: Option<RunId>| {
        let listed = backend.list_runs(Mode::Test, Page { limit, after }).await.unwrap();
        (listed.rows, listed.has_more)
    };
    assert_eq!(page(3, None).await, (runs.clone(), false));
    assert_eq!(page(2, None).await, (runs[..2].to_vec(), true));
    assert_eq!(page(2, Some(runs[1].id)).await, (runs[2..].to_vec(), false));
}

/// Of those that began within the time and have ended; each section's counts are added up.
///
/// Covers: S-1.
pub async fn the_runs_of_a_time_are_summed_up(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let (from, before) = (stage.now, stage.now + Duration::HOUR);
    let states = [
        (-1, RunState::Done),
        (0, RunState::Done),
        (1, RunState::Incomplete),
        (2, RunState::Failed),
        (3, RunState::Running),
        (60, RunState::Done),
    ];
    for (minutes, state) in states {
        let begun = run(&stage, Trigger::Schedule, minutes);
        backend.begin(&begun).await.unwrap();
        if state != RunState::Running {
            let counts = [(Section::Books, counts())].into();
            let ended = Run { state, counts, finished_at: Some(begun.started_at), ..begun };
            backend.finish(&ended).await.unwrap();
        }
    }
    let totals = backend.run_totals(Mode::Test, Window { from, before }).await.unwrap();
    assert_eq!((totals.done, totals.incomplete, totals.failed), (1, 1, 1));
    let sum = &totals.counts[&Section::Books];
    assert_eq!((totals.counts.len(), sum.compared, sum.matched, sum.unknown), (1, 30, 12, 3));
    assert_eq!(sum.foreign_kinds, BTreeMap::from([("stripe_fee".to_owned(), 9), ("топ".to_owned(), 3)]));
    assert!(sum.more);
    let none = backend.run_totals(Mode::Live, Window { from, before }).await.unwrap();
    assert_eq!(none, RunTotals::default());
}

/// Every field; a later look replaces an earlier one, whichever comes first.
///
/// Covers: S-6, I28.
pub async fn a_payout_reads_back_as_it_was_seen_last(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let part = |kind: &str, count, amount, fee| PayoutPart { kind: kind.to_owned(), count, amount, fee };
    let first = PayoutRecord {
        mode: Mode::Test,
        payout: Payout { status: "in_transit".to_owned(), ..payout(stage.now, 3852) },
        parts: Vec::new(),
        remainder: None,
        seen_at: stage.now,
    };
    let second = PayoutRecord {
        payout: Payout { status: "paid".to_owned(), ..first.payout.clone() },
        parts: vec![part("charge", 2, 3998, 146), part("adjustment — sonst", 1, -5_000_000_000, 1500)],
        remainder: Some(-1),
        seen_at: stage.now + Duration::MINUTE,
        ..first.clone()
    };
    let id = &first.payout.id;
    for (told, stands) in [(&first, &first), (&second, &second), (&first, &second), (&second, &second)] {
        backend.record_payout(told).await.unwrap();
        assert_eq!(backend.payout(Mode::Test, id).await.unwrap().as_ref(), Some(stands));
    }
    assert_eq!(backend.payout(Mode::Live, id).await.unwrap(), None);
    let taken = Payout { taken: true, automatic: false, ..payout(stage.now, 1) };
    let taken = PayoutRecord { payout: taken, ..first };
    backend.record_payout(&taken).await.unwrap();
    assert_eq!(backend.payout(Mode::Test, &taken.payout.id).await.unwrap(), Some(taken));
}

/// The newest made first, whenever it was seen.
///
/// Covers: S-6.
pub async fn payouts_are_listed_newest_first_in_pages(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let mut records = Vec::new();
    for days in [2, 0, 1] {
        let payout = payout(stage.now - Duration::days(days), 1000);
        let record =
            PayoutRecord { mode: Mode::Test, payout, parts: Vec::new(), remainder: None, seen_at: stage.now };
        backend.record_payout(&record).await.unwrap();
        records.push(record);
    }
    records.sort_by_key(|record| std::cmp::Reverse(record.payout.created_at));
    let page = async |limit, after: Option<&PayoutRecord>| {
        let after = after.map(|record| record.payout.id.clone());
        let listed = backend.list_payouts(Mode::Test, limit, after).await.unwrap();
        (listed.rows, listed.has_more)
    };
    assert_eq!(page(3, None).await, (records.clone(), false));
    assert_eq!(page(2, None).await, (records[..2].to_vec(), true));
    assert_eq!(page(2, Some(&records[1])).await, (records[2..].to_vec(), false));
    assert_eq!(backend.list_payouts(Mode::Live, 10, None).await.unwrap().rows, []);
}

/// Open at the end of the time, the oldest of those, and their money by currency; found and explained within it.
///
/// Covers: I1, S-1.
pub async fn the_differences_of_a_time_are_summed_up(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let (_, payment) = stage.paid().await;
    let minutes = |count: i64| stage.now + Duration::minutes(count);
    let told = [
        (-5, "usd", Some(1000)),
        (1, "usd", Some(998)),
        (2, "eur", Some(7)),
        (3, "usd", None),
        (60, "usd", Some(5)),
    ];
    for (at, currency, minor) in told {
        let currency = currency.parse().unwrap();
        let at_risk = minor.map(|minor| Money::from_minor(minor, currency).unwrap());
        let object = Some(format!("txn_{at}"));
        let found = builders::found(BreakKind::UnexplainedTransaction, &payment);
        let mut changes = stage.request().found(Break { object, at_risk, ..found });
        changes.at = minutes(at);
        stage.now(changes).await;
    }
    for (at, object) in [(4, "txn_1"), (61, "txn_2")] {
        let mut changes = stage.request();
        changes.at = minutes(at);
        changes.resolutions.push(Resolution {
            kind: BreakKind::UnexplainedTransaction,
            payment: None,
            object: Some(object.to_owned()),
            reason: "it is booked now".to_owned(),
        });
        stage.now(changes).await;
    }
    let window = Window { from: stage.now, before: minutes(60) };
    let totals = backend.break_totals(Mode::Test, window).await.unwrap();
    let euros = Money::from_minor(7, "eur".parse().unwrap()).unwrap();
    let expected = BreakTotals {
        open: 3,
        oldest: Some(minutes(-5)),
        at_risk: vec![euros, usd(1000)],
        opened: 3,
        resolved: 1,
    };
    assert_eq!(totals, expected);
    assert_eq!(backend.break_totals(Mode::Live, window).await.unwrap(), BreakTotals::default());

    let open = async |kind, after, limit| {
        let open = backend.open_breaks(Mode::Test, kind, after, limit).await.unwrap();
        let objects: Vec<_> = open.iter().filter_map(|row| row.object.clone()).collect();
        (objects, open.last().map(|row| row.id))
    };
    let (all, _) = open(BreakKind::UnexplainedTransaction, None, 10).await;
    assert_eq!(all, ["txn_-5", "txn_3", "txn_60"]);
    let (first, last) = open(BreakKind::UnexplainedTransaction, None, 2).await;
    assert_eq!(first, all[..2]);
    assert_eq!(open(BreakKind::UnexplainedTransaction, last, 2).await.0, all[2..]);
    assert_eq!(open(BreakKind::UnexplainedPayout, None, 10).await.0, Vec::<String>::new());
}

fn run(stage: &Stage, trigger: Trigger, minutes: i64) -> Run {
    let started_at = stage.now + Duration::minutes(minutes);
    Run {
        id: builders::new_id(started_at),
        mode: Mode::Test,
        trigger,
        since: None,
        state: RunState::Running,
        counts: BTreeMap::new(),
        opened: 0,
        resolved: 0,
        error: None,
        started_at,
        finished_at: None,
    }
}

fn counts() -> Counts {
    Counts {
        compared: 10,
        matched: 4,
        repaired: 2,
        adopted: 1,
        broken: 1,
        foreign: 2,
        unknown: 1,
        foreign_kinds: [("stripe_fee".to_owned(), 3), ("топ".to_owned(), 1)].into(),
        problems: vec!["txn_1: weg ' \" \\".to_owned()],
        more: true,
    }
}
