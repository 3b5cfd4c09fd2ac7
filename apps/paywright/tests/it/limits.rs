//! Where there is not enough of something: whoever cannot be served is told so soon, and afterwards all goes on.

use std::time::{Duration, Instant};

use futures::future::join_all;
use paywright_postgres::TestDb;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::net::TcpStream;

use crate::{
    process::Process,
    relay::until,
    support::{KEY, TestApp, VISA, WEBHOOK_SECRET, text},
};

/// All connections wait for tables that somebody holds: others are told to come back, in less time than they would wait, and
/// no message of Stripe is acknowledged.
///
/// Covers: fault 70, fault 65, I21, I34.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_connection_requests_are_told_to_come_back() {
    let few = |settings: &mut paywright_app::config::Settings| {
        settings.database.max_connections = 2;
        (settings.worker.webhooks, settings.worker.effects) = (0, 0);
    };
    let app = TestApp::with(few, false).await;
    let order = app.order().await;
    app.pay_intent(&app.intent(&order).await, VISA).await.ok();
    let event = app.stripe("events?limit=1").await["data"][0].clone();
    let mut aside = PgConnection::connect(&app.database_url()).await.unwrap();
    aside.execute("BEGIN; LOCK TABLE products, inbox_events IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let begun = Instant::now();
    let reads = join_all((0..6).map(|_| app.get("/v1/products")));
    let (told, reads) = tokio::join!(app.deliver(&event), reads);
    let took = begun.elapsed();
    for refused in reads.iter().chain([&told]) {
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert!(refused.header("retry-after").is_some(), "{}", refused.text);
    }
    assert!(took < Duration::from_secs(10), "they had to wait for {took:?}");
    aside.execute("ROLLBACK").await.unwrap();
    aside.close().await.unwrap();
    assert_eq!(app.count("SELECT count(*) FROM inbox_events").await, 0);
    app.get("/v1/products").await.ok();
    app.deliver(&event).await.ok();
    assert_eq!(app.count("SELECT count(*) FROM inbox_events").await, 1);
    app.stop().await;
}

/// More connections than the process may have files: it neither dies nor hangs, and serves once some are gone.
///
/// Covers: fault 97 (the part about files).
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_files_serves_again_once_there_are_some() {
    let (folder, db) = (tempfile::tempdir().unwrap(), TestDb::new().await);
    let env = [
        ("DATABASE_URL", db.url()),
        ("STRIPE_API_BASE", "http://127.0.0.1:9"),
        ("STRIPE_SECRET_KEY", "sk_test_limits"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_limits"),
        ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("PAYWRIGHT__HTTP__BIND", "127.0.0.1:0"),
        ("PAYWRIGHT__METRICS__BIND", ""),
    ];
    let mut server = Process::start(folder.path(), &["serve", "--no-worker"], &env);
    let address = server.address().await;
    let limit = tokio::process::Command::new("prlimit")
        .args(["--pid", &server.id().to_string(), "--nofile=64:64"])
        .status();
    assert!(limit.await.unwrap().success());
    let health = async || {
        let asked = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build().unwrap();
        let answer = asked.get(format!("http://{address}/readyz")).send().await.ok()?;
        answer.status().is_success().then_some(())
    };
    until("it is ready", health).await;
    let crowd = join_all((0..150).map(|_| TcpStream::connect(&address))).await;
    assert!(crowd.iter().all(Result::is_ok));
    assert!(health().await.is_none(), "there were files enough");
    drop(crowd);
    let begun = Instant::now();
    until("it is ready again", health).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "after {:?}", begun.elapsed());
    assert!(server.terminate().await.status.success());
}

/// A length that does not fit into what the database's protocol counts with is refused long before it is there.
///
/// Covers: fault 83.
#[tokio::test(flavor = "multi_thread")]
async fn four_gibibytes_are_refused_after_the_first_of_them() {
    let app = TestApp::with(|_| {}, false).await;
    for (path, length) in
        [("/webhooks/stripe", 4_294_967_300), ("/v1/products", 4_294_967_296), ("/v1/orders", u64::MAX >> 1)]
    {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n"
        );
        let bytes = [head.into_bytes(), vec![b'x'; 2 * 1024 * 1024]].concat();
        let answer = app.raw(&bytes, Duration::from_secs(5)).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer:.300}");
    }
    app.stop().await;
}

/// Whatever is made at Stripe says there whose it is, so that each of its messages finds the way back without our memory.
///
/// Covers: W-17.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_made_at_stripe_carries_our_names() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(VISA).await;
    let refund = app.refund(&payment, 500).await.ok();
    app.quiet().await;
    let names = json!({"paywright_order": order, "paywright_payment": payment});
    let holds = |metadata: &serde_json::Value, names: &serde_json::Value| {
        names.as_object().unwrap().iter().all(|(name, value)| &metadata[name] == value)
    };
    let intent = app.intent_of(&payment).await;
    let shown = app.stripe(&format!("payment_intents/{intent}")).await;
    assert!(holds(&shown["metadata"], &names), "{shown:#}");
    let refunds = app.refunds_at_stripe(&payment).await;
    let mut of_refund = names.clone();
    of_refund["paywright_refund"] = refund["id"].clone();
    assert!(holds(&refunds[0]["metadata"], &of_refund), "{refunds:#?}");

    let order = app.order().await;
    let session = app.session(&order).await;
    app.pay_session(&session, VISA).await.ok();
    let paid = app.until(&order, "paid").await;
    let names = json!({"paywright_order": order, "paywright_payment": paid["payments"][0]["id"]});
    let page = app.stripe(&format!("checkout/sessions/{session}")).await;
    assert!(holds(&page["metadata"], &names), "{page:#}");
    let intent = app.stripe(&format!("payment_intents/{}", text(&page["payment_intent"]))).await;
    assert!(holds(&intent["metadata"], &names), "{intent:#}");
    app.stop().await;
}
