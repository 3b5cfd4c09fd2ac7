//! Reads for people. Each is one statement, so that all parts are of one moment.

use async_trait::async_trait;
use paywright_domain::{
    Decline, Id, Mode, OrderId,
    ports::{Listed, OrderFilter, OrderView, Page, Reader, StoreError, TimelineEntry},
};
use serde::Deserialize;

use crate::{
    Postgres,
    catalogue::{listed, one_more},
    error::store_error,
    rows::{DeclineRow, OrderRow, PaymentRow, Reading},
    store::orders,
};

/// Payments and declines as one JSON value.
macro_rules! views {
    ($source:tt, $rest:tt, $($argument:expr),*) => {
        orders!(
            "jsonb_build_object(
                 'payments', (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.created_at, p.id), '[]')
                              FROM payments AS p WHERE p.order_id = o.id),
                 'declines', (SELECT coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.at, d.key), '[]')
                              FROM payments AS p JOIN payment_declines AS d ON d.payment_id = p.id
                              WHERE p.order_id = o.id))",
            $source,
            $rest,
            $($argument),*
        )
    };
}

#[derive(Deserialize)]
struct Parts {
    payments: Vec<PaymentRow>,
    declines: Vec<DeclineRow>,
}

#[async_trait]
impl Reader for Postgres {
    async fn order_view(&self, mode: Mode, id: OrderId) -> Result<Option<OrderView>, StoreError> {
        let row = views!("orders", "WHERE o.id = $1 AND o.mode = $2", id.uuid(), <&str>::from(mode));
        row.fetch_optional(&self.pool).await.map_err(store_error)?.map(OrderRow::view).transpose()
    }

    async fn list_orders(
        &self,
        mode: Mode,
        filter: OrderFilter,
        page: Page<OrderId>,
    ) -> Result<Listed<OrderView>, StoreError> {
        // The page is cut before lines and parts are read. Absent filters vanish when the statement is planned.
        let rows = views!(
            "(SELECT * FROM orders
              WHERE mode = $1 AND ($2::text IS NULL OR state = $2) AND ($3::uuid IS NULL OR customer_id = $3)
                AND ($4::timestamptz IS NULL OR created_at >= $4) AND ($5::timestamptz IS NULL OR created_at < $5)
                AND ($6::uuid IS NULL OR id < $6)
              ORDER BY id DESC LIMIT $7)",
            "ORDER BY o.id DESC",
            <&str>::from(mode),
            filter.state.map(<&str>::from),
            filter.customer.map(|id| id.uuid()),
            filter.created_from,
            filter.created_before,
            page.after.map(|id| id.uuid()),
            one_more(page.limit)
        );
        let rows = rows.fetch_all(&self.pool).await.map_err(store_error)?;
        listed(rows, page.limit, OrderRow::view)
    }

    async fn timeline(&self, order: OrderId) -> Result<Vec<TimelineEntry>, StoreError> {
        let rows = sqlx::query!(
            "SELECT at, subject, payment_id, event, from_state, to_state, actor, cause, gateway_event, gateway_request,
                    detail
             FROM order_transitions WHERE order_id = $1 ORDER BY id",
            order.uuid()
        );
        let mut entries = Vec::new();
        for row in rows.fetch_all(&self.pool).await.map_err(store_error)? {
            entries.push(TimelineEntry {
                at: row.at,
                subject: row.subject,
                payment: row.payment_id.map(Id::from_uuid),
                event: row.event,
                from: row.from_state,
                to: row.to_state,
                actor: row.actor,
                cause: row.cause,
                gateway_event: row.gateway_event,
                gateway_request: row.gateway_request,
                detail: Reading { table: "order_transitions", id: order }.json("detail", row.detail)?,
            });
        }
        Ok(entries)
    }
}

impl OrderRow {
    fn view(mut self) -> Result<OrderView, StoreError> {
        let row = Reading { table: "orders", id: self.id };
        let parts: Parts = row.json("parts", self.parts.take().unwrap_or_default())?;
        Ok(OrderView {
            payments: parts.payments.into_iter().map(PaymentRow::payment).collect::<Result<_, _>>()?,
            declines: parts.declines.into_iter().map(Decline::from).collect(),
            order: self.order()?,
        })
    }
}
