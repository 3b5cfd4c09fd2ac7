//! What became of a call whose outcome its own answer does not tell.

use super::{Outcome, PerformCall, PerformCallError, Performed, look};

use crate::{
    CallState, Cause, GatewayCall, Operation, Standing,
    ports::{BoxError, GatewayError, Reply},
};

impl PerformCall {
    /// Finds out what became of a call whose job nobody will do any more. As long as it may still be sent under its key,
    /// only what it did counts: somebody may replay its job.
    pub(in crate::usecase) async fn resolve(
        &self,
        cause: Cause,
        call: &GatewayCall,
    ) -> Result<Option<Performed>, PerformCallError> {
        if !call.may_be_sent(self.ports.clock.now()) {
            return self.search(cause, call, None).await.map(Some);
        }
        match self.trace(call).await? {
            Some(reply) => self.done(cause, call, reply, None).await.map(Some),
            None => Ok(None),
        }
    }

    /// Finds out what became of a call that must not be sent again.
    pub(super) async fn search(
        &self,
        cause: Cause,
        call: &GatewayCall,
        spent: Option<BoxError>,
    ) -> Result<Performed, PerformCallError> {
        if let Some(reply) = self.trace(call).await? {
            return self.done(cause, call, reply, None).await;
        }
        if self.ports.clock.now() - call.recorded_at < GatewayCall::ABSENT_AFTER {
            let early = spent.unwrap_or_else(|| "too early to believe that it did not happen".into());
            return Err(GatewayError::Unknown(early).into());
        }
        let facts = self.look(call).await?.map(|reply| reply.fact()).into_iter().collect();
        let outcome = Outcome { state: CallState::Absent, facts, rejected: None };
        let case = self.settle(cause, call, &outcome, None).await?;
        Ok(Performed::new(case, None, None))
    }

    /// What the call did, if it did it.
    pub(super) async fn trace(&self, call: &GatewayCall) -> Result<Option<Reply>, PerformCallError> {
        if creates(&call.operation) {
            return Ok(self.ports.gateway.find(call).await?);
        }
        Ok(self.look(call).await?.filter(|reply| has_happened(&call.operation, reply)))
    }

    /// How the thing stands now that the call is to change; `None` for what is to be created.
    pub(super) async fn look(&self, call: &GatewayCall) -> Result<Option<Reply>, PerformCallError> {
        let gateway = &self.ports.gateway;
        let answer = match &call.operation {
            Operation::CreateIntent { .. } | Operation::CreateSession { .. } => None,
            // Why it was refused shows in the payment: it was refunded elsewhere, or is disputed.
            Operation::CancelIntent { intent, .. }
            | Operation::Capture { intent, .. }
            | Operation::CreateRefund { intent, .. } => gateway.intent(intent).await?,
            Operation::ExpireSession { session } => match gateway.session(session).await? {
                Some(page) => look::behind_page(&self.ports, page).await?,
                None => None,
            },
            Operation::StageEvidence { dispute, .. }
            | Operation::SubmitEvidence { dispute, .. }
            | Operation::CloseDispute { dispute } => {
                let seen = look::dispute::<PerformCallError>(&self.ports, dispute).await?;
                return Ok(seen.map(|seen| Reply::Dispute(Box::new(seen))));
            }
        };
        Ok(answer.map(|answer| Reply::Payment(Box::new(answer))))
    }
}

/// Whether a call brings something into being, so that doing it twice makes two.
pub(super) fn creates(operation: &Operation) -> bool {
    match operation {
        Operation::CreateIntent { .. } | Operation::CreateSession { .. } | Operation::CreateRefund { .. } => {
            true
        }
        Operation::CancelIntent { .. }
        | Operation::ExpireSession { .. }
        | Operation::Capture { .. }
        | Operation::StageEvidence { .. }
        | Operation::SubmitEvidence { .. }
        | Operation::CloseDispute { .. } => false,
    }
}

/// Whether what a call asks for is so.
fn has_happened(operation: &Operation, reply: &Reply) -> bool {
    match (operation, reply) {
        (Operation::CancelIntent { .. } | Operation::ExpireSession { .. }, Reply::Payment(answer)) => {
            answer.snapshot.sighting.standing == Standing::Cancelled
        }
        (Operation::Capture { .. }, Reply::Payment(answer)) => {
            matches!(answer.snapshot.sighting.standing, Standing::Captured { .. })
        }
        (Operation::SubmitEvidence { .. }, Reply::Dispute(dispute)) => dispute.sighting.submitted,
        (Operation::CloseDispute { .. }, Reply::Dispute(dispute)) => !dispute.sighting.status.is_open(),
        _ => false,
    }
}
