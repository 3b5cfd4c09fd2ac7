//! Many at one payment, and Stripe slow: no cent too much, and nobody waits who need not.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::support::{TestApp, VISA, text};

/// Covers: fault 143, I3, R-1, T-9.
#[tokio::test(flavor = "multi_thread")]
async fn of_256_refunds_at_once_as_many_succeed_as_the_payment_has_money() {
    const EACH: u64 = 30;
    let unlimited = |settings: &mut paywright_app::config::Settings| {
        settings.stripe.operations_per_second = 0;
        settings.stripe.operations_per_second_per_endpoint = 0;
        settings.stripe.patience_seconds = 60;
    };
    let app = TestApp::with(unlimited, true).await;
    let (order, payment) = app.paid_by(VISA).await;
    app.quiet().await;
    let replies = join_all((0..256).map(|_| app.refund(&payment, EACH))).await;
    let accepted = replies.iter().filter(|reply| reply.status == 201).count() as u64;
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        assert_eq!(reply.problem(), (409, "refund_exceeds_refundable".to_owned()), "{}", reply.text);
    }
    // Not one too many, and not one too few.
    assert_eq!(accepted, 3998 / EACH, "{accepted} accepted");
    app.quiet().await;
    let shown = app.show(&order).await;
    assert_eq!(
        json!([shown["amount_refunded"], shown["refundable"], shown["state"]]),
        json!([accepted * EACH, 3998 - accepted * EACH, "paid"])
    );
    let refunds = shown["refunds"].as_array().unwrap();
    assert!(refunds.iter().all(|refund| refund["state"] == "succeeded"));
    assert_eq!(refunds.len() as u64, accepted);
    let intent = app.stripe(&format!("payment_intents/{}", app.intent_of(&payment).await)).await;
    let charge = app.stripe(&format!("charges/{}", text(&intent["latest_charge"]))).await;
    assert_eq!(charge["amount_refunded"], accepted * EACH);
    app.refund(&payment, 3998 - accepted * EACH).await.ok();
    app.until(&order, "refunded").await;
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}

/// Whether a session of the program has a transaction open for longer than any statement takes.
async fn long_transactions(to: &mut PgConnection) -> i64 {
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND xact_start < clock_timestamp() - interval '700 milliseconds'";
    sqlx::query_scalar(sql).fetch_one(to).await.unwrap()
}

/// Covers: I29, T-3.
#[tokio::test(flavor = "multi_thread")]
async fn while_stripe_is_slow_two_connections_suffice_for_forty_calls_and_all_reads() {
    let few = |settings: &mut paywright_app::config::Settings| {
        settings.database.max_connections = 2;
        settings.stripe.operations_per_second = 0;
        settings.stripe.operations_per_second_per_endpoint = 0;
        // As for one thread, so that the calls wait and not their threads.
        settings.http.workers = 1;
    };
    let app = TestApp::with(few, true).await;
    let mut paid = Vec::new();
    for _ in 0..20 {
        paid.push(app.paid_by(VISA).await);
    }
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(app.order().await);
    }
    app.quiet().await;
    app.faults(json!({"fault": "delay", "delay": "4s", "method": "POST"})).await;
    let starts = join_all(open.iter().map(|order| app.command(order, "payment-intent", json!({}))));
    let refunds = join_all(paid.iter().map(|(_, payment)| app.refund(payment, 500)));
    let reads = async {
        let mut aside = PgConnection::connect(&app.database_url()).await.unwrap();
        let under_way = "SELECT count(*) FROM gateway_calls WHERE state = 'recorded'";
        let begun = Instant::now();
        while app.count(under_way).await < 40 {
            assert!(begun.elapsed() < Duration::from_secs(4), "the calls did not begin together");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(app.show(&open[0]).await["state"], "payment_processing");
            slowest = slowest.max(begun.elapsed());
            assert_eq!(
                long_transactions(&mut aside).await,
                0,
                "a transaction is open while Stripe is called"
            );
        }
        assert_eq!(app.count(under_way).await, 40, "the calls were over before the reads");
        aside.close().await.unwrap();
        slowest
    };
    let (starts, refunds, slowest) = tokio::join!(starts, refunds, reads);
    assert!(slowest < Duration::from_secs(1), "a read took {slowest:?}");
    let all: Vec<Value> = starts.into_iter().chain(refunds).map(|reply| reply.ok()).collect();
    assert_eq!(all.len(), 40);
    app.no_faults().await;
    app.stop().await;
}
