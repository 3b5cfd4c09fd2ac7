//! The API's description in OpenAPI 3.1, generated from the routes and their types, and the pages that show it.

mod complete;
mod docs;
pub(super) mod words;

use std::sync::OnceLock;

use actix_web::{HttpResponse, http::header};
use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        LicenseBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

pub(super) use docs::{file, index};

use super::{auth::SCOPES, routes::Routes};

/// How the security scheme is named.
const SCHEME: &str = "api_key";

const INTRODUCTION: &str = "\
Orders, and payment for them through Stripe: never lost, never charged twice.

- Amounts are integers in minor units *as Stripe counts them*, in the object's `currency`.
- Times are RFC 3339 in UTC.
- Unknown request fields are refused.
- Errors are `application/problem+json` (RFC 9457) with a stable `code`; texts may change.
- Every POST takes an `Idempotency-Key`: the same request gives the same answer (`Idempotent-Replayed: true`).
- Lists take `limit` and `starting_after` and say `has_more`.
- States, event names and codes may grow: treat an unknown one as such, not as an error.
- Every answer has an `X-Request-Id`; name it when you ask us.";

const KEYS: &str = "\
An API key, `pw_test_...` or `pw_live_...`, as `Authorization: Bearer`. Make one by `paywright keys create`.

A key may do what its scopes say; the scope that a route needs is in the route's security requirement:
";

/// The description, as JSON.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut generated = Routes::openapi();
        Envelope.modify(&mut generated);
        let mut document = serde_json::to_value(generated).expect("a description is plain data");
        complete::complete(&mut document);
        document
    })
}

fn scopes() -> String {
    let line = |(scope, meaning): (&str, &str)| format!("\n- `{scope}`: {meaning}");
    SCOPES.into_iter().map(line).fold(KEYS.to_owned(), |text, line| text + &line)
}

/// `GET /openapi.json`.
pub(super) async fn json() -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-cache")).json(document())
}

/// What is said of the API as a whole.
struct Envelope;

impl Modify for Envelope {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let info = &mut document.info;
        "Paywright".clone_into(&mut info.title);
        env!("CARGO_PKG_VERSION").clone_into(&mut info.version);
        info.description = Some(INTRODUCTION.to_owned());
        info.contact = None;
        info.license = Some(
            LicenseBuilder::new()
                .name(env!("CARGO_PKG_LICENSE"))
                .identifier(Some(env!("CARGO_PKG_LICENSE")))
                .build(),
        );
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("pw_{mode}_...")
            .description(Some(scopes()))
            .build();
        document.components.get_or_insert_default().add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    }
}
