//! What has not come to an end here: calls whose job is dead, payments of which nothing was heard for a while.

use time::{Duration, OffsetDateTime};

use super::{Reconcile, Stop, Work, chain, learning::Learned};
use crate::{
    Beat, CallState, Cause, JobId, PaymentId, Trigger,
    ports::{PAGE_MAX, Unsettled, Window},
    usecase::{PerformCallError, RecordEventError},
};

impl Reconcile {
    /// Until when a payment is fresh, and how long it is left alone then.
    const FRESH: (Duration, Duration) = (Duration::HOUR, Duration::MINUTE);
    /// The same for one that has not come to an end within a day.
    const YOUNG: (Duration, Duration) = (Duration::DAY, Duration::minutes(30));
    /// How long any other is left alone.
    const OLD: Duration = Duration::hours(6);
    /// After so many failures in a row the gateway is left alone.
    const FAILURES_MAX: u32 = 5;

    /// Ends the calls that nobody will perform any more: whatever became of them, the gateway knows.
    pub(super) async fn abandoned(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let (mut after, mut failures) = (None, 0);
        loop {
            let page = self.books.abandoned_calls(self.policy.mode, after, PAGE_MAX).await?;
            for id in &page {
                if work.budget.is_spent() {
                    work.counts.more = true;
                    return Ok(());
                }
                work.budget.spend(2);
                work.counts.compared += 1;
                match self.abandoned_call(work, *id).await {
                    Ok(()) => failures = 0,
                    Err(error) => {
                        work.counts.problem(&id.to_string(), &chain(&error));
                        if let PerformCallError::Gateway(error) = error {
                            failures += 1;
                            if failures == Self::FAILURES_MAX {
                                return Err(error.into());
                            }
                        }
                    }
                }
            }
            work.show();
            match page.last() {
                Some(last) if page.len() == PAGE_MAX as usize => after = Some(*last),
                Some(_) | None => return Ok(()),
            }
        }
    }

    async fn abandoned_call(&self, work: &mut Work<'_>, id: JobId) -> Result<(), PerformCallError> {
        let call = self.ports.store.call(id).await?.ok_or(PerformCallError::UnknownCall)?;
        let cause = Cause::Request(self.ports.new_id(), Beat::Learned);
        if call.state != CallState::Recorded {
            work.counts.matched += 1;
        } else if self.calls.resolve(cause, &call).await?.is_some() {
            work.counts.repaired += 1;
        } else {
            let why = "the gateway has no trace of it yet, and its job is dead: replay the job";
            work.counts.problem(&format!("{} ({id})", call.key()), &why);
        }
        Ok(())
    }

    /// Looks at payments that have not come to an end, the fresher the sooner. A person leaves none out.
    pub(super) async fn unsettled(&self, work: &mut Work<'_>, trigger: Trigger) -> Result<(), Stop> {
        let ((fresh, soon), (young, later)) = (Self::FRESH, Self::YOUNG);
        let ages = [
            (work.now - fresh, work.now, soon),
            (work.now - young, work.now - fresh, later),
            (OffsetDateTime::UNIX_EPOCH, work.now - young, Self::OLD),
        ];
        for (from, before, patience) in ages {
            let patience = match trigger {
                Trigger::Schedule => patience,
                Trigger::Api | Trigger::Command => Duration::ZERO,
            };
            let asked = Unsettled { started: Window { from, before }, looked_before: work.now - patience };
            self.payments(work, asked).await?;
        }
        Ok(())
    }

    /// Those that were started within the hour.
    pub(super) async fn fresh_payments(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let (fresh, patience) = Self::FRESH;
        let started = Window { from: work.now - fresh, before: work.now };
        self.payments(work, Unsettled { started, looked_before: work.now - patience }).await
    }

    async fn payments(&self, work: &mut Work<'_>, asked: Unsettled) -> Result<(), Stop> {
        let (mut after, mut failures) = (None, 0);
        loop {
            let page = self.books.unsettled(self.policy.mode, asked, after, PAGE_MAX).await?;
            let mut looked = Vec::new();
            for id in &page {
                if work.budget.is_spent() {
                    work.counts.more = true;
                    break;
                }
                // The payment, its refunds, its disputes.
                work.budget.spend(3);
                work.counts.compared += 1;
                match self.payment(*id).await {
                    Ok(Some(learned)) => {
                        learned.count(&mut work.counts);
                        looked.push(*id);
                        failures = 0;
                    }
                    Ok(None) => {
                        work.counts.problem(&id.to_string(), &"the gateway has none of its name");
                        looked.push(*id);
                    }
                    Err(error) => {
                        work.counts.problem(&id.to_string(), &chain(&error));
                        if let RecordEventError::Gateway(error) = error {
                            failures += 1;
                            if failures == Self::FAILURES_MAX {
                                self.books.looked(&looked, work.now).await?;
                                return Err(error.into());
                            }
                        }
                    }
                }
            }
            self.books.looked(&looked, work.now).await?;
            work.show();
            match page.last() {
                Some(last) if page.len() == PAGE_MAX as usize && !work.counts.more => after = Some(*last),
                Some(_) | None => return Ok(()),
            }
        }
    }

    async fn payment(&self, id: PaymentId) -> Result<Option<Learned>, RecordEventError> {
        let payment = self.ports.store.payment(id).await?.ok_or(RecordEventError::UnknownPayment(id))?;
        self.look_at(&payment).await
    }
}
