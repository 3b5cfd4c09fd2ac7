//! Calls to Stripe about the past, measured around the port.

use std::sync::Arc;

use async_trait::async_trait;
use paywright_domain::{
    PayoutId,
    ports::{
        Archive, BookEntry, DisputeSnapshot, GatewayError, InboxEvent, Payout, RefundSnapshot, Shelf,
        Snapshot, Window,
    },
};

use super::gateway::measured;

/// An archive whose calls are measured.
pub struct MeasuredArchive(pub Arc<dyn Archive>);

#[async_trait]
impl Archive for MeasuredArchive {
    async fn events(&self, window: Window, after: Option<String>) -> Result<Shelf<InboxEvent>, GatewayError> {
        measured("list_events", self.0.events(window, after)).await
    }

    async fn payments(&self, window: Window, after: Option<String>) -> Result<Shelf<Snapshot>, GatewayError> {
        measured("list_intents", self.0.payments(window, after)).await
    }

    async fn refunds(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<RefundSnapshot>, GatewayError> {
        measured("list_refunds", self.0.refunds(window, after)).await
    }

    async fn disputes(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<DisputeSnapshot>, GatewayError> {
        measured("list_disputes", self.0.disputes(window, after)).await
    }

    async fn transactions(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<BookEntry>, GatewayError> {
        measured("list_transactions", self.0.transactions(window, after)).await
    }

    async fn payouts(&self, window: Window, after: Option<String>) -> Result<Shelf<Payout>, GatewayError> {
        measured("list_payouts", self.0.payouts(window, after)).await
    }

    async fn paid_out(
        &self,
        payout: &PayoutId,
        after: Option<String>,
    ) -> Result<Shelf<BookEntry>, GatewayError> {
        measured("list_paid_out", self.0.paid_out(payout, after)).await
    }
}
