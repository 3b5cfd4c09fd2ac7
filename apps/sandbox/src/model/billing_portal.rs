//! The customer portal: configurations, and links to it.
//!
//! Source: <https://docs.stripe.com/api/customer_portal/sessions>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::context::Context;
use super::customer;
use super::error::{ApiError, ApiResult};
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::table::Row;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Configuration {
    pub id: String,
    pub created: i64,
    pub updated: i64,
    pub active: bool,
    pub is_default: bool,
    pub name: Option<String>,
    pub default_return_url: Option<String>,
    pub business_profile: Value,
    pub features: Value,
    pub login_page: bool,
    pub metadata: Metadata,
}

impl Row for Configuration {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Configuration {
    pub fn render(&self, livemode: bool) -> Value {
        json!({
            "id": self.id,
            "object": "billing_portal.configuration",
            "active": self.active,
            "application": null,
            "business_profile": self.business_profile,
            "created": self.created,
            "default_return_url": self.default_return_url,
            "features": self.features,
            "is_default": self.is_default,
            "livemode": livemode,
            "login_page": {"enabled": self.login_page, "url": null},
            "metadata": self.metadata.to_value(),
            "name": self.name,
            "updated": self.updated,
        })
    }

    fn apply(&mut self, params: Params<'_>) -> ApiResult<()> {
        params.merge_metadata(&mut self.metadata)?;
        params.update_text("name", &mut self.name);
        params.update_text("default_return_url", &mut self.default_return_url);
        if let Some(active) = params.value("active").and_then(Value::as_bool) {
            self.active = active;
        }
        if let Some(enabled) = params.deep(&["login_page", "enabled"]).and_then(Value::as_bool) {
            self.login_page = enabled;
        }
        merge(&mut self.business_profile, params.value("business_profile"));
        merge(&mut self.features, params.value("features"));
        Ok(())
    }
}

/// Writes given members over known ones, within hashes; a cleared list is empty.
fn merge(known: &mut Value, given: Option<&Value>) {
    match (known, given) {
        (Value::Object(known), Some(Value::Object(given))) => {
            for (name, value) in given {
                merge(known.entry(name.clone()).or_insert(Value::Null), Some(value));
            }
        }
        (known @ Value::Array(_), Some(Value::Null)) => *known = json!([]),
        (known, Some(given)) => *known = given.clone(),
        (_, None) => {}
    }
}

fn default_features() -> Value {
    json!({
        "customer_update": {"allowed_updates": [], "enabled": false},
        "invoice_history": {"enabled": false},
        "payment_method_update": {"enabled": false, "payment_method_configuration": null},
        "subscription_cancel": {
            "cancellation_reason": {"enabled": false, "options": []},
            "enabled": false,
            "mode": "at_period_end",
            "proration_behavior": "none",
        },
        "subscription_update": {
            "billing_cycle_anchor": "unchanged",
            "default_allowed_updates": [],
            "enabled": false,
            "proration_behavior": "none",
            "schedule_at_period_end": {"conditions": []},
            "trial_update_behavior": "end_trial",
        },
    })
}

fn new(context: &mut Context<'_>, is_default: bool) -> Configuration {
    Configuration {
        id: context.random.id("bpc"),
        created: context.now.seconds(),
        updated: context.now.seconds(),
        active: true,
        is_default,
        name: None,
        default_return_url: None,
        business_profile: json!({"headline": null, "privacy_policy_url": null, "terms_of_service_url": null}),
        features: default_features(),
        login_page: false,
        metadata: Metadata::default(),
    }
}

/// `POST /v1/billing_portal/configurations`.
pub fn create_configuration(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let mut configuration = new(context, context.world.portal_configurations.is_empty());
    configuration.apply(params)?;
    let body = configuration.render(context.world.livemode);
    context.world.portal_configurations.insert(configuration);
    context.emit("billing_portal.configuration.created", &body);
    Ok(body)
}

/// `POST /v1/billing_portal/configurations/{id}`.
pub fn update_configuration(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let (now, livemode) = (context.now.seconds(), context.world.livemode);
    let Some(known) = context.world.portal_configurations.get(ids[0]) else {
        return Err(context.no_such("configuration", ids[0], "configuration"));
    };
    let mut configuration = known.clone();
    let before = configuration.render(livemode);
    configuration.apply(params)?;
    configuration.updated = now;
    let after = configuration.render(livemode);
    *context.world.portal_configurations.get_mut(ids[0]).expect("it was just found") = configuration;
    context.emit_updated("billing_portal.configuration.updated", &before, &after);
    Ok(after)
}

/// `GET /v1/billing_portal/configurations/{id}`.
pub fn retrieve_configuration(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.portal_configurations.get(ids[0]) {
        Some(configuration) => Ok(configuration.render(context.world.livemode)),
        None => Err(context.no_such("configuration", ids[0], "configuration")),
    }
}

/// `GET /v1/billing_portal/configurations`.
pub fn list_configurations(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    let wanted = |name: &str, value: bool| {
        params.value(name).and_then(Value::as_bool).is_none_or(|wanted| wanted == value)
    };
    list::render(
        &context.world.portal_configurations,
        &Page::from_params(params)?,
        "/v1/billing_portal/configurations",
        |one| wanted("active", one.active) && wanted("is_default", one.is_default),
        |one| one.render(livemode),
    )
}

/// `POST /v1/billing_portal/sessions`: a link for one customer.
pub fn create_session(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let Some(customer) = params.text("customer") else { return Err(ApiError::missing("customer").into()) };
    customer::alive(context, customer).map_err(|error| error.status(400))?;
    let configuration = match params.text("configuration") {
        Some(id) if context.world.portal_configurations.contains(id) => id.to_owned(),
        Some(id) => return Err(context.no_such("configuration", id, "configuration")),
        None => default_configuration(context),
    };
    let configured = context.world.portal_configurations.get(&configuration);
    let back =
        params.owned("return_url").or_else(|| configured.and_then(|one| one.default_return_url.clone()));
    let id = context.random.id("bps");
    let body = json!({
        "id": id,
        "object": "billing_portal.session",
        "configuration": configuration,
        "created": context.now.seconds(),
        "customer": customer,
        "customer_account": null,
        "flow": null,
        "livemode": context.world.livemode,
        "locale": params.text("locale"),
        "on_behalf_of": null,
        "return_url": back,
        "url": format!("{}/dashboard/object/{customer}", context.world.public_url),
    });
    context.emit("billing_portal.session.created", &body);
    Ok(body)
}

fn default_configuration(context: &mut Context<'_>) -> String {
    let known = context.world.portal_configurations.iter().find(|one| one.is_default);
    if let Some(known) = known {
        return known.id.clone();
    }
    let configuration = new(context, true);
    let id = configuration.id.clone();
    context.world.portal_configurations.insert(configuration);
    id
}
