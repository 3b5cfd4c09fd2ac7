//! Every call and every look of the adapter against a server that misbehaves: whatever is asked, the same is true.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use common::{KEY, NOW, about_payment, call, create_intent, stripe_at, stripe_with};
use paywright_domain::{
    CaptureMethod, Evidence, GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId, Metadata, Mode,
    Operation, RefundId, SessionId, SessionLine, Subject,
    ports::{Gateway, GatewayError},
};
use paywright_stripe::{API_VERSION, Settings, Stripe};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Answers each request with the same bytes and closes, or keeps silent.
struct Server {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, answer.clone(), Arc::clone(&seen)));
            }
        });
        Self { base, requests }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

async fn serve(mut stream: TcpStream, answer: Option<String>, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    seen.lock().unwrap().push(String::from_utf8(request).unwrap());
    match answer {
        Some(bytes) => drop(stream.write_all(bytes.as_bytes()).await),
        None => std::future::pending().await,
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

fn pi() -> IntentId {
    IntentId::try_from("pi_1".to_owned()).unwrap()
}

fn cs() -> SessionId {
    SessionId::try_from("cs_test_1".to_owned()).unwrap()
}

fn re() -> GatewayRefundId {
    GatewayRefundId::try_from("re_1".to_owned()).unwrap()
}

fn du() -> GatewayDisputeId {
    GatewayDisputeId::try_from("du_1".to_owned()).unwrap()
}

/// One call of each kind.
fn calls() -> Vec<GatewayCall> {
    let line = SessionLine { name: "Tea".to_owned(), unit_amount: 1999, quantity: 1 };
    let session = Operation::CreateSession {
        currency: "usd".to_owned(),
        lines: vec![line],
        capture_method: CaptureMethod::Automatic,
        customer_email: None,
        success_url: "https://shop.example/thanks".to_owned(),
        cancel_url: "https://shop.example/basket".to_owned(),
        expires_at: 1_795_086_400,
        metadata: Metadata::new(),
    };
    let operations = [
        session,
        Operation::CancelIntent { intent: pi(), reason: "abandoned".to_owned() },
        Operation::ExpireSession { session: cs() },
        Operation::Capture { intent: pi(), amount: 1999 },
        Operation::CreateRefund { intent: pi(), amount: 500, reason: None, metadata: Metadata::new() },
        Operation::StageEvidence { dispute: du(), evidence: Evidence::default() },
        Operation::SubmitEvidence { dispute: du(), evidence: Evidence::default() },
        Operation::CloseDispute { dispute: du() },
    ];
    let others = operations.into_iter().map(|operation| GatewayCall {
        subject: match operation {
            Operation::CreateRefund { .. } => Subject::Refund(RefundId::from_parts(NOW, &[1; 10])),
            _ => call(1, operation.clone()).subject,
        },
        ..call(1, operation)
    });
    [create_intent(1)].into_iter().chain(others).collect()
}

/// Something that the adapter can be asked.
#[derive(Clone)]
enum Asked {
    Perform(GatewayCall),
    Find(GatewayCall),
    Intent,
    Session,
    Refund,
    Refunds,
    Disputes,
    Dispute,
}

impl Asked {
    fn everything() -> Vec<Self> {
        let looks = [Self::Intent, Self::Session, Self::Refund, Self::Refunds, Self::Disputes, Self::Dispute];
        let creates = |call: &GatewayCall| call.operation.name().starts_with("create");
        let searches = calls().into_iter().filter(creates).map(Self::Find);
        calls().into_iter().map(Self::Perform).chain(searches).chain(looks).collect()
    }

    fn name(&self) -> String {
        match self {
            Self::Perform(call) => format!("perform {}", call.operation.name()),
            Self::Find(call) => format!("find {}", call.operation.name()),
            Self::Intent => "intent".to_owned(),
            Self::Session => "session".to_owned(),
            Self::Refund => "refund".to_owned(),
            Self::Refunds => "refunds".to_owned(),
            Self::Disputes => "disputes".to_owned(),
            Self::Dispute => "dispute".to_owned(),
        }
    }

    /// What went wrong.
    async fn ask(&self, stripe: &Stripe) -> GatewayError {
        fn wrong<T: Debug>(name: &str, outcome: Result<T, GatewayError>) -> GatewayError {
            outcome.err().unwrap_or_else(|| panic!("{name} believed it"))
        }
        let name = &self.name();
        match self {
            Self::Perform(call) => wrong(name, stripe.perform(call).await),
            Self::Find(call) => wrong(name, stripe.find(call).await),
            Self::Intent => wrong(name, stripe.intent(&pi()).await),
            Self::Session => wrong(name, stripe.session(&cs()).await),
            Self::Refund => wrong(name, stripe.refund(&re()).await),
            Self::Refunds => wrong(name, stripe.refunds(&pi()).await),
            Self::Disputes => wrong(name, stripe.disputes(&pi()).await),
            Self::Dispute => wrong(name, stripe.dispute(&du()).await),
        }
    }
}

/// Asks everything of a server that answers so; each by an adapter of its own, so that none is held back.
async fn ask_everything(server: &Server, believed: impl Fn(&str, &GatewayError)) {
    for asked in Asked::everything() {
        let error = asked.ask(&stripe_at(&server.base)).await;
        believed(&asked.name(), &error);
    }
}

/// Covers: T-11, fault 2, fault 7.
#[tokio::test]
async fn whatever_is_asked_silence_ends_at_the_deadline() {
    let usual = Settings::new(KEY.to_owned().into(), Mode::Test).deadline;
    assert!(!usual.is_zero() && usual <= Duration::from_secs(80), "without a word of ours: {usual:?}");

    let server = Server::start(None).await;
    let begin = Instant::now();
    let mut outcomes = JoinSet::new();
    for asked in Asked::everything() {
        let stripe = stripe_with(&server.base, |settings| settings.deadline = Duration::from_millis(300));
        outcomes.spawn(async move { (asked.name(), asked.ask(&stripe).await) });
    }
    while let Some(outcome) = outcomes.join_next().await {
        let (name, error) = outcome.unwrap();
        assert!(matches!(error, GatewayError::Unknown(_)), "{name}: {error:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(30));
}

/// Covers: fault 24 (the part about the header), T-10, D-8.
#[tokio::test]
async fn whatever_is_asked_says_our_version_and_whatever_changes_something_its_own_key() {
    let server = Server::start(Some(answer("200 OK", "", "{}"))).await;
    let mut keys = Vec::new();
    for asked in Asked::everything() {
        let _ = asked.ask(&stripe_at(&server.base)).await;
        let requests = server.take();
        assert!(!requests.is_empty(), "{} was not sent", asked.name());
        for request in requests {
            let (request, name) = (request.to_lowercase(), asked.name());
            assert!(request.contains(&format!("\r\nstripe-version: {API_VERSION}\r\n")), "{name}: {request}");
            let key = request.lines().find_map(|line| line.strip_prefix("idempotency-key: "));
            match &asked {
                Asked::Perform(call) => {
                    assert!(request.starts_with("post "), "{name}: {request}");
                    assert_eq!(key, Some(&*call.key()), "{name}");
                    keys.push(call.key());
                }
                _ => {
                    assert!(request.starts_with("get "), "{name} changes nothing: {request}");
                    assert_eq!(key, None, "{name}");
                }
            }
        }
    }
    // All are about the same payment, and of the same generation.
    let asked = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), asked), (calls().len(), calls().len()), "{keys:?}");
}

/// A refusal would free the money for another try, so nothing that is not Stripe's own word may pass for one.
///
/// Covers: fault 6, fault 16, fault 22, fault 25.
#[tokio::test]
async fn whatever_is_asked_a_strange_answer_is_unknown_and_never_a_refusal() {
    let elsewhere = Server::start(Some(answer("200 OK", "", "{}"))).await;
    let location = format!("Location: {}/v1/x\r\n", elsewhere.base);
    let other = r#"{"id":"cus_9","object":"customer","livemode":false,"metadata":{}}"#;
    for (status, headers, body) in [
        ("200 OK", "Content-Type: text/html\r\n", "<html>Welcome to the airport</html>"),
        ("200 OK", "", ""),
        ("200 OK", "", "null"),
        ("200 OK", "", other),
        ("400 Bad Request", "", "<html>Bad request</html>"),
        ("404 Not Found", "", r#"{"message":"no such route"}"#),
        ("424 Failed Dependency", "", r#"{"error":{"type":"api_error","message":"a bank"}}"#),
        ("502 Bad Gateway", "", "<html>Bad gateway</html>"),
        ("503 Service Unavailable", "Stripe-Should-Retry: false\r\n", ""),
        ("504 Gateway Timeout", "", r#"{"error":{"type":"api_error","message":"too late"}}"#),
        ("302 Found", &*location, ""),
        ("308 Permanent Redirect", &*location, ""),
    ] {
        let server = Server::start(Some(answer(status, headers, body))).await;
        ask_everything(&server, |name, error| {
            assert!(matches!(error, GatewayError::Unknown(_)), "{status} {body:?}, {name}: {error:?}");
        })
        .await;
    }
    assert_eq!(elsewhere.take(), [""; 0], "a redirect was followed");
}

/// Covers: fault 17.
#[tokio::test]
async fn stripes_word_on_repeating_is_heard_whatever_is_asked() {
    let error = r#"{"error":{"type":"invalid_request_error","code":"resource_missing","message":"No."}}"#;
    let wanted = Server::start(Some(answer("400 Bad Request", "Stripe-Should-Retry: true\r\n", error))).await;
    ask_everything(&wanted, |name, error| {
        assert!(matches!(error, GatewayError::NotDone { .. }), "{name}: {error:?}");
    })
    .await;
    let unwanted = Server::start(Some(answer("409 Conflict", "Stripe-Should-Retry: false\r\n", error))).await;
    ask_everything(&unwanted, |name, error| {
        assert!(matches!(error, GatewayError::Unknown(_)), "{name}: {error:?}");
    })
    .await;
}

fn intent_json() -> String {
    format!(
        r#"{{"id":"pi_1","object":"payment_intent","amount":1999,"amount_capturable":0,"amount_received":1999,
        "currency":"usd","status":"succeeded","created":1795000000,"livemode":false,
        "metadata":{{"paywright_payment":"{}"}}}}"#,
        create_intent(1).payment
    )
}

/// Cut off by the connection, or by somebody who counted again.
///
/// Covers: fault 4, fault 5.
#[tokio::test]
async fn no_beginning_of_an_answer_passes_for_the_whole() {
    let whole = intent_json();
    let capture = call(1, Operation::Capture { intent: pi(), amount: 1999 });
    let server = Server::start(Some(answer("200 OK", "", &whole))).await;
    about_payment(stripe_at(&server.base).perform(&capture).await).unwrap();
    let asked = [capture, create_intent(1)].map(Asked::Perform);
    for length in (0..whole.len()).rev().step_by(6) {
        let cut = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", whole.len(), &whole[..length]);
        for bytes in [cut, answer("200 OK", "", &whole[..length])] {
            let server = Server::start(Some(bytes)).await;
            for asked in asked.iter().chain([&Asked::Intent]) {
                let error = asked.ask(&stripe_at(&server.base)).await;
                assert!(matches!(error, GatewayError::Unknown(_)), "{length}, {}: {error:?}", asked.name());
            }
        }
    }
}
