//! The delivery worker: sends signed webhooks, in parallel, and records what came of each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::shell::{Shell, wall};
use crate::model::delivery::{ANSWER_MAX, Outcome, Outgoing, signature};
use crate::model::{Input, Mode};

/// Attempts under way at the same time.
const PARALLEL_MAX: usize = 128;
/// Longest sleep, in case the clock is moved by something that wakes nobody.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// A client that never follows redirects and gives up after the deadline.
pub(super) fn client(deadline: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(deadline)
        .no_proxy()
        .build()
}

/// Sends what is due until cancelled. Attempts under way are then given up: they are made again later.
pub(super) async fn run(shell: Arc<Shell>, client: reqwest::Client, stop: CancellationToken) {
    let mut attempts = JoinSet::new();
    loop {
        let (taken, wait) = shell.take_deliveries(PARALLEL_MAX.saturating_sub(attempts.len()));
        for (mode, outgoing) in taken {
            attempts.spawn(attempt(shell.clone(), client.clone(), mode, outgoing));
        }
        while attempts.try_join_next().is_some() {}
        tokio::select! {
            () = stop.cancelled() => return,
            () = shell.wake.notified() => {}
            () = tokio::time::sleep(sleep(wait)) => {}
        }
    }
}

/// Until the next is due. What is due but being sent already wakes the worker when it ends.
fn sleep(wait: Option<i64>) -> Duration {
    match wait.map(u64::try_from) {
        Some(Ok(millis)) if millis > 0 => Duration::from_millis(millis).min(SLEEP_MAX),
        _ => SLEEP_MAX,
    }
}

async fn attempt(shell: Arc<Shell>, client: reqwest::Client, mode: Mode, outgoing: Outgoing) {
    let begun = Instant::now();
    let mut outcome = send(&client, &outgoing).await;
    outcome.latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (delivery, url) = (outgoing.delivery, outgoing.url);
    shell.delivered(mode, delivery, &Input::Attempt { mode, delivery, url, outcome });
}

/// Source of the headers: <https://docs.stripe.com/webhooks>.
async fn send(client: &reqwest::Client, outgoing: &Outgoing) -> Outcome {
    let body = match outgoing.corrupt {
        true => outgoing.body.replacen("\"livemode\"", "\"livem0de\"", 1),
        false => outgoing.body.clone(),
    };
    let sent = client
        .post(&outgoing.url)
        .header(USER_AGENT, "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
        .header(CONTENT_TYPE, "application/json; charset=utf-8")
        .header("Stripe-Signature", signature(&outgoing.secrets, wall(), &outgoing.body))
        .body(body)
        .send()
        .await;
    let failed = |error: reqwest::Error| Outcome { error: Some(reason(&error)), ..Outcome::default() };
    let mut response = match sent {
        Ok(response) => response,
        Err(error) => return failed(error),
    };
    let status = response.status().as_u16();
    let mut answer = Vec::new();
    // Only the beginning is kept, so an endless answer is not read to its end.
    while answer.len() < ANSWER_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return failed(error),
        }
    }
    answer.truncate(ANSWER_MAX);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Outcome {
        status: Some(status),
        answer: Some(answer).filter(|text| !text.is_empty()),
        ..Outcome::default()
    }
}

fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut source: &dyn std::error::Error = error;
    while let Some(deeper) = source.source() {
        source = deeper;
    }
    source.to_string()
}
