//! The adapter's manners, seen from the other side: how much is sent, and when nothing is.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use common::{about_payment, call, create_intent, stripe_at, stripe_with};
use paywright_domain::{
    GatewayCall, GatewayDisputeId, IntentId, Metadata, Operation,
    ports::{Archive, Gateway, GatewayError, Reply, Window},
};
use paywright_stripe::{Settings, Stripe};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinSet,
};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(300);
/// Longer than anything takes that a test waits for.
const PATIENCE_OF_TESTS: Duration = Duration::from_secs(60);

/// What the server does with a request.
#[derive(Clone)]
enum Act {
    /// Answers, and keeps the connection.
    Answer(String),
    /// Answers as soon as it is told to.
    AnswerWhenTold(String),
    /// Answers, and closes the connection.
    AnswerAndClose(String),
    /// Closes the connection, although the request was carried out.
    Close,
    /// Closes the connection, and whoever comes next is refused.
    CloseForGood,
}

#[derive(Default)]
struct Seen {
    requests: Vec<String>,
    /// The idempotency keys, under each of which one write was carried out.
    carried_out: HashSet<String>,
}

/// Treats its first request by the first act and so on; the last one goes on.
struct Server {
    base: String,
    seen: Arc<Mutex<Seen>>,
    acts: Arc<Mutex<Vec<Act>>>,
    go: Arc<Semaphore>,
    closed: Arc<Notify>,
}

impl Server {
    async fn start(acts: impl Into<Vec<Act>>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self {
            base,
            seen: Arc::default(),
            acts: Arc::new(Mutex::new(acts.into())),
            go: Arc::new(Semaphore::new(0)),
            closed: Arc::default(),
        });
        let accepting = Arc::clone(&server);
        tokio::spawn(async move {
            let gone = Arc::new(Notify::new());
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = gone.notified() => return drop(listener),
                };
                tokio::spawn(Arc::clone(&accepting).serve(stream, Arc::clone(&gone)));
            }
        });
        server
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream, gone: Arc<Notify>) {
        while let Some(request) = read_request(&mut stream).await {
            match self.note(request) {
                Act::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                Act::AnswerWhenTold(answer) => {
                    self.go.acquire().await.unwrap().forget();
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
                Act::AnswerAndClose(answer) => {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    drop(stream);
                    return self.closed.notify_one();
                }
                Act::Close => return,
                Act::CloseForGood => {
                    gone.notify_one();
                    tokio::task::yield_now().await;
                    while TcpStream::connect(self.base.trim_start_matches("http://")).await.is_ok() {
                        tokio::task::yield_now().await;
                    }
                    return;
                }
            }
        }
    }

    fn note(&self, request: String) -> Act {
        let mut seen = self.seen.lock().unwrap();
        seen.carried_out.extend(key(&request));
        seen.requests.push(request);
        let mut acts = self.acts.lock().unwrap();
        if acts.len() > 1 { acts.remove(0) } else { acts[0].clone() }
    }

    fn turn_to(&self, act: Act) {
        *self.acts.lock().unwrap() = vec![act];
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().requests.len()
    }

    /// Waits until so many requests have come.
    async fn until(&self, count: usize) {
        let begin = Instant::now();
        while self.count() < count {
            assert!(begin.elapsed() < PATIENCE_OF_TESTS, "{} of {count} requests came", self.count());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The writes that are about this payment.
    fn writes_about(&self, intent: &str) -> usize {
        let about = |request: &&String| request.starts_with("POST") && request.contains(intent);
        self.seen.lock().unwrap().requests.iter().filter(about).count()
    }

    fn stripe(&self, change: impl FnOnce(&mut Settings)) -> Arc<Stripe> {
        Arc::new(stripe_with(&self.base, change))
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

fn key(request: &str) -> Option<String> {
    let key = |line: &str| line.to_lowercase().strip_prefix("idempotency-key: ").map(str::to_owned);
    request.lines().find_map(key)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

fn intent() -> String {
    let payment = create_intent(1).payment;
    let body = format!(
        r#"{{"id":"pi_1","object":"payment_intent","amount":1999,"amount_capturable":0,"amount_received":0,
        "currency":"usd","status":"requires_payment_method","created":1795000000,"livemode":false,
        "metadata":{{"paywright_payment":"{payment}"}}}}"#
    );
    answer("200 OK", "", &body)
}

fn error(status: &str, headers: &str, code: &str) -> String {
    let body = format!(r#"{{"error":{{"type":"api_error","code":"{code}","message":"No: {code}."}}}}"#);
    answer(status, headers, &body)
}

fn pi(id: &str) -> IntentId {
    IntentId::try_from(id.to_owned()).unwrap()
}

fn capture(id: &str) -> GatewayCall {
    call(1, Operation::Capture { intent: pi(id), amount: 1999 })
}

fn refund(id: &str) -> GatewayCall {
    call(1, Operation::CreateRefund { intent: pi(id), amount: 1, reason: None, metadata: Metadata::new() })
}

fn not_done(outcome: Result<Reply, GatewayError>) -> Option<Duration> {
    match outcome {
        Err(GatewayError::NotDone { after, .. }) => after,
        other => panic!("not \"not done\": {other:?}"),
    }
}

/// Covers: fault 29, fault 1.
#[tokio::test]
async fn during_an_outage_a_few_calls_are_sent_and_the_others_fail_at_once() {
    for act in [Act::Answer(error("503 Service Unavailable", "", "down")), Act::Close] {
        let server = Server::start([act]).await;
        let stripe = server.stripe(|settings| settings.outage_pause = LONG);
        for _ in 0..5 {
            let outcome = stripe.perform(&create_intent(1)).await;
            assert!(matches!(outcome, Err(GatewayError::Unknown(_))), "{outcome:?}");
        }
        let sent = server.count();
        for _ in 0..50 {
            assert!(not_done(stripe.perform(&create_intent(1)).await) > Some(Duration::ZERO));
            let looked = stripe.intent(&pi("pi_1")).await;
            assert!(matches!(looked, Err(GatewayError::NotDone { .. })), "{looked:?}");
        }
        assert_eq!(server.count(), sent);
    }
}

/// The deadline is far off when silence is noticed.
///
/// Covers: fault 29, T-11.
#[tokio::test]
async fn silence_is_an_outage_long_before_the_deadline() {
    let server = Server::start([Act::AnswerWhenTold(intent())]).await;
    let stripe = server.stripe(|settings| (settings.outage_pause, settings.deadline) = (LONG, LONG));
    let mut calls = JoinSet::new();
    for seed in 1..=5 {
        let stripe = Arc::clone(&stripe);
        calls.spawn(async move { stripe.perform(&create_intent(seed)).await });
    }
    server.until(5).await;
    let begin = Instant::now();
    let id = pi("pi_1");
    let a_moment = Duration::from_millis(100);
    while tokio::time::timeout(a_moment, stripe.intent(&id)).await.is_err() {
        assert!(begin.elapsed() < PATIENCE_OF_TESTS);
    }
    assert!(matches!(stripe.intent(&id).await, Err(GatewayError::NotDone { .. })));
    calls.abort_all();
}

/// Covers: fault 29.
#[tokio::test]
async fn when_stripe_is_back_calls_are_sent_again_without_an_operator() {
    let server = Server::start([Act::Answer(error("500 Internal Server Error", "", "down"))]).await;
    let stripe = server.stripe(|settings| settings.outage_pause = Duration::from_millis(20));
    while !matches!(stripe.perform(&create_intent(1)).await, Err(GatewayError::NotDone { .. })) {}
    server.turn_to(Act::Answer(intent()));
    while stripe.perform(&create_intent(1)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..5 {
        stripe.perform(&create_intent(1)).await.unwrap();
    }
}

/// Covers: fault 18.
#[tokio::test]
async fn after_credentials_were_refused_once_nothing_is_sent() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let server = Server::start([Act::Answer(error(status, "", "api_key_expired"))]).await;
        let stripe = server.stripe(|settings| settings.refusal_pause = LONG);
        for _ in 0..20 {
            let outcome = stripe.perform(&create_intent(1)).await;
            assert!(
                matches!(&outcome, Err(GatewayError::NotAllowed(words)) if words == "No: api_key_expired."),
                "{outcome:?}"
            );
        }
        assert_eq!(server.count(), 1, "{status}");
    }
}

/// Covers: fault 18.
#[tokio::test]
async fn credentials_that_are_accepted_again_are_noticed() {
    let refused = Act::Answer(error("401 Unauthorized", "", "api_key_expired"));
    let server = Server::start([refused, Act::Answer(intent())]).await;
    let stripe = server.stripe(|settings| settings.refusal_pause = Duration::from_millis(20));
    while stripe.perform(&create_intent(1)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.count(), 2);
}

/// Covers: fault 30.
#[tokio::test]
async fn no_more_is_sent_than_the_limit_allows() {
    let server = Server::start([Act::Answer(intent())]).await;
    let stripe = server.stripe(|settings| {
        settings.operations_per_second = 1;
        settings.patience = Duration::ZERO;
    });
    let begin = Instant::now();
    let mut sent = 0;
    for _ in 0..50 {
        match stripe.perform(&create_intent(1)).await {
            Ok(_) => sent += 1,
            outcome => assert!(not_done(outcome) >= Some(Duration::from_millis(1))),
        }
    }
    assert_eq!(server.count(), sent);
    assert!((1..=2 + begin.elapsed().as_secs()).contains(&(sent as u64)), "{sent}");
}

/// Covers: fault 11.
#[tokio::test]
async fn a_refusal_by_a_limiter_holds_back_every_call_of_the_process() {
    let headers = "Retry-After: 40\r\nStripe-Rate-Limited-Reason: global-rate\r\n";
    let server = Server::start([Act::Answer(error("429 Too Many Requests", headers, "rate_limit"))]).await;
    let stripe = stripe_at(&server.base);
    assert_eq!(not_done(stripe.perform(&create_intent(1)).await), Some(Duration::from_secs(40)));
    for call in [create_intent(2), capture("pi_1"), refund("pi_2")] {
        assert!(not_done(stripe.perform(&call).await) > Some(Duration::from_secs(5)));
    }
    assert!(matches!(stripe.intent(&pi("pi_1")).await, Err(GatewayError::NotDone { .. })));
    assert_eq!(server.count(), 1);
}

/// Covers: fault 12.
#[tokio::test]
async fn a_locked_object_holds_back_nobody() {
    let locked = Act::Answer(error("429 Too Many Requests", "", "lock_timeout"));
    let server = Server::start([locked, Act::Answer(intent())]).await;
    let stripe = server.stripe(|settings| settings.patience = Duration::ZERO);
    not_done(stripe.perform(&capture("pi_1")).await);
    stripe.perform(&create_intent(1)).await.unwrap();
    assert_eq!(server.count(), 2);
}

/// Covers: U-4, fault 12.
#[tokio::test]
async fn writes_about_one_object_are_sent_one_after_the_other() {
    let server = Server::start([Act::AnswerWhenTold(intent())]).await;
    let stripe = server.stripe(|settings| settings.patience = LONG);
    let mut calls = JoinSet::new();
    for call in [capture("pi_1"), refund("pi_1"), capture("pi_1"), refund("pi_1")] {
        let stripe = Arc::clone(&stripe);
        calls.spawn(async move { stripe.perform(&call).await });
    }
    for nth in 1..=4 {
        server.until(nth).await;
        // What is not about this payment, and what only reads it, does not wait.
        let others = [capture("pi_2"), create_intent(1)].map(|call| {
            let stripe = Arc::clone(&stripe);
            tokio::spawn(async move { stripe.perform(&call).await.map(drop) })
        });
        let looker = Arc::clone(&stripe);
        let look = tokio::spawn(async move { looker.intent(&pi("pi_1")).await.map(drop) });
        let so_far = 4 * (nth - 1) + 1;
        server.until(so_far + 3).await;
        assert_eq!(server.writes_about("pi_1"), nth);
        server.go.add_permits(4);
        for other in others.into_iter().chain([look]) {
            let _ = other.await.unwrap();
        }
        calls.join_next().await;
        if nth < 4 {
            server.until(so_far + 4).await;
        }
    }
}

/// Covers: U-4.
#[tokio::test]
async fn a_write_that_does_not_get_its_turn_is_not_sent() {
    let server = Server::start([Act::AnswerWhenTold(intent())]).await;
    let stripe = server.stripe(|settings| settings.patience = Duration::from_millis(50));
    let dispute = || GatewayDisputeId::try_from("du_1".to_owned()).unwrap();
    let close = call(1, Operation::CloseDispute { dispute: dispute() });
    for (nth, call) in [capture("pi_1"), close].into_iter().enumerate() {
        let (first, same) = (Arc::clone(&stripe), call.clone());
        let first = tokio::spawn(async move { first.perform(&same).await });
        server.until(nth + 1).await;
        assert!(not_done(stripe.perform(&call).await).is_some());
        assert_eq!(server.count(), nth + 1);
        server.go.add_permits(1);
        let _ = first.await.unwrap();
    }
}

/// Whoever reads lists of the past takes one place of those that payments need, and no more.
#[tokio::test]
async fn looking_back_is_one_call_at_a_time_and_holds_up_no_payment() {
    let empty = answer("200 OK", "", r#"{"object":"list","has_more":false,"data":[]}"#);
    let server = Server::start([Act::AnswerWhenTold(empty.clone())]).await;
    let stripe = server.stripe(|_| {});
    let now = common::NOW;
    let window = Window { from: now - time::Duration::HOUR, before: now };
    let mut looks = JoinSet::new();
    for nth in 0..4 {
        let stripe = Arc::clone(&stripe);
        looks.spawn(async move {
            match nth % 2 {
                0 => Archive::events(&*stripe, window, None).await.map(drop),
                _ => Archive::payouts(&*stripe, window, None).await.map(drop),
            }
        });
    }
    server.until(1).await;
    server.turn_to(Act::Answer(intent()));
    let writes = 4;
    for _ in 0..writes {
        stripe.perform(&create_intent(1)).await.unwrap();
    }
    server.turn_to(Act::AnswerWhenTold(empty));
    for nth in 1..=4 {
        server.until(writes + nth).await;
        tokio::task::yield_now().await;
        assert_eq!(server.count(), writes + nth);
        server.go.add_permits(1);
        looks.join_next().await.unwrap().unwrap().unwrap();
    }
}

/// Nothing of the second request went into the closed connection, so it is sent once, on a new one.
///
/// Covers: fault 26.
#[tokio::test]
async fn a_connection_that_the_peer_closed_while_idle_is_replaced() {
    let server = Server::start([Act::AnswerAndClose(intent())]).await;
    let stripe = stripe_at(&server.base);
    let mut call = create_intent(1);
    for generation in 0..10 {
        call.generation = generation;
        stripe.perform(&call).await.unwrap();
        server.closed.notified().await;
    }
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.carried_out.len(), 10);
    assert!((10..=20).contains(&seen.requests.len()), "{}", seen.requests.len());
}

/// Covers: fault 26, fault 2.
#[tokio::test]
async fn a_write_whose_answer_was_lost_with_the_connection_is_not_doubled() {
    let server = Server::start([Act::Close, Act::Answer(intent())]).await;
    let call = create_intent(1);
    let answer = about_payment(stripe_at(&server.base).perform(&call).await).unwrap();
    assert_eq!(answer.snapshot.payment, Some(call.payment));
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.requests.len(), 2);
    assert_eq!(seen.carried_out, HashSet::from([call.key().to_lowercase()]));
}

/// Covers: fault 26, fault 1.
#[tokio::test]
async fn a_repeat_that_finds_nobody_does_not_hide_that_the_first_was_sent() {
    let server = Server::start([Act::CloseForGood]).await;
    let outcome = stripe_at(&server.base).perform(&create_intent(1)).await;
    assert!(matches!(outcome, Err(GatewayError::Unknown(_))), "{outcome:?}");
}
