//! The dashboard's pages.

use crate::harness::Rig;

#[tokio::test]
async fn every_page_shows_and_what_is_stored_is_escaped() {
    let rig = Rig::start().await;
    let intent = rig.paid("description=%3Cscript%3Ealert(1)%3C/script%3E").await.id();
    let mut paths =
        vec!["/dashboard".to_owned(), "/dashboard/deliveries".to_owned(), "/dashboard/faults".to_owned()];
    for kind in
        ["payment_intents", "checkout_sessions", "charges", "refunds", "customers", "events", "prices"]
    {
        paths.push(format!("/dashboard/list/{kind}"));
    }
    paths.push(format!("/dashboard/object/{intent}"));
    for path in paths {
        let page = rig.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text.contains("<script"), "{path}");
        assert!(page.header("Content-Security-Policy").unwrap().contains("default-src 'none'"));
    }
    assert_eq!(rig.get("/dashboard/list/nothing").await.status, 404);
    assert_eq!(rig.get("/dashboard/object/pi_none").await.status, 404);
    rig.stop().await;
}

#[tokio::test]
async fn the_clock_and_the_faults_are_changed_by_forms_of_the_same_site_only() {
    let rig = Rig::start().await;
    let before = rig.get("/_sandbox/clock").await.ok().body["now"].as_i64().unwrap();
    let foreign = rig.form("/dashboard/clock", "advance=24h").header("Sec-Fetch-Site", "cross-site");
    assert_eq!(rig.send(foreign).await.status, 403);
    assert_eq!(rig.send(rig.form("/dashboard/clock", "advance=24h")).await.status, 303);
    let after = rig.get("/_sandbox/clock").await.ok().body["now"].as_i64().unwrap();
    assert!(after >= before + 86_400 && after < before + 86_460);
    let rule = "rule=%7B%22webhooks%22%3A%7B%22drop%22%3A1%7D%7D";
    assert_eq!(rig.send(rig.form("/dashboard/faults", rule)).await.status, 303);
    assert!(rig.get("/dashboard/faults").await.text.contains("fault_1"));
    assert!(rig.send(rig.form("/dashboard/faults", "rule=x")).await.text.contains("alert"));
    assert_eq!(rig.send(rig.form("/dashboard/faults", "clear=1")).await.status, 303);
    rig.stop().await;
}

/// Covers: fault 156, R-5.
#[tokio::test]
async fn an_object_is_acted_on_by_its_buttons() {
    let rig = Rig::start().await;
    let intent = rig.paid("").await.id();
    let page = format!("/dashboard/object/{intent}");
    assert!(rig.get(&page).await.text.contains("value=\"refund\""));
    let foreign = rig.form(&page, "deed=refund").header("Sec-Fetch-Site", "cross-site");
    assert_eq!(rig.send(foreign).await.status, 403);
    assert_eq!(rig.send(rig.form(&page, "deed=refund&amount=250")).await.status, 303);
    assert_eq!(rig.get("/v1/refunds").await.ok().body["data"][0]["amount"], 250);
    for bad in ["deed=refund&amount=9999", "deed=refund&amount=x", "deed=melt", "deed=capture"] {
        assert_eq!(rig.send(rig.form(&page, bad)).await.status, 400, "{bad}");
    }
    assert_eq!(rig.send(rig.form(&page, "deed=dispute")).await.status, 303);
    let dispute = rig.get("/v1/disputes").await.ok().body["data"][0]["id"].as_str().unwrap().to_owned();
    let page = format!("/dashboard/object/{dispute}");
    assert_eq!(rig.send(rig.form(&page, "deed=win")).await.status, 303);
    assert_eq!(rig.get(&format!("/v1/disputes/{dispute}")).await.ok().body["status"], "won");
    assert!(rig.get(&page).await.text.contains("The merchant loses"));
    rig.stop().await;
}
