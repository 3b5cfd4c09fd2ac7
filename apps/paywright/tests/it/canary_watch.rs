//! Words that must not get about, and where some of them belong.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, PgPool, Row as _};

use crate::support::Reply;

/// One of them: what it is, and how it reads.
pub(crate) struct Canary {
    pub(crate) what: &'static str,
    pub(crate) word: String,
}

/// What nobody but its owner may read, nor find in an answer of ours except where it belongs.
#[derive(Default)]
pub(crate) struct Canaries(pub(crate) Vec<Canary>);

/// Answers that hold one by design: the route, and what of it.
const BELONGS: [(&str, &str); 21] = [
    // The page's address, to those who may read the order.
    ("/v1/orders", "page token"),
    ("/v1/orders/{id}", "page token"),
    ("/v1/orders/{id}/cancel", "page token"),
    ("/v1/orders/{id}/fulfillment", "page token"),
    ("/v1/orders/{id}/fulfillment/failed", "page token"),
    ("/v1/orders/{id}/ship", "page token"),
    ("/v1/orders/{id}/complete", "page token"),
    // The page's own form.
    ("/checkout/{token}", "page token"),
    ("/checkout/{token}/pay", "page token"),
    // What the shopper's browser pays with, once asked for, to whoever asked.
    ("/v1/orders/{id}/payment-intent", "client secret"),
    // The customer of an order, and what a bank is told of them.
    ("/v1/orders", "e-mail"),
    ("/v1/orders/{id}", "e-mail"),
    ("/v1/orders/{id}/cancel", "e-mail"),
    ("/v1/orders/{id}/fulfillment", "e-mail"),
    ("/v1/orders/{id}/fulfillment/failed", "e-mail"),
    ("/v1/orders/{id}/ship", "e-mail"),
    ("/v1/orders/{id}/complete", "e-mail"),
    ("/v1/disputes", "e-mail"),
    ("/v1/disputes/{id}", "e-mail"),
    ("/v1/disputes/{id}/evidence", "e-mail"),
    ("/v1/disputes/{id}/submit", "e-mail"),
];

/// Columns that hold one by design.
const KEPT: [(&str, &str); 15] = [
    ("customers.email", "e-mail"),
    ("orders.customer_email", "e-mail"),
    ("orders.token", "page token"),
    // An answer is kept to be repeated; it goes after three days.
    ("idempotency_keys.body", "e-mail"),
    ("idempotency_keys.body", "page token"),
    // Exactly as Stripe sent them, behind a scope of their own; they go after 90 days.
    ("inbox_events.body", "e-mail"),
    ("inbox_events.body", "name"),
    ("inbox_events.body", "client secret"),
    ("inbox_events.body", "card"),
    ("inbox_events.body", "page token"),
    // What Stripe was asked, to be asked again under the same key: whom it sends a receipt, where they come back to.
    ("gateway_calls.parameters", "e-mail"),
    ("gateway_calls.parameters", "page token"),
    ("payments.success_url", "page token"),
    ("payments.cancel_url", "page token"),
    // What the bank is told.
    ("disputes.evidence", "e-mail"),
];

impl Canaries {
    pub(crate) fn add(&mut self, what: &'static str, word: &str) {
        assert!(word.len() > 8, "{what} {word:?} would be found by chance");
        self.0.push(Canary { what, word: word.to_owned() });
    }

    /// Where a text holds one, with what stands around it.
    fn within<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (&'static str, String)> + 'a {
        self.0.iter().filter_map(move |canary| {
            // In upper case, too, and as in an address.
            let (lower, word) = (text.to_lowercase(), canary.word.to_lowercase());
            let at = lower.find(&word).or_else(|| lower.find(&word.replace('@', "%40")))?;
            let line = lower[..at].rfind('\n').map_or(0, |end| end + 1);
            let shown: String = lower[line.max(at.saturating_sub(300))..].chars().take(500).collect();
            Some((canary.what, shown))
        })
    }

    /// Every canary in what a process wrote.
    pub(crate) fn written(&self, by: &str, text: &str) -> Vec<String> {
        assert!(!text.is_empty(), "{by} wrote nothing");
        self.within(text).map(|(what, shown)| format!("{what} in {by}: {shown}")).collect()
    }

    /// Every canary in an answer where it does not belong. What a request says, its refusal may repeat, and what is
    /// stored for a caller, the caller reads again.
    pub(crate) fn answered(&self, route: &str, sent: &str, reply: &Reply) -> Vec<String> {
        let mut all = reply.text.clone();
        for (name, value) in &reply.headers {
            writeln!(all, "\n{name}: {}", String::from_utf8_lossy(value.as_bytes())).unwrap();
        }
        let belongs = |what: &str| {
            let said = self.0.iter().any(|canary| canary.what == what && sent.contains(&canary.word));
            let shown = what == "note" && (reply.status < 300 || route.starts_with("/checkout/"));
            BELONGS.contains(&(route, what)) || shown || (said && [404, 422].contains(&reply.status))
        };
        let found = self.within(&all).filter(|(what, _)| !belongs(what));
        found.map(|(what, shown)| format!("{what} answered by {route} ({}): {shown}", reply.status)).collect()
    }

    /// Every canary in a column that is not to hold it.
    pub(crate) async fn stored(&self, pool: &PgPool) -> Vec<String> {
        let columns = "SELECT table_name, column_name, data_type FROM information_schema.columns
            WHERE table_schema = 'public' AND data_type IN ('text', 'jsonb', 'json', 'bytea', 'character varying', 'ARRAY')";
        let (mut found, mut kept) = (Vec::new(), Vec::new());
        for row in sqlx::query(columns).fetch_all(pool).await.unwrap() {
            let (table, column, kind): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let text = match kind.as_str() {
                "bytea" => format!("encode(\"{column}\", 'escape')"),
                _ => format!("\"{column}\"::text"),
            };
            let place = format!("{table}.{column}");
            for canary in &self.0 {
                let sql = format!(
                    "SELECT {text} FROM \"{table}\" WHERE position(lower($1) in lower({text})) > 0 LIMIT 1"
                );
                let hit: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                    .bind(&canary.word)
                    .fetch_optional(pool)
                    .await
                    .unwrap();
                let Some(hit) = hit else { continue };
                // What a caller notes down is kept where it was noted.
                if canary.what == "note" && NOTES.contains(&place.as_str()) {
                    continue;
                }
                match KEPT.iter().find(|known| **known == (place.as_str(), canary.what)) {
                    Some(known) => kept.push(*known),
                    None => found.push(format!("{} in {place}: {:.300}", canary.what, hit)),
                }
            }
        }
        // Whoever finds nothing where something is finds nothing anywhere.
        let unused = KEPT.iter().filter(|known| !kept.contains(known));
        found.extend(unused.map(|(place, what)| format!("the search saw no {what} in {place}")));
        found
    }
}

/// Where a caller's own texts are kept, whatever they say.
const NOTES: [&str; 12] = [
    "products.name",
    "products.metadata",
    "order_items.name",
    "orders.metadata",
    "orders.tracking",
    "refunds.note",
    "breaks.resolution",
    "disputes.evidence",
    "order_transitions.detail",
    "gateway_calls.parameters",
    "idempotency_keys.body",
    "inbox_events.body",
];
