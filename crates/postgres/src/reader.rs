//! Reads for people. Each is one statement, so that all parts are of one moment.

use async_trait::async_trait;
use paywright_domain::{
    BreakId, Decline, Dispute, DisputeId, Id, Mode, OrderId, PaymentId, Refund, RefundId,
    ports::{
        Balance, Booked, BreakView, Listed, OrderFilter, OrderView, Page, Reader, StoreError, TimelineEntry,
    },
};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::{
    Postgres,
    catalogue::{listed, one_more},
    error::store_error,
    rows::{
        BalanceRow, BookedRow, BreakRow, DeclineRow, DisputeRow, OrderRow, PaymentRow, Reading, RefundRow,
    },
    store::{disputes, orders, refunds},
};

/// Payments, declines, refunds and disputes as one JSON value.
macro_rules! views {
    ($source:tt, $rest:tt, $($argument:expr),*) => {
        orders!(
            "json_build_object(
                 'payments', (SELECT coalesce(json_agg(to_json(p) ORDER BY p.created_at, p.id), '[]')
                              FROM payments AS p WHERE p.order_id = o.id),
                 'declines', (SELECT coalesce(json_agg(to_json(d) ORDER BY d.at, d.key), '[]')
                              FROM payments AS p JOIN payment_declines AS d ON d.payment_id = p.id
                              WHERE p.order_id = o.id),
                 'refunds', (SELECT coalesce(json_agg(to_json(r) ORDER BY r.created_at, r.id), '[]')
                             FROM payments AS p JOIN refunds AS r ON r.payment_id = p.id
                             WHERE p.order_id = o.id),
                 'disputes', (SELECT coalesce(json_agg(to_json(d) ORDER BY d.created_at, d.id), '[]')
                              FROM payments AS p JOIN disputes AS d ON d.payment_id = p.id
                              WHERE p.order_id = o.id))",
            $source,
            $rest,
            $($argument),*
        )
    };
}

macro_rules! ledger {
    ($rest:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            BookedRow,
            "SELECT id, key, movement, order_id, payment_id, transaction_id, debit, credit, amount, currency, at
             FROM ledger_entries WHERE "
                + $rest,
            $($argument),*
        )
    };
}

#[derive(Deserialize)]
struct Parts {
    payments: Vec<PaymentRow>,
    declines: Vec<DeclineRow>,
    refunds: Vec<RefundRow>,
    disputes: Vec<DisputeRow>,
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

    async fn list_refunds(
        &self,
        mode: Mode,
        payment: Option<PaymentId>,
        page: Page<RefundId>,
    ) -> Result<Listed<Refund>, StoreError> {
        let rows = refunds!(
            "mode = $1 AND ($2::uuid IS NULL OR payment_id = $2) AND ($3::uuid IS NULL OR id < $3)
             ORDER BY id DESC LIMIT $4",
            <&str>::from(mode),
            payment.map(|id| id.uuid()),
            page.after.map(|id| id.uuid()),
            one_more(page.limit)
        );
        let rows = rows.fetch_all(&self.pool).await.map_err(store_error)?;
        listed(rows, page.limit, RefundRow::refund)
    }

    async fn list_disputes(
        &self,
        mode: Mode,
        payment: Option<PaymentId>,
        page: Page<DisputeId>,
    ) -> Result<Listed<Dispute>, StoreError> {
        let rows = disputes!(
            "mode = $1 AND ($2::uuid IS NULL OR payment_id = $2) AND ($3::uuid IS NULL OR id < $3)
             ORDER BY id DESC LIMIT $4",
            <&str>::from(mode),
            payment.map(|id| id.uuid()),
            page.after.map(|id| id.uuid()),
            one_more(page.limit)
        );
        let rows = rows.fetch_all(&self.pool).await.map_err(store_error)?;
        listed(rows, page.limit, DisputeRow::dispute)
    }

    async fn list_breaks(
        &self,
        mode: Mode,
        open: Option<bool>,
        page: Page<BreakId>,
    ) -> Result<Listed<BreakView>, StoreError> {
        let rows = sqlx::query_as!(
            BreakRow,
            "SELECT id, kind, order_id, payment_id, object, detail, at_risk, at_risk_currency, found_at, resolved_at,
                    resolved_by, resolution
             FROM breaks
             WHERE mode = $1 AND ($2::boolean IS NULL OR (resolved_at IS NULL) = $2) AND ($3::uuid IS NULL OR id < $3)
             ORDER BY id DESC LIMIT $4",
            <&str>::from(mode),
            open,
            page.after.map(|id| id.uuid()),
            one_more(page.limit),
        );
        let rows = rows.fetch_all(&self.pool).await.map_err(store_error)?;
        listed(rows, page.limit, BreakRow::view)
    }

    async fn ledger_of_order(&self, order: OrderId) -> Result<Vec<Booked>, StoreError> {
        booked(ledger!("order_id = $1 ORDER BY id", order.uuid()).fetch_all(&self.pool).await)
    }

    async fn ledger(
        &self,
        mode: Mode,
        from: OffsetDateTime,
        before: OffsetDateTime,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Booked>, StoreError> {
        let rows = ledger!(
            "mode = $1 AND at >= $2 AND at < $3 AND ($4::bigint IS NULL OR id > $4) ORDER BY id LIMIT $5",
            <&str>::from(mode),
            from,
            before,
            after,
            i64::from(limit)
        );
        booked(rows.fetch_all(&self.pool).await)
    }

    async fn balances(
        &self,
        mode: Mode,
        from: Option<OffsetDateTime>,
        before: Option<OffsetDateTime>,
    ) -> Result<Vec<Balance>, StoreError> {
        let rows = sqlx::query_as!(
            BalanceRow,
            r#"SELECT side.account AS "account!", currency, sum(side.debit)::bigint AS "debit!",
                      sum(side.credit)::bigint AS "credit!"
               FROM ledger_entries AS e
               CROSS JOIN LATERAL (VALUES (e.debit, e.amount, 0::bigint), (e.credit, 0::bigint, e.amount))
                          AS side (account, debit, credit)
               WHERE mode = $1 AND ($2::timestamptz IS NULL OR at >= $2) AND ($3::timestamptz IS NULL OR at < $3)
               GROUP BY side.account, currency"#,
            <&str>::from(mode),
            from,
            before,
        );
        let rows = rows.fetch_all(&self.pool).await.map_err(store_error)?.into_iter();
        let mut balances = rows.map(BalanceRow::balance).collect::<Result<Vec<_>, _>>()?;
        balances.sort_by_key(|balance| (balance.account, balance.currency));
        Ok(balances)
    }
}

fn booked(rows: sqlx::Result<Vec<BookedRow>>) -> Result<Vec<Booked>, StoreError> {
    rows.map_err(store_error)?.into_iter().map(BookedRow::booked).collect()
}

impl OrderRow {
    fn view(mut self) -> Result<OrderView, StoreError> {
        let row = Reading { table: "orders", id: self.id };
        let parts: Parts = row.json("parts", self.parts.take().unwrap_or_default())?;
        Ok(OrderView {
            payments: parts.payments.into_iter().map(PaymentRow::payment).collect::<Result<_, _>>()?,
            declines: parts.declines.into_iter().map(Decline::from).collect(),
            refunds: parts.refunds.into_iter().map(RefundRow::refund).collect::<Result<_, _>>()?,
            disputes: parts.disputes.into_iter().map(DisputeRow::dispute).collect::<Result<_, _>>()?,
            order: self.order()?,
        })
    }
}
