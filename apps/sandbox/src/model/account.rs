//! The account that all keys belong to.
//!
//! Source: <https://docs.stripe.com/api/accounts>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::context::Context;
use super::currency;
use super::error::{ApiError, ApiResult};
use super::form::shorten;
use super::params::Params;

pub const ID: &str = "acct_1PaywrightSandbox";
pub const CURRENCY: &str = "usd";

/// An exchange rate in millionths, so that amounts stay exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate(i64);

impl Rate {
    /// `"1.08"`: more than none, at most a million, with at most six digits behind the point.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str, most| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(whole, 6) || !digits(fraction, 6) {
            return None;
        }
        let millionths = format!("{whole}{fraction:0<6}").parse().ok()?;
        (millionths > 0).then_some(Self(millionths))
    }

    /// The amount in the other currency's minor units, rounded half away from zero.
    pub fn convert(self, amount: i64) -> i64 {
        let product = i128::from(amount) * i128::from(self.0);
        let half = if product < 0 { -500_000 } else { 500_000 };
        i64::try_from((product + half) / 1_000_000).unwrap_or(i64::MAX)
    }

    pub fn render(self) -> Value {
        let digits = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        serde_json::from_str(&digits).unwrap_or(Value::Null)
    }
}

/// What a tester may change about the account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// A refund that the available balance does not cover stays pending until it does.
    pub refunds_wait_for_balance: bool,
    /// All money is converted to this currency when it is booked, if it has a rate.
    pub settlement_currency: Option<String>,
    /// From a currency to the settlement currency.
    pub exchange_rates: BTreeMap<String, Rate>,
}

impl Terms {
    /// The rate at which a currency is converted; none when it settles as it is.
    pub fn rate(&self, currency: &str) -> Option<(&str, Rate)> {
        let settlement = self.settlement_currency.as_deref().filter(|settlement| *settlement != currency)?;
        Some((settlement, *self.exchange_rates.get(currency)?))
    }

    /// The terms after a tester's change: what is left out stays, `null` takes back.
    ///
    /// # Errors
    /// A 400 that names what is wrong.
    pub fn changed(&self, body: &Value) -> ApiResult<Self> {
        let mut terms = self.clone();
        let given = body.as_object().ok_or_else(|| ApiError::invalid("An object is expected."))?;
        for (name, value) in given {
            match (name.as_str(), value) {
                ("refunds_wait_for_balance", Value::Bool(on)) => terms.refunds_wait_for_balance = *on,
                ("settlement_currency", Value::Null) => terms.settlement_currency = None,
                ("settlement_currency", Value::String(code)) => {
                    terms.settlement_currency = Some(currency::check(code)?);
                }
                ("exchange_rates", Value::Object(rates)) => {
                    for (code, rate) in rates {
                        let text = rate.as_str().map_or_else(|| rate.to_string(), str::to_owned);
                        let rate = Rate::parse(&text).ok_or_else(|| {
                            ApiError::invalid(format!("{} is no exchange rate.", shorten(&text)))
                        })?;
                        terms.exchange_rates.insert(currency::check(code)?, rate);
                    }
                }
                _ => {
                    let message = "refunds_wait_for_balance (true or false), settlement_currency (or null) and exchange_rates are known.";
                    return Err(ApiError::invalid(message).param(shorten(name)).into());
                }
            }
        }
        Ok(terms)
    }

    pub fn render(&self) -> Value {
        let rates = self.exchange_rates.iter().map(|(currency, rate)| (currency.clone(), rate.render()));
        json!({
            "refunds_wait_for_balance": self.refunds_wait_for_balance,
            "settlement_currency": self.settlement_currency,
            "exchange_rates": rates.collect::<serde_json::Map<String, Value>>(),
        })
    }
}

/// `GET /v1/account`.
pub fn retrieve(context: &mut Context<'_>, _: &[&str], _: Params<'_>) -> ApiResult<Value> {
    Ok(json!({
        "id": ID,
        "object": "account",
        "business_profile": {
            "annual_revenue": null,
            "estimated_worker_count": null,
            "mcc": "5734",
            "minority_owned_business_designation": null,
            "name": "Paywright Sandbox",
            "product_description": null,
            "support_address": null,
            "support_email": null,
            "support_phone": null,
            "support_url": null,
            "url": null,
        },
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": true,
        "controller": {"type": "account"},
        "country": "US",
        "created": 1_577_836_800,
        "default_currency": context.world.terms.settlement_currency.as_deref().unwrap_or(CURRENCY),
        "details_submitted": true,
        "email": "sandbox@example.com",
        "payouts_enabled": true,
        "settings": {
            "branding": {"icon": null, "logo": null, "primary_color": null, "secondary_color": null},
            "card_payments": {
                "decline_on": {"avs_failure": false, "cvc_failure": false},
                "statement_descriptor_prefix": null,
                "statement_descriptor_prefix_kana": null,
                "statement_descriptor_prefix_kanji": null,
            },
            "dashboard": {"display_name": "Paywright Sandbox", "timezone": "Etc/UTC"},
            "payments": {
                "statement_descriptor": "PAYWRIGHT SANDBOX",
                "statement_descriptor_kana": null,
                "statement_descriptor_kanji": null,
                "statement_descriptor_prefix_kana": null,
                "statement_descriptor_prefix_kanji": null,
            },
            "payouts": {
                "debit_negative_balances": true,
                "schedule": {"delay_days": 2, "interval": "daily"},
                "statement_descriptor": null,
            },
        },
        "type": "standard",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_exactly_and_rounds_half_away_from_zero() {
        let rate = Rate::parse("1.085").unwrap();
        assert_eq!((rate.convert(1_000), rate.convert(-1_000), rate.convert(1)), (1_085, -1_085, 1));
        assert_eq!((rate.convert(100), rate.convert(-100)), (109, -109));
        assert_eq!(rate.render().to_string(), "1.085");
        for bad in ["", "0", "0.0", "-1", "1.", ".5", "1.0000001", "1e3", "12345678"] {
            assert_eq!(Rate::parse(bad), None, "{bad}");
        }
    }
}
