//! Steps of refunds and disputes.

use paywright_domain::{Dispute, DisputeEvent, Refund, RefundEvent, Transition, Version};
use sqlx::PgConnection;

use super::only_one;
use crate::{
    error::Failure,
    text::{clean, clean_opt, json},
};

pub(crate) async fn refund(
    connection: &mut PgConnection,
    step: &Transition<Refund, RefundEvent>,
) -> Result<(), Failure> {
    match step.before() {
        None => request(connection, step.after()).await,
        Some(before) => move_refund(connection, before.version, step.after()).await,
    }
}

pub(crate) async fn dispute(
    connection: &mut PgConnection,
    step: &Transition<Dispute, DisputeEvent>,
) -> Result<(), Failure> {
    match step.before() {
        None => open(connection, step.after()).await,
        Some(before) => move_dispute(connection, before.version, step.after()).await,
    }
}

async fn request(connection: &mut PgConnection, refund: &Refund) -> Result<(), Failure> {
    let insert = sqlx::query!(
        "INSERT INTO refunds (id, order_id, payment_id, mode, version, amount, currency, reason, note, state, gateway,
                              failure, settlement, reversal, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        refund.id.uuid(),
        refund.order.uuid(),
        refund.payment.uuid(),
        <&str>::from(refund.mode),
        i64::from(refund.version.number()),
        refund.amount.minor().cast_signed(),
        refund.amount.currency().code(),
        <&str>::from(refund.reason),
        clean_opt(refund.note.as_deref()),
        <&str>::from(refund.state),
        refund.gateway.as_ref().map(|id| id.as_str()),
        clean_opt(refund.failure.as_deref()),
        refund.settlement.as_ref().map(|id| id.as_str()),
        refund.reversal.as_ref().map(|id| id.as_str()),
        refund.created_at,
    );
    insert.execute(connection).await?;
    Ok(())
}

/// Writes what a refund's events change; everything else is frozen at its birth.
async fn move_refund(connection: &mut PgConnection, over: Version, refund: &Refund) -> Result<(), Failure> {
    let update = sqlx::query!(
        "UPDATE refunds SET version = $3, state = $4, gateway = $5, failure = $6, settlement = $7, reversal = $8
         WHERE id = $1 AND version = $2",
        refund.id.uuid(),
        i64::from(over.number()),
        i64::from(refund.version.number()),
        <&str>::from(refund.state),
        refund.gateway.as_ref().map(|id| id.as_str()),
        clean_opt(refund.failure.as_deref()),
        refund.settlement.as_ref().map(|id| id.as_str()),
        refund.reversal.as_ref().map(|id| id.as_str()),
    );
    only_one(update.execute(connection).await?.rows_affected())
}

async fn open(connection: &mut PgConnection, dispute: &Dispute) -> Result<(), Failure> {
    let insert = sqlx::query!(
        "INSERT INTO disputes (id, order_id, payment_id, mode, version, gateway, status, amount, currency, reason,
                               due_by, refundable, submitted, seen_at, evidence, answering, generation, deadline_told,
                               created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::text::json, $16, $17, $18, $19)",
        dispute.id.uuid(),
        dispute.order.uuid(),
        dispute.payment.uuid(),
        <&str>::from(dispute.mode),
        i64::from(dispute.version.number()),
        dispute.gateway.as_str(),
        clean(&dispute.seen.status.to_string()).into_owned(),
        dispute.seen.amount.minor().cast_signed(),
        dispute.seen.amount.currency().code(),
        &clean(&dispute.seen.reason),
        dispute.seen.due_by,
        dispute.seen.refundable,
        dispute.seen.submitted,
        dispute.seen.at,
        json(&dispute.evidence)?,
        dispute.answering.map(<&str>::from),
        i64::from(dispute.generation),
        dispute.deadline_told,
        dispute.created_at,
    );
    insert.execute(connection).await?;
    Ok(())
}

/// Writes what a dispute's events change; everything else is frozen at its birth.
async fn move_dispute(
    connection: &mut PgConnection,
    over: Version,
    dispute: &Dispute,
) -> Result<(), Failure> {
    let update = sqlx::query!(
        "UPDATE disputes
         SET version = $3, status = $4, amount = $5, currency = $6, reason = $7, due_by = $8, refundable = $9,
             submitted = $10, seen_at = $11, evidence = $12::text::json, answering = $13, generation = $14,
             deadline_told = $15
         WHERE id = $1 AND version = $2",
        dispute.id.uuid(),
        i64::from(over.number()),
        i64::from(dispute.version.number()),
        clean(&dispute.seen.status.to_string()).into_owned(),
        dispute.seen.amount.minor().cast_signed(),
        dispute.seen.amount.currency().code(),
        &clean(&dispute.seen.reason),
        dispute.seen.due_by,
        dispute.seen.refundable,
        dispute.seen.submitted,
        dispute.seen.at,
        json(&dispute.evidence)?,
        dispute.answering.map(<&str>::from),
        i64::from(dispute.generation),
        dispute.deadline_told,
    );
    only_one(update.execute(connection).await?.rows_affected())
}
