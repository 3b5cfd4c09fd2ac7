//! Who may do what, and what nobody is told.

use paywright_app::http::auth::SCOPES;
use paywright_domain::Mode;
use paywright_postgres::ApiKeys;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{
    attacks_table::closed,
    support::{KEY, TestApp, VISA, WEBHOOK_SECRET, text},
};

/// Covers: fault 133, I34.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_key_every_route_is_closed_whatever_the_body() {
    let app = TestApp::start().await;
    let keys = ApiKeys::new(&app.app.store);
    let (id, revoked) = keys.create("gone", Mode::Test, &["*".to_owned()], [7; 32]).await.unwrap();
    let good = app.bare("GET", "/v1/orders").bearer_auth(revoked.expose_secret());
    app.send(good).await.ok();
    keys.revoke(id).await.unwrap();
    let (_, live) = keys.create("live", Mode::Live, &["*".to_owned()], [8; 32]).await.unwrap();
    let bearer = |key: &str| Some(format!("Bearer {key}"));
    let wrong = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some(KEY.to_owned()),
        Some(format!("Basic {KEY}")),
        Some(format!("Bearer: {KEY}")),
        bearer(revoked.expose_secret()),
        bearer(live.expose_secret()),
        bearer(&KEY.replace("test", "live")),
        bearer(&KEY.to_uppercase()),
        bearer(&format!("{KEY}x")),
        bearer(&KEY[..KEY.len() - 1]),
        bearer(&format!("{KEY} {KEY}")),
        bearer("pw_test_"),
        bearer("pw_test_' OR ''='"),
        bearer("sk_test_integration"),
        bearer(&format!("pw_test_{}", "x".repeat(20_000))),
        bearer("pw_test_é"),
    ];
    let before = app.stored().await;
    for (route, _) in closed() {
        let (method, path) = (route.method, route.to_nobody());
        for header in &wrong {
            for body in ["{}", "not JSON"] {
                let mut request =
                    app.bare(method, &path).header("content-type", "application/json").body(body);
                if let Some(header) = header {
                    request = request.header("authorization", header.as_bytes());
                }
                let refused = app.send(request).await;
                let what = format!("{method} {path} {header:.60?}");
                assert_eq!(refused.refused(&what), (401, "unauthorized".to_owned()), "{what}");
                assert!(
                    refused.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")),
                    "{what}"
                );
            }
        }
    }
    assert_eq!(app.stored().await, before);
    for public in ["/v1/config", "/healthz", "/readyz", "/assets/checkout.css", "/assets/checkout.js"] {
        assert_eq!(app.send(app.bare("GET", public)).await.status, 200, "{public}");
    }
    app.stop().await;
}

/// Covers: fault 132 (the part about scopes), fault 133.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_do_what_its_scopes_say_and_nothing_else() {
    let app = TestApp::start().await;
    let keys = ApiKeys::new(&app.app.store);
    let scopes = SCOPES.map(|(scope, _)| scope);
    let before = app.stored().await;
    for (seed, scope) in (10..).zip(scopes) {
        let (_, key) = keys.create(scope, Mode::Test, &[scope.to_owned()], [seed; 32]).await.unwrap();
        for (route, needed) in closed() {
            let (method, path) = (route.method, route.to_nobody());
            for body in ["[]", r#"{"zzz": 1}"#] {
                let request = app.bare(method, &path).bearer_auth(key.expose_secret());
                let request = request.header("content-type", "application/json").body(body);
                let reply = app.send(request.header("idempotency-key", "scopes")).await;
                let what = format!("{method} {path} with {scope}");
                if scope == needed || scope == "*" {
                    assert!([200, 404, 422].contains(&reply.status), "{what}: {}", reply.text);
                } else {
                    assert_eq!(reply.refused(&what), (403, "missing_scope".to_owned()), "{what}");
                }
            }
        }
    }
    let rows = |stored: &str| stored.rsplit_once(' ').unwrap().0.to_owned();
    assert_eq!(rows(&app.stored().await), rows(&before));
    app.stop().await;
}

/// Covers: I32, fault 116, S-1.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_an_order_of_the_other_mode_is_as_unknown_as_one_that_never_was() {
    let app = TestApp::start().await;
    let page = text(&app.show(&app.order().await).await["checkout_url"]);
    app.by_hand("UPDATE orders SET mode = 'live' WHERE $1 <> ''", "x").await;
    let before = app.stored().await;
    for (path, method) in
        [(page.clone(), "GET"), (format!("{page}/state"), "GET"), (format!("{page}/pay"), "POST")]
    {
        let reply = app.send(app.http.request(method.parse().unwrap(), &path)).await;
        assert_eq!(reply.refused(&path), (404, "not_found".to_owned()));
    }
    assert_eq!(app.stored().await, before);
    app.stop().await;
}

/// Covers: I31, fault 134, fault 142.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_holds_a_secret_or_tells_of_our_insides() {
    let app = TestApp::start().await;
    let mut heard = Vec::new();
    let order = app.order().await;
    heard.push(app.command(&order, "checkout-session", json!({})).await);
    let session = text(&heard[0].json()["url"]).rsplit('/').next().unwrap().to_owned();
    let page = text(&app.show(&order).await["checkout_url"]);
    for path in [page.clone(), format!("{page}/state")] {
        heard.push(app.send(app.http.get(&path)).await);
    }
    app.pay_session(&session, VISA).await.ok();
    app.until(&order, "paid").await;
    for path in [
        format!("/v1/orders/{order}"),
        format!("/v1/orders/{order}/timeline"),
        "/v1/orders".into(),
        "/v1/config".into(),
        "/readyz".into(),
        "/nowhere".into(),
        format!("/v1/orders/{KEY}"),
        format!("/v1/orders?{KEY}=1"),
        format!("/v1/orders?state={KEY}"),
    ] {
        heard.push(app.get(&path).await);
    }
    heard.push(app.post("/v1/products", json!({"name": "x", KEY: 1})).await);
    heard.push(app.send(app.bare("GET", "/v1/orders").bearer_auth(format!("{KEY}x"))).await);
    heard.push(app.webhook(Some("t=1,v1=00"), b"{}".to_vec()).await);
    let unpaid = app.order().await;
    let unpaid_page = text(&app.show(&unpaid).await["checkout_url"]);
    // Stripe away: its address and key are nobody's business.
    let deaf = TestApp::with(
        |settings| {
            settings.stripe.api_base = Some("http://127.0.0.1:9/canary".to_owned());
            settings.stripe.deadline_seconds = 2;
        },
        false,
    )
    .await;
    let by_api = deaf.command(&deaf.order().await, "payment-intent", json!({})).await;
    assert_eq!(by_api.problem(), (503, "unavailable".to_owned()));
    let by_page = text(&deaf.show(&deaf.order().await).await["checkout_url"]);
    let by_page = deaf.send(deaf.http.post(format!("{by_page}/pay"))).await;
    assert!(by_page.status == 503 && by_page.text.contains("Nothing was charged"), "{}", by_page.text);
    heard.extend([by_api, by_page]);
    // The database away.
    app.app.store.close().await;
    for path in [format!("/v1/orders/{order}"), "/readyz".into()] {
        heard.push(app.get(&path).await);
    }
    heard.push(app.send(app.http.get(&unpaid_page)).await);
    heard.push(app.post("/v1/orders", json!({"currency": "usd", "items": []})).await);
    let database = app.database_url();
    let canaries = [
        "sk_test_integration",
        WEBHOOK_SECRET,
        &database,
        "postgres",
        "sqlx",
        "127.0.0.1:9",
        "canary",
        "panicked",
        "src/",
        ".rs",
    ];
    let keys = [KEY.to_owned()];
    for reply in &heard {
        // The page's policy says where its form may lead: to Stripe's address.
        let headers =
            if reply.text.contains("<html") { String::new() } else { format!("{:?}", reply.headers) };
        let everything = format!("{} {headers}", reply.text);
        for canary in canaries {
            assert!(!everything.contains(canary), "{canary}: {everything}");
        }
        // What a caller sends by mistake is named as a field, never as a credential that was accepted.
        let echoed = reply.status == 422 || reply.status == 404;
        assert!(echoed || keys.iter().all(|key| !everything.contains(key)), "{everything}");
    }
    let html: Vec<_> = heard.iter().filter(|reply| reply.text.contains("<html")).collect();
    assert!(!html.is_empty() && html.iter().all(|reply| !reply.text.contains("ada@example.org")));
    deaf.stop().await;
    app.stop().await;
}

/// Covers: I31.
#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_shows_what_is_public_only() {
    let app = TestApp::start().await;
    let config: Value = app.send(app.bare("GET", "/v1/config")).await.ok();
    assert_eq!(config, json!({"mode": "test", "publishable_key": "pk_test_integration"}));
    app.stop().await;
}
