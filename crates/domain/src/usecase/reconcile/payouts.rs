//! What the gateway sent to our bank, explained to the cent.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use super::{Reconcile, Stop, Work};
use crate::{
    Actor, Break, BreakKind, Journal, Money, PayoutPart, PayoutRecord, Resolution,
    ports::{BookEntry, Payout, Window},
};

impl Reconcile {
    /// A payout changes for days after it was made, and may come back after it was paid: that long it is looked at.
    const PAYOUT_CHANGES: Duration = Duration::days(35);

    /// Compares the payouts of the last weeks.
    pub(super) async fn payouts(
        &self,
        work: &mut Work<'_>,
        since: Option<OffsetDateTime>,
    ) -> Result<(), Stop> {
        let from = work.now - Self::PAYOUT_CHANGES;
        let from = since.map_or(from, |since| from.min(since));
        let window = Window { from, before: work.now + self.pace.overlap };
        let mut after = None;
        loop {
            work.budget.spend(1);
            let shelf = self.archive.payouts(window, after).await?;
            for payout in shelf.rows {
                if work.budget.is_spent() {
                    work.counts.more = true;
                    return Ok(());
                }
                self.payout(work, payout).await?;
            }
            work.show();
            after = shelf.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn payout(&self, work: &mut Work<'_>, payout: Payout) -> Result<(), Stop> {
        let mode = self.policy.mode;
        work.counts.compared += 1;
        let known = self.books.payout(mode, &payout.id).await?;
        let explainable = payout.automatic && payout.is_paid();
        let unchanged = known.as_ref().is_some_and(|known| known.payout == payout);
        if unchanged && (!explainable || known.as_ref().is_some_and(PayoutRecord::is_explained)) {
            work.counts.matched += 1;
            return Ok(());
        }
        let (parts, remainder) = if explainable {
            let parts = self.parts(work, &payout).await?;
            let remainder = remainder(&payout, &parts);
            (parts, Some(remainder))
        } else {
            known.as_ref().map_or((Vec::new(), None), |known| (known.parts.clone(), known.remainder))
        };
        // A person may have explained what no rule does: it is opened again only when it differs otherwise.
        if unchanged && known.is_some_and(|known| known.remainder == remainder) {
            work.counts.broken += 1;
            return Ok(());
        }
        let record = PayoutRecord { mode, payout, parts, remainder, seen_at: work.now };
        self.book_payout(&record).await?;
        self.books.record_payout(&record).await?;
        match record.remainder {
            Some(remainder) if remainder != 0 && !record.payout.has_failed() => work.counts.broken += 1,
            Some(_) | None => work.counts.repaired += 1,
        }
        Ok(())
    }

    /// What a payout paid out, by kind.
    async fn parts(&self, work: &mut Work<'_>, payout: &Payout) -> Result<Vec<PayoutPart>, Stop> {
        let mut parts = BTreeMap::new();
        let mut after = None;
        loop {
            work.budget.spend(1);
            let shelf = self.archive.paid_out(&payout.id, after).await?;
            for entry in shelf.rows.iter().filter(|entry| belongs(entry, payout)) {
                let part = parts.entry(entry.kind.clone()).or_insert_with(|| PayoutPart {
                    kind: entry.kind.clone(),
                    count: 0,
                    amount: 0,
                    fee: 0,
                });
                part.count += 1;
                part.amount = part.amount.saturating_add(entry.moved.amount);
                part.fee = part.fee.saturating_add(entry.moved.fee);
            }
            after = shelf.next;
            if after.is_none() {
                return Ok(parts.into_values().collect());
            }
        }
    }

    /// Books it once, and opens or ends its break.
    async fn book_payout(&self, record: &PayoutRecord) -> Result<(), Stop> {
        let PayoutRecord { mode, payout, .. } = record;
        let mut changes = self.changes(Actor::System);
        changes.journals = Journal::paid_out(*mode, payout);
        let (kind, object) = (BreakKind::UnexplainedPayout, Some(payout.id.to_string()));
        match record.remainder.filter(|_| !payout.has_failed()) {
            Some(remainder) if remainder != 0 => changes.breaks.push(Break {
                kind,
                mode: *mode,
                order: None,
                payment: None,
                object,
                detail: format!(
                    "{} paid {} minor units, {} of which nothing it paid out explains",
                    payout.id,
                    payout.signed(),
                    remainder
                ),
                at_risk: Money::from_minor(remainder.unsigned_abs(), payout.amount.currency()).ok(),
            }),
            explained => {
                let reason = match explained {
                    Some(_) => "explained to the cent",
                    None => "it did not reach the bank",
                };
                changes.resolutions.push(Resolution {
                    kind,
                    payment: None,
                    object,
                    reason: reason.to_owned(),
                });
            }
        }
        let _ = self.ports.store.commit(changes).await?;
        Ok(())
    }
}

/// The payout itself is listed among what it paid out. One currency cannot explain another.
fn belongs(entry: &BookEntry, payout: &Payout) -> bool {
    entry.payout.as_ref() != Some(&payout.id) && entry.moved.currency == payout.amount.currency()
}

fn remainder(payout: &Payout, parts: &[PayoutPart]) -> i64 {
    let sum = parts.iter().fold(0_i64, |sum, part| sum.saturating_add(part.amount).saturating_sub(part.fee));
    payout.signed().saturating_sub(sum)
}
