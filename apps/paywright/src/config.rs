//! Configuration: a file, overridden by the environment. Checked once at the start; secrets never print.

mod limits;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use paywright_domain::{CaptureMethod, Mode, usecase::ExpiringHold};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

pub use limits::{Limits, OnManyDeclines};

use crate::http::client_address;

/// Everything that can be set. `paywright.toml`, then `PAYWRIGHT__SECTION__KEY`, then the usual names
/// (`DATABASE_URL`, `STRIPE_...`); the later wins.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `test` or `live`: which credentials are used, and which objects exist.
    #[serde(deserialize_with = "mode")]
    pub mode: Mode,
    /// Where `paywright dev` keeps its database and sandbox.
    pub data_dir: PathBuf,
    /// The HTTP server.
    pub http: Http,
    /// The database.
    pub database: Database,
    /// The payment provider.
    pub stripe: Stripe,
    /// The local Stripe of `paywright dev`.
    pub sandbox: Sandbox,
    /// Orders.
    pub orders: Orders,
    /// Payments.
    pub payments: Payments,
    /// How often somebody may try to pay.
    pub limits: Limits,
    /// The worker.
    pub worker: Worker,
    /// How long what is over is kept.
    pub retention: Retention,
    /// Comparing our books with Stripe's.
    pub reconciliation: Reconciliation,
    /// Numbers for Prometheus.
    pub metrics: Metrics,
    /// Logs.
    pub log: Log,
}

/// The HTTP server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The address to listen on.
    pub bind: SocketAddr,
    /// How browsers reach us, `https://pay.example.org`; by default the address we listen on.
    pub public_url: Option<String>,
    /// The proxies before us, which say from where a request came: addresses and networks.
    #[serde(deserialize_with = "proxies")]
    pub trusted_proxies: Vec<IpNet>,
    /// Threads.
    pub workers: usize,
    /// Seconds that requests under way get when we stop.
    pub drain_seconds: u64,
}

/// The database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// A PostgreSQL address. Without one, `paywright dev` starts its own.
    pub url: Option<SecretString>,
    /// Connections in the pool.
    pub max_connections: u32,
}

/// The payment provider. Test and live credentials live side by side; `mode` picks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stripe {
    /// Stripe's address, to be changed for a sandbox only.
    pub api_base: Option<String>,
    /// Seconds that one call may take in all.
    pub deadline_seconds: u64,
    /// Calls a second that this process makes at most; 0: any number.
    pub operations_per_second: u32,
    /// Calls a second at most to one endpoint; 0: any number.
    pub operations_per_second_per_endpoint: u32,
    /// Seconds that a call waits for its place within those limits before it is given up unsent.
    pub patience_seconds: u64,
    /// Seconds of silence after Stripe stopped answering.
    pub outage_pause_seconds: u64,
    /// Seconds of silence after Stripe refused our credentials.
    pub refusal_pause_seconds: u64,
    /// Play money.
    #[serde(default)]
    pub test: Credentials,
    /// Real money.
    #[serde(default)]
    pub live: Credentials,
}

impl Stripe {
    /// How long a call may last in all, its wait for a place included.
    pub fn call_longest(&self) -> Duration {
        Duration::from_secs(self.patience_seconds.saturating_add(self.deadline_seconds))
    }
}

/// One mode's credentials.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// `sk_test_...` or a restricted key.
    pub secret_key: Option<SecretString>,
    /// `pk_test_...`; public.
    pub publishable_key: Option<String>,
    /// `whsec_...`, comma-separated while one is being rolled.
    pub webhook_secret: Option<SecretString>,
}

/// The local Stripe of `paywright dev`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// The address it listens on.
    pub bind: SocketAddr,
}

/// Orders.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orders {
    /// Minutes that an order waits for money before it is cancelled.
    pub expire_after_minutes: u32,
}

/// Payments.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payments {
    /// Whether money is taken at once or reserved first, where an order does not say.
    #[serde(deserialize_with = "capture_method")]
    pub capture_method: CaptureMethod,
    /// What becomes of reserved money that nobody has asked for when the reservation is about to run out.
    #[serde(deserialize_with = "expiring_hold")]
    pub expiring_hold: ExpiringHold,
}

/// The worker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Received events handled at the same time; 0: none by this process.
    pub webhooks: u32,
    /// Calls to Stripe and timers handled at the same time; 0: none by this process.
    pub effects: u32,
    /// Seconds between two checks whether Stripe calls us as we need it; 0: never.
    pub check_endpoint_every_seconds: u64,
}

/// How long what is over is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Days that a processed event is kept with its bytes. Stripe lists an event for 30: one that came again after it was
    /// forgotten would be a new one.
    #[serde(deserialize_with = "at_least::<30, _>")]
    pub events_days: u32,
    /// Days that a completed job is kept.
    #[serde(deserialize_with = "at_least::<1, _>")]
    pub jobs_days: u32,
    /// Days that the cause of a commit is kept: longer than the answer to any idempotency key, and a cause whose job is
    /// still there stays in any case.
    #[serde(deserialize_with = "at_least::<7, _>")]
    pub commits_days: u32,
}

/// Numbers for Prometheus.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The address to show them on, apart from the API's; `None`: nowhere.
    #[serde(deserialize_with = "address_or_none")]
    pub bind: Option<SocketAddr>,
}

/// Comparing our books with Stripe's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconciliation {
    /// Whether the worker does it by itself.
    pub enabled: bool,
    /// Minutes from one run to the next, 1 at least.
    #[serde(deserialize_with = "one_or_more")]
    pub every_minutes: u32,
    /// Seconds from one look at payments younger than an hour to the next, 1 at least.
    #[serde(deserialize_with = "one_or_more")]
    pub fresh_every_seconds: u32,
    /// Minutes that a run reads again of what the run before it has read: Stripe shows some things late.
    pub overlap_minutes: u32,
    /// Days that the very first run looks back; Stripe keeps events for 30.
    #[serde(deserialize_with = "one_or_more")]
    pub look_back_days: u32,
    /// About how often each part of a run asks Stripe; what is left over comes in the next run.
    #[serde(deserialize_with = "one_or_more")]
    pub asks_max: u32,
}

/// Logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// Directives as in `RUST_LOG`.
    pub filter: String,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is wrong with the configuration, in one line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("configuration: {0}")]
    Unreadable(String),
    /// Something is missing.
    #[error("{name} is not set: {why}")]
    Missing {
        /// Which.
        name: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// Something is of the wrong kind.
    #[error("{name} {problem}")]
    Wrong {
        /// Which.
        name: &'static str,
        /// What is wrong; never the value.
        problem: String,
    },
}

const MODES: &str = "mode must be \"test\" or \"live\"";
const DEFAULTS: &str = include_str!("defaults.toml");

/// The usual names, and where they belong. The Stripe ones go to the credentials of the mode that is chosen.
const STRIPE_NAMES: [(&str, &str); 3] = [
    ("STRIPE_SECRET_KEY", "secret_key"),
    ("STRIPE_PUBLISHABLE_KEY", "publishable_key"),
    ("STRIPE_WEBHOOK_SECRET", "webhook_secret"),
];

impl Settings {
    /// Reads the file (if given, or `paywright.toml` if there is one) and the environment.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`] names the key that is unknown or does not fit.
    pub fn load(file: Option<&std::path::Path>) -> Result<Self, ConfigError> {
        // Variables that are not text are none of ours.
        let text = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_sources(file, text.collect())
    }

    /// The defaults alone: no file, no environment.
    pub fn defaults() -> Self {
        let source = config::File::from_str(DEFAULTS, config::FileFormat::Toml);
        let built = config::Config::builder().add_source(source).build();
        built.and_then(config::Config::try_deserialize).expect("the defaults are complete, as a test shows")
    }

    fn from_sources(
        file: Option<&std::path::Path>,
        env: std::collections::HashMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let unreadable = |error: config::ConfigError| ConfigError::Unreadable(one_line(&error.to_string()));
        let source = match file {
            Some(path) => config::File::from(path).required(true),
            None => config::File::new("paywright.toml", config::FileFormat::Toml).required(false),
        };
        let ours = config::Environment::with_prefix("PAYWRIGHT").prefix_separator("__").separator("__");
        let mut builder = config::Config::builder()
            .add_source(config::File::from_str(DEFAULTS, config::FileFormat::Toml))
            .add_source(source.format(config::FileFormat::Toml))
            .add_source(ours.try_parsing(true).source(Some(env.clone())));
        let set = |name: &str| env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        for (name, key) in [("DATABASE_URL", "database.url"), ("STRIPE_API_BASE", "stripe.api_base")] {
            if let Some(value) = set(name) {
                builder = builder.set_override(key, value).map_err(unreadable)?;
            }
        }
        let mode = builder.build_cloned().map_err(unreadable)?.get_string("mode").map_err(unreadable)?;
        let mode: Mode = mode.parse().map_err(|_| ConfigError::Unreadable(MODES.to_owned()))?;
        for (name, key) in STRIPE_NAMES {
            if let Some(value) = set(name) {
                builder = builder.set_override(format!("stripe.{mode}.{key}"), value).map_err(unreadable)?;
            }
        }
        builder.build().and_then(config::Config::try_deserialize).map_err(unreadable)
    }

    /// The credentials of the chosen mode.
    pub fn credentials(&self) -> &Credentials {
        match self.mode {
            Mode::Test => &self.stripe.test,
            Mode::Live => &self.stripe.live,
        }
    }

    /// The database's address.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] without one.
    pub fn database_url(&self) -> Result<&SecretString, ConfigError> {
        self.database.url.as_ref().ok_or(ConfigError::Missing {
            name: "DATABASE_URL",
            why: "the address of a PostgreSQL database (`paywright dev` brings its own)",
        })
    }
}

impl Credentials {
    /// The secret key.
    ///
    /// # Errors
    /// [`ConfigError`] when there is none, or it is the other mode's.
    pub fn secret_key(&self, mode: Mode) -> Result<&SecretString, ConfigError> {
        let name = "STRIPE_SECRET_KEY";
        let why = "Stripe's secret key of this mode (`paywright dev` needs none)";
        let key = self.secret_key.as_ref().ok_or(ConfigError::Missing { name, why })?;
        let fits = |mode: Mode| {
            ["sk", "rk"].iter().any(|kind| key.expose_secret().starts_with(&format!("{kind}_{mode}_")))
        };
        let other = if mode == Mode::Test { Mode::Live } else { Mode::Test };
        if fits(other) {
            let problem = format!("is a {other} key, but mode is \"{mode}\"");
            return Err(ConfigError::Wrong { name, problem });
        }
        if !fits(mode) {
            let problem = format!("is no Stripe secret key: expected sk_{mode}_... or rk_{mode}_...");
            return Err(ConfigError::Wrong { name, problem });
        }
        Ok(key)
    }

    /// The active webhook secrets, at least one.
    ///
    /// # Errors
    /// [`ConfigError`] when there is none: the check of signatures is never skipped.
    pub fn webhook_secrets(&self) -> Result<Vec<SecretString>, ConfigError> {
        let name = "STRIPE_WEBHOOK_SECRET";
        let why = "the signing secret of the webhook endpoint; without it no event can be trusted";
        let text = self.webhook_secret.as_ref().ok_or(ConfigError::Missing { name, why })?;
        let secrets: Vec<_> =
            text.expose_secret().split(',').map(str::trim).filter(|secret| !secret.is_empty()).collect();
        if secrets.is_empty() {
            return Err(ConfigError::Missing { name, why });
        }
        if secrets.iter().any(|secret| !secret.starts_with("whsec_") || secret.len() < 12) {
            let problem = "is no webhook signing secret: expected whsec_...".to_owned();
            return Err(ConfigError::Wrong { name, problem });
        }
        Ok(secrets.into_iter().map(SecretString::from).collect())
    }
}

fn mode<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(MODES))
}

/// An empty text is none.
fn address_or_none<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| serde::de::Error::custom("metrics.bind is no address")),
    }
}

/// Addresses and networks, separated by commas.
fn proxies<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong =
        |part| format!("http.trusted_proxies: {part} is neither an address nor a network such as 10.0.0.0/8");
    client_address::proxies(&text).map_err(|part| serde::de::Error::custom(wrong(part)))
}

fn at_least<'de, const MIN: u32, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        number if number >= MIN => Ok(number),
        _ => Err(serde::de::Error::custom(format!("must be {MIN} or more"))),
    }
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("must be 1 or more")),
        number => Ok(number),
    }
}

fn capture_method<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<CaptureMethod, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = "payments.capture_method must be \"automatic\" or \"manual\"";
    text.parse().map_err(|_| serde::de::Error::custom(wrong))
}

fn expiring_hold<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ExpiringHold, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "void" => Ok(ExpiringHold::Void),
        "capture" => Ok(ExpiringHold::Capture),
        _ => Err(serde::de::Error::custom("payments.expiring_hold must be \"void\" or \"capture\"")),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn load(env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<HashMap<_, _>>();
        Settings::from_sources(Some(file.path()), env)
    }

    #[test]
    fn the_environment_overrides_the_defaults() {
        let settings = load(&[
            ("PAYWRIGHT__HTTP__BIND", "127.0.0.1:9999"),
            ("PAYWRIGHT__DATA_DIR", "/somewhere"),
            ("DATABASE_URL", "postgres://db/x"),
            ("STRIPE_SECRET_KEY", "sk_test_abc"),
        ])
        .unwrap();
        assert_eq!(settings.http.bind.port(), 9999);
        assert_eq!(settings.data_dir, PathBuf::from("/somewhere"));
        assert_eq!(settings.database_url().unwrap().expose_secret(), "postgres://db/x");
        assert!(settings.credentials().secret_key(Mode::Test).is_ok());
    }

    #[test]
    fn the_defaults_are_complete() {
        assert_eq!(Settings::defaults().http.bind.port(), 8080);
    }

    #[test]
    fn what_becomes_of_money_is_chosen_by_name_and_nothing_else() {
        let (capture, hold) = ("PAYWRIGHT__PAYMENTS__CAPTURE_METHOD", "PAYWRIGHT__PAYMENTS__EXPIRING_HOLD");
        let chosen = load(&[(capture, "manual"), (hold, "capture")]).unwrap().payments;
        assert_eq!(
            (chosen.capture_method, chosen.expiring_hold),
            (CaptureMethod::Manual, ExpiringHold::Capture)
        );
        let usual = Settings::defaults().payments;
        assert_eq!(
            (usual.capture_method, usual.expiring_hold),
            (CaptureMethod::Automatic, ExpiringHold::Void)
        );
        for (name, key) in [(capture, "payments.capture_method"), (hold, "payments.expiring_hold")] {
            for wrong in ["", "Manual", "later", "0"] {
                let error = load(&[(name, wrong)]).unwrap_err().to_string();
                assert!(error.contains(&format!("{key} must be")), "{error}");
            }
        }
    }

    #[test]
    fn a_call_may_last_as_long_as_it_waits_and_is_answered() {
        let settings = load(&[
            ("PAYWRIGHT__STRIPE__PATIENCE_SECONDS", "7"),
            ("PAYWRIGHT__STRIPE__DEADLINE_SECONDS", "30"),
        ]);
        assert_eq!(settings.unwrap().stripe.call_longest(), Duration::from_secs(37));
    }

    #[test]
    fn metrics_are_shown_on_this_machine_alone_or_nowhere() {
        let usual = Settings::defaults().metrics.bind.unwrap();
        assert!(usual.ip().is_loopback() && usual.port() == 9464);
        assert_eq!(load(&[("PAYWRIGHT__METRICS__BIND", "")]).unwrap().metrics.bind, None);
        let error = load(&[("PAYWRIGHT__METRICS__BIND", "9464")]).unwrap_err().to_string();
        assert!(error.contains("metrics.bind"), "{error}");
    }

    /// Covers: W-14.
    #[test]
    fn no_event_is_forgotten_while_stripe_may_tell_of_it_again() {
        let usual = Settings::defaults().retention;
        assert_eq!((usual.events_days, usual.jobs_days, usual.commits_days), (90, 7, 30));
        for (name, least) in [("EVENTS_DAYS", 30), ("JOBS_DAYS", 1), ("COMMITS_DAYS", 7)] {
            let name = format!("PAYWRIGHT__RETENTION__{name}");
            assert!(load(&[(&name, &least.to_string())]).is_ok());
            let error = load(&[(&name, &(least - 1).to_string())]).unwrap_err().to_string();
            assert!(error.contains(&format!("must be {least} or more")), "{error}");
        }
    }

    #[test]
    fn how_often_books_are_compared_is_chosen_and_never_is_no_choice() {
        let usual = Settings::defaults().reconciliation;
        assert_eq!((usual.enabled, usual.every_minutes, usual.fresh_every_seconds), (true, 5, 60));
        assert_eq!((usual.overlap_minutes, usual.look_back_days, usual.asks_max), (10, 3, 1000));
        let off = load(&[("PAYWRIGHT__RECONCILIATION__ENABLED", "false")]).unwrap();
        assert!(!off.reconciliation.enabled);
        for name in ["EVERY_MINUTES", "FRESH_EVERY_SECONDS", "LOOK_BACK_DAYS", "ASKS_MAX"] {
            let error =
                load(&[(&format!("PAYWRIGHT__RECONCILIATION__{name}"), "0")]).unwrap_err().to_string();
            assert!(error.contains("must be 1 or more"), "{error}");
        }
    }

    #[test]
    fn limits_are_a_number_and_a_time_or_off() {
        let usual = Settings::defaults().limits;
        assert_eq!(usual.payments_per_address, "30/10m".parse().ok());
        assert_eq!((usual.payments_per_key, usual.breaker), (None, OnManyDeclines::Tighten));
        let name = "PAYWRIGHT__LIMITS__PAYMENTS_PER_ADDRESS";
        for (value, quota) in [("5/1h", "5/1h".parse().ok()), ("off", None), ("0", None), ("false", None)] {
            assert_eq!(load(&[(name, value)]).unwrap().limits.payments_per_address, quota, "{value}");
        }
        for (name, value, says) in [
            (name, "5", "a time such as"),
            (name, "", "a time such as"),
            (name, "5/1d", "a time such as"),
            ("PAYWRIGHT__LIMITS__BREAKER", "open", "\"tighten\" or \"refuse\""),
            ("PAYWRIGHT__LIMITS__BREAKER_DECLINES", "off", "limits.breaker = \"off\""),
            ("PAYWRIGHT__LIMITS__BREAKER_PERCENT", "0", "1 to 100"),
            ("PAYWRIGHT__LIMITS__BREAKER_PERCENT", "101", "1 to 100"),
        ] {
            let error = load(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(says), "{name}={value}: {error}");
            assert!(error.contains(&name.rsplit("__").next().unwrap().to_lowercase()), "{name}: {error}");
        }
    }

    #[test]
    fn proxies_are_declared_by_address() {
        assert_eq!(Settings::defaults().http.trusted_proxies.len(), 2);
        let name = "PAYWRIGHT__HTTP__TRUSTED_PROXIES";
        let of = |value| load(&[(name, value)]).map(|settings| settings.http.trusted_proxies);
        assert_eq!(of("").unwrap(), []);
        assert_eq!(of("10.0.0.0/8, 2001:db8::/32").unwrap().len(), 2);
        let error = of("10.0.0.0/8, proxy").unwrap_err().to_string();
        assert!(error.contains("http.trusted_proxies: proxy is neither"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load(&[("PAYWRIGHT__HTTP__BIMD", "x")]).unwrap_err();
        assert!(error.to_string().contains("bimd"), "{error}");
    }

    /// Covers: S-1.
    #[test]
    fn a_key_of_the_other_mode_is_refused_in_one_line_without_the_key() {
        let live = format!("sk_{}_abcdefgh", "live");
        let settings = load(&[("STRIPE_SECRET_KEY", &live)]).unwrap();
        let error = settings.credentials().secret_key(Mode::Test).unwrap_err().to_string();
        assert_eq!(error, "STRIPE_SECRET_KEY is a live key, but mode is \"test\"");
        let settings =
            load(&[("PAYWRIGHT__MODE", "live"), ("STRIPE_SECRET_KEY", "sk_test_abcdefgh")]).unwrap();
        assert!(settings.credentials().secret_key(Mode::Live).is_err());
    }

    /// Covers: fault 44.
    #[test]
    fn a_missing_or_empty_webhook_secret_is_an_error() {
        for value in [None, Some(""), Some(" , "), Some("secret")] {
            let env: Vec<_> = value.map(|value| ("STRIPE_WEBHOOK_SECRET", value)).into_iter().collect();
            assert!(load(&env).unwrap().credentials().webhook_secrets().is_err(), "{value:?}");
        }
        let both = load(&[("STRIPE_WEBHOOK_SECRET", "whsec_oneone, whsec_twotwo")]).unwrap();
        assert_eq!(both.credentials().webhook_secrets().unwrap().len(), 2);
    }

    /// Covers: fault 134.
    #[test]
    fn secrets_do_not_print() {
        let settings =
            load(&[("STRIPE_SECRET_KEY", "sk_test_canary"), ("DATABASE_URL", "postgres://canary@db")])
                .unwrap();
        assert!(!format!("{settings:?}").contains("canary"));
    }
}
