//! Money: integer minor units that never part from their currency.
//!
//! Minor units are counted as Stripe counts them, which is not always as ISO 4217 does:
//! the Malagasy ariary has no decimals at Stripe and two in ISO, the Icelandic króna two at Stripe
//! and none in ISO. Source: <https://docs.stripe.com/currencies>.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Stripe's presentment currencies, sorted. Three-decimal currencies (BHD, JOD, KWD, OMR, TND) are left out:
/// Stripe does not offer them to every account.
///
/// Source: <https://docs.stripe.com/currencies#presentment-currencies>
const CURRENCIES: &[&str] = &[
    "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt", "bgn", "bif",
    "bmd", "bnd", "bob", "brl", "bsd", "bwp", "byn", "bzd", "cad", "cdf", "chf", "clp", "cny", "cop", "crc",
    "cve", "czk", "djf", "dkk", "dop", "dzd", "egp", "etb", "eur", "fjd", "fkp", "gbp", "gel", "gip", "gmd",
    "gnf", "gtq", "gyd", "hkd", "hnl", "htg", "huf", "idr", "ils", "inr", "isk", "jmd", "jpy", "kes", "kgs",
    "khr", "kmf", "krw", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl", "mga", "mkd", "mmk",
    "mnt", "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio", "nok", "npr", "nzd", "pab",
    "pen", "pgk", "php", "pkr", "pln", "pyg", "qar", "ron", "rsd", "rub", "rwf", "sar", "sbd", "scr", "sek",
    "sgd", "shp", "sle", "sos", "srd", "std", "szl", "thb", "tjs", "top", "try", "ttd", "twd", "tzs", "uah",
    "ugx", "usd", "uyu", "uzs", "vnd", "vuv", "wst", "xaf", "xcd", "xcg", "xof", "xpf", "yer", "zar", "zmw",
];

/// A currency that Stripe can charge in, written as three lower-case letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(&'static str);

impl Currency {
    /// Every currency, in alphabetical order.
    pub fn all() -> impl Iterator<Item = Self> {
        CURRENCIES.iter().copied().map(Self)
    }

    /// The three lower-case letters.
    pub fn code(self) -> &'static str {
        self.0
    }

    /// How many of the last digits stand behind the decimal point at Stripe.
    ///
    /// Source: <https://docs.stripe.com/currencies#zero-decimal>
    pub fn exponent(self) -> u32 {
        match self.0 {
            "bif" | "clp" | "djf" | "gnf" | "jpy" | "kmf" | "krw" | "mga" | "pyg" | "rwf" | "vnd" | "vuv"
            | "xaf" | "xof" | "xpf" => 0,
            _ => 2,
        }
    }

    /// The number that every charged amount is a multiple of: 100 where Stripe keeps two decimals that must be
    /// zero, else 1.
    ///
    /// Source: <https://docs.stripe.com/currencies#special-cases>
    pub fn step(self) -> u64 {
        if matches!(self.0, "isk" | "ugx") { 100 } else { 1 }
    }

    /// The least amount that Stripe charges in this currency, in minor units. Stripe judges after conversion to
    /// the settlement currency, so it may still refuse more than this; where it names no minimum this is `step`.
    ///
    /// Source: <https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts>
    pub fn minimum(self) -> u64 {
        match self.0 {
            "usd" | "aud" | "brl" | "cad" | "chf" | "eur" | "nzd" | "sgd" | "inr" | "ars" | "cop" | "idr"
            | "ils" | "php" | "rub" | "zar" => 50,
            "gbp" => 30,
            "aed" | "myr" | "pln" | "ron" => 200,
            "czk" => 1_500,
            "dkk" => 250,
            "hkd" => 400,
            "huf" => 17_500,
            "jpy" | "krw" => 50,
            "mxn" | "thb" => 1_000,
            "nok" | "sek" => 300,
            _ => self.step(),
        }
    }

    /// The greatest amount charged in one payment, in minor units: eight digits, which every payment method
    /// takes, and more where Stripe names more.
    ///
    /// Source: <https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts>
    pub fn maximum(self) -> u64 {
        match self.0 {
            "idr" => 999_999_999_999,
            "cop" => 9_999_999_999,
            "inr" => 999_999_999,
            _ => 99_999_999,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The text is not one of Stripe's currencies in lower case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown currency, expected three lower-case letters such as \"usd\"")]
pub struct UnknownCurrency;

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        CURRENCIES.binary_search(&text).map(|at| Self(CURRENCIES[at])).map_err(|_| UnknownCurrency)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A non-negative amount in minor units: cents for USD, yen for JPY.
///
/// There are no operators: sums can overflow and currencies can differ, so arithmetic is a method that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Money {
    #[serde(rename = "amount")]
    minor: u64,
    currency: Currency,
}

/// Why two amounts could not be combined, or a number is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The two amounts are of different currencies.
    #[error("amounts of different currencies: {0} and {1}")]
    CurrencyMismatch(Currency, Currency),
    /// The result is below zero or above what the database and Stripe can hold (2^63 - 1).
    #[error("amount out of range")]
    OutOfRange,
}

/// Why Stripe would not charge an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotChargeable {
    /// Below Stripe's minimum for the currency.
    #[error("below the minimum of {0}")]
    BelowMinimum(Money),
    /// Above the maximum for one payment.
    #[error("above the maximum of {0}")]
    AboveMaximum(Money),
    /// The currency is counted in hundredths at Stripe, but must be a whole number.
    #[error("must be a multiple of {0} minor units")]
    NotAMultiple(u64),
}

impl Money {
    /// `minor` minor units of `currency`.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] above 2^63 - 1.
    pub fn from_minor(minor: u64, currency: Currency) -> Result<Self, MoneyError> {
        if i64::try_from(minor).is_err() {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Self { minor, currency })
    }

    /// Nothing, in `currency`.
    pub fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// The number of minor units.
    pub fn minor(self) -> u64 {
        self.minor
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`], or [`MoneyError::OutOfRange`] above 2^63 - 1.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::OutOfRange)?;
        Self::from_minor(minor, self.currency)
    }

    /// The difference, never below zero.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`], or [`MoneyError::OutOfRange`] below zero.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_sub(other.minor).ok_or(MoneyError::OutOfRange)?;
        Self::from_minor(minor, self.currency)
    }

    /// `self` taken `count` times.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] above 2^63 - 1.
    pub fn times(self, count: u32) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(u64::from(count)).ok_or(MoneyError::OutOfRange)?;
        Self::from_minor(minor, self.currency)
    }

    /// Whether Stripe would charge this amount.
    ///
    /// # Errors
    /// [`NotChargeable`] says which limit it breaks; nothing was sent.
    pub fn chargeable(self) -> Result<(), NotChargeable> {
        let Self { minor, currency } = self;
        if minor < currency.minimum() {
            return Err(NotChargeable::BelowMinimum(Self { minor: currency.minimum(), currency }));
        }
        if minor > currency.maximum() {
            return Err(NotChargeable::AboveMaximum(Self { minor: currency.maximum(), currency }));
        }
        if !minor.is_multiple_of(currency.step()) {
            return Err(NotChargeable::NotAMultiple(currency.step()));
        }
        Ok(())
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch(self.currency, other.currency))
        }
    }
}

/// Amounts of different currencies have no order: every comparison between them is `false`.
impl PartialOrd for Money {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.currency == other.currency).then(|| self.minor.cmp(&other.minor))
    }
}

/// For people: `19.99 USD`, `1500 JPY`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.currency.code().to_ascii_uppercase();
        match self.currency.exponent() {
            0 => write!(f, "{} {code}", self.minor),
            exponent => {
                let unit = 10u64.pow(exponent);
                let width = exponent as usize;
                write!(f, "{}.{:0width$} {code}", self.minor / unit, self.minor % unit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn money(minor: u64, currency: &str) -> Money {
        Money::from_minor(minor, currency.parse().unwrap()).unwrap()
    }

    /// Covers: M-4, M-5, T-8, fault 110.
    #[test]
    fn exponents_are_stripes_and_not_isos() {
        for (code, exponent, step) in
            [("usd", 2, 1), ("jpy", 0, 1), ("mga", 0, 1), ("isk", 2, 100), ("ugx", 2, 100), ("huf", 2, 1)]
        {
            let currency: Currency = code.parse().unwrap();
            assert_eq!((currency.exponent(), currency.step()), (exponent, step), "{code}");
        }
    }

    #[test]
    fn the_table_is_sorted_so_that_every_currency_is_found() {
        assert!(CURRENCIES.is_sorted());
        for currency in Currency::all() {
            assert_eq!(currency.code().parse(), Ok(currency));
            assert!(currency.minimum() <= currency.maximum());
            assert!(currency.minimum().is_multiple_of(currency.step()));
        }
    }

    /// Covers: fault 110.
    #[test]
    fn unknown_and_upper_case_currencies_are_refused() {
        for text in ["USD", "us", "usdd", "", "zzz", "kwd", "u\u{0}d"] {
            assert_eq!(text.parse::<Currency>(), Err(UnknownCurrency), "{text:?}");
        }
    }

    #[test]
    fn amounts_print_with_stripes_decimals() {
        assert_eq!(money(1999, "usd").to_string(), "19.99 USD");
        assert_eq!(money(5, "eur").to_string(), "0.05 EUR");
        assert_eq!(money(1500, "jpy").to_string(), "1500 JPY");
        assert_eq!(money(500, "ugx").to_string(), "5.00 UGX");
    }

    /// Covers: fault 109.
    #[test]
    fn amounts_that_stripe_would_refuse_are_refused_first() {
        assert!(matches!(money(49, "usd").chargeable(), Err(NotChargeable::BelowMinimum(_))));
        assert_eq!(money(50, "usd").chargeable(), Ok(()));
        assert_eq!(money(99_999_999, "usd").chargeable(), Ok(()));
        assert!(matches!(money(100_000_000, "usd").chargeable(), Err(NotChargeable::AboveMaximum(_))));
        assert_eq!(money(550, "isk").chargeable(), Err(NotChargeable::NotAMultiple(100)));
        assert!(matches!(money(0, "vnd").chargeable(), Err(NotChargeable::BelowMinimum(_))));
    }

    #[test]
    fn currencies_are_never_mixed_or_compared() {
        let (dollars, euros) = (money(1, "usd"), money(2, "eur"));
        assert!(matches!(dollars.plus(euros), Err(MoneyError::CurrencyMismatch(..))));
        assert!(matches!(dollars.minus(euros), Err(MoneyError::CurrencyMismatch(..))));
        assert_eq!(dollars.partial_cmp(&euros), None);
    }

    proptest! {
        /// Covers: I8, fault 160.
        #[test]
        fn arithmetic_is_exact_or_an_error(a in 0..=i64::MAX as u64, b in 0..=i64::MAX as u64, n: u32) {
            let (left, right) = (money(a, "usd"), money(b, "usd"));
            let exact = |value: i128| u64::try_from(value).ok().filter(|v| *v <= i64::MAX as u64);
            prop_assert_eq!(left.plus(right).ok().map(Money::minor), exact(a as i128 + b as i128));
            prop_assert_eq!(left.minus(right).ok().map(Money::minor), exact(a as i128 - b as i128));
            prop_assert_eq!(left.times(n).ok().map(Money::minor), exact(a as i128 * n as i128));
        }
    }
}
