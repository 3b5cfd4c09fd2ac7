//! Webhook endpoints: where events go, and the secrets that sign them.
//!
//! Source: <https://docs.stripe.com/api/webhook_endpoints>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::context::Context;
use super::error::{ApiError, ApiResult};
use super::event::covers;
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::table::{Row, Table};
use super::time::Time;
use super::{API_VERSION, Preset};

/// Endpoints of one mode. Source: <https://docs.stripe.com/webhooks>.
pub const ENDPOINTS_MAX: usize = 16;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WebhookEndpoint {
    pub id: String,
    pub created: i64,
    pub url: String,
    pub enabled_events: Vec<String>,
    /// The newest first; an old one ends a while after it was rolled.
    pub secrets: Vec<Secret>,
    pub api_version: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub enabled: bool,
    pub deleted: bool,
    /// Configured when the sandbox was started.
    pub preset: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Secret {
    pub text: String,
    pub until: Option<Time>,
}

impl Row for WebhookEndpoint {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl WebhookEndpoint {
    pub fn wants(&self, kind: &str) -> bool {
        self.enabled && !self.deleted && self.enabled_events.iter().any(|filter| covers(filter, kind))
    }

    /// The secrets that sign a delivery now.
    pub fn active_secrets(&self, now: Time) -> impl Iterator<Item = &str> {
        let active = move |secret: &&Secret| secret.until.is_none_or(|until| until > now);
        self.secrets.iter().filter(active).map(|secret| secret.text.as_str())
    }

    pub fn render(&self, livemode: bool) -> Value {
        json!({
            "id": self.id,
            "object": "webhook_endpoint",
            "api_version": self.api_version,
            "application": null,
            "created": self.created,
            "description": self.description,
            "enabled_events": self.enabled_events,
            "livemode": livemode,
            "metadata": self.metadata.to_value(),
            "status": if self.enabled { "enabled" } else { "disabled" },
            "url": self.url,
        })
    }
}

pub fn create(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let alive = context.world.webhook_endpoints.iter().filter(|endpoint| !endpoint.deleted).count();
    if alive >= ENDPOINTS_MAX {
        let message = format!("You have reached the maximum of {ENDPOINTS_MAX} test webhook endpoints.");
        return Err(ApiError::refused(message).into());
    }
    let endpoint = WebhookEndpoint {
        id: context.random.id("we"),
        created: context.now.seconds(),
        url: checked_url(params, context.world.livemode)?.unwrap_or_default(),
        enabled_events: params.texts("enabled_events"),
        secrets: vec![Secret { text: format!("whsec_{}", context.random.text(32)), until: None }],
        api_version: params.owned("api_version"),
        description: params.owned("description"),
        metadata: params.metadata()?,
        enabled: true,
        deleted: false,
        preset: false,
    };
    let mut body = endpoint.render(context.world.livemode);
    // The secret is told once, in the answer to its creation.
    body["secret"] = json!(endpoint.secrets[0].text);
    context.world.webhook_endpoints.insert(endpoint);
    Ok(body)
}

pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    Ok(alive(context, ids[0])?.render(livemode))
}

pub fn update(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    let url = checked_url(params, livemode)?;
    let endpoint = alive(context, ids[0])?;
    params.merge_metadata(&mut endpoint.metadata)?;
    params.update_text("description", &mut endpoint.description);
    if let Some(url) = url {
        endpoint.url = url;
    }
    if params.has("enabled_events") {
        endpoint.enabled_events = params.texts("enabled_events");
    }
    if let Some(disabled) = params.value("disabled").and_then(Value::as_bool) {
        endpoint.enabled = !disabled;
    }
    Ok(endpoint.render(livemode))
}

pub fn delete(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    alive(context, ids[0])?.deleted = true;
    Ok(json!({"id": ids[0], "object": "webhook_endpoint", "deleted": true}))
}

pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    list::render(
        &context.world.webhook_endpoints,
        &Page::from_params(params)?,
        "/v1/webhook_endpoints",
        |endpoint| !endpoint.deleted,
        |endpoint| endpoint.render(livemode),
    )
}

/// An old secret signs along for a day at most. Source: <https://docs.stripe.com/webhooks/signatures>.
pub const ROLL_MILLIS_MAX: i64 = 24 * 3_600_000;

/// Gives an endpoint a new secret, as the Dashboard does; the old ones end at `until`.
///
/// # Errors
/// 404 for an endpoint that is not there.
pub fn roll(context: &mut Context<'_>, id: &str, until: Time) -> ApiResult<Value> {
    let text = format!("whsec_{}", context.random.text(32));
    let (now, livemode) = (context.now, context.world.livemode);
    let endpoint = alive(context, id)?;
    endpoint.secrets.retain(|secret| secret.until.is_none_or(|until| until > now));
    for secret in &mut endpoint.secrets {
        secret.until = Some(secret.until.map_or(until, |known| known.min(until)));
    }
    endpoint.secrets.insert(0, Secret { text: text.clone(), until: None });
    let mut body = endpoint.render(livemode);
    body["secret"] = json!(text);
    Ok(body)
}

fn alive<'a>(context: &'a mut Context<'_>, id: &str) -> ApiResult<&'a mut WebhookEndpoint> {
    if context.world.webhook_endpoints.get(id).is_none_or(|endpoint| endpoint.deleted) {
        return Err(context.no_such("webhook endpoint", id, "webhook_endpoint"));
    }
    Ok(context.world.webhook_endpoints.get_mut(id).expect("it was just found"))
}

/// HTTPS in live mode; in test mode the sandbox also allows plain HTTP, as `stripe listen` does.
fn checked_url(params: Params<'_>, livemode: bool) -> ApiResult<Option<String>> {
    let Some(url) = params.text("url") else { return Ok(None) };
    let allowed: &[&str] = if livemode { &["https://"] } else { &["https://", "http://"] };
    if allowed.iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())) {
        return Ok(Some(url.to_owned()));
    }
    Err(ApiError::refused("Invalid URL: An explicit scheme (such as https) must be provided.")
        .code("url_invalid")
        .param("url")
        .into())
}

/// Makes sure that an endpoint which is configured from outside exists, with that secret.
pub fn preset(endpoints: &mut Table<WebhookEndpoint>, id: String, wanted: &Preset, now: Time) {
    let secrets = vec![Secret { text: wanted.secret.clone(), until: None }];
    let same = endpoints
        .iter()
        .find(|known| known.url == wanted.url && !known.deleted)
        .map(|known| known.id.clone());
    if let Some(known) = same.and_then(|id| endpoints.get_mut(&id)) {
        known.secrets = secrets;
        known.enabled_events.clone_from(&wanted.enabled_events);
        known.enabled = true;
        known.preset = true;
        return;
    }
    endpoints.insert(WebhookEndpoint {
        id,
        created: now.seconds(),
        url: wanted.url.clone(),
        enabled_events: wanted.enabled_events.clone(),
        secrets,
        api_version: Some(API_VERSION.to_owned()),
        description: Some("Configured when the sandbox was started".to_owned()),
        metadata: Metadata::default(),
        enabled: true,
        deleted: false,
        preset: true,
    });
}
