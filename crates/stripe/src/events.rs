//! Stripe's own list of events: the way to catch up after webhooks were lost.

use paywright_domain::ports::GatewayError;
use serde::Serialize;
use time::OffsetDateTime;
use tracing::field::Empty;

use crate::{
    answers::present,
    classify::{Doubt, Said, classify, rejected},
    form::{self, Created},
    gateway::Stripe,
    json,
    request::Request,
    wire::{List, Named},
};

/// Which events.
///
/// Stripe keeps them for 30 days and gives the newest first.
/// Source: <https://docs.stripe.com/api/events/list>
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventsQuery {
    /// Made at or after this second.
    pub created_gte: Option<OffsetDateTime>,
    /// Made before this second.
    pub created_lt: Option<OffsetDateTime>,
    /// Of these types; at most 20. Empty: of every type.
    pub types: Vec<String>,
    /// Those older than this event.
    pub starting_after: Option<String>,
    /// At most so many, 1 to 100; 10 when not said.
    pub limit: Option<u8>,
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsPage {
    /// The events, each as the bytes came; [`envelope`](crate::envelope) reads them.
    pub events: Vec<Vec<u8>>,
    /// The id of the last event, to go on with.
    pub last: Option<String>,
    /// Whether older ones follow.
    pub has_more: bool,
}

impl Stripe {
    /// One page of events.
    ///
    /// # Errors
    /// As for every read: nothing happened.
    #[tracing::instrument(name = "gateway.events", skip_all, fields(gateway.request = Empty, status = Empty))]
    pub async fn events(&self, query: &EventsQuery) -> Result<EventsPage, GatewayError> {
        let path = format!("/v1/events?{}", form::write(&Parameters::of(query)));
        let reply = self.exchange(&Request::Get { path }).await?;
        let list = match classify::<List>(&reply)? {
            Said::Done(list) => list,
            Said::Declined(error) => return Err(rejected(&reply, &error)),
        };
        if list.object != "list" {
            let got = crate::text::tidy(&list.object, 100);
            return Err(Doubt::WrongObject { asked: "a list".to_owned(), got }.into());
        }
        let events: Vec<_> = list.data.iter().map(|event| event.get().as_bytes().to_vec()).collect();
        let last = events.last().map(|event| json::read::<Named>(event)).transpose();
        let last = last.map_err(|source| Doubt::Unreadable { status: reply.status, source })?;
        Ok(EventsPage { events, last: last.map(|event| event.id), has_more: list.has_more })
    }

    /// One event as the bytes came; `None` when Stripe has none of this id, or no longer.
    ///
    /// # Errors
    /// As for every read: nothing happened.
    #[tracing::instrument(name = "gateway.event", skip_all, fields(gateway.request = Empty, status = Empty))]
    pub async fn event(&self, id: &str) -> Result<Option<Vec<u8>>, GatewayError> {
        if !id.starts_with("evt_") || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Ok(None);
        }
        let reply = self.exchange(&Request::get("/v1/events", id, "")).await?;
        let outcome = match classify::<Named>(&reply) {
            Ok(Said::Done(event)) if event.id == id => Ok(reply.body),
            Ok(Said::Done(event)) => {
                let got = crate::text::tidy(&event.id, 300);
                Err(Doubt::WrongObject { asked: id.to_owned(), got }.into())
            }
            Ok(Said::Declined(error)) => Err(rejected(&reply, &error)),
            Err(error) => Err(error),
        };
        present(outcome)
    }
}

/// The query string's fields.
#[derive(Serialize)]
struct Parameters<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Created>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    types: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    starting_after: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u8>,
}

impl<'a> Parameters<'a> {
    fn of(query: &'a EventsQuery) -> Self {
        Self {
            created: Created::between(query.created_gte, query.created_lt),
            types: &query.types,
            starting_after: query.starting_after.as_deref(),
            limit: query.limit,
        }
    }
}
