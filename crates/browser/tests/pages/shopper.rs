//! The shopper's way.

use serde_json::json;

use crate::{
    browser::{Browser, Kind},
    support::{DECLINED, THREE_D_SECURE, TestApp, VISA, text},
};

const PAY: &str = "main form button";
const USUAL: Kind = Kind { phone: false, scriptless: false, dark: false };
const PHONE: Kind = Kind { phone: true, ..USUAL };

/// A program with one order, and a browser on the order's page.
struct Shop {
    app: TestApp,
    browser: Browser,
    order: String,
    page: String,
}

impl Shop {
    async fn open(kind: Kind) -> Self {
        let app = TestApp::start().await;
        let order = app.order().await;
        let page = text(&app.show(&order).await["checkout_url"]);
        let browser = Browser::open(kind).await;
        browser.goto(&page).await;
        Self { app, browser, order, page }
    }

    /// Presses the button and arrives at the hosted page.
    async fn go_to_stripe(&self) {
        self.browser.click(PAY).await;
        self.browser.element("#number").await;
        assert!(self.browser.url().await.starts_with(&format!("{}/c/pay/cs_test_", self.app.sandbox.url())));
    }

    /// Types a card and sends it.
    async fn pay(&self, card: &str) {
        self.browser.fill("#email", "ada@example.org").await;
        self.browser.fill("#number", card).await;
        self.browser.click("form button.primary").await;
    }

    /// The order's page turns to paid without the shopper's help, and is at its plain address.
    async fn turns_paid(&self) {
        self.browser.says("Paid, thank you").await;
        assert_eq!(self.browser.url().await, self.page);
        assert_eq!(self.app.show(&self.order).await["amount_captured"], 3998);
    }

    async fn close(self) {
        self.browser.close().await;
        self.app.stop().await;
    }
}

/// Covers: W-9.
#[tokio::test(flavor = "multi_thread")]
async fn a_shopper_pays_and_the_page_turns_to_paid_by_itself() {
    let shop = Shop::open(USUAL).await;
    let shown = shop.browser.says("Not paid yet").await;
    assert!(shown.contains("Tea, 100 g") && shown.contains("39.98"), "{shown}");
    shop.browser.look("order-unpaid").await;
    shop.go_to_stripe().await;
    shop.browser.look("stripe").await;
    shop.pay(VISA).await;
    shop.turns_paid().await;
    shop.browser.look("order-paid").await;
    assert!(!shop.browser.text().await.contains("Pay $"), "nothing is left to pay");
    shop.close().await;
}

/// The same page in another window, which nobody touches, follows too.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_left_open_follows_the_order() {
    let shop = Shop::open(USUAL).await;
    shop.browser.says("Not paid yet").await;
    let session = shop.app.session(&shop.order).await;
    shop.app.pay_session(&session, VISA).await.ok();
    shop.turns_paid().await;
    shop.app.command(&shop.order, "fulfillment", json!({})).await.ok();
    shop.app.command(&shop.order, "ship", json!({"carrier": "DHL"})).await.ok();
    shop.browser.driver.refresh().await.unwrap();
    shop.browser.says("On its way").await;
    shop.browser.look("order-shipped").await;
    shop.close().await;
}

/// Covers: fault 19.
#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_is_told_on_both_pages_and_another_card_pays() {
    let shop = Shop::open(USUAL).await;
    shop.go_to_stripe().await;
    shop.pay(DECLINED).await;
    shop.browser.says("Your card was declined.").await;
    shop.browser.look("stripe-declined").await;
    shop.browser.goto(&shop.page).await;
    shop.browser.says("Your card was declined.").await;
    shop.browser.look("order-declined").await;
    shop.go_to_stripe().await;
    shop.pay(VISA).await;
    shop.turns_paid().await;
    assert!(!shop.browser.text().await.contains("declined"), "what is paid is paid");
    shop.close().await;
}

/// Covers: fault 20.
#[tokio::test(flavor = "multi_thread")]
async fn three_d_secure_failed_is_a_decline_and_completed_pays() {
    let shop = Shop::open(USUAL).await;
    shop.go_to_stripe().await;
    shop.pay(THREE_D_SECURE).await;
    shop.browser.look("three-d-secure").await;
    shop.browser.click("button[value=fail]").await;
    shop.browser.element(".error").await;
    shop.browser.look("three-d-secure-failed").await;
    shop.pay(THREE_D_SECURE).await;
    shop.browser.click("button[value=complete]").await;
    shop.turns_paid().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn turning_back_shows_that_nothing_was_paid_and_the_same_page_is_offered_again() {
    let shop = Shop::open(USUAL).await;
    shop.go_to_stripe().await;
    let hosted = shop.browser.url().await;
    shop.browser.click("main p a").await;
    shop.browser.says("Not paid yet").await;
    assert_eq!(shop.browser.url().await, shop.page);
    shop.go_to_stripe().await;
    assert_eq!(shop.browser.url().await, hosted);
    shop.close().await;
}

/// Covers: fault 117.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_claims_success_shows_no_payment() {
    let shop = Shop::open(USUAL).await;
    shop.go_to_stripe().await;
    let session = shop.browser.url().await.rsplit('/').next().unwrap().to_owned();
    let claim = format!("{}?session_id={session}&redirect_status=succeeded&paid=true", shop.page);
    shop.browser.goto(&claim).await;
    let shown = shop.browser.says("Not paid yet").await;
    assert!(!shown.contains("thank you"), "{shown}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_the_same_way_works() {
    let shop = Shop::open(Kind { scriptless: true, ..USUAL }).await;
    shop.browser.says("Not paid yet").await;
    shop.go_to_stripe().await;
    shop.pay(DECLINED).await;
    shop.browser.says("Your card was declined.").await;
    shop.pay(VISA).await;
    shop.turns_paid().await;
    shop.browser.look("scriptless-paid").await;
    shop.close().await;
}

/// Without scripts the page loads itself anew until the order is settled.
#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_a_page_that_was_left_open_follows_the_order() {
    let shop = Shop::open(Kind { scriptless: true, ..USUAL }).await;
    shop.browser.says("Not paid yet").await;
    let session = shop.app.session(&shop.order).await;
    shop.app.pay_session(&session, VISA).await.ok();
    shop.turns_paid().await;
    shop.close().await;
}

/// Covers: fault 128.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_text_on_both_pages() {
    let app = TestApp::start().await;
    let hostile = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">{{7*7}}'\"&amp;";
    let body = json!({"name": hostile, "unit_amount": 500, "currency": "eur"});
    let product = text(&app.post("/v1/products", body).await.ok()["id"]);
    let body = json!({"currency": "eur", "items": [{"product": product, "quantity": 1}]});
    let order = app.post("/v1/orders", body).await.ok();
    let browser = Browser::open(PHONE).await;
    browser.goto(&text(&order["checkout_url"])).await;
    browser.says(hostile).await;
    browser.look("hostile-order").await;
    browser.click(PAY).await;
    browser.element("#number").await;
    browser.says(hostile).await;
    browser.look("hostile-stripe").await;
    assert!(!browser.driver.title().await.unwrap().contains("taken"));
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_a_small_phone() {
    let shop = Shop::open(PHONE).await;
    let long = format!(
        "{} {}",
        "Donaudampfschifffahrtsgesellschaftskapitän".repeat(2),
        "for all seasons ".repeat(5)
    );
    let body = json!({"name": long, "unit_amount": 9_999_999, "currency": "usd"});
    let product = text(&shop.app.post("/v1/products", body).await.ok()["id"]);
    let body = json!({"currency": "usd", "items": [{"product": product, "quantity": 9}]});
    let big = shop.app.post("/v1/orders", body).await.ok();
    shop.browser.look("phone-order").await;
    shop.go_to_stripe().await;
    shop.browser.look("phone-stripe").await;
    shop.pay(THREE_D_SECURE).await;
    shop.browser.look("phone-three-d-secure").await;
    shop.browser.click("button[value=fail]").await;
    shop.browser.element(".error").await;
    shop.browser.look("phone-stripe-declined").await;
    shop.browser.goto(&shop.page).await;
    shop.browser.element(".alert").await;
    shop.browser.look("phone-order-declined").await;
    shop.app.command(&shop.order, "cancel", json!({})).await.ok();
    shop.browser.says("This order was cancelled").await;
    shop.browser.look("phone-cancelled").await;
    shop.browser.goto(&text(&big["checkout_url"])).await;
    shop.browser.look("phone-long").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_can_be_used_by_keyboard_alone_and_in_the_dark() {
    let shop = Shop::open(Kind { dark: true, ..USUAL }).await;
    shop.browser.says("Not paid yet").await;
    let button = shop.browser.element(PAY).await;
    let body = shop.browser.element("body").await;
    body.send_keys(thirtyfour::Key::Tab).await.unwrap();
    let focused = shop.browser.script("return document.activeElement.innerText").await;
    assert_eq!(focused, button.text().await.unwrap().as_str());
    shop.browser.look("dark-order").await;
    shop.browser.driver.active_element().await.unwrap().send_keys(thirtyfour::Key::Enter).await.unwrap();
    shop.browser.element("#number").await;
    shop.browser.look("dark-stripe").await;
    shop.close().await;
}

/// The other tests rely on it: whatever a page's policy forbids is reported when the browser closes.
#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "Content Security Policy")]
async fn a_page_that_breaks_its_policy_does_not_pass() {
    let shop = Shop::open(USUAL).await;
    let inline = "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')";
    shop.browser.script(inline).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    shop.close().await;
}
