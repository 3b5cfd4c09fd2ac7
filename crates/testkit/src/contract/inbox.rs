//! The inbox: every event once, byte for byte.

use std::sync::Arc;

use paywright_domain::{
    Mode,
    ports::{InboxEvent, QueueName, Received, Task},
};

use super::{
    Backend,
    stage::{LONG, Stage, at_once},
};
use crate::builders::inbox_event;

/// Bodies are bytes: no encoding, no NUL, no size is special.
///
/// Covers: I20, fault 48.
pub async fn an_event_reads_back_byte_for_byte(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let bodies =
        [b"\xef\xbb\xbf{\"a\": \"\\u0000\"}".to_vec(), (0..=255).collect(), Vec::new(), vec![0; 300_000]];
    for (n, body) in bodies.into_iter().enumerate() {
        let event = InboxEvent {
            account: Some("acct_1".to_owned()),
            mode: Mode::Live,
            about: Some("pi_value_2".to_owned()),
            created_at: stage.now,
            body,
            ..inbox_event(&format!("evt_{n}"))
        };
        assert_eq!(stage.receive(event.clone()).await.unwrap(), Received::New);
        assert_eq!(stage.event(&event.id).await.unwrap(), Some(event));
    }
    let bare = InboxEvent { account: None, api_version: None, object: None, ..inbox_event("evt_bare") };
    assert_eq!(stage.receive(bare.clone()).await.unwrap(), Received::New);
    assert_eq!(stage.event("evt_bare").await.unwrap(), Some(bare));
}

/// A second delivery is `Known`: the first one's bytes stay, and there is one job.
///
/// Covers: I20, I22, fault 31, fault 37.
pub async fn an_event_is_stored_once(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let first = inbox_event("evt_1");
    assert_eq!(stage.receive(first.clone()).await.unwrap(), Received::New);
    let second = InboxEvent { body: b"other".to_vec(), ..first.clone() };
    assert_eq!(stage.receive(second).await.unwrap(), Received::Known);
    assert_eq!(stage.event("evt_1").await.unwrap(), Some(first));
    let job = stage.take_one(QueueName::Webhooks, LONG).await;
    assert_eq!(job.task, Task::ReadEvent("evt_1".to_owned()));
}

/// Deliveries at the same moment are one event with one job.
///
/// Covers: I20, I22, fault 31.
pub async fn fifty_deliveries_at_once_are_one_event(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let outcomes = at_once((0..50).map(|_| {
        let stage = stage.clone();
        async move { stage.receive(inbox_event("evt_1")).await.unwrap() }
    }));
    let new = outcomes.await.into_iter().filter(|outcome| *outcome == Received::New).count();
    assert_eq!(new, 1);
    stage.take_one(QueueName::Webhooks, LONG).await;
}

/// What needs no reading is kept with the reason, and waits for nobody.
///
/// Covers: I23, fault 51, fault 52.
pub async fn an_ignored_event_gets_no_job(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let event = InboxEvent { ignored: Some("other mode".to_owned()), ..inbox_event("evt_1") };
    assert_eq!(stage.receive(event.clone()).await.unwrap(), Received::New);
    assert_eq!(stage.receive(event.clone()).await.unwrap(), Received::Known);
    assert_eq!(stage.event("evt_1").await.unwrap(), Some(event));
    stage.idle(QueueName::Webhooks).await;
}
