//! Events: listed, delivered, understood.

use std::collections::HashSet;

use paywright_domain::{
    Mode, RefundStanding, Standing,
    ports::{Archive, Fact, Gateway, Heard, InboxEvent, Window},
};
use paywright_sandbox::PresetEndpoint;
use paywright_stripe::{API_VERSION, EVENTS_NEEDED, SignatureError, TOLERANCE, envelope, verify};
use secrecy::SecretString;
use time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{World, common::create_intent};

/// Each event as a webhook brought it, the newest first and none twice, although more happens meanwhile.
///
/// Covers: W-13, fault 24, fault 28, I24.
#[tokio::test]
async fn a_months_events_are_caught_up_part_by_part_while_more_come() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let world = World::with(vec![PresetEndpoint::new(url, "whsec_canary")]).await;
    let intent = world.created_intent(1).await;
    let (_, delivered) = receive(&listener).await;
    world.many(120).await;
    let window = world.always().await;

    let (mut events, mut parts, mut after) = (Vec::<InboxEvent>::new(), 0, None);
    loop {
        let part = world.stripe.events(window, after).await.unwrap();
        events.extend(part.rows);
        parts += 1;
        world.many(5).await;
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((parts, events.len()), (2, 121));
    let names: HashSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(names.len(), 121);
    let oldest = events.last().unwrap();
    assert_eq!((oldest.kind.as_str(), oldest.mode), ("payment_intent.created", Mode::Test));
    assert_eq!(oldest.object.as_deref(), Some(intent.as_str()));
    assert_eq!(oldest.api_version.as_deref(), Some(API_VERSION));
    // Whether it was delivered stands in it, too.
    let [listed, delivered] = [&oldest.body, &delivered].map(|body| json(body));
    assert_eq!((&listed["data"], &listed["id"]), (&delivered["data"], &delivered["id"]));
    assert_eq!(oldest, &envelope(&oldest.body).unwrap());
}

/// Covers: W-13.
#[tokio::test]
async fn a_window_holds_what_was_made_in_it_and_nothing_else() {
    let world = World::new().await;
    let begin = world.now().await;
    world.created_intent(1).await;
    world.advance("72h").await;
    let middle = world.now().await;
    world.created_intent(2).await;
    let end = middle + Duration::HOUR;
    for (from, before, found) in [
        (begin, end, vec![2, 1]),
        (begin, middle, vec![1]),
        (middle, end, vec![2]),
        (begin - Duration::DAY, begin, vec![]),
        (begin, begin, vec![]),
    ] {
        let told = world.stripe.events(Window { from, before }, None).await.unwrap();
        let payment = |event: &InboxEvent| match Gateway::understand(&world.stripe, &event.body) {
            Ok(Heard::Fact(Fact::Payment(snapshot))) => snapshot.payment.unwrap(),
            other => panic!("{other:?}"),
        };
        let told: Vec<_> = told.rows.iter().map(payment).collect();
        let found: Vec<_> = found.into_iter().map(|seed| create_intent(seed).payment).collect();
        assert_eq!(told, found, "{from} {before}");
    }
}

/// Covers: W-13.
#[tokio::test]
async fn what_was_not_delivered_is_listed_apart() {
    let nobody = "http://127.0.0.1:1/hook";
    let world = World::with(vec![PresetEndpoint::new(nobody, "whsec_canary")]).await;
    let intent = world.created_intent(1).await;
    let window = world.always().await;
    let undelivered = world.stripe.undelivered(window, None).await.unwrap();
    assert_eq!(undelivered.rows.len(), 1);
    assert_eq!(undelivered.rows[0].object.as_deref(), Some(intent.as_str()));
    let none = World::new().await;
    none.created_intent(1).await;
    assert!(none.stripe.undelivered(window, None).await.unwrap().rows.is_empty(), "there is no endpoint");
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
    let Ok(Heard::Fact(Fact::Payment(snapshot))) = world.stripe.understand(&body) else {
        panic!("not understood")
    };
    assert_eq!(snapshot.payment, Some(create_intent(1).payment));
    assert_eq!(snapshot.origin.event, Some(event.id));
    assert_eq!(snapshot.sighting.at, event.created_at);
}

/// What an endpoint must send is all that we understand, but for one that Stripe has replaced.
///
///
#[tokio::test]
async fn all_that_is_understood_is_asked_for() {
    let world = World::new().await;
    let paid = world.paid(1, "4000000000000259").await;
    world.paid(2, "4000000000000002").await;
    let refunded = world.paid(3, "4000000000007726").await;
    world.post("/v1/refunds", format!("payment_intent={refunded}&amount=5")).await;
    world.created_session(4).await;
    world.advance("480h").await;
    let (mut told, mut silent) = (HashSet::new(), HashSet::new());
    for (kind, heard) in world.heard().await {
        match heard {
            Heard::Fact(_) => told.insert(kind),
            Heard::Nothing(_) => silent.insert(kind),
        };
    }
    assert!(told.len() > 10 && told.contains("charge.dispute.created"), "{told:?} of {paid}");
    let needed: HashSet<String> = EVENTS_NEEDED.map(str::to_owned).into();
    let unasked: Vec<_> = told.difference(&needed).collect();
    assert!(unasked.is_empty() || unasked == ["charge.refund.updated"], "{unasked:?}");
    assert!(silent.is_disjoint(&needed), "{silent:?}");
}

/// Every event of a payment that is declined, paid and refunded, through the eyes of `understand`.
#[tokio::test]
async fn the_events_of_a_payments_life_are_understood() {
    let world = World::new().await;
    let intent = world.created_intent(1).await;
    world.pay(&intent, "4000000000000002").await;
    world.pay(&intent, "4242424242424242").await;
    world.post("/v1/refunds", format!("payment_intent={intent}")).await;
    let (mut told, mut refunds) = (Vec::new(), Vec::new());
    for (kind, heard) in world.heard().await {
        match heard {
            Heard::Fact(Fact::Payment(snapshot)) => {
                assert_eq!(snapshot.sighting.intent.as_ref(), Some(&intent), "{kind}");
                assert_eq!(snapshot.payment, Some(create_intent(1).payment), "{kind}");
                told.push((kind, snapshot.sighting.standing));
            }
            Heard::Fact(Fact::Refund(snapshot)) => {
                assert_eq!(snapshot.intent.as_ref(), Some(&intent), "{kind}");
                refunds.push((kind, snapshot.sighting.standing));
            }
            Heard::Fact(Fact::Dispute(_)) => panic!("{kind}"),
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
    assert_eq!(refunds[0], ("refund.created".to_owned(), RefundStanding::Succeeded));
}

fn json(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).unwrap()
}

/// One webhook, answered with 200: its signature and its bytes.
pub(crate) async fn receive(listener: &TcpListener) -> (String, Vec<u8>) {
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
