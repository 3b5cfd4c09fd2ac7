//! What is to be done outside, and how it ended.

use std::collections::BTreeMap;

use paywright_domain::{Changes, Effect, GatewayCall, Lease};
use sqlx::PgConnection;
use time::Duration;

use crate::{
    error::{Failure, bug},
    text::{json, micros},
};

/// Whether a job of these changes is due at once, for any worker.
pub(crate) fn wants_a_worker(changes: &Changes) -> bool {
    changes.effects.iter().any(|effect| matches!(effect, Effect::Call { held_for: None, .. }))
}

/// Writes down how recorded calls ended.
pub(crate) async fn answer(connection: &mut PgConnection, group: &[&Changes]) -> Result<(), Failure> {
    let answers: BTreeMap<_, _> = group
        .iter()
        .flat_map(|changes| &changes.answers)
        .map(|(call, state)| (call.id.uuid(), state.to_string()))
        .collect();
    if answers.is_empty() {
        return Ok(());
    }
    let (ids, states): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
    let update = sqlx::query!(
        "UPDATE gateway_calls SET state = answer.state
         FROM unnest($1::uuid[], $2::text[]) AS answer (id, state)
         WHERE gateway_calls.id = answer.id",
        &ids,
        &states,
    );
    match usize::try_from(update.execute(connection).await?.rows_affected()) {
        Ok(known) if known == ids.len() => Ok(()),
        _ => Err(bug("an answer to a call that was never recorded").into()),
    }
}

/// Writes calls down, each with the job that performs it.
pub(crate) async fn record(connection: &mut PgConnection, group: &[&Changes]) -> Result<(), Failure> {
    let calls: Vec<(&GatewayCall, Option<Duration>)> = group
        .iter()
        .flat_map(|changes| &changes.effects)
        .filter_map(|effect| match effect {
            Effect::Call { call, held_for } => Some((call, *held_for)),
            Effect::WatchOrder { .. } => None,
        })
        .collect();
    if calls.is_empty() {
        return Ok(());
    }
    let each = || calls.iter().map(|(call, _)| call);
    let ids: Vec<_> = each().map(|call| call.id.uuid()).collect();
    let orders: Vec<_> = each().map(|call| call.order.uuid()).collect();
    let payments: Vec<_> = each().map(|call| call.payment.uuid()).collect();
    let subjects: Vec<_> = each().map(|call| call.subject.to_string()).collect();
    let modes: Vec<_> = each().map(|call| call.mode.to_string()).collect();
    let operations: Vec<_> = each().map(|call| call.operation.name().to_owned()).collect();
    let generations: Vec<_> = each().map(|call| i64::from(call.generation)).collect();
    let parameters = each().map(|call| json(&call.operation)).collect::<Result<Vec<_>, _>>()?;
    let keys: Vec<_> = each().map(|call| call.key()).collect();
    let states: Vec<_> = each().map(|call| call.state.to_string()).collect();
    let recorded_at: Vec<_> = each().map(|call| call.recorded_at).collect();
    let held: Vec<Option<i64>> = calls.iter().map(|(_, held_for)| held_for.map(micros)).collect();
    let insert = sqlx::query!(
        "WITH recorded AS (
             INSERT INTO gateway_calls (id, order_id, payment_id, subject, mode, operation, generation,
                                        parameters, idempotency_key, state, recorded_at)
             SELECT call.id, call.order_id, call.payment_id, call.subject, call.mode, call.operation, call.generation,
                    call.parameters::json, call.idempotency_key, call.state, call.recorded_at
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                         $8::text[], $9::text[], $10::text[], $11::timestamptz[])
                  AS call (id, order_id, payment_id, subject, mode, operation, generation, parameters, idempotency_key,
                           state, recorded_at)
         )
         INSERT INTO jobs (id, queue, kind, due_at, leased_until, attempts, lease_token)
         SELECT job.id, 'effects', 'perform_call',
                now() + coalesce(job.held, 0) * interval '1 microsecond',
                now() + job.held * interval '1 microsecond',
                CASE WHEN job.held IS NULL THEN 0 ELSE 1 END,
                CASE WHEN job.held IS NULL THEN 0 ELSE $13::bigint END
         FROM unnest($1::uuid[], $12::bigint[]) AS job (id, held)",
        &ids,
        &orders,
        &payments,
        &subjects,
        &modes,
        &operations,
        &generations,
        &parameters,
        &keys,
        &states,
        &recorded_at,
        held as _,
        i64::from(Lease::FROM_BIRTH),
    );
    insert.execute(connection).await?;
    Ok(())
}

/// Sets timers; of two moments the earlier counts. One that somebody holds is taken from them, since they looked at the
/// order as it was before, and rings again when their lease would have ended. The caller's clock only says how far away the moment is: jobs live on the database's
/// time.
pub(crate) async fn watch(connection: &mut PgConnection, group: &[&Changes]) -> Result<(), Failure> {
    let effects = group.iter().flat_map(|changes| changes.effects.iter().map(|effect| (changes.at, effect)));
    let timers: BTreeMap<_, _> = effects
        .filter_map(|(now, effect)| match effect {
            Effect::WatchOrder { job, order, at } => Some((*order, (*job, *at - now))),
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
         SELECT timer.job, 'effects', 'watch_order', timer.name, 'watch:' || timer.name,
                now() + timer.delay * interval '1 microsecond'
         FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS timer (job, name, delay)
         ON CONFLICT (unique_key) WHERE state = 'ready' AND unique_key IS NOT NULL
         DO UPDATE SET due_at = least(jobs.due_at, excluded.due_at), leased_until = NULL",
        &jobs,
        &names,
        &delays,
    );
    upsert.execute(connection).await?;
    Ok(())
}
