//! The stand-in for Stripe.js on a merchant's page.

use serde_json::{Value, json};

use crate::browser::{Browser, Kind};
use crate::merchant::Merchant;

const CARD: &str = "#payment input";

/// Pays with a card; answers what the page shows.
async fn pay(browser: &Browser, card: &str) {
    browser.fill(CARD, card).await;
    browser.click("#pay").await;
}

async fn result(browser: &Browser, part: &str) -> Value {
    browser.says(part).await;
    let text = browser.element("#result").await.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or(Value::from(text))
}

#[tokio::test]
async fn declines_and_three_d_secure_are_shown_in_the_page_and_a_good_card_pays() {
    let merchant = Merchant::open().await;
    let intent = merchant.api.post("/v1/payment_intents", "amount=1999&currency=eur").await;
    let browser = Browser::open(Kind::default()).await;
    browser.goto(&merchant.page("inline", &intent)).await;
    browser.says("ready").await;
    browser.click("#pay").await;
    assert_eq!(result(&browser, "incomplete_number").await["type"], "validation_error");
    pay(&browser, "4000000000009995").await;
    let declined = json!({
        "type": "card_error",
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "intent": "requires_payment_method",
    });
    assert_eq!(result(&browser, "insufficient_funds").await, declined);
    assert!(browser.text().await.contains("Your card has insufficient funds."));
    browser.look("stripe-js-declined").await;
    pay(&browser, "4000002760003184").await;
    browser.says("3-D Secure (sandbox)").await;
    browser.look("stripe-js-3ds").await;
    browser.click("dialog [data-outcome=fail]").await;
    let failed = result(&browser, "authentication_failure").await;
    assert_eq!(failed["code"], "payment_intent_authentication_failure");
    pay(&browser, "4000002760003184").await;
    browser.click("dialog [data-outcome=complete]").await;
    assert_eq!(result(&browser, "succeeded").await, json!({"status": "succeeded"}));
    let events = browser.element("#events").await.text().await.unwrap();
    assert!(events.starts_with("ready") && events.contains("change:card:false:true"), "{events}");
    browser.look("stripe-js-paid").await;
    browser.close().await;
    merchant.close().await;
}

#[tokio::test]
async fn a_return_url_is_followed_and_the_page_there_reads_the_intent() {
    let merchant = Merchant::open().await;
    let intent = merchant.api.post("/v1/payment_intents", "amount=1999&currency=eur").await;
    let browser = Browser::open(Kind { phone: true, ..Kind::default() }).await;
    browser.goto(&merchant.page("redirect", &intent)).await;
    browser.says("ready").await;
    browser.look("stripe-js-phone").await;
    pay(&browser, "4242424242424242").await;
    let id = intent["id"].as_str().unwrap();
    browser.says(&format!("{id} succeeded succeeded 1")).await;
    browser.close().await;
    merchant.close().await;
}

#[tokio::test]
async fn an_intent_may_be_created_when_the_customer_pays_and_a_card_may_be_saved() {
    let merchant = Merchant::open().await;
    let browser = Browser::open(Kind::default()).await;
    browser.goto(&format!("{}/?wanted=deferred", merchant.url)).await;
    browser.says("ready").await;
    pay(&browser, "4242424242424242").await;
    assert_eq!(result(&browser, "succeeded").await, json!({"status": "succeeded"}));
    let setup = merchant.api.post("/v1/setup_intents", "").await;
    browser.goto(&merchant.page("setup", &setup)).await;
    browser.says("ready").await;
    pay(&browser, "4000002760003184").await;
    browser.click("dialog [data-outcome=complete]").await;
    assert_eq!(result(&browser, "succeeded").await, json!({"status": "succeeded"}));
    let saved = merchant.api.get(&format!("/v1/setup_intents/{}", setup["id"].as_str().unwrap())).await;
    assert_eq!(saved["status"], "succeeded");
    browser.close().await;
    merchant.close().await;
}

#[tokio::test]
async fn wrong_calls_are_refused_as_stripe_js_refuses_them() {
    let merchant = Merchant::open().await;
    let intent = merchant.api.post("/v1/payment_intents", "amount=1999&currency=eur").await;
    let browser = Browser::open(Kind::default()).await;
    browser.goto(&merchant.page("inline", &intent)).await;
    browser.says("ready").await;
    let script = r##"
        const caught = [];
        const refused = async (call) => { try { await call(); caught.push("nothing"); } catch (error) { caught.push(error.name); } };
        await refused(() => Stripe("sk_test_1"));
        await refused(() => stripe.elements({ mode: "payment" }).create("payment").mount("#nowhere"));
        const later = stripe.elements({ mode: "payment", amount: 1, currency: "eur" });
        later.create("payment").mount("#events");
        await refused(() => stripe.confirmPayment({ elements: later, clientSecret: "pi_1_secret_2", redirect: "if_required" }));
        await refused(() => stripe.confirmPayment({ clientSecret: "pi_1_secret_2" }));
        const unknown = await stripe.retrievePaymentIntent("pi_1_secret_2");
        caught.push(unknown.error.type, unknown.error.code);
        return caught;"##;
    let caught = browser.script(script).await;
    let refusal = "IntegrationError";
    assert_eq!(
        caught,
        json!([refusal, refusal, refusal, refusal, "invalid_request_error", "resource_missing"])
    );
    // The browser complains about the 404, so it is closed without a look at its log.
    browser.driver.clone().quit().await.unwrap();
    merchant.close().await;
}
