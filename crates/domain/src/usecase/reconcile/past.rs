//! Reading the gateway's past, piece by piece, up to now.

use time::OffsetDateTime;

use super::{Reconcile, Stop, Work, slices::Slices};
use crate::ports::{EVENTS_KEPT, Received, Window};

/// What of the past is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// Events.
    Events,
    /// Payments, refunds, disputes.
    Objects,
    /// Movements of the balance.
    Transactions,
}

impl Reconcile {
    /// Reads from the section's cursor, less the overlap, to now. What cannot be compared keeps the cursor back, however
    /// long, so that the next run meets it again; what comes after it is compared all the same.
    pub(super) async fn past(
        &self,
        work: &mut Work<'_>,
        past: Past,
        since: Option<OffsetDateTime>,
    ) -> Result<(), Stop> {
        let mode = self.policy.mode;
        let cursor = self.books.cursor(mode, work.section).await?;
        let mut from = cursor.map_or(work.now - self.pace.look_back, |cursor| cursor - self.pace.overlap);
        from = since.map_or(from, |since| from.min(since));
        if past == Past::Events {
            from = from.max(work.now - EVENTS_KEPT);
        }
        // The gateway's clock may be ahead of ours.
        let mut slices = Slices::new(Window { from, before: work.now + self.pace.overlap });
        let mut may_move = true;
        while let Some(slice) = slices.next() {
            if work.budget.is_spent() {
                work.counts.more = true;
                return Ok(());
            }
            let (asked, unknown) = (work.budget.spent(), work.counts.unknown);
            self.slice(work, past, slice).await?;
            may_move &= work.counts.unknown == unknown;
            if may_move {
                self.books.advance(mode, work.section, slice.before.min(work.now)).await?;
            }
            slices.done(slice, work.budget.spent() - asked);
        }
        Ok(())
    }

    async fn slice(&self, work: &mut Work<'_>, past: Past, slice: Window) -> Result<(), Stop> {
        match past {
            Past::Events => self.events(work, slice).await,
            Past::Objects => self.objects(work, slice).await,
            Past::Transactions => self.transactions(work, slice).await,
        }
    }

    /// Takes in the events that no webhook brought; the inbox reads them as it reads all.
    async fn events(&self, work: &mut Work<'_>, slice: Window) -> Result<(), Stop> {
        let mut after = None;
        loop {
            work.budget.spend(1);
            let shelf = self.archive.events(slice, after).await?;
            for event in shelf.rows {
                work.counts.compared += 1;
                match self.ports.queue.receive(event).await? {
                    Received::Known => work.counts.matched += 1,
                    Received::New => work.counts.repaired += 1,
                }
            }
            work.show();
            after = shelf.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}
