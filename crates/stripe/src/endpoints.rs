//! Where Stripe sends webhooks: looked at, made and mended.
//!
//! A secret is told once, when its endpoint is made, and the API has no call that gives an endpoint another one. To roll
//! it, a second endpoint with the same address is made; once its secret is accepted here beside the old one, the old
//! endpoint is deleted. Meanwhile each event comes twice, which is known as a repeat by its id.
//!
//! Source: <https://docs.stripe.com/api/webhook_endpoints>

use std::collections::BTreeMap;

use paywright_domain::{Mode, ports::GatewayError};
use secrecy::SecretString;
use serde::Serialize;
use time::OffsetDateTime;
use tracing::field::Empty;

use crate::{
    answers::{done, present, unfit},
    classify::Doubt,
    client::API_VERSION,
    form::{self, ListQuery},
    gateway::Stripe,
    request::Request,
    snapshot::{Unfit, moment},
    text,
    wire::{self, Named},
};

const COLLECTION: &str = "/v1/webhook_endpoints";
const OBJECT: &str = "webhook_endpoint";
/// Marks an endpoint as made by us.
const MARK: &str = "paywright_endpoint";
/// Shown in Stripe's dashboard.
const DESCRIPTION: &str = "Made by Paywright";

/// An address that Stripe sends events to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Stripe's name for it.
    pub id: String,
    /// The address.
    pub url: String,
    /// Whether anything is sent there.
    pub enabled: bool,
    /// The types of events that are sent there; `*` for all.
    pub events: Vec<String>,
    /// The version by which events are written; `None`: the account's default, which may change.
    pub api_version: Option<String>,
    /// Test or live.
    pub mode: Mode,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Whether it was made by us.
    pub ours: bool,
}

/// What is to be changed of an endpoint. Its version cannot be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointChange {
    /// To this address.
    pub url: Option<String>,
    /// To these types of events, and no others.
    pub events: Option<Vec<String>>,
    /// Whether anything is sent there.
    pub enabled: Option<bool>,
}

impl Stripe {
    /// All endpoints of our account and mode, newest first.
    ///
    /// # Errors
    /// As for every read: nothing happened.
    #[tracing::instrument(name = "gateway.endpoints", skip_all, fields(gateway.request = Empty, status = Empty))]
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>, GatewayError> {
        let query = ListQuery { limit: 100, ..ListQuery::default() };
        let listed = self.list(COLLECTION, query, &|_| true).await?;
        listed.iter().map(|listed| of_endpoint(&listed.read()?)).collect()
    }

    /// Makes an endpoint whose events are written in [`API_VERSION`], whatever the account's default is. Its secret is
    /// told here and never again.
    ///
    /// Repeating with the same `key` makes no second one, and tells the secret again, for a day.
    ///
    /// # Errors
    /// [`GatewayError::Rejected`] for an address that Stripe does not take, and where there are too many endpoints.
    /// After [`GatewayError::Unknown`] there may be one: repeat with the same key.
    #[tracing::instrument(name = "gateway.create_endpoint", skip_all, fields(gateway.request = Empty, status = Empty))]
    pub async fn create_endpoint(
        &self,
        url: &str,
        events: &[&str],
        key: &str,
    ) -> Result<(Endpoint, SecretString), GatewayError> {
        let metadata = BTreeMap::from([(MARK, "true")]);
        let fields = Create {
            url,
            enabled_events: events,
            api_version: API_VERSION,
            description: DESCRIPTION,
            metadata,
        };
        let (path, form, key) = (COLLECTION.to_owned(), form::write(&fields), key.to_owned());
        let reply = self.exchange(&Request::Post { path, form, key }).await?;
        let mut made: wire::WebhookEndpoint = done(&reply)?;
        let secret = made.secret.take().ok_or(Doubt::Unfit { object: OBJECT, field: "secret" })?;
        Ok((of_endpoint(&made)?, secret.0))
    }

    /// Changes an endpoint; `None` when there is none of this name.
    ///
    /// `key` is one of this wish alone: under a used one Stripe would repeat its old answer and change nothing.
    ///
    /// # Errors
    /// As for every write that may be repeated with the same key.
    #[tracing::instrument(
        name = "gateway.update_endpoint",
        skip_all,
        fields(endpoint = id, gateway.request = Empty, status = Empty)
    )]
    pub async fn update_endpoint(
        &self,
        id: &str,
        change: &EndpointChange,
        key: &str,
    ) -> Result<Option<Endpoint>, GatewayError> {
        if !is_id(id) {
            return Ok(None);
        }
        let fields = Update {
            url: change.url.as_deref(),
            enabled_events: change.events.as_deref(),
            disabled: change.enabled.map(|enabled| !enabled),
        };
        let (path, form) = (format!("{COLLECTION}/{id}"), form::write(&fields));
        let reply = self.exchange(&Request::Post { path, form, key: key.to_owned() }).await?;
        present(done(&reply).and_then(|changed| {
            let changed = of_endpoint(&changed)?;
            check(id, &changed.id)?;
            Ok(changed)
        }))
    }

    /// Deletes an endpoint: nothing is sent there any more, also not again. Answers whether there was one.
    ///
    /// # Errors
    /// As for every write that may be repeated.
    #[tracing::instrument(
        name = "gateway.delete_endpoint",
        skip_all,
        fields(endpoint = id, gateway.request = Empty, status = Empty)
    )]
    pub async fn delete_endpoint(&self, id: &str) -> Result<bool, GatewayError> {
        if !is_id(id) {
            return Ok(false);
        }
        let reply = self.exchange(&Request::Delete { path: format!("{COLLECTION}/{id}") }).await?;
        let deleted = done::<Named>(&reply).and_then(|deleted| Ok(check(id, &deleted.id)?));
        Ok(present(deleted)?.is_some())
    }
}

fn of_endpoint(endpoint: &wire::WebhookEndpoint) -> Result<Endpoint, GatewayError> {
    if endpoint.object != OBJECT {
        let got = text::tidy(&endpoint.object, 100);
        return Err(Doubt::WrongObject { asked: format!("a {OBJECT}"), got }.into());
    }
    let name = Some(&endpoint.id).filter(|id| is_id(id));
    Ok(Endpoint {
        id: name.ok_or(Unfit("id")).map_err(unfit(OBJECT))?.clone(),
        url: text::tidy(&endpoint.url, 2000),
        enabled: endpoint.status == "enabled",
        events: endpoint.enabled_events.iter().map(|kind| text::tidy(kind, 100)).collect(),
        api_version: endpoint.api_version.as_deref().map(|version| text::tidy(version, 100)),
        mode: Mode::from_livemode(endpoint.livemode),
        created_at: moment(endpoint.created).ok_or(Unfit("created")).map_err(unfit(OBJECT))?,
        ours: endpoint.metadata.as_ref().is_some_and(|metadata| metadata.paywright_endpoint.is_some()),
    })
}

fn check(asked: &str, got: &str) -> Result<(), Doubt> {
    if got == asked {
        return Ok(());
    }
    Err(Doubt::WrongObject { asked: asked.to_owned(), got: text::tidy(got, 300) })
}

/// Whether this can be a name of Stripe's, to be put into a path.
fn is_id(id: &str) -> bool {
    text::is_name(id) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The parameters of `POST /v1/webhook_endpoints`.
///
/// Source: <https://docs.stripe.com/api/webhook_endpoints/create>
#[derive(Serialize)]
struct Create<'a> {
    url: &'a str,
    enabled_events: &'a [&'a str],
    api_version: &'static str,
    description: &'static str,
    metadata: BTreeMap<&'static str, &'static str>,
}

/// The parameters of `POST /v1/webhook_endpoints/{webhook_endpoint}`. What is not said stays as it is.
///
/// Source: <https://docs.stripe.com/api/webhook_endpoints/update>
#[derive(Serialize)]
struct Update<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled_events: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<bool>,
}
