//! The dashboard and the hosted pages, wide and narrow.

use crate::browser::{Browser, Kind};
use crate::merchant::Merchant;

/// One of everything, with texts that would break a careless page.
async fn fill(merchant: &Merchant) -> Vec<(&'static str, String)> {
    let api = &merchant.api;
    let id =
        |object: &serde_json::Value| object["id"].as_str().unwrap_or_else(|| panic!("{object}")).to_owned();
    let customer = api.post("/v1/customers", "email=ada%40example.com&name=%3Cb%3EAda%3C%2Fb%3E").await;
    let product = api.post("/v1/products", "name=Tea").await;
    let recurring =
        format!("product={}&currency=eur&unit_amount=500&recurring[interval]=month", id(&product));
    api.post("/v1/prices", &recurring).await;
    let shared = "currency=eur&confirm=true&description=%3Cscript%3Ealert(1)%3C%2Fscript%3E+of+a+long+order";
    let pay = async |card: &str| {
        let form = format!("amount=1999&{shared}&payment_method={card}&return_url=http%3A%2F%2F127.0.0.1%2F");
        api.post("/v1/payment_intents", &form).await
    };
    let paid = pay("pm_card_visa").await;
    pay("pm_card_createDispute").await;
    pay("pm_card_chargeDeclined").await;
    let waiting = pay("pm_card_authenticationRequired").await;
    api.post("/v1/refunds", &format!("payment_intent={}&amount=500", id(&paid))).await;
    let session = "mode=payment&success_url=https%3A%2F%2Fshop.example%2F&line_items[0][quantity]=2&line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=100&line_items[0][price_data][product_data][name]=Green+tea";
    let session = api.post("/v1/checkout/sessions", session).await;
    api.post("/_sandbox/faults", "").await;
    api.get(&format!("/v1/customers/{}", id(&customer))).await;
    let mut pages = vec![
        ("home", "/dashboard".to_owned()),
        ("deliveries", "/dashboard/deliveries".to_owned()),
        ("faults", "/dashboard/faults".to_owned()),
        ("payment", format!("/dashboard/object/{}", id(&paid))),
        ("checkout", format!("/c/pay/{}", id(&session))),
        ("authenticate", format!("/authenticate/{}", id(&waiting))),
    ];
    for kind in
        ["payment_intents", "checkout_sessions", "disputes", "customers", "webhook_endpoints", "events"]
    {
        pages.push((kind, format!("/dashboard/list/{kind}")));
    }
    pages
}

async fn see(kind: Kind, width: &str) {
    let merchant = Merchant::open().await;
    let pages = fill(&merchant).await;
    let browser = Browser::open(kind).await;
    for (name, path) in pages {
        browser.goto(&format!("{}{path}", merchant.sandbox())).await;
        browser.look(&format!("sandbox-{name}-{width}")).await;
        if !path.starts_with("/dashboard") {
            continue;
        }
        let home = path == "/dashboard";
        let current = browser.driver.find_all(thirtyfour::By::Css("nav [aria-current=page]")).await.unwrap();
        if let Some(current) = current.first() {
            assert_eq!(current.attr("href").await.unwrap().unwrap(), path, "{name}");
        } else {
            assert!(!home && name == "payment", "{name} highlights nothing");
        }
    }
    browser.close().await;
    merchant.close().await;
}

#[tokio::test]
async fn every_page_fits_a_desktop_and_says_where_one_is() {
    see(Kind::default(), "wide").await;
}

#[tokio::test]
async fn every_page_fits_a_small_phone_and_says_where_one_is() {
    see(Kind { phone: true, ..Kind::default() }, "phone").await;
}

#[tokio::test]
async fn the_dashboard_works_without_scripts() {
    let merchant = Merchant::open().await;
    let browser = Browser::open(Kind { scriptless: true, ..Kind::default() }).await;
    browser.goto(&format!("{}/dashboard", merchant.sandbox())).await;
    browser.click("form[action='/dashboard/clock'] button[name=frozen]").await;
    browser.says("frozen").await;
    browser.goto(&format!("{}/dashboard/faults", merchant.sandbox())).await;
    browser.click("form[action='/dashboard/faults'] button:not([name])").await;
    browser.says("fault_1").await;
    browser.close().await;
    merchant.close().await;
}
