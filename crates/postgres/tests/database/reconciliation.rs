//! Reconciliation's own rows: what nobody can write, which index serves, who counts as alive.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use paywright_domain::{
    Counts, Journal, Mode, Money, PayoutRecord, Run, RunState, Section, Trigger,
    ports::{Books, Page, Payout, Reader, Store},
};
use paywright_testkit::{
    ManualClock,
    builders::{self, ChangesExt, new_id, usd},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use time::OffsetDateTime;

use crate::{schema::refusal, schema_plans::plan, stage::Stage};

const NOW: OffsetDateTime = ManualClock::START;

fn payout(id: &str, amount: Money) -> Payout {
    Payout {
        id: id.to_owned().try_into().unwrap(),
        amount,
        taken: false,
        status: "paid".to_owned(),
        automatic: true,
        created_at: NOW,
        arrives_at: NOW + time::Duration::DAY,
    }
}

fn run() -> Run {
    Run {
        id: new_id(NOW),
        mode: Mode::Test,
        trigger: Trigger::Schedule,
        since: None,
        state: RunState::Running,
        counts: BTreeMap::new(),
        opened: 0,
        resolved: 0,
        error: None,
        started_at: NOW,
        finished_at: None,
    }
}

/// Covers: I9, S-6, fault 81.
#[tokio::test]
async fn only_a_payout_belongs_to_no_order_and_reaches_the_bank() {
    let stage = Stage::new().await;
    let (_, payment) = stage.paid().await;
    let captured = Journal::settled(&payment, &builders::transaction(3998, 146));
    let mut changes = builders::changes().journal(captured);
    changes.journals.extend(Journal::paid_out(Mode::Test, &payout("po_1", usd(3852))));
    stage.now(changes).await;
    let like = |what: &str, of: &str| {
        format!(
            "INSERT INTO ledger_entries (key, line, movement, order_id, payment_id, mode, transaction_id, debit, credit,
                                         amount, currency, at)
             SELECT {what} FROM ledger_entries WHERE movement = '{of}' AND line = 1"
        )
    };
    let columns = |key: &str, movement: &str, order: &str, payment: &str, debit: &str| {
        format!("{key}, 1, {movement}, {order}, {payment}, mode, NULL, {debit}, credit, amount, currency, at")
    };
    for (sql, constraint) in [
        // A payout of an order; anything else of none.
        (
            like(&columns("'a'", "movement", "gen_random_uuid()", "gen_random_uuid()", "debit"), "payout"),
            "ledger_entries_belongs",
        ),
        (like(&columns("'a'", "movement", "NULL", "NULL", "debit"), "settlement"), "ledger_entries_belongs"),
        (
            like(&columns("'a'", "movement", "order_id", "NULL", "debit"), "settlement"),
            "ledger_entries_belongs",
        ),
        // A payout past the bank; anything else to it.
        (like(&columns("'a'", "movement", "NULL", "NULL", "'fees'"), "payout"), "ledger_entries_bank"),
        (
            like(&columns("'a'", "movement", "order_id", "payment_id", "'bank'"), "settlement"),
            "ledger_entries_bank",
        ),
        // A transaction under another name.
        (
            like(
                "'a', 1, movement, order_id, payment_id, mode, transaction_id, debit, credit, amount, currency, at",
                "settlement",
            ),
            "ledger_entries_transaction",
        ),
        (
            like(&columns("'a'", "'gift'", "order_id", "payment_id", "debit"), "settlement"),
            "ledger_entries_movement",
        ),
    ] {
        let error = stage.aside.execute(AssertSqlSafe(sql.as_str())).await.expect_err(&sql);
        assert_eq!(error.as_database_error().unwrap().constraint(), Some(constraint), "{sql}");
    }
    assert_eq!(refusal(&stage, "DELETE FROM ledger_entries WHERE order_id IS NULL").await, "23001");
    // What belongs to a payment of the other mode, or to one that is not there, is not booked.
    let mut astray = Journal::settled(&payment, &builders::transaction(1, 0));
    astray.mode = Mode::Live;
    assert!(stage.store.commit(builders::changes().journal(astray)).await.is_err());
}

/// Covers: I8, fault 81.
#[tokio::test]
async fn impossible_runs_and_payouts_are_refused() {
    let stage = Stage::new().await;
    stage.store.begin(&run()).await.unwrap();
    stage.store.advance(Mode::Test, Section::Books, NOW).await.unwrap();
    let record = PayoutRecord {
        mode: Mode::Test,
        payout: payout("po_1", usd(1)),
        parts: Vec::new(),
        remainder: None,
        seen_at: NOW,
    };
    stage.store.record_payout(&record).await.unwrap();
    for (sql, constraint) in [
        ("UPDATE reconciliation_runs SET state = 'lost', finished_at = now()", "reconciliation_runs_state"),
        ("UPDATE reconciliation_runs SET state = 'done'", "reconciliation_runs_finished"),
        ("UPDATE reconciliation_runs SET finished_at = now()", "reconciliation_runs_finished"),
        ("UPDATE reconciliation_runs SET trigger = 'whim'", "reconciliation_runs_trigger"),
        ("UPDATE reconciliation_runs SET counts = '[]'", "reconciliation_runs_counts"),
        ("UPDATE reconciliation_runs SET opened = -1", "reconciliation_runs_opened"),
        ("UPDATE reconciliation_runs SET mode = 'both'", "reconciliation_runs_mode"),
        ("UPDATE payouts SET amount = -1", "payouts_amount"),
        ("UPDATE payouts SET currency = 'USD'", "payouts_currency"),
        ("UPDATE payouts SET parts = '{}', remainder = 0", "payouts_parts"),
        ("UPDATE payouts SET parts = '[1]'", "payouts_looked_into"),
        ("UPDATE cursors SET section = 'all'", "cursors_section"),
    ] {
        assert_eq!(refusal(&stage, sql).await, constraint, "{sql}");
    }
}

/// Covers: I28, fault 93.
#[tokio::test(flavor = "multi_thread")]
async fn a_payout_told_by_many_at_once_is_booked_once_and_kept_as_seen_last() {
    let stage = Stage::new().await;
    let tellers = (0..12).map(|minutes| {
        let store = stage.store.clone();
        async move {
            let mut changes = builders::changes();
            changes.journals = Journal::paid_out(Mode::Test, &payout("po_1", usd(3852)));
            let _ = store.commit(changes).await.unwrap();
            let record = PayoutRecord {
                mode: Mode::Test,
                payout: Payout { status: minutes.to_string(), ..payout("po_1", usd(3852)) },
                parts: Vec::new(),
                remainder: Some(0),
                seen_at: NOW + time::Duration::minutes(minutes),
            };
            store.record_payout(&record).await.unwrap();
            store.advance(Mode::Test, Section::Books, record.seen_at).await.unwrap();
        }
    });
    join_all(tellers).await;
    let balances = stage.store.balances(Mode::Test, None, None).await.unwrap();
    assert_eq!(balances.iter().map(|one| one.debit + one.credit).collect::<Vec<_>>(), [3852, 3852]);
    let id = "po_1".to_owned().try_into().unwrap();
    let kept = stage.store.payout(Mode::Test, &id).await.unwrap().unwrap();
    assert_eq!(kept.payout.status, "11");
    let cursor = stage.store.cursor(Mode::Test, Section::Books).await.unwrap();
    assert_eq!(cursor, Some(NOW + time::Duration::minutes(11)));
}

/// Covers: fault 85, I27.
#[tokio::test]
async fn a_run_that_gives_no_sign_of_life_is_not_under_way() {
    let stage = Stage::new().await;
    let (silence, ours) = (Duration::from_secs(60), run());
    stage.store.begin(&ours).await.unwrap();
    let under_way = async || stage.store.run_under_way(Mode::Test, silence).await.unwrap().map(|run| run.id);
    assert_eq!(under_way().await, Some(ours.id));
    assert_eq!(stage.store.run_under_way(Mode::Live, silence).await.unwrap(), None);
    stage.run("UPDATE reconciliation_runs SET heard_at = now() - interval '2 minutes'").await.unwrap();
    assert_eq!(under_way().await, None);
    let counts = BTreeMap::from([(Section::Books, Counts { compared: 7, ..Counts::default() })]);
    stage.store.run_goes_on(Mode::Test, ours.id, &counts).await.unwrap();
    assert_eq!(under_way().await, Some(ours.id));
    assert_eq!(stage.store.run(Mode::Test, ours.id).await.unwrap().unwrap().counts, counts);

    // Ended by who comes after ten minutes of silence, although it began only now; what it says itself then counts.
    stage.run("UPDATE reconciliation_runs SET heard_at = now() - interval '11 minutes'").await.unwrap();
    let next = run();
    stage.store.begin(&next).await.unwrap();
    assert_eq!(under_way().await, Some(next.id));
    let dead = stage.store.run(Mode::Test, ours.id).await.unwrap().unwrap();
    assert_eq!((dead.state, dead.counts.len()), (RunState::Failed, 1));
    stage.store.run_goes_on(Mode::Test, ours.id, &BTreeMap::new()).await.unwrap();
    assert_eq!(stage.store.run(Mode::Test, ours.id).await.unwrap(), Some(dead));
    let ended = Run { state: RunState::Done, finished_at: Some(NOW), ..ours };
    stage.store.finish(&ended).await.unwrap();
    assert_eq!(stage.store.run(Mode::Test, ended.id).await.unwrap(), Some(ended));
    let listed = stage.store.list_runs(Mode::Test, Page { limit: 10, after: None }).await.unwrap();
    assert_eq!(listed.rows.len(), 2);
}

/// Covers: fault 96.
#[tokio::test]
async fn what_reconciliation_asks_is_served_by_indexes() {
    let stage = Stage::new().await;
    let mut connection = PgConnection::connect(stage.db.url()).await.unwrap();
    let rows = "INSERT INTO ledger_entries (key, line, movement, mode, debit, credit, amount, currency, at)
                SELECT n::text, 1, 'payout', 'test', 'bank', 'gateway_balance', n, 'usd', now()
                FROM generate_series(1, 3000) AS n;
                ANALYZE ledger_entries";
    connection.execute(rows).await.unwrap();
    // The other tables are empty; what counts is that the index can serve the statement at all, in its order.
    let settings = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off";
    connection.execute(settings).await.unwrap();
    let id = "'00000000-0000-7000-8000-000000000000'";
    for (part, arguments, index) in [
        ("FROM cursors WHERE", "'test', 'books'".to_owned(), "cursors_pkey"),
        ("LEFT JOIN payment_looks", format!("'test', {id}, now(), now(), now(), 10"), "payments_unsettled"),
        ("LEFT JOIN payment_looks", "'test', NULL, now(), now(), now(), 10".to_owned(), "disputes_open"),
        ("FROM gateway_calls AS call", format!("'test', {id}, 10"), "gateway_calls_open"),
        ("WHERE key = ANY($2) AND line = 1", "'test', '{txn_1,txn_2}'".to_owned(), "ledger_entries_once"),
        ("FROM payouts WHERE mode = $1 AND id = $2", "'test', 'po_1'".to_owned(), "payouts_pkey"),
        ("ORDER BY created_at DESC, id DESC LIMIT $3", "'test', NULL, 10".to_owned(), "payouts_by_time"),
        ("ORDER BY created_at DESC, id DESC LIMIT $3", "'test', 'po_1', 10".to_owned(), "payouts_by_time"),
        (
            "FROM reconciliation_runs WHERE mode = $1 AND ($2::uuid",
            "'test', NULL, 10".to_owned(),
            "reconciliation_runs_by_mode",
        ),
        ("AND state <> 'running'", "'test', now(), now()".to_owned(), "reconciliation_runs_by_time"),
        ("ORDER BY heard_at DESC LIMIT 1", "'test', 1".to_owned(), "reconciliation_runs_running"),
        ("WITH open AS (", "'test', now(), now()".to_owned(), "breaks_by_found"),
        ("WITH open AS (", "'test', now(), now()".to_owned(), "breaks_by_resolved"),
        (
            "kind = $2 AND resolved_at IS NULL AND ($3",
            format!("'test', 'late_money', {id}, 10"),
            "breaks_open",
        ),
    ] {
        let plan = plan(&mut connection, part, &arguments).await;
        assert!(plan.contains(index), "{index} is not in the plan of {part:?}:\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{part:?}:\n{plan}");
    }
}
