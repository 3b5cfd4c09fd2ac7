//! A sandbox of one's own, a client for it, and a receiver of webhooks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paywright_sandbox::{Options, PresetEndpoint, Sandbox, start};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "sk_test_harness";

pub(crate) fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A running sandbox and a client with a test key.
pub(crate) struct Rig {
    sandbox: Sandbox,
    http: reqwest::Client,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {}", self.text)).to_owned()
    }

    /// The answer, if it is a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text);
        self
    }

    pub(crate) fn error(&self, name: &str) -> &str {
        self.body["error"][name].as_str().unwrap_or_default()
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let sandbox = start(Options { bind: local(), ..options }).await.unwrap();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .no_proxy()
            .build()
            .unwrap();
        Self { sandbox, http }
    }

    /// A sandbox that sends its events to `receiver`.
    pub(crate) async fn sending_to(receiver: &Receiver) -> Self {
        let endpoint = PresetEndpoint::new(receiver.url.clone(), "whsec_test");
        let retry_schedule = vec![Duration::from_millis(20); 5];
        Self::with(Options { webhook_endpoints: vec![endpoint], retry_schedule, ..Options::default() }).await
    }

    pub(crate) fn url(&self) -> &str {
        self.sandbox.url()
    }

    pub(crate) async fn stop(self) {
        self.sandbox.stop().await;
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text }
    }

    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url()))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(reqwest::Method::GET, path).bearer_auth(KEY)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(reqwest::Method::DELETE, path).bearer_auth(KEY)).await
    }

    pub(crate) fn form(&self, path: &str, form: &str) -> reqwest::RequestBuilder {
        self.request(reqwest::Method::POST, path)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.to_owned())
    }

    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        self.send(self.form(path, form).bearer_auth(KEY)).await
    }

    pub(crate) async fn control(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(reqwest::Method::POST, path).body(body.to_string())).await
    }

    /// A confirmed intent of ten dollars.
    pub(crate) async fn paid(&self, more: &str) -> Answer {
        let form = format!("amount=1000&currency=usd&confirm=true&payment_method=pm_card_visa&{more}");
        self.post("/v1/payment_intents", form.trim_end_matches('&')).await.ok()
    }

    /// The types of all events, oldest first.
    pub(crate) async fn event_types(&self) -> Vec<String> {
        let page = self.get("/v1/events?limit=100").await.ok();
        let types = page.body["data"].as_array().unwrap().iter().rev();
        types.map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn advance(&self, by: &str) {
        self.control("/_sandbox/clock", &serde_json::json!({"advance": by})).await.ok();
    }
}

/// A webhook as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A server that keeps what it gets and answers a status of one's choice.
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(local()).await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let (received, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let shared = (Arc::clone(&received), Arc::clone(&answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.0.clone(), shared.1.clone()));
            }
        });
        Self { url, received, answers }
    }

    /// Statuses for the next requests; 200 after them.
    pub(crate) fn answer(&self, statuses: &[u16]) {
        *self.answers.lock().unwrap() = statuses.to_vec();
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Waits until `count` webhooks have come.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> impl Future<Output = Vec<Received>> {
        let received = Arc::clone(&self.received);
        async move {
            for _ in 0..500 {
                let now = received.lock().unwrap().clone();
                if now.len() >= count {
                    return now;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("only {} of {count} webhooks came", received.lock().unwrap().len());
        }
    }
}

async fn serve(
    mut stream: tokio::net::TcpStream,
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<Vec<u16>>>,
) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let one = Received { head: head.to_owned(), body: body.to_owned() };
            let length: usize = one.header("content-length").unwrap_or("0").parse().unwrap();
            if body.len() >= length {
                let status = {
                    let mut answers = answers.lock().unwrap();
                    if answers.is_empty() { 200 } else { answers.remove(0) }
                };
                received.lock().unwrap().push(one);
                let extra = if status == 302 { "Location: http://127.0.0.1:1/elsewhere\r\n" } else { "" };
                let answer =
                    format!("HTTP/1.1 {status} X\r\n{extra}Content-Length: 2\r\nConnection: close\r\n\r\nok");
                drop(stream.write_all(answer.as_bytes()).await);
                return;
            }
        }
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
            _ => return,
        }
    }
}
