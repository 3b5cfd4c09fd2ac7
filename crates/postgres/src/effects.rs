//! What is to be done outside, and how it ended.

use std::collections::BTreeMap;

use paywright_domain::{CallState, Changes, Effect, GatewayCall, Lease};
use sqlx::{PgConnection, types::Json};
use time::Duration;

use crate::{
    error::{Failure, bug},
    text::micros,
};

/// Whether a job of these changes is due at once, for any worker.
pub(crate) fn wants_a_worker(changes: &Changes) -> bool {
    changes.effects.iter().any(|effect| matches!(effect, Effect::Call { held_for: None, .. }))
}

/// Writes down how recorded calls ended.
pub(crate) async fn answer(
    connection: &mut PgConnection,
    answers: &[(GatewayCall, CallState)],
) -> Result<(), Failure> {
    if answers.is_empty() {
        return Ok(());
    }
    // The last word on a call counts, as when they were written one after the other.
    let last: BTreeMap<_, _> =
        answers.iter().map(|(call, state)| (call.id.uuid(), state.to_string())).collect();
    let (ids, states): (Vec<_>, Vec<_>) = last.into_iter().unzip();
    let update = sqlx::query!(
        "UPDATE gateway_calls SET state = answer.state
         FROM unnest($1::uuid[], $2::text[]) AS answer (id, state)
         WHERE gateway_calls.id = answer.id",
        &ids,
        &states,
    );
    match update.execute(connection).await?.rows_affected() {
        known if known == ids.len() as u64 => Ok(()),
        _ => Err(bug("an answer to a call that was never recorded").into()),
    }
}

/// Writes calls down, each with the job that performs it.
pub(crate) async fn record(connection: &mut PgConnection, changes: &Changes) -> Result<(), Failure> {
    let calls: Vec<(&GatewayCall, Option<Duration>)> = changes
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Call { call, held_for } => Some((call, *held_for)),
            Effect::ExpireOrder { .. } => None,
        })
        .collect();
    if calls.is_empty() {
        return Ok(());
    }
    let each = || calls.iter().map(|(call, _)| call);
    let ids: Vec<_> = each().map(|call| call.id.uuid()).collect();
    let orders: Vec<_> = each().map(|call| call.order.uuid()).collect();
    let payments: Vec<_> = each().map(|call| call.payment.uuid()).collect();
    let modes: Vec<_> = each().map(|call| call.mode.to_string()).collect();
    let operations: Vec<_> = each().map(|call| call.operation.name().to_owned()).collect();
    let generations: Vec<_> = each().map(|call| i64::from(call.generation)).collect();
    let parameters: Vec<_> = each().map(|call| Json(&call.operation)).collect();
    let keys: Vec<_> = each().map(|call| call.key()).collect();
    let states: Vec<_> = each().map(|call| call.state.to_string()).collect();
    let recorded_at: Vec<_> = each().map(|call| call.recorded_at).collect();
    let held: Vec<Option<i64>> = calls.iter().map(|(_, held_for)| held_for.map(micros)).collect();
    let insert = sqlx::query!(
        "WITH recorded AS (
             INSERT INTO gateway_calls (id, order_id, payment_id, mode, operation, generation, parameters,
                                        idempotency_key, state, recorded_at)
             SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[],
                                  $7::jsonb[], $8::text[], $9::text[], $10::timestamptz[])
         )
         INSERT INTO jobs (id, queue, kind, due_at, leased_until, attempts, lease_token)
         SELECT job.id, 'effects', 'perform_call',
                now() + coalesce(job.held, 0) * interval '1 microsecond',
                now() + job.held * interval '1 microsecond',
                CASE WHEN job.held IS NULL THEN 0 ELSE 1 END,
                CASE WHEN job.held IS NULL THEN 0 ELSE $12::bigint END
         FROM unnest($1::uuid[], $11::bigint[]) AS job (id, held)",
        &ids,
        &orders,
        &payments,
        &modes,
        &operations,
        &generations,
        parameters as _,
        &keys,
        &states,
        &recorded_at,
        held as _,
        i64::from(Lease::FROM_BIRTH),
    );
    insert.execute(connection).await?;
    Ok(())
}

/// Sets timers. Moving one takes it from whoever holds it, who looked at the order as it was before. The caller's
/// clock only says how far away the moment is: jobs live on the database's time.
pub(crate) async fn expire(connection: &mut PgConnection, changes: &Changes) -> Result<(), Failure> {
    let timers: BTreeMap<_, _> = changes
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::ExpireOrder { job, order, at } => Some((*order, (*job, *at - changes.at))),
            Effect::Call { .. } => None,
        })
        .collect();
    if timers.is_empty() {
        return Ok(());
    }
    let jobs: Vec<_> = timers.values().map(|(job, _)| job.uuid()).collect();
    let names: Vec<_> = timers.keys().map(ToString::to_string).collect();
    let delays: Vec<_> = timers.values().map(|(_, delay)| micros(*delay)).collect();
    let upsert = sqlx::query!(
        "INSERT INTO jobs (id, queue, kind, payload, unique_key, due_at)
         SELECT timer.job, 'effects', 'expire_order', timer.name, 'expire:' || timer.name,
                now() + timer.delay * interval '1 microsecond'
         FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS timer (job, name, delay)
         ON CONFLICT (unique_key) WHERE state = 'ready' AND unique_key IS NOT NULL
         DO UPDATE SET due_at = excluded.due_at, leased_until = NULL",
        &jobs,
        &names,
        &delays,
    );
    upsert.execute(connection).await?;
    Ok(())
}
