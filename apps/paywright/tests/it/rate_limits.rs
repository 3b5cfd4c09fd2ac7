//! Whoever tests stolen cards, or guesses keys, is stopped; and nobody else notices.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use paywright_app::{
    config::{OnManyDeclines, Settings},
    doctor::{self, Grade},
};
use paywright_domain::Quota;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::{
    relay::until,
    support::{DECLINED, KEY, Reply, TestApp, VISA, text},
};

fn quota(text: &str) -> Option<Quota> {
    Some(text.parse().unwrap())
}

/// The button of an order's page, pressed by a browser behind our proxy.
async fn press(app: &TestApp, order: &str, forwarded: &str) -> Reply {
    let url = text(&app.show(order).await["checkout_url"]).replace(&app.app.public_url, &app.url);
    app.send(app.http.post(format!("{url}/pay")).header("x-forwarded-for", forwarded)).await
}

/// Asks for an intent in a shopper's place.
async fn ask(app: &TestApp, order: &str, shopper: &str) -> Reply {
    app.command(order, "payment-intent", json!({"shopper_address": shopper})).await
}

async fn orders(app: &TestApp, count: usize) -> Vec<String> {
    let product = app.product(1999, "usd").await;
    let place = async |_| {
        let items = json!([{"product": product, "quantity": 2}]);
        text(&app.post("/v1/orders", json!({"currency": "usd", "items": items})).await.ok()["id"])
    };
    join_all((0..count).map(place)).await
}

/// How many of each status there are.
fn statuses(replies: &[Reply]) -> BTreeMap<u16, usize> {
    replies.iter().fold(BTreeMap::new(), |mut counts, reply| {
        *counts.entry(reply.status).or_default() += 1;
        counts
    })
}

async fn at_stripe(app: &TestApp, list: &str) -> usize {
    let listed = app.stripe(&format!("{list}?limit=100")).await;
    assert_eq!(listed["has_more"], false, "more than a page of {list}");
    listed["data"].as_array().unwrap().len()
}

/// Asserts that a request was refused by a rule, and returns the seconds that it is to wait.
fn refused(reply: &Reply, rule: &str) -> u64 {
    assert_eq!(reply.problem(), (429, "rate_limited".to_owned()), "{}", reply.text);
    let policy = reply.header("ratelimit-policy").unwrap();
    assert!(policy.starts_with(&format!("\"{rule}\";q=")), "{policy}");
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(reply.header("ratelimit"), Some(&*format!("\"{rule}\";r=0;t={wait}")));
    assert!(wait >= 1);
    wait
}

/// From one address, by the pages and by the API, over many orders at once: no more objects at Stripe than allowed, words
/// for the shopper, and others pay as ever.
///
/// Covers: fault 121, S-4.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_attempts_from_one_address_ends_at_the_limit() {
    let few = |settings: &mut Settings| settings.limits.payments_per_address = quota("5/1h");
    let app = TestApp::with(few, true).await;
    let all = orders(&app, 60).await;
    let replies = join_all(all.iter().map(|order| press(&app, order, "203.0.113.1"))).await;
    assert_eq!(statuses(&replies), [(303, 5), (429, 55)].into());
    assert_eq!(at_stripe(&app, "checkout/sessions").await, 5);
    let page = replies.iter().find(|reply| reply.status == 429).unwrap();
    assert!(page.header("content-type").unwrap().starts_with("text/html"), "{}", page.text);
    assert!(page.text.contains("too many attempts to pay. Nothing was charged."), "{}", page.text);
    assert!(page.header("retry-after").is_some());

    let replies = join_all(all.iter().map(|order| ask(&app, order, "203.0.113.2"))).await;
    // Of those that have a page, it is ended first.
    let admitted = replies.iter().filter(|reply| reply.status != 429).count();
    assert_eq!(admitted, 5, "{:?}", statuses(&replies));
    refused(replies.iter().find(|reply| reply.status == 429).unwrap(), "payments_per_address");
    assert!(at_stripe(&app, "payment_intents").await <= 10);

    let good = app.order().await;
    assert_eq!(press(&app, &good, "203.0.113.3").await.status, 303, "somebody else is not affected");
    let intent = app.intent(&app.order().await).await;
    app.pay_intent(&intent, VISA).await.ok();
    app.stop().await;
}

/// Covers: fault 121.
#[tokio::test(flavor = "multi_thread")]
async fn two_servers_count_together() {
    let few = |settings: &mut Settings| settings.limits.payments_per_address = quota("6/1h");
    let one = TestApp::with(few, true).await;
    let other = TestApp::over(&one).await;
    let all = orders(&one, 24).await;
    let both = all.iter().enumerate().map(|(n, order)| {
        let app = if n % 2 == 0 { &one } else { &other };
        async move { ask(app, order, "203.0.113.1").await }
    });
    assert_eq!(statuses(&join_all(both).await), [(200, 6), (429, 18)].into());
    assert_eq!(at_stripe(&one, "payment_intents").await, 6);
    other.stop().await;
    one.stop().await;
}

/// What a client says of itself changes nothing; what a declared proxy says of it counts, and nothing that stands before it.
/// A network of IPv6 is one.
///
/// Covers: fault 121 (the part about addresses).
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_believed_from_declared_proxies_alone() {
    let few = |settings: &mut Settings| settings.limits.payments_per_address = quota("2/1h");
    let no_proxy = |settings: &mut Settings| {
        few(settings);
        settings.http.trusted_proxies = Vec::new();
    };
    let app = TestApp::with(no_proxy, false).await;
    let order = app.order().await;
    let mut replies = Vec::new();
    for n in 0..6 {
        replies.push(press(&app, &order, &format!("203.0.113.{n}")).await);
    }
    assert_eq!(statuses(&replies), [(303, 2), (429, 4)].into(), "forged addresses are the peer's");
    app.stop().await;

    let app = TestApp::with(few, false).await;
    let order = app.order().await;
    for (forwarded, admitted) in [
        ("9.9.9.1, 203.0.113.1", true),
        ("9.9.9.2, 203.0.113.1, 127.0.0.9", true),
        ("9.9.9.3, 203.0.113.1", false),
        ("203.0.113.1, 203.0.113.2", true),
        ("2001:db8:0:1::1", true),
        ("[2001:db8:0:1::2]:4711", true),
        ("2001:db8:0:1:ffff::3", false),
        ("2001:db8:0:2::1", true),
    ] {
        let status = press(&app, &order, forwarded).await.status;
        assert_eq!(status, if admitted { 303 } else { 429 }, "{forwarded}");
    }
    let reply = ask(&app, &order, "203.0.113.1; DROP TABLE orders").await;
    assert_eq!(reply.field("an address that is none"), "shopper_address");
    app.stop().await;
}

/// Whoever waits as long as they are told is admitted; a refused request used up neither its quota nor its idempotency key.
///
/// Covers: fault 121.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_as_told_helps_and_a_repeated_request_counts_once() {
    let few = |settings: &mut Settings| settings.limits.payments_per_address = quota("2/6s");
    let app = TestApp::with(few, false).await;
    let all = orders(&app, 3).await;
    let post = async |order: &str, key: &str| {
        let path = format!("/v1/orders/{order}/payment-intent");
        app.post_with_key(&path, key, json!({"shopper_address": "203.0.113.1"})).await
    };
    for _ in 0..4 {
        assert_eq!(
            post(&all[0], "first").await.status,
            200,
            "a repeated request is answered, and not counted again"
        );
    }
    assert_eq!(post(&all[1], "second").await.status, 200);
    let wait = refused(&post(&all[2], "third").await, "payments_per_address");
    assert!(wait <= 3, "{wait}");
    refused(&post(&all[2], "third").await, "payments_per_address");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(post(&all[2], "third").await.status, 200, "after {wait} s");
    app.stop().await;
}

/// Declines on one order, and of one customer; and payments that are made for one order, again and again.
///
/// Covers: fault 121, S-4.
#[tokio::test(flavor = "multi_thread")]
async fn declines_and_payments_of_an_order_are_limited() {
    let few = |settings: &mut Settings| {
        settings.limits.declines_per_order = quota("3/1h");
        settings.limits.declines_per_customer = quota("4/1h");
        settings.limits.payments_per_order = quota("3/1h");
    };
    let app = TestApp::with(few, true).await;
    // `order` is of a customer; so is the next.
    let (order, next) = (app.order().await, app.order().await);
    let decline = async |order: &str, times: usize| {
        let intent = app.intent(order).await;
        for _ in 0..times {
            app.pay_intent(&intent, DECLINED).await;
        }
        let told = |shown: &serde_json::Value| {
            shown["payments"][0]["declines"].as_array().is_some_and(|all| all.len() == times)
        };
        app.until_that(order, told).await;
    };
    decline(&order, 3).await;
    refused(&app.command(&order, "payment-intent", json!({})).await, "declines_per_order");
    refused(&app.command(&order, "checkout-session", json!({})).await, "declines_per_order");
    decline(&next, 1).await;
    refused(&app.command(&next, "payment-intent", json!({})).await, "declines_per_customer");

    let [order] = &orders(&app, 1).await[..] else { unreachable!() };
    for command in ["payment-intent", "checkout-session", "payment-intent"] {
        app.command(order, command, json!({})).await.ok();
    }
    refused(&app.command(order, "checkout-session", json!({})).await, "payments_per_order");
    app.stop().await;
}

/// So many declines that somebody must be testing cards: no payment is started, there is an alert, and it ends by itself.
///
/// Covers: fault 121, S-4.
#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_opens_alerts_and_closes_by_itself() {
    let refuse = |settings: &mut Settings| {
        settings.limits.breaker = OnManyDeclines::Refuse;
        settings.limits.breaker_declines = "4/12s".parse().unwrap();
    };
    let app = TestApp::with(refuse, true).await;
    let is_open = || app.app.gate.seen().is_some_and(|seen| seen.is_open);
    let alarmed = async || {
        let mut settings = app.app.settings.clone();
        settings.database.url = Some(app.database_url().into());
        let checks = doctor::examine(&settings).await;
        checks.iter().find(|check| check.name == "declines").unwrap().grade == Grade::Fail
    };
    let order = app.order().await;
    let intent = app.intent(&order).await;
    for _ in 0..3 {
        app.pay_intent(&intent, DECLINED).await;
    }
    let three = "SELECT count(*) FROM payment_declines";
    until("three are declined", async || (app.count(three).await == 3).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!is_open() && !alarmed().await, "not enough");
    app.pay_intent(&intent, DECLINED).await;
    until("it is open", async || is_open().then_some(())).await;
    assert!(alarmed().await, "`doctor` says so");
    let reply = app.command(&order, "payment-intent", json!({})).await;
    assert_eq!(reply.problem(), (503, "payments_paused".to_owned()));
    let page = press(&app, &order, "203.0.113.1").await;
    assert_eq!(page.status, 503);
    assert!(page.text.contains("No payments can be taken just now. Nothing was charged."), "{}", page.text);
    app.get(&format!("/v1/orders/{order}")).await.ok();
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=15).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_secs(wait + 1)).await;
    assert!(!is_open(), "it closed by itself");
    app.command(&order, "payment-intent", json!({})).await.ok();
    app.stop().await;
}

/// By default shoppers keep a fifth of their limits, so that most of them can still pay.
///
/// Covers: fault 121.
#[tokio::test(flavor = "multi_thread")]
async fn many_declines_tighten_the_limits_of_shoppers() {
    let tighten = |settings: &mut Settings| {
        settings.limits.payments_per_address = quota("10/1h");
        settings.limits.breaker_declines = "4/10m".parse().unwrap();
    };
    let app = TestApp::with(tighten, true).await;
    let all = orders(&app, 6).await;
    let intent = app.intent(&app.order().await).await;
    for _ in 0..4 {
        app.pay_intent(&intent, DECLINED).await;
    }
    until("it is open", async || app.app.gate.seen()?.is_open.then_some(())).await;
    let mut replies = Vec::new();
    for order in &all {
        replies.push(ask(&app, order, "203.0.113.1").await);
    }
    assert_eq!(statuses(&replies), [(200, 2), (429, 4)].into());
    assert_eq!(ask(&app, &all[5], "203.0.113.2").await.status, 200);
    app.stop().await;
}

/// What cannot be counted is not let through; reads and Stripe's messages are not counted.
///
/// Covers: I34.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_store_no_payment_is_started_and_all_else_goes_on() {
    let usual = |settings: &mut Settings| settings.limits = Settings::defaults().limits;
    let app = TestApp::with(usual, true).await;
    let (order, open) = (app.order().await, app.order().await);
    let intent = app.intent(&open).await;
    let mut aside = PgConnection::connect(&app.database_url()).await.unwrap();
    aside.execute("BEGIN; LOCK TABLE limit_meters, payment_origins IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (by_api, by_page) =
        tokio::join!(ask(&app, &order, "203.0.113.1"), press(&app, &order, "203.0.113.1"));
    assert_eq!(by_api.problem(), (503, "unavailable".to_owned()));
    assert!(by_api.header("retry-after").is_some());
    assert_eq!(by_page.status, 503);
    assert_eq!(at_stripe(&app, "checkout/sessions").await, 0);
    assert_eq!(at_stripe(&app, "payment_intents").await, 1);
    app.pay_intent(&intent, VISA).await.ok();
    app.until(&open, "paid").await;
    aside.execute("ROLLBACK").await.unwrap();
    aside.close().await.unwrap();
    assert_eq!(ask(&app, &order, "203.0.113.1").await.status, 200);
    app.stop().await;
}

/// Guessing ends soon; whoever has a right key is served, from the same address too, and nobody can lock them out.
///
/// Covers: fault 130.
#[tokio::test(flavor = "multi_thread")]
async fn guessing_keys_is_refused_and_a_right_key_never_is() {
    let few = |settings: &mut Settings| settings.limits.bad_keys_per_address = quota("5/1h");
    let app = TestApp::with(few, false).await;
    let order = app.order().await;
    let with = async |key: &str, address: &str| {
        let request = app.bare("GET", &format!("/v1/orders/{order}")).header("x-forwarded-for", address);
        app.send(request.bearer_auth(key)).await
    };
    let mut replies = Vec::new();
    for n in 0..9 {
        let prefix = if n % 2 == 0 { "pw_test_" } else { "pw_live_" };
        replies.push(with(&format!("{prefix}{n:064}"), "203.0.113.1").await);
    }
    assert_eq!(statuses(&replies), [(401, 5), (429, 4)].into());
    refused(&replies[8], "bad_keys_per_address");
    assert_eq!(with("pw_test_wrong", "203.0.113.2").await.status, 401, "somebody else may err");
    for address in ["203.0.113.1", "203.0.113.2"] {
        assert_eq!(with(KEY, address).await.status, 200, "{address}");
    }
    app.stop().await;
}
