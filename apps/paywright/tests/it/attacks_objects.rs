//! Object level: what is somebody else's is as unknown as what never was.

use serde_json::json;

use crate::{
    attacks_table::{Object, Route, TABLE, prefix},
    attacks_world::{one_of_each, stored, told},
    support::TestApp,
};

/// Gives everything to the other mode.
async fn give_away(app: &TestApp) {
    for sql in [
        "WITH one AS (UPDATE orders SET mode = 'live'), two AS (UPDATE payments SET mode = 'live'),
            three AS (UPDATE refunds SET mode = 'live') UPDATE disputes SET mode = 'live' WHERE $1 <> ''",
        "UPDATE products SET mode = 'live' WHERE $1 <> ''",
        "UPDATE customers SET mode = 'live' WHERE $1 <> ''",
        "UPDATE breaks SET mode = 'live' WHERE $1 <> ''",
        "UPDATE reconciliation_runs SET mode = 'live' WHERE $1 <> ''",
        "UPDATE payouts SET mode = 'live' WHERE $1 <> ''",
        "UPDATE inbox_events SET mode = 'live' WHERE $1 <> ''",
    ] {
        app.by_hand(sql, "x").await;
    }
}

/// Covers: I32, fault 116, S-1.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_the_other_mode_is_as_unknown_as_one_that_never_was() {
    let app = TestApp::start().await;
    let known = one_of_each(&app).await;
    let ask = async |route: &Route, id: &str| {
        let request = app.request(route.method, &route.to(id));
        let request = if route.body.is_some() { request.json(&route.example(&known)) } else { request };
        app.send(request).await
    };
    let named = || {
        TABLE.iter().filter_map(|route| match route.object {
            Object::Of(kind) => Some((route, kind)),
            Object::None | Object::Shared(_) => None,
        })
    };
    // While they are ours, they are there.
    for (route, kind) in named().filter(|(route, _)| route.method == "GET") {
        assert_eq!(ask(route, &known[kind]).await.status, 200, "{} {kind}", route.path);
    }
    give_away(&app).await;
    let before = stored(&app).await;
    for (route, kind) in named() {
        let (what, missing) =
            (format!("{} {}", route.method, route.path), format!("{}_{:0>26}", prefix(kind), 1));
        let unknown = ask(route, &missing).await;
        assert_eq!(unknown.refused(&what), (404, "not_found".to_owned()), "{what}");
        let another = if kind == "order" { "payment" } else { "order" };
        for id in [&known[kind], &known[another], "x", &known[kind].to_uppercase()] {
            assert_eq!(told(&ask(route, id).await), told(&unknown), "{what} with {id}");
        }
    }
    assert_eq!(stored(&app).await, before);
    app.stop().await;
}

/// Covers: I32, fault 116.
#[tokio::test(flavor = "multi_thread")]
async fn naming_an_object_of_the_other_mode_in_a_body_or_a_filter_tells_nothing_of_it() {
    let app = TestApp::start().await;
    let known = one_of_each(&app).await;
    give_away(&app).await;
    let (ours, before) = (app.product(500, "usd").await, stored(&app).await);
    let missing = |kind: &str| match kind {
        "customer" => "cus_00000000000000000000000000".to_owned(),
        kind => format!("{}_00000000000000000000000000", prefix(kind)),
    };
    let order = |product: &str| json!({"currency": "usd", "items": [{"product": product, "quantity": 1}]});
    let with_customer = |customer: &str| {
        let mut body = order(&ours);
        body["customer"] = json!(customer);
        body
    };
    let refund = |payment: &str| json!({"payment": payment, "reason": "goodwill"});
    let (payment, product, customer) = (missing("payment"), missing("product"), missing("customer"));
    for (path, theirs, nobodys) in [
        ("/v1/refunds", refund(&known["payment"]), refund(&payment)),
        ("/v1/orders", order(&known["product"]), order(&product)),
        ("/v1/orders", with_customer(&known["customer"]), with_customer(&customer)),
    ] {
        let theirs = app.post(path, theirs).await;
        assert_eq!(theirs.refused(path), (422, "invalid_request".to_owned()), "{path}");
        assert_eq!(told(&theirs), told(&app.post(path, nobodys).await), "{path}");
    }
    for (list, parameter, kind) in [
        ("orders", "customer", "customer"),
        ("refunds", "payment", "payment"),
        ("disputes", "payment", "payment"),
        ("inbox", "object", "payment"),
        ("orders", "starting_after", "order"),
        ("refunds", "starting_after", "refund"),
        ("disputes", "starting_after", "dispute"),
        ("breaks", "starting_after", "break"),
        ("payouts", "starting_after", "payout"),
        ("inbox", "starting_after", "event"),
        ("reconciliation/runs", "starting_after", "run"),
    ] {
        let ask = async |id: &str| app.get(&format!("/v1/{list}?{parameter}={id}")).await;
        assert_eq!(told(&ask(&known[kind]).await), told(&ask(&missing(kind)).await), "{list}?{parameter}");
        assert_eq!(app.get(&format!("/v1/{list}")).await.ok()["data"], json!([]), "{list}");
    }
    let all = json!({"type": "*", "dry_run": true, "state": "processed"});
    assert_eq!(app.post("/v1/inbox/replay", all).await.ok()["matching"], 0);
    assert_eq!(stored(&app).await, before);
    app.stop().await;
}
