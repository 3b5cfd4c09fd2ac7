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

/// The program itself, to be killed.
struct Program {
    child: std::process::Child,
    url: String,
}

impl Program {
    fn start(folder: &std::path::Path) -> Self {
        use std::io::BufRead;
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_paywright-sandbox"))
            .args(["--bind", "127.0.0.1:0", "--data-dir"])
            .arg(folder)
            .env_remove("PAYWRIGHT_SANDBOX_RECORD")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("Sandbox listening on ").unwrap().to_owned();
        Self { child, url }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kills_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let mut program = Program::start(folder.path());
        let (url, http) = (program.url.clone(), http.clone());
        let traffic = tokio::spawn(async move {
            let mut ids = Vec::new();
            loop {
                let form = "amount=100&currency=usd&confirm=true&payment_method=pm_card_visa";
                let request =
                    http.post(format!("{url}/v1/payment_intents")).bearer_auth("sk_test_1").body(form);
                let Ok(answer) = request.send().await else { return ids };
                let Ok(text) = answer.text().await else { return ids };
                let body: serde_json::Value = serde_json::from_str(&text).unwrap();
                ids.push(body["id"].as_str().unwrap().to_owned());
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(150 + round * 37)).await;
        program.child.kill().unwrap();
        acknowledged.extend(traffic.await.unwrap());
    }
    assert!(!acknowledged.is_empty());
    let program = Program::start(folder.path());
    for id in &acknowledged {
        let request = http.get(format!("{}/v1/payment_intents/{id}", program.url)).bearer_auth("sk_test_1");
        assert_eq!(request.send().await.unwrap().status(), 200, "{id} is lost");
    }
}
