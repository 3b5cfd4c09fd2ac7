use actix_web::{HttpResponse, web};

use crate::{
    http::{present::ConfigJson, problem::Problem},
    wiring::App,
};

/// The process lives.
pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "ok" }))
}

/// The process can take requests: the database answers and has our schema.
pub(super) async fn ready(app: web::Data<App>) -> Result<HttpResponse, Problem> {
    app.store.ping().await?;
    if app.store.pending_migrations().await? > 0 {
        return Err(Problem::unavailable("the database lacks migrations; run `paywright migrate`"));
    }
    Ok(HttpResponse::Ok().json(serde_json::json!({ "status": "ready" })))
}

/// What a merchant's page needs to know; public.
pub(super) async fn config(app: web::Data<App>) -> HttpResponse {
    let key = app.settings.credentials().publishable_key.clone();
    HttpResponse::Ok().json(ConfigJson::new(app.settings.mode, key))
}
