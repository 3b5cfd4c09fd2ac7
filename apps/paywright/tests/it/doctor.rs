//! `paywright doctor` and `paywright webhooks roll`: the real binary, the real sandbox, and what is wrong between them.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use futures::future::join_all;
use paywright_postgres::{ApiKeys, PoolOptions, Postgres, TestDb};
use paywright_sandbox::{PresetEndpoint, Sandbox};
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::{
    metrics::{self, MISHAPS, Shown},
    process::{Ended, Process},
    relay::{Relay, until},
    support::{KEY, VISA, signature, text},
};

pub(crate) const SECRET_KEY: &str = "sk_test_canary4secretkey";
pub(crate) const OLD_SECRET: &str = "whsec_canary5oldsecret";
pub(crate) const EMAIL: &str = "canary6.shopper@example.org";

/// A database, a Stripe, and an address that stays while servers behind it come and go.
pub(crate) struct Shop {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) db: TestDb,
    pub(crate) store: Postgres,
    pub(crate) us: Relay,
    pub(crate) sandbox: Sandbox,
    pub(crate) http: reqwest::Client,
}

impl Shop {
    /// With an endpoint of this secret at Stripe, or with none.
    pub(crate) async fn new(secret: Option<&str>) -> Self {
        let (us, db) = (Relay::start().await, TestDb::new().await);
        let endpoint =
            secret.map(|secret| PresetEndpoint::new(format!("{}/webhooks/stripe", us.url), secret));
        let sandbox = paywright_sandbox::start(paywright_sandbox::Options {
            bind: "127.0.0.1:0".parse().unwrap(),
            webhook_endpoints: endpoint.into_iter().collect(),
            ..paywright_sandbox::Options::default()
        });
        let sandbox = sandbox.await.unwrap();
        let store =
            Postgres::connect(db.url(), PoolOptions { max: 3, ..PoolOptions::default() }).await.unwrap();
        ApiKeys::new(&store).ensure_dev_key(KEY).await.unwrap();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().unwrap();
        Self { folder: tempfile::tempdir().unwrap(), db, store, us, sandbox, http }
    }

    pub(crate) fn env<'a>(&'a self, secrets: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("DATABASE_URL", self.db.url()),
            ("STRIPE_API_BASE", self.sandbox.url()),
            ("STRIPE_SECRET_KEY", SECRET_KEY),
            ("STRIPE_WEBHOOK_SECRET", secrets),
            ("PAYWRIGHT__HTTP__BIND", "127.0.0.1:0"),
            ("PAYWRIGHT__HTTP__PUBLIC_URL", &self.us.url),
            ("PAYWRIGHT__METRICS__BIND", "127.0.0.1:0"),
            ("PAYWRIGHT__DATABASE__MAX_CONNECTIONS", "6"),
            // All come from one address here.
            ("PAYWRIGHT__LIMITS__PAYMENTS_PER_ADDRESS", "1000/1h"),
            ("PAYWRIGHT__LIMITS__PAYMENTS_PER_CUSTOMER", "1000/1h"),
            ("PAYWRIGHT__LIMITS__BAD_KEYS_PER_ADDRESS", "10000/1h"),
            // What webhooks do not bring does not come.
            ("PAYWRIGHT__RECONCILIATION__ENABLED", "false"),
            ("PAYWRIGHT__WORKER__CHECK_ENDPOINT_EVERY_SECONDS", "1"),
        ]
    }

    pub(crate) async fn serve(&self, secrets: &str) -> Process {
        let mut process = Process::start(self.folder.path(), &["serve"], &self.env(secrets));
        self.us.lead_to(&[&process.address().await]);
        process
    }

    pub(crate) async fn run(&self, args: &[&str], secrets: &str) -> Ended {
        Process::run(self.folder.path(), args, &self.env(secrets)).await
    }

    /// The doctor's report, and the code it ended with.
    async fn doctor(&self, secrets: &str) -> (i32, Value) {
        let ended = self.run(&["doctor", "--json"], secrets).await;
        let report = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
        (ended.status.code().unwrap(), report)
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.us.url)).bearer_auth(KEY).json(body);
        let (status, answer) = self.send(request).await;
        assert!((200..300).contains(&status), "{path} {status} {answer}");
        answer
    }

    /// Stripe's API, as somebody at the dashboard would use it.
    async fn at_stripe(&self, method: &str, path: &str, form: &str) -> Value {
        let url = format!("{}/v1/{path}", self.sandbox.url());
        let request = self.http.request(method.parse().unwrap(), url).bearer_auth(SECRET_KEY);
        let form_type = "application/x-www-form-urlencoded";
        let request = request.header("content-type", form_type).body(form.to_owned());
        let (status, answer) = self.send(request).await;
        assert_eq!(status, 200, "{path} {answer}");
        answer
    }

    pub(crate) async fn control(&self, path: &str, body: Value) -> u16 {
        let url = format!("{}/_sandbox/{path}", self.sandbox.url());
        self.send(self.http.post(url).json(&body)).await.0
    }

    /// The endpoints at Stripe, newest first.
    async fn endpoints(&self) -> Vec<Value> {
        self.at_stripe("GET", "webhook_endpoints?limit=100", "").await["data"].as_array().unwrap().clone()
    }

    /// A new order, and the intent to pay it by.
    pub(crate) async fn order(&self) -> (String, String) {
        let product =
            self.post("/v1/products", &json!({"name": "Tea", "unit_amount": 1999, "currency": "usd"})).await;
        let items = json!([{"product": product["id"], "quantity": 1}]);
        let body = json!({"currency": "usd", "items": items, "customer_email": EMAIL});
        let order = text(&self.post("/v1/orders", &body).await["id"]);
        let intent = self.post(&format!("/v1/orders/{order}/payment-intent"), &json!({})).await;
        (order, text(&intent["client_secret"]).split("_secret_").next().unwrap().to_owned())
    }

    pub(crate) async fn pay(&self, intent: &str, card: &str) -> u16 {
        self.control(&format!("payment_intents/{intent}/pay"), json!({"card": card})).await
    }

    pub(crate) async fn until_paid(&self, order: &str) {
        until("paid", async || {
            let request = self.http.get(format!("{}/v1/orders/{order}", self.us.url)).bearer_auth(KEY);
            (self.send(request).await.1["state"] == "paid").then_some(())
        })
        .await;
    }

    pub(crate) async fn paid_order(&self) -> String {
        let (order, intent) = self.order().await;
        assert_eq!(self.pay(&intent, VISA).await, 200);
        self.until_paid(&order).await;
        order
    }

    fn file(&self, name: &str) -> (PathBuf, String) {
        let path = self.folder.path().join(name);
        (path.clone(), path.display().to_string())
    }
}

/// The check of this name.
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

/// What monitors are told.
fn problems(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().filter_map(|check| check["problem"].as_str()).map(str::to_owned).collect()
}

fn secret_in(path: &PathBuf) -> String {
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = fs::read_to_string(path).unwrap().trim().to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    secret
}

/// Covers: A-3, W-17, fault 134.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_is_wrong_with_the_endpoint_and_mends_it() {
    let shop = Shop::new(None).await;
    let (code, report) = shop.doctor(OLD_SECRET).await;
    assert_eq!((code, problems(&report)), (2, vec!["missing".to_owned()]), "{report:#}");
    assert_eq!(check(&report, "stripe")["grade"], "ok");
    assert_eq!(check(&report, "database")["grade"], "ok");

    // Nothing is made whose secret would be lost.
    let ended = shop.run(&["doctor", "--fix"], OLD_SECRET).await;
    assert!(ended.stdout.contains("--secret-file") && ended.status.code() == Some(2), "{ended:?}");
    assert_eq!(shop.endpoints().await.len(), 0);
    let (path, file) = shop.file("secret");
    let ended = shop.run(&["doctor", "--fix", "--secret-file", &file], OLD_SECRET).await;
    let secret = secret_in(&path);
    assert!(ended.stderr.contains("STRIPE_WEBHOOK_SECRET") && ended.stderr.contains(&file), "{ended:?}");
    for canary in [SECRET_KEY, OLD_SECRET, &secret, shop.db.url()] {
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(canary), "{ended:?}");
    }
    let made = &shop.endpoints().await[0];
    assert_eq!(made["api_version"], paywright_stripe::API_VERSION, "pinned");
    assert_eq!(made["metadata"], json!({"paywright_endpoint": "true"}), "so that we know it again");

    // It is as it has to be, and stays so however often it is mended.
    let again = shop.run(&["doctor", "--fix", "--secret-file", &shop.file("other").1], OLD_SECRET).await;
    assert!(again.stdout.contains("ok    endpoint"), "{again:?}");
    assert!(shop.endpoints().await.len() == 1 && !shop.file("other").0.exists());
    let serving = shop.serve(&secret).await;
    shop.paid_order().await;

    // Reconciliation has its own pace; nothing else is missing.
    let run = "INSERT INTO reconciliation_runs (id, mode, trigger, state, counts, opened, resolved, started_at, finished_at)
               VALUES (gen_random_uuid(), 'test', 'command', 'done', '{}', 0, 0, now(), now())";
    shop.store.pool().execute(run).await.unwrap();
    until("all is well", async || {
        let (code, report) = shop.doctor(&secret).await;
        (code == 0 && report["grade"] == "ok").then_some(())
    })
    .await;

    let id = text(&made["id"]);
    shop.at_stripe("POST", &format!("webhook_endpoints/{id}"), "disabled=true").await;
    let (code, report) = shop.doctor(&secret).await;
    assert_eq!((code, problems(&report)), (2, vec!["disabled".to_owned()]), "{report:#}");
    let events = "enabled_events[0]=charge.succeeded&enabled_events[1]=customer.created";
    shop.at_stripe("POST", &format!("webhook_endpoints/{id}"), events).await;
    let (_, report) = shop.doctor(&secret).await;
    assert_eq!(problems(&report), ["disabled", "missing_events"], "{report:#}");
    let ended = shop.run(&["doctor", "--fix"], &secret).await;
    assert!(ended.stdout.contains("ok    endpoint"), "{ended:?}");
    let mended = &shop.endpoints().await[0];
    let sent: Vec<_> = mended["enabled_events"].as_array().unwrap().iter().map(text).collect();
    assert!(mended["status"] == "enabled" && sent.contains(&"payment_intent.succeeded".to_owned()));
    assert!(sent.contains(&"customer.created".to_owned()), "what others need stays: {sent:?}");
    shop.paid_order().await;
    serving.terminate().await;
}

/// Covers: A-3.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_a_pinned_version_is_told() {
    let shop = Shop::new(None).await;
    let form = format!("url={}/webhooks/stripe&enabled_events[0]=*", shop.us.url);
    shop.at_stripe("POST", "webhook_endpoints", &form).await;
    let (_, report) = shop.doctor(OLD_SECRET).await;
    assert_eq!(problems(&report), ["other_version"], "{report:#}");
    assert!(text(&check(&report, "endpoint")["remedy"]).contains("webhooks roll start"));
}

/// Covers: fault 44, fault 134, S-1.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_is_wrong_with_the_configuration_and_goes_on() {
    let shop = Shop::new(Some(OLD_SECRET)).await;
    let live = format!("sk_{}_canary7", "live");
    let nobody = "http://127.0.0.1:9";
    for (name, value, of, grade, said) in [
        ("STRIPE_SECRET_KEY", "", "configuration", "fail", "STRIPE_SECRET_KEY is not set"),
        ("STRIPE_SECRET_KEY", &*live, "configuration", "fail", "is a live key"),
        ("STRIPE_WEBHOOK_SECRET", "", "configuration", "fail", "STRIPE_WEBHOOK_SECRET is not set"),
        ("PAYWRIGHT__HTTP__BYND", "canary7", "configuration", "fail", "bynd"),
        ("DATABASE_URL", "postgres://canary7:canary7@127.0.0.1:9/canary7", "database", "fail", ""),
        ("STRIPE_API_BASE", nobody, "stripe", "fail", "connect"),
    ] {
        let env: Vec<_> = shop.env(OLD_SECRET).into_iter().filter(|(other, _)| *other != name).collect();
        let env = [env, vec![(name, value)]].concat();
        let ended = Process::run(shop.folder.path(), &["doctor", "--json"], &env).await;
        let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
        let check = check(&report, of);
        assert_eq!(
            (check["grade"].as_str(), ended.status.code()),
            (Some(grade), Some(2)),
            "{name} {report:#}"
        );
        assert!(text(&check["found"]).contains(said) && check["remedy"].is_string(), "{name} {check}");
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!told.contains("canary7") && !told.contains(SECRET_KEY), "{told}");
    }
}

/// Covers: W-20, fault 39, fault 77.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_what_stripe_sends_is_told_from_one_that_is_well() {
    let shop = Shop::new(Some(OLD_SECRET)).await;
    let mut serving = shop.serve("whsec_of_another_endpoint").await;
    let metrics = metrics::address(&mut serving).await;
    let (_, intent) = shop.order().await;
    assert_eq!(shop.pay(&intent, VISA).await, 200);
    until("refused", async || serving.log().contains("refused an event").then_some(())).await;
    // At once nobody can tell; after a quarter of an hour at Stripe everybody can, and its clock is not ours any more.
    let (_, report) = shop.doctor(OLD_SECRET).await;
    assert_eq!(problems(&report), Vec::<String>::new(), "{report:#}");
    shop.control("faults", json!({"webhooks": {"drop": 1.0}})).await;
    assert_eq!(shop.control("clock", json!({"advance": "20m"})).await, 200);
    let (code, report) = shop.doctor(OLD_SECRET).await;
    assert_eq!((code, problems(&report)), (2, vec!["silent".to_owned(), "clock".to_owned()]), "{report:#}");
    let silent = text(&check(&report, "deliveries")["remedy"]);
    assert!(silent.contains("STRIPE_WEBHOOK_SECRET") && silent.contains("refused an event"), "{silent}");
    let clock = text(&check(&report, "clock")["found"]);
    assert!(clock.contains("behind Stripe's"), "{clock}");
    // The worker finds the same by itself.
    until("the alarm", async || {
        let log = serving.log();
        (log.contains("Stripe stopped calling us") && log.contains("our clock is")).then_some(())
    })
    .await;
    let shown = until("monitors know", async || {
        let shown = Shown::at(&shop, &metrics).await;
        let problem = |name| shown.get("paywright_endpoint_problem", &[("problem", name)]);
        (problem("silent") == Some(1.0) && problem("clock") == Some(1.0) && problem("missing") == Some(0.0))
            .then_some(shown)
    })
    .await;
    assert!(shown.get("paywright_clock_skew_seconds", &[]) < Some(-1_000.0));
    assert!(shown.get("paywright_endpoint_check_age_seconds", &[]) < Some(60.0));
    serving.terminate().await;
}

/// What an operator is told at 3 a.m.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_person_is_told_with_what_to_do() {
    let shop = Shop::new(Some(OLD_SECRET)).await;
    shop.store.pool().execute(MISHAPS).await.unwrap();
    let (code, report) = shop.doctor(OLD_SECRET).await;
    assert_eq!(code, 2);
    for (name, grade, said) in [
        ("waiting_events", "fail", "waits for 60 min"),
        ("dead_jobs", "fail", "1 in the queue webhooks"),
        ("breaks", "warn", "2 open, the oldest for 2 h"),
        ("breaks", "warn", "500 usd (late_money)"),
        ("reconciliation", "ok", "began"),
    ] {
        let check = check(&report, name);
        assert!(check["grade"] == grade && text(&check["found"]).contains(said), "{check}");
        assert_eq!(check["remedy"].is_null(), grade == "ok");
    }
    let words = shop.run(&["doctor"], OLD_SECRET).await.stdout;
    assert!(
        words.contains("fail  dead_jobs") && words.contains("-> `paywright jobs list --state dead`"),
        "{words}"
    );
}

/// Stripe says only that an event was not delivered to some endpoint of the account.
#[tokio::test(flavor = "multi_thread")]
async fn another_endpoint_that_refuses_everything_is_not_ours() {
    let shop = Shop::new(Some(OLD_SECRET)).await;
    let elsewhere = format!("url={}/nowhere&enabled_events[0]=*", shop.us.url);
    shop.at_stripe("POST", "webhook_endpoints", &elsewhere).await;
    let serving = shop.serve(OLD_SECRET).await;
    shop.paid_order().await;
    assert_eq!(shop.control("clock", json!({"advance": "20m"})).await, 200);
    let (_, report) = shop.doctor(OLD_SECRET).await;
    assert_eq!(problems(&report), ["clock"], "{report:#}");
    assert_eq!(check(&report, "deliveries")["grade"], "ok");
    serving.terminate().await;
}

/// Covers: fault 140, W-19.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_secret_is_rolled_under_load_and_no_payment_is_lost() {
    let shop = Shop::new(Some(OLD_SECRET)).await;
    let serving = shop.serve(OLD_SECRET).await;
    shop.paid_order().await;
    let nothing = shop.run(&["webhooks", "roll", "finish"], OLD_SECRET).await;
    assert!(nothing.status.success() && nothing.stdout.contains("nothing to finish"), "{nothing:?}");
    let untold = shop.run(&["webhooks", "roll", "start"], OLD_SECRET).await;
    assert!(untold.complaint().contains("--secret-file") && shop.endpoints().await.len() == 1);

    // Started twice it is one roll, whose secret is told again.
    let (first, second) = (shop.file("first"), shop.file("second"));
    for (_, file) in [&first, &second] {
        let started = shop.run(&["webhooks", "roll", "start", "--secret-file", file], OLD_SECRET).await;
        assert!(started.status.success() && started.stdout.contains("OLD,NEW"), "{started:?}");
        assert!(!started.stdout.contains("whsec_"), "{started:?}");
    }
    let new = secret_in(&first.0);
    assert_eq!((secret_in(&second.0), shop.endpoints().await.len()), (new.clone(), 2));

    // Too early: no server knows the new secret.
    let sold = shop.paid_order().await;
    let early = shop.run(&["webhooks", "roll", "finish"], OLD_SECRET).await;
    assert!(early.complaint().contains("every server"), "{early:?}");
    assert_eq!(shop.endpoints().await.len(), 2);

    // Customers pay all the while, also while the server is started again.
    let intents = join_all((0..12).map(|_| shop.order())).await;
    let both = format!("{OLD_SECRET},{new}");
    let paying = async {
        for (_, intent) in &intents {
            assert_eq!(shop.pay(intent, VISA).await, 200);
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    let restart = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        serving.terminate().await;
        shop.serve(&both).await
    };
    let ((), serving) = tokio::join!(paying, restart);
    let load = async { shop.paid_order().await };
    let (finished, _) = tokio::join!(shop.run(&["webhooks", "roll", "finish"], &both), load);
    assert!(finished.status.success() && finished.stdout.contains("is deleted"), "{finished:?}");
    assert_eq!(shop.endpoints().await.len(), 1);
    serving.terminate().await;

    let serving = shop.serve(&new).await;
    shop.paid_order().await;
    for (order, _) in &intents {
        shop.until_paid(order).await;
    }
    shop.until_paid(&sold).await;
    let body = r#"{"id":"evt_canary"}"#;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
    for (secret, status) in [(OLD_SECRET, 400), (&*new, 200)] {
        let request = self::delivery(&shop, secret, now, body);
        assert_eq!(shop.send(request).await.0, status, "the old secret is dead, the new one lives");
    }
    serving.terminate().await;
}

/// A delivery as Stripe would make it.
pub(crate) fn delivery(shop: &Shop, secret: &str, at: i64, body: &str) -> reqwest::RequestBuilder {
    let signature = signature(secret, at, body.as_bytes());
    let url = format!("{}/webhooks/stripe", shop.us.url);
    shop.http.post(url).header("stripe-signature", signature).body(body.to_owned())
}
