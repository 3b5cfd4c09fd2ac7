//! Reconciliation from outside: whatever was not heard of is found, once, and said.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use paywright_app::{reconcile, wiring::App, worker};
use paywright_domain::{Run, RunState, Section, Trigger, usecase::Ask};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    openapi::{Judge, nothing_undescribed},
    support::{DECLINED, TestApp, VISA, text},
};

/// Comparing, and Stripe's time.
impl TestApp {
    /// One that hears nothing.
    pub(crate) async fn deaf() -> Self {
        Self::with(|settings| settings.reconciliation.look_back_days = 30, false).await
    }

    /// A whole run, asked for as clients do, when it has ended.
    pub(crate) async fn reconcile(&self, asked: Value) -> Value {
        let begun = self.post("/v1/reconciliation/runs", asked).await.ok();
        let path = format!("/v1/reconciliation/runs/{}", text(&begun["id"]));
        let since = Instant::now();
        loop {
            let run = self.get(&path).await.ok();
            if run["state"] != "running" {
                return run;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "it does not end: {run:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The same, when nothing stood in its way.
    pub(crate) async fn reconciled(&self) -> Value {
        let run = self.reconcile(json!({})).await;
        assert_eq!(run["state"], "done", "{run:#}");
        run
    }

    /// Compares until all that Stripe has told is stored: what it tells late, or during a run, comes with the next.
    async fn caught_up(&self) {
        for _ in 0..10 {
            self.reconciled().await;
            self.quiet().await;
            let listed = self.stripe("events?limit=100").await;
            assert_eq!(listed["has_more"], false);
            let stored = self.count("SELECT count(*) FROM inbox_events").await;
            if listed["data"].as_array().unwrap().len() == usize::try_from(stored).unwrap() {
                return;
            }
        }
        panic!("some of what Stripe told never comes");
    }

    /// Sets Stripe's clock back, before anything has happened there.
    pub(crate) async fn set_back(&self, hours: i64) {
        let url = format!("{}/_sandbox/state", self.sandbox.url());
        let mut state = self.send(self.http.get(&url)).await.ok();
        state["clock"] = json!({"offset": -hours * 3_600_000, "frozen_at": null, "latest": 0});
        self.send(self.http.post(&url).json(&state)).await.ok();
    }

    /// What a run says of one of its sections.
    pub(crate) fn section<'a>(run: &'a Value, name: &str) -> &'a Value {
        let sections = run["sections"].as_array().unwrap();
        sections.iter().find(|one| one["section"] == name).unwrap_or_else(|| panic!("no {name}: {run:#}"))
    }

    /// Some sections of a run, in this process.
    async fn sections(&self, sections: &[Section]) -> Run {
        let ask = reconcile::ask(&self.app, Trigger::Command, None);
        let ask = Ask { sections: sections.to_vec(), ..ask };
        let run = reconcile::run(&self.app, ask, &|_, _| {}).await.unwrap();
        assert_eq!(run.state, RunState::Done, "{run:#?}");
        run
    }

    async fn statement(&self) -> Value {
        self.get("/v1/reconciliation/statement").await.ok()
    }
}

/// An order that somebody pays while we hear nothing: its id, and the payment's name at Stripe.
async fn paid_unheard(app: &TestApp) -> (String, String) {
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    assert_eq!(app.show(&order).await["state"], "payment_processing");
    (order, intent)
}

/// How often the order became paid.
async fn times_paid(app: &TestApp, order: &str) -> usize {
    let became = |line: &&Value| line["subject"] == "order" && line["to"] == "paid" && line["from"] != "paid";
    app.timeline(order).await.iter().filter(became).count()
}

/// Covers: I5, fault 34, W-13, W-15.
#[tokio::test(flavor = "multi_thread")]
async fn with_all_webhooks_lost_what_is_paid_at_stripe_is_paid_here_after_one_run() {
    let app = TestApp::deaf().await;
    let mut paid = Vec::new();
    for _ in 0..3 {
        paid.push(paid_unheard(&app).await.0);
    }
    let on_page = app.order().await;
    app.pay_session(&app.session(&on_page).await, VISA).await.ok();
    paid.push(on_page);
    let held = app.manual_order().await;
    let intent = app.intent(&held).await;
    app.pay_intent(&intent, VISA).await.ok();
    let declined = app.order().await;
    let intent = app.intent(&declined).await;
    assert_eq!(app.pay_intent(&intent, DECLINED).await.status, 402);

    let run = app.reconciled().await;
    for order in &paid {
        let shown = app.show(order).await;
        assert_eq!((&shown["state"], &shown["amount_captured"]), (&json!("paid"), &json!(3998)), "{run:#}");
        assert_eq!(times_paid(&app, order).await, 1);
    }
    assert_eq!(app.show(&held).await["state"], "authorized");
    assert_eq!(app.show(&declined).await["state"], "payment_processing");
    // The events came too, and tell nothing new any more.
    app.quiet().await;
    assert!(TestApp::section(&run, "catch_up")["repaired"].as_u64().unwrap() >= 10, "{run:#}");
    assert_eq!(app.show(&declined).await["payments"][0]["declines"].as_array().unwrap().len(), 1);
    assert_eq!(app.count("SELECT count(*) FROM inbox_events WHERE processed_at IS NULL").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM ledger_entries WHERE movement = 'capture'").await, 4);

    // The customer tries another card.
    app.pay_intent(&intent, VISA).await.ok();
    // After that, everything is the same on both sides.
    app.caught_up().await;
    let before = app.stored().await;
    let again = app.reconciled().await;
    for section in again["sections"].as_array().unwrap() {
        assert_eq!((&section["repaired"], &section["broken"]), (&json!(0), &json!(0)), "{again:#}");
    }
    app.quiet().await;
    assert_eq!(app.stored().await, before);
    assert_eq!(app.breaks().await, [""; 0]);
    app.stop().await;
}

/// Covers: fault 35, W-13, I5.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_three_days_is_caught_up_completely() {
    let app = TestApp::deaf().await;
    app.set_back(72).await;
    // Up to then, everything was read.
    let sql = "INSERT INTO cursors (mode, section, at)
               SELECT 'test', unnest(ARRAY['catch_up', 'gateway', 'books']), now() - $1::interval";
    app.by_hand(sql, "72 hours").await;
    let mut orders = Vec::new();
    for pause in ["24h", "24h", "23h", "55m"] {
        orders.push(paid_unheard(&app).await.0);
        app.advance(pause).await;
    }
    orders.push(paid_unheard(&app).await.0);
    let theirs = app.stripe("payment_intents?limit=100").await["data"].as_array().unwrap().clone();
    let age = app.now() - theirs.last().unwrap()["created"].as_i64().unwrap();
    assert!(age > 71 * 3600, "{age}");

    let run = app.reconciled().await;
    for order in &orders {
        assert_eq!(app.show(order).await["state"], "paid", "{run:#}");
    }
    app.caught_up().await;
    let oldest = "SELECT extract(epoch FROM now() - min(created_at))::bigint FROM inbox_events";
    assert!(app.count(oldest).await > 71 * 3600);
    // The cursors stand at the run now: the next one does not begin there again.
    let behind = "SELECT count(*) FROM cursors WHERE at < now() - interval '1 minute'";
    assert_eq!(app.count(behind).await, 0);
    app.stop().await;
}

/// Covers: fault 156, I1, D-15.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_does_in_stripes_dashboard_is_found_without_an_event() {
    let app = TestApp::deaf().await;
    let (order, intent) = paid_unheard(&app).await;
    app.reconciled().await;
    app.at_stripe(&format!("payment_intents/{intent}/refund"), json!({"amount": 700})).await.ok();
    // Stripe's objects alone tell it.
    let run = app.sections(&[Section::Gateway]).await;
    assert_eq!(run.counts[&Section::Gateway].adopted, 1, "{run:#?}");
    let shown = app.show(&order).await;
    assert_eq!((&shown["state"], &shown["amount_refunded"]), (&json!("paid"), &json!(700)), "{run:#?}");
    let timeline = app.timeline(&order).await;
    let adopted: Vec<_> = timeline.iter().filter(|line| line["event"] == "adopted").collect();
    assert_eq!((adopted.len(), &adopted[0]["actor"]), (1, &json!("stripe")), "{timeline:#?}");
    // A dispute too, and a payment that was released.
    let (disputed, intent) = paid_unheard(&app).await;
    app.at_stripe(&format!("payment_intents/{intent}/dispute"), json!({})).await.ok();
    let released = app.manual_order().await;
    let intent = app.intent(&released).await;
    app.at_stripe(&format!("payment_intents/{intent}/cancel"), json!({})).await.ok();
    app.sections(&[Section::Gateway]).await;
    assert_eq!(app.show(&disputed).await["disputes"].as_array().unwrap().len(), 1);
    assert_eq!(app.show(&released).await["payments"][0]["state"], "cancelled");
    assert_eq!(app.get("/v1/breaks").await.ok()["data"], json!([]));
    app.stop().await;
}

/// Covers: I28, fault 93.
#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_change_nothing_that_one_would_not() {
    let app = TestApp::deaf().await;
    let other = TestApp::over(&app).await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(paid_unheard(&app).await);
    }
    app.at_stripe(&format!("payment_intents/{}/refund", orders[0].1), json!({"amount": 500})).await.ok();
    let run = async |app: &TestApp| {
        let ask = reconcile::ask(&app.app, Trigger::Schedule, None);
        reconcile::run(&app.app, ask, &|_, _| {}).await.unwrap()
    };
    let (one, two) = tokio::join!(run(&app), run(&other));
    assert_eq!((one.state, two.state), (RunState::Done, RunState::Done), "{one:#?} {two:#?}");
    app.quiet().await;
    for (order, _) in &orders {
        assert_eq!(app.show(order).await["state"], "paid");
        assert_eq!(times_paid(&app, order).await, 1);
    }
    for (sql, count) in [
        ("SELECT count(*) FROM ledger_entries WHERE movement = 'capture'", 4),
        ("SELECT count(*) FROM ledger_entries WHERE movement = 'refund'", 1),
        ("SELECT count(*) FROM refunds", 1),
    ] {
        assert_eq!(app.count(sql).await, count, "{sql}");
    }
    assert_eq!(app.get("/v1/breaks").await.ok()["data"], json!([]));
    let before = app.stored().await;
    app.reconciled().await;
    assert_eq!(app.stored().await, before);
    other.app.store.close().await;
    app.stop().await;
}

/// Nobody asks, and it is done all the same: by one of all workers.
///
/// Covers: I5, I28, fault 34, fault 93.
#[tokio::test(flavor = "multi_thread")]
async fn workers_compare_by_themselves_one_for_all() {
    let app = TestApp::deaf().await;
    let (order, _) = paid_unheard(&app).await;
    let (stop, mut settings) = (CancellationToken::new(), app.app.settings.clone());
    assert_eq!(app.count("SELECT count(*) FROM schedules WHERE name LIKE 'reconciliation%'").await, 0);
    settings.reconciliation.enabled = true;
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let other = App::new(settings.clone(), app.app.store.clone(), app.url.clone()).unwrap();
            tokio::spawn(worker::run(Arc::new(other), stop.clone()))
        })
        .collect();
    app.until(&order, "paid").await;
    let begun = Instant::now();
    while app.count("SELECT count(*) FROM schedules WHERE last_finished_at IS NULL").await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "a run does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let runs = app.get("/v1/reconciliation/runs").await.ok()["data"].as_array().unwrap().clone();
    assert_eq!((runs.len(), &runs[0]["trigger"], &runs[0]["state"]), (1, &json!("schedule"), &json!("done")));
    stop.cancel();
    for worker in workers {
        worker.await.unwrap();
    }
    app.stop().await;
}

/// A copy of every table, taken as a backup is, and put back over what came after.
struct Backup<'a>(&'a TestApp);

impl<'a> Backup<'a> {
    async fn take(app: &'a TestApp) -> Self {
        let sql = "DO $$ DECLARE one text; BEGIN
                       CREATE SCHEMA backup;
                       FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                           EXECUTE format('CREATE TABLE backup.%1$I AS TABLE public.%1$I', one);
                       END LOOP;
                   END $$";
        sqlx::query(sql).execute(app.app.store.pool()).await.unwrap();
        Self(app)
    }

    /// What guards rows against people stands aside, as it does for a restore.
    async fn restore(self) {
        let sql = "DO $$ DECLARE one text; BEGIN
                       SET LOCAL session_replication_role = replica;
                       EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('public.%I', tablename), ', ')
                                FROM pg_tables WHERE schemaname = 'public');
                       FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                           EXECUTE format('INSERT INTO public.%1$I OVERRIDING SYSTEM VALUE TABLE backup.%1$I', one);
                       END LOOP;
                   END $$";
        sqlx::query(sql).execute(self.0.app.store.pool()).await.unwrap();
    }
}

/// Covers: fault 82, I1, I26.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_backup_does_not_know_is_found_again_or_told() {
    let app = TestApp::deaf().await;
    // Paid after the backup; the money given back after it.
    let waiting = app.order().await;
    let intent = app.intent(&waiting).await;
    let (refunded, refunded_intent) = paid_unheard(&app).await;
    // Placed before it, its payment started after it.
    let placed = app.order().await;
    app.reconciled().await;
    app.quiet().await;
    let backup = Backup::take(&app).await;

    app.pay_intent(&intent, VISA).await.ok();
    app.at_stripe(&format!("payment_intents/{refunded_intent}/refund"), json!({"amount": 900})).await.ok();
    let started_later = app.intent(&placed).await;
    app.pay_intent(&started_later, VISA).await.ok();
    let (lost, lost_intent) = paid_unheard(&app).await;
    app.reconciled().await;
    app.quiet().await;
    for order in [&waiting, &placed, &lost] {
        assert_eq!(app.show(order).await["state"], "paid");
    }

    backup.restore().await;
    assert_eq!(app.show(&waiting).await["state"], "payment_processing");
    assert_eq!(app.show(&placed).await["payments"], json!([]));
    let run = app.reconcile(json!({})).await;
    assert_eq!(app.show(&waiting).await["state"], "paid", "{run:#}");
    assert_eq!(app.show(&refunded).await["amount_refunded"], 900);
    // Where not even the order is left, a person is told, with the money that is at stake.
    assert_eq!(app.get(&format!("/v1/orders/{lost}")).await.status, 404);
    let open = app.get("/v1/breaks?open=true").await.ok();
    let told = |intent: &str| {
        let data = open["data"].as_array().unwrap();
        data.iter().find(|one| one["object_id"] == intent).cloned().unwrap_or_default()
    };
    assert_eq!(
        (&told(&lost_intent)["kind"], &told(&lost_intent)["amount_at_risk"]),
        (&json!("foreign_object"), &json!(3998)),
        "{open:#}"
    );
    // Where the order is, it has its payment again.
    let found = app.show(&placed).await;
    assert_eq!((&found["state"], &found["amount_captured"]), (&json!("paid"), &json!(3998)), "{open:#}");
    assert_eq!(found["payments"][0]["stripe_payment_intent"], started_later.as_str());
    assert_eq!(told(&started_later), json!(null), "{open:#}");
    let statement = app.statement().await;
    assert_eq!(statement["breaks"]["open"], open["data"].as_array().unwrap().len(), "{statement:#}");
    assert_eq!(statement["breaks"]["at_risk"][0]["currency"], "usd");
    app.stop().await;
}

/// Covers: I32, W-13, fault 93 (the part about asking).
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_asked_for_and_shown_as_the_description_says() {
    let app = TestApp::deaf().await;
    let judge = Judge(&app);
    paid_unheard(&app).await;
    let begun = judge.send("post", "/v1/reconciliation/runs", "", Some(json!({}))).await;
    assert_eq!(begun.status, 201);
    let run = text(&begun.json()["id"]);
    assert_eq!((&begun.json()["trigger"], &begun.json()["finished_at"]), (&json!("api"), &json!(null)));
    nothing_undescribed("ReconciliationRun", &begun.json());
    let since = Instant::now();
    let ended = loop {
        let shown = judge.send("get", "/v1/reconciliation/runs/{id}", &run, None).await.ok();
        if shown["state"] != "running" {
            break shown;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{shown:#}");
    };
    assert_eq!((&ended["state"], ended["sections"].as_array().unwrap().len()), (&json!("done"), 4));
    nothing_undescribed("ReconciliationSection", &ended["sections"][0]);
    // With a key, asking twice is asking once.
    let keyed =
        app.post_with_key("/v1/reconciliation/runs", "once", json!({"since": "2026-01-01T00:00:00Z"})).await;
    let again =
        app.post_with_key("/v1/reconciliation/runs", "once", json!({"since": "2026-01-01T00:00:00Z"})).await;
    assert_eq!((keyed.status, again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!((&keyed.json(), &keyed.json()["since"]), (&again.json(), &json!("2026-01-01T00:00:00Z")));
    let since = Instant::now();
    while app.get("/v1/reconciliation/runs").await.ok()["data"][0]["state"] == "running" {
        assert!(since.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let listed = judge.send("get", "/v1/reconciliation/runs?limit=1", "", None).await.ok();
    assert_eq!((&listed["has_more"], &listed["data"][0]["id"]), (&json!(true), &keyed.json()["id"]));
    let next =
        app.get(&format!("/v1/reconciliation/runs?starting_after={}", text(&listed["data"][0]["id"]))).await;
    assert_eq!(next.ok()["data"][0]["id"], run.as_str());

    let statement = judge.send("get", "/v1/reconciliation/statement", "", None).await.ok();
    nothing_undescribed("Statement", &statement);
    nothing_undescribed("StatementBreaks", &statement["breaks"]);
    assert_eq!((&statement["runs"]["done"], &statement["breaks"]["open"]), (&json!(2), &json!(0)));
    assert!(statement["compared"].as_u64().unwrap() > 0);
    assert!(text(&statement["summary"]).ends_with("no open breaks"), "{statement:#}");
    let quiet_day = app.get("/v1/reconciliation/statement?day=2020-02-29").await.ok();
    assert_eq!((&quiet_day["compared"], &quiet_day["day"]), (&json!(0), &json!("2020-02-29")));
    judge.send("get", "/v1/payouts", "", None).await.ok();

    for (body, field) in [
        (json!({"since": "yesterday"}), "since"),
        (json!({"since": 1}), "since"),
        (json!({"since": "2999-01-01T00:00:00Z"}), "since"),
        (json!({"zzz": 1}), "zzz"),
    ] {
        assert_eq!(app.post("/v1/reconciliation/runs", body.clone()).await.field("since"), field, "{body}");
    }
    for path in [
        "reconciliation/statement?day=2026-02-30",
        "reconciliation/statement?zzz=1",
        "reconciliation/runs?limit=0",
        "reconciliation/runs?starting_after=ord_1",
        "payouts?limit=x",
        "payouts?starting_after=tr_1",
    ] {
        let (_, query) = path.split_once('?').unwrap();
        let field = query.split('=').next().unwrap();
        assert_eq!(app.get(&format!("/v1/{path}")).await.field(path), field);
    }
    for path in [
        "reconciliation/runs/run_00000000000000000000000000",
        "reconciliation/runs/x",
        "payouts/po_1",
        "payouts/x",
    ] {
        assert_eq!(app.get(&format!("/v1/{path}")).await.problem(), (404, "not_found".to_owned()), "{path}");
    }
    app.stop().await;
}

/// A run of a process that died is no run: it stands in nobody's way, and says how it ended.
///
/// Covers: fault 93, fault 85, I30.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_run_is_under_way_nobody_is_sent_after_it() {
    let app = TestApp::deaf().await;
    let ask = reconcile::ask(&app.app, Trigger::Schedule, None);
    let theirs = reconcile::announce(&app.app, &ask).await.unwrap();
    let busy = app.post_with_key("/v1/reconciliation/runs", "patient", json!({})).await;
    assert_eq!(busy.problem(), (409, "reconciliation_under_way".to_owned()));
    assert!(busy.header("retry-after").unwrap().parse::<u32>().is_ok_and(|seconds| seconds > 0));
    assert!(busy.text.contains(&theirs.id.to_string()), "{}", busy.text);
    app.by_hand("UPDATE reconciliation_runs SET heard_at = now() - $1::interval", "11 minutes").await;
    let begun = app.post_with_key("/v1/reconciliation/runs", "patient", json!({})).await;
    assert_eq!(begun.status, 201, "{}", begun.text);
    let dead = app.get(&format!("/v1/reconciliation/runs/{}", theirs.id)).await.ok();
    assert_eq!(dead["state"], "failed");
    assert!(!text(&dead["error"]).is_empty() && dead["finished_at"].is_string());
    app.stop().await;
}

/// What Stripe does not answer is not taken for right.
///
/// Covers: I24, fault 29 (the part about reconciliation), W-13.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_compared_is_said_and_tried_again() {
    let app = TestApp::deaf().await;
    let (order, _) = paid_unheard(&app).await;
    app.faults(json!({"fault": "unavailable", "method": "GET", "effect": false})).await;
    let run = app.reconcile(json!({})).await;
    assert_eq!(run["state"], "incomplete", "{run:#}");
    for section in run["sections"].as_array().unwrap() {
        assert!(!text(&section["problems"][0]).is_empty(), "{run:#}");
    }
    assert_eq!(app.count("SELECT count(*) FROM cursors").await, 0);
    let statement = app.statement().await;
    assert_eq!((&statement["runs"]["incomplete"], &statement["runs"]["done"]), (&json!(1), &json!(0)));
    app.no_faults().await;
    let since = Instant::now();
    // Nothing is sent for some seconds after an outage.
    while app.reconcile(json!({})).await["state"] != "done" {
        assert!(since.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(app.show(&order).await["state"], "paid");
    app.stop().await;
}
