//! Payments.

use paywright_domain::{Changes, Channel, Guard, Payment, ReturnUrls, Step, Version};
use sqlx::PgConnection;

use super::{Course, all, each};
use crate::error::Failure;

/// Writes what becomes of payments, and makes sure that those which were read stay at their version until the commit.
///
/// Payments that end are written first: only one of an order may be live at a time.
pub(crate) async fn payments(connection: &mut PgConnection, group: &[&Changes]) -> Result<(), Failure> {
    let steps = group.iter().flat_map(|changes| &changes.steps).filter_map(|step| match step {
        Step::Payment(step) => Some(&**step),
        Step::Order(_) | Step::Refund(_) | Step::Dispute(_) => None,
    });
    let course = Course::follow(steps, |payment| payment.id.uuid(), |payment| payment.version)?;
    let (live, ended): (Vec<_>, Vec<_>) =
        course.moved().into_iter().partition(|(_, payment)| payment.state.is_live());
    move_on(connection, &ended).await?;
    move_on(connection, &live).await?;
    start(connection, &course.born()).await?;
    stay(connection, group).await
}

async fn start(connection: &mut PgConnection, payments: &[&Payment]) -> Result<(), Failure> {
    if payments.is_empty() {
        return Ok(());
    }
    let insert = sqlx::query!(
        "INSERT INTO payments (id, order_id, mode, version, channel, success_url, cancel_url, capture, amount, currency,
                               state, seen_at, intent, session, capturable, captured, capture_asked, capture_requested,
                               capture_generation, capture_before, hold_told, refunded, returned, disputed,
                               disputes_blocking, unwanted, fee_transaction, fee, fee_currency, end_requested,
                               end_generation, created_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                              $8::text[], $9::bigint[], $10::text[], $11::text[], $12::timestamptz[], $13::text[],
                              $14::text[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bool[], $19::bigint[],
                              $20::timestamptz[], $21::bool[], $22::bigint[], $23::bigint[], $24::bigint[],
                              $25::bigint[], $26::bool[], $27::text[], $28::bigint[], $29::text[], $30::bool[],
                              $31::bigint[], $32::timestamptz[])",
        &each(payments, |payment| payment.id.uuid()),
        &each(payments, |payment| payment.order.uuid()),
        &each(payments, |payment| payment.mode.to_string()),
        &each(payments, |payment| i64::from(payment.version.number())),
        &each(payments, |payment| match payment.channel {
            Channel::PaymentIntent => "payment_intent".to_owned(),
            Channel::Checkout(_) => "checkout".to_owned(),
        }),
        each(payments, |payment| urls(payment).map(|urls| urls.success.clone())) as _,
        each(payments, |payment| urls(payment).map(|urls| urls.cancel.clone())) as _,
        &each(payments, |payment| payment.capture.to_string()),
        &each(payments, |payment| payment.amount.minor().cast_signed()),
        &each(payments, |payment| payment.amount.currency().code().to_owned()),
        &each(payments, |payment| payment.state.to_string()),
        each(payments, |payment| payment.seen_at) as _,
        each(payments, |payment| payment.intent.as_ref().map(ToString::to_string)) as _,
        each(payments, |payment| payment.session.as_ref().map(ToString::to_string)) as _,
        &each(payments, |payment| payment.capturable.minor().cast_signed()),
        &each(payments, |payment| payment.captured.minor().cast_signed()),
        each(payments, |payment| payment.capture_asked.map(|asked| asked.minor().cast_signed())) as _,
        &each(payments, |payment| payment.capture_requested),
        &each(payments, |payment| i64::from(payment.capture_generation)),
        each(payments, |payment| payment.capture_before) as _,
        &each(payments, |payment| payment.hold_told),
        &each(payments, |payment| payment.refunded.minor().cast_signed()),
        &each(payments, |payment| payment.returned.minor().cast_signed()),
        &each(payments, |payment| payment.disputed.minor().cast_signed()),
        &each(payments, |payment| i64::from(payment.disputes_blocking)),
        &each(payments, |payment| payment.unwanted),
        each(payments, |payment| payment.fee.as_ref().map(|fee| fee.transaction.to_string())) as _,
        each(payments, |payment| payment.fee.as_ref().map(|fee| fee.amount.minor().cast_signed())) as _,
        each(payments, |payment| payment.fee.as_ref().map(|fee| fee.amount.currency().code())) as _,
        &each(payments, |payment| payment.end_requested),
        &each(payments, |payment| i64::from(payment.end_generation)),
        &each(payments, |payment| payment.created_at),
    );
    insert.execute(connection).await?;
    Ok(())
}

fn urls(payment: &Payment) -> Option<&ReturnUrls> {
    match &payment.channel {
        Channel::PaymentIntent => None,
        Channel::Checkout(urls) => Some(urls),
    }
}

/// Writes what events change; everything else is frozen at a payment's birth.
async fn move_on(connection: &mut PgConnection, payments: &[(Version, &Payment)]) -> Result<(), Failure> {
    if payments.is_empty() {
        return Ok(());
    }
    let update = sqlx::query!(
        "UPDATE payments
         SET version = new.version, state = new.state, seen_at = new.seen_at, intent = new.intent,
             session = new.session, capturable = new.capturable, captured = new.captured,
             capture_asked = new.capture_asked, capture_requested = new.capture_requested,
             capture_generation = new.capture_generation, capture_before = new.capture_before,
             hold_told = new.hold_told, refunded = new.refunded, returned = new.returned, disputed = new.disputed,
             disputes_blocking = new.disputes_blocking, unwanted = new.unwanted,
             fee_transaction = new.fee_transaction, fee = new.fee, fee_currency = new.fee_currency,
             end_requested = new.end_requested, end_generation = new.end_generation
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
                     $8::bigint[], $9::bigint[], $10::bigint[], $11::bool[], $12::bigint[], $13::timestamptz[],
                     $14::bool[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bool[],
                     $20::text[], $21::bigint[], $22::text[], $23::bool[], $24::bigint[])
              AS new (id, over, version, state, seen_at, intent, session, capturable, captured, capture_asked,
                      capture_requested, capture_generation, capture_before, hold_told, refunded, returned, disputed,
                      disputes_blocking, unwanted, fee_transaction, fee, fee_currency, end_requested, end_generation)
         WHERE payments.id = new.id AND payments.version = new.over",
        &each(payments, |(_, payment)| payment.id.uuid()),
        &each(payments, |(over, _)| i64::from(over.number())),
        &each(payments, |(_, payment)| i64::from(payment.version.number())),
        &each(payments, |(_, payment)| payment.state.to_string()),
        each(payments, |(_, payment)| payment.seen_at) as _,
        each(payments, |(_, payment)| payment.intent.as_ref().map(ToString::to_string)) as _,
        each(payments, |(_, payment)| payment.session.as_ref().map(ToString::to_string)) as _,
        &each(payments, |(_, payment)| payment.capturable.minor().cast_signed()),
        &each(payments, |(_, payment)| payment.captured.minor().cast_signed()),
        each(payments, |(_, payment)| payment.capture_asked.map(|asked| asked.minor().cast_signed())) as _,
        &each(payments, |(_, payment)| payment.capture_requested),
        &each(payments, |(_, payment)| i64::from(payment.capture_generation)),
        each(payments, |(_, payment)| payment.capture_before) as _,
        &each(payments, |(_, payment)| payment.hold_told),
        &each(payments, |(_, payment)| payment.refunded.minor().cast_signed()),
        &each(payments, |(_, payment)| payment.returned.minor().cast_signed()),
        &each(payments, |(_, payment)| payment.disputed.minor().cast_signed()),
        &each(payments, |(_, payment)| i64::from(payment.disputes_blocking)),
        &each(payments, |(_, payment)| payment.unwanted),
        each(payments, |(_, payment)| payment.fee.as_ref().map(|fee| fee.transaction.to_string())) as _,
        each(payments, |(_, payment)| payment.fee.as_ref().map(|fee| fee.amount.minor().cast_signed())) as _,
        each(payments, |(_, payment)| payment.fee.as_ref().map(|fee| fee.amount.currency().code())) as _,
        &each(payments, |(_, payment)| payment.end_requested),
        &each(payments, |(_, payment)| i64::from(payment.end_generation)),
    );
    all(update.execute(connection).await?.rows_affected(), payments.len())
}

async fn stay(connection: &mut PgConnection, group: &[&Changes]) -> Result<(), Failure> {
    let guards = group.iter().flat_map(|changes| &changes.guards);
    let guarded: Vec<_> = guards
        .filter_map(|guard| match *guard {
            Guard::Payment(id, version) => Some((id.uuid(), i64::from(version.number()))),
            Guard::Order(..) => None,
        })
        .collect();
    if guarded.is_empty() {
        return Ok(());
    }
    let select = sqlx::query!(
        "SELECT 1 AS one FROM payments JOIN unnest($1::uuid[], $2::bigint[]) AS read (id, version) USING (id, version)
         FOR SHARE OF payments",
        &each(&guarded, |(id, _)| *id),
        &each(&guarded, |(_, version)| *version),
    );
    let rows = select.fetch_all(connection).await?.len();
    all(rows as u64, guarded.len())
}
