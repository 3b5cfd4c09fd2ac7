//! A gateway with a planted bug between the core and the adapter.

use std::sync::Arc;

use async_trait::async_trait;
use paywright_domain::{
    GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId, SessionId,
    ports::{Answer, DisputeSnapshot, Gateway, GatewayError, Heard, Malformed, RefundSnapshot, Reply},
};

use super::Line;
use crate::bugs::Bug;

/// See the module's documentation.
pub(crate) struct Twisted {
    pub(crate) line: Line,
    pub(crate) inner: Arc<dyn Gateway>,
    pub(crate) bug: Bug,
}

#[async_trait]
impl Gateway for Twisted {
    async fn perform(&self, call: &GatewayCall) -> Result<Reply, GatewayError> {
        self.bug.perform(call, &self.line, &*self.inner).await
    }

    async fn find(&self, call: &GatewayCall) -> Result<Option<Reply>, GatewayError> {
        self.bug.find(call, &*self.inner).await
    }

    async fn intent(&self, id: &IntentId) -> Result<Option<Answer>, GatewayError> {
        self.inner.intent(id).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Answer>, GatewayError> {
        self.inner.session(id).await
    }

    async fn refund(&self, id: &GatewayRefundId) -> Result<Option<RefundSnapshot>, GatewayError> {
        self.inner.refund(id).await
    }

    async fn refunds(&self, id: &IntentId) -> Result<Vec<RefundSnapshot>, GatewayError> {
        self.inner.refunds(id).await
    }

    async fn disputes(&self, id: &IntentId) -> Result<Vec<DisputeSnapshot>, GatewayError> {
        self.inner.disputes(id).await
    }

    async fn dispute(&self, id: &GatewayDisputeId) -> Result<Option<DisputeSnapshot>, GatewayError> {
        self.inner.dispute(id).await
    }

    fn understand(&self, body: &[u8]) -> Result<Heard, Malformed> {
        self.inner.understand(body)
    }
}
