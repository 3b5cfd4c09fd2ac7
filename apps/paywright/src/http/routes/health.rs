use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{present::ConfigJson, problem::Problem},
    wiring::App,
};

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
pub(super) struct Health {
    /// `ok` or `ready`.
    status: &'static str,
}

/// The process lives
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "show_health",
    tag = "operations",
    responses((status = 200, description = "It lives", body = Health)),
)]
pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok" })
}

/// The process can take requests
///
/// The database answers, can be written to, and has our schema.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "show_readiness",
    tag = "operations",
    extensions(("x-problems" = json!(["internal", "unavailable"]))),
    responses((status = 200, description = "It can", body = Health)),
)]
pub(super) async fn ready(app: web::Data<App>) -> Result<HttpResponse, Problem> {
    if app.store.is_read_only().await? {
        return Err(Problem::unavailable("the database only reads; it is a standby, or was told to"));
    }
    if app.store.pending_migrations().await? > 0 {
        return Err(Problem::unavailable("the database lacks migrations; run `paywright migrate`"));
    }
    app.store.ping_hot_path().await?;
    Ok(HttpResponse::Ok().json(Health { status: "ready" }))
}

/// What a merchant's page needs to know
///
/// Public.
#[utoipa::path(
    get,
    path = "/v1/config",
    operation_id = "show_config",
    tag = "operations",
    responses((status = 200, description = "Mode and publishable key", body = ConfigJson)),
)]
pub(super) async fn config(app: web::Data<App>) -> HttpResponse {
    let key = app.settings.credentials().publishable_key.clone();
    HttpResponse::Ok().json(ConfigJson::new(app.settings.mode, key))
}
