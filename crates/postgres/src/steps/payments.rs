//! Steps of payments.

use paywright_domain::{Channel, Payment, PaymentEvent, PaymentId, Transition, Version, ports::StoreError};
use sqlx::PgConnection;

use super::only_one;
use crate::error::Failure;

pub(crate) async fn payment(
    connection: &mut PgConnection,
    step: &Transition<Payment, PaymentEvent>,
) -> Result<(), Failure> {
    match step.before() {
        None => start(connection, step.after()).await,
        Some(before) => move_payment(connection, before.version, step.after()).await,
    }
}

/// Makes sure that a payment is, and until the commit stays, at a version.
pub(crate) async fn payment_stays(
    connection: &mut PgConnection,
    id: PaymentId,
    at: Version,
) -> Result<(), Failure> {
    let select = sqlx::query!(
        "SELECT 1 AS one FROM payments WHERE id = $1 AND version = $2 FOR SHARE",
        id.uuid(),
        i64::from(at.number())
    );
    select.fetch_optional(connection).await?.map(drop).ok_or_else(|| StoreError::Conflict.into())
}

async fn start(connection: &mut PgConnection, payment: &Payment) -> Result<(), Failure> {
    let (channel, urls) = match &payment.channel {
        Channel::PaymentIntent => ("payment_intent", None),
        Channel::Checkout(urls) => ("checkout", Some(urls)),
    };
    let insert = sqlx::query!(
        "INSERT INTO payments (id, order_id, mode, version, channel, success_url, cancel_url, capture, amount, currency,
                               state, seen_at, intent, session, capturable, captured, capture_asked, capture_requested,
                               capture_generation, capture_before, hold_told, refunded, returned, disputed,
                               disputes_blocking, unwanted, fee_transaction, fee, fee_currency, end_requested,
                               end_generation, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                 $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)",
        payment.id.uuid(),
        payment.order.uuid(),
        <&str>::from(payment.mode),
        i64::from(payment.version.number()),
        channel,
        urls.map(|urls| urls.success.as_str()),
        urls.map(|urls| urls.cancel.as_str()),
        <&str>::from(payment.capture),
        payment.amount.minor().cast_signed(),
        payment.amount.currency().code(),
        <&str>::from(payment.state),
        payment.seen_at,
        payment.intent.as_ref().map(|id| id.as_str()),
        payment.session.as_ref().map(|id| id.as_str()),
        payment.capturable.minor().cast_signed(),
        payment.captured.minor().cast_signed(),
        payment.capture_asked.map(|asked| asked.minor().cast_signed()),
        payment.capture_requested,
        i64::from(payment.capture_generation),
        payment.capture_before,
        payment.hold_told,
        payment.refunded.minor().cast_signed(),
        payment.returned.minor().cast_signed(),
        payment.disputed.minor().cast_signed(),
        i64::from(payment.disputes_blocking),
        payment.unwanted,
        payment.fee.as_ref().map(|fee| fee.transaction.as_str()),
        payment.fee.as_ref().map(|fee| fee.amount.minor().cast_signed()),
        payment.fee.as_ref().map(|fee| fee.amount.currency().code()),
        payment.end_requested,
        i64::from(payment.end_generation),
        payment.created_at,
    );
    insert.execute(connection).await?;
    Ok(())
}

/// Writes what a payment's events change; everything else is frozen at its birth.
async fn move_payment(
    connection: &mut PgConnection,
    over: Version,
    payment: &Payment,
) -> Result<(), Failure> {
    let update = sqlx::query!(
        "UPDATE payments
         SET version = $3, state = $4, seen_at = $5, intent = $6, session = $7, capturable = $8, captured = $9,
             capture_asked = $10, capture_requested = $11, capture_generation = $12, capture_before = $13,
             hold_told = $14, refunded = $15, returned = $16, disputed = $17, disputes_blocking = $18, unwanted = $19,
             fee_transaction = $20, fee = $21, fee_currency = $22, end_requested = $23, end_generation = $24
         WHERE id = $1 AND version = $2",
        payment.id.uuid(),
        i64::from(over.number()),
        i64::from(payment.version.number()),
        <&str>::from(payment.state),
        payment.seen_at,
        payment.intent.as_ref().map(|id| id.as_str()),
        payment.session.as_ref().map(|id| id.as_str()),
        payment.capturable.minor().cast_signed(),
        payment.captured.minor().cast_signed(),
        payment.capture_asked.map(|asked| asked.minor().cast_signed()),
        payment.capture_requested,
        i64::from(payment.capture_generation),
        payment.capture_before,
        payment.hold_told,
        payment.refunded.minor().cast_signed(),
        payment.returned.minor().cast_signed(),
        payment.disputed.minor().cast_signed(),
        i64::from(payment.disputes_blocking),
        payment.unwanted,
        payment.fee.as_ref().map(|fee| fee.transaction.as_str()),
        payment.fee.as_ref().map(|fee| fee.amount.minor().cast_signed()),
        payment.fee.as_ref().map(|fee| fee.amount.currency().code()),
        payment.end_requested,
        i64::from(payment.end_generation),
    );
    only_one(update.execute(connection).await?.rows_affected())
}
