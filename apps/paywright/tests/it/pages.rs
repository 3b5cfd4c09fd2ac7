//! The shopper's page: true, safe, and usable without a script.

use serde_json::{Value, json};

use crate::support::{DECLINED, INSUFFICIENT_FUNDS, Reply, THREE_D_SECURE, TestApp, VISA, text};

/// Refunds are pending at first.
const PENDING_REFUND: &str = "4000000000007726";
const STOLEN: &str = "4000000000009979";
const CANARY: &str = "\"'><script>alert('canary')</script><img src=x onerror=alert(1)>{{7*7}}";

/// An order's page.
struct Page<'a> {
    app: &'a TestApp,
    order: String,
    url: String,
}

impl<'a> Page<'a> {
    async fn new(app: &'a TestApp) -> Self {
        Self::of(app, app.order().await).await
    }

    async fn of(app: &'a TestApp, order: String) -> Self {
        let url = text(&app.show(&order).await["checkout_url"]);
        Self { app, order, url }
    }

    /// The page, with everything that every page promises.
    async fn html(&self) -> String {
        let page = self.app.send(self.app.http.get(&self.url)).await;
        assert_eq!(page.status, 200, "{}", page.text);
        is_safe(&page);
        page.text
    }

    async fn state(&self) -> Value {
        let state = self.app.send(self.app.http.get(format!("{}/state", self.url))).await;
        assert_eq!(state.header("cache-control"), Some("no-store"));
        state.ok()
    }

    async fn pay(&self) -> Reply {
        self.app.send(self.app.http.post(format!("{}/pay", self.url))).await
    }

    async fn pay_as(&self, headers: &[(&str, &str)]) -> Reply {
        let request = self.app.http.post(format!("{}/pay", self.url));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.app.send(request).await
    }

    /// Asserts what the page and its script's question say of the order, and whether it can be paid there.
    async fn stands(&self, standing: &str, headline: &str, can_pay: bool, settled: bool) {
        let (html, state) = (self.html().await, self.state().await);
        assert_eq!((&state["standing"], &state["settled"]), (&json!(standing), &json!(settled)));
        assert_eq!(state["state"], self.app.show(&self.order).await["state"]);
        assert!(html.contains(&format!("<h1>{headline}</h1>")), "{html}");
        assert_eq!(html.contains("<form method=\"post\""), can_pay, "{standing}: {html}");
        let refreshes = html.contains("<noscript><meta http-equiv=\"refresh\"");
        assert_eq!(
            (refreshes, html.contains("/assets/checkout.js")),
            (!settled, !settled),
            "{standing}: {html}"
        );
        assert!(html.contains(&self.order) && html.contains("39.98 USD"), "{html}");
    }
}

/// Asserts the headers, and that nothing in the page runs.
fn is_safe(page: &Reply) {
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none';") && !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    for rule in [
        "script-src 'self';",
        "style-src 'self';",
        "frame-ancestors 'none';",
        "base-uri 'none';",
        "form-action 'self' ",
    ] {
        assert!(policy.contains(rule), "{rule}: {policy}");
    }
    for (header, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("content-type", "text/html; charset=utf-8"),
    ] {
        assert_eq!(page.header(header), Some(value), "{header}");
    }
    let html = page.text.to_lowercase();
    assert!(html.starts_with("<!doctype html>"));
    for script in html.split("<script").skip(1) {
        assert!(script.starts_with(" src=\"/assets/checkout.js\" defer></script>"), "{script:.80}");
    }
    let tags: Vec<&str> = html.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    assert!(
        tags.iter()
            .all(|tag| !tag.contains(" on") && !tag.contains("style=") && !tag.contains("javascript:")),
        "{tags:?}"
    );
    assert!(!html.contains("<style") && !html.contains("<img") && !html.contains("<iframe"));
}

/// Covers: fault 117.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_how_the_order_stands_at_each_step() {
    let app = TestApp::start().await;
    let page = Page::new(&app).await;
    page.stands("unpaid", "Not paid yet", true, false).await;
    let intent = app.intent(&page.order).await;
    page.stands("unpaid", "Not paid yet", true, false).await;
    app.pay_intent(&intent, DECLINED).await;
    app.until_that(&page.order, |shown| shown["payments"][0]["declines"] != json!([])).await;
    assert!(page.html().await.contains("The last attempt was declined: Your card was declined."));
    app.pay_intent(&intent, THREE_D_SECURE).await.ok();
    app.until_that(&page.order, |shown| shown["payments"][0]["state"] == "requires_action").await;
    page.stands("processing", "Your payment is being processed", true, false).await;
    let before = text(&page.state().await["tag"]);
    app.at_stripe(&format!("payment_intents/{intent}/authenticate"), json!({"outcome": "complete"}))
        .await
        .ok();
    app.until(&page.order, "paid").await;
    page.stands("paid", "Paid, thank you", false, true).await;
    assert_ne!(page.state().await["tag"], before);
    assert!(!page.html().await.contains("declined"), "an old decline is no news on a paid order");
    app.command(&page.order, "fulfillment", json!({})).await.ok();
    page.stands("paid", "Paid, thank you", false, true).await;
    app.command(&page.order, "ship", json!({"carrier": "DHL"})).await.ok();
    page.stands("shipped", "On its way", false, true).await;
    app.command(&page.order, "complete", json!({})).await.ok();
    page.stands("completed", "Completed", false, true).await;

    let cancelled = Page::new(&app).await;
    app.command(&cancelled.order, "cancel", json!({})).await.ok();
    cancelled.stands("cancelled", "Cancelled", false, true).await;
    // A button on a page that was open before it was settled.
    for late in [&page, &cancelled] {
        let reply = late.pay().await;
        assert_eq!((reply.status, reply.header("location")), (303, late.url.strip_prefix(&app.url)));
    }
    app.stop().await;
}

///
#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_is_reserved_and_what_goes_back() {
    let app = TestApp::start().await;
    let (order, payment) = app.authorized().await;
    let page = Page::of(&app, order).await;
    page.stands("authorized", "Your payment is reserved", false, false).await;
    assert!(page.html().await.contains("Nothing was taken yet."));
    app.on_payment(&payment, "void", json!({})).await.ok();
    page.stands("unpaid", "Not paid yet", true, false).await;

    let (order, payment) = app.paid_by(PENDING_REFUND).await;
    let page = Page::of(&app, order).await;
    let before = text(&page.state().await["tag"]);
    let refund = app.refund(&payment, 500).await.ok();
    page.stands("paid", "Paid, thank you", false, true).await;
    assert_ne!(page.state().await["tag"], before);
    assert!(page.html().await.contains("5.00 USD is on its way back to you."));
    let name = text(&refund["gateway_refund"]);
    app.at_stripe(&format!("refunds/{name}/settle"), json!({})).await.ok();
    app.until_that(&page.order, |shown| shown["refunds"][0]["state"] == "succeeded").await;
    assert!(page.html().await.contains("5.00 USD was sent back to you;"));
    app.command(&page.order, "cancel", json!({})).await.ok();
    page.stands("cancelled", "Cancelled", false, false).await;
    assert!(
        page.html().await.contains("34.98 USD is on its way back to you. 5.00 USD was sent back to you;")
    );
    let rest = text(&app.show(&page.order).await["refunds"][1]["gateway_refund"]);
    app.at_stripe(&format!("refunds/{rest}/settle"), json!({})).await.ok();
    app.until(&page.order, "refunded").await;
    page.stands("refunded", "Refunded", false, true).await;
    app.stop().await;
}

/// What a thief must not learn, and what a customer should do.
#[tokio::test(flavor = "multi_thread")]
async fn a_decline_is_told_in_words_for_customers() {
    let app = TestApp::start().await;
    let page = Page::new(&app).await;
    let intent = app.intent(&page.order).await;
    for (declines, card, words) in [
        (1, STOLEN, "Your card was declined. Please use another card. Nothing was charged."),
        (2, INSUFFICIENT_FUNDS, "Your card has insufficient funds. Nothing was charged."),
    ] {
        app.pay_intent(&intent, card).await;
        let told = |shown: &Value| shown["payments"][0]["declines"].as_array().unwrap().len() == declines;
        let shown = app.until_that(&page.order, told).await;
        let html = page.html().await;
        assert!(html.contains(words), "{html}");
        assert!(!html.contains("stolen"), "{html}");
        // The merchant sees more.
        let advice = &shown["payments"][0]["declines"][0]["advice"];
        assert_eq!(advice, "do_not_try_again", "{shown:#}");
        // Stripe's clock counts seconds, and the last one counts.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    }
    app.stop().await;
}

/// Covers: fault 129, fault 113.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_are_shown_as_text() {
    let app = TestApp::start().await;
    let new = json!({"name": CANARY, "unit_amount": 1999, "currency": "usd", "metadata": {"note": CANARY}});
    let product = text(&app.post("/v1/products", new).await.ok()["id"]);
    let items = json!([{"product": product, "quantity": 2}]);
    let order = json!({"currency": "usd", "items": items, "metadata": {"k": CANARY}});
    let page = Page::of(&app, text(&app.post("/v1/orders", order).await.ok()["id"])).await;
    let html = page.html().await;
    assert!(!html.contains("<script>alert") && !html.contains("<img") && html.contains("canary"), "{html}");
    assert!(html.contains("{{7*7}}"), "no template is evaluated twice");

    // A decline's message is Stripe's, and shown; it is text as well.
    let intent = app.intent(&page.order).await;
    assert_eq!(app.pay_intent(&intent, DECLINED).await.status, 402);
    app.until_that(&page.order, |shown| shown["payments"][0]["declines"] != json!([])).await;
    app.by_hand("UPDATE payment_declines SET message = $1", CANARY).await;
    let html = page.html().await;
    assert!(html.contains("The last attempt was declined: ") && !html.contains("<script>alert"), "{html}");
    assert_eq!(html.matches("canary").count(), 2, "{html}");
    app.stop().await;
}

/// Covers: fault 117, W-9.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_redirect_says_is_believed() {
    let app = TestApp::start().await;
    let page = Page::new(&app).await;
    let session = app.session(&page.order).await;
    let honest = page.html().await;
    for query in [
        "redirect_status=succeeded",
        "payment_intent=pi_1&payment_intent_client_secret=x",
        "paid=true&state=paid&standing=paid",
        "success=1",
        "%3Cscript%3Ealert(1)%3C/script%3E",
        "session_id=%00",
        &"x=1&".repeat(2_000),
    ] {
        let forged = app.send(app.http.get(format!("{}?session_id={session}&{query}", page.url))).await;
        assert_eq!(forged.text, honest, "{query:.80}");
        let state = app.send(app.http.get(format!("{}/state?{query}", page.url))).await.ok();
        assert_eq!(state["standing"], "unpaid");
    }
    assert_eq!(app.show(&page.order).await["state"], "payment_processing");
    app.pay_session(&session, VISA).await.ok();
    app.until(&page.order, "paid").await;
    app.stop().await;
}

/// Covers: fault 116, I32.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_opens_nothing() {
    let app = TestApp::start().await;
    let page = Page::new(&app).await;
    let token = page.url.rsplit('/').next().unwrap();
    assert!(token.len() >= 32, "guessable: {token}");
    let before = app.stored().await;
    let wrong = [
        token[1..].to_owned(),
        format!("{token}0"),
        token.to_uppercase(),
        "0".repeat(token.len()),
        page.order.clone(),
        "x".to_owned(),
        "%00".to_owned(),
        format!("{token}%00"),
        "%27%20OR%20%27%27%3D%27".to_owned(),
        "x".repeat(5_000),
        "..%2f".to_owned(),
        "%ff".to_owned(),
        "%25".to_owned(),
        "_".to_owned(),
    ];
    for token in wrong.iter().filter(|wrong| *wrong != token) {
        for (method, path) in [("GET", ""), ("GET", "/state"), ("POST", "/pay")] {
            let reply = app.send(app.bare(method, &format!("/checkout/{token}{path}"))).await;
            assert_eq!(reply.refused(token), (404, "not_found".to_owned()), "{method} {token}{path}");
        }
    }
    assert_eq!(app.send(app.http.get(format!("{}/pay", page.url))).await.refused("GET").0, 405);
    assert_eq!(app.stored().await, before);
    app.stop().await;
}

/// Covers: fault 101, D-1.
#[tokio::test(flavor = "multi_thread")]
async fn the_button_leads_to_one_page_at_stripe_however_often_it_is_pressed() {
    let app = TestApp::start().await;
    let page = Page::new(&app).await;
    let (first, second) = tokio::join!(page.pay(), page.pay());
    let third = page.pay().await;
    let there = first.header("location").unwrap().to_owned();
    assert!(there.starts_with(app.sandbox.url()), "{there}");
    for reply in [&first, &second, &third] {
        assert_eq!((reply.status, reply.header("location")), (303, Some(&*there)), "{}", reply.text);
    }
    assert_eq!(app.at_stripe_of("checkout/sessions", &page.order).await.len(), 1);
    let policy =
        app.send(app.http.get(&page.url)).await.header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains(app.sandbox.url()), "browsers must let the form lead there: {policy}");
    // From there the shopper comes back to the page.
    let session = there.rsplit('/').next().unwrap();
    let opened = app.at_stripe_of("checkout/sessions", &page.order).await;
    assert_eq!((&opened[0]["success_url"], &opened[0]["cancel_url"]), (&json!(page.url), &json!(page.url)));
    app.pay_session(session, VISA).await.ok();
    app.until(&page.order, "paid").await;
    app.stop().await;
}

/// Covers: fault 128.
#[tokio::test(flavor = "multi_thread")]
async fn another_sites_form_is_refused_and_starts_nothing() {
    let app = TestApp::start().await;
    let page = Page::new(&app).await;
    let before = app.stored().await;
    let own = app.url.clone();
    let foreign: [&[(&str, &str)]; 8] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", &own)],
        &[("sec-fetch-site", "bogus")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1.evil.example")],
        &[("origin", "")],
    ];
    for headers in foreign {
        let refused = page.pay_as(headers).await;
        assert_eq!(refused.refused("foreign"), (403, "cross_site".to_owned()), "{headers:?}");
    }
    assert_eq!(app.stored().await, before);
    let own: [&[(&str, &str)]; 4] = [
        &[("sec-fetch-site", "same-origin"), ("origin", &own)],
        &[("sec-fetch-site", "none")],
        &[("origin", &own)],
        &[],
    ];
    for headers in own {
        assert_eq!(page.pay_as(headers).await.status, 303, "{headers:?}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_script_and_style_are_served_and_nothing_beside_them() {
    let app = TestApp::start().await;
    for (name, kind) in
        [("checkout.css", "text/css; charset=utf-8"), ("checkout.js", "text/javascript; charset=utf-8")]
    {
        let asset = app.send(app.bare("GET", &format!("/assets/{name}"))).await;
        assert_eq!((asset.status, asset.header("content-type")), (200, Some(kind)));
        assert_eq!(asset.header("x-content-type-options"), Some("nosniff"));
        assert!(
            !asset.text.contains("eval(")
                && !asset.text.contains("innerHTML")
                && !asset.text.contains("http://")
        );
    }
    for name in ["checkout.html", "x", "%2e%2e%2fsrc%2fmain.rs", "checkout.js%00", ".env"] {
        let reply = app.send(app.bare("GET", &format!("/assets/{name}"))).await;
        assert_eq!(reply.refused(name), (404, "not_found".to_owned()));
    }
    app.stop().await;
}
