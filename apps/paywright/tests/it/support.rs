//! A whole Paywright for one test: its own database, its own sandbox, free ports.

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use paywright_app::{config::Settings, http::server, wiring::App, worker};
use paywright_postgres::{ApiKeys, PoolOptions, Postgres, TestDb};
use paywright_sandbox::{PresetEndpoint, Sandbox};
use serde_json::{Value, json};
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
    pub(crate) sandbox: Sandbox,
    pub(crate) app: Arc<App>,
    pub(crate) http: reqwest::Client,
    stop: CancellationToken,
    server: actix_web::dev::ServerHandle,
    _db: TestDb,
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
        let sandbox = sandbox.await.unwrap();
        let mut settings = Settings::defaults();
        settings.stripe.api_base = Some(sandbox.url().to_owned());
        settings.stripe.test.secret_key = Some("sk_test_integration".to_owned().into());
        settings.stripe.test.publishable_key = Some("pk_test_integration".to_owned());
        settings.stripe.test.webhook_secret = Some(WEBHOOK_SECRET.to_owned().into());
        settings.http.drain_seconds = 5;
        change(&mut settings);
        let store = Postgres::connect(db.url(), PoolOptions::default()).await.unwrap();
        store.migrate().await.unwrap();
        ApiKeys::new(&store).ensure_dev_key(KEY).await.unwrap();
        let app = Arc::new(App::new(settings, store, url.clone()).unwrap());
        let serving = server::serve(Arc::clone(&app), listener).unwrap();
        let (server, stop) = (serving.handle(), CancellationToken::new());
        tokio::spawn(serving);
        tokio::spawn(worker::run(Arc::clone(&app), stop.clone()));
        let no_redirects = reqwest::redirect::Policy::none();
        let http =
            reqwest::Client::builder().redirect(no_redirects).timeout(Duration::from_secs(30)).build().unwrap();
        Self { url, sandbox, app, http, stop, server, _db: db }
    }

    /// Stops serving and working; the database goes with the value.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.server.stop(false).await;
        self.sandbox.stop().await;
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

/// A JSON string's text.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}
