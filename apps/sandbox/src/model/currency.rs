//! Currencies and the smallest amounts that can be charged in them.
//!
//! Source: <https://docs.stripe.com/currencies>.

use super::error::{ApiError, ApiResult};
use super::form::shorten;

/// Two-decimal unless listed below.
const CURRENCIES: &str = "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bif bmd bnd bob brl bsd bwp \
    byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd \
    hkd hnl hrk htg huf idr ils inr isk jmd jpy kes kgs khr kmf krw kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd \
    mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln pyg qar ron rsd rub rwf \
    sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd \
    xcg xof xpf yer zar zmw";

const ZERO_DECIMAL: &str = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf";

/// Two-decimal by compatibility: amounts must end in 00.
const WHOLE_ONLY: &str = "isk ugx";

const MINIMUMS: &[(&str, i64)] = &[
    ("gbp", 30),
    ("aed", 200),
    ("myr", 200),
    ("pln", 200),
    ("ron", 200),
    ("czk", 1500),
    ("dkk", 250),
    ("hkd", 400),
    ("huf", 17_500),
    ("jpy", 50),
    ("krw", 50),
    ("mxn", 1000),
    ("thb", 1000),
    ("nok", 300),
    ("sek", 300),
    ("usd", 50),
    ("aud", 50),
    ("brl", 50),
    ("cad", 50),
    ("chf", 50),
    ("eur", 50),
    ("nzd", 50),
    ("sgd", 50),
    ("inr", 50),
    ("ars", 50),
    ("cop", 50),
    ("idr", 50),
    ("ils", 50),
    ("php", 50),
    ("rub", 50),
    ("zar", 50),
];

/// Twelve digits, for most cards.
pub const AMOUNT_MAX: i64 = 999_999_999_999;

fn listed(list: &str, currency: &str) -> bool {
    currency.len() == 3 && list.split_ascii_whitespace().any(|one| one == currency)
}

/// The currency in lower case.
///
/// # Errors
/// A 400 for one that Stripe does not know.
pub fn check(currency: &str) -> ApiResult<String> {
    let lower = currency.to_ascii_lowercase();
    if listed(CURRENCIES, &lower) {
        return Ok(lower);
    }
    let message = format!(
        "Invalid currency: {}. Stripe currently supports these currencies: {}",
        shorten(&lower),
        CURRENCIES.split_ascii_whitespace().collect::<Vec<_>>().join(", ")
    );
    Err(ApiError::refused(message).param("currency").into())
}

/// Checks that an amount can be charged.
///
/// # Errors
/// `amount_too_small`, `amount_too_large`, or a 400 for an amount that is not whole where it must be.
pub fn check_amount(amount: i64, currency: &str) -> ApiResult<()> {
    let minimum = minimum(currency);
    if amount < minimum {
        let message = format!("Amount must be at least {}", format_amount(minimum, currency));
        return Err(ApiError::refused(message).code("amount_too_small").param("amount").into());
    }
    if amount > AMOUNT_MAX {
        let message = format!("Amount must be no more than {}", format_amount(AMOUNT_MAX, currency));
        return Err(ApiError::refused(message).code("amount_too_large").param("amount").into());
    }
    if listed(WHOLE_ONLY, currency) && amount % 100 != 0 {
        let message =
            format!("Invalid amount: amounts in {} must be divisible by 100.", currency.to_ascii_uppercase());
        return Err(ApiError::refused(message).param("amount").into());
    }
    Ok(())
}

/// The smallest amount that can be charged.
pub fn minimum(currency: &str) -> i64 {
    MINIMUMS.iter().find(|(known, _)| *known == currency).map_or(1, |(_, minimum)| *minimum)
}

pub fn is_zero_decimal(currency: &str) -> bool {
    listed(ZERO_DECIMAL, currency)
}

/// An amount for people, in Stripe's style: `$10.99`, `€5.00`, `¥500`, `10.00 SEK`.
pub fn format_amount(amount: i64, currency: &str) -> String {
    let (sign, size) = (if amount < 0 { "-" } else { "" }, amount.unsigned_abs());
    let number = if is_zero_decimal(currency) {
        group(size)
    } else {
        format!("{}.{:02}", group(size / 100), size % 100)
    };
    let symbol = match currency {
        "usd" => "$",
        "eur" => "€",
        "gbp" => "£",
        "jpy" => "¥",
        "inr" => "₹",
        _ => return format!("{sign}{number} {}", currency.to_ascii_uppercase()),
    };
    format!("{sign}{symbol}{number}")
}

fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_formatted_as_stripe_does() {
        assert_eq!(format_amount(1099, "usd"), "$10.99");
        assert_eq!(format_amount(123_456_789, "eur"), "€1,234,567.89");
        assert_eq!(format_amount(500, "jpy"), "¥500");
        assert_eq!(format_amount(-1005, "sek"), "-10.05 SEK");
    }

    #[test]
    fn limits_depend_on_the_currency() {
        assert_eq!(check_amount(49, "usd").unwrap_err().code, Some("amount_too_small"));
        assert!(check_amount(50, "usd").is_ok());
        assert_eq!(check_amount(29, "gbp").unwrap_err().message, "Amount must be at least £0.30");
        assert!(check_amount(150, "isk").is_err());
        assert!(check("EUR").is_ok_and(|currency| currency == "eur"));
        assert!(check("eu").is_err() && check("xyz").is_err() && check("usd eur").is_err());
    }
}
