//! Customers, who never give up and always ask under the same key.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{fleet::Fleet, plan::Dice};
use crate::{
    relay::until,
    support::{DECLINED, KEY, VISA, text},
};

pub(crate) const TOTAL: u64 = 3998;

/// What a customer does, and the merchant about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    PaidOnThePage,
    PaidByIntent,
    PaidAfterADecline,
    PartlyGivenBack,
    GivenBackInTwoParts,
    Cancelled,
    PageCancelled,
    HeldAndTaken,
    HeldAndPartlyTaken,
    HeldAndReleased,
}

const COURSES: [Course; 10] = [
    Course::PaidOnThePage,
    Course::PaidByIntent,
    Course::PaidAfterADecline,
    Course::PartlyGivenBack,
    Course::GivenBackInTwoParts,
    Course::Cancelled,
    Course::PageCancelled,
    Course::HeldAndTaken,
    Course::HeldAndPartlyTaken,
    Course::HeldAndReleased,
];

impl Course {
    /// How the order ends: its state, what was taken, and each part that was given back.
    pub(crate) fn end(self) -> (&'static str, u64, &'static [u64]) {
        match self {
            Self::PaidOnThePage | Self::PaidByIntent | Self::PaidAfterADecline | Self::HeldAndTaken => {
                ("paid", TOTAL, &[])
            }
            Self::PartlyGivenBack => ("paid", TOTAL, &[500]),
            Self::GivenBackInTwoParts => ("refunded", TOTAL, &[1000, 2998]),
            Self::HeldAndPartlyTaken => ("paid", 1500, &[]),
            Self::Cancelled | Self::PageCancelled | Self::HeldAndReleased => ("cancelled", 0, &[]),
        }
    }

    fn is_held(self) -> bool {
        matches!(self, Self::HeldAndTaken | Self::HeldAndPartlyTaken | Self::HeldAndReleased)
    }

    pub(crate) fn has_page(self) -> bool {
        matches!(self, Self::PaidOnThePage | Self::PageCancelled)
    }
}

/// One customer to come.
pub(crate) struct Cart {
    n: usize,
    course: Course,
    /// How long each request is waited for at first, where somebody is impatient.
    impatience: Option<Duration>,
}

/// What a customer was told.
pub(crate) struct Sale {
    pub(crate) n: usize,
    pub(crate) course: Course,
    pub(crate) order: String,
    pub(crate) payment: String,
    pub(crate) refunds: Vec<String>,
}

/// Counts over all rounds.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) acknowledged: AtomicUsize,
    pub(crate) repeated: AtomicUsize,
    pub(crate) payments: AtomicUsize,
    pub(crate) refunds: AtomicUsize,
}

pub(crate) struct Shop {
    product: String,
    pub(crate) sold: Vec<Sale>,
    pub(crate) told: Told,
    next: usize,
}

impl Shop {
    pub(crate) async fn open(fleet: &Fleet) -> Self {
        let tea = json!({"name": "Tea, 100 g", "unit_amount": TOTAL / 2, "currency": "usd"});
        let mut shop = Self { product: String::new(), sold: Vec::new(), told: Told::default(), next: 0 };
        shop.product = text(&shop.ask(fleet, "/v1/products", "product", &tea, None).await["id"]);
        shop
    }

    /// The customers of a round: each course in turn, beginning anywhere.
    pub(crate) fn carts(&mut self, count: usize, dice: &mut Dice) -> Vec<Cart> {
        let first = dice.below(COURSES.len());
        let carts = (0..count).map(|n| {
            let impatience = Duration::from_millis(10 + dice.below(150) as u64);
            let is_impatient = dice.below(3) == 0;
            Cart {
                n: self.next + n,
                course: COURSES[(first + n) % COURSES.len()],
                impatience: is_impatient.then_some(impatience),
            }
        });
        let carts = carts.collect();
        self.next += count;
        carts
    }

    pub(crate) async fn sell(&self, fleet: &Fleet, carts: Vec<Cart>, at_once: usize) -> Vec<Sale> {
        stream::iter(carts).map(|cart| self.buy(fleet, cart)).buffer_unordered(at_once).collect().await
    }

    /// What an order is placed by.
    pub(crate) fn basket(&self, course: Course) -> Value {
        let items = json!([{"product": self.product, "quantity": 2}]);
        let capture = if course.is_held() { "manual" } else { "automatic" };
        json!({"currency": "usd", "items": items, "capture_method": capture})
    }

    /// One customer's way to the end.
    async fn buy(&self, fleet: &Fleet, cart: Cart) -> Sale {
        let Cart { n, course, impatience } = cart;
        let ask = async |path: &str, what: &str, body: Value| {
            self.ask(fleet, path, &format!("{what}-{n}"), &body, impatience).await
        };
        let order = text(&ask("/v1/orders", "place", self.basket(course)).await["id"]);
        let command = if course.has_page() { "checkout-session" } else { "payment-intent" };
        let started = ask(&format!("/v1/orders/{order}/{command}"), "start", json!({})).await;
        let payment = text(&started["payment"]);
        let intent = || {
            let secret = text(&started["client_secret"]);
            format!("payment_intents/{}", secret.split("_secret_").next().unwrap())
        };
        let mut refunds = Vec::new();
        match course {
            Course::PaidOnThePage => {
                let page = text(&started["url"]);
                let session = page.rsplit('/').next().unwrap();
                self.pay(fleet, &format!("checkout/sessions/{session}"), VISA).await;
            }
            Course::Cancelled | Course::PageCancelled => {}
            Course::PaidAfterADecline => {
                self.pay(fleet, &intent(), DECLINED).await;
                self.pay(fleet, &intent(), VISA).await;
            }
            Course::PaidByIntent
            | Course::PartlyGivenBack
            | Course::GivenBackInTwoParts
            | Course::HeldAndTaken
            | Course::HeldAndPartlyTaken
            | Course::HeldAndReleased => self.pay(fleet, &intent(), VISA).await,
        }
        let told = async |state: &str| {
            // Stripe's message may be lost: whoever waits for it asks us to look.
            let sync = format!("/v1/payments/{payment}/sync");
            until(state, async || {
                if fleet.show(&format!("/v1/orders/{order}")).await["state"] == state {
                    return Some(());
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
                let request = fleet.http.post(format!("{}{sync}", fleet.us.url)).bearer_auth(KEY);
                request.json(&json!({})).send().await.ok();
                None
            })
            .await;
        };
        match course {
            Course::PartlyGivenBack | Course::GivenBackInTwoParts => {
                told("paid").await;
                for (part, amount) in course.end().2.iter().enumerate() {
                    let body = json!({"payment": payment, "amount": amount, "reason": "goodwill"});
                    let refund = ask("/v1/refunds", &format!("refund-{part}"), body).await;
                    refunds.push(text(&refund["id"]));
                    self.told.refunds.fetch_add(1, Ordering::Relaxed);
                }
            }
            Course::HeldAndTaken | Course::HeldAndPartlyTaken => {
                told("authorized").await;
                let capture = format!("/v1/payments/{payment}/capture");
                ask(&capture, "capture", json!({"amount": course.end().1})).await;
            }
            Course::Cancelled | Course::PageCancelled | Course::HeldAndReleased => {
                if course.is_held() {
                    told("authorized").await;
                }
                ask(&format!("/v1/orders/{order}/cancel"), "cancel", json!({})).await;
            }
            Course::PaidOnThePage | Course::PaidByIntent | Course::PaidAfterADecline => {}
        }
        Sale { n, course, order, payment, refunds }
    }

    /// Sends a request until it goes well, always under the same key, as a good client does.
    pub(crate) async fn ask(
        &self,
        fleet: &Fleet,
        path: &str,
        key: &str,
        body: &Value,
        impatience: Option<Duration>,
    ) -> Value {
        let tries = Cell::new(0_usize);
        let answer = until(path, async || {
            let request = fleet.http.post(format!("{}{path}", fleet.us.url)).bearer_auth(KEY);
            let mut request = request.header("idempotency-key", key).json(body);
            if let (0, Some(impatience)) = (tries.get(), impatience) {
                request = request.timeout(impatience);
            }
            tries.set(tries.get() + 1);
            let answer = request.send().await.ok()?;
            let status = answer.status();
            let answer = answer.text().await.ok()?;
            // Whoever was stopped while a request came tells that it came too slowly (408).
            let again = status.is_server_error() || [408, 409, 429].contains(&status.as_u16());
            assert!(status.is_success() || again, "{path} {key}: {status} {answer}");
            assert!(!answer.contains("illegal_transition"), "{path} {key}: {status} {answer}");
            status.is_success().then(|| serde_json::from_str(&answer).unwrap())
        })
        .await;
        self.told.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.told.repeated.fetch_add(tries.get() - 1, Ordering::Relaxed);
        answer
    }

    async fn pay(&self, fleet: &Fleet, subject: &str, card: &str) {
        let request = fleet.http.post(format!("{}/_sandbox/{subject}/pay", fleet.sandbox_url));
        let body = json!({"card": card, "email": "ada@example.org"});
        let answer = request.json(&body).send().await.unwrap();
        let (status, answer) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success() || (card == DECLINED && status == 402), "{status} {answer}");
        self.told.payments.fetch_add(usize::from(status.is_success()), Ordering::Relaxed);
    }
}
