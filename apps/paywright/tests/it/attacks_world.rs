//! A shop with one of everything, for those who want what is not theirs.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use paywright_domain::Mode;
use paywright_postgres::ApiKeys;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::{
    attacks_table::TABLE,
    breaks::foreign,
    support::{Reply, TestApp, VISA, text},
};

/// Paid, and disputed at once.
const DISPUTED: &str = "4000000000000259";

/// One of each kind by its name; all that was to happen has happened.
pub(crate) async fn one_of_each(app: &TestApp) -> BTreeMap<&'static str, String> {
    let product = app.product(500, "usd").await;
    let (contested, _) = app.paid_by(DISPUTED).await;
    let (order, payment) = app.paid_by(VISA).await;
    let refund = text(&app.refund(&payment, 500).await.ok()["id"]);
    app.deliver(&foreign("evt_foreign", "pi_foreign")).await.ok();
    app.until_fee(&payment).await;
    app.until_fee(&text(&app.show(&contested).await["payments"][0]["id"])).await;
    app.quiet().await;
    let run = text(&app.reconcile(json!({})).await["id"]);
    app.by_hand(
        "INSERT INTO payouts (mode, id, amount, currency, taken, status, automatic, parts, created_at, arrives_at, seen_at)
         VALUES ('test', $1, 1000, 'usd', false, 'paid', true, '[]', now(), now(), now())",
        "po_1",
    )
    .await;
    app.quiet().await;
    let begun = Instant::now();
    let first = async |list: &str| loop {
        let listed = app.get(&format!("/v1/{list}")).await.ok();
        if let Some(id) = listed["data"][0]["id"].as_str() {
            return id.to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no {list}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let customer = text(&app.show(&order).await["customer"]);
    BTreeMap::from([
        ("product", product),
        ("order", order),
        ("payment", payment),
        ("refund", refund),
        ("run", run),
        ("customer", customer),
        ("payout", "po_1".to_owned()),
        ("dispute", first("disputes").await),
        ("break", first("breaks").await),
        ("event", first("inbox").await),
        ("job", first("jobs").await),
    ])
}

/// A new key with these scopes.
pub(crate) async fn key(app: &TestApp, mode: Mode, scopes: &[&str], seed: u8) -> String {
    let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let (_, key) = ApiKeys::new(&app.app.store).create("a test", mode, &scopes, [seed; 32]).await.unwrap();
    key.expose_secret().to_owned()
}

/// All that an answer tells but when it was given and which one it is.
pub(crate) fn told(reply: &Reply) -> String {
    let headers = reply
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id", "connection"].contains(&name.as_str()));
    let mut headers: Vec<_> = headers.map(|(name, value)| format!("{name}: {value:?}")).collect();
    headers.sort_unstable();
    format!("{} {headers:?} {}", reply.status, reply.text)
}

/// What requests left behind, less the trace that a key was used.
pub(crate) async fn stored(app: &TestApp) -> String {
    app.stored().await.rsplit_once(' ').unwrap().0.to_owned()
}

/// Every path with the methods that it takes.
pub(crate) fn paths() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut paths = BTreeMap::<_, Vec<_>>::new();
    for route in TABLE {
        paths.entry(route.path).or_default().push(route.method);
    }
    paths
}
