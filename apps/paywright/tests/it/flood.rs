//! Many at the webhook's door at once: true ones are acknowledged and read in their turn, forged ones cost nothing.

use std::{
    fs,
    time::{Duration, Instant, UNIX_EPOCH},
};

use futures::{StreamExt as _, stream};
use paywright_app::{config::Settings, wiring::App, worker};
use paywright_postgres::{PoolOptions, Postgres, TestDb};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    process::Process,
    relay::{Keep, Relay, until},
    support::{TestApp, VISA, WEBHOOK_SECRET, signature, text},
};

/// Deliveries at the same time.
const AT_ONCE: usize = 32;

/// A program that hears only what a test tells it, and reads nothing of it.
async fn without_hands() -> TestApp {
    let none = |settings: &mut Settings| (settings.worker.webhooks, settings.worker.effects) = (0, 0);
    TestApp::with(none, false).await
}

/// Hands for a program that has none.
struct Hands {
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Hands {
    fn lend(app: &TestApp) -> Self {
        Self::over(app, app.app.store.clone())
    }

    fn over(app: &TestApp, store: Postgres) -> Self {
        let mut settings = app.app.settings.clone();
        (settings.worker.webhooks, settings.worker.effects) = (8, 4);
        let own = App::new(settings, store, app.url.clone()).unwrap();
        let stop = CancellationToken::new();
        Self { running: tokio::spawn(worker::run(own.into(), stop.clone())), stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

/// An event of no consequence, as long as Stripe's are.
fn plain(id: &str, created: i64) -> Value {
    json!({
        "id": id, "object": "event", "type": "customer.created", "created": created, "livemode": false,
        "api_version": "2026-07-29.dahlia",
        "data": {"object": {"id": id.replace("evt", "cus"), "object": "customer", "description": "x".repeat(3_000)}}
    })
}

/// The events about an order that is paid at Stripe, the oldest first.
async fn paid_at_stripe(app: &TestApp, order: &str) -> Vec<Value> {
    app.pay_intent(&app.intent(order).await, VISA).await.ok();
    let listed = app.stripe("events?limit=100").await;
    let about = |event: &&Value| event["data"]["object"].to_string().contains(order);
    let mut events: Vec<Value> = listed["data"].as_array().unwrap().iter().filter(about).cloned().collect();
    events.reverse();
    events
}

async fn until_none(app: &TestApp, what: &str, sql: &'static str) {
    until(what, async || (app.count(sql).await == 0).then_some(())).await;
}

const UNREAD: &str = "SELECT count(*) FROM inbox_events WHERE processed_at IS NULL";

/// While thousands of old events come in, all are acknowledged at once and none is read before its answer; the events of
/// orders that are paid meanwhile came last and are read first.
///
/// Covers: fault 35, W-11, I20.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_acknowledged_at_once_and_what_is_new_is_read_before_it() {
    const OLD: i64 = 3_000;
    let app = without_hands().await;
    let mut orders = Vec::new();
    let mut told = Vec::new();
    for _ in 0..5 {
        let order = app.order().await;
        told.extend(paid_at_stripe(&app, &order).await);
        orders.push(order);
    }
    let yesterday = app.now() - 86_400;
    let flood = (0..OLD).map(|n| plain(&format!("evt_old_{n}"), yesterday));
    let mut waits: Vec<Duration> = stream::iter(flood.chain(told.iter().cloned()))
        .map(async |event| {
            let begun = Instant::now();
            assert_eq!(app.deliver(&event).await.status, 200);
            begun.elapsed()
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    waits.sort();
    let (middle, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!("acknowledged within {middle:?}, at worst {worst:?}");
    let all = OLD + i64::try_from(told.len()).unwrap();
    assert_eq!(app.count(UNREAD).await, all, "all of them are stored, and none is read yet");

    let hands = Hands::lend(&app);
    let begun = Instant::now();
    for order in &orders {
        app.until(order, "paid").await;
    }
    let paid = begun.elapsed();
    until_none(&app, "the flood is read", UNREAD).await;
    let before = "SELECT count(*) FROM inbox_events WHERE id LIKE 'evt_old_%' AND processed_at <=
        (SELECT max(processed_at) FROM inbox_events WHERE kind = 'payment_intent.succeeded')";
    let before = app.count(before).await;
    println!("orders paid after {paid:?}, {before} of {OLD} old events were read by then");
    assert!(before < OLD / 3, "{before} old events went first");
    hands.stop().await;
    app.stop().await;
}

/// The process's memory at its highest, in MiB.
fn peak_mib(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Whoever does not know the secret is told so before the database is asked for anything, and what he sent is not kept: the
/// table cannot be touched while they come, and together they send more than the server may hold.
///
/// Covers: fault 61, fault 38, I21.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_forgeries_needs_no_database_and_no_memory() {
    const COUNT: usize = 250;
    let (folder, db) = (tempfile::tempdir().unwrap(), TestDb::new().await);
    let env = [
        ("DATABASE_URL", db.url()),
        ("STRIPE_API_BASE", "http://127.0.0.1:9"),
        ("STRIPE_SECRET_KEY", "sk_test_flood"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_flood"),
        ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("PAYWRIGHT__HTTP__BIND", "127.0.0.1:0"),
        ("PAYWRIGHT__DATABASE__MAX_CONNECTIONS", "3"),
        ("PAYWRIGHT__METRICS__BIND", ""),
    ];
    let mut server = Process::start(folder.path(), &["serve", "--no-worker"], &env);
    let url = format!("http://{}/webhooks/stripe", server.address().await);
    // Each comes by a connection of its own.
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let signed = |secret: &str, id: &str| {
        let mut event = plain(id, 1_780_000_000);
        event["data"]["object"]["description"] = json!("x".repeat(900_000));
        let body = event.to_string().into_bytes();
        let now = UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
        (signature(secret, now, &body), body)
    };
    let send = async |(signature, body): (String, Vec<u8>)| {
        let request = http.post(&url).header("stripe-signature", signature).body(body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(send(signed(WEBHOOK_SECRET, "evt_1")).await, 200);

    let mut aside = PgConnection::connect(db.url()).await.unwrap();
    aside.execute("BEGIN; LOCK TABLE inbox_events, jobs IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let before = peak_mib(&server);
    let begun = Instant::now();
    let forgery = signed("whsec_forged", "evt_2");
    let forged = stream::iter(0..COUNT).map(|_| send(forgery.clone()));
    // Few at a time, so that each is sent within a body's deadline on a busy machine too.
    let answers: Vec<_> = forged.buffer_unordered(8).collect().await;
    assert_eq!(answers, [400; COUNT], "one was accepted, or had to wait for the database");
    let (took, grown) = (begun.elapsed(), peak_mib(&server) - before);
    println!("{COUNT} forgeries of 900 kB in {took:?}, and {grown} MiB more memory");
    assert!(grown < 120, "{grown} MiB for {COUNT} forgeries");
    aside.execute("ROLLBACK").await.unwrap();

    assert_eq!(send(signed(WEBHOOK_SECRET, "evt_2")).await, 200);
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM inbox_events").fetch_one(&mut aside).await.unwrap();
    assert_eq!(stored, 2);
    aside.close().await.unwrap();
    assert!(server.terminate().await.status.success());
}

/// Stripe has our answer before anybody asks Stripe anything, although what it told cannot be understood otherwise: it is
/// told in an old version of the API.
///
/// Covers: W-12, W-5.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_of_stripe_before_its_message_is_acknowledged() {
    let stripe = Relay::start().await;
    let by_relay = |settings: &mut Settings| {
        (settings.worker.webhooks, settings.worker.effects) = (0, 0);
        settings.stripe.api_base = Some(stripe.url.clone());
    };
    let app = TestApp::with(by_relay, false).await;
    stripe.lead_to(&[&app.sandbox.addr().to_string()]);
    let order = app.order().await;
    let told = paid_at_stripe(&app, &order).await;
    stripe.set_trap(Keep::Request, "");
    let mut told = told.into_iter().find(|event| event["type"] == "payment_intent.succeeded").unwrap();
    told["api_version"] = json!("2020-08-27");
    assert_eq!(app.deliver(&told).await.status, 200);
    let asked = tokio::time::timeout(Duration::from_millis(300), stripe.caught()).await;
    assert!(asked.is_err(), "Stripe was asked by who takes its messages");
    // Whoever reads it has to ask.
    let hands = Hands::lend(&app);
    tokio::time::timeout(Duration::from_secs(20), stripe.caught()).await.unwrap();
    assert_eq!(app.show(&order).await["state"], "payment_processing");
    stripe.let_go();
    app.until(&order, "paid").await;
    hands.stop().await;
    app.stop().await;
}

/// A webhook meets a lock that is held for longer than anybody waits: it is not dropped for that, and others go on.
///
/// Covers: W-8, fault 65.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_meets_a_lock_is_read_when_the_lock_is_gone() {
    const PATIENCE: Duration = Duration::from_millis(150);
    let app = without_hands().await;
    let (held, free) = (app.order().await, app.order().await);
    let told = paid_at_stripe(&app, &held).await;
    let mut aside = PgConnection::connect(&app.database_url()).await.unwrap();
    aside
        .execute("BEGIN; SELECT FROM orders JOIN payments ON order_id = orders.id FOR UPDATE")
        .await
        .unwrap();
    for event in &told {
        assert_eq!(app.deliver(event).await.status, 200, "intake does not wait for it");
    }
    let options = PoolOptions { lock_timeout: PATIENCE, ..PoolOptions::default() };
    let store = Postgres::connect(&app.database_url(), options).await.unwrap();
    let hands = Hands::over(&app, store.clone());
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("it meets the lock", async || (app.count(waiting).await > 0).then_some(())).await;
    tokio::time::sleep(PATIENCE * 4).await;
    for event in paid_at_stripe(&app, &free).await {
        assert_eq!(app.deliver(&event).await.status, 200);
    }
    app.until(&free, "paid").await;
    assert_eq!(app.show(&held).await["state"], "payment_processing");
    aside.execute("ROLLBACK").await.unwrap();
    aside.close().await.unwrap();
    app.until(&held, "paid").await;
    until_none(&app, "all is read", UNREAD).await;
    let steps = app.timeline(&held).await;
    let captured = steps.iter().filter(|one| one["subject"] == "order" && one["event"] == "captured");
    assert_eq!(captured.count(), 1);
    hands.stop().await;
    store.close().await;
    app.stop().await;
}

/// An order is there before its money, and stays the same one however its payments end; no event makes another.
///
/// Covers: O-6, O-7, A-1.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_stays_itself_while_a_slow_debit_fails_and_a_card_pays_it() {
    const FAILS_LATER: &str = "AT861904300235473202";
    let app = TestApp::start().await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, FAILS_LATER).await.ok();
    let under_way = app.until_that(&order, |shown| shown["payments"][0]["state"] == "processing").await;
    assert_eq!(
        json!([under_way["state"], under_way["amount_captured"]]),
        json!(["payment_processing", 0]),
        "money that is under way is not here"
    );
    app.advance("72h").await;
    app.until_that(&order, |shown| shown["payments"][0]["state"] != "processing").await;
    assert_eq!(app.show(&order).await["state"], "payment_processing");
    // Somebody else's payment tells of itself.
    let mut foreign = plain("evt_foreign", app.now());
    foreign["type"] = json!("payment_intent.succeeded");
    foreign["data"]["object"] = json!({"id": "pi_foreign", "object": "payment_intent", "status": "succeeded",
        "amount": 100, "amount_received": 100, "currency": "usd", "livemode": false, "metadata": {}});
    app.deliver(&foreign).await.ok();
    let again = app.intent(&order).await;
    app.pay_intent(&again, VISA).await.ok();
    app.until(&order, "paid").await;
    app.quiet().await;
    assert_eq!(app.count("SELECT count(*) FROM orders").await, 1);
    let steps: Vec<_> = app.timeline(&order).await;
    let steps: Vec<_> =
        steps.iter().filter(|one| one["subject"] == "order").map(|one| text(&one["event"])).collect();
    assert_eq!(steps, ["placed", "payment_started", "captured"]);
    app.stop().await;
}

/// The disk is full: nothing is half written, everybody is told to come back, and it goes on by itself.
///
/// Covers: fault 71, I21, I34.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_half_written_and_it_recovers_alone() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    let told = paid_at_stripe(&app, &order).await;
    let product = json!({"name": "Tea", "unit_amount": 500, "currency": "usd"});
    for (code, tables) in [("53100", ["jobs", "products"]), ("53200", ["inbox_events", "products"])] {
        for table in tables {
            refuse_rows(&app, table, code).await;
        }
        let before = app.stored().await;
        let refused = [app.deliver(&told[0]).await, app.post("/v1/products", product.clone()).await];
        for refused in refused {
            assert_eq!(refused.problem(), (503, "unavailable".to_owned()), "{code}");
            assert!(refused.header("retry-after").is_some());
        }
        assert_eq!(app.stored().await, before, "{code}");
        assert_eq!(app.count("SELECT count(*) FROM inbox_events").await, 0, "{code}");
        for table in tables {
            accept_rows(&app, table).await;
        }
    }
    for event in &told {
        app.deliver(event).await.ok();
    }
    app.post("/v1/products", product).await.ok();
    app.until(&order, "paid").await;
    app.stop().await;
}

/// Each row fails as PostgreSQL itself would.
async fn refuse_rows(app: &TestApp, table: &str, code: &str) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '{code}'; END $$;
         CREATE TRIGGER no_space BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION no_space()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(app.app.store.pool()).await.unwrap();
}

async fn accept_rows(app: &TestApp, table: &str) {
    let sql = format!("DROP TRIGGER no_space ON {table}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(app.app.store.pool()).await.unwrap();
}
