//! The adapter against the sandbox: what Stripe does when nothing breaks, and how lost answers are found.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;

mod archive;
mod books;
mod disputes;
mod endpoints;
mod events;
mod finding;
mod holds;
mod payments;
mod refunds;

use std::{fmt::Debug, future::Future};

use common::{KEY, about_payment, call, create_intent, stripe_at};
use paywright_domain::{
    CaptureMethod, GatewayCall, IntentId, Metadata, Operation, SessionId, SessionLine,
    ports::{Answer, Archive, Gateway, GatewayError, Heard, InboxEvent, Shelf, Snapshot, Window},
};
use paywright_sandbox::{Options, PresetEndpoint, Sandbox, start};
use paywright_stripe::Stripe;
use serde_json::Value;
use time::OffsetDateTime;

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

    /// Moves the sandbox's clock.
    async fn advance(&self, by: &str) {
        self.control("/clock", &format!(r#"{{"advance":"{by}"}}"#)).await;
    }

    /// A fault that strikes so often.
    async fn fault(&self, fault: &str, effect: bool, path: &str, times: u8) {
        let rule = format!(
            r#"{{"fault":"{fault}","effect":{effect},"method":"POST","path":"{path}","times":{times}}}"#
        );
        let added = self.control("/faults", &rule).await;
        assert!(added["data"].is_array(), "{added}");
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

    async fn perform(&self, call: &GatewayCall) -> Result<Answer, GatewayError> {
        about_payment(self.stripe.perform(call).await)
    }

    async fn created_intent(&self, seed: u8) -> IntentId {
        self.perform(&create_intent(seed)).await.unwrap().snapshot.sighting.intent.unwrap()
    }

    async fn created_session(&self, seed: u8) -> (SessionId, Answer) {
        let expires_at = self.now().await + time::Duration::HOUR;
        let answer = self.perform(&create_session(seed, expires_at)).await.unwrap();
        (answer.snapshot.sighting.session.clone().unwrap(), answer)
    }

    /// A captured payment of 19.99.
    async fn paid(&self, seed: u8, card: &str) -> IntentId {
        let intent = self.created_intent(seed).await;
        self.pay(&intent, card).await;
        intent
    }

    /// All that was made until now, and a little after.
    async fn always(&self) -> Window {
        let from = OffsetDateTime::from_unix_timestamp(0).unwrap();
        Window { from, before: self.now().await + time::Duration::HOUR }
    }

    /// Every event so far, newest first.
    async fn events(&self) -> Vec<InboxEvent> {
        let window = self.always().await;
        all(|after| Archive::events(&self.stripe, window, after)).await
    }

    /// Every event so far through the eyes of `understand`, oldest first.
    async fn heard(&self) -> Vec<(String, Heard)> {
        let heard = |event: InboxEvent| (event.kind, self.stripe.understand(&event.body).unwrap());
        self.events().await.into_iter().rev().map(heard).collect()
    }

    /// So many payments that are not ours.
    async fn many(&self, count: usize) {
        for _ in 0..count {
            self.post("/v1/payment_intents", "amount=500&currency=usd".to_owned()).await;
        }
    }

    async fn intent(&self, id: &IntentId) -> Snapshot {
        self.stripe.intent(id).await.unwrap().unwrap().snapshot
    }
}

/// A list to its end.
async fn all<T, F>(mut part: impl FnMut(Option<String>) -> F) -> Vec<T>
where
    F: Future<Output = Result<Shelf<T>, GatewayError>>,
{
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let shelf = part(after).await.unwrap();
        rows.extend(shelf.rows);
        after = shelf.next;
        if after.is_none() {
            return rows;
        }
    }
}

fn create_session(seed: u8, expires_at: OffsetDateTime) -> GatewayCall {
    let operation = Operation::CreateSession {
        currency: "usd".to_owned(),
        capture_method: CaptureMethod::Automatic,
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

fn rejected<T: Debug>(outcome: Result<T, GatewayError>) -> String {
    match outcome {
        Err(GatewayError::Rejected { code, request, .. }) => {
            assert!(request.is_some_and(|request| request.starts_with("req_")));
            code
        }
        other => panic!("not rejected: {other:?}"),
    }
}
