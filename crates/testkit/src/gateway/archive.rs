//! What the gateway keeps of the past. Lists come newest first, in pages.

use async_trait::async_trait;
use paywright_domain::{
    BalanceTransaction, PayoutId,
    ports::{
        Archive, BookEntry, DisputeSnapshot, EVENTS_KEPT, GatewayError, InboxEvent, Payout, RefundSnapshot,
        Shelf, Snapshot, Window,
    },
};
use time::OffsetDateTime;

use super::{FakeGateway, model::Model};

#[async_trait]
impl Archive for FakeGateway {
    async fn events(&self, window: Window, after: Option<String>) -> Result<Shelf<InboxEvent>, GatewayError> {
        self.look(|model, now| {
            let kept = model.events.iter().filter(|event| now - event.created_at < EVENTS_KEPT);
            let own = within(kept.cloned(), |event| event.created_at, window);
            shelf(own, |event| event.id.clone(), after, model.page)
        })
    }

    async fn payments(&self, window: Window, after: Option<String>) -> Result<Shelf<Snapshot>, GatewayError> {
        self.look(|model, now| {
            let own = within(model.intents.iter(), |intent| intent.created_at, window);
            let shelf = shelf(own, |intent| intent.id.to_string(), after, model.page);
            shown(shelf, |intent| intent.snapshot(model.mode, now))
        })
    }

    async fn refunds(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<RefundSnapshot>, GatewayError> {
        self.look(|model, _| {
            let own = within(model.refunds.iter(), |refund| refund.created_at, window);
            let shelf = shelf(own, |refund| refund.id.to_string(), after, model.page);
            shown(shelf, |refund| refund.snapshot(None))
        })
    }

    async fn disputes(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<DisputeSnapshot>, GatewayError> {
        self.look(|model, now| {
            let own = within(model.disputes.iter(), |dispute| dispute.created_at, window);
            let shelf = shelf(own, |dispute| dispute.id.to_string(), after, model.page);
            shown(shelf, |dispute| dispute.snapshot(model.mode, now))
        })
    }

    async fn transactions(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<BookEntry>, GatewayError> {
        self.look(|model, _| {
            let own = within(model.entries().into_iter(), |entry| entry.moved.at, window);
            shelf(own, |entry| entry.moved.id.to_string(), after, model.page)
        })
    }

    async fn payouts(&self, window: Window, after: Option<String>) -> Result<Shelf<Payout>, GatewayError> {
        self.look(|model, _| {
            let payouts = model.payouts.iter().map(|(payout, _)| payout.clone());
            let own = within(payouts, |payout| payout.created_at, window);
            shelf(own, |payout| payout.id.to_string(), after, model.page)
        })
    }

    async fn paid_out(
        &self,
        payout: &PayoutId,
        after: Option<String>,
    ) -> Result<Shelf<BookEntry>, GatewayError> {
        self.look(|model, _| {
            let entries = model.payouts.iter().find(|(own, _)| own.id == *payout);
            let entries = entries.map(|(_, entries)| entries.clone()).unwrap_or_default();
            shelf(entries, |entry| entry.moved.id.to_string(), after, model.page)
        })
    }
}

impl Model {
    /// Every movement of the balance, in the order of their times.
    pub(super) fn entries(&self) -> Vec<BookEntry> {
        let mut entries = self.strays.clone();
        for intent in &self.intents {
            let settled = intent.settlement.iter().map(|moved| entry("charge", intent.id.as_str(), moved));
            entries.extend(settled.map(|entry| BookEntry { intent: Some(intent.id.clone()), ..entry }));
        }
        for refund in &self.refunds {
            let sent = refund.settlement.iter().map(|moved| ("refund", moved));
            let returned = refund.reversal.iter().map(|moved| ("refund_failure", moved));
            for (kind, moved) in sent.chain(returned) {
                let (intent, id) = (Some(refund.intent.clone()), Some(refund.id.clone()));
                let entry = entry(kind, refund.id.as_str(), moved);
                entries.push(BookEntry { intent, refund: id, ..entry });
            }
        }
        for dispute in &self.disputes {
            for moved in &dispute.movements {
                let (intent, id) = (Some(dispute.intent.clone()), Some(dispute.id.clone()));
                let entry = entry("adjustment", dispute.id.as_str(), moved);
                entries.push(BookEntry { intent, dispute: id, ..entry });
            }
        }
        for (payout, own) in &self.payouts {
            entries.extend(own.iter().filter(|entry| entry.payout.as_ref() == Some(&payout.id)).cloned());
        }
        entries.sort_by_key(|entry| entry.moved.at);
        entries
    }
}

pub(super) fn entry(kind: &str, source: &str, moved: &BalanceTransaction) -> BookEntry {
    BookEntry {
        moved: moved.clone(),
        kind: kind.to_owned(),
        source: Some(source.to_owned()),
        intent: None,
        refund: None,
        dispute: None,
        payout: None,
    }
}

fn within<T>(
    rows: impl Iterator<Item = T>,
    made_at: impl Fn(&T) -> OffsetDateTime,
    window: Window,
) -> Vec<T> {
    rows.filter(|row| (window.from..window.before).contains(&made_at(row))).collect()
}

/// A page of rows that come oldest first.
fn shelf<T>(mut rows: Vec<T>, id: impl Fn(&T) -> String, after: Option<String>, page: usize) -> Shelf<T> {
    rows.reverse();
    let begin = after.map_or(0, |after| rows.iter().position(|row| id(row) == after).map_or(0, |at| at + 1));
    let more = rows.len() > begin + page;
    let rows: Vec<_> = rows.into_iter().skip(begin).take(page).collect();
    let next = rows.last().filter(|_| more).map(id);
    Shelf { rows, next }
}

/// What the gateway shows of rows.
fn shown<T, U>(shelf: Shelf<T>, show: impl Fn(T) -> U) -> Shelf<U> {
    Shelf { rows: shelf.rows.into_iter().map(show).collect(), next: shelf.next }
}
