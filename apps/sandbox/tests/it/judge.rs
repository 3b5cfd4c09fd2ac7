//! Stripe's published description judges everything that the sandbox answers.
//!
//! `PAYWRIGHT_STRIPE_FACTS` names a folder with `check_stripe_http.py` and its `openapi.slice.json`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use paywright_sandbox::Options;
use serde_json::json;

use crate::harness::{Receiver, Rig};

fn facts() -> Option<PathBuf> {
    let folder = std::env::var_os("PAYWRIGHT_STRIPE_FACTS").filter(|folder| !folder.is_empty());
    if folder.is_none() {
        eprintln!(
            "SKIPPED: PAYWRIGHT_STRIPE_FACTS is not set, so nothing was compared with Stripe's description"
        );
    }
    folder.map(PathBuf::from)
}

fn check(facts: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("python3")
        .arg(facts.join("check_stripe_http.py"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn assert_clean(output: &Output, what: &str) {
    let (problems, notes) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}\n{problems}\n{notes}");
    let strange: Vec<&str> = notes.lines().filter(|line| line.contains("not a field")).collect();
    assert!(strange.is_empty(), "{what}: {strange:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_and_every_webhook_has_the_published_shape() {
    let Some(facts) = facts() else { return };
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("exchanges.ndjson");
    let receiver = Receiver::start().await;
    let endpoint = paywright_sandbox::PresetEndpoint::new(receiver.url.clone(), "whsec_test");
    let options =
        Options { record: Some(record.clone()), webhook_endpoints: vec![endpoint], ..Options::default() };
    let rig = Rig::with(options).await;
    tour(&rig).await;
    let all = rig.get("/_sandbox/health").await.ok().body["events"].as_u64().unwrap();
    let received = receiver.wait_for(usize::try_from(all).unwrap()).await;
    rig.stop().await;
    assert_clean(&check(&facts, &["log", record.to_str().unwrap()], ""), "recorded exchanges");
    assert_clean(&check(&facts, &["object", "event"], &received[0].body), "one webhook");
    // As answers to `GET /v1/events/{id}`, all webhooks are checked by one run.
    let webhooks = folder.path().join("webhooks.ndjson");
    let lines = received.iter().map(|one| {
        json!({"method": "GET", "path": "/v1/events/evt_1", "status": 200, "response_body": one.event()})
            .to_string()
    });
    std::fs::write(&webhooks, lines.collect::<Vec<_>>().join("\n")).unwrap();
    assert_clean(&check(&facts, &["log", webhooks.to_str().unwrap()], ""), "webhooks");
}

/// Every operation, with success and with its usual failures.
async fn tour(rig: &Rig) {
    intents(rig).await;
    sessions(rig).await;
    catalogue(rig).await;
    customers(rig).await;
    refunds_and_disputes(rig).await;
    by_hand(rig).await;
    setups(rig).await;
    subscriptions(rig).await;
    portal(rig).await;
    readings(rig).await;
    payouts(rig).await;
}

async fn setups(rig: &Rig) {
    let customer = rig.post("/v1/customers", "email=s@example.com").await.ok().id();
    let setup = rig
        .post("/v1/setup_intents", &format!("customer={customer}&usage=off_session&metadata[a]=1"))
        .await
        .ok();
    let path = format!("/v1/setup_intents/{}", setup.id());
    rig.post(&format!("{path}/confirm"), "").await;
    rig.post(&format!("{path}/confirm"), "payment_method=pm_card_visa_chargeDeclined").await;
    rig.post(&path, "description=x").await.ok();
    let form = "payment_method=pm_card_authenticationRequiredOnSetup&return_url=https://a.example";
    rig.post(&format!("{path}/confirm"), form).await.ok();
    let answer = format!("/_sandbox/setup_intents/{}/authenticate", setup.id());
    rig.control(&answer, &json!({"outcome": "fail"})).await;
    rig.post(&format!("{path}/confirm"), form).await.ok();
    rig.control(&answer, &json!({"outcome": "complete"})).await.ok();
    rig.get(&format!("{path}?expand[]=payment_method&expand[]=customer")).await.ok();
    rig.post(&format!("{path}/cancel"), "").await;
    let other = rig
        .post("/v1/setup_intents", "payment_method=pm_card_visa&confirm=true&payment_method_types[]=card")
        .await
        .ok();
    assert_eq!(other.body["status"], "succeeded");
    let open = rig.post("/v1/setup_intents", "").await.ok().id();
    rig.post(&format!("/v1/setup_intents/{open}/cancel"), "cancellation_reason=abandoned").await.ok();
    rig.get(&format!("/v1/setup_intents?customer={customer}")).await.ok();
    let form = format!("mode=setup&customer={customer}&currency=usd&success_url=https://a.example");
    let session = rig.post("/v1/checkout/sessions", &form).await.ok().id();
    let pay = format!("/_sandbox/checkout/sessions/{session}/pay");
    let done = rig.control(&pay, &json!({"card": "4242424242424242"})).await.ok();
    assert_eq!(
        (&done.body["status"], &done.body["payment_status"]),
        (&json!("complete"), &json!("no_payment_required"))
    );
    rig.get(&format!("/v1/checkout/sessions/{session}?expand[]=setup_intent")).await.ok();
}

async fn subscriptions(rig: &Rig) {
    let price = rig
        .post("/v1/prices", "currency=usd&unit_amount=1500&recurring[interval]=month&product_data[name]=Plan")
        .await
        .ok()
        .id();
    let customer = rig.post("/v1/customers", "email=c@example.com&name=C").await.ok().id();
    let form = format!(
        "customer={customer}&items[0][price]={price}&payment_behavior=default_incomplete&payment_settings[save_default_payment_method]=on_subscription&expand[]=latest_invoice.confirmation_secret&expand[]=pending_setup_intent"
    );
    let fresh = rig.post("/v1/subscriptions", &form).await.ok();
    assert_eq!(fresh.body["status"], "incomplete");
    let secret = fresh.body["latest_invoice"]["confirmation_secret"]["client_secret"].as_str().unwrap();
    let intent = secret.split("_secret_").next().unwrap();
    let pay = format!("/_sandbox/payment_intents/{intent}/pay");
    rig.control(&pay, &json!({"card": "4000000000000002"})).await;
    rig.control(&pay, &json!({"card": "4000002500003155", "authenticate": "complete"})).await.ok();
    let path = format!("/v1/subscriptions/{}", fresh.id());
    let active = rig.get(&format!("{path}?expand[]=latest_invoice.payments&expand[]=customer")).await.ok();
    assert_eq!(active.body["status"], "active");
    rig.get(&format!("/v1/invoice_payments?payment[type]=payment_intent&payment[payment_intent]={intent}"))
        .await
        .ok();
    rig.advance("769h").await;
    let renewed = rig.get(&format!("{path}?expand[]=latest_invoice")).await.ok();
    assert_eq!(renewed.body["latest_invoice"]["status"], "paid");
    assert_eq!(renewed.body["latest_invoice"]["billing_reason"], "subscription_cycle");
    let item = renewed.body["items"]["data"][0]["id"].as_str().unwrap().to_owned();
    rig.post(
        &path,
        &format!("items[0][id]={item}&items[0][quantity]=2&cancel_at_period_end=true&metadata[a]=1"),
    )
    .await
    .ok();
    rig.advance("768h").await;
    assert_eq!(rig.get(&path).await.ok().body["status"], "canceled");
    rig.delete(&path).await;
    failing_and_trials(rig, &customer, &price).await;
    let lines = format!(
        "mode=subscription&success_url=https://a.example&line_items[0][price]={price}&line_items[0][quantity]=1&customer_email=z@example.com"
    );
    let session = rig.post("/v1/checkout/sessions", &lines).await.ok().id();
    let pay = format!("/_sandbox/checkout/sessions/{session}/pay");
    rig.control(&pay, &json!({"card": "4000000000000002"})).await;
    let done = rig.control(&pay, &json!({"card": "4242424242424242"})).await.ok();
    assert_eq!((&done.body["status"], &done.body["payment_status"]), (&json!("complete"), &json!("paid")));
    rig.get(&format!("/v1/checkout/sessions/{session}?expand[]=subscription&expand[]=invoice")).await.ok();
}

async fn failing_and_trials(rig: &Rig, customer: &str, price: &str) {
    let method = rig
        .post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", &format!("customer={customer}"))
        .await
        .ok()
        .id();
    let form = format!("customer={customer}&items[0][price]={price}&default_payment_method={method}");
    let incomplete = rig.post("/v1/subscriptions", &form).await.ok();
    assert_eq!(incomplete.body["status"], "incomplete");
    let invoice = incomplete.body["latest_invoice"].as_str().unwrap();
    rig.post(&format!("/v1/invoices/{invoice}/pay"), "").await;
    rig.post(&format!("/v1/invoices/{invoice}/finalize"), "").await;
    rig.post(&format!("/v1/invoices/{invoice}/pay"), "payment_method=pm_card_visa&expand[]=payments").await;
    rig.post("/v1/subscriptions", &format!("{form}&payment_behavior=error_if_incomplete")).await;
    let trial = rig.post("/v1/subscriptions", &format!("{form}&trial_period_days=5")).await.ok();
    assert_eq!(trial.body["status"], "trialing");
    rig.advance("122h").await;
    let path = format!("/v1/subscriptions/{}", trial.id());
    assert_eq!(rig.get(&path).await.ok().body["status"], "past_due");
    rig.advance("400h").await;
    assert_eq!(rig.get(&path).await.ok().body["status"], "canceled");
    let form = format!(
        "customer={customer}&items[0][price]={price}&trial_period_days=5&payment_behavior=default_incomplete&expand[]=pending_setup_intent"
    );
    let trial = rig.post("/v1/subscriptions", &form).await.ok();
    assert_eq!(trial.body["pending_setup_intent"]["object"], "setup_intent");
    rig.delete(&format!("/v1/subscriptions/{}", trial.id())).await.ok();
    rig.get("/v1/subscriptions?status=all").await.ok();
    let invoices = rig.get(&format!("/v1/invoices?customer={customer}&limit=100")).await.ok();
    let one = invoices.body["data"][0]["id"].as_str().unwrap().to_owned();
    rig.get(&format!(
        "/v1/invoices/{one}?expand[]=payments.data.payment.payment_intent&expand[]=confirmation_secret"
    ))
    .await
    .ok();
    let payments = rig.get("/v1/invoice_payments").await.ok();
    rig.get(&format!("/v1/invoice_payments/{}", payments.body["data"][0]["id"].as_str().unwrap())).await.ok();
}

async fn portal(rig: &Rig) {
    let customer = rig.post("/v1/customers", "email=p@example.com").await.ok().id();
    let form = "features[invoice_history][enabled]=true&features[subscription_cancel][enabled]=true&business_profile[headline]=Hi&default_return_url=https://a.example";
    let configuration = rig.post("/v1/billing_portal/configurations", form).await.ok().id();
    let path = format!("/v1/billing_portal/configurations/{configuration}");
    rig.post(&path, "active=true&metadata[a]=1&features[customer_update][enabled]=true&features[customer_update][allowed_updates][]=email").await.ok();
    rig.get(&path).await.ok();
    rig.get("/v1/billing_portal/configurations?active=true").await.ok();
    rig.post("/v1/billing_portal/sessions", &format!("customer={customer}")).await.ok();
}

async fn payouts(rig: &Rig) {
    let balance = rig.get("/v1/balance").await.ok();
    assert!(balance.body["available"].as_array().unwrap().iter().any(|one| one["currency"] == "usd"));
    rig.post("/v1/payouts", "amount=99999999&currency=usd").await;
    let form = "amount=5000&currency=usd&confirm=true&payment_method=pm_card_bypassPending";
    rig.post("/v1/payment_intents", form).await.ok();
    rig.advance("2s").await;
    let payout = rig.post("/v1/payouts", "amount=100&currency=usd&metadata[a]=1").await.ok().id();
    rig.get(&format!("/v1/payouts/{payout}?expand[]=balance_transaction")).await.ok();
    rig.post(&format!("/v1/payouts/{payout}/cancel"), "").await.ok();
    rig.post(&format!("/v1/payouts/{payout}/cancel"), "").await;
    rig.advance("73h").await;
    let paid = rig.get("/v1/payouts?limit=100").await.ok();
    let automatic =
        paid.body["data"].as_array().unwrap().iter().find(|one| one["automatic"] == true).unwrap();
    let id = automatic["id"].as_str().unwrap();
    let rows = rig.get(&format!("/v1/balance_transactions?payout={id}&limit=100")).await.ok();
    let rows = rows.body["data"].as_array().unwrap().iter().filter(|row| row["type"] != "payout");
    let net: i64 = rows.map(|row| row["net"].as_i64().unwrap()).sum();
    assert_eq!(net, automatic["amount"].as_i64().unwrap());
    rig.control(&format!("/_sandbox/payouts/{id}/fail"), &json!({})).await.ok();
    rig.get(&format!("/v1/payouts/{id}?expand[]=failure_balance_transaction")).await.ok();
    rig.get("/v1/balance_transactions?limit=100&expand[]=data.source").await.ok();
}

async fn intents(rig: &Rig) {
    let shipping = "shipping[name]=A&shipping[address][line1]=B&shipping[address][country]=DE";
    let paid = rig
        .paid(&format!("description=x&receipt_email=a@example.com&statement_descriptor_suffix=Y&{shipping}"))
        .await;
    let path = format!("/v1/payment_intents/{}", paid.id());
    rig.get(&format!("{path}?expand[]=latest_charge.balance_transaction&expand[]=payment_method")).await.ok();
    rig.post(&path, "metadata[a]=1").await.ok();
    rig.post(&path, "amount=5000").await;
    rig.post(&format!("{path}/confirm"), "").await;
    rig.post(&format!("{path}/cancel"), "").await;
    let held = rig.paid("capture_method=manual").await;
    let path = format!("/v1/payment_intents/{}", held.id());
    rig.post(&format!("{path}/increment_authorization"), "amount=1500").await.ok();
    rig.post(&format!("{path}/capture"), "amount_to_capture=0").await;
    rig.post(&format!("{path}/capture"), "amount_to_capture=1200&metadata[b]=2").await.ok();
    rig.post(&format!("{path}/capture"), "").await;
    let open = rig
        .post("/v1/payment_intents", "amount=700&currency=jpy&allowed_payment_method_types[]=card")
        .await
        .ok();
    let path = format!("/v1/payment_intents/{}", open.id());
    rig.post(&path, "amount=800&description=y&payment_method=pm_card_visa").await.ok();
    rig.post(&format!("{path}/cancel"), "cancellation_reason=abandoned").await.ok();
    let declining = rig.post("/v1/payment_intents", "amount=700&currency=eur").await.ok();
    let path = format!("/v1/payment_intents/{}", declining.id());
    rig.post(&format!("{path}/confirm"), "").await;
    for card in paywright_sandbox::model::cards::CARDS {
        let Some(token) = card.tokens.first() else { continue };
        rig.post(&format!("{path}/confirm"), &format!("payment_method={token}")).await;
        rig.paid_or_not(token).await;
    }
    rig.get("/v1/payment_intents?limit=3&expand[]=data.latest_charge.refunds").await.ok();
    rig.get("/v1/payment_intents/pi_none").await;
}

impl Rig {
    async fn paid_or_not(&self, token: &str) {
        let secure = format!(
            "amount=2000&currency=usd&confirm=true&payment_method={token}&return_url=https://a.example"
        );
        let intent = self.post("/v1/payment_intents", &secure).await;
        if intent.body["status"] == "requires_action" {
            let path = format!("/_sandbox/payment_intents/{}/authenticate", intent.id());
            self.control(&path, &json!({"outcome": "complete"})).await;
        }
    }
}

async fn sessions(rig: &Rig) {
    let lines = "success_url=https://a.example/%7BCHECKOUT_SESSION_ID%7D&line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=900&line_items[0][price_data][product_data][name]=Tea&line_items[0][quantity]=1";
    let paid = rig
        .post(
            "/v1/checkout/sessions",
            &format!("mode=payment&{lines}&after_expiration[recovery][enabled]=true&locale=de"),
        )
        .await
        .ok();
    let path = format!("/v1/checkout/sessions/{}", paid.id());
    let pay = format!("/_sandbox/checkout/sessions/{}/pay", paid.id());
    rig.control(&pay, &json!({"card": "4000000000000002"})).await;
    rig.control(&pay, &json!({"card": "4000002760003184", "authenticate": "fail"})).await;
    rig.get(&path).await.ok();
    rig.control(&pay, &json!({"card": "4242424242424242", "email": "a@example.com", "name": "A"})).await.ok();
    rig.get(&format!("{path}?expand[]=line_items&expand[]=payment_intent")).await.ok();
    rig.get(&format!("{path}/line_items?limit=1")).await.ok();
    rig.post(&format!("{path}/expire"), "").await;
    let form =
        format!("mode=payment&{lines}&customer_creation=always&after_expiration[recovery][enabled]=true");
    let open = rig.post("/v1/checkout/sessions", &form).await.ok();
    rig.post(&format!("/v1/checkout/sessions/{}/expire", open.id()), "").await.ok();
    let manual = rig
        .post("/v1/checkout/sessions", &format!("{form}&payment_intent_data[capture_method]=manual"))
        .await
        .ok();
    rig.control(
        &format!("/_sandbox/checkout/sessions/{}/pay", manual.id()),
        &json!({"card": "4242424242424242"}),
    )
    .await
    .ok();
    rig.get("/v1/checkout/sessions?status=open").await.ok();
    for iban in ["AT321904300235473204", "AT861904300235473202"] {
        let session = rig.post("/v1/checkout/sessions", &format!("mode=payment&{lines}")).await.ok().id();
        let pay = format!("/_sandbox/checkout/sessions/{session}/pay");
        rig.control(&pay, &json!({"card": iban})).await.ok();
        let list = rig
            .get("/v1/payment_intents?limit=1&expand[]=data.latest_charge&expand[]=data.payment_method")
            .await
            .ok();
        assert_eq!(list.body["data"][0]["status"], "processing");
        rig.advance("6s").await;
        rig.get("/v1/payment_intents?limit=1&expand[]=data.latest_charge").await.ok();
    }
}

async fn catalogue(rig: &Rig) {
    let product = rig
        .post(
            "/v1/products",
            "name=Tea&description=x&default_price_data[currency]=usd&default_price_data[unit_amount]=500",
        )
        .await
        .ok();
    let path = format!("/v1/products/{}", product.id());
    rig.get(&format!("{path}?expand[]=default_price")).await.ok();
    rig.post(&path, "active=false&metadata[a]=1").await.ok();
    rig.delete(&path).await;
    rig.get("/v1/products?active=true").await.ok();
    let price = rig
        .post(
            "/v1/prices",
            "currency=eur&unit_amount=900&recurring[interval]=month&product_data[name]=Club&lookup_key=club",
        )
        .await
        .ok();
    rig.get(&format!("/v1/prices/{}?expand[]=product", price.id())).await.ok();
    rig.post(&format!("/v1/prices/{}", price.id()), "nickname=n").await.ok();
    rig.get("/v1/prices?lookup_keys[]=club").await.ok();
    let bare = rig.post("/v1/products", "name=Bare").await.ok();
    rig.delete(&format!("/v1/products/{}", bare.id())).await.ok();
}

async fn customers(rig: &Rig) {
    let customer =
        rig.post("/v1/customers", "email=a@example.com&name=A&address[line1]=B&metadata[a]=1").await.ok();
    let path = format!("/v1/customers/{}", customer.id());
    let method = rig
        .post("/v1/payment_methods/pm_card_visa/attach", &format!("customer={}", customer.id()))
        .await
        .ok();
    rig.post(
        "/v1/payment_methods/pm_card_visa_chargeDeclined/attach",
        &format!("customer={}", customer.id()),
    )
    .await;
    rig.post(&path, &format!("phone=1&invoice_settings[default_payment_method]={}", method.id())).await.ok();
    rig.get(&format!("{path}?expand[]=invoice_settings.default_payment_method")).await.ok();
    rig.paid(&format!("customer={}&setup_future_usage=off_session", customer.id())).await;
    rig.get(&format!("{path}/payment_methods?type=card")).await.ok();
    rig.get(&format!("/v1/payment_methods?customer={}", customer.id())).await.ok();
    rig.get(&format!("/v1/payment_methods/{}?expand[]=customer", method.id())).await.ok();
    rig.get("/v1/payment_methods/pm_card_visa").await.ok();
    rig.post(&format!("/v1/payment_methods/{}/detach", method.id()), "").await.ok();
    rig.get("/v1/customers?email=a@example.com").await.ok();
    rig.delete(&path).await.ok();
    rig.get(&path).await.ok();
}

async fn refunds_and_disputes(rig: &Rig) {
    let paid = rig.paid("").await.id();
    let refund = rig
        .post("/v1/refunds", &format!("payment_intent={paid}&amount=300&reason=duplicate&metadata[a]=1"))
        .await
        .ok();
    rig.post("/v1/refunds", &format!("payment_intent={paid}&amount=9999")).await;
    rig.get(&format!("/v1/refunds/{}?expand[]=charge&expand[]=balance_transaction", refund.id())).await.ok();
    rig.post(&format!("/v1/refunds/{}", refund.id()), "metadata[b]=2").await.ok();
    rig.post(&format!("/v1/refunds/{}/cancel", refund.id()), "").await;
    rig.get(&format!("/v1/refunds?payment_intent={paid}")).await.ok();
    for token in ["pm_card_pendingRefund", "pm_card_refundFail"] {
        let form = format!("amount=1000&currency=usd&confirm=true&payment_method={token}");
        let intent = rig.post("/v1/payment_intents", &form).await.ok().id();
        rig.advance("3s").await;
        rig.post("/v1/refunds", &format!("payment_intent={intent}")).await.ok();
    }
    for evidence in ["winning_evidence", "losing_evidence"] {
        let form = "amount=1000&currency=usd&confirm=true&payment_method=pm_card_createDispute";
        rig.post("/v1/payment_intents", form).await.ok();
        let list = rig.get("/v1/disputes?limit=1").await.ok();
        let path = format!("/v1/disputes/{}", list.body["data"][0]["id"].as_str().unwrap());
        rig.post(&path, "submit=false&evidence[product_description]=tea").await.ok();
        rig.post(&path, &format!("evidence[uncategorized_text]={evidence}")).await.ok();
        rig.advance("10s").await;
        rig.get(&format!("{path}?expand[]=charge")).await.ok();
        rig.post(&format!("{path}/close"), "").await;
    }
    let form = "amount=1000&currency=usd&confirm=true&payment_method=pm_card_createDispute";
    rig.post("/v1/payment_intents", form).await.ok();
    let newest =
        rig.get("/v1/disputes?limit=1").await.ok().body["data"][0]["id"].as_str().unwrap().to_owned();
    rig.post(&format!("/v1/disputes/{newest}/close"), "").await.ok();
}

/// What the tester's switches and people's hands make of refunds and disputes.
async fn by_hand(rig: &Rig) {
    let terms = |waits: bool| json!({"refunds_wait_for_balance": waits, "settlement_currency": "usd", "exchange_rates": {"eur": 1.1}});
    rig.control("/_sandbox/account", &terms(true)).await.ok();
    let form = "amount=1000&currency=eur&confirm=true&payment_method=pm_card_visa&capture_method=manual";
    let intent = rig.post("/v1/payment_intents", form).await.ok().id();
    rig.control(&format!("/_sandbox/payment_intents/{intent}/capture"), &json!({"amount": 900})).await.ok();
    rig.advance("3s").await;
    rig.get(&format!("/v1/payment_intents/{intent}?expand[]=latest_charge.balance_transaction")).await.ok();
    let refund = rig.post("/v1/refunds", &format!("payment_intent={intent}&amount=100")).await.ok().id();
    rig.control(&format!("/_sandbox/refunds/{refund}/settle"), &json!({})).await.ok();
    let reason = json!({"reason": "lost_or_stolen_card"});
    rig.control(&format!("/_sandbox/refunds/{refund}/fail"), &reason).await.ok();
    rig.get("/v1/refunds?expand[]=data.failure_balance_transaction&expand[]=data.balance_transaction")
        .await
        .ok();
    for status in ["warning_needs_response", "prevented"] {
        let path = format!("/_sandbox/payment_intents/{intent}/dispute");
        let dispute = rig.control(&path, &json!({"amount": 400, "status": status})).await.ok().id();
        rig.control(&format!("/_sandbox/disputes/{dispute}/escalate"), &json!({})).await;
        for decision in ["lost", "won", "lost"] {
            let body = json!({"status": decision});
            rig.control(&format!("/_sandbox/disputes/{dispute}/decide"), &body).await;
        }
        rig.get(&format!("/v1/disputes/{dispute}?expand[]=charge")).await.ok();
    }
    rig.get(&format!("/v1/disputes?payment_intent={intent}")).await.ok();
    rig.control("/_sandbox/account", &terms(false)).await.ok();
}

async fn readings(rig: &Rig) {
    rig.advance("49h").await;
    rig.get("/v1/account").await.ok();
    rig.get("/v1/balance").await.ok();
    let rows = rig.get("/v1/balance_transactions?limit=100&expand[]=data.source").await.ok();
    let row = rows.body["data"][0]["id"].as_str().unwrap().to_owned();
    rig.get(&format!("/v1/balance_transactions/{row}")).await.ok();
    rig.get("/v1/charges?limit=100&expand[]=data.refunds").await.ok();
    let endpoint = rig
        .post("/v1/webhook_endpoints", "url=https://a.example&enabled_events[]=*&description=x")
        .await
        .ok();
    let path = format!("/v1/webhook_endpoints/{}", endpoint.id());
    rig.get(&path).await.ok();
    rig.post(&path, "enabled_events[]=charge.failed&disabled=true").await.ok();
    rig.get("/v1/webhook_endpoints").await.ok();
    rig.delete(&path).await.ok();
    let events = rig.get("/v1/events?limit=100").await.ok();
    let event = events.body["data"][0]["id"].as_str().unwrap().to_owned();
    rig.get(&format!("/v1/events/{event}")).await.ok();
    let mut last = events.body["data"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    loop {
        let page = rig.get(&format!("/v1/events?limit=100&starting_after={last}")).await.ok();
        if page.body["has_more"] != true {
            return;
        }
        last = page.body["data"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    }
}
