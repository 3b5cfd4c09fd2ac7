//! What every answer says to browsers, and what names may do to a page.

use serde_json::json;

use crate::{
    attacks_table::TABLE,
    support::{Reply, TestApp, text},
};

/// Names that turn the writing round, end texts early, or look like markup once something was taken away.
const NAMES: [&str; 9] = [
    "<script>alert('canary')</script>",
    "<svg/onload=alert(1)>",
    "</td></tr></table><form action=https://evil.example>",
    "\u{202e}USD 10.0\u{202c}",
    "\u{2067}Tea\u{2069} \u{200f}",
    "<scr\u{200b}ipt>",
    "＜script＞",
    "{{7*7}} {% include \"/etc/passwd\" %} ${7*7}",
    "a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{1F469}\u{200d}\u{1F4BB}",
];

/// What holds of every answer, whatever was asked.
fn told_to_browsers(what: &str, reply: &Reply) {
    for (header, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(reply.header(header), Some(value), "{what}: {header}");
    }
    for header in ["server", "x-powered-by", "set-cookie", "access-control-allow-origin"] {
        assert_eq!(reply.header(header), None, "{what}");
    }
    let kind = reply.header("content-type").unwrap_or_default();
    if kind.starts_with("text/html") {
        let policy = reply.header("content-security-policy").unwrap_or_default();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "form-action '",
        ] {
            assert!(policy.contains(rule), "{what}: {rule} is not in {policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains(" *") && !policy.contains(" https:;"),
            "{what}: {policy}"
        );
        nothing_runs(what, &reply.text);
    } else {
        // What a client said comes back as text only.
        let known = [
            "application/json",
            "application/problem+json",
            "text/css",
            "text/javascript",
            "image/",
            "text/csv",
        ];
        let empty = reply.text.is_empty();
        assert!(empty || known.iter().any(|known| kind.starts_with(known)), "{what}: {kind}");
    }
}

/// No script, style or handler within a page; no form and no link that leads elsewhere.
fn nothing_runs(what: &str, html: &str) {
    let html = html.to_lowercase();
    for (start, rest) in html.match_indices("<script").map(|(at, _)| (at, &html[at..])) {
        let (tag, after) = rest.split_once('>').unwrap();
        assert!(
            tag.contains("src=") && after.trim_start().starts_with("</script>"),
            "{what} at {start}: {tag}"
        );
    }
    let tags: Vec<&str> = html.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    for tag in tags {
        let harmless =
            ![" on", "style=", "javascript:", "srcdoc", "data:text"].iter().any(|bad| tag.contains(bad));
        assert!(harmless && !tag.starts_with("iframe") && !tag.starts_with("svg"), "{what}: <{tag}>");
        let leads = tag.split(['"', '\'']).find(|part| part.starts_with("http"));
        assert_eq!(leads, None, "{what}: <{tag}>");
    }
}

/// Covers: fault 129, fault 142.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_browsers_to_guess_and_to_run_nothing() {
    let app = TestApp::start().await;
    let page = text(&app.show(&app.order().await).await["checkout_url"]);
    let token = page.rsplit('/').next().unwrap().to_owned();
    let mut pages = 0;
    for route in TABLE {
        let ours = route.to_nobody().replace(&"0".repeat(48), &token);
        for url in
            [&ours, &route.to("%3Cscript%3Ealert(1)%3C%2Fscript%3E"), &format!("{ours}?%3Cscript%3E=%22")]
        {
            for request in
                [app.bare(route.method, url), app.request(route.method, url), app.request("DELETE", url)]
            {
                let reply = app.send(request.header("accept", "text/html").body("<script>")).await;
                told_to_browsers(&format!("{} {url}", route.method), &reply);
                let is_page = reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
                pages += usize::from(is_page && reply.status == 200);
            }
        }
    }
    for path in ["/", "/nowhere", "/<script>alert(1)</script>", "/docs/<svg onload=alert(1)>", "/assets/%00"]
    {
        told_to_browsers(path, &app.send(app.bare("GET", path)).await);
    }
    assert!(pages >= 4, "{pages} pages were looked at");
    app.stop().await;
}

/// Covers: fault 129, fault 113.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_product_is_called_the_page_is_ours() {
    let app = TestApp::start().await;
    for name in NAMES {
        let product =
            app.post("/v1/products", json!({"name": name, "unit_amount": 1999, "currency": "usd"})).await;
        let items = json!([{"product": product.ok()["id"], "quantity": 2}]);
        let order = json!({"currency": "usd", "items": items, "metadata": {"k": name}});
        let order = app.post("/v1/orders", order).await.ok();
        assert_eq!(order["items"][0]["name"], name, "it is kept to the letter");
        let page = app.send(app.http.get(text(&order["checkout_url"]))).await;
        told_to_browsers(name, &page);
        // One row, one form, one amount; and what turns the writing round ends with the name.
        for (part, count) in [("<tr>", 3), ("<form ", 1), ("<script", 1), ("39.98 USD", 3), ("</bdi>", 1)] {
            assert_eq!(page.text.matches(part).count(), count, "{name}: {part} in {}", page.text);
        }
    }
    // What no name can hold.
    for name in ["a\u{0}b", "a\u{1b}[2J", "a\r\nSet-Cookie: b=c", "\u{85}"] {
        let body = json!({"name": name, "unit_amount": 1999, "currency": "usd"});
        assert_eq!(app.post("/v1/products", body).await.field(name), "name");
    }
    app.stop().await;
}

/// Covers: fault 117, fault 139.
#[tokio::test(flavor = "multi_thread")]
async fn where_we_are_is_not_for_a_client_to_say() {
    let app = TestApp::start().await;
    let product = app.product(1999, "usd").await;
    let body = json!({"currency": "usd", "items": [{"product": product, "quantity": 1}]});
    let misled = |request: reqwest::RequestBuilder| {
        let request = request.header("host", "evil.example").header("x-forwarded-host", "evil.example");
        request
            .header("forwarded", "host=evil.example;proto=http")
            .header("x-original-url", "http://evil.example/")
    };
    let order = app.send(misled(app.request("POST", "/v1/orders")).json(&body)).await.ok();
    let page = text(&order["checkout_url"]);
    assert!(page.starts_with(&app.url), "{page}");
    let shown = app.send(misled(app.http.get(&page))).await;
    assert!(!shown.text.contains("evil") && !format!("{:?}", shown.headers).contains("evil"), "{shown:?}");
    let pressed = app.send(misled(app.http.post(format!("{page}/pay")))).await;
    assert!(pressed.header("location").unwrap().starts_with(app.sandbox.url()), "{pressed:?}");
    let opened = app.at_stripe_of("checkout/sessions", &text(&order["id"])).await;
    assert_eq!((&opened[0]["success_url"], &opened[0]["cancel_url"]), (&json!(page), &json!(page)));
    app.stop().await;
}
