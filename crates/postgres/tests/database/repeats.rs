//! Idempotency keys.

use std::time::Duration;

use paywright_domain::OperationId;
use paywright_postgres::{Answered, Began, IdempotencyKeys};
use paywright_testkit::builders::new_id;
use time::OffsetDateTime;

use crate::stage::Stage;

const LONG: Duration = Duration::from_secs(60);
const BODY: [u8; 32] = [1; 32];

fn operation() -> OperationId {
    new_id(OffsetDateTime::UNIX_EPOCH)
}

fn answer(text: &str) -> Answered {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Answered { status: 201, headers, body: text.as_bytes().to_vec() }
}

async fn keys() -> (Stage, IdempotencyKeys) {
    let stage = Stage::new().await;
    let keys = IdempotencyKeys::new(&stage.store);
    (stage, keys)
}

/// Covers: I17, fault 100.
#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_parallel_requests_one_runs() {
    let (_stage, keys) = keys().await;
    let all = (0..20).map(|_| {
        let keys = keys.clone();
        tokio::spawn(async move { keys.begin("key_1", "k", BODY, operation(), LONG).await.unwrap() })
    });
    let began: Vec<_> = futures::future::join_all(all).await.into_iter().map(Result::unwrap).collect();
    let fresh = began.iter().filter(|began| matches!(began, Began::Fresh(_))).count();
    let waiting = began.iter().filter(
        |began| matches!(began, Began::InFlight { retry_after } if *retry_after > LONG / 2 && *retry_after <= LONG),
    );
    assert_eq!((fresh, waiting.count()), (1, 19));
}

/// Covers: I17, fault 100.
#[tokio::test]
async fn an_answer_is_repeated_to_the_letter() {
    let (_stage, keys) = keys().await;
    let first = operation();
    assert_eq!(keys.begin("key_1", "k", BODY, first, LONG).await.unwrap(), Began::Fresh(first));
    assert_eq!(keys.finish("key_1", "k", first, &answer("{}\0")).await.unwrap(), None);
    for _ in 0..3 {
        let began = keys.begin("key_1", "k", BODY, operation(), LONG).await.unwrap();
        assert_eq!(began, Began::Replay(answer("{}\0")));
    }
}

/// Covers: I17, fault 104, fault 105.
#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_scope() {
    let (_stage, keys) = keys().await;
    let (first, other) = (operation(), operation());
    keys.begin("key_1", "k", BODY, first, LONG).await.unwrap();
    assert_eq!(keys.begin("key_1", "k", [2; 32], operation(), LONG).await.unwrap(), Began::Mismatch);
    keys.finish("key_1", "k", first, &answer("mine")).await.unwrap();
    assert_eq!(keys.begin("key_1", "k", [2; 32], operation(), LONG).await.unwrap(), Began::Mismatch);
    assert_eq!(keys.begin("key_2", "k", BODY, other, LONG).await.unwrap(), Began::Fresh(other));
}

/// Covers: fault 85, fault 107, fault 125.
#[tokio::test]
async fn a_run_that_died_or_gave_up_is_resumed_as_the_same_operation() {
    let (_stage, keys) = keys().await;
    let first = operation();
    keys.begin("key_1", "k", BODY, first, Duration::ZERO).await.unwrap();
    assert_eq!(keys.begin("key_1", "k", BODY, operation(), LONG).await.unwrap(), Began::Resumed(first));
    let third = keys.begin("key_1", "k", BODY, operation(), LONG).await.unwrap();
    assert!(matches!(third, Began::InFlight { .. }), "{third:?}");
    keys.abandon("key_1", "k", first).await.unwrap();
    assert_eq!(keys.begin("key_1", "k", BODY, operation(), LONG).await.unwrap(), Began::Resumed(first));
    // Both runs end; the first answer counts for both.
    assert_eq!(keys.finish("key_1", "k", first, &answer("one")).await.unwrap(), None);
    assert_eq!(keys.finish("key_1", "k", first, &answer("two")).await.unwrap(), Some(answer("one")));
    keys.abandon("key_1", "k", first).await.unwrap();
    let replayed = keys.begin("key_1", "k", BODY, operation(), LONG).await.unwrap();
    assert_eq!(replayed, Began::Replay(answer("one")));
}

/// Covers: I17.
#[tokio::test]
async fn old_keys_are_forgotten_but_not_running_ones() {
    let (_stage, keys) = keys().await;
    for key in ["a", "b", "c"] {
        let id = operation();
        keys.begin("key_1", key, BODY, id, LONG).await.unwrap();
        keys.finish("key_1", key, id, &answer(key)).await.unwrap();
    }
    let running = operation();
    keys.begin("key_1", "running", BODY, running, LONG).await.unwrap();
    assert_eq!(keys.prune(LONG, 100).await.unwrap(), 0);
    assert_eq!(keys.prune(Duration::ZERO, 2).await.unwrap(), 2);
    assert_eq!(keys.prune(Duration::ZERO, 2).await.unwrap(), 1);
    assert_eq!(keys.prune(Duration::ZERO, 2).await.unwrap(), 0);
    let again = operation();
    assert_eq!(keys.begin("key_1", "a", [2; 32], again, LONG).await.unwrap(), Began::Fresh(again));
}
