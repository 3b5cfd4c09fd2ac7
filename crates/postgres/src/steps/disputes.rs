//! Disputes.

use paywright_domain::{Changes, Dispute, Step, Version};
use sqlx::PgConnection;

use super::{Course, all, each};
use crate::{
    error::Failure,
    text::{clean, json},
};

/// Writes what becomes of disputes.
pub(crate) async fn disputes(connection: &mut PgConnection, group: &[&Changes]) -> Result<(), Failure> {
    let steps = group.iter().flat_map(|changes| &changes.steps).filter_map(|step| match step {
        Step::Dispute(step) => Some(&**step),
        Step::Order(_) | Step::Payment(_) | Step::Refund(_) => None,
    });
    let course = Course::follow(steps, |dispute| dispute.id.uuid(), |dispute| dispute.version)?;
    open(connection, &course.born()).await?;
    move_on(connection, &course.moved()).await
}

async fn open(connection: &mut PgConnection, disputes: &[&Dispute]) -> Result<(), Failure> {
    if disputes.is_empty() {
        return Ok(());
    }
    let evidence = disputes.iter().map(|dispute| json(&dispute.evidence)).collect::<Result<Vec<_>, _>>()?;
    let insert = sqlx::query!(
        "INSERT INTO disputes (id, order_id, payment_id, mode, version, gateway, status, amount, currency, reason,
                               due_by, refundable, submitted, seen_at, evidence, answering, generation, deadline_told,
                               created_at)
         SELECT new.id, new.order_id, new.payment_id, new.mode, new.version, new.gateway, new.status, new.amount,
                new.currency, new.reason, new.due_by, new.refundable, new.submitted, new.seen_at, new.evidence::json,
                new.answering, new.generation, new.deadline_told, new.created_at
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[],
                     $9::text[], $10::text[], $11::timestamptz[], $12::bool[], $13::bool[], $14::timestamptz[],
                     $15::text[], $16::text[], $17::bigint[], $18::bool[], $19::timestamptz[])
              AS new (id, order_id, payment_id, mode, version, gateway, status, amount, currency, reason, due_by,
                      refundable, submitted, seen_at, evidence, answering, generation, deadline_told, created_at)",
        &each(disputes, |dispute| dispute.id.uuid()),
        &each(disputes, |dispute| dispute.order.uuid()),
        &each(disputes, |dispute| dispute.payment.uuid()),
        &each(disputes, |dispute| dispute.mode.to_string()),
        &each(disputes, |dispute| i64::from(dispute.version.number())),
        &each(disputes, |dispute| dispute.gateway.to_string()),
        &each(disputes, |dispute| clean(&dispute.seen.status.to_string()).into_owned()),
        &each(disputes, |dispute| dispute.seen.amount.minor().cast_signed()),
        &each(disputes, |dispute| dispute.seen.amount.currency().code().to_owned()),
        &each(disputes, |dispute| clean(&dispute.seen.reason).into_owned()),
        each(disputes, |dispute| dispute.seen.due_by) as _,
        &each(disputes, |dispute| dispute.seen.refundable),
        &each(disputes, |dispute| dispute.seen.submitted),
        &each(disputes, |dispute| dispute.seen.at),
        &evidence,
        each(disputes, |dispute| dispute.answering.map(<&str>::from)) as _,
        &each(disputes, |dispute| i64::from(dispute.generation)),
        &each(disputes, |dispute| dispute.deadline_told),
        &each(disputes, |dispute| dispute.created_at),
    );
    insert.execute(connection).await?;
    Ok(())
}

/// Writes what events change; everything else is frozen at a dispute's birth.
async fn move_on(connection: &mut PgConnection, disputes: &[(Version, &Dispute)]) -> Result<(), Failure> {
    if disputes.is_empty() {
        return Ok(());
    }
    let evidence =
        disputes.iter().map(|(_, dispute)| json(&dispute.evidence)).collect::<Result<Vec<_>, _>>()?;
    let update = sqlx::query!(
        "UPDATE disputes
         SET version = new.version, status = new.status, amount = new.amount, currency = new.currency,
             reason = new.reason, due_by = new.due_by, refundable = new.refundable, submitted = new.submitted,
             seen_at = new.seen_at, evidence = new.evidence::json, answering = new.answering,
             generation = new.generation, deadline_told = new.deadline_told
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[],
                     $8::timestamptz[], $9::bool[], $10::bool[], $11::timestamptz[], $12::text[], $13::text[],
                     $14::bigint[], $15::bool[])
              AS new (id, over, version, status, amount, currency, reason, due_by, refundable, submitted, seen_at,
                      evidence, answering, generation, deadline_told)
         WHERE disputes.id = new.id AND disputes.version = new.over",
        &each(disputes, |(_, dispute)| dispute.id.uuid()),
        &each(disputes, |(over, _)| i64::from(over.number())),
        &each(disputes, |(_, dispute)| i64::from(dispute.version.number())),
        &each(disputes, |(_, dispute)| clean(&dispute.seen.status.to_string()).into_owned()),
        &each(disputes, |(_, dispute)| dispute.seen.amount.minor().cast_signed()),
        &each(disputes, |(_, dispute)| dispute.seen.amount.currency().code().to_owned()),
        &each(disputes, |(_, dispute)| clean(&dispute.seen.reason).into_owned()),
        each(disputes, |(_, dispute)| dispute.seen.due_by) as _,
        &each(disputes, |(_, dispute)| dispute.seen.refundable),
        &each(disputes, |(_, dispute)| dispute.seen.submitted),
        &each(disputes, |(_, dispute)| dispute.seen.at),
        &evidence,
        each(disputes, |(_, dispute)| dispute.answering.map(<&str>::from)) as _,
        &each(disputes, |(_, dispute)| i64::from(dispute.generation)),
        &each(disputes, |(_, dispute)| dispute.deadline_told),
    );
    all(update.execute(connection).await?.rows_affected(), disputes.len())
}
