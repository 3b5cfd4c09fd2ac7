//! The audit trail, and what is written once however often it is told: declines and breaks.

use std::collections::BTreeMap;

use paywright_domain::{BreakId, Changes, Decline, Entry};
use sqlx::{PgConnection, types::Json};

use crate::{
    error::Failure,
    text::{clean, clean_opt, named_id},
};

/// Stores declines that are new, and tells what the trail says of those.
pub(crate) async fn declines(
    connection: &mut PgConnection,
    declines: &[Decline],
) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for Decline { order, payment, refusal } in declines {
        let insert = sqlx::query!(
            "INSERT INTO payment_declines (payment_id, key, order_id, mode, code, decline_code, message, at)
             VALUES ($1, $2, $3, (SELECT mode FROM orders WHERE id = $3), $4, $5, $6, $7)
             ON CONFLICT ON CONSTRAINT payment_declines_pkey DO NOTHING",
            payment.uuid(),
            &clean(&refusal.key),
            order.uuid(),
            &clean(&refusal.code),
            clean_opt(refusal.decline_code.as_deref()),
            &clean(&refusal.message),
            refusal.at,
        );
        if insert.execute(&mut *connection).await?.rows_affected() == 1 {
            entries.push(Decline { order: *order, payment: *payment, refusal: refusal.clone() }.entry());
        }
    }
    Ok(entries)
}

/// Stores breaks that are new, and tells what the trail says of those.
pub(crate) async fn breaks(connection: &mut PgConnection, changes: &Changes) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for found in &changes.breaks {
        let id: BreakId = named_id(changes.at, &format!("{}:{}", found.kind, found.payment));
        let insert = sqlx::query!(
            "INSERT INTO breaks (id, kind, order_id, payment_id, mode, detail, found_at)
             VALUES ($1, $2, $3, $4, (SELECT mode FROM orders WHERE id = $3), $5, $6)
             ON CONFLICT ON CONSTRAINT breaks_one_per_kind DO NOTHING",
            id.uuid(),
            <&str>::from(found.kind),
            found.order.uuid(),
            found.payment.uuid(),
            &clean(&found.detail),
            changes.at,
        );
        if insert.execute(&mut *connection).await?.rows_affected() == 1 {
            entries.push(found.entry());
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
    if entries.is_empty() {
        return Ok(());
    }
    let orders: Vec<_> = entries.iter().map(|entry| entry.order.uuid()).collect();
    let payments: Vec<_> = entries.iter().map(|entry| entry.payment.map(|id| id.uuid())).collect();
    let subjects: Vec<_> = entries.iter().map(|entry| entry.subject.to_owned()).collect();
    let events: Vec<_> = entries.iter().map(|entry| entry.event.clone()).collect();
    let from: Vec<_> = entries.iter().map(|entry| entry.from).collect();
    let to: Vec<_> = entries.iter().map(|entry| entry.to).collect();
    let details: Vec<_> = entries.iter().map(|entry| Json(storable(&entry.detail))).collect();
    let insert = sqlx::query!(
        "INSERT INTO order_transitions (order_id, mode, payment_id, subject, event, from_state, to_state, detail,
                                        actor, cause, gateway_event, gateway_request, at)
         SELECT entry.order_id, (SELECT mode FROM orders WHERE id = entry.order_id), entry.payment_id, entry.subject,
                entry.event, entry.from_state, entry.to_state, entry.detail, $8, $9, $10, $11, $12
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
              WITH ORDINALITY AS entry (order_id, payment_id, subject, event, from_state, to_state, detail, position)
         ORDER BY entry.position",
        &orders,
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
