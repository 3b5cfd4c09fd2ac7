//! `Idempotency-Key`: one request, one execution, one answer.

use std::time::{Duration, Instant};

use futures::future::join_all;
use paywright_domain::Mode;
use paywright_postgres::ApiKeys;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::{KEY, Reply, TestApp, VISA, text};

/// Asserts that `again` is `first` to the letter, told anew.
fn replayed(first: &Reply, again: &Reply) {
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(
        (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
        (None, Some("true"))
    );
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"));
}

/// Everything but idempotency keys and when API keys were used.
async fn stored(app: &TestApp) -> String {
    let stored = app.stored().await;
    stored.rsplit_once(' ').unwrap().0.to_owned()
}

/// Covers: fault 104, fault 105, I17, I30, T-10.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_under_the_same_key_gives_the_same_answer_on_every_route() {
    let app = TestApp::start().await;
    let (product, order, other) = (app.product(1999, "usd").await, app.order().await, app.order().await);
    let (paid, digital) = (app.paid_order().await, app.paid_order().await);
    app.command(&digital, "fulfillment", json!({})).await.ok();
    let (_, held) = app.authorized().await;
    let (_, released) = app.authorized().await;
    let (cancelled, captured) = app.paid_by(VISA).await;
    let failed = app.paid_order().await;
    for order in [&paid, &digital, &cancelled, &failed] {
        app.until_fee(&text(&app.show(order).await["payments"][0]["id"])).await;
    }
    app.quiet().await;
    let at = |order: &str, command: &str| format!("/v1/orders/{order}/{command}");
    let on = |payment: &str, command: &str| format!("/v1/payments/{payment}/{command}");
    let items = json!([{"product": product, "quantity": 2}]);
    let requests = [
        ("/v1/products".to_owned(), json!({"name": "Tea", "unit_amount": 500, "currency": "usd"}), 201),
        (
            "/v1/orders".to_owned(),
            json!({"currency": "usd", "items": items, "customer_email": "a@b.example"}),
            201,
        ),
        (at(&order, "checkout-session"), json!({"success_url": "https://example.org/thanks"}), 200),
        (at(&other, "payment-intent"), json!({}), 200),
        (at(&order, "cancel"), json!({"reason": "duplicate"}), 200),
        (at(&paid, "fulfillment"), json!({}), 200),
        (at(&paid, "ship"), json!({"carrier": "DHL"}), 200),
        (at(&digital, "complete"), json!({}), 200),
        ("/v1/refunds".to_owned(), json!({"payment": captured, "amount": 500, "reason": "goodwill"}), 201),
        (on(&captured, "sync"), json!({}), 200),
        (at(&cancelled, "cancel"), json!({}), 200),
        (at(&failed, "fulfillment/failed"), json!({"reason": "out of stock"}), 200),
        (on(&held, "capture"), json!({"amount": 1000}), 200),
        (on(&released, "void"), json!({}), 200),
        ("/v1/refunds".to_owned(), json!({"payment": captured, "amount": 5000, "reason": "goodwill"}), 409),
        (on(&released, "capture"), json!({}), 409),
        // Refusals by the state are answers too.
        (at(&paid, "fulfillment"), json!({}), 409),
        (at("ord_00000000000000000000000000", "complete"), json!({}), 404),
    ];
    let another = TestApp::over(&app).await;
    for (index, (path, body, status)) in requests.iter().enumerate() {
        let key = format!("key {index}");
        let first = app.post_with_key(path, &key, body.clone()).await;
        assert_eq!(first.status, *status, "{path}: {}", first.text);
        app.quiet().await;
        let before = stored(&app).await;
        replayed(&first, &app.post_with_key(path, &key, body.clone()).await);
        assert_eq!(stored(&app).await, before, "{path} was done twice");
        // So does one after the program has been restarted.
        replayed(&first, &another.post_with_key(path, &key, body.clone()).await);
        for other in [json!({"zzz": 1}), json!({"carrier": "UPS"})] {
            let refused = app.post_with_key(path, &key, other).await;
            assert_eq!(refused.refused(path).0, 422, "{path}");
        }
    }
    // Not only the ones that are wrong by themselves.
    let other = json!({"name": "Coffee", "unit_amount": 500, "currency": "usd"});
    let reused = (422, "idempotency_key_reused".to_owned());
    let before = stored(&app).await;
    assert_eq!(app.post_with_key("/v1/products", "key 0", other).await.problem(), reused);
    assert_eq!(
        app.post_with_key("/v1/products", "key 1", requests[0].1.clone()).await.problem(),
        reused,
        "another route"
    );
    assert_eq!(
        app.post_with_key(&at(&paid, "complete"), "key 7", json!({})).await.problem(),
        reused,
        "another order"
    );
    assert_eq!(stored(&app).await, before);
    another.stop().await;
    app.stop().await;
}

/// Covers: fault 107, I17, T-10. The first run is slower than anybody thought.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_the_lock_ran_out_makes_the_same_refund_and_not_another() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(VISA).await;
    let body = json!({"payment": payment, "amount": 700, "reason": "goodwill"});
    app.faults(json!({"fault": "delay", "delay": "3s", "method": "POST", "path": "/v1/refunds"})).await;
    let repeat = async {
        let begun = "SELECT count(*) FROM refunds";
        while app.count(begun).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let early = app.post_with_key("/v1/refunds", "slow", body.clone()).await;
        assert_eq!(early.problem(), (409, "idempotency_key_in_use".to_owned()));
        assert!(early.header("retry-after").is_some());
        app.by_hand("UPDATE idempotency_keys SET locked_until = now() WHERE key = $1", "slow").await;
        app.post_with_key("/v1/refunds", "slow", body.clone()).await
    };
    let (first, second) = tokio::join!(app.post_with_key("/v1/refunds", "slow", body.clone()), repeat);
    assert_eq!((first.status, second.status), (201, 201), "{} {}", first.text, second.text);
    assert_eq!(first.json()["id"], second.json()["id"]);
    let third = app.post_with_key("/v1/refunds", "slow", body).await;
    assert_eq!(third.header("idempotent-replayed"), Some("true"));
    assert!([&first.text, &second.text].contains(&&third.text), "{}", third.text);
    app.no_faults().await;
    app.until_that(&order, |shown| shown["refunds"][0]["state"] == "succeeded").await;
    assert_eq!(app.refunds_at_stripe(&payment).await.len(), 1);
    assert_eq!(app.show(&order).await["amount_refunded"], 700);
    app.stop().await;
}

/// Covers: fault 100, I17, T-10.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_parallel_refunds_or_captures_under_one_key_move_money_once() {
    let app = TestApp::start().await;
    let (order, payment) = app.paid_by(VISA).await;
    let body = json!({"payment": payment, "amount": 700, "reason": "goodwill"});
    let replies = join_all((0..20).map(|_| app.post_with_key("/v1/refunds", "click", body.clone()))).await;
    let made: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        assert_eq!(reply.problem(), (409, "idempotency_key_in_use".to_owned()));
    }
    assert!(!made.is_empty() && made.iter().all(|reply| reply.text == made[0].text));
    assert_eq!(app.refunds_at_stripe(&payment).await.len(), 1);
    assert_eq!(app.show(&order).await["amount_refunded"], 700);
    let (order, held) = app.authorized().await;
    let path = format!("/v1/payments/{held}/capture");
    let part = json!({"amount": 700});
    let replies = join_all((0..20).map(|_| app.post_with_key(&path, "take", part.clone()))).await;
    assert!(replies.iter().all(|reply| [200, 409].contains(&reply.status)), "{replies:#?}");
    assert_eq!(app.show(&order).await["amount_captured"], 700);
    app.stop().await;
}

/// Covers: I17 (how long an answer is kept).
#[tokio::test(flavor = "multi_thread")]
async fn after_three_days_an_answer_is_forgotten_and_not_before() {
    let app = TestApp::start().await;
    let body = json!({"name": "Tea", "unit_amount": 500, "currency": "usd"});
    let first = app.post_with_key("/v1/products", "old", body.clone()).await;
    let aged = async |hours: &str| {
        let sql = "UPDATE idempotency_keys SET created_at = now() - $1::int * interval '1 hour'";
        app.by_hand(sql, hours).await;
        // One of all programs tidies up, once an hour: a program that begins, if it is due.
        let due = "UPDATE schedules SET due_at = now(), last_finished_at = NULL WHERE name = $1";
        app.by_hand(due, "housekeeping").await;
        let other = TestApp::over(&app).await;
        let done =
            "SELECT count(*) FROM schedules WHERE name = 'housekeeping' AND last_finished_at IS NOT NULL";
        let begun = Instant::now();
        while app.count(done).await == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody tidies up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        other.stop().await;
    };
    aged("71").await;
    replayed(&first, &app.post_with_key("/v1/products", "old", body.clone()).await);
    aged("73").await;
    let anew = app.post_with_key("/v1/products", "old", body).await;
    assert_eq!((anew.status, anew.header("idempotent-replayed")), (201, None));
    assert_ne!(anew.json()["id"], first.json()["id"]);
    app.stop().await;
}

/// Covers: I31, S-2.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_secret_is_answered_again_but_stored_nowhere() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let path = format!("/v1/orders/{order}/payment-intent");
    let first = app.post_with_key(&path, "secret", json!({})).await;
    let secret = text(&first.json()["client_secret"]);
    assert!(secret.contains("_secret_"), "{secret}");
    let again = app.post_with_key(&path, "secret", json!({})).await;
    assert_eq!((again.json(), again.header("idempotent-replayed")), (first.json(), Some("true")));
    let tail = secret.split_once("_secret_").unwrap().1;
    for sql in [
        "SELECT t::text || convert_from(body, 'UTF8') FROM idempotency_keys t WHERE $1 <> ''",
        "SELECT t::text FROM gateway_calls t WHERE $1 <> ''",
        "SELECT t::text FROM payments t WHERE $1 <> ''",
        "SELECT t::text FROM order_transitions t WHERE $1 <> ''",
        "SELECT t::text FROM jobs t WHERE $1 <> ''",
    ] {
        let rows = app.texts(sql, "x").await;
        assert!(!rows.is_empty() && rows.iter().all(|row| !row.contains(tail)), "{sql}");
    }
    app.stop().await;
}

/// Covers: fault 105.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_one_api_key_is_nothing_to_another() {
    let app = TestApp::start().await;
    let keys = ApiKeys::new(&app.app.store);
    let all = ["*".to_owned()];
    let (_, one) = keys.create("one", Mode::Test, &all, [1; 32]).await.unwrap();
    let (_, two) = keys.create("two", Mode::Test, &all, [2; 32]).await.unwrap();
    let send = async |secret: &secrecy::SecretString, name: &str| {
        let body = json!({"name": name, "unit_amount": 500, "currency": "usd"});
        let request = app.bare("POST", "/v1/products").bearer_auth(secret.expose_secret());
        app.send(request.header("idempotency-key", "the same").json(&body)).await
    };
    let (first, second) = (send(&one, "Tea").await, send(&two, "Coffee").await);
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!((&first.json()["name"], &second.json()["name"]), (&json!("Tea"), &json!("Coffee")));
    replayed(&first, &send(&one, "Tea").await);
    replayed(&second, &send(&two, "Coffee").await);
    assert_eq!(app.count("SELECT count(*) FROM products").await, 2);
    app.stop().await;
}

/// Covers: fault 100, fault 107, D-2.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_parallel_requests_under_one_key_place_one_order() {
    let app = TestApp::start().await;
    let product = app.product(1999, "usd").await;
    let body = json!({"currency": "usd", "items": [{"product": product, "quantity": 1}]});
    let replies =
        join_all((0..20).map(|_| app.post_with_key("/v1/orders", "double click", body.clone()))).await;
    let placed: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert!(!placed.is_empty());
    for reply in &replies {
        if reply.status == 201 {
            assert_eq!(reply.text, placed[0].text);
        } else {
            assert_eq!(reply.problem(), (409, "idempotency_key_in_use".to_owned()));
            assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        }
    }
    assert_eq!(placed.iter().filter(|reply| reply.header("idempotent-replayed").is_none()).count(), 1);
    let again = app.post_with_key("/v1/orders", "double click", body.clone()).await;
    assert_eq!((again.status, &again.text), (201, &placed[0].text));
    assert_eq!(app.count("SELECT count(*) FROM orders").await, 1);
    // Without a key each request is one of its own.
    let (one, two) = tokio::join!(app.post("/v1/orders", body.clone()), app.post("/v1/orders", body));
    assert_ne!(one.ok()["id"], two.ok()["id"]);
    assert_eq!(app.count("SELECT count(*) FROM orders").await, 3);
    app.stop().await;
}

/// Covers: I17.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_leaves_its_key_free_for_the_corrected_one() {
    let app = TestApp::start().await;
    let (product, cheap) = (app.product(1999, "usd").await, app.product(1, "usd").await);
    let order = |product: &str, quantity: Value| json!({"currency": "usd", "items": [{"product": product, "quantity": quantity}]});
    for wrong in [order(&product, json!(0)), order(&product, json!("1")), order(&cheap, json!(1)), json!({})]
    {
        assert_eq!(app.post_with_key("/v1/orders", "mended", wrong).await.refused("wrong").0, 422);
    }
    let placed = app.post_with_key("/v1/orders", "mended", order(&product, json!(1))).await;
    assert_eq!((placed.status, placed.header("idempotent-replayed")), (201, None));
    assert_eq!(app.count("SELECT count(*) FROM orders").await, 1);
    app.stop().await;
}

/// Covers: I17.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_may_change_by_itself_is_not_bound_to_the_key() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let path = format!("/v1/orders/{order}/ship");
    let body = json!({"carrier": "DHL"});
    let refused = app.post_with_key(&path, "early", body.clone()).await;
    assert_eq!(refused.problem(), (409, "illegal_transition".to_owned()));
    let again = app.post_with_key(&path, "early", body.clone()).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (409, Some("true")),
        "a decision is bound"
    );
    // The database away is no decision.
    app.app.store.close().await;
    assert_eq!(
        app.post_with_key(&path, "later", body.clone()).await.problem(),
        (503, "unavailable".to_owned())
    );
    let other = TestApp::over(&app).await;
    assert_eq!(other.post_with_key(&path, "later", body).await.header("idempotent-replayed"), None);
    other.stop().await;
    app.stop().await;
}

/// Covers: fault 125, D-2.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_began_before_it_hung_up_is_found_by_its_repeat() {
    let app = TestApp::start().await;
    let product = app.product(1999, "usd").await;
    let new = json!({"currency": "usd", "items": [{"product": product, "quantity": 1}]});
    let placed = app.order().await;
    let paths = [("/v1/orders".to_owned(), new), (format!("/v1/orders/{placed}/payment-intent"), json!({}))];
    for (path, body) in paths {
        for turn in 0..8 {
            let (key, text) = (format!("{turn} {path}"), body.to_string());
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nidempotency-key: {key}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            );
            let mut connection = app.connect().await;
            connection.write_all(request.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(turn * 3)).await;
            drop(connection);
            let mut reply = app.post_with_key(&path, &key, body.clone()).await;
            while reply.status == 409 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                reply = app.post_with_key(&path, &key, body.clone()).await;
            }
            reply.ok();
        }
    }
    assert_eq!(app.count("SELECT count(*) FROM orders").await, 1 + 8);
    assert_eq!(app.at_stripe_of("payment_intents", &placed).await.len(), 1);
    app.stop().await;
}
