//! `paywright reconcile`, as an operator runs it.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    process::{Ended, Process},
    support::{TestApp, VISA, WEBHOOK_SECRET, text},
};

/// Runs the real program over an app's database and sandbox.
async fn paywright(app: &TestApp, folder: &TempDir, args: &[&str]) -> Ended {
    let (database, stripe) = (app.database_url(), app.sandbox.url().to_owned());
    let env = [
        ("DATABASE_URL", database.as_str()),
        ("STRIPE_API_BASE", stripe.as_str()),
        ("STRIPE_SECRET_KEY", "sk_test_integration"),
        ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("PAYWRIGHT__LOG__FILTER", "error"),
    ];
    Process::run(folder.path(), args, &env).await
}

async fn paid_unheard(app: &TestApp) -> String {
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    order
}

/// Covers: I5, W-13.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_compares_says_it_in_words_and_ends_by_what_is_open() {
    let (app, folder) = (TestApp::deaf().await, tempfile::tempdir().unwrap());
    let order = paid_unheard(&app).await;
    let ended = paywright(&app, &folder, &["reconcile", "--since", "72h"]).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(app.show(&order).await["state"], "paid");
    let lines: Vec<_> = ended.stdout.lines().collect();
    for section in ["catch_up", "local", "gateway", "books"] {
        assert!(lines.iter().any(|line| line.starts_with(section) && line.contains("compared")), "{ended:?}");
    }
    let last = lines.last().unwrap();
    assert!(last.contains(" compared, ") && last.ends_with("no open breaks"), "{last}");
    assert_eq!(ended.stderr, "", "no progress where nobody looks");

    // The events that came are read by the worker.
    app.quiet().await;
    let again =
        paywright(&app, &folder, &["reconcile", "--section", "gateway", "--section", "books", "--json"])
            .await;
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let told: Value = serde_json::from_str(&again.stdout).unwrap();
    let sections: Vec<_> =
        told["run"]["sections"].as_array().unwrap().iter().map(|one| &one["section"]).collect();
    assert_eq!(sections, [&json!("gateway"), &json!("books")]);
    assert_eq!((&told["run"]["trigger"], &told["run"]["state"]), (&json!("command"), &json!("done")));
    assert_eq!(told["statement"]["breaks"]["open"], 0);
    app.stop().await;
}

/// Covers: fault 82 (the part about telling), W-13.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_tells_what_is_open_and_what_could_not_be_compared() {
    let (app, folder) = (TestApp::deaf().await, tempfile::tempdir().unwrap());
    let url = format!("{}/v1/payment_intents", app.sandbox.url());
    let form = "amount=4200&currency=usd&confirm=true&payment_method=pm_card_visa\
                &automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never\
                &metadata[paywright_order]=ord_00000000000000000000000000\
                &metadata[paywright_payment]=pay_00000000000000000000000000";
    let request = app.http.post(url).bearer_auth("sk_test_integration");
    let stray =
        app.send(request.header("content-type", "application/x-www-form-urlencoded").body(form)).await.ok();
    let ended = paywright(&app, &folder, &["reconcile"]).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(
        ended.stdout.contains("1 open break, for ") && ended.stdout.contains("at risk: 42.00 USD"),
        "{ended:?}"
    );
    assert!(ended.stdout.contains("foreign_object"), "{ended:?}");
    let open = app.get("/v1/breaks?open=true").await.ok();
    assert_eq!(open["data"][0]["object_id"], stray["id"]);
    assert!(ended.stdout.contains(&text(&open["data"][0]["id"])), "{ended:?}");

    let statement = paywright(&app, &folder, &["reconcile", "--statement", "--json"]).await;
    assert_eq!(statement.status.code(), Some(2), "{statement:?}");
    let told: Value = serde_json::from_str(&statement.stdout).unwrap();
    assert_eq!((&told["object"], &told["breaks"]["open"]), (&json!("statement"), &json!(1)));
    let runs = app.count("SELECT count(*) FROM reconciliation_runs").await;
    let of_old = paywright(&app, &folder, &["reconcile", "--statement", "--day", "2026-01-01"]).await;
    assert_eq!(of_old.stdout, "2026-01-01: 0 compared, 0 matched; no open breaks\n");
    assert_eq!((of_old.status.code(), runs), (Some(0), 1));

    app.faults(json!({"fault": "unavailable", "method": "GET", "effect": false})).await;
    let failed = paywright(&app, &folder, &["reconcile"]).await;
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(failed.complaint().contains("not everything could be compared"), "{failed:?}");
    for wrong in [
        &["reconcile", "--since", "soon"][..],
        &["reconcile", "--section", "all"],
        &["reconcile", "--day", "2026-01-01"],
    ] {
        let refused = paywright(&app, &folder, wrong).await;
        assert_eq!(refused.status.code(), Some(2), "{wrong:?} {refused:?}");
        assert_eq!(refused.stdout, "");
    }
    let refused = paywright(&app, &folder, &["reconcile", "--since", "2999-01-01"]).await;
    assert_eq!(refused.complaint(), "paywright: --since must be in the past");
    app.stop().await;
}
