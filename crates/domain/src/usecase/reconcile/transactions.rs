//! The movements of the gateway's balance, compared with what is booked.

use std::collections::BTreeSet;

use super::{Reconcile, Stop, Work, chain, learning::Learned};
use crate::{
    Actor, Break, BreakKind, Money, Payment, PaymentId, TransactionId,
    ports::{BookEntry, PAGE_MAX, StoreError, Window},
    usecase::RecordEventError,
};

impl Reconcile {
    /// Every movement that belongs to a payment of ours must be booked.
    pub(super) async fn transactions(&self, work: &mut Work<'_>, slice: Window) -> Result<(), Stop> {
        let mut after = None;
        loop {
            work.budget.spend(1);
            let shelf = self.archive.transactions(slice, after).await?;
            for page in shelf.rows.chunks(PAGE_MAX as usize) {
                self.entries(work, page).await?;
            }
            work.show();
            after = shelf.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn entries(&self, work: &mut Work<'_>, page: &[BookEntry]) -> Result<(), Stop> {
        let ids: Vec<_> = page.iter().map(|entry| entry.moved.id.clone()).collect();
        let booked = self.books.booked(self.policy.mode, &ids).await?;
        let mut looked = BTreeSet::new();
        for entry in page {
            // A payout is explained as a whole.
            if entry.payout.is_some() {
                continue;
            }
            work.counts.compared += 1;
            if booked.contains(&entry.moved.id) {
                work.counts.matched += 1;
                continue;
            }
            match self.unbooked(work, entry, &mut looked).await {
                Ok(Some(learned)) => learned.count(&mut work.counts),
                Ok(None) => {
                    work.counts.foreign += 1;
                    *work.counts.foreign_kinds.entry(entry.kind.clone()).or_default() += 1;
                }
                Err(error) => work.counts.problem(entry.moved.id.as_str(), &chain(&error)),
            }
        }
        Ok(())
    }

    /// A movement that is not booked: whatever it belongs to is looked at, once. `None`: it is not ours.
    async fn unbooked(
        &self,
        work: &mut Work<'_>,
        entry: &BookEntry,
        looked: &mut BTreeSet<PaymentId>,
    ) -> Result<Option<Learned>, RecordEventError> {
        let Some(payment) = self.owner(entry).await? else { return Ok(None) };
        if !looked.contains(&payment.id) {
            // The payment, its refunds, its disputes.
            work.budget.spend(3);
            self.look_at(&payment).await?;
            // Only now: what could not be looked at explains nothing, and is no break of its other movements.
            looked.insert(payment.id);
        }
        if self.is_booked(&entry.moved.id).await? {
            return Ok(Some(Learned::Repaired { adopted: false }));
        }
        // It has no lines, so it is never booked.
        if entry.moved.moves_nothing() {
            return Ok(Some(Learned::Nothing));
        }
        let mut changes = self.changes(Actor::System);
        changes.breaks.push(unexplained(&payment, entry));
        let _ = self.ports.store.commit(changes).await?;
        Ok(Some(Learned::Broken))
    }

    pub(super) async fn is_booked(&self, id: &TransactionId) -> Result<bool, StoreError> {
        Ok(!self.books.booked(self.policy.mode, std::slice::from_ref(id)).await?.is_empty())
    }

    async fn owner(&self, entry: &BookEntry) -> Result<Option<Payment>, StoreError> {
        let store = &self.ports.store;
        if let Some(intent) = &entry.intent
            && let Some(payment) = store.payment_by_intent(intent).await?
        {
            return Ok(Some(payment));
        }
        if let Some(refund) = &entry.refund
            && let Some(refund) = store.refund_by_gateway(refund).await?
        {
            return store.payment(refund.payment).await;
        }
        match &entry.dispute {
            Some(dispute) => match store.dispute_by_gateway(dispute).await? {
                Some(dispute) => store.payment(dispute.payment).await,
                None => Ok(None),
            },
            None => Ok(None),
        }
    }

    /// Ends the breaks about movements that are booked now, or that moved nothing.
    pub(super) async fn booked_after_all(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let kind = BreakKind::UnexplainedTransaction;
        let mut after = None;
        loop {
            let open = self.books.open_breaks(self.policy.mode, kind, after, PAGE_MAX).await?;
            for found in &open {
                if found.at_risk.is_some_and(Money::is_zero) {
                    self.explain(found, "nothing moved").await?;
                    continue;
                }
                let id = found.object.clone().and_then(|object| TransactionId::try_from(object).ok());
                if let Some(id) = id
                    && self.is_booked(&id).await?
                {
                    self.explain(found, "it is booked now").await?;
                }
            }
            work.show();
            match open.last() {
                Some(last) if open.len() == PAGE_MAX as usize => after = Some(last.id),
                Some(_) | None => return Ok(()),
            }
        }
    }
}

fn unexplained(payment: &Payment, entry: &BookEntry) -> Break {
    let moved = &entry.moved;
    let detail = format!(
        "the gateway's balance moved by {} less {} {} ({}), and nothing known of {} tells why",
        moved.amount, moved.fee, moved.currency, entry.kind, payment.id
    );
    let at_risk = moved.amount.unsigned_abs().max(moved.fee.unsigned_abs());
    Break {
        kind: BreakKind::UnexplainedTransaction,
        mode: payment.mode,
        order: Some(payment.order),
        payment: Some(payment.id),
        object: Some(moved.id.to_string()),
        detail,
        at_risk: Money::from_minor(at_risk, moved.currency).ok(),
    }
}
