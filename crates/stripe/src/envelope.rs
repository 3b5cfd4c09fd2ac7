//! The shallow look at a received event: enough to store it, whatever it is about.

use std::fmt;

use paywright_domain::{
    Mode,
    ports::{InboxEvent, Malformed},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{json, snapshot, text, wire::Named};

/// The type of an event whose bytes could not be read, see [`unreadable`].
pub const UNREADABLE: &str = "unreadable";

/// What the outside of an event tells, as an inbox row that holds its bytes.
///
/// Works for events of every type and version, thin ones included, so that nothing new from Stripe is turned
/// away. Verify the signature first.
///
/// # Errors
/// [`Malformed`] when not even this can be read. Signed bytes must not be lost: store [`unreadable`] instead.
///
/// Sources: <https://docs.stripe.com/api/events/object>,
/// <https://docs.stripe.com/event-destinations#thin-events>
pub fn envelope(body: &[u8]) -> Result<InboxEvent, Malformed> {
    let outside: Outside = json::read(body).map_err(|error| Malformed(error.to_string()))?;
    let name = |text: String| Some(text).filter(|text| text::is_name(text));
    let lacks = |field: &str| Malformed(format!("at {field}: not usable"));
    let (object, payment) = match outside.data {
        Some(Data { object }) => (object.id, object.payment_intent.and_then(|reference| reference.0)),
        None => (outside.related_object.map(|object| object.id), None),
    };
    let object = object.and_then(name);
    Ok(InboxEvent {
        id: name(outside.id).ok_or_else(|| lacks("id"))?,
        kind: name(outside.kind).ok_or_else(|| lacks("type"))?,
        mode: Mode::from_livemode(outside.livemode),
        account: outside.account.and_then(name),
        api_version: outside.api_version.and_then(name),
        about: payment.and_then(name).or_else(|| object.clone()),
        object,
        created_at: outside.created.0,
        body: body.to_vec(),
        ignored: None,
    })
}

/// An inbox row for signed bytes that [`envelope`] could not read.
///
/// Its id is derived from the bytes, so that a repeat is known; reading it will fail, visibly, in the worker.
pub fn unreadable(body: &[u8], mode: Mode, now: OffsetDateTime) -> InboxEvent {
    InboxEvent {
        id: format!("{UNREADABLE}_{}", hex::encode(Sha256::digest(body))),
        kind: UNREADABLE.to_owned(),
        mode,
        account: None,
        api_version: None,
        object: None,
        about: None,
        created_at: now,
        body: body.to_vec(),
        ignored: None,
    }
}

#[derive(Deserialize)]
struct Outside {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: Moment,
    livemode: bool,
    account: Option<String>,
    api_version: Option<String>,
    data: Option<Data>,
    related_object: Option<Named>,
}

#[derive(Deserialize)]
struct Data {
    object: Object,
}

/// Not every object has an id: a balance, or an invoice to come, has none. Charges, refunds, disputes and hosted pages
/// name their payment, an intent is one.
#[derive(Deserialize)]
struct Object {
    id: Option<String>,
    payment_intent: Option<Reference>,
}

/// An id. What is none is nothing, and no reason to turn an event away.
struct Reference(Option<String>);

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNothing)
    }
}

struct TextOrNothing;

impl<'de> Visitor<'de> for TextOrNothing {
    type Value = Reference;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E: de::Error>(self, id: &str) -> Result<Reference, E> {
        Ok(Reference(Some(id.to_owned())))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Reference, E> {
        Ok(Reference(None))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Reference, E> {
        Ok(Reference(None))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Reference, E> {
        Ok(Reference(None))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Reference, E> {
        Ok(Reference(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Reference, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Reference(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reference, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Reference(None))
    }
}

/// Unix seconds, or RFC 3339 in thin events.
struct Moment(OffsetDateTime);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecondsOrText)
    }
}

struct SecondsOrText;

impl Visitor<'_> for SecondsOrText {
    type Value = Moment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Moment, E> {
        let moment = i64::try_from(seconds).ok().and_then(snapshot::moment);
        moment.map(Moment).ok_or_else(|| E::custom("time out of range"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|moment| moment.unix_timestamp() >= 0);
        moment.map(Moment).ok_or_else(|| E::custom("no RFC 3339 time"))
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
