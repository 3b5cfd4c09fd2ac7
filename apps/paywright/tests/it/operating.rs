//! The commands of operators, by the real binary: the inbox and the jobs, looked at and started again.

use serde_json::{Value, json};

use crate::{
    inbox::{deaf, only, until},
    process::{Ended, Process},
    support::{TestApp, VISA, text},
};

/// Runs commands against the database and the Stripe of an app.
struct Operator<'a> {
    app: &'a TestApp,
    folder: tempfile::TempDir,
}

impl<'a> Operator<'a> {
    fn new(app: &'a TestApp) -> Self {
        Self { app, folder: tempfile::tempdir().unwrap() }
    }

    fn start(&self, args: &[&str]) -> Process {
        let (database, stripe) = (self.app.database_url(), self.app.sandbox.url().to_owned());
        let env = [
            ("DATABASE_URL", database.as_str()),
            ("STRIPE_API_BASE", &stripe),
            ("STRIPE_SECRET_KEY", "sk_test_integration"),
            ("STRIPE_WEBHOOK_SECRET", "whsec_integration"),
            ("PAYWRIGHT__DATABASE__MAX_CONNECTIONS", "4"),
        ];
        Process::start(self.folder.path(), args, &env)
    }

    async fn run(&self, args: &[&str]) -> Ended {
        self.start(args).ended().await
    }

    /// What a command says that goes well.
    async fn says(&self, args: &[&str]) -> String {
        let ended = self.run(args).await;
        assert!(ended.status.success(), "{args:?}: {ended:?}");
        ended.stdout
    }

    async fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[args, &["--json"]].concat()).await).unwrap()
    }
}

fn fits(table: &str) {
    assert!(table.lines().all(|line| line.chars().count() <= 100), "wider than 100 columns:\n{table}");
}

/// An order that was paid at Stripe, of which nothing was read here, and the event that says so.
async fn unheard(app: &TestApp) -> (String, String) {
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    let query = format!("type=payment_intent.succeeded&object={intent}");
    let event = text(&until(app, &query, 1).await[0]["id"]);
    (order, event)
}

/// Covers: W-6, T-5, fault 37, fault 138.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_listed_shown_and_read_once_more_by_command() {
    let app = deaf().await;
    let (order, event) = unheard(&app).await;
    let operator = Operator::new(&app);
    let listed = operator.says(&["inbox", "list", "--type", "payment_intent.*"]).await;
    assert!(listed.contains(&event) && listed.contains("waiting"), "{listed}");
    fits(&listed);
    let json =
        operator.json(&["inbox", "list", "--state", "waiting", "--type", "payment_intent.succeeded"]).await;
    assert_eq!((json.as_array().unwrap().len(), &json[0]["id"]), (1, &json!(event)));
    let first = operator.run(&["inbox", "list", "--limit", "1"]).await;
    assert!(first.stderr.contains("there are more"), "{first:?}");

    let said = operator.says(&["inbox", "replay", &event]).await;
    assert!(
        said.contains(&format!("{event}: processed")) && said.contains(&format!("order {order}")),
        "{said}"
    );
    assert!(said.contains("payment_processing -> paid"), "{said}");
    assert_eq!(app.show(&order).await["state"], "paid");
    let again = operator.json(&["inbox", "replay", &event]).await;
    assert_eq!((&again["conclusion"], &again["changes"]), (&json!("already true"), &json!([])));

    let shown = operator.says(&["inbox", "show", &event]).await;
    assert!(shown.contains("processed") && shown.contains("-> paid"), "{shown}");
    assert!(!shown.contains("ada@example.org"));
    let masked = operator.says(&["inbox", "show", &event, "--body"]).await;
    assert!(
        masked.contains("client_secret") && !masked.contains("_secret_") && !masked.contains("ada@"),
        "{masked}"
    );
    let whole = operator.json(&["inbox", "show", &event, "--unmasked"]).await;
    assert!(text(&whole["body"]).contains("ada@example.org"));
    assert_eq!(whole["changes"], app.get(&format!("/v1/inbox/{event}")).await.ok()["changes"]);

    for command in
        ["inbox", "inbox list", "inbox show", "inbox replay", "jobs", "jobs list", "jobs show", "jobs retry"]
    {
        let args: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = operator.says(&args).await;
        assert!(help.contains("Usage: paywright") && !help.starts_with("Usage"), "{command}: {help}");
    }
    for (args, complaint) in [
        (&["inbox", "show", "evt_nobody"][..], "no such event in test mode"),
        (&["inbox", "replay", "evt_nobody"], "evt_nobody: no such event in test mode"),
        (&["inbox", "replay"], "--state dead, for example"),
        (&["inbox", "replay", "--state", "ignored"], "not for us"),
        (&["inbox", "replay", "evt_1", "--state", "dead"], "not both"),
        (&["inbox", "list", "--after", "evt_nobody"], "no such event"),
        (&["jobs", "retry"], "--state dead, for example"),
        (&["jobs", "retry", "--state", "done"], "not tried again"),
        (&["jobs", "show", "job_00000000000000000000000000"], "no such job"),
        (&["jobs", "retry", "job_00000000000000000000000000"], "no such job"),
    ] {
        let ended = operator.run(args).await;
        assert!(ended.complaint().contains(complaint), "{args:?}: {ended:?}");
    }
    for wrong in [
        &["inbox", "list", "--state", "gone"][..],
        &["jobs", "list", "--kind", "x"],
        &["jobs", "show", "evt_1"],
    ] {
        assert_eq!(operator.run(wrong).await.status.code(), Some(2), "{wrong:?}");
    }
    app.stop().await;
}

/// Covers: T-5, fault 59 (the part about replay), W-6.
#[tokio::test(flavor = "multi_thread")]
async fn dead_events_are_started_again_by_command_and_waited_for() {
    let app = deaf().await;
    let (first, event) = unheard(&app).await;
    let (second, _) = unheard(&app).await;
    app.deliver_bytes(b"poison".to_vec()).await.ok();
    only(&app, "unreadable").await;
    let bury =
        "UPDATE jobs SET state = 'dead', finished_at = now(), last_error = $1 WHERE kind = 'read_event'";
    app.by_hand(bury, &"a long story ".repeat(20)).await;
    let operator = Operator::new(&app);
    let succeeded = ["--type", "payment_intent.succeeded"];
    let look = operator.says(&[&["inbox", "replay", "--dry-run"][..], &succeeded].concat()).await;
    assert!(look.contains("2 events would be read once more") && look.contains("a long story"), "{look}");
    fits(&look);
    let look = operator.json(&[&["inbox", "replay", "--dry-run"][..], &succeeded].concat()).await;
    assert_eq!((&look["matching"], look["events"].as_array().unwrap().len()), (&json!(2), 2));
    assert!(look["events"].as_array().unwrap().contains(&json!(event)));
    fits(&operator.says(&["jobs", "list", "--state", "dead"]).await);

    let worker = operator.start(&["worker"]);
    let read = operator.run(&[&["inbox", "replay", "--json"][..], &succeeded].concat()).await;
    assert!(read.status.success(), "{read:?}");
    let lines: Vec<Value> = read.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{read:?}");
    assert!(lines.iter().all(|line| line["state"] == "done" && line["error"].is_null()), "{lines:#?}");
    for order in [&first, &second] {
        assert_eq!(app.show(order).await["state"], "paid");
    }
    // What cannot be read is dead again, and the code says that not all went well.
    let rest = operator.run(&["inbox", "replay", "--state", "dead"]).await;
    assert_eq!(rest.status.code(), Some(1), "{rest:?}");
    assert!(rest.stdout.contains("0 failed and tried again later, 1 given up"), "{rest:?}");
    let dead = operator.json(&["jobs", "list", "--state", "dead", "--queue", "webhooks"]).await;
    assert_eq!(dead.as_array().unwrap().len(), 1, "{dead:#}");
    let job = text(&dead[0]["id"]);
    assert!(operator.says(&["jobs", "show", &job]).await.contains("last error"));
    let look = operator.json(&["jobs", "retry", "--kind", "read_event", "--dry-run"]).await;
    assert_eq!((&look["matching"], &look["jobs"]), (&json!(1), &json!([job])));
    let retried = operator.run(&["jobs", "retry", &job]).await;
    assert!(retried.status.code() == Some(1) && retried.stdout.contains("1 given up"), "{retried:?}");
    let at_once = operator.run(&["jobs", "retry", "--kind", "read_event", "--no-wait"]).await;
    assert!(at_once.status.success(), "{at_once:?}");
    assert!(worker.terminate().await.status.success());
    app.stop().await;
}
