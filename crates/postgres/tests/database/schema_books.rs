//! What nobody can write into refunds, disputes, the ledger and breaks, not even by hand.

use paywright_domain::{BreakKind, DisputeStatus, Journal};
use paywright_testkit::builders::{self, ChangesExt, moved, usd};

use crate::{schema::refusal, stage::Stage};

/// A line like the first one, but for these columns.
macro_rules! again {
    ($columns:literal) => {
        concat!(
            "INSERT INTO ledger_entries (key, movement, order_id, payment_id, mode, currency, at, line, debit, credit,
                                         amount)
             SELECT key, movement, order_id, payment_id, mode, currency, at, ",
            $columns,
            " FROM ledger_entries WHERE line = 1"
        )
    };
}

/// Covers: I3, I4, I8, I9, fault 81.
#[tokio::test]
async fn impossible_refunds_disputes_and_lines_are_refused() {
    let stage = Stage::new().await;
    let (order, payment) = stage.paid().await;
    let refund = builders::refund(&payment, usd(1000));
    let call = builders::refund_call(&order, &payment, refund.after());
    let reserved = moved(payment.follow_refund(&refund).unwrap());
    let dispute = builders::dispute(&payment, DisputeStatus::NeedsResponse);
    let changes = builders::changes()
        .step(refund)
        .step(reserved)
        .step(dispute)
        .effect(paywright_domain::Effect::Call { call, held_for: None })
        .journal(Journal::settled(&payment, &builders::transaction(3998, 146)))
        .found(builders::found(BreakKind::LateMoney, &payment));
    stage.now(changes).await;
    for (sql, constraint) in [
        ("UPDATE payments SET captured = 999", "payments_refunded"),
        ("UPDATE payments SET refunded = refunded + 2999", "payments_refunded"),
        ("UPDATE refunds SET amount = 0", "refunds_amount"),
        ("UPDATE refunds SET amount = -1", "refunds_amount"),
        ("UPDATE refunds SET currency = 'eur'", "refunds_payment"),
        ("UPDATE refunds SET mode = 'live'", "refunds_payment"),
        ("UPDATE refunds SET order_id = id", "refunds_payment"),
        ("UPDATE refunds SET state = 'succeeded'", "refunds_accepted"),
        ("UPDATE refunds SET state = 'lost', gateway = 're'", "refunds_state"),
        ("UPDATE refunds SET reason = 'whim'", "refunds_reason"),
        ("UPDATE refunds SET version = 0", "refunds_version"),
        (
            "DELETE FROM breaks; DELETE FROM gateway_calls; DELETE FROM disputes; DELETE FROM payments",
            "refunds_payment",
        ),
        ("UPDATE disputes SET amount = -1", "disputes_amount"),
        ("UPDATE disputes SET currency = 'eur'", "disputes_payment"),
        ("UPDATE disputes SET mode = 'live'", "disputes_payment"),
        ("UPDATE disputes SET evidence = '[]'", "disputes_evidence"),
        ("UPDATE disputes SET answering = 'shout', generation = 1", "disputes_answering"),
        ("UPDATE disputes SET answering = 'submit'", "disputes_answered"),
        ("UPDATE disputes SET version = 0", "disputes_version"),
        ("UPDATE gateway_calls SET subject = 'ord_00000000000000000000000000'", "gateway_calls_subject"),
        ("UPDATE gateway_calls SET operation = 'burn_money'", "gateway_calls_operation"),
        ("UPDATE gateway_calls SET state = 'lost'", "gateway_calls_state"),
        ("UPDATE breaks SET at_risk = 1", "breaks_at_risk_whole"),
        ("UPDATE breaks SET resolved_at = now()", "breaks_resolved_whole"),
        ("UPDATE breaks SET kind = 'oddity'", "breaks_kind"),
    ] {
        assert_eq!(refusal(&stage, sql).await, constraint, "{sql}");
    }
}

/// Covers: I9, fault 81.
#[tokio::test]
async fn impossible_lines_of_the_ledger_are_refused() {
    let stage = Stage::new().await;
    let (_, payment) = stage.paid().await;
    let told = Journal::settled(&payment, &builders::transaction(3998, 146));
    stage.now(builders::changes().journal(told)).await;
    for (sql, constraint) in [
        (again!("line, debit, credit, amount"), "ledger_entries_once"),
        (again!("3, debit, debit, amount"), "ledger_entries_moves"),
        (again!("3, debit, credit, 0"), "ledger_entries_amount"),
        (again!("3, debit, credit, -amount"), "ledger_entries_amount"),
        (again!("3, 'pocket', credit, amount"), "ledger_entries_debit"),
        (again!("3, debit, 'pocket', amount"), "ledger_entries_credit"),
        (again!("0, debit, credit, amount"), "ledger_entries_line"),
    ] {
        assert_eq!(refusal(&stage, sql).await, constraint, "{sql}");
    }
}
