//! From Stripe's objects to the core's words.

use paywright_domain::{
    IntentId, Mode, Money, OrderId, Origin, PaymentId, Refusal, SessionId, Sighting, Standing,
    ports::Snapshot,
};
use time::OffsetDateTime;

use crate::{
    balance,
    json::Expandable,
    text,
    wire::{Bare, Charge, Intent, LatestCharge, Metadata, PaymentError, PaymentMethodDetails, Session},
};

/// Shown when Stripe's own words are not meant for customers.
const ATTEMPT_FAILED: &str = "The payment did not go through. Please try again, or use another card.";

/// On whose word, and of which moment by Stripe's clock.
pub(crate) struct Word {
    pub(crate) at: OffsetDateTime,
    pub(crate) origin: Origin,
}

/// A field without which the object cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) &'static str);

/// A PaymentIntent.
///
/// In a currency that we do not know, amounts mean nothing to us: it is not ours, or somebody changed it, so
/// that it stays unclear.
pub(crate) fn of_intent(intent: &Intent, word: Word) -> Result<Snapshot, Unfit> {
    let amount = money(Some(intent.amount), Some(&intent.currency));
    let standing = if amount.is_some() { intent_standing(intent)? } else { Standing::Unclear };
    let refusal = intent.last_payment_error.as_ref();
    let charge = latest(intent);
    let booked = charge.filter(|charge| charge.captured == Some(true));
    let booked = booked.and_then(|charge| charge.balance_transaction.as_ref());
    let details = charge.and_then(|charge| charge.payment_method_details.as_ref());
    Ok(Snapshot {
        order: order(&intent.metadata),
        payment: payment(&intent.metadata),
        mode: Mode::from_livemode(intent.livemode),
        amount,
        settled: booked.is_some(),
        refusal: refusal.and_then(|error| of_error(error, word.at, intent.latest_charge.as_ref())),
        sighting: Sighting {
            capture_before: capture_before(details),
            settlement: balance::moved(booked),
            ..seen(standing, word.at, Some(intent_id(&intent.id)?))
        },
        origin: word.origin,
    })
}

/// The charge, when it came along.
fn latest(intent: &Intent) -> Option<&LatestCharge> {
    match intent.latest_charge.as_ref()? {
        Expandable::Object(charge) => Some(charge),
        Expandable::Id(_) => None,
    }
}

/// Source: <https://docs.stripe.com/payments/place-a-hold-on-a-payment-method#auth-capture-limitations>
fn capture_before(details: Option<&PaymentMethodDetails>) -> Option<OffsetDateTime> {
    moment(details?.card.as_ref()?.capture_before?)
}

/// Source: <https://docs.stripe.com/payments/paymentintents/lifecycle>
fn intent_standing(intent: &Intent) -> Result<Standing, Unfit> {
    Ok(match intent.status.as_str() {
        "requires_payment_method" | "requires_confirmation" => Standing::AwaitingMethod,
        "requires_action" => Standing::ActionRequired,
        "processing" => Standing::Processing,
        "requires_capture" => {
            Standing::Authorized(intent.amount_capturable.ok_or(Unfit("amount_capturable"))?)
        }
        "succeeded" => Standing::Captured {
            captured: intent.amount_received.ok_or(Unfit("amount_received"))?,
            // Known only when the charge came along; else zero, which says nothing: it is but a hint.
            refunded: latest(intent).and_then(|charge| charge.amount_refunded).unwrap_or(0),
        },
        "canceled" => Standing::Cancelled,
        _ => Standing::Unclear,
    })
}

/// A Checkout Session. A complete one is not yet paid, and may only be authorized: its intent decides.
///
/// Source: <https://docs.stripe.com/api/checkout/sessions/object#checkout_session_object-status>
pub(crate) fn of_session(session: &Session, word: Word) -> Result<Snapshot, Unfit> {
    let amount = money(session.amount_total, session.currency.as_deref());
    let standing = match session.status.as_deref() {
        Some("open") => Standing::AwaitingMethod,
        Some("expired") => Standing::Cancelled,
        _ => Standing::Unclear,
    };
    let intent = session.payment_intent.as_ref().map(|intent| intent_id(intent.id())).transpose()?;
    Ok(Snapshot {
        order: order(&session.metadata),
        payment: payment(&session.metadata),
        mode: Mode::from_livemode(session.livemode),
        amount,
        settled: false,
        refusal: None,
        sighting: Sighting { session: Some(session_id(&session.id)?), ..seen(standing, word.at, intent) },
        origin: word.origin,
    })
}

/// A charge, if it says that money of a PaymentIntent was reserved or taken.
///
/// A hold that was released keeps its shape, but for what was "refunded" of it.
///
/// Source: <https://docs.stripe.com/api/charges/object>
pub(crate) fn of_charge(charge: &Charge, word: Word) -> Result<Option<Snapshot>, Unfit> {
    let Some(intent) = &charge.payment_intent else { return Ok(None) };
    let is_released = !charge.captured && charge.amount_refunded > 0;
    if charge.status != "succeeded" || is_released {
        return Ok(None);
    }
    let amount = money(Some(charge.amount), Some(&charge.currency));
    let standing = match (amount, charge.captured) {
        (None, _) => Standing::Unclear,
        (Some(amount), false) => Standing::Authorized(amount.minor()),
        (Some(_), true) => {
            Standing::Captured { captured: charge.amount_captured, refunded: charge.amount_refunded }
        }
    };
    let booked = charge.balance_transaction.as_ref().filter(|_| charge.captured);
    Ok(Some(Snapshot {
        order: order(&charge.metadata),
        payment: payment(&charge.metadata),
        mode: Mode::from_livemode(charge.livemode),
        amount,
        settled: booked.is_some(),
        refusal: None,
        sighting: Sighting {
            capture_before: capture_before(charge.payment_method_details.as_ref()),
            settlement: balance::moved(booked),
            ..seen(standing, word.at, Some(intent_id(intent.id())?))
        },
        origin: word.origin,
    }))
}

fn seen(standing: Standing, at: OffsetDateTime, intent: Option<IntentId>) -> Sighting {
    Sighting { standing, at, intent, session: None, capture_before: None, settlement: None }
}

/// An object of a version whose shapes we do not know: who it is, and nothing else.
pub(crate) fn of_bare(kind: Kind, object: &Bare, mode: Mode, word: Word) -> Result<Option<Snapshot>, Unfit> {
    let named = object.payment_intent.as_ref().map(|intent| intent_id(intent.id())).transpose()?;
    let (intent, session) = match kind {
        Kind::Intent => (Some(intent_id(&object.id)?), None),
        Kind::Session => (named, Some(session_id(&object.id)?)),
        Kind::Charge => (named, None),
    };
    if intent.is_none() && session.is_none() {
        return Ok(None);
    }
    let (order, payment) = (order(&object.metadata), payment(&object.metadata));
    let sighting = Sighting { session, ..seen(Standing::Unclear, word.at, intent) };
    let origin = word.origin;
    Ok(Some(Snapshot { order, payment, mode, amount: None, settled: false, refusal: None, sighting, origin }))
}

/// Which objects tell something about a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Intent,
    Session,
    Charge,
}

/// The refusal that an error of an attempt to pay tells.
///
/// Only the words of card errors are meant for customers. A few other codes end an attempt too, a failed 3-D
/// Secure for example; everything else (a wrong request of ours, trouble at Stripe) is no decline.
///
/// Sources: <https://docs.stripe.com/api/errors>, <https://docs.stripe.com/error-codes>
pub(crate) fn of_error(
    error: &PaymentError,
    at: OffsetDateTime,
    latest: Option<&Expandable<LatestCharge>>,
) -> Option<Refusal> {
    let is_card_error = error.kind.as_deref() == Some("card_error");
    let code = text::tidy(error.code.as_deref().unwrap_or("card_declined"), 100);
    let ends_attempt = matches!(
        code.as_str(),
        "payment_intent_authentication_failure"
            | "payment_intent_payment_attempt_failed"
            | "payment_intent_payment_attempt_expired"
            | "payment_method_customer_decline"
            | "payment_method_provider_decline"
            | "payment_method_provider_timeout"
    );
    if !is_card_error && !ends_attempt {
        return None;
    }
    let message = error.message.as_deref().filter(|message| is_card_error && !message.is_empty());
    Some(Refusal {
        key: refusal_key(error, &code, at),
        code,
        decline_code: error.decline_code.as_deref().map(|code| text::tidy(code, 100)),
        advice: error.advice_code.as_deref().map(|code| text::tidy(code, 100)),
        message: text::tidy(message.unwrap_or(ATTEMPT_FAILED), 500),
        at: charged_at(error, latest).unwrap_or(at),
    })
}

/// The failed charge names the attempt. Where there was none (3-D Secure failed), the payment method does:
/// each attempt in the browser makes a new one, and unlike the second it stays the same however often we
/// look.
fn refusal_key(error: &PaymentError, code: &str, at: OffsetDateTime) -> String {
    match (&error.charge, &error.payment_method) {
        (Some(charge), _) => text::tidy(charge, 255),
        (None, Some(method)) => text::tidy(&format!("{code}:{}", method.id()), 255),
        (None, None) => format!("{code}:{}", at.unix_timestamp()),
    }
}

fn charged_at(error: &PaymentError, latest: Option<&Expandable<LatestCharge>>) -> Option<OffsetDateTime> {
    match latest? {
        Expandable::Object(charge) if error.charge.as_ref() == Some(&charge.id) => moment(charge.created?),
        Expandable::Object(_) | Expandable::Id(_) => None,
    }
}

/// The time that Unix seconds mean, if it is one that can be stored.
pub(crate) fn moment(seconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).ok().filter(|_| seconds >= 0)
}

/// The order of ours that an object names.
fn order(metadata: &Option<Metadata>) -> Option<OrderId> {
    metadata.as_ref()?.paywright_order.as_ref()?.parse().ok()
}

pub(crate) fn payment(metadata: &Option<Metadata>) -> Option<PaymentId> {
    metadata.as_ref()?.paywright_payment.as_ref()?.parse().ok()
}

pub(crate) fn money(minor: Option<u64>, currency: Option<&str>) -> Option<Money> {
    Money::from_minor(minor?, currency?.parse().ok()?).ok()
}

pub(crate) fn intent_id(id: &str) -> Result<IntentId, Unfit> {
    IntentId::try_from(id.to_owned()).map_err(|_| Unfit("payment_intent id"))
}

fn session_id(id: &str) -> Result<SessionId, Unfit> {
    SessionId::try_from(id.to_owned()).map_err(|_| Unfit("checkout session id"))
}
