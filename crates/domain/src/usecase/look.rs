//! Asking the gateway how things stand.

use time::{Duration, OffsetDateTime};

use super::Ports;
use crate::{
    Dispute, GatewayDisputeId, IntentId, Payment, RefundStanding, Standing,
    ports::{Answer, DisputeSnapshot, Fact, GatewayError, Snapshot, StoreError},
};

/// Everything that the gateway knows of a payment: itself, its refunds, its disputes.
pub(super) async fn everything<E>(ports: &Ports, payment: &Payment) -> Result<Vec<Fact>, E>
where
    E: From<GatewayError> + From<StoreError>,
{
    let begun = ports.clock.now();
    let Some(answer) = payment_at_gateway(ports, payment).await? else { return Ok(Vec::new()) };
    let snapshot = newest(begun, payment, None, answer.snapshot);
    let mut facts = Vec::new();
    // Disputes first: money that they hold cannot be given back. Refunds last: it must have been taken.
    if let Some(intent) = &snapshot.sighting.intent {
        let known = ports.store.disputes(payment.id).await?;
        let begun = ports.clock.now();
        for seen in ports.gateway.disputes(intent).await? {
            let known = known.iter().find(|dispute| dispute.gateway == seen.id);
            facts.push(Fact::Dispute(Box::new(newest_dispute(begun, known, seen))));
        }
    }
    facts.push(Fact::Payment(Box::new(snapshot.clone())));
    if let Some(intent) = &snapshot.sighting.intent {
        facts.extend(refunds(ports, intent).await?);
    }
    Ok(facts)
}

/// All refunds of a payment. Those that came back first: what they free may have been given back since.
pub(super) async fn refunds(ports: &Ports, intent: &IntentId) -> Result<Vec<Fact>, GatewayError> {
    let mut refunds = ports.gateway.refunds(intent).await?;
    refunds.sort_by_key(|refund| match refund.sighting.standing {
        RefundStanding::Cancelled | RefundStanding::Failed => 0,
        RefundStanding::Pending | RefundStanding::Succeeded => 1,
    });
    Ok(refunds.into_iter().map(|refund| Fact::Refund(Box::new(refund))).collect())
}

/// How a dispute stands now; `None` when the gateway has none of this name.
pub(super) async fn dispute<E>(ports: &Ports, id: &GatewayDisputeId) -> Result<Option<DisputeSnapshot>, E>
where
    E: From<GatewayError> + From<StoreError>,
{
    let known = ports.store.dispute_by_gateway(id).await?;
    let begun = ports.clock.now();
    let seen = ports.gateway.dispute(id).await?;
    Ok(seen.map(|seen| newest_dispute(begun, known.as_ref(), seen)))
}

fn newest_dispute(
    begun: OffsetDateTime,
    known: Option<&Dispute>,
    mut seen: DisputeSnapshot,
) -> DisputeSnapshot {
    let told = seen.sighting.at;
    let known = known.map_or(told, |known| known.seen.at.max(told));
    seen.sighting.at = later(begun, told, known);
    seen
}

/// A hosted page that was finished does not tell how: its intent does.
pub(super) async fn payment_at_gateway(
    ports: &Ports,
    payment: &Payment,
) -> Result<Option<Answer>, GatewayError> {
    let gateway = &ports.gateway;
    let answer = match (&payment.session, &payment.intent) {
        (Some(session), None) => gateway.session(session).await?,
        (_, Some(intent)) => return gateway.intent(intent).await,
        (None, None) => None,
    };
    match answer {
        Some(page) => behind_page(ports, page).await,
        None => Ok(None),
    }
}

/// How a payment stands that is made on a hosted page. One that was finished does not tell: its intent does. Where that
/// waits for a method again, a delayed one has failed, and nobody can pay any more: the page is closed for good, and the
/// gateway would cancel the intent only with an open page.
///
/// Source: <https://docs.stripe.com/api/payment_intents/cancel>
pub(super) async fn behind_page(ports: &Ports, page: Answer) -> Result<Option<Answer>, GatewayError> {
    let (seen, closed) = (&page.snapshot.sighting, page.url.is_none());
    let Some(intent) = seen.intent.as_ref().filter(|_| closed) else { return Ok(Some(page)) };
    let mut answer = ports.gateway.intent(intent).await?;
    if let Some(answer) = &mut answer
        && seen.standing == Standing::Unclear
        && answer.snapshot.sighting.standing == Standing::AwaitingMethod
    {
        answer.snapshot.sighting.standing = Standing::Cancelled;
    }
    Ok(answer)
}

/// A look that began at `begun` is newer than everything that was known before it began, although the gateway's clock,
/// in whole seconds, may not show it.
pub(super) fn newest(
    begun: OffsetDateTime,
    payment: &Payment,
    told: Option<&Snapshot>,
    mut seen: Snapshot,
) -> Snapshot {
    let told = told.map_or(seen.sighting.at, |told| told.sighting.at);
    let known = payment.seen_at.map_or(told, |at| at.max(told));
    seen.sighting.at = later(begun, seen.sighting.at, known);
    seen
}

/// Within the second that the gateway named, when the look began: it may have seen nothing newer, however late its answer
/// was heard, and what began later, perhaps after something was asked for and done, saw that. Where the clocks are apart all
/// looks of a second count as one, and how far they saw it come decides; not at the second's very end, so that those of which
/// one knew the other are of the same second too, as is whatever the gateway tells of it.
fn later(begun: OffsetDateTime, second: OffsetDateTime, known: OffsetDateTime) -> OffsetDateTime {
    let soonest = second.saturating_add(Duration::MICROSECOND);
    let latest = second.saturating_add(Duration::SECOND - Duration::MILLISECOND);
    begun.clamp(soonest, latest).max(known.saturating_add(Duration::MICROSECOND))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const SECOND: OffsetDateTime = datetime!(2026-11-21 12:00:00 UTC);

    fn micros(micros: i64) -> OffsetDateTime {
        SECOND + Duration::microseconds(micros)
    }

    #[test]
    fn a_look_is_of_the_second_that_the_gateway_named_and_as_old_as_its_beginning() {
        for (begun, at) in [(250_000, 250_000), (-20_000, 1), (1_000_000, 999_000), (-3_600_000_000, 1)] {
            assert_eq!(later(micros(begun), SECOND, SECOND - Duration::HOUR), micros(at), "{begun}");
        }
        assert_eq!(
            later(micros(250_000), SECOND, micros(400_000)),
            micros(400_001),
            "newer than what it knew"
        );
    }

    /// Covers: fault 39, fault 77.
    #[test]
    fn looks_that_know_each_other_stay_within_their_second_however_far_the_clocks_are_apart() {
        for ahead in [-600, -1, 0, 1, 600] {
            let begun = |millis| SECOND + Duration::seconds(ahead) + Duration::milliseconds(millis);
            let mut known = SECOND;
            for millis in 0..999 {
                let next = later(begun(millis), SECOND, known);
                assert!(next > known, "{ahead}, {millis}");
                known = next;
            }
            assert_eq!(known.unix_timestamp(), SECOND.unix_timestamp(), "{ahead}");
        }
    }
}
