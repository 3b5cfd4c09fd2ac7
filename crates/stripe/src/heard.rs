//! What a received event tells.

use paywright_domain::{
    Mode, Origin,
    ports::{Heard, Malformed, Snapshot},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    client::API_VERSION,
    snapshot::{self, Kind, Unfit, Word},
    text,
    wire::{self, Bare, Unreadable},
};

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
    let name = wire::read::<Tag>(object).ok().and_then(|tag| tag.object);
    let Some(subject) = subject(&event.kind, name.as_deref()) else {
        return Ok(Heard::Nothing(kind));
    };
    let at = snapshot::moment(event.created).ok_or(Malformed("at created: no time".to_owned()))?;
    let word = Word { at, origin: Origin { event: Some(text::tidy(&event.id, 255)), request: None } };
    let snapshot = if shaped_as_ours(event.api_version.as_deref()) {
        of_object(subject, object, word)?
    } else {
        let mode = Mode::from_livemode(event.livemode);
        snapshot::of_bare(subject, &read::<Bare>(object)?, mode, word).map_err(unfit)?
    };
    Ok(snapshot.map_or(Heard::Nothing(kind), |snapshot| Heard::Payment(Box::new(snapshot))))
}

/// Which of our objects an event is about. The type alone does not tell: `charge.dispute.created` is about a
/// dispute, `charge.refund.updated` about a refund.
///
/// Source: <https://docs.stripe.com/api/events/types>
fn subject(kind: &str, object: Option<&str>) -> Option<Kind> {
    match object? {
        "payment_intent" if kind.starts_with("payment_intent.") => Some(Kind::Intent),
        "checkout.session" if kind.starts_with("checkout.session.") => Some(Kind::Session),
        "charge" if kind.starts_with("charge.") => Some(Kind::Charge),
        _ => None,
    }
}

/// Versions of one release name only add. An endpoint, and so its events, may be of another version than our
/// requests.
///
/// Source: <https://docs.stripe.com/api/versioning>
fn shaped_as_ours(version: Option<&str>) -> bool {
    let release = |version: &str| version.split_once('.').map(|(_, name)| name.to_owned());
    version.and_then(release).is_some_and(|name| Some(name) == release(API_VERSION))
}

fn of_object(subject: Kind, object: &[u8], word: Word) -> Result<Option<Snapshot>, Malformed> {
    match subject {
        Kind::Intent => snapshot::of_intent(&read(object)?, word).map(Some).map_err(unfit),
        Kind::Session => {
            let session: wire::Session = read(object)?;
            if session.mode != "payment" {
                return Ok(None);
            }
            snapshot::of_session(&session, word).map(Some).map_err(unfit)
        }
        Kind::Charge => snapshot::of_charge(&read(object)?, word).map_err(unfit),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    wire::read(body).map_err(|error: Unreadable| Malformed(error.to_string()))
}

fn unfit(Unfit(field): Unfit) -> Malformed {
    Malformed(format!("the object has no usable {field}"))
}

#[cfg(test)]
#[path = "heard_tests.rs"]
mod tests;
