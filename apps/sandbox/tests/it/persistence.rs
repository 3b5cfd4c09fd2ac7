//! What was acknowledged survives; two sandboxes do not share what they should not.

use paywright_sandbox::{Options, PresetEndpoint, StartError, start};
use serde_json::json;

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

/// Covers: fault 15.
#[tokio::test]
async fn terms_and_what_is_still_to_come_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { data_dir: Some(folder.path().to_owned()), ..Options::default() };
    let rig = Rig::with(options()).await;
    let intent = rig.paid("").await.id();
    let terms = json!({"refunds_wait_for_balance": true});
    let terms = rig.control("/_sandbox/account", &terms).await.ok().body;
    let path = format!("/_sandbox/payment_intents/{intent}/refund");
    let waits = rig.control(&path, &json!({"amount": 100})).await.ok().id();
    let fault = json!({"fault": "error_500", "repair_after": "6h", "method": "POST", "times": 1});
    rig.control("/_sandbox/faults", &fault).await.ok();
    assert_eq!(rig.post("/v1/payment_intents", "amount=77&currency=usd").await.status, 500);
    rig.stop().await;

    let rig = Rig::with(options()).await;
    assert_eq!(rig.get("/_sandbox/account").await.ok().body, terms);
    rig.advance("6h").await;
    let newest = rig.get("/v1/payment_intents?limit=1").await.ok().body["data"][0].clone();
    assert_eq!(newest["amount"], 77);
    let refund = rig.get(&format!("/v1/refunds/{waits}")).await.ok();
    assert_eq!(refund.body["pending_reason"], "insufficient_funds");
    rig.advance("48h").await;
    assert_eq!(rig.get(&format!("/v1/refunds/{waits}")).await.ok().body["status"], "succeeded");
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
