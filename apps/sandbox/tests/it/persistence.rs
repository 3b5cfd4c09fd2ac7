//! What was acknowledged survives; two sandboxes do not share what they should not.

use paywright_sandbox::{Options, PresetEndpoint, StartError, start};

use crate::harness::{Receiver, Rig, local};

#[tokio::test]
async fn the_state_is_there_after_a_restart_and_undelivered_webhooks_are_retried() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    receiver.answer(&[500; 3]);
    let options = || Options {
        data_dir: Some(folder.path().to_owned()),
        webhook_endpoints: vec![PresetEndpoint::new(receiver.url.clone(), "whsec_test")],
        retry_schedule: vec![std::time::Duration::from_millis(1_500); 3],
        ..Options::default()
    };
    let rig = Rig::with(options()).await;
    let intent = rig.paid("").await.id();
    receiver.wait_for(3).await;
    rig.stop().await;
    let rig = Rig::with(options()).await;
    let again = rig.get(&format!("/v1/payment_intents/{intent}")).await.ok();
    assert_eq!(again.body["status"], "succeeded");
    // Three that failed come again, and `charge.updated` comes in between.
    let received = receiver.wait_for(7).await;
    for first in &received[..3] {
        assert_eq!(received.iter().filter(|one| one.body == first.body).count(), 2);
    }
    assert_eq!(rig.get("/v1/webhook_endpoints").await.ok().body["data"].as_array().unwrap().len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn a_busy_port_and_a_busy_folder_are_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let first =
        start(Options { bind: local(), data_dir: Some(folder.path().to_owned()), ..Options::default() })
            .await
            .unwrap();
    let busy = start(Options { bind: first.addr(), ..Options::default() }).await.err().unwrap();
    assert!(matches!(busy, StartError::Busy { .. }), "{busy}");
    let shared =
        start(Options { bind: local(), data_dir: Some(folder.path().to_owned()), ..Options::default() })
            .await;
    assert!(matches!(shared.err().unwrap(), StartError::Data { .. }));
    first.stop().await;
}
