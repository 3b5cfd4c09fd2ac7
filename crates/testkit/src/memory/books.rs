//! What is written once however often it is told: refused attempts, movements of money, differences.

use paywright_domain::{
    BreakId, Changes, Decline, Entry, Journal, Movement,
    ports::{Balance, Booked, StoreError},
};

use super::{
    commit::bug,
    state::{BreakEnd, Flaw, State, StoredBreak},
};

impl State {
    pub(super) fn decline(&mut self, declines: &[Decline]) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for decline in declines {
            self.needs(decline.order, decline.payment)?;
            let same = |known: &Decline| {
                known.payment == decline.payment && known.refusal.key == decline.refusal.key
            };
            if !self.declines.iter().any(same) {
                self.declines.push(decline.clone());
                entries.push(decline.entry());
            }
        }
        Ok(entries)
    }

    /// Books each movement once, by its key. A line that moves nothing, or within one account, is no line.
    pub(super) fn book(&mut self, journals: &[Journal]) -> Result<(), StoreError> {
        for journal in journals {
            match (journal.order, journal.payment, journal.movement) {
                (Some(order), Some(payment), _) => self.needs(order, payment)?,
                (None, None, Movement::Payout | Movement::PayoutFailed) => {}
                _ => return Err(bug("a movement of no order that is no payout")),
            }
            if journal.entries.iter().any(|entry| entry.amount.is_zero() || entry.debit == entry.credit) {
                return Err(bug("a line of the ledger that moves nothing"));
            }
            let known = self.journals.iter().any(|known| known.key == journal.key);
            if !known || self.flaw == Some(Flaw::BookedTwice) {
                self.journals.push(journal.clone());
            }
        }
        Ok(())
    }

    /// Opens each difference once, by its key; one that had ended is opened again.
    pub(super) fn tell_apart(&mut self, changes: &Changes) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for found in &changes.breaks {
            if let (Some(order), Some(payment)) = (found.order, found.payment) {
                self.needs(order, payment)?;
            }
            let (key, count) = (found.key(), self.breaks.len() as u64);
            match self.breaks.iter_mut().find(|row| row.found.key() == key) {
                Some(row) if row.is_open() => continue,
                Some(row) => {
                    row.found = found.clone();
                    row.found_at = changes.at;
                    row.end = None;
                }
                None => {
                    let mut entropy = [0xbb; 10];
                    entropy[2..].copy_from_slice(&count.to_be_bytes());
                    let id = BreakId::from_parts(changes.at, &entropy);
                    let (found, found_at) = (found.clone(), changes.at);
                    self.breaks.push(StoredBreak { id, found, found_at, end: None });
                }
            }
            entries.extend(found.entry());
        }
        Ok(entries)
    }

    /// Ends the open differences that a rule explains now.
    pub(super) fn explain(&mut self, changes: &Changes) -> Vec<Entry> {
        let mut entries = Vec::new();
        for resolution in &changes.resolutions {
            let meant = |row: &&mut StoredBreak| {
                row.is_open()
                    && row.found.kind == resolution.kind
                    && (resolution.payment.is_some() || resolution.object.is_some())
                    && (resolution.payment.is_none() || row.found.payment == resolution.payment)
                    && (resolution.object.is_none() || row.found.object == resolution.object)
            };
            let mut order = None;
            for row in self.breaks.iter_mut().filter(meant) {
                let (at, by, reason) = (changes.at, changes.actor.to_string(), resolution.reason.clone());
                row.end = Some(BreakEnd { at, by, reason });
                order = order.or(row.found.order);
            }
            entries.extend(order.map(|order| resolution.entry(order)));
        }
        entries
    }

    /// All lines of the ledger with their places, oldest first.
    pub(super) fn booked(&self) -> impl Iterator<Item = (&Journal, Booked)> {
        let lines = self
            .journals
            .iter()
            .flat_map(|journal| journal.entries.iter().map(move |entry| (journal, entry)));
        lines.zip(1..).map(|((journal, entry), id)| {
            let line = Booked {
                id,
                key: journal.key.clone(),
                movement: journal.movement,
                order: journal.order,
                payment: journal.payment,
                transaction: journal.transaction.clone(),
                at: journal.at,
                entry: entry.clone(),
            };
            (journal, line)
        })
    }
}

/// The sums of these lines, by account and currency.
pub(super) fn balances(lines: impl Iterator<Item = Booked>) -> Vec<Balance> {
    let mut sums = std::collections::BTreeMap::new();
    for Booked { entry, .. } in lines {
        let (minor, currency) = (i64::try_from(entry.amount.minor()).unwrap(), entry.amount.currency());
        sums.entry((entry.debit, currency)).or_insert((0, 0)).0 += minor;
        sums.entry((entry.credit, currency)).or_insert((0, 0)).1 += minor;
    }
    let balance = |((account, currency), (debit, credit))| Balance { account, currency, debit, credit };
    sums.into_iter().map(balance).collect()
}
