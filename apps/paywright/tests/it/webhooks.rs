//! Stripe's events: forged ones are refused, true ones are never lost and have one effect, whatever way they come.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{DECLINED, Reply, TestApp, VISA, WEBHOOK_SECRET, signature, text, v1};

/// Events as Stripe keeps them, the oldest first.
async fn events(app: &TestApp) -> Vec<Value> {
    let listed = app.stripe("events?limit=100").await;
    assert_eq!(listed["has_more"], false);
    let mut events = listed["data"].as_array().unwrap().clone();
    events.reverse();
    events
}

/// Those that are about an order.
async fn events_of(app: &TestApp, order: &str) -> Vec<Value> {
    let about = |event: &Value| event["data"]["object"].to_string().contains(order);
    events(app).await.into_iter().filter(about).collect()
}

fn find(events: &[Value], kind: &str) -> Value {
    let found = events.iter().find(|event| event["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} among {} events", events.len())).clone()
}

/// An event of no consequence.
fn plain(id: &str) -> Value {
    json!({
        "id": id, "object": "event", "type": "customer.created", "created": 1_780_000_000, "livemode": false,
        "api_version": "2026-07-29.dahlia", "data": {"object": {"id": "cus_1", "object": "customer"}}
    })
}

fn received(reply: &Reply) {
    assert_eq!((reply.status, reply.json()), (200, json!({"received": true})));
}

/// How an event's job ended, and why: `done`, `dead`, or `ready` as long as it is tried again.
async fn ended(app: &TestApp, event: &str) -> String {
    let begun = Instant::now();
    let sql = "SELECT concat_ws(': ', j.state, coalesce(j.last_error, j.conclusion, e.outcome, e.ignored))
               FROM inbox_events e LEFT JOIN jobs j ON j.payload = e.id AND j.kind = 'read_event'
               WHERE e.id = $1 AND (j.id IS NULL OR j.state <> 'ready' OR j.last_error IS NOT NULL)";
    loop {
        if let [ended] = &app.texts(sql, event).await[..] {
            return ended.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{event} is not read");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Covers: fault 31, fault 37, I20, D-12.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_of_one_event_at_once_have_one_effect() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    app.pay_intent(&app.intent(&order).await, VISA).await.ok();
    let event = find(&events_of(&app, &order).await, "payment_intent.succeeded");
    join_all((0..50).map(|_| app.deliver(&event))).await.iter().for_each(received);
    app.until(&order, "paid").await;
    app.quiet().await;
    assert_eq!(app.count("SELECT count(*) FROM inbox_events").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'read_event'").await, 1);
    let before = app.show(&order).await;
    received(&app.deliver(&event).await);
    app.quiet().await;
    assert_eq!(app.show(&order).await, before);
    let is_capture = |entry: &&Value| entry["subject"] == "order" && entry["event"] == "captured";
    assert_eq!(app.timeline(&order).await.iter().filter(is_capture).count(), 1);
    app.stop().await;
}

/// Covers: fault 38, fault 39, I21, I6.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_event_is_refused_and_leaves_nothing() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    app.pay_intent(&app.intent(&order).await, VISA).await.ok();
    let body = find(&events_of(&app, &order).await, "payment_intent.succeeded").to_string().into_bytes();
    let now = app.now();
    let good = v1(WEBHOOK_SECRET, now, &body);
    let signed = |at: i64| signature(WEBHOOK_SECRET, at, &body);
    let forged = [
        None,
        Some(String::new()),
        Some("   ".to_owned()),
        Some("garbage".to_owned()),
        Some("t=,v1=".to_owned()),
        Some(format!("t={now}")),
        Some(format!("v1={good}")),
        Some(format!("t={now},v0={good}")),
        Some(format!("t={now},v2={good}")),
        Some(format!("t={now},V1={good}")),
        Some(format!("t={now},v1={}", &good[..62])),
        Some(format!("t={now},v1={}", &good[..32])),
        Some(format!("t={now},v1={good}00")),
        Some(format!("t={now},v1=zz{}", &good[2..])),
        Some(format!("t={now},v1= {good}")),
        Some(format!("t={now},v1=")),
        Some(format!("t={now},t={now},v1={good}")),
        Some(format!("t=-{now},v1={good}")),
        Some(format!("t=+{now},v1={good}")),
        Some(format!("t={now}0,v1={good}")),
        Some(format!("t=99999999999999999999,v1={good}")),
        Some(format!("t={},v1={good}", now - 1)),
        Some(format!("t={now};v1={good}")),
        Some(format!("t={now},{}v1={good}", "v1=00,".repeat(2_000))),
        Some(signature("whsec_other", now, &body)),
        Some(signature("", now, &body)),
        Some(signature("integration", now, &body)),
        Some(signature(WEBHOOK_SECRET, now, &body[1..])),
        Some(signed(now - 302)),
        Some(signed(now + 310)),
        Some(signed(0)),
        Some(signed(i64::MAX)),
    ];
    for header in &forged {
        let what = format!("{:.120}", format!("{header:?}"));
        let refused = app.webhook(header.as_deref(), body.clone()).await;
        assert_eq!(refused.refused(&what), (400, "bad_signature".to_owned()), "{what}");
    }
    // Every single bit counts.
    let mut tampered = body.clone();
    *tampered.last_mut().unwrap() ^= 1;
    assert_eq!(app.webhook(Some(&signed(now)), tampered).await.refused("tampered").0, 400);
    assert_eq!(app.count("SELECT count(*) FROM inbox_events").await, 0);
    assert_eq!(app.show(&order).await["state"], "payment_processing");
    // The same bytes, well signed, within the tolerance.
    received(&app.webhook(Some(&signed(now - 280)), body.clone()).await);
    app.until(&order, "paid").await;
    app.stop().await;
}

/// Covers: fault 41, fault 42, W-19, W-20.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_secret_is_rolled_both_are_taken_and_afterwards_only_the_new_one() {
    let rolling = "whsec_new_secret, whsec_old_secret";
    let (app, rolled) = tokio::join!(
        TestApp::with(
            |settings| settings.stripe.test.webhook_secret = Some(rolling.to_owned().into()),
            false
        ),
        TestApp::with(
            |settings| settings.stripe.test.webhook_secret = Some("whsec_new_secret".to_owned().into()),
            false
        ),
    );
    let now = app.now();
    let body = plain("evt_roll").to_string().into_bytes();
    let (new, old) = (v1("whsec_new_secret", now, &body), v1("whsec_old_secret", now, &body));
    let zeros = "0".repeat(64);
    let headers = [
        (format!("t={now},v1={new}"), true),
        (format!("t={now},v1={old}"), false),
        (format!("t={now},v1={zeros},v1={new}"), true),
        (format!("t={now},v1={zeros},v1={old}"), false),
        (format!("t={now},v1=nothex,v1={new},v0={zeros}"), true),
        (format!("v1={old},v1={new},t={now},v9=x,scheme"), true),
        (format!("t={now},v1={zeros}"), false),
    ];
    for (header, by_the_new_one) in &headers {
        let known = header.contains(&new) || header.contains(&old);
        assert_eq!(
            app.webhook(Some(header), body.clone()).await.status,
            if known { 200 } else { 400 },
            "{header}"
        );
        let status = rolled.webhook(Some(header), body.clone()).await.status;
        assert_eq!(status, if *by_the_new_one { 200 } else { 400 }, "after the roll: {header}");
    }
    app.stop().await;
    rolled.stop().await;
}

/// Covers: fault 45.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_may_have_a_mebibyte_and_no_more() {
    let app = TestApp::with(|_| {}, false).await;
    let padded = |size: usize| {
        let mut event = plain(&format!("evt_{size}"));
        event["padding"] = json!("x".repeat(size));
        event
    };
    received(&app.deliver(&padded(1_000_000)).await);
    let refused = app.deliver(&padded(1_100_000)).await;
    assert_eq!(refused.refused("1.1 MB"), (413, "body_too_large".to_owned()));
    assert!(ended(&app, "evt_1000000").await.starts_with("done"));
    assert_eq!(app.count("SELECT count(*) FROM inbox_events").await, 1);
    app.stop().await;
}

/// Covers: fault 50, fault 51, fault 52, I23, A-4, S-1, W-18 (a server has one account).
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_for_us_or_not_known_is_stored_and_read_to_the_end() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    app.pay_intent(&app.intent(&order).await, VISA).await.ok();
    let real = find(&events_of(&app, &order).await, "payment_intent.succeeded");
    let changed = |id: &str, change: &dyn Fn(&mut Value)| {
        let mut event = real.clone();
        event["id"] = json!(id);
        change(&mut event);
        event
    };
    let stranger = |event: &mut Value| {
        event["data"]["object"]["metadata"] = json!({});
        event["data"]["object"]["id"] = json!("pi_of_somebody_else");
    };
    let thin = json!({
        "id": "evt_thin", "object": "v2.core.event", "type": "v1.payment_intent.succeeded", "livemode": false,
        "created": "2026-11-21T10:00:00.000Z", "related_object": {"id": "pi_1", "type": "payment_intent", "url": "/x"}
    });
    let told = [
        (changed("evt_live", &|event| event["livemode"] = json!(true)), "ignored"),
        (changed("evt_connect", &|event| event["account"] = json!("acct_1")), "ignored"),
        (changed("evt_type", &|event| event["type"] = json!("moon.landed")), "read"),
        (
            changed("evt_object", &|event| event["data"]["object"] = json!({"object": "moon", "phase": [1]})),
            "read",
        ),
        (changed("evt_no_id", &|event| event["data"]["object"] = json!({"object": "balance"})), "read"),
        (changed("evt_stranger", &stranger), "read"),
        (thin, "read"),
        (plain("evt_new_field"), "read"),
    ];
    for (event, _) in &told {
        received(&app.deliver(event).await);
    }
    for (event, fate) in &told {
        let (id, ended) = (text(&event["id"]), ended(&app, &text(&event["id"])).await);
        assert_eq!(ended.starts_with("done"), *fate == "read", "{id}: {ended}");
        let ignored = app.texts("SELECT coalesce(ignored, '') FROM inbox_events WHERE id = $1", &id).await;
        assert_eq!(ignored[0].is_empty(), *fate == "read", "{id}: {ignored:?}");
    }
    assert_eq!(app.show(&order).await["state"], "payment_processing");

    // A status that nobody knows yet: kept, never a crash, and it moves nothing.
    let unknown = changed("evt_enum", &|event| {
        event["type"] = json!("payment_intent.updated");
        event["data"]["object"]["status"] = json!("teleported");
    });
    received(&app.deliver(&unknown).await);
    ended(&app, "evt_enum").await;
    received(&app.deliver(&real).await);
    app.until(&order, "paid").await;
    app.stop().await;
}

/// Covers: fault 48, fault 59, I20, T-5, W-5.
#[tokio::test(flavor = "multi_thread")]
async fn signed_bytes_that_nobody_can_read_are_kept_as_dead_and_block_nobody() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    app.pay_intent(&app.intent(&order).await, VISA).await.ok();
    let real = find(&events_of(&app, &order).await, "payment_intent.succeeded");
    let mut hollow = real.clone();
    (hollow["id"], hollow["data"]["object"]) = (json!("evt_hollow"), json!({"object": "payment_intent"}));
    let mut bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"not JSON".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"null".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        "[".repeat(100_000).into_bytes(),
        br#"{"id": "evt_\u0000", "object": "event", "type": "x", "created": 1, "livemode": false}"#.to_vec(),
        br#"{"id": 5, "object": "event", "type": "x", "created": 1, "livemode": false}"#.to_vec(),
        br#"{"id": "evt_far", "object": "event", "type": "x", "created": 9223372036854775807, "livemode": false}"#.to_vec(),
        br#"{"id": "evt_mode", "object": "event", "type": "x", "created": 1, "livemode": "yes"}"#.to_vec(),
        format!(r#"{{"id": "{}", "object": "event", "type": "x", "created": 1, "livemode": false}}"#, "x".repeat(10_000)).into_bytes(),
        hollow.to_string().into_bytes(),
    ];
    // What jsonb would refuse is stored to the letter.
    let strange = br#"{ "id":"evt_nul","object":"event","type":"x.y","created":1,"livemode":false,"b":1,"a":"\u0000\ud83d\ude00",
        "data":{"object":{"id":"x\u0000","object":"y"}} }"#;
    let unreadable = bodies.len();
    bodies.push(strange.to_vec());
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let envelope = r#""object": "event", "type": "x.y", "created": 1, "livemode": false"#;
    bodies.push(
        format!(r#"{{"id": "evt_deep", {envelope}, "data": {{"object": {{"a": {deep}}}}}}}"#).into_bytes(),
    );
    for body in &bodies {
        received(&app.deliver_bytes(body.clone()).await);
        received(&app.deliver_bytes(body.clone()).await);
    }
    received(&app.deliver(&real).await);
    app.until(&order, "paid").await;
    app.quiet().await;
    assert_eq!(
        app.count("SELECT count(*) FROM inbox_events").await,
        i64::try_from(bodies.len()).unwrap() + 1
    );
    let dead = app.texts("SELECT last_error FROM jobs WHERE state = $1", "dead").await;
    assert_eq!(dead.len(), unreadable, "{dead:#?}");
    assert!(dead.iter().all(|error| !error.is_empty()));
    let kept: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT body FROM inbox_events").fetch_all(app.app.store.pool()).await.unwrap();
    assert!(bodies.iter().all(|body| kept.contains(body)));
    app.stop().await;
}

/// An order that was declined once and then paid, while no webhook came.
async fn declined_then_paid(app: &TestApp, by_session: bool) -> String {
    let order = app.order().await;
    if by_session {
        let session = app.session(&order).await;
        assert_eq!(app.pay_session(&session, DECLINED).await.status, 402);
        app.pay_session(&session, VISA).await.ok();
    } else {
        let intent = app.intent(&order).await;
        assert_eq!(app.pay_intent(&intent, DECLINED).await.status, 402);
        app.pay_intent(&intent, VISA).await.ok();
    }
    order
}

/// What must be the same, whatever the order of the events.
fn essence(shown: &Value) -> Value {
    let payment = &shown["payments"][0];
    json!([
        shown["state"],
        shown["amount_captured"],
        shown["refundable"],
        shown["payments"].as_array().unwrap().len(),
        payment["state"],
        payment["amount_captured"],
        payment["declines"].as_array().unwrap().len(),
        payment["declines"][0]["decline_code"],
    ])
}

/// Covers: fault 33, fault 32, O-1, O-2, I11, I12.
#[tokio::test(flavor = "multi_thread")]
async fn events_in_any_order_and_number_end_in_the_same_state() {
    let app = TestApp::with(|_| {}, false).await;
    for by_session in [true, false] {
        let orders = join_all((0..6).map(|_| declined_then_paid(&app, by_session))).await;
        let deliveries = orders.iter().enumerate().map(async |(index, order)| {
            let mut told = events_of(&app, order).await;
            assert!(told.len() >= 4, "{}", told.len());
            match index {
                0 => {}
                1 => told.reverse(),
                2 => told.rotate_left(1),
                3 => told.sort_by_key(|event| text(&event["type"])),
                4 => told.sort_by_key(|event| text(&event["id"]).chars().rev().collect::<String>()),
                _ => {
                    told = told
                        .iter()
                        .rev()
                        .chain(&told)
                        .flat_map(|event| [event.clone(), event.clone()])
                        .collect()
                }
            }
            for event in &told {
                received(&app.deliver(event).await);
                if index % 2 == 0 {
                    app.quiet().await;
                }
            }
        });
        join_all(deliveries).await;
        app.quiet().await;
        let expected = json!(["paid", 3998, 3998, 1, "captured", 3998, 1, "generic_decline"]);
        for order in &orders {
            assert_eq!(essence(&app.show(order).await), expected, "by session: {by_session}");
        }
    }
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'dead'").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM breaks").await, 0);
    app.stop().await;
}

/// Covers: fault 32, fault 37, I22, O-4.
#[tokio::test(flavor = "multi_thread")]
async fn two_events_about_one_change_have_one_effect() {
    let app = TestApp::with(|_| {}, false).await;
    let order = declined_then_paid(&app, false).await;
    let told = events_of(&app, &order).await;
    for event in &told {
        let mut twin = event.clone();
        twin["id"] = json!(format!("{}_twin", text(&event["id"])));
        let (first, second) = tokio::join!(app.deliver(event), app.deliver(&twin));
        received(&first);
        received(&second);
    }
    app.quiet().await;
    let paid = app.show(&order).await;
    assert_eq!(essence(&paid), json!(["paid", 3998, 3998, 1, "captured", 3998, 1, "generic_decline"]));
    let timeline = app.timeline(&order).await;
    let count = |subject: &str, event: &str| {
        timeline.iter().filter(|entry| entry["subject"] == subject && entry["event"] == event).count()
    };
    assert_eq!((count("order", "captured"), count("order", "payment_started")), (1, 1), "{timeline:#?}");
    // Old news change nothing any more, not even a fulfilled order.
    app.command(&order, "fulfillment", json!({})).await.ok();
    let before = app.show(&order).await;
    for (index, event) in told.iter().enumerate() {
        let mut again = event.clone();
        again["id"] = json!(format!("evt_again_{index}"));
        received(&app.deliver(&again).await);
    }
    app.quiet().await;
    assert_eq!(app.show(&order).await, before);
    app.stop().await;
}

/// What somebody made of an object.
type Change = fn(&mut Value);

/// Covers: fault 55, fault 22, I4, M-1, S-1.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_not_what_we_asked_for_becomes_a_break_and_pays_nothing() {
    let app = TestApp::with(|_| {}, false).await;
    let wrong: [(&str, Change); 4] = [
        ("amount_mismatch", |object| (object["amount"], object["amount_received"]) = (json!(1), json!(1))),
        ("amount_mismatch", |object| object["currency"] = json!("eur")),
        ("amount_mismatch", |object| object["amount_received"] = json!(9_999_999)),
        ("mode_mismatch", |object| object["livemode"] = json!(true)),
    ];
    for (index, (kind, change)) in wrong.into_iter().enumerate() {
        let order = app.order().await;
        let intent = app.intent(&order).await;
        let mut event = find(&events_of(&app, &order).await, "payment_intent.created");
        (event["id"], event["type"]) =
            (json!(format!("evt_wrong_{index}")), json!("payment_intent.succeeded"));
        (event["data"]["object"]["status"], event["data"]["object"]["amount_received"]) =
            (json!("succeeded"), json!(3998));
        change(&mut event["data"]["object"]);
        let before = app.show(&order).await;
        received(&app.deliver(&event).await);
        let ended = ended(&app, &format!("evt_wrong_{index}")).await;
        assert_eq!(ended, "done: kept as a break", "{kind}");
        let mut after = app.show(&order).await;
        assert_eq!(after["state"], "payment_processing", "{kind}");
        after["payments"] = before["payments"].clone();
        assert_eq!(after, before, "{kind}");
        let found = app
            .texts("SELECT kind FROM breaks ORDER BY found_at DESC LIMIT 1 OFFSET $1::text::int", "0")
            .await;
        assert_eq!(found, [kind]);
        assert_eq!(app.count("SELECT count(*) FROM breaks").await, i64::try_from(index).unwrap() + 1);
        assert!(app.timeline(&order).await.iter().any(|entry| entry["subject"] == "break"), "{kind}");
        // It can still be paid as it should.
        app.pay_intent(&intent, VISA).await.ok();
        received(&app.deliver(&find(&events_of(&app, &order).await, "payment_intent.succeeded")).await);
        app.until(&order, "paid").await;
    }
    app.stop().await;
}

/// Covers: fault 15, I2. A creation was carried out twice at Stripe after all.
#[tokio::test(flavor = "multi_thread")]
async fn the_money_of_a_second_intent_of_one_payment_is_never_kept_twice() {
    let app = TestApp::start().await;
    for second_first in [true, false] {
        let order = app.order().await;
        let first = app.intent(&order).await;
        let payment = text(&app.show(&order).await["payments"][0]["id"]);
        let url = format!("{}/v1/payment_intents", app.sandbox.url());
        let form = format!(
            "amount=3998&currency=usd&metadata[paywright_order]={order}&metadata[paywright_payment]={payment}"
        );
        let twin = app.http.post(url).bearer_auth("sk_test_integration").body(form);
        let twin = twin.header("content-type", "application/x-www-form-urlencoded");
        let second = text(&app.send(twin).await.ok()["id"]);
        let (paid, other) = if second_first { (&second, &first) } else { (&first, &second) };
        app.pay_intent(paid, VISA).await.ok();
        app.until(&order, "paid").await;
        app.quiet().await;
        // Either it was ended, or its money goes back.
        let late = u64::from(app.pay_intent(other, VISA).await.status < 400);
        let even = |shown: &Value| {
            shown["amount_captured"] == 3998 * (1 + late) && shown["amount_refunded"] == 3998 * late
        };
        app.until_that(&order, even).await;
        app.quiet().await;
        let shown = app.show(&order).await;
        assert_eq!((&shown["state"], &shown["refundable"]), (&json!("paid"), &json!(3998)), "{shown:#}");
        assert_eq!(shown["refunds"].as_array().unwrap().len() as u64, late);
    }
    assert!(app.breaks().await.iter().filter(|kind| *kind == "identity_mismatch").count() >= 2);
    app.stop().await;
}

/// Covers: fault 53, W-8, W-10.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_about_a_payment_that_is_not_here_yet_is_tried_again() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    app.pay_intent(&app.intent(&order).await, VISA).await.ok();
    let mut event = find(&events_of(&app, &order).await, "payment_intent.succeeded");
    event["data"]["object"]["metadata"]["paywright_payment"] = json!("pay_00000000000000000000000000");
    event["data"]["object"]["id"] = json!("pi_not_here_yet");
    received(&app.deliver(&event).await);
    let ended = ended(&app, &text(&event["id"])).await;
    assert!(ended.starts_with("ready: ") && ended.contains("not here"), "{ended}");
    assert_eq!(app.show(&order).await["state"], "payment_processing");
    app.stop().await;
}

/// Covers: fault 56, I21, I34.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_the_server_says_so_and_no_event_is_lost() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    app.pay_intent(&app.intent(&order).await, VISA).await.ok();
    let event = find(&events_of(&app, &order).await, "payment_intent.succeeded");
    app.app.store.close().await;
    let product = json!({"name": "Tea", "unit_amount": 500, "currency": "usd"});
    let refused = [
        app.deliver(&event).await,
        app.get("/v1/orders").await,
        app.post("/v1/products", product).await,
        app.get("/readyz").await,
    ];
    for refused in refused {
        assert_eq!(refused.problem(), (503, "unavailable".to_owned()));
        assert!(refused.header("retry-after").is_some());
    }
    app.get("/healthz").await.ok();
    // Stripe sends it again to a server that has its database.
    let again = TestApp::over(&app).await;
    received(&again.deliver(&event).await);
    again.until(&order, "paid").await;
    again.stop().await;
    app.stop().await;
}
