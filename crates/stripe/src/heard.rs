//! What a received event tells.

use paywright_domain::{
    Mode, Origin,
    ports::{Fact, Heard, Malformed, Snapshot},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    client::API_VERSION,
    dispute,
    json::{self, Unreadable},
    refund,
    snapshot::{self, Kind, Unfit, Word},
    text,
    wire::{self, Bare},
};

/// The types of events that tell us something, all of which an endpoint must send.
///
/// Left out of those that are understood: `charge.refund.updated`, which `refund.updated` replaces.
///
/// Source: <https://docs.stripe.com/api/events/types>
pub const EVENTS_NEEDED: [&str; 24] = [
    "charge.captured",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.refunded",
    "charge.succeeded",
    "charge.updated",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.partially_funded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "refund.created",
    "refund.failed",
    "refund.updated",
];

/// An event with its object still unread. Source: <https://docs.stripe.com/api/events/object>
#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: i64,
    livemode: bool,
    api_version: Option<String>,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Box<RawValue>,
}

/// What an object is, and what sorts of events there are.
#[derive(Deserialize)]
struct Tag {
    object: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// Reads an event. What needs nothing of us is named, so that one can see that it was understood.
pub(crate) fn understand(body: &[u8]) -> Result<Heard, Malformed> {
    let tag: Tag = read(body)?;
    let kind = text::tidy(tag.kind.as_deref().unwrap_or("of no type"), 100);
    match tag.object.as_deref() {
        Some("event") => {}
        // A thin event holds no object. Source: <https://docs.stripe.com/event-destinations#thin-events>
        Some("v2.core.event") => return Ok(Heard::Nothing(format!("a thin event, {kind}"))),
        _ => return Err(Malformed("at object: not an event".to_owned())),
    }
    let event: Event = read(body)?;
    let object = event.data.object.get().as_bytes();
    let name = json::read::<Tag>(object).ok().and_then(|tag| tag.object);
    let Some(subject) = subject(&event.kind, name.as_deref()) else {
        return Ok(Heard::Nothing(kind));
    };
    let at = snapshot::moment(event.created).ok_or(Malformed("at created: no time".to_owned()))?;
    let word = Word { at, origin: Origin { event: Some(text::tidy(&event.id, 255)), request: None } };
    let mode = Mode::from_livemode(event.livemode);
    let fact = match subject {
        Subject::Payment(kind) if shaped_as_ours(event.api_version.as_deref()) => {
            of_payment(kind, object, word)?
        }
        Subject::Payment(kind) => {
            snapshot::of_bare(kind, &read::<Bare>(object)?, mode, word).map_err(unfit)?.map(payment)
        }
        // What is read of these two has had the same shape in all versions. A dispute is looked at anyhow; a refund is
        // not, and only its status tells that it came back.
        Subject::Refund => {
            let told = refund::of_refund(&read(object)?, Some(mode), word.origin).map_err(unfit)?;
            Some(Fact::Refund(Box::new(told)))
        }
        Subject::Dispute => {
            let told = dispute::of_dispute(&read(object)?, word).map_err(unfit)?;
            Some(Fact::Dispute(Box::new(told)))
        }
    };
    Ok(fact.map_or(Heard::Nothing(kind), Heard::Fact))
}

/// What an event is about.
enum Subject {
    Payment(Kind),
    Refund,
    Dispute,
}

/// Which of our objects an event is about. The type alone does not tell: `charge.dispute.created` is about a
/// dispute, `charge.refund.updated` about a refund. That a hold ran out is told by its PaymentIntent, whose charge
/// still looks like one that can be captured.
///
/// Source: <https://docs.stripe.com/api/events/types>
fn subject(kind: &str, object: Option<&str>) -> Option<Subject> {
    match object? {
        "payment_intent" if kind.starts_with("payment_intent.") => Some(Subject::Payment(Kind::Intent)),
        "checkout.session" if kind.starts_with("checkout.session.") => Some(Subject::Payment(Kind::Session)),
        "charge" if kind == "charge.expired" => None,
        "charge" if kind.starts_with("charge.") => Some(Subject::Payment(Kind::Charge)),
        "refund" if kind.starts_with("refund.") || kind.starts_with("charge.refund.") => {
            Some(Subject::Refund)
        }
        "dispute" if kind.starts_with("charge.dispute.") => Some(Subject::Dispute),
        _ => None,
    }
}

/// Versions of one release name only add. An endpoint, and so its events, may be of another version than our
/// requests.
///
/// Source: <https://docs.stripe.com/api/versioning>
pub(crate) fn shaped_as_ours(version: Option<&str>) -> bool {
    let release = |version: &str| version.split_once('.').map(|(_, name)| name.to_owned());
    version.and_then(release).is_some_and(|name| Some(name) == release(API_VERSION))
}

fn of_payment(kind: Kind, object: &[u8], word: Word) -> Result<Option<Fact>, Malformed> {
    let snapshot = match kind {
        Kind::Intent => snapshot::of_intent(&read(object)?, word).map(Some),
        Kind::Session => {
            let session: wire::Session = read(object)?;
            if session.mode != "payment" {
                return Ok(None);
            }
            snapshot::of_session(&session, word).map(Some)
        }
        Kind::Charge => snapshot::of_charge(&read(object)?, word),
    };
    Ok(snapshot.map_err(unfit)?.map(payment))
}

fn payment(snapshot: Snapshot) -> Fact {
    Fact::Payment(Box::new(snapshot))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    json::read(body).map_err(|error: Unreadable| Malformed(error.to_string()))
}

fn unfit(Unfit(field): Unfit) -> Malformed {
    Malformed(format!("the object has no usable {field}"))
}

#[cfg(test)]
#[path = "heard_tests.rs"]
mod tests;
