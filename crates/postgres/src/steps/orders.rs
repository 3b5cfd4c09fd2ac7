//! Orders.

use paywright_domain::{Changes, Guard, Order, OrderItem, Step, Version};
use sqlx::{PgConnection, types::Json};

use super::{Course, all, each};
use crate::error::Failure;

/// Writes what becomes of orders, and makes sure that those which were read stay at their version until the commit.
pub(crate) async fn orders(connection: &mut PgConnection, group: &[&Changes]) -> Result<(), Failure> {
    let steps = group.iter().flat_map(|changes| &changes.steps).filter_map(|step| match step {
        Step::Order(step) => Some(&**step),
        Step::Payment(_) | Step::Refund(_) | Step::Dispute(_) => None,
    });
    let course = Course::follow(steps, |order| order.id.uuid(), |order| order.version)?;
    place(connection, &course.born()).await?;
    move_on(connection, &course.moved()).await?;
    stay(connection, group).await
}

async fn place(connection: &mut PgConnection, orders: &[&Order]) -> Result<(), Failure> {
    if orders.is_empty() {
        return Ok(());
    }
    let of = |order: &&Order| order.id.uuid();
    let lines: Vec<(uuid::Uuid, i64, &OrderItem)> = orders
        .iter()
        .flat_map(|order| (1..).zip(&order.items).map(move |(place, line)| (order.id.uuid(), place, line)))
        .collect();
    let insert = sqlx::query!(
        "WITH placed AS (
             INSERT INTO orders (id, mode, version, state, customer_id, customer_email, total, currency, metadata, token,
                                 cancellation, capture, fulfillment_requested, paid_by, carrier, tracking, created_at,
                                 expires_at)
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::uuid[], $6::text[],
                                  $7::bigint[], $8::text[], $9::jsonb[], $10::text[], $11::text[], $12::text[],
                                  $13::bool[], $14::uuid[], $15::text[], $16::text[], $17::timestamptz[],
                                  $18::timestamptz[])
         )
         INSERT INTO order_items (order_id, product_id, name, unit_amount, currency, quantity, position)
         SELECT * FROM unnest($19::uuid[], $20::uuid[], $21::text[], $22::bigint[], $23::text[], $24::bigint[],
                              $25::bigint[])",
        &each(orders, of),
        &each(orders, |order| order.mode.to_string()),
        &each(orders, |order| i64::from(order.version.number())),
        &each(orders, |order| order.state.to_string()),
        each(orders, |order| order.customer.map(|id| id.uuid())) as _,
        each(orders, |order| order.customer_email.clone()) as _,
        &each(orders, |order| order.total.minor().cast_signed()),
        &each(orders, |order| order.total.currency().code().to_owned()),
        each(orders, |order| Json(&order.metadata)) as _,
        &each(orders, |order| order.token.clone()),
        each(orders, |order| order.cancellation.map(<&str>::from)) as _,
        &each(orders, |order| order.capture.to_string()),
        &each(orders, |order| order.fulfillment_requested),
        each(orders, |order| order.paid_by.map(|id| id.uuid())) as _,
        each(orders, |order| order.shipment.as_ref().map(|shipment| shipment.carrier.clone())) as _,
        each(orders, |order| order.shipment.as_ref().and_then(|shipment| shipment.tracking.clone())) as _,
        &each(orders, |order| order.created_at),
        &each(orders, |order| order.expires_at),
        &each(&lines, |(order, ..)| *order),
        &each(&lines, |(.., line)| line.product.uuid()),
        &each(&lines, |(.., line)| line.name.clone()),
        &each(&lines, |(.., line)| line.unit_price.minor().cast_signed()),
        &each(&lines, |(.., line)| line.unit_price.currency().code().to_owned()),
        &each(&lines, |(.., line)| i64::from(line.quantity)),
        &each(&lines, |(_, place, _)| *place),
    );
    insert.execute(connection).await?;
    Ok(())
}

/// Writes what events change; everything else is frozen at an order's birth.
async fn move_on(connection: &mut PgConnection, orders: &[(Version, &Order)]) -> Result<(), Failure> {
    if orders.is_empty() {
        return Ok(());
    }
    let update = sqlx::query!(
        "UPDATE orders
         SET version = new.version, state = new.state, cancellation = new.cancellation,
             fulfillment_requested = new.fulfillment_requested, paid_by = new.paid_by, carrier = new.carrier,
             tracking = new.tracking
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bool[], $7::uuid[],
                     $8::text[], $9::text[])
              AS new (id, over, version, state, cancellation, fulfillment_requested, paid_by, carrier, tracking)
         WHERE orders.id = new.id AND orders.version = new.over",
        &each(orders, |(_, order)| order.id.uuid()),
        &each(orders, |(over, _)| i64::from(over.number())),
        &each(orders, |(_, order)| i64::from(order.version.number())),
        &each(orders, |(_, order)| order.state.to_string()),
        each(orders, |(_, order)| order.cancellation.map(<&str>::from)) as _,
        &each(orders, |(_, order)| order.fulfillment_requested),
        each(orders, |(_, order)| order.paid_by.map(|id| id.uuid())) as _,
        each(orders, |(_, order)| order.shipment.as_ref().map(|shipment| shipment.carrier.clone())) as _,
        each(orders, |(_, order)| order.shipment.as_ref().and_then(|shipment| shipment.tracking.clone())) as _,
    );
    all(update.execute(connection).await?.rows_affected(), orders.len())
}

async fn stay(connection: &mut PgConnection, group: &[&Changes]) -> Result<(), Failure> {
    let guards = group.iter().flat_map(|changes| &changes.guards);
    let guarded: Vec<_> = guards
        .filter_map(|guard| match *guard {
            Guard::Order(id, version) => Some((id.uuid(), i64::from(version.number()))),
            Guard::Payment(..) => None,
        })
        .collect();
    if guarded.is_empty() {
        return Ok(());
    }
    let select = sqlx::query!(
        "SELECT 1 AS one FROM orders JOIN unnest($1::uuid[], $2::bigint[]) AS read (id, version) USING (id, version)
         FOR SHARE OF orders",
        &each(&guarded, |(id, _)| *id),
        &each(&guarded, |(_, version)| *version),
    );
    let rows = select.fetch_all(connection).await?.len();
    all(rows as u64, guarded.len())
}
