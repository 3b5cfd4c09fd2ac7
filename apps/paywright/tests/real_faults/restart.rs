//! PostgreSQL dies under load and comes back: nothing that was acknowledged is lost, and nobody has to be started anew.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant, UNIX_EPOCH},
};

use futures::future::join_all;
use paywright_pg_local::{Cluster, Options};
use paywright_postgres::{ApiKeys, PoolOptions, Postgres};
use serde_json::{Value, json};

use crate::{
    kill_rounds::strike::cut_power,
    process::Process,
    relay::until,
    support::{KEY, WEBHOOK_SECRET, signature, text},
};

const WRITERS: usize = 6;

/// A database that keeps what it says it keeps, in a folder that its user can enter.
fn cluster(folder: &Path) -> Cluster {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    Cluster::start(&Options::new(folder.join("data"))).unwrap()
}

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    orders: Vec<String>,
    events: Vec<String>,
}

/// Whoever writes without end: orders, and Stripe's events.
struct Writer<'a> {
    http: &'a reqwest::Client,
    url: &'a str,
    basket: &'a Value,
    acknowledged: &'a Mutex<Acknowledged>,
}

impl Writer<'_> {
    async fn place(&self) -> Option<()> {
        let request = self.http.post(format!("{}/v1/orders", self.url)).bearer_auth(KEY).json(self.basket);
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.ok()?;
        assert!([201, 503].contains(&status), "{status} {body}");
        (status == 201).then(|| self.acknowledged.lock().unwrap().orders.push(text(&body["id"])))
    }

    async fn tell(&self, id: String) -> Option<()> {
        let now = UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
        let event = json!({"id": id, "object": "event", "type": "customer.created", "created": now,
            "livemode": false, "api_version": "2026-07-29.dahlia",
            "data": {"object": {"id": "cus_1", "object": "customer"}}});
        let body = event.to_string().into_bytes();
        let request = self.http.post(format!("{}/webhooks/stripe", self.url));
        let request = request.header("stripe-signature", signature(WEBHOOK_SECRET, now, &body)).body(body);
        let status = request.send().await.ok()?.status().as_u16();
        assert!([200, 503].contains(&status), "{status}");
        (status == 200).then(|| self.acknowledged.lock().unwrap().events.push(id))
    }

    async fn write(&self, n: usize, until: &Mutex<bool>) {
        for round in 0.. {
            if *until.lock().unwrap() {
                return;
            }
            let written = (self.place().await, self.tell(format!("evt_{n}_{round}")).await);
            if written != (Some(()), Some(())) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Covers: fault 73, fault 56, I25, I34.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_under_load_loses_nothing_acknowledged_and_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let database = cluster(folder.path());
    database.create_database("shop").unwrap();
    let url = database.url("shop");
    let store = Postgres::connect(&url, PoolOptions { max: 2, ..PoolOptions::default() }).await.unwrap();
    store.migrate().await.unwrap();
    ApiKeys::new(&store).ensure_dev_key(KEY).await.unwrap();
    let env = [
        ("DATABASE_URL", url.as_str()),
        ("STRIPE_API_BASE", "http://127.0.0.1:9"),
        ("STRIPE_SECRET_KEY", "sk_test_restart"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_restart"),
        ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("PAYWRIGHT__HTTP__BIND", "127.0.0.1:0"),
        // A short deadline makes for short leases: those whose claim was cut short are soon free.
        ("PAYWRIGHT__STRIPE__DEADLINE_SECONDS", "1"),
        ("PAYWRIGHT__STRIPE__PATIENCE_SECONDS", "1"),
        ("PAYWRIGHT__RECONCILIATION__ENABLED", "false"),
        ("PAYWRIGHT__METRICS__BIND", ""),
    ];
    let mut server = Process::start(folder.path(), &["serve"], &env);
    let served = format!("http://{}", server.address().await);
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    let tea = json!({"name": "Tea", "unit_amount": 1999, "currency": "usd"});
    let product =
        http.post(format!("{served}/v1/products")).bearer_auth(KEY).json(&tea).send().await.unwrap();
    let product: Value = product.json().await.unwrap();
    let basket = json!({"currency": "usd", "items": [{"product": product["id"], "quantity": 1}]});

    let (acknowledged, over) = (Mutex::new(Acknowledged::default()), Mutex::new(false));
    let writer = Writer { http: &http, url: &served, basket: &basket, acknowledged: &acknowledged };
    let count = || {
        let told = acknowledged.lock().unwrap();
        told.orders.len().min(told.events.len())
    };
    let writing = join_all((0..WRITERS).map(|n| writer.write(n, &over)));
    let striking = async {
        let mut database = database;
        for _ in 0..2 {
            let before = count();
            until("they write", async || (count() > before + 20).then_some(())).await;
            cut_power(&database);
            until("nobody is told that it is ready", async || {
                let ready = http.get(format!("{served}/readyz")).send().await.ok()?;
                (ready.status() == 503).then_some(())
            })
            .await;
            drop(database);
            database = tokio::task::spawn_blocking({
                let folder = folder.path().to_owned();
                move || cluster(&folder)
            })
            .await
            .unwrap();
            let (up, before) = (Instant::now(), count());
            until("they write again", async || (count() > before).then_some(())).await;
            assert!(up.elapsed() < Duration::from_secs(5), "they had to wait for {:?}", up.elapsed());
        }
        *over.lock().unwrap() = true;
        database
    };
    let (_, database) = tokio::join!(writing, striking);

    let Acknowledged { orders, events } = acknowledged.into_inner().unwrap();
    println!("{} orders and {} events were acknowledged", orders.len(), events.len());
    for order in &orders {
        let shown = http.get(format!("{served}/v1/orders/{order}")).bearer_auth(KEY).send().await.unwrap();
        assert_eq!(shown.status(), 200, "{order} was acknowledged, and is lost");
    }
    until("each event is read", async || {
        let sql = "SELECT count(*) FROM inbox_events WHERE id = ANY($1) AND processed_at IS NOT NULL";
        let read: i64 = sqlx::query_scalar(sql).bind(&events).fetch_one(store.pool()).await.ok()?;
        (read == i64::try_from(events.len()).unwrap()).then_some(())
    })
    .await;
    let ended = server.terminate().await;
    assert!(ended.status.success() && !ended.stderr.contains("panicked"), "{ended:?}");
    store.close().await;
    database.stop().unwrap();
}
