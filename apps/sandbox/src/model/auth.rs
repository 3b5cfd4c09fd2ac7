//! API keys: any well-formed one is accepted, and its prefix picks the world.
//!
//! Source: <https://docs.stripe.com/api/authentication>, <https://docs.stripe.com/keys>.

use super::Mode;
use super::account;
use super::error::{ApiError, ApiResult};
use super::request::Request;

const NO_KEY: &str = "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we can help at https://support.stripe.com/.";

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub mode: Mode,
    /// A publishable key reads and confirms single intents with their client secret, and nothing else.
    pub publishable: bool,
}

/// The world that a request is for.
///
/// # Errors
/// 401 without a well-formed key; 403 for another account.
pub fn caller(request: &Request) -> ApiResult<Caller> {
    let key = request.api_key.as_deref().map(str::trim).unwrap_or_default();
    if key.is_empty() {
        return Err(ApiError::unauthorized(NO_KEY).into());
    }
    let Some(caller) = parse(key) else {
        return Err(ApiError::unauthorized(format!("Invalid API Key provided: {}", mask(key))).into());
    };
    match &request.stripe_account {
        Some(account) if account != account::ID => {
            let message = format!(
                "The provided key '{}' does not have access to account '{}' (or that account does not exist). Application access may have been revoked.",
                mask(key),
                super::form::shorten(account)
            );
            Err(ApiError::forbidden(message).code("account_invalid").into())
        }
        _ => Ok(caller),
    }
}

fn parse(key: &str) -> Option<Caller> {
    let kinds = [
        ("sk_test_", Mode::Test, false),
        ("rk_test_", Mode::Test, false),
        ("pk_test_", Mode::Test, true),
        ("sk_live_", Mode::Live, false),
        ("rk_live_", Mode::Live, false),
        ("pk_live_", Mode::Live, true),
    ];
    kinds.into_iter().find_map(|(prefix, mode, publishable)| {
        let rest = key.strip_prefix(prefix)?;
        let ok = !rest.is_empty()
            && rest.len() <= 255
            && rest.bytes().all(|one| one.is_ascii_alphanumeric() || one == b'_');
        ok.then_some(Caller { mode, publishable })
    })
}

/// A key for an error message: its kind and its last four characters.
fn mask(key: &str) -> String {
    let key: String = key.chars().filter(|one| one.is_ascii_graphic()).take(120).collect();
    let kept = if key.len() > 12 { 8 } else { 0 };
    let tail = if key.len() > 12 { 4 } else { 0 };
    format!("{}{}{}", &key[..kept], "*".repeat(key.len() - kept - tail), &key[key.len() - tail..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Method;

    fn status(key: &str) -> Result<Caller, (u16, String)> {
        caller(&Request::new(Method::Get, "/v1/balance").key(key))
            .map_err(|error| (error.status, error.message))
    }

    #[test]
    fn the_prefix_picks_the_world() {
        assert_eq!(status("sk_test_1").unwrap().mode, Mode::Test);
        assert_eq!(status("rk_live_abc").unwrap().mode, Mode::Live);
        assert!(status("pk_test_1").unwrap().publishable);
    }

    #[test]
    fn garbage_is_refused_and_never_echoed_in_full() {
        for key in ["sk_test_", "sk_prod_1", "hello", "sk_test_a b", "whsec_1"] {
            assert_eq!(status(key).unwrap_err().0, 401, "{key}");
        }
        assert_eq!(status("").unwrap_err().1, NO_KEY);
        let message = status("sk_wrong_verysecretkey123").unwrap_err().1;
        assert_eq!(message, "Invalid API Key provided: sk_wrong*************y123");
    }
}
