//! The audit trail, and declines, which are written once however often they are told.

use std::collections::BTreeMap;

use paywright_domain::{Changes, Decline, Entry};
use sqlx::{PgConnection, types::Json};

use crate::{
    error::Failure,
    text::{clean, clean_opt},
};

/// Stores declines that are new, and tells what the trail says of those.
pub(crate) async fn declines(
    connection: &mut PgConnection,
    declines: &[Decline],
) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for Decline { order, payment, refusal } in declines {
        let insert = sqlx::query!(
            "INSERT INTO payment_declines (payment_id, key, order_id, mode, code, decline_code, advice, message, at)
             VALUES ($1, $2, $3, (SELECT mode FROM orders WHERE id = $3), $4, $5, $6, $7, $8)
             ON CONFLICT ON CONSTRAINT payment_declines_pkey DO NOTHING",
            payment.uuid(),
            &clean(&refusal.key),
            order.uuid(),
            &clean(&refusal.code),
            clean_opt(refusal.decline_code.as_deref()),
            clean_opt(refusal.advice.as_deref()),
            &clean(&refusal.message),
            refusal.at,
        );
        if insert.execute(&mut *connection).await?.rows_affected() == 1 {
            entries.push(Decline { order: *order, payment: *payment, refusal: refusal.clone() }.entry());
        }
    }
    Ok(entries)
}

/// Appends to the trail.
pub(crate) async fn write(
    connection: &mut PgConnection,
    changes: &Changes,
    entries: &[Entry],
) -> Result<(), Failure> {
    for lines in entries.chunk_by(|one, next| one.order == next.order) {
        write_of_order(connection, changes, lines).await?;
    }
    Ok(())
}

/// One order at a time: its mode is looked up once, which the server then knows how to do without planning it anew for
/// each statement.
async fn write_of_order(
    connection: &mut PgConnection,
    changes: &Changes,
    entries: &[Entry],
) -> Result<(), Failure> {
    let order = entries.first().map(|entry| entry.order.uuid());
    let payments: Vec<_> = entries.iter().map(|entry| entry.payment.map(|id| id.uuid())).collect();
    let subjects: Vec<_> = entries.iter().map(|entry| entry.subject.to_owned()).collect();
    let events: Vec<_> = entries.iter().map(|entry| entry.event.clone()).collect();
    let from: Vec<_> = entries.iter().map(|entry| entry.from).collect();
    let to: Vec<_> = entries.iter().map(|entry| entry.to).collect();
    let details: Vec<_> = entries.iter().map(|entry| Json(storable(&entry.detail))).collect();
    let insert = sqlx::query!(
        "INSERT INTO order_transitions (order_id, mode, payment_id, subject, event, from_state, to_state, detail,
                                        actor, cause, gateway_event, gateway_request, at)
         SELECT $1, (SELECT mode FROM orders WHERE id = $1), entry.payment_id, entry.subject, entry.event,
                entry.from_state, entry.to_state, entry.detail, $8, $9, $10, $11, $12
         FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
              WITH ORDINALITY AS entry (payment_id, subject, event, from_state, to_state, detail, position)
         ORDER BY entry.position",
        order,
        payments as _,
        &subjects,
        &events,
        from as _,
        to as _,
        details as _,
        changes.actor.to_string(),
        changes.cause.to_string(),
        clean_opt(changes.origin.event.as_deref()),
        clean_opt(changes.origin.request.as_deref()),
        changes.at,
    );
    insert.execute(connection).await?;
    Ok(())
}

fn storable(detail: &BTreeMap<String, String>) -> BTreeMap<&str, std::borrow::Cow<'_, str>> {
    detail.iter().map(|(key, value)| (key.as_str(), clean(value))).collect()
}
