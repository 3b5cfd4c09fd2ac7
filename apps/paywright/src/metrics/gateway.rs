//! Calls to Stripe, measured around the port.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use paywright_domain::{
    GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId, SessionId,
    ports::{Answer, DisputeSnapshot, Gateway, GatewayError, Heard, Malformed, RefundSnapshot, Reply},
};

use super::catalogue::CALL;

/// A gateway whose calls are measured.
pub struct Measured(pub Arc<dyn Gateway>);

#[async_trait]
impl Gateway for Measured {
    async fn perform(&self, call: &GatewayCall) -> Result<Reply, GatewayError> {
        measured(call.operation.name(), self.0.perform(call)).await
    }

    async fn find(&self, call: &GatewayCall) -> Result<Option<Reply>, GatewayError> {
        measured("find", self.0.find(call)).await
    }

    async fn intent(&self, id: &IntentId) -> Result<Option<Answer>, GatewayError> {
        measured("look_at_intent", self.0.intent(id)).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Answer>, GatewayError> {
        measured("look_at_session", self.0.session(id)).await
    }

    async fn refund(&self, id: &GatewayRefundId) -> Result<Option<RefundSnapshot>, GatewayError> {
        measured("look_at_refund", self.0.refund(id)).await
    }

    async fn refunds(&self, id: &IntentId) -> Result<Vec<RefundSnapshot>, GatewayError> {
        measured("list_refunds", self.0.refunds(id)).await
    }

    async fn disputes(&self, id: &IntentId) -> Result<Vec<DisputeSnapshot>, GatewayError> {
        measured("list_disputes", self.0.disputes(id)).await
    }

    async fn dispute(&self, id: &GatewayDisputeId) -> Result<Option<DisputeSnapshot>, GatewayError> {
        measured("look_at_dispute", self.0.dispute(id)).await
    }

    fn understand(&self, body: &[u8]) -> Result<Heard, Malformed> {
        self.0.understand(body)
    }
}

/// Measures one call by its outcome.
pub(crate) async fn measured<T>(
    operation: &'static str,
    call: impl Future<Output = Result<T, GatewayError>>,
) -> Result<T, GatewayError> {
    let begun = Instant::now();
    let outcome = call.await;
    metrics::histogram!(CALL, "operation" => operation, "result" => result(&outcome)).record(begun.elapsed());
    outcome
}

fn result<T>(outcome: &Result<T, GatewayError>) -> &'static str {
    match outcome {
        Ok(_) => "done",
        Err(GatewayError::Rejected { .. }) => "rejected",
        Err(GatewayError::NotAllowed(_)) => "not_allowed",
        Err(GatewayError::KeyReused { .. }) => "key_reused",
        Err(GatewayError::NotDone { .. }) => "not_done",
        Err(GatewayError::Unknown(_)) => "unknown",
        Err(GatewayError::Spent(_)) => "spent",
        Err(_) => "other",
    }
}
