//! Loads. One statement each; `commit.rs` writes.

use async_trait::async_trait;
use paywright_domain::{
    Cause, Changes, Customer, CustomerId, Dispute, DisputeId, GatewayCall, GatewayDisputeId, GatewayRefundId,
    IntentId, JobId, Mode, Order, OrderId, Payment, PaymentId, Product, ProductId, Refund, RefundId,
    SessionId,
    ports::{Committed, Store, StoreError},
};

use crate::{
    Postgres,
    error::store_error,
    rows::{CallRow, CustomerRow, DisputeRow, OrderRow, PaymentRow, ProductRow, RefundRow},
    text::clean,
};

/// Orders with their lines. `$source` names the rows of `orders`, `$parts` what else is read of each, `$rest` ends
/// the statement.
macro_rules! orders {
    ($parts:tt, $source:tt, $rest:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            $crate::rows::OrderRow,
            "SELECT o.id, o.mode, o.version, o.state, o.customer_id, o.customer_email, o.total, o.currency, o.metadata,
                    o.token, o.cancellation, o.capture, o.fulfillment_requested, o.paid_by, o.carrier, o.tracking,
                    o.created_at, o.expires_at,
                    lines.products AS \"products!\", lines.names AS \"names!\",
                    lines.unit_amounts AS \"unit_amounts!\", lines.quantities AS \"quantities!\","
            + $parts + " AS \"parts?: serde_json::Value\" FROM " + $source +
            " AS o
              CROSS JOIN LATERAL (
                  SELECT coalesce(array_agg(i.product_id ORDER BY i.position), '{}') AS products,
                         coalesce(array_agg(i.name ORDER BY i.position), '{}') AS names,
                         coalesce(array_agg(i.unit_amount ORDER BY i.position), '{}') AS unit_amounts,
                         coalesce(array_agg(i.quantity ORDER BY i.position), '{}') AS quantities
                  FROM order_items AS i WHERE i.order_id = o.id
              ) AS lines "
            + $rest,
            $($argument),*
        )
    };
}
pub(crate) use orders;

macro_rules! payments {
    ($rest:tt, $argument:expr) => {
        sqlx::query_as!(
            $crate::rows::PaymentRow,
            "SELECT id, order_id, mode, version, channel, success_url, cancel_url, capture, amount, currency, state,
                    seen_at, intent, session, capturable, captured, capture_asked, capture_requested,
                    capture_generation, capture_before, hold_told, refunded, returned, disputed, disputes_blocking,
                    unwanted, fee_transaction, fee, fee_currency, end_requested, end_generation, created_at
             FROM payments WHERE "
                + $rest,
            $argument
        )
    };
}

pub(crate) use payments;

macro_rules! products {
    ($rest:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            $crate::rows::ProductRow,
            "SELECT id, mode, version, name, unit_amount, currency, active, metadata, created_at
             FROM products WHERE "
                + $rest,
            $($argument),*
        )
    };
}
pub(crate) use products;

macro_rules! refunds {
    ($rest:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            $crate::rows::RefundRow,
            "SELECT id, order_id, payment_id, mode, version, amount, currency, reason, note, state, gateway, failure,
                    settlement, reversal, created_at
             FROM refunds WHERE "
                + $rest,
            $($argument),*
        )
    };
}
pub(crate) use refunds;

macro_rules! disputes {
    ($rest:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            $crate::rows::DisputeRow,
            "SELECT id, order_id, payment_id, mode, version, gateway, status, amount, currency, reason, due_by,
                    refundable, submitted, seen_at, evidence, answering, generation, deadline_told, created_at
             FROM disputes WHERE "
                + $rest,
            $($argument),*
        )
    };
}
pub(crate) use disputes;

#[async_trait]
impl Store for Postgres {
    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        self.loads.order.ask(id.uuid()).await?.map(OrderRow::order).transpose()
    }

    async fn order_by_token(&self, token: &str) -> Result<Option<Order>, StoreError> {
        let token = clean(token);
        let row = orders!("NULL::json", "orders", "WHERE o.token = $1", &token).fetch_optional(&self.pool);
        row.await.map_err(store_error)?.map(OrderRow::order).transpose()
    }

    async fn payment(&self, id: PaymentId) -> Result<Option<Payment>, StoreError> {
        self.loads.payment.ask(id.uuid()).await?.map(PaymentRow::payment).transpose()
    }

    async fn payment_by_intent(&self, id: &IntentId) -> Result<Option<Payment>, StoreError> {
        let row = self.loads.payment_by_intent.ask(id.to_string()).await?;
        row.map(PaymentRow::payment).transpose()
    }

    async fn payment_by_session(&self, id: &SessionId) -> Result<Option<Payment>, StoreError> {
        let row = payments!("session = $1", id.as_str()).fetch_optional(&self.pool);
        row.await.map_err(store_error)?.map(PaymentRow::payment).transpose()
    }

    async fn live_payment(&self, order: OrderId) -> Result<Option<Payment>, StoreError> {
        self.loads.live_payment.ask(order.uuid()).await?.map(PaymentRow::payment).transpose()
    }

    async fn payable(&self, id: OrderId) -> Result<Option<(Order, Option<Payment>)>, StoreError> {
        let (order, live) = tokio::try_join!(self.order(id), self.live_payment(id))?;
        Ok(order.map(|order| (order, live)))
    }

    async fn payments(&self, order: OrderId) -> Result<Vec<Payment>, StoreError> {
        let rows = payments!("order_id = $1 ORDER BY created_at, id", order.uuid()).fetch_all(&self.pool);
        rows.await.map_err(store_error)?.into_iter().map(PaymentRow::payment).collect()
    }

    async fn refund(&self, id: RefundId) -> Result<Option<Refund>, StoreError> {
        let row = refunds!("id = $1", id.uuid()).fetch_optional(&self.pool);
        row.await.map_err(store_error)?.map(RefundRow::refund).transpose()
    }

    async fn refund_by_gateway(&self, id: &GatewayRefundId) -> Result<Option<Refund>, StoreError> {
        let row = refunds!("gateway = $1", id.as_str()).fetch_optional(&self.pool);
        row.await.map_err(store_error)?.map(RefundRow::refund).transpose()
    }

    async fn refunds(&self, payment: PaymentId) -> Result<Vec<Refund>, StoreError> {
        let rows = refunds!("payment_id = $1 ORDER BY created_at, id", payment.uuid()).fetch_all(&self.pool);
        rows.await.map_err(store_error)?.into_iter().map(RefundRow::refund).collect()
    }

    async fn dispute(&self, id: DisputeId) -> Result<Option<Dispute>, StoreError> {
        let row = disputes!("id = $1", id.uuid()).fetch_optional(&self.pool);
        row.await.map_err(store_error)?.map(DisputeRow::dispute).transpose()
    }

    async fn dispute_by_gateway(&self, id: &GatewayDisputeId) -> Result<Option<Dispute>, StoreError> {
        let row = disputes!("gateway = $1", id.as_str()).fetch_optional(&self.pool);
        row.await.map_err(store_error)?.map(DisputeRow::dispute).transpose()
    }

    async fn disputes(&self, payment: PaymentId) -> Result<Vec<Dispute>, StoreError> {
        let rows = disputes!("payment_id = $1 ORDER BY created_at, id", payment.uuid()).fetch_all(&self.pool);
        rows.await.map_err(store_error)?.into_iter().map(DisputeRow::dispute).collect()
    }

    async fn call(&self, id: JobId) -> Result<Option<GatewayCall>, StoreError> {
        let row = sqlx::query_as!(
            CallRow,
            "SELECT id, order_id, payment_id, subject, mode, generation, parameters, idempotency_key, state,
                    recorded_at
             FROM gateway_calls WHERE id = $1",
            id.uuid()
        );
        row.fetch_optional(&self.pool).await.map_err(store_error)?.map(CallRow::call).transpose()
    }

    async fn products(&self, mode: Mode, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
        let ids = ids.iter().map(|id| id.uuid()).collect();
        let products = self.loads.products.ask(ids).await?.into_iter().map(ProductRow::product);
        products.filter(|product| product.as_ref().map_or(true, |product| product.mode == mode)).collect()
    }

    async fn customer(&self, mode: Mode, id: CustomerId) -> Result<Option<Customer>, StoreError> {
        let row = sqlx::query_as!(
            CustomerRow,
            "SELECT id, email, created_at FROM customers WHERE id = $1 AND mode = $2",
            id.uuid(),
            <&str>::from(mode)
        );
        Ok(row.fetch_optional(&self.pool).await.map_err(store_error)?.map(|row| row.customer(mode)))
    }

    async fn customer_by_email(&self, mode: Mode, email: &str) -> Result<Option<Customer>, StoreError> {
        let row = sqlx::query_as!(
            CustomerRow,
            "SELECT id, email, created_at FROM customers WHERE mode = $1 AND email = $2",
            <&str>::from(mode),
            &clean(email)
        );
        Ok(row.fetch_optional(&self.pool).await.map_err(store_error)?.map(|row| row.customer(mode)))
    }

    async fn knows(&self, cause: Cause) -> Result<bool, StoreError> {
        let known = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM commits WHERE cause = $1) AS "known!""#,
            cause.to_string()
        );
        known.fetch_one(&self.pool).await.map_err(store_error)
    }

    #[tracing::instrument(name = "store.commit", skip_all, fields(cause = %changes.cause))]
    async fn commit(&self, changes: Changes) -> Result<Committed, StoreError> {
        self.commits.ask(changes).await
    }
}
