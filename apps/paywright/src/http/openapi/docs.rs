use std::sync::{Arc, OnceLock};

use actix_web::{HttpResponse, http::header, web};
use utoipa_swagger_ui::Config;

use crate::http::problem::Problem;

/// Scripts and styles are files of ours; the hash is of the style inside Swagger UI's logo, which another release
/// may change. Icons are drawn from `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; \
                      style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /docs`: where the page is.
pub(in crate::http) async fn index() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

/// `GET /docs/{file}`: Swagger UI, compiled in.
///
/// # Errors
/// 404.
pub(in crate::http) async fn file(path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = utoipa_swagger_ui::serve(&path, Arc::clone(config()));
    let found =
        found.map_err(|error| Problem::bug(error.as_ref()))?.ok_or_else(|| Problem::not_found("page"))?;
    Ok(HttpResponse::Ok()
        .content_type(found.content_type)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .body(found.bytes.into_owned()))
}

fn config() -> &'static Arc<Config<'static>> {
    static CONFIG: OnceLock<Arc<Config<'static>>> = OnceLock::new();
    CONFIG.get_or_init(|| {
        Arc::new(
            Config::from("/openapi.json")
                // Nothing is sent to a validator elsewhere.
                .validator_url("none")
                .display_operation_id(true)
                .default_models_expand_depth(0),
        )
    })
}
