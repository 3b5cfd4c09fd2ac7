//! API keys.

use paywright_domain::{Mode, ports::StoreError};
use paywright_postgres::{ApiKeys, SCOPES};
use paywright_testkit::builders::new_id;
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use crate::stage::Stage;

/// Covers: I31, fault 130, fault 134.
#[tokio::test]
async fn a_key_opens_with_its_secret_which_is_stored_nowhere() {
    let stage = Stage::new().await;
    let keys = ApiKeys::new(&stage.store);
    let scopes = ["orders:read".to_owned()];
    let (id, secret) = keys.create("shop", Mode::Live, &scopes, [0xab; 32]).await.unwrap();
    let secret = secret.expose_secret();
    assert_eq!(secret, &format!("pw_live_{}", "ab".repeat(32)));
    let found = keys.find(secret).await.unwrap().unwrap();
    assert_eq!((found.id, found.mode, found.name.as_str()), (id, Mode::Live, "shop"));
    assert!(found.may("orders:read") && !found.may("orders:write"));
    for wrong in ["", "pw_live_", &secret[..secret.len() - 1], &secret.to_uppercase(), "a\0b"] {
        assert_eq!(keys.find(wrong).await.unwrap(), None, "{wrong:?}");
    }
    let whole: String = sqlx::query_scalar("SELECT to_jsonb(api_keys)::text FROM api_keys")
        .fetch_one(&stage.aside)
        .await
        .unwrap();
    assert!(!whole.contains(&"ab".repeat(32)));
}

/// Covers: fault 133.
#[tokio::test]
async fn a_revoked_key_opens_nothing_at_once() {
    let stage = Stage::new().await;
    let keys = ApiKeys::new(&stage.store);
    let (id, secret) = keys.create("shop", Mode::Test, &["*".to_owned()], [1; 32]).await.unwrap();
    assert!(keys.find(secret.expose_secret()).await.unwrap().unwrap().may("products:write"));
    assert!(keys.revoke(id).await.unwrap());
    assert!(keys.revoke(id).await.unwrap());
    assert_eq!(keys.find(secret.expose_secret()).await.unwrap(), None);
    assert!(!keys.revoke(new_id(OffsetDateTime::UNIX_EPOCH)).await.unwrap());
    assert!(keys.list().await.unwrap()[0].revoked_at.is_some());
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_once_a_minute() {
    let stage = Stage::new().await;
    let keys = ApiKeys::new(&stage.store);
    let (_, secret) = keys.create("shop", Mode::Test, &["*".to_owned()], [1; 32]).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(keys.find(secret.expose_secret()).await.unwrap().unwrap().last_used_at);
    }
    assert!(seen[0].is_none() && seen[1].is_some() && seen[1] == seen[2]);
    stage.run("UPDATE api_keys SET last_used_at = last_used_at - interval '2 minutes'").await.unwrap();
    keys.find(secret.expose_secret()).await.unwrap();
    assert!(keys.list().await.unwrap()[0].last_used_at >= seen[1]);
}

/// Covers: I34.
#[tokio::test]
async fn only_known_scopes_are_granted() {
    let stage = Stage::new().await;
    let keys = ApiKeys::new(&stage.store);
    let all = SCOPES.map(str::to_owned);
    keys.create("all", Mode::Test, &all, [1; 32]).await.unwrap();
    let again = keys.create("again", Mode::Test, &all, [1; 32]).await;
    assert!(matches!(again, Err(StoreError::Conflict)));
    let unknown = keys.create("odd", Mode::Test, &["orders:burn".to_owned()], [2; 32]).await;
    assert!(matches!(unknown, Err(StoreError::Bug(_))));
    assert_eq!(keys.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_key_for_dev_is_there_once() {
    let stage = Stage::new().await;
    let keys = ApiKeys::new(&stage.store);
    let id = keys.ensure_dev_key("pw_test_dev").await.unwrap();
    assert_eq!(keys.ensure_dev_key("pw_test_dev").await.unwrap(), id);
    let key = keys.find("pw_test_dev").await.unwrap().unwrap();
    assert_eq!((key.id, key.mode), (id, Mode::Test));
    assert!(key.may("orders:write"));
}
