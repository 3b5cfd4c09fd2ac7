//! Attempts to pay: those that come at the same time are judged in one statement. What is counted by meters is taken there;
//! what counts by itself, payments of an order and declines, is looked at.

use std::collections::HashMap;

use paywright_domain::{Admission, Attempt, Id, Limits, Mode, Rule, ports::StoreError};
use time::Duration;

use crate::{
    error::store_error,
    keyed::{Keyed, Lent},
    lane::{Ticket, refuse},
    rows::Reading,
    text::micros,
};

/// Somebody who wants to pay, on the way through the gate.
type Entry = Ticket<(Attempt, Limits), Admission>;

/// Judges attempts.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) keyed: Keyed,
}

/// What one rule says of one attempt.
struct Said {
    place: i64,
    rule: String,
    /// What it takes from; none when it only looks.
    subject: Option<String>,
    /// How many of those who ride together may take from it.
    granted: i64,
    /// Microseconds until there is one more.
    wait: i64,
}

impl Gate {
    /// Judges them all, each under its limits, which are mostly the same for all.
    pub(crate) async fn ride(self, entries: Vec<Entry>) {
        let mut groups: Vec<((Mode, Limits), Vec<Entry>)> = Vec::new();
        for entry in entries {
            let (Attempt { mode, .. }, limits) = entry.question;
            match groups.iter_mut().find(|(same, _)| *same == (mode, limits)) {
                Some((_, group)) => group.push(entry),
                None => groups.push(((mode, limits), vec![entry])),
            }
        }
        for ((mode, limits), group) in groups {
            let attempts: Vec<_> = group.iter().map(|entry| entry.question.0).collect();
            match self.judge(attempts, mode, limits).await {
                Ok(verdicts) => {
                    for (entry, verdict) in group.into_iter().zip(verdicts) {
                        entry.answer(Ok(verdict));
                    }
                }
                Err(error) => refuse(group, &error),
            }
        }
    }

    async fn judge(
        &self,
        attempts: Vec<Attempt>,
        mode: Mode,
        limits: Limits,
    ) -> Result<Vec<Admission>, StoreError> {
        let places = attempts.len();
        let said = self.keyed.read(attempts, |lent, attempts| ask(lent, attempts, mode, limits)).await;
        let (verdicts, left) = share_out(places, said.map_err(store_error)?)?;
        if !left.is_empty() {
            self.give_back(left).await;
        }
        Ok(verdicts)
    }

    /// What one rule granted and another refused was not used.
    async fn give_back(&self, left: Vec<(String, i64)>) {
        let (subjects, counts): (Vec<_>, Vec<_>) = left.into_iter().unzip();
        let back = sqlx::query!(
            "UPDATE limit_meters
             SET free_at = limit_meters.free_at - back.count * limit_meters.pace * interval '1 microsecond'
             FROM unnest($1::text[], $2::bigint[]) AS back (subject, count)
             WHERE limit_meters.subject = back.subject",
            &subjects,
            &counts,
        );
        if let Err(error) = back.execute(self.keyed.pool()).await {
            tracing::warn!(%error, "what was taken from a quota in vain is not given back; it comes back by itself");
        }
    }
}

/// What each rule says of each attempt; those that say nothing against it and count nothing are left out.
async fn ask(
    mut lent: Lent,
    attempts: Vec<Attempt>,
    mode: Mode,
    limits: Limits,
) -> (Lent, sqlx::Result<Vec<Said>>) {
    let orders: Vec<_> = attempts.iter().map(|attempt| attempt.order.uuid()).collect();
    let networks: Vec<_> =
        attempts.iter().map(|attempt| attempt.network.map(|network| network.to_string())).collect();
    let keys: Vec<_> = attempts.iter().map(|attempt| attempt.key.map(Id::uuid)).collect();
    let count = |rule| limits.quota(rule).map(|quota| i64::from(quota.count()));
    let pace = |rule| limits.quota(rule).map(|quota| micros(quota.pace()));
    let window = |rule| limits.quota(rule).map(|quota| micros(quota.window()));
    // By orders_pkey, payments_by_order, payment_declines_by_order, payment_declines_by_customer, payment_origins_pkey and
    // limit_meters_pkey.
    let said = sqlx::query_as!(
        Said,
        r#"WITH asked AS MATERIALIZED (
               SELECT asked.place, asked.order_id, asked.network, asked.api_key, orders.customer_id
               FROM unnest($1::uuid[], $2::text[], $3::uuid[]) WITH ORDINALITY
                        AS asked (order_id, network, api_key, place)
                    LEFT JOIN orders ON orders.id = asked.order_id
           ), refused AS MATERIALIZED (
               SELECT asked.place, 'payments_per_order' AS rule, nth.at + $12::bigint * interval '1 microsecond' AS until
               FROM asked, LATERAL (
                   SELECT created_at AS at FROM payments WHERE order_id = asked.order_id
                   ORDER BY id DESC OFFSET $11::bigint - 1 LIMIT 1) AS nth
               WHERE $11 IS NOT NULL
               UNION ALL
               SELECT asked.place, 'declines_per_address', nth.at + $14::bigint * interval '1 microsecond'
               FROM asked, LATERAL (
                   SELECT declined.at
                   FROM payment_origins AS origin
                        JOIN payment_declines AS declined
                             ON declined.order_id = origin.order_id AND declined.mode = $4
                                AND declined.at > now() - $14::bigint * interval '1 microsecond'
                   WHERE origin.network = asked.network
                   ORDER BY declined.at DESC OFFSET $13::bigint - 1 LIMIT 1) AS nth
               WHERE $13 IS NOT NULL
               UNION ALL
               SELECT asked.place, 'declines_per_order', nth.at + $16::bigint * interval '1 microsecond'
               FROM asked, LATERAL (
                   SELECT at FROM payment_declines WHERE order_id = asked.order_id
                   ORDER BY at DESC OFFSET $15::bigint - 1 LIMIT 1) AS nth
               WHERE $15 IS NOT NULL
               UNION ALL
               SELECT asked.place, 'declines_per_customer', nth.at + $18::bigint * interval '1 microsecond'
               FROM asked, LATERAL (
                   SELECT at FROM payment_declines WHERE customer_id = asked.customer_id
                   ORDER BY at DESC OFFSET $17::bigint - 1 LIMIT 1) AS nth
               WHERE $17 IS NOT NULL
           ), wants AS MATERIALIZED (
               SELECT asked.place, wanted.rule, wanted.rule || ' ' || wanted.who AS subject, wanted.quota, wanted.pace
               FROM asked, LATERAL (VALUES
                   ('payments_per_address', $4 || ' ' || asked.network, $5::bigint, $6::bigint),
                   ('payments_per_customer', asked.customer_id::text, $7::bigint, $8::bigint),
                   ('payments_per_key', asked.api_key::text, $9::bigint, $10::bigint)
               ) AS wanted (rule, who, quota, pace)
               WHERE wanted.who IS NOT NULL AND wanted.quota IS NOT NULL
                 AND NOT EXISTS (SELECT FROM refused WHERE refused.place = asked.place AND refused.until > now())
           ), taken AS (
               -- In one order, so that two who take the same do not wait for each other in a circle.
               INSERT INTO limit_meters AS meter (subject, free_at, taken, quota, pace)
               SELECT subject, now() + least(count(*), quota) * pace * interval '1 microsecond', least(count(*), quota),
                      quota, pace
               FROM wants GROUP BY subject, quota, pace ORDER BY subject
               ON CONFLICT ON CONSTRAINT limit_meters_pkey DO UPDATE
               SET taken = least(excluded.taken, excluded.quota - ceil(
                       extract(epoch FROM greatest(meter.free_at - now(), '0')) * 1000000 / excluded.pace)::bigint),
                   free_at = greatest(meter.free_at, now())
                       + least(excluded.taken, excluded.quota - ceil(
                             extract(epoch FROM greatest(meter.free_at - now(), '0')) * 1000000 / excluded.pace)::bigint)
                         * excluded.pace * interval '1 microsecond',
                   quota = excluded.quota, pace = excluded.pace
               -- Who is refused writes nothing.
               WHERE meter.free_at <= now() + (excluded.quota - 1) * excluded.pace * interval '1 microsecond'
               RETURNING subject, taken, free_at
           ), origin AS (
               INSERT INTO payment_origins (network, order_id)
               SELECT DISTINCT network, order_id FROM asked
               WHERE network IS NOT NULL AND $13 IS NOT NULL
                 AND NOT EXISTS (SELECT FROM refused WHERE refused.place = asked.place AND refused.until > now())
               ORDER BY network, order_id
               ON CONFLICT ON CONSTRAINT payment_origins_pkey DO NOTHING
           )
           SELECT place AS "place!", rule AS "rule!", NULL::text AS subject, 0::bigint AS "granted!",
                  (extract(epoch FROM until - now()) * 1000000)::bigint AS "wait!"
           FROM refused WHERE until > now()
           UNION ALL
           SELECT wants.place, wants.rule, wants.subject, coalesce(taken.taken, 0),
                  (extract(epoch FROM coalesce(taken.free_at, meter.free_at, now()) - now()) * 1000000)::bigint
                      - (wants.quota - 1) * wants.pace
           FROM wants
                LEFT JOIN taken ON taken.subject = wants.subject
                -- As it was before.
                LEFT JOIN limit_meters AS meter ON meter.subject = wants.subject"#,
        &orders,
        networks as _,
        keys as _,
        <&str>::from(mode),
        count(Rule::PaymentsPerAddress),
        pace(Rule::PaymentsPerAddress),
        count(Rule::PaymentsPerCustomer),
        pace(Rule::PaymentsPerCustomer),
        count(Rule::PaymentsPerKey),
        pace(Rule::PaymentsPerKey),
        count(Rule::PaymentsPerOrder),
        window(Rule::PaymentsPerOrder),
        count(Rule::DeclinesPerAddress),
        window(Rule::DeclinesPerAddress),
        count(Rule::DeclinesPerOrder),
        window(Rule::DeclinesPerOrder),
        count(Rule::DeclinesPerCustomer),
        window(Rule::DeclinesPerCustomer),
    );
    let said = said.fetch_all(&mut *lent.connection).await;
    (lent, said)
}

/// How much is left over, of each subject of which something is.
type Left = Vec<(String, i64)>;

/// Who came first is served first, and only whole.
fn share_out(places: usize, said: Vec<Said>) -> Result<(Vec<Admission>, Left), StoreError> {
    let mut grants: HashMap<String, i64> =
        said.iter().filter_map(|said| Some((said.subject.clone()?, said.granted))).collect();
    let mut said_of: Vec<Vec<Said>> = (0..places).map(|_| Vec::new()).collect();
    for said in said {
        let place = usize::try_from(said.place - 1).ok();
        if let Some(all) = place.and_then(|place| said_of.get_mut(place)) {
            all.push(said);
        }
    }
    let mut verdicts = Vec::with_capacity(places);
    for all in said_of {
        let mut verdict = Admission::Admitted;
        let left = |said: &Said| said.subject.as_ref().and_then(|subject| grants.get(subject)).copied();
        for said in all.iter().filter(|said| left(said).is_none_or(|left| left <= 0)) {
            let rule = Reading { table: "limit_meters", id: &said.place }.word("rule", &said.rule)?;
            verdict = verdict.and(Admission::Refused { rule, wait: waits(said.wait) });
        }
        if verdict == Admission::Admitted {
            for subject in all.into_iter().filter_map(|said| said.subject) {
                grants.entry(subject).and_modify(|left| *left -= 1);
            }
        }
        verdicts.push(verdict);
    }
    grants.retain(|_, left| *left > 0);
    Ok((verdicts, grants.into_iter().collect()))
}

/// Never less than nothing.
pub(crate) fn waits(micros: i64) -> Duration {
    Duration::microseconds(micros.max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(place: i64, subject: &str, granted: i64) -> Said {
        let rule = "payments_per_address".to_owned();
        Said { place, rule, subject: Some(subject.to_owned()), granted, wait: 7 }
    }

    #[test]
    fn who_came_first_is_served_first_and_only_whole() {
        // Three want of `a`, of which there are two; the second wants of `b` too, of which there is none.
        let (verdicts, left) =
            share_out(4, vec![said(1, "a", 2), said(2, "a", 2), said(2, "b", 0), said(3, "a", 2)]).unwrap();
        let admitted: Vec<_> = verdicts.iter().map(|verdict| *verdict == Admission::Admitted).collect();
        assert_eq!(admitted, [true, false, true, true], "the fourth is counted by nobody");
        assert_eq!(left, []);
        let (verdicts, left) = share_out(1, vec![said(1, "a", 1), said(1, "b", 0)]).unwrap();
        assert!(matches!(verdicts[0], Admission::Refused { .. }));
        assert_eq!(left, [("a".to_owned(), 1)], "what was not used is given back");
    }
}
