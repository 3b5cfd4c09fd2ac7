//! Who calls: bearer keys, stored hashed, with scopes.

use actix_web::{HttpRequest, http::StatusCode, http::header};
use paywright_domain::{Actor, ApiKeyId};
use paywright_postgres::ApiKey;

use super::problem::Problem;
use crate::wiring::App;

/// Every scope that a key may have, and what it is for.
pub const SCOPES: [(&str, &str); 18] = [
    ("products:read", "see the catalogue"),
    ("products:write", "change the catalogue"),
    ("orders:read", "see orders, payments and timelines"),
    ("orders:write", "place, pay, cancel and fulfil orders"),
    ("payments:write", "take or release reserved money, and ask Stripe how a payment stands"),
    ("refunds:read", "see refunds"),
    ("refunds:write", "give money back"),
    ("disputes:read", "see disputes"),
    ("disputes:write", "answer disputes, and give them up"),
    ("breaks:read", "see what no rule explains"),
    ("breaks:write", "say why it is explained after all"),
    ("reports:read", "see where the money went"),
    ("inbox:read", "see what Stripe told, and the jobs"),
    ("inbox:write", "read events once more, and try jobs again"),
    ("inbox:bodies", "see events to the letter, with what they tell of customers"),
    ("reconciliation:read", "see what comparing with Stripe came to"),
    ("reconciliation:write", "compare with Stripe now"),
    (EVERYTHING, "everything"),
];

/// The scope that holds all others.
pub const EVERYTHING: &str = "*";

/// An authenticated client.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Which key.
    pub key: ApiKeyId,
    granted: ApiKey,
}

impl Caller {
    /// As the audit trail names it.
    pub fn actor(&self) -> Actor {
        Actor::ApiKey(self.key)
    }

    /// Whether its key may also do what `scope` names.
    pub fn may(&self, scope: &str) -> bool {
        self.granted.may(scope)
    }
}

/// Authenticates a request and checks that its key may do `scope`.
///
/// # Errors
/// 401 without a key that is known, of this mode and not revoked, 429 where too many of those came from; 403 when the key
/// lacks the scope; 503 when the database is away (no grant is remembered).
pub async fn caller(app: &App, request: &HttpRequest, scope: &str) -> Result<Caller, Problem> {
    let header = request
        .headers()
        .get(header::AUTHORIZATION)
        .ok_or_else(|| unauthorized("send your API key as \"Authorization: Bearer pw_test_...\""))?;
    let secret = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim())
        .ok_or_else(|| unauthorized("the Authorization header must be \"Bearer\" and a key"))?;
    let prefix = format!("pw_{}_", app.settings.mode);
    if !secret.starts_with(&prefix) {
        app.gate.bad_key(request).await?;
        return Err(unauthorized(&format!("this server takes {} keys ({prefix}...)", app.settings.mode)));
    }
    let key = app.api_keys.find(secret).await?.filter(|key| key.mode == app.settings.mode);
    let Some(key) = key else {
        app.gate.bad_key(request).await?;
        return Err(unauthorized("unknown or revoked API key"));
    };
    if !key.may(scope) {
        let problem = Problem::new(StatusCode::FORBIDDEN, "missing_scope", "The key may not do this");
        return Err(problem.detail(format!("this needs the scope {scope}")));
    }
    Ok(Caller { key: key.id, granted: key })
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Who are you?").detail(detail)
}
