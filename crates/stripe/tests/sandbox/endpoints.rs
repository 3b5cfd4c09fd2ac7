//! The endpoint that Stripe calls: made, judged, mended, replaced.

use paywright_domain::Mode;
use paywright_stripe::{
    API_VERSION, EVENTS_NEEDED, Endpoint, EndpointChange, Finding, SignatureError, TOLERANCE, judge, verify,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;

use crate::{World, events::receive, rejected};

const URL: &str = "https://shop.example/webhooks/stripe";

async fn made(world: &World, url: &str, key: &str) -> (Endpoint, SecretString) {
    world.stripe.create_endpoint(url, &EVENTS_NEEDED, key).await.unwrap()
}

async fn findings(world: &World) -> Vec<Finding> {
    judge(&world.stripe.endpoints().await.unwrap(), URL, Mode::Test)
}

/// Covers, fault 24.
#[tokio::test]
async fn an_endpoint_is_made_with_the_version_that_we_read() {
    let world = World::new().await;
    assert_eq!(findings(&world).await, [Finding::Missing { url: URL.to_owned() }]);
    let (endpoint, secret) = made(&world, URL, "k1").await;
    assert_eq!(endpoint.api_version.as_deref(), Some(API_VERSION));
    assert_eq!((endpoint.url.as_str(), endpoint.enabled, endpoint.ours), (URL, true, true));
    assert_eq!(endpoint.events, EVENTS_NEEDED);
    assert!(secret.expose_secret().starts_with("whsec_"));
    assert!(!format!("{secret:?}").contains("whsec_"));
    assert_eq!(world.stripe.endpoints().await.unwrap(), std::slice::from_ref(&endpoint));
    assert_eq!(findings(&world).await, []);

    let (again, told) = made(&world, URL, "k1").await;
    assert_eq!((again, told.expose_secret()), (endpoint, secret.expose_secret()), "the same key");
    assert_eq!(world.stripe.endpoints().await.unwrap().len(), 1);
}

///
#[tokio::test]
async fn an_endpoint_of_the_accounts_default_version_is_found() {
    let world = World::new().await;
    world.post("/v1/webhook_endpoints", format!("url={URL}&enabled_events[]=*")).await;
    let found = findings(&world).await;
    let [Finding::OtherVersion { version: None, .. }] = &found[..] else { panic!("{found:?}") };
    made(&world, URL, "k1").await;
    let found = findings(&world).await;
    assert!(matches!(&found[..], [Finding::Repeated { endpoints }] if endpoints.len() == 2), "{found:?}");
}

///
#[tokio::test]
async fn what_is_wrong_with_an_endpoint_is_mended() {
    let world = World::new().await;
    let (endpoint, _) =
        world.stripe.create_endpoint("https://old.example/", &["refund.created"], "k1").await.unwrap();
    let found = findings(&world).await;
    assert!(
        matches!(&found[..], [Finding::OtherUrl { found, .. }] if found == "https://old.example/"),
        "{found:?}"
    );
    let moved =
        EndpointChange { url: Some(URL.to_owned()), enabled: Some(false), ..EndpointChange::default() };
    world.stripe.update_endpoint(&endpoint.id, &moved, "k2").await.unwrap().unwrap();
    let found = findings(&world).await;
    let [Finding::Disabled { .. }, Finding::MissingEvents { types, .. }] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(types.len(), EVENTS_NEEDED.len() - 1);
    let events = Some(EVENTS_NEEDED.map(str::to_owned).to_vec());
    let mended = EndpointChange { events, enabled: Some(true), ..EndpointChange::default() };
    let changed = world.stripe.update_endpoint(&endpoint.id, &mended, "k3").await.unwrap().unwrap();
    assert_eq!((changed.url.as_str(), changed.enabled, changed.ours), (URL, true, true));
    assert_eq!(findings(&world).await, []);
}

#[tokio::test]
async fn what_is_not_there_is_neither_changed_nor_deleted() {
    let world = World::new().await;
    let change = EndpointChange { enabled: Some(true), ..EndpointChange::default() };
    for missing in ["we_missing", "we/1", "", "we_1?x=1"] {
        assert_eq!(world.stripe.update_endpoint(missing, &change, "k").await.unwrap(), None, "{missing}");
        assert!(!world.stripe.delete_endpoint(missing).await.unwrap(), "{missing}");
    }
    assert_eq!(rejected(world.stripe.create_endpoint("no address", &["*"], "k1").await), "url_invalid");
}

/// The API has no call that rolls a secret: a second endpoint with the same address has another one, and the old is
/// deleted once both are accepted.
#[tokio::test]
async fn a_secret_is_rolled_by_a_second_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhooks/stripe", listener.local_addr().unwrap());
    let world = World::new().await;
    let (old, first) = made(&world, &url, "k1").await;
    let (new, second) = made(&world, &url, "k2").await;
    assert_ne!(first.expose_secret(), second.expose_secret());

    world.created_intent(1).await;
    let (one, other) = (receive(&listener).await, receive(&listener).await);
    assert_eq!(one.1, other.1, "the same event twice");
    let (now, both) = (world.now().await, [first.clone(), second.clone()]);
    for (signature, body) in [&one, &other] {
        assert_eq!(verify(Some(signature), body, &both, now, TOLERANCE), Ok(()));
    }
    assert!(world.stripe.delete_endpoint(&old.id).await.unwrap());
    assert!(!world.stripe.delete_endpoint(&old.id).await.unwrap(), "it is gone");
    assert_eq!(world.stripe.endpoints().await.unwrap(), [new]);
    world.created_intent(2).await;
    let (signature, body) = receive(&listener).await;
    assert_eq!(verify(Some(&signature), &body, &[second], now, TOLERANCE), Ok(()));
    let dead = verify(Some(&signature), &body, &[first], now, TOLERANCE);
    assert_eq!(dead, Err(SignatureError::Mismatch));
}

/// Covers: fault 39, fault 77.
#[tokio::test]
async fn a_clock_that_is_off_is_seen() {
    let world = World::new().await;
    assert_eq!(world.stripe.clock_skew(), None);
    world.stripe.endpoints().await.unwrap();
    let before = world.stripe.clock_skew().unwrap();
    world.advance("1h").await;
    world.stripe.endpoints().await.unwrap();
    let after = world.stripe.clock_skew().unwrap();
    let moved = before.ahead - after.ahead;
    assert!((moved - time::Duration::HOUR).abs() < time::Duration::MINUTE, "{moved}");
}
