use paywright_domain::{self as domain, Quota};
use serde::Deserialize;
use strum::{EnumString, IntoStaticStr};

/// How often somebody may try to pay, and to guess an API key. See docs/limits.md.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Payments asked for from one address; `None`: any number, here and below.
    #[serde(deserialize_with = "quota_or_off")]
    pub payments_per_address: Option<Quota>,
    /// Payments made for one order.
    #[serde(deserialize_with = "quota_or_off")]
    pub payments_per_order: Option<Quota>,
    /// Payments asked for by one customer.
    #[serde(deserialize_with = "quota_or_off")]
    pub payments_per_customer: Option<Quota>,
    /// Payments asked for under one API key.
    #[serde(deserialize_with = "quota_or_off")]
    pub payments_per_key: Option<Quota>,
    /// Declined attempts on orders that were tried from one address.
    #[serde(deserialize_with = "quota_or_off")]
    pub declines_per_address: Option<Quota>,
    /// Declined attempts on one order.
    #[serde(deserialize_with = "quota_or_off")]
    pub declines_per_order: Option<Quota>,
    /// Declined attempts of one customer.
    #[serde(deserialize_with = "quota_or_off")]
    pub declines_per_customer: Option<Quota>,
    /// Requests with a wrong API key from one address.
    #[serde(deserialize_with = "quota_or_off")]
    pub bad_keys_per_address: Option<Quota>,
    /// What happens when the whole shop has too many declines.
    #[serde(deserialize_with = "breaker")]
    pub breaker: OnManyDeclines,
    /// So many declines are too many,
    #[serde(deserialize_with = "quota")]
    pub breaker_declines: Quota,
    /// if they are at least so many of a hundred attempts.
    #[serde(deserialize_with = "percent")]
    pub breaker_percent: u32,
}

/// What happens when the whole shop has too many declines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum OnManyDeclines {
    /// Nothing: nobody looks.
    Off,
    /// The limits of shoppers are a fifth of what they are, and there is an alert.
    Tighten,
    /// No new payment is started, and there is an alert.
    Refuse,
}

impl Limits {
    /// All quotas, as the core has them.
    pub fn quotas(&self) -> domain::Limits {
        let &Self {
            payments_per_address,
            payments_per_order,
            payments_per_customer,
            payments_per_key,
            declines_per_address,
            declines_per_order,
            declines_per_customer,
            bad_keys_per_address,
            breaker: _,
            breaker_declines: _,
            breaker_percent: _,
        } = self;
        domain::Limits {
            payments_per_address,
            payments_per_order,
            payments_per_customer,
            payments_per_key,
            declines_per_address,
            declines_per_order,
            declines_per_customer,
            bad_keys_per_address,
        }
    }

    /// When there are too many declines.
    pub fn many_declines(&self) -> domain::Breaker {
        domain::Breaker { declines: self.breaker_declines, percent: self.breaker_percent }
    }
}

fn quota<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Quota, D::Error> {
    let wrong = "must be a number and a time such as \"20/10m\"; limits.breaker = \"off\" switches it off";
    quota_or_off(deserializer)?.ok_or_else(|| serde::de::Error::custom(wrong))
}

fn quota_or_off<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Quota>, D::Error> {
    match String::deserialize(deserializer)?.trim() {
        // A bare word may be read as one by whoever sets it in the environment.
        "off" | "false" | "0" => Ok(None),
        text => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

fn breaker<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<OnManyDeclines, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = "limits.breaker must be \"off\", \"tighten\" or \"refuse\"";
    text.parse().map_err(|_| serde::de::Error::custom(wrong))
}

fn percent<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        percent @ 1..=100 => Ok(percent),
        _ => Err(serde::de::Error::custom("limits.breaker_percent must be 1 to 100")),
    }
}
