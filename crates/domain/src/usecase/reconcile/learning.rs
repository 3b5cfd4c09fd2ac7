//! What follows from what was seen, committed under a cause of its own.

use super::Reconcile;
use crate::{
    Actor, Beat, Cause, Changes, Counts, Payment, PaymentId, Step,
    ports::{Fact, StoreError},
    usecase::{
        ATTEMPTS_CONTENDED, RecordEventError,
        learn::end_rival,
        look,
        record_event::{learn, load},
    },
};

/// What learning came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    /// It was so already.
    Nothing,
    /// What is here follows the gateway now.
    Repaired {
        /// Something that was not here at all is here now.
        adopted: bool,
    },
    /// It differs, and no rule explains it.
    Broken,
}

impl Learned {
    /// Counts what was compared and learned of.
    pub(super) fn count(self, counts: &mut Counts) {
        match self {
            Self::Nothing => counts.matched += 1,
            Self::Repaired { adopted } => {
                counts.repaired += 1;
                counts.adopted += u64::from(adopted);
            }
            Self::Broken => counts.broken += 1,
        }
    }
}

impl Reconcile {
    /// Asks the gateway for everything that it knows of a payment, and learns it. `None`: the gateway has none of this
    /// name.
    pub(super) async fn look_at(&self, payment: &Payment) -> Result<Option<Learned>, RecordEventError> {
        let facts = look::everything::<RecordEventError>(&self.ports, payment).await?;
        if facts.is_empty() { Ok(None) } else { self.learn(payment.id, &facts).await.map(Some) }
    }

    /// Learns of a payment what the gateway told.
    pub(super) async fn learn(&self, id: PaymentId, facts: &[Fact]) -> Result<Learned, RecordEventError> {
        for _ in 1..ATTEMPTS_CONTENDED {
            match self.learn_once(id, facts).await {
                Err(RecordEventError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        self.learn_once(id, facts).await
    }

    async fn learn_once(&self, id: PaymentId, facts: &[Fact]) -> Result<Learned, RecordEventError> {
        let mut pair = load(&self.ports, id).await?.ok_or(RecordEventError::UnknownPayment(id))?;
        let mut changes = self.changes(Actor::Gateway);
        for fact in facts {
            learn::<RecordEventError>(&self.ports, &mut pair, &mut changes, fact).await?;
        }
        pair.guard(&mut changes);
        end_rival(&self.ports, &pair, &mut changes).await?;
        let learned = learned(&changes);
        // Each look at what is known already would write a version and a line of the trail.
        if !changes.steps.iter().any(is_news) {
            changes.steps.clear();
        }
        if learned != Learned::Nothing || says_more(&changes) {
            let _ = self.ports.store.commit(changes).await?;
        }
        Ok(learned)
    }

    /// No changes yet, under a cause of their own: what is committed twice is the same.
    pub(super) fn changes(&self, actor: Actor) -> Changes {
        let cause = Cause::Request(self.ports.new_id(), Beat::Learned);
        Changes::because(cause, actor, self.ports.clock.now())
    }
}

fn learned(changes: &Changes) -> Learned {
    if changes.steps.iter().any(is_news) {
        Learned::Repaired { adopted: changes.steps.iter().any(is_birth) }
    } else if changes.breaks.is_empty() {
        Learned::Nothing
    } else {
        Learned::Broken
    }
}

/// Beside steps and breaks: the store passes over what it knows of these.
fn says_more(changes: &Changes) -> bool {
    !(changes.effects.is_empty()
        && changes.declines.is_empty()
        && changes.resolutions.is_empty()
        && changes.journals.is_empty())
}

/// That a payment or a dispute still stands as it stood, only later, is worth no commit.
fn is_news(step: &Step) -> bool {
    match step {
        Step::Payment(step) => step.before().is_none_or(|before| {
            let (seen_at, version) = (step.after().seen_at, step.after().version);
            Payment { seen_at, version, ..before.clone() } != *step.after()
        }),
        Step::Dispute(_) => step.is_news(),
        Step::Order(_) | Step::Refund(_) => true,
    }
}

fn is_birth(step: &Step) -> bool {
    match step {
        Step::Order(step) => step.before().is_none(),
        Step::Payment(step) => step.before().is_none(),
        Step::Refund(step) => step.before().is_none(),
        Step::Dispute(step) => step.before().is_none(),
    }
}
