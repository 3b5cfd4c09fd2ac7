//! Events: listed, delivered, understood.

use paywright_domain::{
    Mode, RefundStanding, Standing,
    ports::{Fact, Gateway, Heard},
};
use paywright_sandbox::PresetEndpoint;
use paywright_stripe::{EventsQuery, SignatureError, TOLERANCE, envelope, verify};
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{World, common::create_intent};

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
            let Ok(Heard::Fact(Fact::Payment(snapshot))) = world.stripe.understand(&one) else {
                panic!("{}", event.id)
            };
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
    let Ok(Heard::Fact(Fact::Payment(snapshot))) = world.stripe.understand(&body) else {
        panic!("not understood")
    };
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
    let (mut told, mut refunds) = (Vec::new(), Vec::new());
    for event in events.iter().rev() {
        let kind = envelope(event).unwrap().kind;
        match world.stripe.understand(event).unwrap() {
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
