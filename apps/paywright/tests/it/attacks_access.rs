//! Function level: who may call what, over every route and method, as the table says.

use paywright_app::http::auth::{EVERYTHING, SCOPES};
use paywright_domain::Mode;

use crate::{
    attacks_table::{Door, TABLE, closed},
    attacks_world::{key, paths, stored, told},
    support::{KEY, TestApp, text},
};

/// What a server may be asked to do with a path.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];

/// Covers: fault 132 (the part about scopes), fault 133.
#[tokio::test(flavor = "multi_thread")]
async fn with_every_scope_but_the_right_one_a_route_stays_closed() {
    let app = TestApp::start().await;
    let none = key(&app, Mode::Test, &[], 99).await;
    let before = stored(&app).await;
    for (seed, (needed, _)) in (100..).zip(SCOPES) {
        let others: Vec<_> = SCOPES
            .map(|(scope, _)| scope)
            .into_iter()
            .filter(|scope| ![needed, EVERYTHING].contains(scope))
            .collect();
        let others = key(&app, Mode::Test, &others, seed).await;
        for (route, _) in closed().filter(|(_, scope)| *scope == needed) {
            for key in [&others, &none] {
                for body in ["{}", r#"{"zzz": 1}"#, "[]", ""] {
                    let request = app.bare(route.method, &route.to_nobody()).bearer_auth(key);
                    let request = request.header("content-type", "application/json").body(body);
                    let refused = app.send(request.header("idempotency-key", "scopes")).await;
                    let what = format!("{} {} without {needed}", route.method, route.path);
                    assert_eq!(refused.refused(&what), (403, "missing_scope".to_owned()), "{what}");
                    let detail = text(&refused.json()["detail"]);
                    assert!(detail.ends_with(&format!(" {needed}")), "{what}: {detail}");
                }
            }
        }
    }
    // Each scope that there is opens something, or adds to what another one opens.
    let used: Vec<_> = closed().map(|(_, scope)| scope).chain([EVERYTHING, "inbox:bodies"]).collect();
    assert!(SCOPES.iter().all(|(scope, _)| used.contains(scope)), "a scope that opens nothing");
    assert_eq!(stored(&app).await, before);
    app.stop().await;
}

/// Covers: fault 116 (the part about methods), fault 133.
#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_declared_does_nothing_whoever_asks() {
    let app = TestApp::start().await;
    let before = stored(&app).await;
    for (path, taken) in paths() {
        let url = TABLE.iter().find(|route| route.path == path).unwrap().to_nobody();
        for method in METHODS.into_iter().filter(|method| !taken.contains(method)) {
            for key in [None, Some(KEY), Some("pw_test_wrong")] {
                let request = app.bare(method, &url).header("content-type", "application/json").body("{}");
                let request = key.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
                let refused = app.send(request).await;
                let what = format!("{method} {url} with {key:?}");
                assert_eq!(refused.status, 405, "{what}: {}", refused.text);
                let mut allowed: Vec<_> = refused.header("allow").unwrap().split(", ").collect();
                let mut taken = taken.clone();
                allowed.sort_unstable();
                taken.sort_unstable();
                assert_eq!(allowed, taken, "{what}");
                if method != "HEAD" {
                    assert_eq!(refused.refused(&what).1, "method_not_allowed");
                }
            }
        }
        // Nor does a method in disguise.
        for disguise in ["x-http-method-override", "x-method-override", "x-http-method"] {
            let method = taken[0];
            let plain = app.send(app.request(method, &url).body("[]")).await;
            let request = app.request(method, &url).header(disguise, "DELETE");
            assert_eq!(told(&app.send(request.body("[]")).await), told(&plain), "{method} {url}");
        }
    }
    assert_eq!(stored(&app).await, before);
    app.stop().await;
}

/// Covers: fault 133, I34.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_opens_its_own_kind_of_door_only() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let token = text(&app.show(&order).await["checkout_url"]).rsplit('/').next().unwrap().to_owned();
    let before = stored(&app).await;
    for route in TABLE {
        let (what, url) = (format!("{} {}", route.method, route.path), route.to_nobody());
        let ask = async |request: reqwest::RequestBuilder| app.send(request.body("{}")).await;
        match route.door {
            Door::Scope(_) => {
                // The token of an order's page is no key, nor is a key anywhere but in its header.
                let elsewhere = [
                    app.bare(route.method, &url).bearer_auth(&token),
                    app.bare(route.method, &url).bearer_auth(format!("pw_test_{token}")),
                    app.bare(route.method, &format!("{url}?token={token}&api_key={KEY}&access_token={KEY}")),
                    app.bare(route.method, &url).header("x-api-key", KEY),
                    app.bare(route.method, &url)
                        .header("cookie", format!("api_key={KEY}; authorization=Bearer {KEY}")),
                    app.bare(route.method, &url).basic_auth(KEY, Some("")),
                    app.bare(route.method, &url).header("x-forwarded-authorization", format!("Bearer {KEY}")),
                    app.bare(route.method, &url)
                        .header("x-original-url", "/healthz")
                        .header("x-forwarded-for", "127.0.0.1"),
                ];
                for request in elsewhere {
                    assert_eq!(ask(request).await.refused(&what), (401, "unauthorized".to_owned()), "{what}");
                }
            }
            Door::Signature => {
                let refused = ask(app.request(route.method, &url)).await;
                assert_eq!(refused.refused(&what), (400, "bad_signature".to_owned()), "{what}");
            }
            Door::Token => {
                // No key, however mighty, and no other way to name the order.
                for url in [url.clone(), url.replace(&"0".repeat(48), &order), format!("{url}?token={token}")]
                {
                    let refused =
                        ask(app.request(route.method, &url).header("cookie", format!("token={token}"))).await;
                    assert_eq!(refused.refused(&what), (404, "not_found".to_owned()), "{what}");
                }
            }
            Door::Open => {
                let plain = told(&ask(app.bare(route.method, &url)).await);
                for key in [KEY, "pw_test_wrong", &token] {
                    let known = ask(app.bare(route.method, &url).bearer_auth(key)).await;
                    assert_eq!(told(&known), plain, "{what}");
                }
            }
        }
    }
    assert_eq!(stored(&app).await, before);
    app.stop().await;
}
