//! Loads of the hot path: what many ask for at the same time is read in one statement.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use uuid::Uuid;

use crate::{
    api_keys::{self, KeyRow},
    error::store_error,
    keyed::{Keyed, Lent},
    lane::{Lane, Ticket, refuse},
    queue::{self, EventRow},
    rows::{OrderRow, PaymentRow, ProductRow},
    store::{orders, payments, products},
};

/// So many at once: enough to make a round trip cheap, and few enough to read quickly.
const SEATS: usize = 64;
const RIDES: usize = 2;

/// One row by its key, if there is one.
pub(crate) type Load<K, R> = Lane<K, Option<R>>;

/// What is loaded together.
#[derive(Clone)]
pub(crate) struct Loads {
    pub(crate) order: Load<Uuid, OrderRow>,
    pub(crate) payment: Load<Uuid, PaymentRow>,
    pub(crate) payment_by_intent: Load<String, PaymentRow>,
    /// The live payment of an order.
    pub(crate) live_payment: Load<Uuid, PaymentRow>,
    /// Those of these that exist.
    pub(crate) products: Lane<Vec<Uuid>, Vec<ProductRow>>,
    pub(crate) event: Load<String, EventRow>,
    /// The API key with this hash that was not revoked.
    pub(crate) api_key: Load<Vec<u8>, KeyRow>,
}

/// How rows are read by keys, on a connection that is given back.
macro_rules! reading {
    ($keys:ident, $query:expr) => {
        |mut lent: Lent, $keys: Vec<_>| async move {
            let rows = $query.fetch_all(&mut *lent.connection).await;
            (lent, rows)
        }
    };
}

impl Loads {
    pub(crate) fn new(keyed: &Keyed) -> Self {
        Self {
            order: load(
                keyed,
                reading!(ids, orders!("NULL::json", "orders", "WHERE o.id = ANY($1)", &ids)),
                |row| Some(row.id),
            ),
            payment: load(keyed, reading!(ids, payments!("id = ANY($1)", &ids)), |row| Some(row.id)),
            payment_by_intent: load(keyed, reading!(names, payments!("intent = ANY($1)", &names)), |row| {
                row.intent.clone()
            }),
            live_payment: load(
                keyed,
                reading!(
                    orders,
                    payments!(
                        "order_id = ANY($1)
                         AND state IN ('created', 'pending', 'requires_action', 'processing', 'authorized')",
                        &orders
                    )
                ),
                |row| Some(row.order_id),
            ),
            products: products_of_many(keyed),
            event: load(keyed, queue::events, |row| Some(row.id.clone())),
            api_key: load(keyed, api_keys::by_hash, |row| Some(row.hash.clone())),
        }
    }
}

fn load<K, R, F>(
    keyed: &Keyed,
    read: impl Fn(Lent, Vec<K>) -> F + Clone + Send + Sync + 'static,
    key: fn(&R) -> Option<K>,
) -> Load<K, R>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    R: Clone + Send + 'static,
    F: Future<Output = (Lent, sqlx::Result<Vec<R>>)> + Send + 'static,
{
    let keyed = keyed.clone();
    Lane::new(RIDES, SEATS, move |tickets: Vec<Ticket<K, Option<R>>>| {
        let (keyed, read) = (keyed.clone(), read.clone());
        async move {
            let keys = tickets.iter().map(|ticket| ticket.question.clone()).collect();
            let rows = keyed.read(keys, read).await;
            hand_out(tickets, rows, key);
        }
    })
}

fn products_of_many(keyed: &Keyed) -> Lane<Vec<Uuid>, Vec<ProductRow>> {
    let keyed = keyed.clone();
    Lane::new(RIDES, SEATS, move |tickets: Vec<Ticket<Vec<Uuid>, Vec<ProductRow>>>| {
        let keyed = keyed.clone();
        async move {
            let ids: BTreeSet<_> =
                tickets.iter().flat_map(|ticket| ticket.question.iter().copied()).collect();
            let ids = ids.into_iter().collect();
            match keyed.read(ids, reading!(ids, products!("id = ANY($1)", &ids))).await {
                Ok(rows) => {
                    for ticket in tickets {
                        let wanted = rows.iter().filter(|row| ticket.question.contains(&row.id));
                        let wanted = wanted.cloned().collect();
                        ticket.answer(Ok(wanted));
                    }
                }
                Err(error) => refuse(tickets, &store_error(error)),
            }
        }
    })
}

/// Gives everybody the row that they asked for.
fn hand_out<K: Eq + Hash, R: Clone>(
    tickets: Vec<Ticket<K, Option<R>>>,
    rows: sqlx::Result<Vec<R>>,
    key: fn(&R) -> Option<K>,
) {
    match rows {
        Ok(rows) => {
            let rows: HashMap<K, R> = rows.into_iter().filter_map(|row| Some((key(&row)?, row))).collect();
            for ticket in tickets {
                let row = rows.get(&ticket.question).cloned();
                ticket.answer(Ok(row));
            }
        }
        Err(error) => refuse(tickets, &store_error(error)),
    }
}
