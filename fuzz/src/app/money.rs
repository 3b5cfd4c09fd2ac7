//! Money on all its ways in and out: exact, or refused.

use std::sync::Arc;

use actix_web::{test::TestRequest, web::Bytes};
use paywright_app::http::{
    body::{self, Minor},
    routes::price,
};
use paywright_domain::{
    Currency, Mode, Money,
    ports::{Clock, Fact, Gateway, Heard},
};
use paywright_sandbox::model::{Input, Method, Model, Request, Time};
use paywright_stripe::{API_VERSION, Answered, Lost, Sent, Stripe, Transport};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::draw::Draw;

/// # Panics
/// When an amount becomes another one on its way.
pub fn run(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let (one, other) = (draw.number(), draw.number());
    let count = u32::try_from(draw.number() % (1 << 32)).unwrap_or(0);
    let currencies: Vec<_> = Currency::all().collect();
    let (here, there) = (draw.pick(&currencies), draw.pick(&currencies));
    written(one, here);
    counted(one, other, count, here, there);
    charged(one, here);
    let (amount, currency) = (draw.text(), draw.text());
    if serde_json::from_str::<Value>(&amount).is_ok() {
        from_client(&amount, &currency);
        from_stripe(&amount, &currency);
    }
}

fn fits(minor: i128) -> Option<u64> {
    i64::try_from(minor).ok().and_then(|minor| u64::try_from(minor).ok())
}

/// What is written is read back as the same.
fn written(minor: u64, currency: Currency) {
    let money = Money::from_minor(minor, currency);
    assert_eq!(money.is_ok(), fits(minor.into()).is_some());
    let Ok(money) = money else { return };
    assert_eq!((money.minor(), money.currency()), (minor, currency));
    let json = serde_json::to_value(money).expect("money is plain data");
    assert_eq!(json, json!({ "amount": minor, "currency": currency.code() }));
    assert_eq!(json["currency"].as_str().and_then(|code| code.parse().ok()), Some(currency));

    let text = money.to_string();
    let (digits, code) = text.split_once(' ').expect("an amount and a currency");
    assert_eq!(code.to_ascii_lowercase(), currency.code());
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    assert_eq!(u32::try_from(decimals), Ok(currency.exponent()), "{text}");
    assert_eq!(digits.replace('.', "").parse(), Ok(minor), "{text}");
}

/// Sums are exact or refused, and never of two currencies.
fn counted(one: u64, other: u64, count: u32, here: Currency, there: Currency) {
    let (Ok(one), Ok(other)) = (Money::from_minor(one, here), Money::from_minor(other, there)) else {
        return;
    };
    let (a, b) = (i128::from(one.minor()), i128::from(other.minor()));
    let same = here == there;
    let exact = |sum: i128| fits(sum).filter(|_| same);
    assert_eq!(one.plus(other).ok().map(Money::minor), exact(a + b));
    assert_eq!(one.minus(other).ok().map(Money::minor), exact(a - b));
    assert_eq!(one.times(count).ok().map(Money::minor), fits(a * i128::from(count)));
    assert_eq!(one.partial_cmp(&other), same.then(|| a.cmp(&b)));
}

/// What we would charge, Stripe charges.
fn charged(minor: u64, currency: Currency) {
    let Ok(money) = Money::from_minor(minor, currency) else { return };
    let asked = price(minor, currency);
    let in_steps = minor.is_multiple_of(currency.step());
    assert_eq!(asked.ok(), Some(money).filter(|_| minor > 0 && minor <= currency.maximum() && in_steps));
    if money.chargeable().is_err() {
        return;
    }
    let form = format!("amount={minor}&currency={currency}");
    let request = Request::new(Method::Post, "/v1/payment_intents").key("sk_test_fuzz").form(form);
    let answer = Model::default().apply(&Input::Request { request, fault: None }, Time(1_000), 1);
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    assert_eq!((answer.status, body["amount"].as_u64()), (200, Some(minor)), "{money}: {}", answer.body);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    amount: Minor,
    currency: Currency,
}

/// JSON of a client, whose numbers and texts are any.
fn from_client(amount: &str, currency: &str) {
    let text = format!(r#"{{"amount":{amount},"currency":{}}}"#, json!(currency));
    let request = TestRequest::post().insert_header(("content-type", "application/json")).to_http_request();
    let read = body::json::<Named>(&request, &Bytes::from(text.clone()));
    let (exact, known) = (exact(amount), currency.parse::<Currency>());
    match read {
        Ok(Named { amount, currency }) => {
            assert_eq!((Some(amount.get()), Ok(currency)), (exact, known), "{text}");
            assert!(amount.get() > 0 && fits(amount.get().into()).is_some(), "{text}");
        }
        Err(problem) => {
            assert!(matches!(problem.status().as_u16(), 400 | 422), "{text}");
            let right = exact.is_some_and(|minor| minor > 0 && fits(minor.into()).is_some());
            assert!(!right || known.is_err(), "refused: {text}");
        }
    }
}

/// The same in an event of Stripe's.
fn from_stripe(amount: &str, currency: &str) {
    let text = format!(
        r#"{{"id":"evt_1","object":"event","type":"payment_intent.succeeded","created":1795000000,"livemode":false,
            "api_version":"{API_VERSION}","data":{{"object":{{"id":"pi_1","object":"payment_intent","amount":{amount},
            "amount_received":{amount},"currency":{},"status":"succeeded","created":1795000000,"livemode":false}}}}}}"#,
        json!(currency)
    );
    let heard = Stripe::over(Arc::new(Nobody), Mode::Test, Arc::new(Nobody)).understand(text.as_bytes());
    let exact = exact(amount);
    match heard {
        Ok(Heard::Fact(Fact::Payment(told))) => {
            let money =
                Money::from_minor(exact.unwrap_or(u64::MAX), currency.parse().unwrap_or_else(|_| usd()));
            let known = currency.parse::<Currency>().is_ok();
            assert_eq!(told.amount, money.ok().filter(|_| known), "{text}");
        }
        Ok(other) => panic!("{other:?}: {text}"),
        Err(_) => assert_eq!(exact, None, "{text}"),
    }
}

fn usd() -> Currency {
    Currency::all().find(|currency| currency.code() == "usd").expect("dollars are a currency")
}

/// The whole number that a JSON text is, and nothing near it.
fn exact(text: &str) -> Option<u64> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// Whom nobody asks.
struct Nobody;

#[async_trait::async_trait]
impl Transport for Nobody {
    async fn exchange(&self, _: Sent<'_>) -> Result<Answered, Lost> {
        Err(Lost::NotSent)
    }
}

impl Clock for Nobody {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH
    }
}
