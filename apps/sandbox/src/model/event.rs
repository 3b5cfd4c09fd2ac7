//! Events: what happened, with a snapshot of the object as it was then.
//!
//! Source: <https://docs.stripe.com/api/events>.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::API_VERSION;
use super::context::Context;
use super::error::ApiResult;
use super::list::{self, Page};
use super::params::Params;
use super::table::Row;
use super::time::DAY;

/// Events can be listed for thirty days. Source: <https://docs.stripe.com/api/events>.
pub const KEPT_SECONDS: i64 = 30 * DAY;
/// Most events kept in one world, so that memory stays bounded under load.
pub const KEPT_MAX: usize = 100_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    pub id: String,
    pub created: i64,
    #[serde(rename = "type")]
    pub kind: String,
    pub livemode: bool,
    /// `data.object`, as JSON text: it never changes again.
    snapshot: String,
    previous: Option<String>,
    pub request_id: Option<String>,
    pub idempotency_key: Option<String>,
    /// How many endpoints it was addressed to.
    pub addressed: usize,
    /// The endpoints that have not taken it, also those that were given up.
    #[serde(default)]
    pub undelivered: Vec<String>,
}

impl Row for Event {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Event {
    /// The bytes of a webhook: the same at each attempt.
    pub fn body(&self, pending_webhooks: usize, api_version: &str) -> String {
        let text = |value: &str| Value::from(value).to_string();
        let optional = |value: &Option<String>| value.as_deref().map_or("null".to_owned(), text);
        let previous =
            self.previous.as_ref().map(|diff| format!(",\"previous_attributes\":{diff}")).unwrap_or_default();
        format!(
            "{{\"id\":{},\"object\":\"event\",\"api_version\":{},\"created\":{},\"data\":{{\"object\":{}{previous}}},\
             \"livemode\":{},\"pending_webhooks\":{pending_webhooks},\
             \"request\":{{\"id\":{},\"idempotency_key\":{}}},\"type\":{}}}",
            text(&self.id),
            text(api_version),
            self.created,
            self.snapshot,
            self.livemode,
            optional(&self.request_id),
            optional(&self.idempotency_key),
            text(&self.kind),
        )
    }

    pub fn render(&self) -> Value {
        serde_json::from_str(&self.body(self.undelivered.len(), API_VERSION))
            .expect("an event's body is written as JSON")
    }

    /// `delivery_success` as a filter means it; an event that no endpoint wanted is neither.
    /// Source: <https://docs.stripe.com/webhooks/process-undelivered-events>.
    fn is_delivered(&self) -> Option<bool> {
        (self.addressed > 0).then_some(self.undelivered.is_empty())
    }

    /// The id of the object that the event is about.
    pub fn object_id(&self) -> Option<String> {
        let snapshot: Value = serde_json::from_str(&self.snapshot).ok()?;
        snapshot["id"].as_str().map(str::to_owned)
    }
}

/// Whether a filter (`charge.succeeded`, `charge.*`, `*`) covers a type.
pub fn covers(filter: &str, kind: &str) -> bool {
    match filter.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => filter == kind,
    }
}

impl Context<'_> {
    /// Records that something happened to `object`, and addresses it to the endpoints that want it.
    pub fn emit(&mut self, kind: &str, object: &Value) {
        self.emit_with(kind, object, None);
    }

    /// Records an update: what changed, with the values before.
    pub fn emit_updated(&mut self, kind: &str, before: &Value, after: &Value) {
        let previous = difference(before, after);
        self.emit_with(kind, after, Some(&previous));
    }

    fn emit_with(&mut self, kind: &str, object: &Value, previous: Option<&Value>) {
        let mut event = Event {
            id: self.random.id("evt"),
            created: self.now.seconds(),
            kind: kind.to_owned(),
            livemode: self.world.livemode,
            snapshot: object.to_string(),
            previous: previous.map(Value::to_string),
            request_id: self.request_id.clone(),
            idempotency_key: self.idempotency_key.clone(),
            addressed: 0,
            undelivered: Vec::new(),
        };
        event.undelivered = self.world.deliveries.address(&event, &self.world.webhook_endpoints, self.now);
        event.addressed = event.undelivered.len();
        self.events.push(event.id.clone());
        self.world.events.insert(event);
        self.world.forget_old_events(self.now);
    }
}

/// The fields of `before` whose values differ in `after`; hashes are compared within.
fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return before.clone() };
    let mut previous = Map::new();
    for (name, now) in after {
        match before.get(name) {
            Some(then) if then == now => {}
            Some(then @ Value::Object(_)) if now.is_object() => {
                previous.insert(name.clone(), difference(then, now));
            }
            Some(then) => {
                previous.insert(name.clone(), then.clone());
            }
            None => {
                previous.insert(name.clone(), Value::Null);
            }
        }
    }
    for (name, then) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
        previous.insert(name.clone(), then.clone());
    }
    Value::Object(previous)
}

pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.events.get(ids[0]) {
        Some(event) => Ok(event.render()),
        None => Err(context.no_such("event", ids[0], "id")),
    }
}

pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let mut filters = params.texts("types");
    if filters.len() > 20 {
        return Err(super::error::ApiError::invalid("You may pass at most 20 types.").param("types").into());
    }
    filters.extend(params.owned("type"));
    let success = params.value("delivery_success").and_then(Value::as_bool);
    let kept_from = context.now.seconds() - KEPT_SECONDS;
    let page = Page::from_params(params)?;
    list::render(
        &context.world.events,
        &page,
        "/v1/events",
        |event| {
            event.created > kept_from
                && (filters.is_empty() || filters.iter().any(|filter| covers(filter, &event.kind)))
                && success.is_none_or(|success| event.is_delivered() == Some(success))
        },
        Event::render,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn previous_attributes_hold_only_what_changed() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "gone": 1});
        let after = json!({"a": 1, "b": {"c": 1, "d": 3}, "e": [2], "new": 1});
        assert_eq!(difference(&before, &after), json!({"b": {"d": 2}, "e": [1], "new": null, "gone": 1}));
    }

    #[test]
    fn a_star_covers_what_begins_alike() {
        assert!(covers("*", "charge.succeeded") && covers("charge.*", "charge.succeeded"));
        assert!(!covers("charge.*", "payment_intent.created") && !covers("charge", "charge.succeeded"));
    }
}
