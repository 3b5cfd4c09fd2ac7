//! The gateway's payments, refunds and disputes, compared with what is here.

use super::{
    Reconcile, Stop, Work, chain,
    compare::{same_dispute, same_payment, same_refund},
    learning::Learned,
};
use crate::{
    Actor, BreakKind, IntentId, Resolution,
    ports::{BreakView, Fact, PAGE_MAX, StoreError, Window},
    usecase::{
        ATTEMPTS_MAX, RecordEventError,
        learn::{Pair, end_rival},
        look,
        record_event::{foreign, ours},
    },
};

impl Reconcile {
    /// Payments first: nothing can be given back, or withheld, of what was not taken.
    pub(super) async fn objects(&self, work: &mut Work<'_>, slice: Window) -> Result<(), Stop> {
        let mut after = None;
        loop {
            work.budget.spend(1);
            let shelf = self.archive.payments(slice, after).await?;
            for told in shelf.rows {
                self.object(work, Fact::Payment(Box::new(told))).await;
            }
            work.show();
            after = shelf.next;
            if after.is_none() {
                break;
            }
        }
        loop {
            work.budget.spend(1);
            let shelf = self.archive.refunds(slice, after).await?;
            for told in shelf.rows {
                self.object(work, Fact::Refund(Box::new(told))).await;
            }
            work.show();
            after = shelf.next;
            if after.is_none() {
                break;
            }
        }
        loop {
            work.budget.spend(1);
            let shelf = self.archive.disputes(slice, after).await?;
            for told in shelf.rows {
                self.object(work, Fact::Dispute(Box::new(told))).await;
            }
            work.show();
            after = shelf.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// One object; that it cannot be compared stops nothing.
    async fn object(&self, work: &mut Work<'_>, told: Fact) {
        work.counts.compared += 1;
        let name = name_of(&told);
        match self.compared(work, told).await {
            Ok(Some(learned)) => learned.count(&mut work.counts),
            Ok(None) => work.counts.foreign += 1,
            Err(error) => work.counts.problem(&name, &chain(&error)),
        }
    }

    /// `None`: it is not ours.
    async fn compared(&self, work: &mut Work<'_>, told: Fact) -> Result<Option<Learned>, RecordEventError> {
        if self.is_same(&told).await? {
            return Ok(Some(Learned::Nothing));
        }
        work.budget.spend(1);
        for _ in 1..ATTEMPTS_MAX {
            match self.found(&told).await {
                Err(RecordEventError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        self.found(&told).await
    }

    async fn found(&self, told: &Fact) -> Result<Option<Learned>, RecordEventError> {
        let Some(payment) = self.events.payment(told).await? else { return self.stranger(told).await };
        let told = match told {
            // It was read a moment ago, and what is known may be older.
            Fact::Payment(told) => {
                let told = look::newest(told.sighting.at, &payment, None, (**told).clone());
                Fact::Payment(Box::new(told))
            }
            Fact::Refund(_) | Fact::Dispute(_) => told.clone(),
        };
        let facts = self.events.settle(&payment, told).await?;
        self.learn(payment.id, &facts).await.map(Some)
    }

    /// An object of a payment that is not here. If it names one of ours, that one was lost: its order may be here.
    async fn stranger(&self, told: &Fact) -> Result<Option<Learned>, RecordEventError> {
        let Some(named) = ours(told) else { return Ok(None) };
        let mut changes = self.changes(Actor::Gateway);
        if let Fact::Payment(told) = told
            && let Some(id) = told.order
            && let Some(order) = self.ports.store.order(id).await?
            && let Some(pair) = Pair::found_again(order, named, &mut changes, told, &self.ports)?
        {
            pair.guard(&mut changes);
            end_rival(&self.ports, &pair, &mut changes).await?;
            let _ = self.ports.store.commit(changes).await?;
            return Ok(Some(Learned::Repaired { adopted: true }));
        }
        changes.breaks.push(foreign(self.policy.mode, told, named, "found by looking"));
        let _ = self.ports.store.commit(changes).await?;
        Ok(Some(Learned::Broken))
    }

    async fn is_same(&self, told: &Fact) -> Result<bool, StoreError> {
        let store = &self.ports.store;
        Ok(match told {
            Fact::Payment(told) => match &told.sighting.intent {
                Some(intent) => {
                    let known = store.payment_by_intent(intent).await?;
                    known.is_some_and(|known| same_payment(&known, told))
                }
                None => false,
            },
            Fact::Refund(told) => {
                let known = store.refund_by_gateway(&told.sighting.id).await?;
                known.is_some_and(|known| same_refund(&known, told))
            }
            Fact::Dispute(told) => {
                let known = store.dispute_by_gateway(&told.id).await?;
                known.is_some_and(|known| same_dispute(&known, told))
            }
        })
    }

    /// Ends the breaks about objects whose payment is here now.
    pub(super) async fn found_after_all(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let mut after = None;
        loop {
            let kind = BreakKind::ForeignObject;
            let open = self.books.open_breaks(self.policy.mode, kind, after, PAGE_MAX).await?;
            for found in &open {
                if let Some(object) = &found.object
                    && self.is_here(object).await?
                {
                    self.explain(found, "it is here now").await?;
                }
            }
            work.show();
            match open.last() {
                Some(last) if open.len() == PAGE_MAX as usize => after = Some(last.id),
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Whether an object of the gateway has a counterpart here, whatever it is.
    async fn is_here(&self, object: &str) -> Result<bool, StoreError> {
        let (store, text) = (&self.ports.store, || object.to_owned());
        if let Ok(intent) = IntentId::try_from(text())
            && store.payment_by_intent(&intent).await?.is_some()
        {
            return Ok(true);
        }
        if let Ok(session) = text().try_into()
            && store.payment_by_session(&session).await?.is_some()
        {
            return Ok(true);
        }
        if let Ok(refund) = text().try_into()
            && store.refund_by_gateway(&refund).await?.is_some()
        {
            return Ok(true);
        }
        match text().try_into() {
            Ok(dispute) => Ok(store.dispute_by_gateway(&dispute).await?.is_some()),
            Err(_) => Ok(false),
        }
    }

    pub(super) async fn explain(&self, found: &BreakView, reason: &str) -> Result<(), StoreError> {
        let mut changes = self.changes(Actor::System);
        changes.resolutions.push(Resolution {
            kind: found.kind,
            payment: found.payment,
            object: found.object.clone(),
            reason: reason.to_owned(),
        });
        let _ = self.ports.store.commit(changes).await?;
        Ok(())
    }
}

fn name_of(told: &Fact) -> String {
    match told {
        Fact::Payment(told) => {
            told.sighting.intent.as_ref().map_or_else(|| "a payment".to_owned(), ToString::to_string)
        }
        Fact::Refund(told) => told.sighting.id.to_string(),
        Fact::Dispute(told) => told.id.to_string(),
    }
}
