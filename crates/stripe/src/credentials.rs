//! After Stripe refused our credentials: no storm of calls that would be refused too.
//!
//! A 401 is about the key, so everything waits. A 403 is about one right of a restricted key, so only that endpoint
//! waits: a key that may not refund can still take payments.
//!
//! Sources: <https://docs.stripe.com/api/errors>, <https://docs.stripe.com/keys/restricted-api-keys>

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use paywright_domain::ports::GatewayError;
use tokio::time::Instant;

use crate::{client::Reply, json, text, wire};

/// The refusals that are remembered.
#[derive(Debug)]
pub(crate) struct Credentials {
    pause: Duration,
    refusals: Mutex<Refusals>,
}

#[derive(Debug, Default)]
struct Refusals {
    of_the_key: Option<Refusal>,
    /// By endpoint.
    of_a_right: HashMap<String, Refusal>,
}

#[derive(Debug)]
struct Refusal {
    /// When one call may find out whether it still holds.
    until: Instant,
    /// Stripe's.
    words: String,
}

impl Credentials {
    /// After a refusal nothing is sent for `pause`, then one call in each `pause`.
    pub(crate) fn new(pause: Duration) -> Self {
        Self { pause, refusals: Mutex::default() }
    }

    /// Whether a call may go on; it is asked again by [`Self::enter`] when it is about to be sent.
    pub(crate) fn check(&self, endpoint: &str) -> Result<(), GatewayError> {
        let now = Instant::now();
        match self.lock().of(endpoint).find(|refusal| now < refusal.until) {
            Some(refusal) => Err(GatewayError::NotAllowed(refusal.words.clone())),
            None => Ok(()),
        }
    }

    /// Lets a call through. If that is to find out whether a refusal still holds, it is the only one for a pause.
    pub(crate) fn enter(&self, endpoint: &str) -> Result<(), GatewayError> {
        self.check(endpoint)?;
        let until = Instant::now() + self.pause;
        self.lock().of(endpoint).for_each(|refusal| refusal.until = until);
        Ok(())
    }

    /// Learns from an answer.
    pub(crate) fn learn(&self, endpoint: &str, reply: &Reply) {
        match (reply.status, refusal(reply)) {
            (401, Some(words)) => self.refused(None, words),
            (403, Some(words)) => self.refused(Some(endpoint), words),
            (200..=299 | 400 | 402 | 404 | 409, _) => self.accepted(endpoint),
            _ => {}
        }
    }

    fn refused(&self, endpoint: Option<&str>, words: String) {
        let refusal = Refusal { until: Instant::now() + self.pause, words: words.clone() };
        let before = {
            let mut refusals = self.lock();
            match endpoint {
                None => refusals.of_the_key.replace(refusal),
                Some(endpoint) => refusals.of_a_right.insert(endpoint.to_owned(), refusal),
            }
        };
        if before.is_none() {
            let endpoint = endpoint.unwrap_or("all");
            tracing::error!(endpoint, reason = words, "Stripe refuses our credentials; calls are held back");
        }
    }

    /// An answer of any other kind was given past the check of the key and of its rights.
    fn accepted(&self, endpoint: &str) {
        let mut refusals = self.lock();
        let key = refusals.of_the_key.take();
        let right = refusals.of_a_right.remove(endpoint);
        drop(refusals);
        if key.or(right).is_some() {
            tracing::info!(endpoint, "Stripe accepts our credentials again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusals {
    fn of(&mut self, endpoint: &str) -> impl Iterator<Item = &mut Refusal> {
        self.of_the_key.iter_mut().chain(self.of_a_right.get_mut(endpoint))
    }
}

/// Stripe's words, if the answer is a refusal of its own: a proxy in between may say 403 as well.
fn refusal(reply: &Reply) -> Option<String> {
    if !matches!(reply.status, 401 | 403) || reply.should_retry == Some(true) {
        return None;
    }
    let error = json::read::<wire::ErrorBody>(&reply.body).ok()?.error;
    let words = error.message.as_deref().or(error.code.as_deref()).unwrap_or("without a message");
    Some(text::tidy(words, 500))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);
    const REFUND: &str = "POST /v1/refunds";
    const CREATE: &str = "POST /v1/payment_intents";

    fn reply(status: u16) -> Reply {
        let body = br#"{"error":{"type":"invalid_request_error","message":"No such right."}}"#;
        Reply { status, body: body.to_vec(), ..Reply::default() }
    }

    /// Covers: fault 18.
    #[tokio::test(start_paused = true)]
    async fn after_a_401_one_call_in_each_pause_finds_out() {
        let credentials = Credentials::new(PAUSE);
        credentials.learn(CREATE, &reply(401));
        for _ in 0..3 {
            let outcome = credentials.enter(REFUND);
            assert!(matches!(&outcome, Err(GatewayError::NotAllowed(words)) if words == "No such right."));
            tokio::time::advance(PAUSE).await;
            assert!(credentials.enter(REFUND).is_ok());
        }
        credentials.learn(REFUND, &reply(404));
        assert!(credentials.enter(CREATE).is_ok() && credentials.enter(CREATE).is_ok());
    }

    /// Covers: fault 18.
    #[tokio::test(start_paused = true)]
    async fn a_missing_right_holds_back_only_its_endpoint() {
        let credentials = Credentials::new(PAUSE);
        credentials.learn(REFUND, &reply(403));
        assert!(credentials.enter(REFUND).is_err());
        assert!(credentials.enter(CREATE).is_ok());
        credentials.learn(CREATE, &reply(200));
        assert!(credentials.enter(REFUND).is_err());
    }

    /// Covers: fault 6, fault 18.
    #[tokio::test(start_paused = true)]
    async fn what_is_not_stripes_refusal_holds_back_nothing() {
        let credentials = Credentials::new(PAUSE);
        credentials.learn(CREATE, &Reply { body: b"<html>Blocked</html>".to_vec(), ..reply(403) });
        credentials.learn(CREATE, &Reply { should_retry: Some(true), ..reply(401) });
        for status in [200, 402, 409, 429, 500] {
            credentials.learn(CREATE, &reply(status));
        }
        assert!(credentials.enter(CREATE).is_ok());
    }
}
