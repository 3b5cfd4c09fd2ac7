//! Everything compared with Stripe's truth, once all is quiet.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    fleet::Fleet,
    shop::{Sale, Shop},
};
use crate::{relay::until, support::text};

/// What must not be, as a count of rows.
const NEVER: [(&str, &str); 12] = [
    ("I20: an event without outcome", "SELECT count(*) FROM inbox_events
        WHERE ignored IS NULL AND (processed_at IS NULL OR outcome IS NULL)"),
    ("I20: a job that was given up", "SELECT count(*) FROM jobs WHERE state = 'dead'"),
    ("I24: a call whose outcome is not known", "SELECT count(*) FROM gateway_calls WHERE state = 'recorded'"),
    ("I1: a difference that no rule explains", "SELECT count(*) FROM breaks"),
    ("I14: an order's step told twice or never", "SELECT count(*) FROM orders o WHERE version <>
        (SELECT count(*) FROM order_transitions t WHERE t.order_id = o.id AND t.subject = 'order')"),
    ("I14: a payment's step told twice or never", "SELECT count(*) FROM payments p WHERE version <>
        (SELECT count(*) FROM order_transitions t WHERE t.payment_id = p.id AND t.subject = 'payment')"),
    ("I12: a trail with a gap", "SELECT count(*) FROM (
        SELECT from_state, lag(to_state) OVER (PARTITION BY order_id, subject, CASE subject WHEN 'payment' THEN payment_id END
            ORDER BY id) AS before
        FROM order_transitions WHERE subject IN ('order', 'payment')) AS step WHERE from_state IS DISTINCT FROM before"),
    ("I12: an order's step taken twice", "SELECT count(*) FROM (SELECT FROM order_transitions WHERE subject = 'order'
        GROUP BY order_id, event HAVING count(*) > 1) AS doubled"),
    ("I2: an order with two payments that took money", "SELECT count(*) FROM (SELECT FROM payments
        WHERE captured > 0 GROUP BY order_id HAVING count(*) > 1) AS doubled"),
    ("I9: a movement booked twice", "SELECT count(*) FROM (SELECT FROM ledger_entries
        GROUP BY key, line HAVING count(*) > 1) AS doubled"),
    ("I17: a request that is still held", "SELECT count(*) FROM idempotency_keys WHERE locked_until > now()"),
    ("76: a lock that outlives its transaction", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"),
];

/// What is not as it has to be, a line each.
pub(crate) async fn audit(fleet: &Fleet, shop: &Shop) -> Vec<String> {
    let mut wrong = Vec::new();
    for (what, sql) in NEVER {
        // On a busy machine an answer may come too late for once.
        let found = until(what, async || fleet.count(sql).await).await;
        if found != 0 {
            wrong.push(format!("{what}: {found}"));
        }
    }
    let stripe = Stripe::read(fleet).await;
    let mut expected = Moved::default();
    for sale in &shop.sold {
        orders(fleet, sale, &stripe, &mut expected, &mut wrong).await;
    }
    stripe.has_no_more(shop, &mut wrong);
    books(fleet, &stripe, &expected, &mut wrong).await;
    events(fleet, &mut wrong).await;
    repeats(fleet, shop, &mut wrong).await;
    wrong
}

/// What Stripe has.
struct Stripe {
    intents: Vec<Value>,
    refunds: Vec<Value>,
    sessions: Vec<Value>,
    transactions: Vec<Value>,
}

/// What customers paid and were given back.
#[derive(Default)]
struct Moved {
    taken: u64,
    given_back: u64,
}

impl Stripe {
    async fn read(fleet: &Fleet) -> Self {
        let (intents, refunds, sessions, transactions) = tokio::join!(
            fleet.at_stripe("payment_intents"),
            fleet.at_stripe("refunds"),
            fleet.at_stripe("checkout/sessions"),
            fleet.at_stripe("balance_transactions"),
        );
        Self { intents, refunds, sessions, transactions }
    }

    fn intents_of<'a>(&'a self, order: &'a str) -> impl Iterator<Item = &'a Value> {
        self.intents.iter().filter(move |one| one["metadata"]["paywright_order"] == order)
    }

    /// Everything at Stripe belongs to somebody, and nothing is there twice.
    fn has_no_more(&self, shop: &Shop, wrong: &mut Vec<String>) {
        let orders: BTreeSet<_> = shop.sold.iter().map(|sale| sale.order.as_str()).collect();
        let mut paid_for = BTreeMap::<&str, usize>::new();
        for intent in &self.intents {
            let order = intent["metadata"]["paywright_order"].as_str().unwrap_or_default();
            if !orders.contains(order) {
                wrong.push(format!("I18: an intent that is nobody's: {}", intent["id"]));
            }
            *paid_for.entry(order).or_default() += usize::from(intent["status"] == "succeeded");
        }
        for (order, _) in paid_for.iter().filter(|(_, count)| **count > 1) {
            wrong.push(format!("I2: {order} was paid twice"));
        }
        let mut once = BTreeSet::new();
        for refund in &self.refunds {
            let ours = refund["metadata"]["paywright_refund"].as_str().unwrap_or_default();
            let known = shop.sold.iter().any(|sale| sale.refunds.iter().any(|id| id == ours));
            if !known || !once.insert(ours) {
                wrong.push(format!("I7: a refund that nobody asked for: {} {ours}", refund["id"]));
            }
        }
        let pages = shop.sold.iter().filter(|sale| sale.course.has_page()).count();
        if self.sessions.len() != pages {
            wrong.push(format!("I18: {} pages for {pages} orders", self.sessions.len()));
        }
    }
}

/// One order, as the customer was promised and as Stripe has it.
async fn orders(fleet: &Fleet, sale: &Sale, stripe: &Stripe, expected: &mut Moved, wrong: &mut Vec<String>) {
    let Sale { order, course, payment, refunds, .. } = sale;
    let (state, captured, parts) = course.end();
    let given_back: u64 = parts.iter().sum();
    expected.taken += captured;
    expected.given_back += given_back;
    let mut differs = |what: &str, is: Value, should: Value| {
        if is != should {
            wrong.push(format!("{what}: {order} ({course:?}): {is} instead of {should}"));
        }
    };
    let shown = fleet.show(&format!("/v1/orders/{order}")).await;
    differs(
        "I25, I5, I6",
        json!([shown["state"], shown["amount_captured"], shown["amount_refunded"], shown["currency"]]),
        json!([state, captured, given_back, "usd"]),
    );
    let payments: Vec<_> = shown["payments"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    differs("I2", json!(payments), json!([payment]));
    let ours: BTreeSet<_> = shown["refunds"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect();
    differs("I7", json!(ours), json!(refunds.iter().collect::<BTreeSet<_>>()));
    let theirs = stripe.refunds.iter().filter(|one| one["metadata"]["paywright_order"] == order.as_str());
    let mut theirs: Vec<_> =
        theirs.map(|one| json!([one["amount"], one["currency"], one["status"]])).collect();
    theirs.sort_by_key(|one| one[0].as_u64());
    differs(
        "I7 at Stripe",
        json!(theirs),
        parts.iter().map(|part| json!([part, "usd", "succeeded"])).collect::<Value>(),
    );
    let intents = stripe.intents_of(order).map(|one| {
        json!([one["amount"], one["currency"], one["amount_received"], one["metadata"]["paywright_payment"]])
    });
    let intents: Vec<_> = intents.collect();
    // A page that nobody opened has no intent at Stripe.
    let should = if course.has_page() && captured == 0 && intents.is_empty() {
        json!([])
    } else {
        json!([[super::shop::TOTAL, "usd", captured, payment]])
    };
    differs("I4, I18 at Stripe", json!(intents), should);
}

/// The ledger says what customers paid, and what Stripe says of its balance.
async fn books(fleet: &Fleet, stripe: &Stripe, expected: &Moved, wrong: &mut Vec<String>) {
    let net: i64 = stripe.transactions.iter().map(|one| one["net"].as_i64().unwrap()).sum();
    for (account, should) in [
        ("sales", -expected.taken.cast_signed()),
        ("refunds", expected.given_back.cast_signed()),
        ("clearing", 0),
        ("gateway_balance", net),
    ] {
        let sql = "SELECT coalesce(sum(CASE WHEN debit = $1 THEN amount ELSE -amount END), 0)::bigint
                   FROM ledger_entries WHERE $1 IN (debit, credit)";
        let is: i64 = sqlx::query_scalar(sql).bind(account).fetch_one(fleet.store.pool()).await.unwrap();
        if is != should {
            wrong.push(format!("I9: {account} is {is} instead of {should}"));
        }
    }
}

/// Every message that we took is there.
async fn events(fleet: &Fleet, wrong: &mut Vec<String>) {
    let deliveries = fleet.control("deliveries?limit=5000").await.unwrap();
    let taken = deliveries["data"].as_array().unwrap().iter().filter(|attempt| attempt["status"] == 200);
    let taken: Vec<_> = taken.map(|attempt| text(&attempt["event"])).collect();
    let sql = "SELECT count(*) FROM unnest($1::text[]) AS told (id)
               WHERE NOT EXISTS (SELECT FROM inbox_events WHERE id = told.id)";
    let lost: i64 = sqlx::query_scalar(sql).bind(&taken).fetch_one(fleet.store.pool()).await.unwrap();
    if lost > 0 || taken.is_empty() {
        wrong.push(format!("I20: {lost} of {} events were taken, and are lost", taken.len()));
    }
}

/// Whoever asks again is told the same.
async fn repeats(fleet: &Fleet, shop: &Shop, wrong: &mut Vec<String>) {
    for sale in shop.sold.iter().rev().take(3) {
        let (key, basket) = (format!("place-{}", sale.n), shop.basket(sale.course));
        let again = shop.ask(fleet, "/v1/orders", &key, &basket, None).await;
        if again["id"] != sale.order.as_str() {
            wrong.push(format!("I17: {key} is another order now: {}", again["id"]));
        }
    }
}
