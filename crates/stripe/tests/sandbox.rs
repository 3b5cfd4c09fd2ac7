//! The adapter against the sandbox: what Stripe does when nothing breaks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{KEY, call, create_intent, stripe_at, stripe_with};
use paywright_domain::{
    GatewayCall, IntentId, Metadata, Mode, Money, Operation, SessionId, SessionLine, Standing,
    ports::{Answer, Gateway, GatewayError, Heard, Snapshot},
};
use paywright_sandbox::{Options, PresetEndpoint, Sandbox, start};
use paywright_stripe::{EventsQuery, SignatureError, Stripe, TOLERANCE, envelope, verify};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A sandbox of one test.
struct World {
    sandbox: Sandbox,
    stripe: Stripe,
    http: reqwest::Client,
}

impl World {
    async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    async fn with(webhook_endpoints: Vec<PresetEndpoint>) -> Self {
        let bind = ([127, 0, 0, 1], 0).into();
        let sandbox = start(Options { bind, webhook_endpoints, ..Options::default() }).await.unwrap();
        let stripe = stripe_at(sandbox.url());
        Self { stripe, sandbox, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// The sandbox's own, never part of Stripe.
    async fn control(&self, path: &str, body: &str) -> Value {
        let url = format!("{}/_sandbox{path}", self.sandbox.url());
        let text = self.http.post(url).body(body.to_owned()).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    async fn pay(&self, intent: &IntentId, card: &str) {
        self.control(&format!("/payment_intents/{intent}/pay"), &format!(r#"{{"card":"{card}"}}"#)).await;
    }

    /// A call of the API that the adapter does not make.
    async fn post(&self, path: &str, form: String) {
        let request = self.http.post(format!("{}{path}", self.sandbox.url())).bearer_auth(KEY).body(form);
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let status = request.send().await.unwrap().status();
        assert!(status.is_success(), "{path}: {status}");
    }

    async fn now(&self) -> OffsetDateTime {
        let url = format!("{}/_sandbox/health", self.sandbox.url());
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        let health: Value = serde_json::from_str(&text).unwrap();
        OffsetDateTime::from_unix_timestamp(health["now"].as_i64().unwrap()).unwrap()
    }

    async fn created_intent(&self, seed: u8) -> IntentId {
        self.stripe.perform(&create_intent(seed)).await.unwrap().snapshot.sighting.intent.unwrap()
    }

    async fn created_session(&self, seed: u8) -> (SessionId, Answer) {
        let expires_at = self.now().await + time::Duration::HOUR;
        let answer = self.stripe.perform(&create_session(seed, expires_at)).await.unwrap();
        (answer.snapshot.sighting.session.clone().unwrap(), answer)
    }

    async fn intent(&self, id: &IntentId) -> Snapshot {
        self.stripe.intent(id).await.unwrap().unwrap().snapshot
    }
}

fn create_session(seed: u8, expires_at: OffsetDateTime) -> GatewayCall {
    let operation = Operation::CreateSession {
        currency: "usd".to_owned(),
        lines: vec![SessionLine { name: "Pot".to_owned(), unit_amount: 1000, quantity: 2 }],
        customer_email: Some("jenny@example.com".to_owned()),
        success_url: "https://shop.example/done?session={CHECKOUT_SESSION_ID}".to_owned(),
        cancel_url: "https://shop.example/back".to_owned(),
        expires_at: expires_at.unix_timestamp(),
        metadata: Metadata::new(),
    };
    call(seed, operation)
}

fn cancel(seed: u8, intent: &IntentId) -> GatewayCall {
    call(seed, Operation::CancelIntent { intent: intent.clone(), reason: "abandoned".to_owned() })
}

fn rejected(outcome: Result<Answer, GatewayError>) -> String {
    match outcome {
        Err(GatewayError::Rejected { code, request, .. }) => {
            assert!(request.is_some_and(|request| request.starts_with("req_")));
            code
        }
        other => panic!("not rejected: {other:?}"),
    }
}

#[tokio::test]
async fn a_new_intent_waits_for_a_method_and_names_our_payment() {
    let world = World::new().await;
    let call = create_intent(1);
    let answer = world.stripe.perform(&call).await.unwrap();
    let Snapshot { payment, mode, amount, sighting, refusal, origin } = answer.snapshot;
    assert_eq!((payment, mode, refusal), (Some(call.payment), Mode::Test, None));
    assert_eq!(amount, Money::from_minor(1999, "usd".parse().unwrap()).ok());
    assert_eq!(sighting.standing, Standing::AwaitingMethod);
    let intent = sighting.intent.unwrap();
    assert!(answer.client_secret.unwrap().expose_secret().starts_with(intent.as_str()));
    assert!(origin.request.unwrap().starts_with("req_"));
    assert!((sighting.at - world.now().await).abs() <= time::Duration::seconds(2));
}

/// Covers: fault 2, fault 3.
#[tokio::test]
async fn a_repeat_under_the_same_key_is_the_same_intent_and_tells_of_its_birth() {
    let world = World::new().await;
    let call = create_intent(1);
    let first = world.stripe.perform(&call).await.unwrap();
    world.pay(first.snapshot.sighting.intent.as_ref().unwrap(), "4000002760003184").await;
    let again = world.stripe.perform(&call).await.unwrap();
    assert_eq!(first.snapshot.sighting.intent, again.snapshot.sighting.intent);
    assert_eq!(again.snapshot.sighting.standing, Standing::AwaitingMethod, "the stored answer");
    assert!(again.snapshot.sighting.at <= first.snapshot.sighting.at);
    let events = world.stripe.events(&EventsQuery::default()).await.unwrap().events;
    let created = events.iter().map(|event| envelope(event).unwrap().kind);
    assert_eq!(created.filter(|kind| kind == "payment_intent.created").count(), 1);
}

/// Covers: fault 10.
#[tokio::test]
async fn the_same_key_with_other_parameters_is_a_refusal_of_its_own() {
    let world = World::new().await;
    let mut call = create_intent(1);
    world.stripe.perform(&call).await.unwrap();
    if let Operation::CreateIntent { amount, .. } = &mut call.operation {
        *amount += 1;
    }
    let outcome = world.stripe.perform(&call).await;
    assert!(matches!(outcome, Err(GatewayError::KeyReused { .. })), "{outcome:?}");
}

#[tokio::test]
async fn an_amount_that_stripe_does_not_take_is_rejected() {
    let world = World::new().await;
    let mut call = create_intent(1);
    if let Operation::CreateIntent { amount, .. } = &mut call.operation {
        *amount = 1;
    }
    assert_eq!(rejected(world.stripe.perform(&call).await), "amount_too_small");
}

#[tokio::test]
async fn an_intent_is_cancelled_once_and_then_rejected() {
    let world = World::new().await;
    let intent = world.created_intent(1).await;
    let mut call = cancel(1, &intent);
    let answer = world.stripe.perform(&call).await.unwrap();
    assert_eq!(answer.snapshot.sighting.standing, Standing::Cancelled);
    let again = world.stripe.perform(&call).await.unwrap();
    assert_eq!(again.snapshot.sighting.standing, Standing::Cancelled, "the stored answer");
    call.generation += 1;
    assert_eq!(rejected(world.stripe.perform(&call).await), "payment_intent_unexpected_state");
    assert_eq!(world.intent(&intent).await.sighting.standing, Standing::Cancelled);
}

#[tokio::test]
async fn a_paid_intent_cannot_be_cancelled_and_tells_what_was_taken_and_given_back() {
    let world = World::new().await;
    let intent = world.created_intent(1).await;
    world.pay(&intent, "4242424242424242").await;
    assert_eq!(rejected(world.stripe.perform(&cancel(1, &intent)).await), "payment_intent_unexpected_state");
    let taken = world.intent(&intent).await.sighting.standing;
    assert_eq!(taken, Standing::Captured { captured: 1999, refunded: 0 });
    world.post("/v1/refunds", format!("payment_intent={intent}&amount=500")).await;
    let taken = world.intent(&intent).await.sighting.standing;
    assert_eq!(taken, Standing::Captured { captured: 1999, refunded: 500 });
}

/// Covers: fault 19.
#[tokio::test]
async fn a_decline_is_shown_once_however_often_we_look_and_can_be_followed_by_a_payment() {
    let world = World::new().await;
    let intent = world.created_intent(1).await;
    world.pay(&intent, "4000000000009995").await;
    let seen = world.intent(&intent).await;
    let refusal = seen.refusal.unwrap();
    assert_eq!(seen.sighting.standing, Standing::AwaitingMethod);
    assert_eq!(
        (refusal.code.as_str(), refusal.decline_code.as_deref()),
        ("card_declined", Some("insufficient_funds"))
    );
    assert_eq!(refusal.message, "Your card has insufficient funds.");
    assert_eq!(world.intent(&intent).await.refusal.unwrap().key, refusal.key);
    world.pay(&intent, "4242424242424242").await;
    let seen = world.intent(&intent).await;
    assert_eq!(
        (seen.sighting.standing, seen.refusal),
        (Standing::Captured { captured: 1999, refunded: 0 }, None)
    );
}

#[tokio::test]
async fn three_d_secure_asks_the_customer_and_its_failure_is_a_decline() {
    let world = World::new().await;
    let intent = world.created_intent(1).await;
    world.pay(&intent, "4000002760003184").await;
    assert_eq!(world.intent(&intent).await.sighting.standing, Standing::ActionRequired);
    world.control(&format!("/payment_intents/{intent}/authenticate"), r#"{"outcome":"fail"}"#).await;
    let seen = world.intent(&intent).await;
    assert_eq!(seen.sighting.standing, Standing::AwaitingMethod);
    assert_eq!(seen.refusal.unwrap().code, "payment_intent_authentication_failure");
}

#[tokio::test]
async fn a_session_is_open_and_then_expired_once() {
    let world = World::new().await;
    let (session, answer) = world.created_session(1).await;
    assert_eq!(answer.snapshot.payment, Some(create_intent(1).payment));
    assert_eq!(answer.snapshot.amount.map(Money::minor), Some(2000));
    assert_eq!(answer.snapshot.sighting.standing, Standing::AwaitingMethod);
    assert!(answer.url.unwrap().starts_with("http"));
    let mut call = call(1, Operation::ExpireSession { session: session.clone() });
    let answer = world.stripe.perform(&call).await.unwrap();
    assert_eq!((answer.snapshot.sighting.standing, answer.url), (Standing::Cancelled, None));
    call.generation += 1;
    rejected(world.stripe.perform(&call).await);
    let seen = world.stripe.session(&session).await.unwrap().unwrap();
    assert_eq!(seen.snapshot.sighting.standing, Standing::Cancelled);
}

#[tokio::test]
async fn a_paid_session_names_its_intent_which_says_that_it_is_paid() {
    let world = World::new().await;
    let (session, _) = world.created_session(1).await;
    let pay = format!("/checkout/sessions/{session}/pay");
    world.control(&pay, r#"{"card":"4000000000000002","email":"jenny@example.com"}"#).await;
    let seen = world.stripe.session(&session).await.unwrap().unwrap();
    assert_eq!(seen.snapshot.sighting.standing, Standing::AwaitingMethod, "a decline leaves it open");
    world.control(&pay, r#"{"card":"4242424242424242","email":"jenny@example.com"}"#).await;
    let seen = world.stripe.session(&session).await.unwrap().unwrap();
    assert_eq!((seen.snapshot.sighting.standing, seen.url), (Standing::Unclear, None));
    let intent = world.intent(&seen.snapshot.sighting.intent.unwrap()).await;
    assert_eq!(intent.sighting.standing, Standing::Captured { captured: 2000, refunded: 0 });
    assert_eq!(intent.payment, Some(create_intent(1).payment), "our metadata reached the intent");
}

#[tokio::test]
async fn what_does_not_exist_is_none_and_what_is_of_the_other_mode_neither() {
    let world = World::new().await;
    let missing = IntentId::try_from("pi_missing".to_owned()).unwrap();
    assert!(world.stripe.intent(&missing).await.unwrap().is_none());
    let missing = SessionId::try_from("cs_test_missing".to_owned()).unwrap();
    assert!(world.stripe.session(&missing).await.unwrap().is_none());
    for id in ["evt_missing", "pi_1", "../customers", ""] {
        assert!(world.stripe.event(id).await.unwrap().is_none(), "{id}");
    }
    let intent = world.created_intent(1).await;
    let live = stripe_with(world.sandbox.url(), |settings| {
        settings.mode = Mode::Live;
        settings.secret_key = "sk_live_canary".to_owned().into();
    });
    assert!(live.intent(&intent).await.unwrap().is_none());
}

#[tokio::test]
async fn events_are_listed_page_by_page_and_read_one_by_one() {
    let world = World::new().await;
    for seed in 1..=3 {
        world.created_intent(seed).await;
    }
    let types = vec!["payment_intent.created".to_owned()];
    let since = Some(world.now().await - time::Duration::HOUR);
    let mut query = EventsQuery { limit: Some(2), types, created_gte: since, ..EventsQuery::default() };
    let (mut payments, mut pages) = (Vec::new(), 0);
    loop {
        let page = world.stripe.events(&query).await.unwrap();
        pages += 1;
        for event in &page.events {
            let event = envelope(event).unwrap();
            assert_eq!((event.mode, event.kind.as_str()), (Mode::Test, "payment_intent.created"));
            let one = world.stripe.event(&event.id).await.unwrap().unwrap();
            let Ok(Heard::Payment(snapshot)) = world.stripe.understand(&one) else { panic!("{}", event.id) };
            payments.extend(snapshot.payment);
        }
        if !page.has_more {
            break;
        }
        query.starting_after = page.last;
    }
    assert_eq!(pages, 2);
    let newest_first = [3, 2, 1].map(|seed| create_intent(seed).payment);
    assert_eq!(payments, newest_first);
    query = EventsQuery { created_lt: since, ..EventsQuery::default() };
    assert!(world.stripe.events(&query).await.unwrap().events.is_empty());
}

/// Covers: fault 38, fault 41.
#[tokio::test]
async fn a_delivered_webhook_is_verified_stored_and_understood() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let world = World::with(vec![PresetEndpoint::new(url, "whsec_canary")]).await;
    let intent = world.created_intent(1).await;
    let (signature, body) = receive(&listener).await;

    let secrets = [SecretString::from("whsec_old"), SecretString::from("whsec_canary")];
    let now = world.now().await;
    assert_eq!(verify(Some(&signature), &body, &secrets, now, TOLERANCE), Ok(()));
    let forged = verify(Some(&signature), &body, &secrets[..1], now, TOLERANCE);
    assert_eq!(forged, Err(SignatureError::Mismatch));
    let late = verify(Some(&signature), &body, &secrets, now + time::Duration::HOUR, TOLERANCE);
    assert_eq!(late, Err(SignatureError::TooOld));

    let event = envelope(&body).unwrap();
    assert_eq!((event.kind.as_str(), event.mode), ("payment_intent.created", Mode::Test));
    assert_eq!(event.object.as_deref(), Some(intent.as_str()));
    assert_eq!(event.body, body);
    let Ok(Heard::Payment(snapshot)) = world.stripe.understand(&body) else { panic!("not understood") };
    assert_eq!(snapshot.payment, Some(create_intent(1).payment));
    assert_eq!(snapshot.origin.event, Some(event.id));
    assert_eq!(snapshot.sighting.at, event.created_at);
}

/// Every event of a payment that is declined, paid and refunded, through the eyes of `understand`.
#[tokio::test]
async fn the_events_of_a_payments_life_are_understood() {
    let world = World::new().await;
    let intent = world.created_intent(1).await;
    world.pay(&intent, "4000000000000002").await;
    world.pay(&intent, "4242424242424242").await;
    world.post("/v1/refunds", format!("payment_intent={intent}")).await;
    let events = world
        .stripe
        .events(&EventsQuery { limit: Some(100), ..EventsQuery::default() })
        .await
        .unwrap()
        .events;
    let mut told = Vec::new();
    for event in events.iter().rev() {
        let kind = envelope(event).unwrap().kind;
        match world.stripe.understand(event).unwrap() {
            Heard::Payment(snapshot) => {
                assert_eq!(snapshot.sighting.intent.as_ref(), Some(&intent), "{kind}");
                assert_eq!(snapshot.payment, Some(create_intent(1).payment), "{kind}");
                told.push((kind, snapshot.sighting.standing));
            }
            Heard::Nothing(what) => assert_eq!(what, kind),
        }
    }
    let standing =
        |kind: &str| told.iter().rfind(|(told, _)| told == kind).map(|(_, standing)| standing.clone());
    assert_eq!(standing("payment_intent.created"), Some(Standing::AwaitingMethod));
    assert_eq!(standing("payment_intent.payment_failed"), Some(Standing::AwaitingMethod));
    let taken = |refunded| Some(Standing::Captured { captured: 1999, refunded });
    assert_eq!(standing("charge.succeeded"), taken(0));
    assert_eq!(standing("payment_intent.succeeded"), taken(0));
    assert_eq!(standing("charge.refunded"), taken(1999));
    assert_eq!(standing("charge.failed"), None);
}

/// One webhook, answered with 200: its signature and its bytes.
async fn receive(listener: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request ends early");
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
            Some(line[name.len()..].trim().to_owned())
        };
        let length: usize = header("content-length:").unwrap().parse().unwrap();
        if bytes.len() >= end + 4 + length {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            return (header("stripe-signature:").unwrap(), bytes[end + 4..].to_vec());
        }
    }
}
