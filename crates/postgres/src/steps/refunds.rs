//! Refunds.

use paywright_domain::{Changes, Refund, Step, Version};
use sqlx::PgConnection;

use super::{Course, all, each};
use crate::{error::Failure, text::clean_opt};

/// Writes what becomes of refunds.
pub(crate) async fn refunds(connection: &mut PgConnection, group: &[&Changes]) -> Result<(), Failure> {
    let steps = group.iter().flat_map(|changes| &changes.steps).filter_map(|step| match step {
        Step::Refund(step) => Some(&**step),
        Step::Order(_) | Step::Payment(_) | Step::Dispute(_) => None,
    });
    let course = Course::follow(steps, |refund| refund.id.uuid(), |refund| refund.version)?;
    request(connection, &course.born()).await?;
    move_on(connection, &course.moved()).await
}

async fn request(connection: &mut PgConnection, refunds: &[&Refund]) -> Result<(), Failure> {
    if refunds.is_empty() {
        return Ok(());
    }
    let insert = sqlx::query!(
        "INSERT INTO refunds (id, order_id, payment_id, mode, version, amount, currency, reason, note, state, gateway,
                              failure, settlement, reversal, created_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
                              $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
                              $15::timestamptz[])",
        &each(refunds, |refund| refund.id.uuid()),
        &each(refunds, |refund| refund.order.uuid()),
        &each(refunds, |refund| refund.payment.uuid()),
        &each(refunds, |refund| refund.mode.to_string()),
        &each(refunds, |refund| i64::from(refund.version.number())),
        &each(refunds, |refund| refund.amount.minor().cast_signed()),
        &each(refunds, |refund| refund.amount.currency().code().to_owned()),
        &each(refunds, |refund| refund.reason.to_string()),
        each(refunds, |refund| clean_opt(refund.note.as_deref())) as _,
        &each(refunds, |refund| refund.state.to_string()),
        each(refunds, |refund| refund.gateway.as_ref().map(ToString::to_string)) as _,
        each(refunds, |refund| clean_opt(refund.failure.as_deref())) as _,
        each(refunds, |refund| refund.settlement.as_ref().map(ToString::to_string)) as _,
        each(refunds, |refund| refund.reversal.as_ref().map(ToString::to_string)) as _,
        &each(refunds, |refund| refund.created_at),
    );
    insert.execute(connection).await?;
    Ok(())
}

/// Writes what events change; everything else is frozen at a refund's birth.
async fn move_on(connection: &mut PgConnection, refunds: &[(Version, &Refund)]) -> Result<(), Failure> {
    if refunds.is_empty() {
        return Ok(());
    }
    let update = sqlx::query!(
        "UPDATE refunds
         SET version = new.version, state = new.state, gateway = new.gateway, failure = new.failure,
             settlement = new.settlement, reversal = new.reversal
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
              AS new (id, over, version, state, gateway, failure, settlement, reversal)
         WHERE refunds.id = new.id AND refunds.version = new.over",
        &each(refunds, |(_, refund)| refund.id.uuid()),
        &each(refunds, |(over, _)| i64::from(over.number())),
        &each(refunds, |(_, refund)| i64::from(refund.version.number())),
        &each(refunds, |(_, refund)| refund.state.to_string()),
        each(refunds, |(_, refund)| refund.gateway.as_ref().map(ToString::to_string)) as _,
        each(refunds, |(_, refund)| clean_opt(refund.failure.as_deref())) as _,
        each(refunds, |(_, refund)| refund.settlement.as_ref().map(ToString::to_string)) as _,
        each(refunds, |(_, refund)| refund.reversal.as_ref().map(ToString::to_string)) as _,
    );
    all(update.execute(connection).await?.rows_affected(), refunds.len())
}
