//! What the adapter must be told, checked before anything is sent.

use std::time::Duration;

use paywright_domain::Mode;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// A longer wait than this is a mistake in the unit.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// How to reach Stripe, and as whom.
#[derive(Debug)]
pub struct Settings {
    /// Where Stripe is. Anything but this machine must be reached by `https`.
    pub api_base: String,
    /// A secret or restricted key of `mode`. Never printed.
    pub secret_key: SecretString,
    /// Test or live.
    pub mode: Mode,
    /// How long one call may take in all, from connecting to the last byte.
    pub deadline: Duration,
    /// The largest answer that is read.
    pub max_response_bytes: usize,
    /// Calls a second that this process makes at most; 0: any number. Stripe counts those of all processes of an
    /// account together.
    pub operations_per_second: u32,
    /// Calls a second at most to one endpoint, which is a method and a path without ids; 0: any number.
    pub operations_per_second_per_endpoint: u32,
    /// How long a call waits, before it is sent, for its place within those limits and for other calls about the same
    /// object; then it is given up unsent. Not part of `deadline`.
    pub patience: Duration,
    /// How long nothing is sent after Stripe stopped answering, until one call may find out whether it is back.
    pub outage_pause: Duration,
    /// How long nothing is sent after Stripe refused our credentials, until one call may find out whether it accepts
    /// them.
    pub refusal_pause: Duration,
}

impl Settings {
    /// Where Stripe is.
    pub const API_BASE: &'static str = "https://api.stripe.com";
    /// Twenty seconds.
    pub const DEADLINE: Duration = Duration::from_secs(20);
    /// Two MiB.
    pub const MAX_RESPONSE_BYTES: usize = 2 << 20;
    /// A hundred, as many as Stripe allows an account in live mode. Its test mode allows 25.
    ///
    /// Source: <https://docs.stripe.com/rate-limits>
    pub const OPERATIONS_PER_SECOND: u32 = 100;
    /// Twenty-five, as many as Stripe allows for an endpoint.
    ///
    /// Source: <https://docs.stripe.com/rate-limits>
    pub const OPERATIONS_PER_SECOND_PER_ENDPOINT: u32 = 25;
    /// Five seconds.
    pub const PATIENCE: Duration = Duration::from_secs(5);
    /// Five seconds.
    pub const OUTAGE_PAUSE: Duration = Duration::from_secs(5);
    /// Thirty seconds.
    pub const REFUSAL_PAUSE: Duration = Duration::from_secs(30);

    /// Stripe itself, with the usual bounds.
    pub fn new(secret_key: SecretString, mode: Mode) -> Self {
        Self {
            api_base: Self::API_BASE.to_owned(),
            secret_key,
            mode,
            deadline: Self::DEADLINE,
            max_response_bytes: Self::MAX_RESPONSE_BYTES,
            operations_per_second: Self::OPERATIONS_PER_SECOND,
            operations_per_second_per_endpoint: Self::OPERATIONS_PER_SECOND_PER_ENDPOINT,
            patience: Self::PATIENCE,
            outage_pause: Self::OUTAGE_PAUSE,
            refusal_pause: Self::REFUSAL_PAUSE,
        }
    }

    /// Checks everything and gives the base address.
    pub(crate) fn check(&self) -> Result<Base, SettingsError> {
        self.check_key()?;
        self.check_bounds()?;
        Base::parse(&self.api_base)
    }

    /// A patience of zero is one: never wait.
    fn check_bounds(&self) -> Result<(), SettingsError> {
        for (name, bound) in [
            ("deadline", self.deadline),
            ("outage_pause", self.outage_pause),
            ("refusal_pause", self.refusal_pause),
        ] {
            if bound.is_zero() {
                return Err(SettingsError::Zero(name));
            }
        }
        if self.max_response_bytes == 0 {
            return Err(SettingsError::Zero("max_response_bytes"));
        }
        for (name, bound) in [
            ("patience", self.patience),
            ("outage_pause", self.outage_pause),
            ("refusal_pause", self.refusal_pause),
        ] {
            if bound > WAIT_MAX {
                return Err(SettingsError::TooLong(name));
            }
        }
        Ok(())
    }

    /// Source: <https://docs.stripe.com/keys>
    fn check_key(&self) -> Result<(), SettingsError> {
        let key = self.secret_key.expose_secret();
        let rest = key.strip_prefix("sk_").or_else(|| key.strip_prefix("rk_"));
        let rest = rest.ok_or(SettingsError::NotASecretKey)?;
        let (mode, rest) = match (rest.strip_prefix("test_"), rest.strip_prefix("live_")) {
            (Some(rest), _) => (Mode::Test, rest),
            (None, Some(rest)) => (Mode::Live, rest),
            (None, None) => return Err(SettingsError::NotASecretKey),
        };
        if rest.is_empty() || !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(SettingsError::NotASecretKey);
        }
        if mode != self.mode {
            return Err(SettingsError::WrongMode { key: mode, mode: self.mode });
        }
        Ok(())
    }
}

/// Why the settings cannot be used. None of these prints the key or the address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The key has not the form of a secret key.
    #[error("the Stripe key is no secret key: expected sk_test_..., sk_live_..., rk_test_... or rk_live_...")]
    NotASecretKey,
    /// A live key in test mode, or the reverse.
    #[error("the Stripe key is a {key} key, but the mode is {mode}")]
    WrongMode {
        /// What the key is for.
        key: Mode,
        /// What was asked for.
        mode: Mode,
    },
    /// The address cannot be used.
    #[error("the Stripe address cannot be used: {0}")]
    Address(&'static str),
    /// A bound of zero would refuse everything.
    #[error("{0} must be more than zero")]
    Zero(&'static str),
    /// A wait that nobody can want.
    #[error("{name} must be at most {max} s", name = .0, max = WAIT_MAX.as_secs())]
    TooLong(&'static str),
    /// The HTTP client cannot be made, for want of trusted certificates for example.
    #[error("the HTTP client could not be made")]
    Http(#[source] reqwest::Error),
}

/// Where Stripe is, without a slash at the end.
#[derive(Debug)]
pub(crate) struct Base {
    url: String,
    /// Whether it is this machine, so that no proxy is asked.
    pub(crate) loopback: bool,
}

impl Base {
    fn parse(text: &str) -> Result<Self, SettingsError> {
        let url = Url::parse(text).map_err(|_| SettingsError::Address("it is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SettingsError::Address("it holds credentials"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(SettingsError::Address("it holds a query or a fragment"));
        }
        let loopback = is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(SettingsError::Address("plain http is for this machine only")),
            _ => return Err(SettingsError::Address("it is neither http nor https")),
        }
        Ok(Self { url: url.as_str().trim_end_matches('/').to_owned(), loopback })
    }

    /// The address of a path.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// Judged by the address alone; names are not resolved, except that `localhost` never leaves this machine
/// (RFC 6761, section 6.3).
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key(key: &str, mode: Mode) -> Settings {
        Settings::new(SecretString::from(key), mode)
    }

    fn with_base(base: &str) -> Settings {
        Settings { api_base: base.to_owned(), ..with_key("sk_test_1", Mode::Test) }
    }

    #[test]
    fn keys_of_the_right_mode_are_taken() {
        for (key, mode) in [
            ("sk_test_4eC39", Mode::Test),
            ("rk_test_4eC39", Mode::Test),
            ("sk_live_4eC39", Mode::Live),
            ("rk_live_4eC39", Mode::Live),
        ] {
            assert!(with_key(key, mode).check().is_ok(), "{key}");
        }
    }

    #[test]
    fn a_live_key_in_test_mode_and_the_reverse_are_refused() {
        for (key, mode) in [("sk_live_1", Mode::Test), ("rk_test_1", Mode::Live)] {
            assert!(matches!(with_key(key, mode).check(), Err(SettingsError::WrongMode { .. })), "{key}");
        }
    }

    #[test]
    fn what_is_no_secret_key_is_refused_and_not_printed() {
        for key in
            ["", "sk_", "sk_test_", "pk_test_canary", "whsec_canary", "sk_test_canary\n", " sk_test_canary"]
        {
            let error = with_key(key, Mode::Test).check().unwrap_err();
            assert!(matches!(error, SettingsError::NotASecretKey), "{key}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    /// Covers: I31, fault 134.
    #[test]
    fn settings_print_no_key() {
        assert!(!format!("{:?}", with_key("sk_test_canary", Mode::Test)).contains("canary"));
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for base in
            ["https://api.stripe.com", "http://127.0.0.1:12111", "http://[::1]:1/", "http://localhost:1"]
        {
            assert!(with_base(base).check().is_ok(), "{base}");
        }
        for base in [
            "http://api.stripe.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "https://user:password@api.stripe.com",
            "https://api.stripe.com?x=1",
            "api.stripe.com",
            "",
        ] {
            assert!(matches!(with_base(base).check(), Err(SettingsError::Address(_))), "{base}");
        }
    }

    #[test]
    fn a_base_may_have_a_path_and_a_slash_at_the_end() {
        let base = with_base("http://localhost:1/stripe/").check().unwrap();
        assert_eq!(base.join("/v1/events"), "http://localhost:1/stripe/v1/events");
    }

    #[test]
    fn bounds_of_zero_are_refused() {
        let settings = Settings { deadline: Duration::ZERO, ..with_base("http://localhost") };
        assert!(matches!(settings.check(), Err(SettingsError::Zero("deadline"))));
        let settings = Settings { max_response_bytes: 0, ..with_base("http://localhost") };
        assert!(matches!(settings.check(), Err(SettingsError::Zero(_))));
        let settings = Settings { outage_pause: Duration::ZERO, ..with_base("http://localhost") };
        assert!(matches!(settings.check(), Err(SettingsError::Zero("outage_pause"))));
        let settings = Settings { refusal_pause: Duration::ZERO, ..with_base("http://localhost") };
        assert!(matches!(settings.check(), Err(SettingsError::Zero("refusal_pause"))));
    }

    #[test]
    fn no_limit_and_no_patience_are_taken_and_waits_without_end_are_not() {
        let settings = Settings {
            operations_per_second: 0,
            operations_per_second_per_endpoint: 0,
            patience: Duration::ZERO,
            ..with_base("http://localhost")
        };
        assert!(settings.check().is_ok());
        let settings = Settings { patience: Duration::MAX, ..with_base("http://localhost") };
        assert!(matches!(settings.check(), Err(SettingsError::TooLong("patience"))));
    }
}
