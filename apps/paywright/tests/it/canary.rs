//! A whole day of the real binary at its most talkative, and then a search through everything that it said.

use std::{collections::BTreeMap, time::UNIX_EPOCH};

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::{
    attacks_table::{Door, TABLE},
    canary_stripe::Echo,
    canary_watch::Canaries,
    doctor::{EMAIL, OLD_SECRET, SECRET_KEY, Shop, delivery},
    metrics,
    process::Process,
    relay::{Relay, until},
    support::{DECLINED, KEY, Reply, VISA, text},
};

const NEW_SECRET: &str = "whsec_canary5newsecret";
const PASSWORD: &str = "canary7databasepassword";
const PAYER: &str = "Canary8 Payer";
const PAYERS_EMAIL: &str = "canary9.payer@example.net";
/// A card where none belongs.
const NOTED_CARD: &str = "4000056655665556";
const DISPUTED: &str = "4000000000000259";

/// A shop whose processes write down everything, and everything that they answered.
struct Day {
    shop: Shop,
    database: String,
    stripe: Relay,
    canaries: Canaries,
    found: Vec<String>,
    sent: usize,
    /// Goes where it is sent and nowhere else.
    http: reqwest::Client,
}

impl Day {
    async fn new() -> Self {
        let (shop, stripe) = (Shop::new(Some(OLD_SECRET)).await, Relay::start().await);
        stripe.lead_to(&[&shop.sandbox.addr().to_string()]);
        let url = shop.db.url();
        let joint = if url.contains('?') { '&' } else { '?' };
        let mut canaries = Canaries::default();
        for (what, word) in [
            ("Stripe's key", SECRET_KEY),
            ("webhook secret", OLD_SECRET),
            ("new webhook secret", NEW_SECRET),
            ("database password", PASSWORD),
            ("API key", KEY),
            ("e-mail", EMAIL),
            ("e-mail", PAYERS_EMAIL),
            ("name", PAYER),
            ("card", VISA),
            ("note", NOTED_CARD),
        ] {
            canaries.add(what, word);
        }
        let database = format!("{url}{joint}password={PASSWORD}");
        let stay = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().redirect(stay).no_proxy().build().unwrap();
        Self { shop, database, stripe, canaries, found: Vec::new(), sent: 0, http }
    }

    fn env<'a>(&'a self, secrets: &'a str, format: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut env = self.shop.env(secrets);
        env.extend([
            ("DATABASE_URL", self.database.as_str()),
            ("STRIPE_API_BASE", &self.stripe.url),
            ("PAYWRIGHT__LOG__FILTER", "trace"),
            ("PAYWRIGHT__LOG__FORMAT", format),
            ("PAYWRIGHT__STRIPE__OUTAGE_PAUSE_SECONDS", "1"),
            ("PAYWRIGHT__STRIPE__REFUSAL_PAUSE_SECONDS", "1"),
            ("PAYWRIGHT__STRIPE__DEADLINE_SECONDS", "2"),
        ]);
        env
    }

    fn start(&self, command: &[&str], format: &str) -> Process {
        let secrets = format!("{NEW_SECRET},{OLD_SECRET}");
        Process::start(self.shop.folder.path(), command, &self.env(&secrets, format))
    }

    /// Sends a request and searches the answer.
    async fn ask(&mut self, route: &str, request: RequestBuilder) -> Reply {
        let request = request.build().unwrap();
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let sent = format!("{} {}", request.url(), String::from_utf8_lossy(body));
        let answer = self.http.execute(request).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let reply = Reply { status, headers, text: answer.text().await.unwrap() };
        self.found.extend(self.canaries.answered(route, &sent, &reply));
        reply
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.shop.us.url);
        self.shop.http.request(method.parse().unwrap(), url).bearer_auth(KEY)
    }

    /// Sends to a route of the table.
    async fn send(&mut self, method: &str, route: &str, id: &str, body: Option<Value>) -> Reply {
        let request = self.request(method, &route.replace("{id}", id));
        let request = body.into_iter().fold(request, |request, body| request.json(&body));
        self.sent += 1;
        let request = request.header("idempotency-key", format!("request {}", self.sent));
        self.ask(route, request).await
    }

    async fn post(&mut self, route: &str, id: &str, body: Value) -> Value {
        self.send("POST", route, id, Some(body)).await.ok()
    }

    async fn product(&mut self) -> String {
        let body = json!({"name": format!("Tea {NOTED_CARD}"), "unit_amount": 1999, "currency": "usd",
            "metadata": {"card": NOTED_CARD}});
        text(&self.post("/v1/products", "", body).await["id"])
    }

    async fn order(&mut self, product: &str, capture: &str) -> String {
        let body = json!({"currency": "usd", "items": [{"product": product, "quantity": 2}],
            "customer_email": EMAIL, "metadata": {"card": NOTED_CARD}, "capture_method": capture});
        let order = self.post("/v1/orders", "", body).await;
        let token = text(&order["checkout_url"]).rsplit('/').next().unwrap().to_owned();
        self.canaries.add("page token", &token);
        text(&order["id"])
    }

    /// Starts paying: the intent's id.
    async fn intent(&mut self, order: &str) -> String {
        let answer = self.post("/v1/orders/{id}/payment-intent", order, json!({})).await;
        let secret = text(&answer["client_secret"]);
        self.canaries.add("client secret", &secret);
        secret.split("_secret_").next().unwrap().to_owned()
    }

    async fn until(&mut self, order: &str, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let shown = self.send("GET", "/v1/orders/{id}", order, None).await.ok();
            if holds(&shown) {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// An order paid by a card: it as it is shown.
    async fn paid(&mut self, product: &str, card: &str, capture: &str) -> Value {
        let order = self.order(product, capture).await;
        let intent = self.intent(&order).await;
        self.shop.pay(&intent, DECLINED).await;
        assert_eq!(self.shop.pay(&intent, card).await, 200);
        self.until(&order, |shown| ["paid", "authorized"].contains(&shown["state"].as_str().unwrap())).await
    }
}

/// All goes well, and whatever a merchant may write down is a card's number.
async fn a_good_day(day: &mut Day) -> BTreeMap<&'static str, String> {
    let product = day.product().await;
    let noted = format!("card {NOTED_CARD}");
    let one = day.paid(&product, VISA, "automatic").await;
    let (order, payment) = (text(&one["id"]), text(&one["payments"][0]["id"]));
    let refund = json!({"payment": payment, "amount": 500, "reason": "goodwill", "note": noted});
    let refund = text(&day.post("/v1/refunds", "", refund).await["id"]);
    day.post("/v1/orders/{id}/fulfillment", &order, json!({})).await;
    day.post("/v1/orders/{id}/ship", &order, json!({"carrier": "DHL", "tracking": NOTED_CARD})).await;
    day.post("/v1/orders/{id}/complete", &order, json!({})).await;
    let held = day.paid(&product, VISA, "manual").await;
    let held = text(&held["payments"][0]["id"]);
    day.post("/v1/payments/{id}/capture", &held, json!({"amount": 700})).await;
    let failed = text(&day.paid(&product, VISA, "automatic").await["id"]);
    day.post("/v1/orders/{id}/fulfillment/failed", &failed, json!({"reason": "out of stock"})).await;
    let contested = text(&day.paid(&product, DISPUTED, "automatic").await["id"]);
    let contested = day.until(&contested, |shown| shown["disputes"] != json!([])).await;
    let dispute = text(&contested["disputes"][0]["id"]);
    let evidence = json!({"evidence": {"uncategorized_text": noted, "customer_email_address": EMAIL}});
    day.post("/v1/disputes/{id}/evidence", &dispute, evidence).await;
    day.send("GET", "/v1/disputes/{id}", &dispute, None).await.ok();
    day.post("/v1/disputes/{id}/submit", &dispute, json!({})).await;

    // The page, and the page at Stripe.
    let hosted = day.order(&product, "automatic").await;
    let page = text(&day.until(&hosted, |_| true).await["checkout_url"]);
    let page = page.strip_prefix(&day.shop.us.url).unwrap().to_owned();
    for (method, route) in
        [("GET", "/checkout/{token}"), ("GET", "/checkout/{token}/state"), ("POST", "/checkout/{token}/pay")]
    {
        let (_, end) = route.split_once("{token}").unwrap();
        let request =
            day.shop.http.request(method.parse().unwrap(), format!("{}{page}{end}", day.shop.us.url));
        day.ask(route, request).await;
    }
    let session = text(&day.post("/v1/orders/{id}/checkout-session", &hosted, json!({})).await["url"]);
    let session = session.rsplit('/').next().unwrap().to_owned();
    let paying = json!({"card": VISA, "email": PAYERS_EMAIL});
    assert_eq!(day.shop.control(&format!("checkout/sessions/{session}/pay"), paying).await, 200);
    day.until(&hosted, |shown| shown["state"] == "paid").await;
    let first = |listed: &Value| text(&listed["data"][0]["id"]);
    let event = first(&day.send("GET", "/v1/inbox", "", None).await.ok());
    let job = first(&day.send("GET", "/v1/jobs", "", None).await.ok());
    BTreeMap::from([
        ("product", product),
        ("order", order),
        ("payment", payment),
        ("refund", refund),
        ("dispute", dispute),
        ("event", event),
        ("job", job),
        ("held", held),
        ("hosted", hosted),
    ])
}

/// Events with more of a person than we need, and some that nobody can read.
async fn events(day: &mut Day, known: &BTreeMap<&'static str, String>) {
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
    let personal = json!({"name": PAYER, "email": PAYERS_EMAIL, "phone": NOTED_CARD});
    let charge = |id: &str, object: Value| {
        json!({"id": id, "object": "event", "type": "payment_intent.succeeded", "created": now,
            "livemode": false, "api_version": "2026-07-29.dahlia", "data": {"object": object}})
        .to_string()
    };
    let intent = json!({"id": "pi_canary", "object": "payment_intent", "amount": 1, "currency": PAYERS_EMAIL,
        "status": "succeeded", "receipt_email": PAYERS_EMAIL, "billing_details": personal,
        "client_secret": format!("pi_canary_secret_{}", "x".repeat(20)), "created": now, "livemode": false,
        "metadata": {"paywright_payment": known["payment"], "paywright_order": PAYERS_EMAIL}});
    day.canaries.add("client secret", &format!("pi_canary_secret_{}", "x".repeat(20)));
    let mut foreign = intent.clone();
    foreign["currency"] = json!("usd");
    foreign["amount_received"] = json!(4200);
    foreign["metadata"]["paywright_payment"] = json!("pay_00000000000000000000000000");
    foreign["last_payment_error"] = json!({"type": "card_error", "code": "card_declined",
        "message": format!("{PAYERS_EMAIL} may not pay with {VISA}"), "decline_code": "generic_decline"});
    let bodies = [
        charge("evt_canary1", intent),
        charge("evt_canary2", foreign),
        charge("evt_canary3", json!(PAYERS_EMAIL)),
        format!("{{\"id\": \"evt_canary4\", {PAYERS_EMAIL} {PAYER}"),
        format!("{PAYERS_EMAIL} {PAYER}"),
    ];
    for body in bodies {
        for (secret, at) in
            [(NEW_SECRET, now), (OLD_SECRET, now), (OLD_SECRET, now - 4_000), (SECRET_KEY, now)]
        {
            let request = delivery(&day.shop, secret, at, &body);
            day.ask("/webhooks/stripe", request).await;
        }
        let unsigned =
            day.request("POST", "/webhooks/stripe").header("stripe-signature", &body[..8]).body(body);
        day.ask("/webhooks/stripe", unsigned).await;
    }
    until("the events were read", async || {
        let open = "SELECT count(*) FROM jobs WHERE state = 'ready' AND kind = 'read_event' AND attempts < 2";
        let open: i64 = sqlx::query_scalar(open).fetch_one(day.shop.store.pool()).await.unwrap();
        (open == 0).then_some(())
    })
    .await;
    let listed = day.send("GET", "/v1/inbox", "", None).await.ok();
    for event in listed["data"].as_array().unwrap() {
        let id = text(&event["id"]);
        day.send("GET", "/v1/inbox/{id}", &id, None).await;
        day.send("POST", "/v1/inbox/{id}/replay", &id, Some(json!({}))).await;
    }
    let listed = day.send("GET", "/v1/breaks", "", None).await.ok();
    for found in listed["data"].as_array().unwrap() {
        let why = json!({"reason": format!("card {NOTED_CARD}")});
        day.send("POST", "/v1/breaks/{id}/resolve", &text(&found["id"]), Some(why)).await;
    }
}

/// Every route with what does not belong there: in its path, its query, its body, its headers.
async fn confused(day: &mut Day, known: &BTreeMap<&'static str, String>) {
    let tokens = [KEY, NOTED_CARD, EMAIL, SECRET_KEY, NEW_SECRET, VISA];
    for route in TABLE {
        let path = route.to(tokens[route.path.len() % tokens.len()]);
        for word in tokens {
            let body = json!({word: word, "reason": word, "name": word, "currency": word, "customer_email": word,
                "payment": word, "items": [{"product": word}], "amount": word, "evidence": {word: word}});
            let requests = [
                day.request(route.method, &route.to(word)).json(&route.example(known)),
                day.request(
                    route.method,
                    &format!("{path}?{word}={word}&starting_after={word}&state={word}"),
                ),
                day.request(route.method, &path).json(&body),
                day.request(route.method, &path).json(&json!(word)),
                day.request(route.method, &path)
                    .body(format!("{{\"{word}"))
                    .header("content-type", "application/json"),
                day.request(route.method, &path).header("idempotency-key", word).json(&body),
                day.shop
                    .http
                    .request(route.method.parse().unwrap(), format!("{}{path}", day.shop.us.url))
                    .bearer_auth(word)
                    .header("x-request-id", word)
                    .header("user-agent", word)
                    .header("cookie", word),
            ];
            for request in requests {
                day.ask(route.path, request).await;
            }
        }
    }
    let bulk = json!({"object": EMAIL, "type": NOTED_CARD, "dry_run": true});
    day.send("POST", "/v1/inbox/replay", "", Some(bulk)).await.ok();
    for (route, kind) in [("/v1/orders/{id}/cancel", "order"), ("/v1/payments/{id}/sync", "payment")] {
        day.send("POST", route, &known[kind], Some(json!({}))).await;
    }
}

/// Everything that leads to Stripe.
async fn asked_in_vain(day: &mut Day, known: &BTreeMap<&'static str, String>) {
    let first = day.order(&known["product"], "automatic").await;
    let second = day.order(&known["product"], "manual").await;
    let refund = json!({"payment": known["payment"], "amount": 1, "reason": "goodwill"});
    for (route, id, body) in [
        ("/v1/orders/{id}/checkout-session", &first, json!({})),
        ("/v1/orders/{id}/payment-intent", &second, json!({})),
        ("/v1/refunds", &known["payment"], refund),
        ("/v1/payments/{id}/sync", &known["payment"], json!({})),
        ("/v1/orders/{id}/cancel", &first, json!({})),
        ("/v1/reconciliation/runs", &first, json!({})),
    ] {
        day.send("POST", route, id, Some(body)).await;
    }
    for order in [&first, &second] {
        let page = text(&day.until(order, |_| true).await["checkout_url"]);
        let press = day.shop.http.post(format!("{page}/pay"));
        day.ask("/checkout/{token}/pay", press).await;
        day.send("GET", "/v1/orders/{id}/timeline", order, None).await;
    }
}

/// Stripe refuses everything and tells everybody why.
async fn a_mad_stripe(day: &mut Day, known: &BTreeMap<&'static str, String>) {
    let echo = Echo::start().await;
    day.stripe.lead_to(&[&echo.address]);
    for status in [500, 400, 402, 404, 409, 429, 200, 401, 403] {
        echo.says(status);
        // While a breaker is open nobody asks; it closes by itself.
        let before = echo.asked();
        while echo.asked() == before {
            asked_in_vain(day, known).await;
            tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        }
    }
    command(day, &["doctor", "--json"]).await;
    command(day, &["reconcile", "--json"]).await;
    command(day, &["webhooks", "roll", "start"]).await;
    let listed = day.send("GET", "/v1/jobs", "", None).await.ok();
    for job in listed["data"].as_array().unwrap() {
        day.send("GET", "/v1/jobs/{id}", &text(&job["id"]), None).await;
    }
    let (stripe, sandbox) = (day.stripe.clone(), day.shop.sandbox.addr().to_string());
    stripe.lead_to(&[&sandbox]);
}

/// Runs a command to its end and searches what it says.
async fn command(day: &mut Day, args: &[&str]) {
    let ended = day.start(args, "json").ended().await;
    let said = format!("{}\n{}", ended.stdout, ended.stderr);
    let found = day.canaries.written(&format!("paywright {}", args.join(" ")), &said);
    day.found.extend(found);
}

/// The database is away.
async fn without_a_database(day: &mut Day, known: &BTreeMap<&'static str, String>) {
    let url = day.shop.db.url().to_owned();
    let (before, parameters) = url.split_once('?').unwrap_or((&url, ""));
    let (server, name) = before.rsplit_once('/').unwrap();
    let mut beside = PgConnection::connect(&format!("{server}/postgres?{parameters}")).await.unwrap();
    let allow = |allowed: bool| {
        AssertSqlSafe(format!(
            "ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS {allowed};
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
    };
    beside.execute(sqlx::raw_sql(allow(false))).await.unwrap();
    for route in TABLE.iter().filter(|route| route.method == "GET" || route.path == "/v1/orders") {
        let id = if route.door == Door::Token { "" } else { &known["order"] };
        let request = day.request(route.method, &route.to(id));
        let request = if route.body.is_some() { request.json(&route.example(known)) } else { request };
        day.ask(route.path, request).await;
    }
    command(day, &["jobs", "list", "--json"]).await;
    command(day, &["serve"]).await;
    beside.execute(sqlx::raw_sql(allow(true))).await.unwrap();
    beside.close().await.unwrap();
    until("the database is back", async || {
        let asked = day.shop.http.get(format!("{}/readyz", day.shop.us.url)).send().await.ok()?;
        asked.status().is_success().then_some(())
    })
    .await;
}

/// Covers: I31, fault 134, fault 135, fault 142, S-2.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_written_on_a_whole_day_tells_a_secret() {
    let mut day = Day::new().await;
    let (mut speaking, mut terse) = (day.start(&["serve"], "json"), day.start(&["serve"], "text"));
    let worker = day.start(&["worker"], "text");
    let servers = [speaking.address().await, terse.address().await];
    day.shop.us.lead_to(&[&servers[0], &servers[1]]);
    let metrics = [metrics::address(&mut speaking).await, metrics::address(&mut terse).await];

    let known = a_good_day(&mut day).await;
    events(&mut day, &known).await;
    confused(&mut day, &known).await;
    a_mad_stripe(&mut day, &known).await;
    for args in [
        &["inbox", "list", "--json"][..],
        &["inbox", "show", &known["event"], "--json"],
        &["inbox", "show", "evt_canary1", "--body"],
        &["inbox", "replay", "evt_canary1"],
        &["jobs", "list", "--json"],
        &["jobs", "list"],
        &["report", "order", &known["order"], "--json"],
        &["reconcile", "--json"],
        &["keys", "list", "--json"],
        &["doctor", "--json"],
        &["doctor"],
        &["migrate"],
    ] {
        command(&mut day, args).await;
    }
    without_a_database(&mut day, &known).await;
    for address in metrics {
        let shown = day.shop.http.get(format!("http://{address}/metrics"));
        let page = day.ask("/metrics", shown).await;
        assert_eq!(page.status, 200);
    }
    for (by, process) in [("serve, JSON", speaking), ("serve, text", terse), ("worker, text", worker)] {
        let ended = process.terminate().await;
        assert!(ended.status.success() && ended.stderr.len() > 100_000, "{by}: {}", ended.stderr.len());
        assert!(ended.stderr.contains("TRACE"), "{by} is not talkative");
        assert!(!ended.stderr.contains("panicked"), "{by} panicked");
        day.found.extend(day.canaries.written(by, &format!("{}{}", ended.stdout, ended.stderr)));
    }
    day.found.extend(day.canaries.stored(day.shop.store.pool()).await);
    day.found.sort_unstable();
    day.found.dedup();
    assert!(day.found.is_empty(), "{} places:\n{}", day.found.len(), day.found.join("\n"));
}
