//! A whole Paywright for one test: its own database, its own sandbox, free ports.

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use paywright_app::{config::Settings, http::server, wiring::App, worker};
use paywright_postgres::{ApiKeys, PoolOptions, Postgres, TestDb};
use paywright_sandbox::{PresetEndpoint, Sandbox};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "pw_test_dev";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_integration";
pub(crate) const VISA: &str = "4242424242424242";
pub(crate) const DECLINED: &str = "4000000000000002";
pub(crate) const INSUFFICIENT_FUNDS: &str = "4000000000009995";
pub(crate) const THREE_D_SECURE: &str = "4000000000003220";

/// The program, in this process.
pub(crate) struct TestApp {
    pub(crate) url: String,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) app: Arc<App>,
    pub(crate) http: reqwest::Client,
    stop: CancellationToken,
    server: actix_web::dev::ServerHandle,
    db: Arc<TestDb>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.text))
    }

    /// The body, if the request went well.
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self.json()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The status with the problem's code.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        (self.status, self.json()["code"].as_str().unwrap().to_owned())
    }
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}, true).await
    }

    /// With other settings, and without deliveries if `webhooks` is false.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings), webhooks: bool) -> Self {
        let (db, listener) = (TestDb::new().await, TcpListener::bind("127.0.0.1:0").unwrap());
        let url = format!("http://{}", listener.local_addr().unwrap());
        let endpoint = PresetEndpoint::new(format!("{url}/webhooks/stripe"), WEBHOOK_SECRET);
        let sandbox = paywright_sandbox::start(paywright_sandbox::Options {
            bind: "127.0.0.1:0".parse().unwrap(),
            webhook_endpoints: if webhooks { vec![endpoint] } else { Vec::new() },
            ..paywright_sandbox::Options::default()
        });
        let sandbox = Arc::new(sandbox.await.unwrap());
        let mut settings = Settings::defaults();
        settings.stripe.api_base = Some(sandbox.url().to_owned());
        settings.stripe.test.secret_key = Some("sk_test_integration".to_owned().into());
        settings.stripe.test.publishable_key = Some("pk_test_integration".to_owned());
        settings.stripe.test.webhook_secret = Some(WEBHOOK_SECRET.to_owned().into());
        settings.http.drain_seconds = 5;
        // Who compares does so when the test says.
        settings.reconciliation.enabled = false;
        // Crowds are one customer at one address here, and strangers with wrong keys too.
        settings.limits.payments_per_address = None;
        settings.limits.payments_per_customer = None;
        settings.limits.bad_keys_per_address = None;
        change(&mut settings);
        Self::serve(settings, listener, Arc::new(db), sandbox).await
    }

    /// One that soon gives up waiting for Stripe, so that the worker soon goes on with what is open.
    pub(crate) async fn impatient() -> Self {
        let soon = |settings: &mut Settings| {
            (settings.stripe.deadline_seconds, settings.stripe.patience_seconds) = (2, 1);
        };
        Self::with(soon, true).await
    }

    /// Another server over the same database and sandbox.
    pub(crate) async fn over(other: &Self) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::serve(other.app.settings.clone(), listener, Arc::clone(&other.db), Arc::clone(&other.sandbox))
            .await
    }

    async fn serve(
        settings: Settings,
        listener: TcpListener,
        db: Arc<TestDb>,
        sandbox: Arc<Sandbox>,
    ) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let usual = PoolOptions::default();
        let options = PoolOptions { max: settings.database.max_connections.min(usual.max), ..usual };
        let store = Postgres::connect(db.url(), options).await.unwrap();
        store.migrate().await.unwrap();
        ApiKeys::new(&store).ensure_dev_key(KEY).await.unwrap();
        let app = Arc::new(App::new(settings, store, url.clone()).unwrap());
        let serving = server::serve(Arc::clone(&app), listener).unwrap();
        let (server, stop) = (serving.handle(), CancellationToken::new());
        tokio::spawn(serving);
        tokio::spawn(worker::run(Arc::clone(&app), stop.clone()));
        let no_redirects = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder()
            .redirect(no_redirects)
            .timeout(Duration::from_secs(120))
            .build()
            .unwrap();
        Self { url, sandbox, app, http, stop, server, db }
    }

    /// Stops serving and working; the database goes with the value.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.server.stop(false).await;
        if let Some(sandbox) = Arc::into_inner(self.sandbox) {
            sandbox.stop().await;
        }
        self.app.store.close().await;
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("{}{path}", self.url)).bearer_auth(KEY)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.request("POST", path).json(&body)).await
    }

    pub(crate) async fn post_with_key(&self, path: &str, key: &str, body: Value) -> Reply {
        self.send(self.request("POST", path).header("idempotency-key", key).json(&body)).await
    }

    /// A new product's id.
    pub(crate) async fn product(&self, unit_amount: u64, currency: &str) -> String {
        let body = json!({"name": "Tea, 100 g", "unit_amount": unit_amount, "currency": currency});
        text(&self.post("/v1/products", body).await.ok()["id"])
    }

    /// A new order's id, over 39.98 USD.
    pub(crate) async fn order(&self) -> String {
        let product = self.product(1999, "usd").await;
        let items = json!([{"product": product, "quantity": 2}]);
        let body = json!({"currency": "usd", "items": items, "customer_email": "ada@example.org"});
        text(&self.post("/v1/orders", body).await.ok()["id"])
    }

    pub(crate) async fn show(&self, order: &str) -> Value {
        self.get(&format!("/v1/orders/{order}")).await.ok()
    }

    /// A command on an order.
    pub(crate) async fn command(&self, order: &str, command: &str, body: Value) -> Reply {
        self.post(&format!("/v1/orders/{order}/{command}"), body).await
    }

    /// Starts paying on the hosted page: the Session's id.
    pub(crate) async fn session(&self, order: &str) -> String {
        let page = self.command(order, "checkout-session", json!({})).await.ok();
        text(&page["url"]).rsplit('/').next().unwrap().to_owned()
    }

    /// Starts paying by an intent: its id.
    pub(crate) async fn intent(&self, order: &str) -> String {
        let answer = self.command(order, "payment-intent", json!({})).await.ok();
        text(&answer["client_secret"]).split("_secret_").next().unwrap().to_owned()
    }

    /// What the customer does at Stripe.
    pub(crate) async fn at_stripe(&self, path: &str, body: Value) -> Reply {
        self.send(self.http.post(format!("{}/_sandbox/{path}", self.sandbox.url())).json(&body)).await
    }

    pub(crate) async fn pay_session(&self, session: &str, card: &str) -> Reply {
        self.at_stripe(&format!("checkout/sessions/{session}/pay"), json!({"card": card})).await
    }

    pub(crate) async fn pay_intent(&self, intent: &str, card: &str) -> Reply {
        self.at_stripe(&format!("payment_intents/{intent}/pay"), json!({"card": card})).await
    }

    /// Waits until the order is in a state.
    pub(crate) async fn until(&self, order: &str, state: &str) -> Value {
        self.until_that(order, |shown| shown["state"] == state).await
    }

    /// Waits until something is so, at most 20 seconds.
    pub(crate) async fn until_that(&self, order: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let shown = self.show(order).await;
            if holds(&shown) {
                return shown;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "still {shown:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The timeline as `subject/event` lines.
    pub(crate) async fn timeline(&self, order: &str) -> Vec<Value> {
        let list = self.get(&format!("/v1/orders/{order}/timeline")).await.ok();
        list["data"].as_array().unwrap().clone()
    }
}

/// Looking behind the API, and speaking HTTP that no client library would.
impl TestApp {
    /// Another app's requests with another credential, or none.
    pub(crate) fn bare(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("{}{path}", self.url))
    }

    /// Where the database is.
    pub(crate) fn database_url(&self) -> String {
        self.db.url().to_owned()
    }

    /// A number out of the database.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.app.store.pool()).await.unwrap()
    }

    /// One column of texts out of the database; `$1` is `bound`.
    pub(crate) async fn texts(&self, sql: &'static str, bound: &str) -> Vec<String> {
        sqlx::query_scalar(sql).bind(bound).fetch_all(self.app.store.pool()).await.unwrap()
    }

    /// Changes the database by hand; `$1` is `bound`.
    pub(crate) async fn by_hand(&self, sql: &'static str, bound: &str) {
        sqlx::query(sql).bind(bound).execute(self.app.store.pool()).await.unwrap();
    }

    /// Everything that requests may leave behind, as numbers of rows. Events are apart: Stripe sends some late.
    pub(crate) async fn stored(&self) -> String {
        let sql = "SELECT concat_ws(' ', (SELECT count(*) FROM products), (SELECT sum(version) FROM products),
            (SELECT count(*) FROM customers), (SELECT count(*) FROM orders), (SELECT sum(version) FROM orders),
            (SELECT count(*) FROM order_items), (SELECT count(*) FROM payments), (SELECT count(*) FROM gateway_calls),
            (SELECT count(*) FROM order_transitions), (SELECT count(*) FROM jobs WHERE kind <> 'read_event'),
            (SELECT sum(version) FROM payments), (SELECT count(*) FROM refunds), (SELECT count(*) FROM disputes),
            (SELECT count(*) FROM ledger_entries), (SELECT count(*) FROM breaks),
            (SELECT count(*) FROM idempotency_keys))";
        sqlx::query_scalar(sql).fetch_one(self.app.store.pool()).await.unwrap()
    }

    /// Sends bytes over a connection of their own and reads what comes back until it is closed, or for `patience`.
    pub(crate) async fn raw(&self, bytes: &[u8], patience: Duration) -> String {
        let (mut from, mut to) = self.connect().await.into_split();
        let bytes = bytes.to_vec();
        // The server may answer, and hang up, before it was sent everything.
        let sending = tokio::spawn(async move {
            let _ = to.write_all(&bytes).await;
            to
        });
        let answer = read_all(&mut from, patience).await;
        drop(sending.await.unwrap());
        answer
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.trim_start_matches("http://")).await.unwrap()
    }

    /// The time, as the program has it.
    pub(crate) fn now(&self) -> i64 {
        self.app.ports.clock.now().unix_timestamp()
    }

    /// Delivers an event as Stripe would.
    pub(crate) async fn deliver(&self, event: &Value) -> Reply {
        self.deliver_bytes(event.to_string().into_bytes()).await
    }

    /// Delivers bytes, signed now.
    pub(crate) async fn deliver_bytes(&self, body: Vec<u8>) -> Reply {
        let signature = signature(WEBHOOK_SECRET, self.now(), &body);
        self.webhook(Some(&signature), body).await
    }

    /// Posts to the webhook's address.
    pub(crate) async fn webhook(&self, signature: Option<&str>, body: Vec<u8>) -> Reply {
        let request =
            self.bare("POST", "/webhooks/stripe").header("content-type", "application/json").body(body);
        let request = match signature {
            Some(signature) => request.header("stripe-signature", signature),
            None => request,
        };
        self.send(request).await
    }

    /// What a `GET` of Stripe's API answers.
    pub(crate) async fn stripe(&self, path: &str) -> Value {
        let request =
            self.http.get(format!("{}/v1/{path}", self.sandbox.url())).bearer_auth("sk_test_integration");
        self.send(request).await.ok()
    }

    /// All objects of one of Stripe's lists that belong to an order.
    pub(crate) async fn at_stripe_of(&self, list: &str, order: &str) -> Vec<Value> {
        let listed = self.stripe(&format!("{list}?limit=100")).await;
        assert_eq!(listed["has_more"], false, "more than a page of {list}");
        let ours = |object: &&Value| object["metadata"]["paywright_order"] == order;
        listed["data"].as_array().unwrap().iter().filter(ours).cloned().collect()
    }

    /// Waits until nothing is left to be delivered or done but timers, at most 20 seconds.
    pub(crate) async fn quiet(&self) {
        let begun = Instant::now();
        loop {
            let open = "SELECT count(*) FROM jobs WHERE state = 'ready' AND kind <> 'watch_order'";
            let deliveries =
                self.send(self.http.get(format!("{}/_sandbox/deliveries", self.sandbox.url()))).await.ok();
            let jobs = self.count(open).await;
            if deliveries["open"] == 0 && jobs == 0 {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{jobs} jobs, {:#}", deliveries["waiting"]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// An order that was paid by a card.
    pub(crate) async fn paid_order(&self) -> String {
        let order = self.order().await;
        let intent = self.intent(&order).await;
        self.pay_intent(&intent, VISA).await.ok();
        self.until(&order, "paid").await;
        order
    }
}

/// Reserved money, and money that goes back.
impl TestApp {
    /// A new order's id, over 39.98 USD, whose money is reserved first.
    pub(crate) async fn manual_order(&self) -> String {
        let product = self.product(1999, "usd").await;
        let items = json!([{"product": product, "quantity": 2}]);
        let body = json!({"currency": "usd", "items": items, "capture_method": "manual"});
        text(&self.post("/v1/orders", body).await.ok()["id"])
    }

    /// An order whose money is reserved, and its payment.
    pub(crate) async fn authorized(&self) -> (String, String) {
        let order = self.manual_order().await;
        let intent = self.intent(&order).await;
        self.pay_intent(&intent, VISA).await.ok();
        let shown = self.until(&order, "authorized").await;
        (order, text(&shown["payments"][0]["id"]))
    }

    /// An order that was paid by this card, and its payment.
    pub(crate) async fn paid_by(&self, card: &str) -> (String, String) {
        let order = self.order().await;
        let intent = self.intent(&order).await;
        self.pay_intent(&intent, card).await.ok();
        let shown = self.until(&order, "paid").await;
        (order, text(&shown["payments"][0]["id"]))
    }

    /// A command on a payment.
    pub(crate) async fn on_payment(&self, payment: &str, command: &str, body: Value) -> Reply {
        self.post(&format!("/v1/payments/{payment}/{command}"), body).await
    }

    pub(crate) async fn payment(&self, payment: &str) -> Value {
        self.get(&format!("/v1/payments/{payment}")).await.ok()
    }

    /// Gives back so much for goodwill.
    pub(crate) async fn refund(&self, payment: &str, amount: u64) -> Reply {
        let body = json!({"payment": payment, "amount": amount, "reason": "goodwill"});
        self.post("/v1/refunds", body).await
    }

    /// The payment's name at Stripe.
    pub(crate) async fn intent_of(&self, payment: &str) -> String {
        text(&self.payment(payment).await["stripe_payment_intent"])
    }

    /// All refunds of a payment at Stripe, newest first.
    pub(crate) async fn refunds_at_stripe(&self, payment: &str) -> Vec<Value> {
        let intent = self.intent_of(payment).await;
        let listed = self.stripe(&format!("refunds?limit=100&payment_intent={intent}")).await;
        assert_eq!(listed["has_more"], false, "more than a page of refunds");
        listed["data"].as_array().unwrap().clone()
    }

    /// Waits until it is known what Stripe kept of a payment, which it tells last.
    pub(crate) async fn until_fee(&self, payment: &str) {
        let order = text(&self.payment(payment).await["order"]);
        let told = |shown: &Value| {
            let payments = shown["payments"].as_array().unwrap();
            payments.iter().any(|one| one["id"] == payment && !one["fee"].is_null())
        };
        self.until_that(&order, told).await;
    }

    /// Makes Stripe's requests or deliveries go wrong.
    pub(crate) async fn faults(&self, rules: Value) {
        self.at_stripe("faults", rules).await.ok();
    }

    pub(crate) async fn no_faults(&self) {
        let url = format!("{}/_sandbox/faults", self.sandbox.url());
        self.send(self.http.delete(url)).await.ok();
    }

    /// Lets time pass at Stripe: `72h`.
    pub(crate) async fn advance(&self, time: &str) {
        self.at_stripe("clock", json!({"advance": time})).await.ok();
    }

    /// The kinds of the open breaks.
    pub(crate) async fn breaks(&self) -> Vec<String> {
        self.texts("SELECT kind FROM breaks WHERE $1 <> '' ORDER BY kind", "x").await
    }
}

/// Reads until a problem's end, until the other side hangs up, or for `patience`.
pub(crate) async fn read_all(from: &mut (impl AsyncRead + Unpin), patience: Duration) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while from.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) && !bytes.ends_with(b"}") {}
    };
    let _ = tokio::time::timeout(patience, reading).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `Stripe-Signature` as Stripe makes it. Source: <https://docs.stripe.com/webhooks/signatures>
pub(crate) fn signature(secret: &str, at: i64, body: &[u8]) -> String {
    format!("t={at},v1={}", v1(secret, at, body))
}

/// The signature itself.
pub(crate) fn v1(secret: &str, at: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

impl Reply {
    /// Asserts that this refuses a request as the API promises, and returns status and code.
    pub(crate) fn refused(&self, what: &str) -> (u16, String) {
        assert!((400..500).contains(&self.status), "{what}: {} {}", self.status, self.text);
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{what}: {} {}",
            self.status,
            self.text
        );
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{what}");
        assert!(self.header("x-request-id").is_some_and(|id| id.len() > 8), "{what}: no request id");
        assert!(self.text.len() < 2_000, "{what}: it echoes {} bytes", self.text.len());
        let (problem, (status, code)) = (self.json(), self.problem());
        assert_eq!(problem["type"], format!("urn:paywright:problem:{code}"), "{what}");
        assert_eq!(problem["status"], status, "{what}");
        assert!(
            !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{what}: {code}"
        );
        (status, code)
    }

    /// The field that a 422 names.
    pub(crate) fn field(&self, what: &str) -> String {
        assert_eq!(self.refused(what), (422, "invalid_request".to_owned()), "{what}: {}", self.text);
        text(&self.json()["errors"][0]["field"])
    }
}

/// A JSON string's text.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}
