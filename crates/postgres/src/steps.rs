//! One step of one aggregate: born, or written over the version it was decided on.

mod payments;
mod refunds;

use paywright_domain::{Order, OrderEvent, OrderId, Transition, Version, ports::StoreError};
use sqlx::{PgConnection, types::Json};

use crate::error::Failure;

pub(crate) use payments::{payment, payment_stays};
pub(crate) use refunds::{dispute, refund};

pub(crate) async fn order(
    connection: &mut PgConnection,
    step: &Transition<Order, OrderEvent>,
) -> Result<(), Failure> {
    match step.before() {
        None => place(connection, step.after()).await,
        Some(before) => move_order(connection, before.version, step.after()).await,
    }
}

/// Makes sure that an order is, and until the commit stays, at a version.
pub(crate) async fn order_stays(
    connection: &mut PgConnection,
    id: OrderId,
    at: Version,
) -> Result<(), Failure> {
    let select = sqlx::query!(
        "SELECT 1 AS one FROM orders WHERE id = $1 AND version = $2 FOR SHARE",
        id.uuid(),
        i64::from(at.number())
    );
    select.fetch_optional(connection).await?.map(drop).ok_or_else(|| StoreError::Conflict.into())
}

/// Writes the order and its lines in one statement.
async fn place(connection: &mut PgConnection, order: &Order) -> Result<(), Failure> {
    let lines = &order.items;
    let products: Vec<_> = lines.iter().map(|line| line.product.uuid()).collect();
    let names: Vec<_> = lines.iter().map(|line| line.name.clone()).collect();
    let unit_amounts: Vec<_> = lines.iter().map(|line| line.unit_price.minor().cast_signed()).collect();
    let currencies: Vec<_> = lines.iter().map(|line| line.unit_price.currency().code().to_owned()).collect();
    let quantities: Vec<_> = lines.iter().map(|line| i64::from(line.quantity)).collect();
    let insert = sqlx::query!(
        "WITH placed AS (
             INSERT INTO orders (id, mode, version, state, customer_id, customer_email, total, currency, metadata, token,
                                 cancellation, capture, fulfillment_requested, paid_by, carrier, tracking, created_at,
                                 expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
         )
         INSERT INTO order_items (order_id, product_id, name, unit_amount, currency, quantity, position)
         SELECT $1, line.*
         FROM unnest($19::uuid[], $20::text[], $21::bigint[], $22::text[], $23::bigint[]) WITH ORDINALITY AS line",
        order.id.uuid(),
        <&str>::from(order.mode),
        i64::from(order.version.number()),
        <&str>::from(order.state),
        order.customer.map(|id| id.uuid()),
        order.customer_email,
        order.total.minor().cast_signed(),
        order.total.currency().code(),
        Json(&order.metadata) as _,
        order.token,
        order.cancellation.map(<&str>::from),
        <&str>::from(order.capture),
        order.fulfillment_requested,
        order.paid_by.map(|id| id.uuid()),
        order.shipment.as_ref().map(|shipment| shipment.carrier.as_str()),
        order.shipment.as_ref().and_then(|shipment| shipment.tracking.as_deref()),
        order.created_at,
        order.expires_at,
        &products,
        &names,
        &unit_amounts,
        &currencies,
        &quantities,
    );
    insert.execute(connection).await?;
    Ok(())
}

/// Writes what an order's events change; everything else is frozen at its birth.
async fn move_order(connection: &mut PgConnection, over: Version, order: &Order) -> Result<(), Failure> {
    let update = sqlx::query!(
        "UPDATE orders
         SET version = $3, state = $4, cancellation = $5, fulfillment_requested = $6, paid_by = $7, carrier = $8,
             tracking = $9
         WHERE id = $1 AND version = $2",
        order.id.uuid(),
        i64::from(over.number()),
        i64::from(order.version.number()),
        <&str>::from(order.state),
        order.cancellation.map(<&str>::from),
        order.fulfillment_requested,
        order.paid_by.map(|id| id.uuid()),
        order.shipment.as_ref().map(|shipment| shipment.carrier.as_str()),
        order.shipment.as_ref().and_then(|shipment| shipment.tracking.as_deref()),
    );
    only_one(update.execute(connection).await?.rows_affected())
}

/// No row: another version, or none, is there now.
fn only_one(rows: u64) -> Result<(), Failure> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Conflict.into()) }
}
