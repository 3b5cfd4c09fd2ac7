use paywright_domain::{Id, JobId, OrderId, ports::StoreError};

use super::{Change, Operations};
use crate::error::store_error;

impl Operations {
    /// What these jobs wrote into the audit trails of the orders that they are about, oldest first. The orders are
    /// those in `orders`, and those that the gateway's `names` of intents, sessions, refunds and disputes lead to.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn changes(
        &self,
        jobs: &[JobId],
        orders: &[OrderId],
        names: &[String],
    ) -> Result<Vec<Change>, StoreError> {
        // By the order, since the trail has no index on its causes: that would cost every step of every order.
        let rows = sqlx::query!(
            "SELECT order_id, payment_id, subject, event, from_state, to_state, at
             FROM order_transitions
             WHERE order_id = ANY (ARRAY(
                       SELECT unnest($2::uuid[])
                       UNION SELECT order_id FROM payments WHERE intent = ANY ($3)
                       UNION SELECT order_id FROM payments WHERE session = ANY ($3)
                       UNION SELECT order_id FROM refunds WHERE gateway = ANY ($3)
                       UNION SELECT order_id FROM disputes WHERE gateway = ANY ($3)))
               AND cause = ANY ($1)
             ORDER BY at, order_id, id",
            &jobs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            &orders.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
            names,
        );
        let rows = rows.fetch_all(&self.store.pool).await.map_err(store_error)?.into_iter();
        Ok(rows
            .map(|row| Change {
                order: Id::from_uuid(row.order_id),
                payment: row.payment_id.map(Id::from_uuid),
                subject: row.subject,
                event: row.event,
                from: row.from_state,
                to: row.to_state,
                at: row.at,
            })
            .collect())
    }
}
