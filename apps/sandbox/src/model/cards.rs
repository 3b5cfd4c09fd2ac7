//! Stripe's test cards: what each one does.
//!
//! Source: <https://docs.stripe.com/testing>. Wordings: <https://docs.stripe.com/declines/codes>.

/// Why an issuer (or Stripe) says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decline {
    pub code: &'static str,
    pub decline_code: Option<&'static str>,
    pub message: &'static str,
    /// What Stripe advises: `try_again_later`, `do_not_try_again`, `confirm_card_data`.
    pub advice: Option<&'static str>,
}

const DECLINED: &str = "Your card was declined.";

const fn declined(decline_code: &'static str) -> Decline {
    Decline {
        code: "card_declined",
        decline_code: Some(decline_code),
        message: DECLINED,
        advice: Some("try_again_later"),
    }
}

pub const GENERIC: Decline = declined("generic_decline");
pub const INSUFFICIENT_FUNDS: Decline =
    Decline { message: "Your card has insufficient funds.", ..declined("insufficient_funds") };
pub const LOST: Decline = Decline { advice: Some("do_not_try_again"), ..declined("lost_card") };
pub const STOLEN: Decline = Decline { advice: Some("do_not_try_again"), ..declined("stolen_card") };
pub const VELOCITY: Decline = Decline {
    message: "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
    ..declined("card_velocity_exceeded")
};
pub const RADAR: Decline = Decline { advice: Some("do_not_try_again"), ..declined("fraudulent") };
pub const LIVE_CARD: Decline = Decline {
    message: "Your card was declined. Your request was in test mode, but used a non test card. For a list of valid test cards, visit: https://stripe.com/docs/testing.",
    advice: None,
    ..declined("test_mode_live_card")
};
pub const EXPIRED: Decline = Decline {
    code: "expired_card",
    decline_code: None,
    message: "Your card has expired.",
    advice: Some("do_not_try_again"),
};
pub const INCORRECT_CVC: Decline = Decline {
    code: "incorrect_cvc",
    decline_code: None,
    message: "Your card's security code is incorrect.",
    advice: Some("confirm_card_data"),
};
pub const PROCESSING_ERROR: Decline = Decline {
    code: "processing_error",
    decline_code: None,
    message: "An error occurred while processing your card. Try again in a little bit.",
    advice: Some("try_again_later"),
};
pub const AUTHENTICATION_REQUIRED: Decline = Decline {
    code: "authentication_required",
    decline_code: Some("authentication_required"),
    message: "Your card was declined. This transaction requires authentication.",
    advice: None,
};

/// When a card asks its holder for 3-D Secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// The card does not know 3-D Secure, or does not need it.
    NotRequired,
    /// Each payment.
    Always,
    /// Each payment until it was set up for off-session use.
    UntilSetUp,
    /// On-session payments; it is already set up for off-session ones.
    OnSession,
    /// The lookup itself fails.
    LookupFails,
}

/// What comes after a successful charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    Nothing,
    Dispute(&'static str),
    Inquiry,
    SeveralDisputes,
    FraudWarning,
    PendingRefund,
    FailingRefund,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    Normal,
    Elevated,
    Highest,
}

/// One test card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    pub number: &'static str,
    /// Further names of the same card: `pm_card_...`.
    pub tokens: &'static [&'static str],
    pub brand: &'static str,
    pub about: &'static str,
    pub decline: Option<Decline>,
    pub authentication: Authentication,
    pub supports_three_d_secure: bool,
    /// A card that can be saved on a customer although each charge declines.
    pub attaches_though_declining: bool,
    pub available_at_once: bool,
    pub risk: Risk,
    pub aftermath: Aftermath,
    /// `card`, or another kind of payment method that the sandbox plays.
    pub kind: &'static str,
    /// The outcome comes later: whether it is a success.
    pub delayed: Option<bool>,
}

impl Card {
    pub fn last4(&self) -> &'static str {
        &self.number[self.number.len() - 4..]
    }

    pub fn can_be_attached(&self) -> bool {
        self.decline.is_none()
            || self.attaches_though_declining
            || self.authentication != Authentication::NotRequired
    }
}

const fn card(number: &'static str, tokens: &'static [&'static str], about: &'static str) -> Card {
    Card {
        number,
        tokens,
        brand: "visa",
        about,
        decline: None,
        authentication: Authentication::NotRequired,
        supports_three_d_secure: true,
        attaches_though_declining: false,
        available_at_once: false,
        risk: Risk::Normal,
        aftermath: Aftermath::Nothing,
        kind: "card",
        delayed: None,
    }
}

/// A bank account that is debited; the outcome comes days later at Stripe, seconds later here.
/// Source: <https://docs.stripe.com/payments/sepa-debit/accept-a-payment#test>.
const fn debit(iban: &'static str, about: &'static str, succeeds: bool) -> Card {
    Card {
        kind: "sepa_debit",
        brand: "sepa_debit",
        delayed: Some(succeeds),
        supports_three_d_secure: false,
        ..card(iban, &[], about)
    }
}

const fn declines(
    number: &'static str,
    tokens: &'static [&'static str],
    about: &'static str,
    decline: Decline,
) -> Card {
    Card { decline: Some(decline), ..card(number, tokens, about) }
}

const fn secure(
    number: &'static str,
    tokens: &'static [&'static str],
    about: &'static str,
    authentication: Authentication,
    decline: Option<Decline>,
) -> Card {
    Card { authentication, decline, ..card(number, tokens, about) }
}

const fn then(
    number: &'static str,
    tokens: &'static [&'static str],
    about: &'static str,
    aftermath: Aftermath,
) -> Card {
    Card { aftermath, ..card(number, tokens, about) }
}

/// Every card of the testing page that this sandbox knows, most used first.
pub const CARDS: &[Card] = &[
    card("4242424242424242", &["pm_card_visa", "tok_visa"], "Succeeds"),
    Card {
        brand: "mastercard",
        ..card("5555555555554444", &["pm_card_mastercard", "tok_mastercard"], "Succeeds")
    },
    Card { brand: "amex", ..card("378282246310005", &["pm_card_amex", "tok_amex"], "Succeeds") },
    Card {
        available_at_once: true,
        ..card(
            "4000000000000077",
            &["pm_card_bypassPending", "tok_bypassPending"],
            "Succeeds, available at once",
        )
    },
    declines(
        "4000000000000002",
        &["pm_card_visa_chargeDeclined", "pm_card_chargeDeclined", "tok_chargeDeclined"],
        "Declined",
        GENERIC,
    ),
    declines(
        "4000000000009995",
        &["pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedInsufficientFunds"],
        "Insufficient funds",
        INSUFFICIENT_FUNDS,
    ),
    declines("4000000000009987", &["pm_card_visa_chargeDeclinedLostCard"], "Lost card", LOST),
    declines("4000000000009979", &["pm_card_visa_chargeDeclinedStolenCard"], "Stolen card", STOLEN),
    declines(
        "4000000000000069",
        &["pm_card_chargeDeclinedExpiredCard", "pm_card_visa_chargeDeclinedExpiredCard"],
        "Expired card",
        EXPIRED,
    ),
    declines(
        "4000000000000127",
        &["pm_card_chargeDeclinedIncorrectCvc", "pm_card_visa_chargeDeclinedIncorrectCvc"],
        "Incorrect CVC",
        INCORRECT_CVC,
    ),
    declines(
        "4000000000000119",
        &["pm_card_chargeDeclinedProcessingError", "pm_card_visa_chargeDeclinedProcessingError"],
        "Processing error",
        PROCESSING_ERROR,
    ),
    declines(
        "4000000000006975",
        &["pm_card_visa_chargeDeclinedVelocityLimitExceeded"],
        "Used too often",
        VELOCITY,
    ),
    Card {
        attaches_though_declining: true,
        ..declines(
            "4000000000000341",
            &["pm_card_chargeCustomerFail"],
            "Can be saved, charges decline",
            GENERIC,
        )
    },
    Card {
        risk: Risk::Highest,
        ..declines("4100000000000019", &["pm_card_radarBlock"], "Blocked by Radar", RADAR)
    },
    Card {
        risk: Risk::Elevated,
        ..card("4000000000009235", &["pm_card_riskLevelElevated"], "Succeeds, elevated risk")
    },
    secure(
        "4000002500003155",
        &["pm_card_authenticationRequiredOnSetup"],
        "3-D Secure until set up",
        Authentication::UntilSetUp,
        None,
    ),
    secure(
        "4000002760003184",
        &["pm_card_authenticationRequired"],
        "3-D Secure always",
        Authentication::Always,
        None,
    ),
    secure(
        "4000003800000446",
        &["pm_card_authenticationRequiredSetupForOffSession"],
        "3-D Secure on session",
        Authentication::OnSession,
        None,
    ),
    secure(
        "4000008260003178",
        &["pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"],
        "3-D Secure, then insufficient funds",
        Authentication::Always,
        Some(INSUFFICIENT_FUNDS),
    ),
    secure(
        "4000000000003220",
        &["pm_card_threeDSecure2Required", "pm_card_threeDSecureRequired"],
        "3-D Secure 2 required",
        Authentication::Always,
        None,
    ),
    secure(
        "4000008400001629",
        &["pm_card_threeDSecureRequiredChargeDeclined"],
        "3-D Secure, then declined",
        Authentication::Always,
        Some(GENERIC),
    ),
    secure(
        "4000008400001280",
        &["pm_card_threeDSecureRequiredProcessingError"],
        "3-D Secure lookup fails, declined",
        Authentication::LookupFails,
        Some(GENERIC),
    ),
    card("4000000000003055", &["pm_card_threeDSecureOptional"], "3-D Secure supported, not required"),
    then(
        "4000000000000259",
        &["pm_card_createDispute"],
        "Disputed: fraudulent",
        Aftermath::Dispute("fraudulent"),
    ),
    then(
        "4000000000002685",
        &["pm_card_createDisputeProductNotReceived"],
        "Disputed: product not received",
        Aftermath::Dispute("product_not_received"),
    ),
    then("4000000000001976", &["pm_card_createDisputeInquiry"], "Disputed: inquiry", Aftermath::Inquiry),
    then(
        "4000000000005423",
        &["pm_card_createIssuerFraudRecord"],
        "Early fraud warning",
        Aftermath::FraudWarning,
    ),
    then(
        "4000000404000079",
        &["pm_card_createMultipleDisputes"],
        "Several disputes",
        Aftermath::SeveralDisputes,
    ),
    then("4000000000007726", &["pm_card_pendingRefund"], "Refund is pending first", Aftermath::PendingRefund),
    debit("AT321904300235473204", "SEPA debit, succeeds later", true),
    debit("AT861904300235473202", "SEPA debit, fails later", false),
    then("4000000000005126", &["pm_card_refundFail"], "Refund fails later", Aftermath::FailingRefund),
];

/// A number that is no test card, though a card's number it is.
const UNKNOWN: Card =
    Card { decline: Some(LIVE_CARD), ..card("0000000000000000", &[], "Not one of Stripe's test cards") };

/// Why a card number cannot even be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadNumber;

/// The card of a number (spaces allowed), or of a `pm_card_...` token.
///
/// # Errors
/// [`BadNumber`] for what is no card number at all.
pub fn find(number: &str) -> Result<Card, BadNumber> {
    let compact: String = number.chars().filter(|one| !one.is_whitespace() && *one != '-').take(64).collect();
    if let Some(card) = CARDS.iter().find(|card| card.number == compact || card.tokens.contains(&number)) {
        return Ok(*card);
    }
    if passes_luhn(&compact) { Ok(UNKNOWN) } else { Err(BadNumber) }
}

/// The card of a `pm_card_...` token.
pub fn by_token(token: &str) -> Option<Card> {
    CARDS.iter().find(|card| card.tokens.contains(&token)).copied()
}

fn passes_luhn(number: &str) -> bool {
    if !(12..=19).contains(&number.len()) || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let sum: u32 = number
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_card_is_a_valid_number_with_unique_names() {
        let mut seen = std::collections::BTreeSet::new();
        for card in CARDS {
            assert!(card.kind != "card" || passes_luhn(card.number), "{}", card.number);
            assert!(seen.insert(card.number));
            assert!(card.tokens.iter().all(|token| seen.insert(token)), "{:?}", card.tokens);
        }
    }

    #[test]
    fn unknown_and_wrong_numbers_differ() {
        assert_eq!(find("4242 4242 4242 4242").unwrap().brand, "visa");
        assert_eq!(find("4242424242424241"), Err(BadNumber));
        assert_eq!(find("4111111111111111").unwrap().decline, Some(LIVE_CARD));
        assert_eq!(find("hello"), Err(BadNumber));
        assert_eq!(find(""), Err(BadNumber));
        assert_eq!(find("pm_card_visa").unwrap().number, "4242424242424242");
    }
}
