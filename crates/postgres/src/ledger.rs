//! The ledger: written once, never changed.

use std::collections::BTreeSet;

use paywright_domain::{Journal, LedgerEntry};
use sqlx::PgConnection;

use crate::error::Failure;

/// Books journals that are new; one whose key is there is passed over whole.
pub(crate) async fn book(
    connection: &mut PgConnection,
    journals: impl Iterator<Item = &Journal>,
) -> Result<(), Failure> {
    let mut keys = BTreeSet::new();
    let lines: Vec<(&Journal, i64, &LedgerEntry)> = journals
        .filter(|journal| keys.insert(journal.key.as_str()))
        .flat_map(|journal| (1..).zip(&journal.entries).map(move |(line, entry)| (journal, line, entry)))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = lines.iter().map(|(journal, ..)| journal.key.clone()).collect();
    let movements: Vec<_> = lines.iter().map(|(journal, ..)| journal.movement.to_string()).collect();
    let modes: Vec<_> = lines.iter().map(|(journal, ..)| journal.mode.to_string()).collect();
    let orders: Vec<_> = lines.iter().map(|(journal, ..)| journal.order.map(|id| id.uuid())).collect();
    let payments: Vec<_> = lines.iter().map(|(journal, ..)| journal.payment.map(|id| id.uuid())).collect();
    let transactions: Vec<_> =
        lines.iter().map(|(journal, ..)| journal.transaction.as_ref().map(|id| id.as_str())).collect();
    let moments: Vec<_> = lines.iter().map(|(journal, ..)| journal.at).collect();
    let numbers: Vec<_> = lines.iter().map(|(_, line, _)| *line).collect();
    let debits: Vec<_> = lines.iter().map(|(.., entry)| entry.debit.to_string()).collect();
    let credits: Vec<_> = lines.iter().map(|(.., entry)| entry.credit.to_string()).collect();
    let amounts: Vec<_> = lines.iter().map(|(.., entry)| entry.amount.minor().cast_signed()).collect();
    let currencies: Vec<_> =
        lines.iter().map(|(.., entry)| entry.amount.currency().code().to_owned()).collect();
    // The first line of a journal decides whether it is new, also against somebody who books it right now. Places are
    // given out beforehand, so that a journal's lines stay together.
    let insert = sqlx::query!(
        "WITH told AS (
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
                                  $8::text[], $9::bigint[], $10::text[], $11::timestamptz[], $12::text[])
                  WITH ORDINALITY
                  AS told (key, line, movement, order_id, payment_id, transaction_id, debit, credit, amount, currency,
                           at, mode, position)
             ORDER BY position
         ), placed AS MATERIALIZED (
             SELECT nextval('ledger_entries_id_seq') AS id, told.key, told.line, told.movement, told.order_id,
                    told.payment_id,
                    CASE WHEN told.payment_id IS NULL AND told.order_id IS NULL THEN told.mode
                         ELSE (SELECT mode FROM payments
                               WHERE id = told.payment_id AND order_id = told.order_id AND mode = told.mode)
                    END AS mode,
                    told.transaction_id, told.debit, told.credit, told.amount, told.currency, told.at
             FROM told
         ), fresh AS (
             INSERT INTO ledger_entries (id, key, line, movement, order_id, payment_id, mode, transaction_id, debit,
                                         credit, amount, currency, at)
             OVERRIDING SYSTEM VALUE
             SELECT * FROM placed WHERE line = 1
             ON CONFLICT ON CONSTRAINT ledger_entries_once DO NOTHING
             RETURNING key
         )
         INSERT INTO ledger_entries (id, key, line, movement, order_id, payment_id, mode, transaction_id, debit, credit,
                                     amount, currency, at)
         OVERRIDING SYSTEM VALUE
         SELECT * FROM placed WHERE line > 1 AND key IN (SELECT key FROM fresh)",
        &keys,
        &numbers,
        &movements,
        orders as _,
        payments as _,
        transactions as _,
        &debits,
        &credits,
        &amounts,
        &currencies,
        &moments,
        &modes,
    );
    insert.execute(connection).await?;
    Ok(())
}
