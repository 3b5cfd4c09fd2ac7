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
            "INSERT INTO payment_declines (payment_id, key, order_id, mode, customer_id, code, decline_code, advice, message,
                                           at)
             VALUES ($1, $2, $3, (SELECT mode FROM orders WHERE id = $3), (SELECT customer_id FROM orders WHERE id = $3), $4,
                     $5, $6, $7, $8)
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

/// What is to be appended to the trail.
#[derive(Default)]
pub(crate) struct Lines<'a>(Vec<(&'a Changes, Entry)>);

impl<'a> Lines<'a> {
    pub(crate) fn add(&mut self, changes: &'a Changes, entries: Vec<Entry>) {
        self.0.extend(entries.into_iter().map(|entry| (changes, entry)));
    }

    /// Appends them, in their order.
    pub(crate) async fn write(self, connection: &mut PgConnection) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let orders: Vec<_> = self.entries(|entry| entry.order.uuid());
        let payments: Vec<_> = self.entries(|entry| entry.payment.map(|id| id.uuid()));
        let subjects: Vec<_> = self.entries(|entry| entry.subject.to_owned());
        let events: Vec<_> = self.entries(|entry| entry.event.clone());
        let from: Vec<_> = self.entries(|entry| entry.from);
        let to: Vec<_> = self.entries(|entry| entry.to);
        let details: Vec<_> = self.entries(|entry| Json(storable(&entry.detail)));
        let actors: Vec<_> = self.reasons(|changes| changes.actor.to_string());
        let causes: Vec<_> = self.reasons(|changes| changes.cause.to_string());
        let gateway_events: Vec<_> = self.reasons(|changes| clean_opt(changes.origin.event.as_deref()));
        let requests: Vec<_> = self.reasons(|changes| clean_opt(changes.origin.request.as_deref()));
        let moments: Vec<_> = self.reasons(|changes| changes.at);
        let insert = sqlx::query!(
            "INSERT INTO order_transitions (order_id, mode, payment_id, subject, event, from_state, to_state, detail,
                                            actor, cause, gateway_event, gateway_request, at)
             SELECT entry.order_id, (SELECT mode FROM orders WHERE id = entry.order_id), entry.payment_id, entry.subject,
                    entry.event, entry.from_state, entry.to_state, entry.detail, entry.actor, entry.cause,
                    entry.gateway_event, entry.gateway_request, entry.at
             FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::text[],
                         $9::text[], $10::text[], $11::text[], $12::timestamptz[])
                  WITH ORDINALITY AS entry (order_id, payment_id, subject, event, from_state, to_state, detail, actor,
                                            cause, gateway_event, gateway_request, at, position)
             ORDER BY entry.position",
            &orders,
            payments as _,
            &subjects,
            &events,
            from as _,
            to as _,
            details as _,
            &actors,
            &causes,
            gateway_events as _,
            requests as _,
            &moments,
        );
        insert.execute(connection).await?;
        Ok(())
    }

    fn entries<'l, T>(&'l self, part: impl Fn(&'l Entry) -> T) -> Vec<T> {
        self.0.iter().map(|(_, entry)| part(entry)).collect()
    }

    fn reasons<T>(&self, part: impl Fn(&Changes) -> T) -> Vec<T> {
        self.0.iter().map(|(changes, _)| part(changes)).collect()
    }
}

fn storable(detail: &BTreeMap<String, String>) -> BTreeMap<&str, std::borrow::Cow<'_, str>> {
    detail.iter().map(|(key, value)| (key.as_str(), clean(value))).collect()
}
