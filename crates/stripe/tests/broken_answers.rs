//! The adapter against a server that misbehaves on the level of bytes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "broken_answers/archive.rs"]
mod archive;
mod common;

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{KEY, NOW, about_payment, create_intent, stripe_at, stripe_with};
use paywright_domain::{
    IntentId, Mode, PaymentId, SessionId, Standing,
    ports::{Gateway, GatewayError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// What the server does with a connection once it has read one request.
#[derive(Clone)]
enum Behaviour {
    /// Sends these bytes, then closes.
    Send(String),
    /// Sends these bytes, waits for another request on the same connection, then closes.
    SendThenCloseOnNext(String),
    /// Sends these bytes, then keeps silent.
    SendAndHang(String),
    /// Sends the head, then a byte now and then.
    Drip(String),
    /// Sends the head, then never stops.
    Endless(String),
    /// Closes without a byte.
    Close,
    /// Sends these bytes, then resets the connection.
    SendAndReset(String),
}

/// A server that treats its first connection by the first behaviour and so on; the last one goes on.
struct Server {
    base: String,
    requests: mpsc::UnboundedReceiver<String>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(behaviours: Vec<Behaviour>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (seen, requests) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let n = counter.fetch_add(1, Ordering::SeqCst);
                let behaviour = behaviours[n.min(behaviours.len() - 1)].clone();
                tokio::spawn(serve(stream, behaviour, seen.clone()));
            }
        });
        Self { base, requests, connections }
    }

    async fn send(bytes: impl Into<String>) -> Self {
        Self::start(vec![Behaviour::Send(bytes.into())]).await
    }
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour, seen: mpsc::UnboundedSender<String>) {
    let request = read_request(&mut stream).await;
    let _ = seen.send(request);
    match behaviour {
        Behaviour::Send(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
        }
        Behaviour::SendThenCloseOnNext(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            let _ = seen.send(read_request(&mut stream).await);
        }
        Behaviour::SendAndHang(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            std::future::pending::<()>().await;
        }
        Behaviour::Drip(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Behaviour::Endless(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(&[b' '; 65_536]).await.is_ok() {}
        }
        Behaviour::Close => {}
        Behaviour::SendAndReset(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.set_zero_linger().unwrap();
        }
    }
}

/// Head and body, by its `Content-Length`; or the beginning of a TLS handshake.
async fn read_request(stream: &mut TcpStream) -> String {
    const HANDSHAKE: u8 = 22;
    let mut bytes = Vec::new();
    while bytes.first() != Some(&HANDSHAKE) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase();
            let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

fn ok(body: &str) -> String {
    answer("200 OK", "Content-Type: application/json\r\nRequest-Id: req_1\r\n", body)
}

fn intent_json(id: &str, payment: PaymentId, status: &str) -> String {
    format!(
        r#"{{"id":"{id}","object":"payment_intent","amount":1999,"amount_capturable":0,"amount_received":0,
        "currency":"usd","status":"{status}","created":1795000000,"livemode":false,"client_secret":"{id}_secret_x",
        "metadata":{{"paywright_payment":"{payment}"}}}}"#
    )
}

fn ours() -> String {
    intent_json("pi_1", create_intent(1).payment, "requires_payment_method")
}

fn unknown<T: Debug>(outcome: Result<T, GatewayError>) -> String {
    match outcome {
        Err(GatewayError::Unknown(source)) => source.to_string(),
        other => panic!("not unknown: {other:?}"),
    }
}

fn pi(id: &str) -> IntentId {
    IntentId::try_from(id.to_owned()).unwrap()
}

/// Covers: fault 24 (the part about the header).
#[tokio::test]
async fn a_call_carries_key_version_agent_and_credentials() {
    let mut server = Server::send(ok(&ours())).await;
    let call = create_intent(1);
    let answer = about_payment(stripe_at(&server.base).perform(&call).await).unwrap();
    assert_eq!(answer.snapshot.payment, Some(call.payment));
    assert_eq!(answer.snapshot.origin.request.as_deref(), Some("req_1"));
    let request = server.requests.recv().await.unwrap().to_lowercase();
    for line in [
        "post /v1/payment_intents http/1.1",
        &format!("authorization: bearer {KEY}"),
        &format!("idempotency-key: {}", call.key()),
        "stripe-version: 2026-07-29.dahlia",
        "content-type: application/x-www-form-urlencoded",
        "user-agent: paywright/",
    ] {
        assert!(request.contains(line), "{line} in {request}");
    }
    assert!(!request.contains("payment_method_types%5b%5d") && !request.contains("accept-encoding"));
}

/// Covers: fault 1.
#[tokio::test]
async fn nobody_at_the_address_is_not_done() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let base = format!("http://{closed}");
    let outcome = stripe_at(&base).perform(&create_intent(1)).await;
    assert!(matches!(outcome, Err(GatewayError::NotDone { .. })), "{outcome:?}");
}

/// The name is one that never exists (RFC 6761, section 6.4). Where nobody answers questions about names, the
/// deadline for connecting ends it.
///
/// Covers: fault 1.
#[tokio::test]
async fn a_name_that_does_not_exist_is_not_done() {
    let stripe = stripe_with("https://stripe.invalid", |settings| settings.deadline = Duration::from_secs(2));
    let outcome = stripe.perform(&create_intent(1)).await;
    assert!(matches!(outcome, Err(GatewayError::NotDone { .. })), "{outcome:?}");
}

/// Covers: fault 1.
#[tokio::test]
async fn a_failed_tls_handshake_is_not_done() {
    let server = Server::send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let base = server.base.replace("http://", "https://");
    let outcome = stripe_at(&base).perform(&create_intent(1)).await;
    assert!(matches!(outcome, Err(GatewayError::NotDone { .. })), "{outcome:?}");
}

/// Covers: fault 2, fault 3.
#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let server = Server::start(vec![Behaviour::SendAndHang(String::new())]).await;
    let stripe = stripe_with(&server.base, |settings| settings.deadline = Duration::from_millis(300));
    let words = unknown(stripe.perform(&create_intent(1)).await);
    assert_eq!(words, "no complete answer within 300 ms");
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

/// Covers: fault 7.
#[tokio::test]
async fn a_slow_drip_ends_at_the_total_deadline() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_owned();
    let server = Server::start(vec![Behaviour::Drip(head)]).await;
    let stripe = stripe_with(&server.base, |settings| settings.deadline = Duration::from_millis(400));
    let begin = Instant::now();
    let words = unknown(stripe.perform(&create_intent(1)).await);
    assert_eq!(words, "no complete answer within 400 ms");
    assert!(begin.elapsed() < Duration::from_secs(3));
}

/// Covers: fault 8.
#[tokio::test]
async fn an_endless_or_a_huge_body_is_not_read_to_the_end() {
    let endless = Behaviour::Endless("HTTP/1.1 200 OK\r\n\r\n".to_owned());
    let huge = Behaviour::SendAndHang("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n".to_owned());
    for behaviour in [endless, huge] {
        let server = Server::start(vec![behaviour]).await;
        let words = unknown(stripe_at(&server.base).perform(&create_intent(1)).await);
        assert_eq!(words, "the answer is larger than 2097152 bytes");
    }
}

/// Covers: fault 4, fault 5.
#[tokio::test]
async fn a_body_that_ends_early_is_unknown_even_if_it_looks_whole() {
    let body = ours();
    let promised = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 10);
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len());
    let cut =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.len() - 9, &body[..body.len() - 9]);
    for bytes in [promised.clone(), chunked, cut] {
        let server = Server::send(bytes).await;
        unknown(stripe_at(&server.base).perform(&create_intent(1)).await);
        assert_eq!(
            server.connections.load(Ordering::SeqCst),
            1,
            "nothing is repeated after the answer began"
        );
    }
    let server = Server::start(vec![Behaviour::SendAndReset(promised)]).await;
    unknown(stripe_at(&server.base).perform(&create_intent(1)).await);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

/// Covers: fault 6.
#[tokio::test]
async fn a_page_or_nothing_instead_of_an_answer_is_unknown() {
    for (status, body) in [
        ("200 OK", "<html>Welcome to the airport</html>"),
        ("200 OK", ""),
        ("200 OK", "{}"),
        ("404 Not Found", "<html>Not found</html>"),
        ("403 Forbidden", "<html>Blocked by your company</html>"),
        ("502 Bad Gateway", "<html>Bad gateway</html>"),
    ] {
        let server = Server::send(answer(status, "Content-Type: text/html\r\n", body)).await;
        let stripe = stripe_at(&server.base);
        unknown(stripe.perform(&create_intent(1)).await);
        let looked = stripe.intent(&pi("pi_1")).await;
        assert!(matches!(looked, Err(GatewayError::Unknown(_))), "{status}: {looked:?}");
    }
    let server = Server::send("SSH-2.0-OpenSSH_9.9\r\n").await;
    unknown(stripe_at(&server.base).perform(&create_intent(1)).await);
}

/// Covers: fault 25.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::send(ok(&ours())).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("Location: {}/v1/payment_intents\r\n", target.base);
        let server = Server::send(answer(status, &location, "")).await;
        let stripe = stripe_at(&server.base);
        unknown(stripe.perform(&create_intent(1)).await);
        assert!(stripe.intent(&pi("pi_1")).await.is_err());
    }
    assert_eq!(target.connections.load(Ordering::SeqCst), 0);
}

/// Covers: fault 26.
#[tokio::test]
async fn a_connection_closed_before_any_answer_is_tried_once_more_with_the_same_key() {
    let mut server = Server::start(vec![Behaviour::Close, Behaviour::Send(ok(&ours()))]).await;
    let call = create_intent(1);
    stripe_at(&server.base).perform(&call).await.unwrap();
    let (first, second) = (server.requests.recv().await.unwrap(), server.requests.recv().await.unwrap());
    assert_eq!(first, second);
    assert!(first.contains(&call.key()));
}

/// Covers: fault 26.
#[tokio::test]
async fn a_kept_alive_connection_that_the_peer_gave_up_is_replaced() {
    let first = Behaviour::SendThenCloseOnNext(ok(&ours()));
    let mut server = Server::start(vec![first, Behaviour::Send(ok(&ours()))]).await;
    let stripe = stripe_at(&server.base);
    let mut call = create_intent(1);
    stripe.perform(&call).await.unwrap();
    call.generation = 1;
    stripe.perform(&call).await.unwrap();
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    let mut keys = Vec::new();
    while let Ok(request) = server.requests.try_recv() {
        keys.push(request.contains(&call.key()));
    }
    assert_eq!(keys, [false, true, true], "one request on the first connection, then one that is sent twice");
}

/// Covers: fault 26.
#[tokio::test]
async fn a_connection_closed_twice_is_unknown_and_not_tried_again() {
    for behaviour in [Behaviour::Close, Behaviour::SendAndReset(String::new())] {
        let server = Server::start(vec![behaviour]).await;
        unknown(stripe_at(&server.base).perform(&create_intent(1)).await);
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    }
}

/// Covers: fault 22.
#[tokio::test]
async fn an_answer_about_another_object_is_unknown() {
    let call = create_intent(1);
    let foreign = intent_json("pi_1", create_intent(2).payment, "requires_payment_method");
    let session = ours().replace("\"payment_intent\"", "\"checkout.session\"");
    for body in [foreign, session, ours().replace("paywright_payment", "other")] {
        let server = Server::send(ok(&body)).await;
        let words = unknown(stripe_at(&server.base).perform(&call).await);
        assert!(words.starts_with("asked for"), "{words}");
    }
    let server = Server::send(ok(&ours())).await;
    let looked = stripe_at(&server.base).intent(&pi("pi_2")).await;
    let Err(GatewayError::Unknown(source)) = looked else { panic!("{looked:?}") };
    assert_eq!(source.to_string(), "asked for payment_intent pi_2, but the answer is payment_intent pi_1");
}

/// Covers: I23, fault 23.
#[tokio::test]
async fn an_unknown_status_and_unknown_fields_are_no_error() {
    let body = intent_json("pi_1", create_intent(1).payment, "a_status_of_next_year");
    let body = body.replacen('{', r#"{"new":{"deep":[1,2,{"x":null}]},"#, 1);
    let server = Server::send(ok(&body)).await;
    let answer = about_payment(stripe_at(&server.base).perform(&create_intent(1)).await).unwrap();
    assert_eq!(answer.snapshot.sighting.standing, Standing::Unclear);
}

/// Covers: fault 22, fault 23.
#[tokio::test]
async fn an_answer_without_what_is_needed_is_unknown_and_the_field_is_named() {
    for (from, to, field) in [
        (r#""amount":1999,"#, "", "amount"),
        (r#""currency":"usd""#, r#""currency":"kwd""#, "currency"),
        (r#""status":"requires_payment_method""#, r#""status":null"#, "status"),
        (r#""amount":1999"#, r#""amount":-1"#, "amount"),
        (r#""amount":1999"#, r#""amount":19.99"#, "amount"),
        (r#""id":"pi_1""#, r#""id":"pi/1""#, "id"),
    ] {
        let server = Server::send(ok(&ours().replace(from, to))).await;
        let outcome = stripe_at(&server.base).perform(&create_intent(1)).await;
        let Err(GatewayError::Unknown(source)) = &outcome else { panic!("{outcome:?}") };
        let words = format!("{source} {:?}", source.source());
        assert!(words.contains(field), "{field} in {words}");
    }
}

/// Covers: fault 22.
#[tokio::test]
async fn a_page_in_a_currency_that_we_do_not_know_is_unknown() {
    let session = r#"{"id":"cs_test_1","object":"checkout.session","mode":"payment","amount_total":1999,
        "currency":"kwd","status":"open","created":1795000000,"livemode":false,"url":"https://x"}"#;
    let server = Server::send(ok(session)).await;
    let id = SessionId::try_from("cs_test_1".to_owned()).unwrap();
    let looked = stripe_at(&server.base).session(&id).await;
    assert!(matches!(looked, Err(GatewayError::Unknown(_))), "{looked:?}");
    let server = Server::send(ok(&session.replace("kwd", "eur"))).await;
    let page = stripe_at(&server.base).session(&id).await.unwrap().unwrap();
    assert_eq!(page.url.as_deref(), Some("https://x"));
}

/// Covers: fault 21.
#[tokio::test]
async fn the_mode_of_the_answer_is_passed_on_for_the_core_to_judge() {
    let server = Server::send(ok(&ours().replace(r#""livemode":false"#, r#""livemode":true"#))).await;
    let answer = about_payment(stripe_at(&server.base).perform(&create_intent(1)).await).unwrap();
    assert_eq!(answer.snapshot.mode, Mode::Live);
}

#[tokio::test]
async fn a_call_of_the_other_mode_is_not_sent() {
    let server = Server::send(ok(&ours())).await;
    let mut call = create_intent(1);
    call.mode = Mode::Live;
    let outcome = stripe_at(&server.base).perform(&call).await;
    assert!(matches!(outcome, Err(GatewayError::NotAllowed(_))), "{outcome:?}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_moment_is_stripes_and_that_of_a_stored_answer_is_its_own() {
    let at = |headers: &'static str| async move {
        let server = Server::send(answer("200 OK", headers, &ours())).await;
        let answer = about_payment(stripe_at(&server.base).perform(&create_intent(1)).await);
        answer.unwrap().snapshot.sighting.at
    };
    assert_eq!(
        at("Date: Sat, 21 Nov 2026 05:53:04 GMT\r\n").await,
        time::macros::datetime!(2026-11-21 5:53:04 UTC)
    );
    assert_eq!(at("").await, NOW);
    let stored = at("Date: Sat, 21 Nov 2026 05:53:04 GMT\r\nIdempotent-Replayed: true\r\n").await;
    assert_eq!(stored.unix_timestamp(), 1_795_000_000);
}

/// Covers: fault 19.
#[tokio::test]
async fn a_decline_is_an_answer_that_carries_the_refusal() {
    let error = format!(
        r#"{{"error":{{"type":"card_error","code":"card_declined","decline_code":"generic_decline",
        "message":"Your card was declined.","charge":"ch_1","payment_intent":{}}}}}"#,
        ours()
    );
    let server = Server::send(answer("402 Payment Required", "Request-Id: req_2\r\n", &error)).await;
    let answer = about_payment(stripe_at(&server.base).perform(&create_intent(1)).await).unwrap();
    let refusal = answer.snapshot.refusal.unwrap();
    assert_eq!((refusal.key.as_str(), refusal.message.as_str()), ("ch_1", "Your card was declined."));
    assert_eq!(answer.snapshot.sighting.standing, Standing::AwaitingMethod);

    let bare =
        r#"{"error":{"type":"card_error","code":"card_declined","message":"Your card was declined."}}"#;
    let server = Server::send(answer_402(bare)).await;
    let outcome = stripe_at(&server.base).perform(&create_intent(1)).await;
    assert!(matches!(outcome, Err(GatewayError::Rejected { code, .. }) if code == "card_declined"));
}

fn answer_402(body: &str) -> String {
    answer("402 Payment Required", "", body)
}

/// Covers: I31, fault 134.
#[tokio::test]
async fn neither_errors_nor_debug_print_a_secret() {
    let server = Server::send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx").await;
    let stripe = stripe_at(&server.base);
    let outcome = stripe.perform(&create_intent(1)).await;
    let nobody = stripe_at("http://127.0.0.1:1").perform(&create_intent(1)).await;
    let server = Server::send(ok(&ours())).await;
    let answer = stripe_at(&server.base).perform(&create_intent(1)).await;
    let printed = format!("{stripe:?} {outcome:?} {nobody:?} {answer:?}");
    assert!(!printed.contains("canary") && !printed.contains("_secret_x"), "{printed}");
}

fn refund_json(id: &str, intent: &str) -> String {
    format!(
        r#"{{"id":"{id}","object":"refund","amount":500,"currency":"usd","created":1795000000,"status":"succeeded",
        "payment_intent":"{intent}","metadata":{{}}}}"#
    )
}

fn list(data: &[String], has_more: bool) -> Behaviour {
    let data = data.join(",");
    Behaviour::Send(ok(&format!(
        r#"{{"object":"list","url":"/v1/x","has_more":{has_more},"data":[{data}]}}"#
    )))
}

/// Covers: fault 28.
#[tokio::test]
async fn a_list_is_read_to_its_end_page_by_page() {
    let pages = [list(&[refund_json("re_2", "pi_1")], true), list(&[refund_json("re_1", "pi_1")], false)];
    let mut server = Server::start(pages.to_vec()).await;
    let refunds = stripe_at(&server.base).refunds(&pi("pi_1")).await.unwrap();
    let names: Vec<_> = refunds.iter().map(|refund| refund.sighting.id.as_str()).collect();
    assert_eq!(names, ["re_2", "re_1"]);
    let (first, second) = (server.requests.recv().await.unwrap(), server.requests.recv().await.unwrap());
    assert!(first.starts_with("GET /v1/refunds?payment_intent=pi_1&"), "{first}");
    assert!(!first.contains("starting_after") && second.contains("starting_after=re_2 "), "{second}");
}

/// A part of a list must not pass for the whole: what is missing would be taken for absent.
///
/// Covers: I24, fault 28.
#[tokio::test]
async fn a_list_that_does_not_end_or_breaks_off_is_unknown() {
    let one = refund_json("re_1", "pi_1");
    for (pages, expected) in [
        (vec![list(&[], true)], "the list does not end"),
        (vec![list(std::slice::from_ref(&one), true)], "the list does not end"),
        (
            vec![list(std::slice::from_ref(&one), true), Behaviour::Send(answer("502 Bad Gateway", "", ""))],
            "status 502",
        ),
        (vec![list(&[refund_json("re_1", "pi_2")], false)], "asked for what is of pi_1"),
        (vec![Behaviour::Send(ok(&one))], "status 200"),
        (
            vec![Behaviour::Send(ok(&one.replacen('{', r#"{"data":[],"has_more":false,"#, 1)))],
            "asked for a list",
        ),
    ] {
        let server = Server::start(pages).await;
        let words = unknown(stripe_at(&server.base).refunds(&pi("pi_1")).await);
        assert!(words.starts_with(expected), "{expected}: {words}");
        assert!(server.connections.load(Ordering::SeqCst) <= 2, "{expected}: it went on asking");
    }
}

/// Covers: I24, fault 23.
#[tokio::test]
async fn what_others_made_never_hides_ours_in_a_list() {
    let odd = r#"{"id":"pi_9","object":"payment_intent","amount":"a lot"}"#.to_owned();
    let server = Server::start(vec![list(&[odd.clone(), ours(), odd], false)]).await;
    let found = stripe_at(&server.base).find(&create_intent(1)).await.unwrap().unwrap();
    let answer = about_payment(Ok(found)).unwrap();
    assert_eq!(answer.snapshot.sighting.intent, Some(pi("pi_1")));
}
