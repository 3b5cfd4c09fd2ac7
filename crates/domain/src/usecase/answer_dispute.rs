use std::collections::BTreeMap;

use super::{ATTEMPTS_MAX, ErrorKind, PerformCall, Policy, Ports, Rejection, record_event::load};
use crate::{
    Actor, Applied, Beat, Cause, Changes, Dispute, DisputeAnswer, DisputeEvent, DisputeId, Effect, Evidence,
    Happened, IllegalTransition, InvalidInput, Operation, OperationId, Subject,
    ports::{Committed, StoreError},
};

/// Answers a dispute: gathers and stages evidence, submits it, or accepts the loss.
#[derive(Clone)]
pub struct AnswerDispute {
    ports: Ports,
    policy: Policy,
    calls: PerformCall,
}

/// What the merchant wants to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// Keep these parts, over those that are there; an empty text removes one. The gateway keeps them too, without
    /// sending them on.
    Stage(BTreeMap<String, String>),
    /// Send everything to the bank: what was staged, and for the rest what our own books say. Once, and for good.
    Submit(Happened),
    /// Give up. The dispute is lost, for good.
    Accept,
}

/// Why nothing was said; unless it says otherwise nothing was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerDisputeError {
    /// There is no such dispute.
    #[error("no such dispute")]
    UnknownDispute,
    /// The input is wrong: a part that does not exist, or too long.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// No answer is taken any more, or one is on its way.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The gateway refused. The evidence is kept here.
    #[error("the gateway refused the answer: {}", .0.code)]
    Refused(Rejection),
    /// The store did not take it. After [`StoreError::Unavailable`] the same operation may be tried again.
    #[error("failed to store the answer")]
    Store(#[from] StoreError),
}

impl AnswerDisputeError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownDispute => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Illegal(_) => ErrorKind::Conflict,
            Self::Refused(_) => ErrorKind::Refused,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

impl AnswerDispute {
    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        let calls = PerformCall::new(ports.clone(), policy.clone());
        Self { ports, policy, calls }
    }

    /// What our own books can say about a dispute.
    ///
    /// # Errors
    /// [`AnswerDisputeError::UnknownDispute`], or the store's.
    pub async fn gather(&self, id: DisputeId, happened: &Happened) -> Result<Evidence, AnswerDisputeError> {
        let dispute = self.dispute(id).await?;
        let pair = load(&self.ports, dispute.payment).await?.ok_or(AnswerDisputeError::UnknownDispute)?;
        let refunds = self.ports.store.refunds(dispute.payment).await?;
        Ok(Evidence::gather(&pair.order, &pair.payment, &refunds, happened))
    }

    /// Records the answer, then tells the gateway. Repeating it with the same `operation` has no further effect.
    ///
    /// Where the gateway does not answer, the dispute comes back with [`Dispute::answering`], and the worker goes on
    /// with it.
    ///
    /// # Errors
    /// See [`AnswerDisputeError`].
    pub async fn run(
        &self,
        operation: OperationId,
        actor: Actor,
        id: DisputeId,
        say: Say,
    ) -> Result<Dispute, AnswerDisputeError> {
        for _ in 1..ATTEMPTS_MAX {
            match self.once(operation, &actor, id, &say).await {
                Err(AnswerDisputeError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        self.once(operation, &actor, id, &say).await
    }

    async fn once(
        &self,
        operation: OperationId,
        actor: &Actor,
        id: DisputeId,
        say: &Say,
    ) -> Result<Dispute, AnswerDisputeError> {
        let store = &self.ports.store;
        let dispute = self.dispute(id).await?;
        let pair = load(&self.ports, dispute.payment).await?.ok_or(AnswerDisputeError::UnknownDispute)?;
        let cause = Cause::Request(operation, Beat::Main);
        let mut changes = Changes::because(cause, actor.clone(), self.ports.clock.now());
        let answer = match say {
            Say::Stage(_) => DisputeAnswer::Stage,
            Say::Submit(_) => DisputeAnswer::Submit,
            Say::Accept => DisputeAnswer::Accept,
        };
        let evidence = match say {
            Say::Stage(parts) => Some(dispute.evidence.edited(parts.clone())?),
            Say::Submit(happened) => Some(dispute.evidence.clone().over(self.gather(id, happened).await?)),
            Say::Accept => None,
        };
        let asked = match ask(&mut changes, dispute, evidence, answer) {
            Ok(asked) => asked,
            // Perhaps this very operation asked before.
            Err(_) if store.knows(cause).await? => return self.dispute(id).await,
            Err(illegal) => return Err(illegal.into()),
        };
        let operation = Operation::answer(&asked, answer);
        let call = pair.call_about(&changes, &self.ports, Subject::Dispute(id), operation, asked.generation);
        let recorded = call.clone();
        changes.effects.push(Effect::Call { call, held_for: Some(self.policy.call_held_for) });
        if store.commit(changes).await? == Committed::Now
            // Whatever goes wrong here, the call is recorded and the worker performs it.
            && let Ok(performed) = self.calls.run_now(recorded).await
            && let Some(rejection) = performed.rejected
        {
            return Err(AnswerDisputeError::Refused(rejection));
        }
        self.dispute(id).await
    }

    async fn dispute(&self, id: DisputeId) -> Result<Dispute, AnswerDisputeError> {
        let found = self.ports.store.dispute(id).await?.filter(|dispute| dispute.mode == self.policy.mode);
        found.ok_or(AnswerDisputeError::UnknownDispute)
    }
}

/// Edits the evidence, if there is any, and asks for the answer.
fn ask(
    changes: &mut Changes,
    dispute: Dispute,
    evidence: Option<Evidence>,
    answer: DisputeAnswer,
) -> Result<Dispute, IllegalTransition> {
    let edited = evidence.map(DisputeEvent::EvidenceEdited);
    let mut now = dispute;
    for event in edited.into_iter().chain([DisputeEvent::AnswerRequested(answer)]) {
        let applied = now.apply(event)?;
        if let Applied::Moved(step) = &applied {
            now = step.after().clone();
        }
        changes.dispute(applied);
    }
    Ok(now)
}
