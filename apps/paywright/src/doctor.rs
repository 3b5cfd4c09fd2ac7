//! Whether everything that payments depend on is as it has to be: what is wrong, and what to do.
//!
//! `paywright doctor` asks all of it; the worker asks the part about Stripe's calls to us every few minutes
//! ([`endpoint::look`]), and shows it as the gauge `paywright_endpoint_problem`.

pub mod endpoint;
mod inside;
mod limits;

use paywright_domain::Mode;
use paywright_postgres::Postgres;
use serde::Serialize;
use strum::{Display, EnumIter, IntoEnumIterator as _, IntoStaticStr};

use crate::{
    config::{ConfigError, Settings},
    http::problem::chain,
    wiring,
};

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display, IntoStaticStr, Serialize)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As it has to be.
    Ok,
    /// Look at it by day.
    Warn,
    /// Payments are in danger.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub grade: Grade,
    /// What was found, for people.
    pub found: String,
    /// What to do about it; nothing when all is well.
    pub remedy: Option<String>,
    /// The problem that monitors know it by.
    pub problem: Option<Problem>,
}

/// What may be wrong between Stripe and us, as monitors know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, IntoStaticStr, Serialize)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// There is no endpoint at our address.
    Missing,
    /// The endpoint is disabled.
    Disabled,
    /// Events come in a version that is not the one we read.
    OtherVersion,
    /// Some types of events are not sent.
    MissingEvents,
    /// The endpoint is of the other mode.
    OtherMode,
    /// Several endpoints have our address: each event comes several times.
    Repeated,
    /// Some events did not reach us, but newer ones do.
    Undelivered,
    /// Stripe makes events, and none reaches us.
    Silent,
    /// Our clock and Stripe's disagree.
    Clock,
    /// Stripe could not be asked.
    Unknown,
}

impl Problem {
    /// Notes what a check found, for other processes; nothing when all is well.
    pub fn note(checks: &[Check]) -> Option<String> {
        let names: Vec<&str> = checks.iter().filter_map(|check| check.problem.map(<&str>::from)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// Whether the note of a check names it. A note of another kind says why there was no check.
    pub fn is_noted(self, note: Option<&str>) -> bool {
        let Some(note) = note else { return false };
        let mut names = note.split(", ").map(|word| Self::iter().find(|one| <&str>::from(one) == word));
        match self {
            Self::Unknown => names.any(|name| name.is_none_or(|name| name == Self::Unknown)),
            _ => names.any(|name| name == Some(self)),
        }
    }
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, grade: Grade::Ok, found: found.into(), remedy: None, problem: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Warn, remedy: Some(remedy.into()), ..Self::ok(name, found) }
    }

    fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Fail, remedy: Some(remedy.into()), ..Self::ok(name, found) }
    }

    fn of(self, problem: Problem) -> Self {
        Self { problem: Some(problem), ..self }
    }
}

/// Everything, in the order in which to mend it.
pub async fn examine(settings: &Settings) -> Vec<Check> {
    let mut checks = vec![configuration(settings)];
    let store = database(settings, &mut checks).await;
    let stripe = wiring::stripe(settings);
    match &stripe {
        Ok(stripe) => {
            let url = webhook_url(settings);
            checks.extend(endpoint::look(stripe, store.as_ref(), settings.mode, url).await);
        }
        Err(error) => {
            checks.push(Check::fail("stripe", crate::cli::one_line(error), "mend the configuration"))
        }
    }
    if let Some(store) = store {
        inside::look(&store, settings.mode, &mut checks).await;
        limits::look(&store, settings, &mut checks).await;
        store.close().await;
    }
    checks
}

/// Where Stripe is to send events, if we know how we are reached.
pub fn webhook_url(settings: &Settings) -> Option<String> {
    let url = settings.http.public_url.as_deref()?;
    Some(format!("{}/webhooks/stripe", url.trim_end_matches('/')))
}

/// The gravest of them.
pub fn gravest(checks: &[Check]) -> Grade {
    checks.iter().map(|check| check.grade).max().unwrap_or(Grade::Ok)
}

/// That there are no settings to go by.
pub fn unconfigured(error: &ConfigError) -> Check {
    Check::fail("configuration", error.to_string(), "mend paywright.toml or the environment")
}

/// That the endpoint could not be mended.
pub fn not_mended(why: String) -> Check {
    Check::fail("fix", why, "mend that, and try again")
}

fn configuration(settings: &Settings) -> Check {
    let (name, credentials) = ("configuration", settings.credentials());
    if let Err(error) = credentials.secret_key(settings.mode) {
        return Check::fail(name, error.to_string(), "set it in paywright.toml or in the environment");
    }
    let secrets = match credentials.webhook_secrets() {
        Ok(secrets) => secrets.len(),
        Err(error) => {
            let remedy = "Stripe shows it beside the endpoint; `paywright doctor --fix` makes an endpoint";
            return Check::fail(name, error.to_string(), remedy);
        }
    };
    let Some(url) = &settings.http.public_url else {
        let found = "http.public_url is not set: nobody can tell where Stripe is to send events";
        return Check::warn(
            name,
            found,
            "set PAYWRIGHT__HTTP__PUBLIC_URL to the address that Stripe reaches us by",
        );
    };
    if settings.mode == Mode::Live && !url.starts_with("https://") {
        let found = format!("http.public_url is {url}: in live mode Stripe sends events by https only");
        return Check::fail(
            name,
            found,
            "set PAYWRIGHT__HTTP__PUBLIC_URL to the https address of your proxy",
        );
    }
    let plural = if secrets == 1 { "" } else { "s" };
    Check::ok(name, format!("{} mode at {url}, {secrets} webhook secret{plural} accepted", settings.mode))
}

async fn database(settings: &Settings, checks: &mut Vec<Check>) -> Option<Postgres> {
    let name = "database";
    let store = match wiring::connect(settings).await {
        Ok(store) => store,
        Err(error) => {
            let remedy = "is it running, and is DATABASE_URL its address?";
            checks.push(Check::fail(name, crate::cli::one_line(&error), remedy));
            return None;
        }
    };
    let (check, usable) = match store.pending_migrations().await {
        Ok(0) => (Check::ok(name, "it answers, and has our schema"), true),
        Ok(pending) => {
            let found = format!("it lacks {pending} migrations");
            (Check::fail(name, found, "run `paywright migrate`"), false)
        }
        Err(error) => (Check::fail(name, chain(&error), "look at the database's log"), false),
    };
    checks.push(check);
    usable.then_some(store)
}

/// How long something takes, for people: `3 days`, `2 h`, `5 min`, `1 s`.
fn span(seconds: i64) -> String {
    match seconds {
        259_200.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} h", seconds / 3_600),
        120.. => format!("{} min", seconds / 60),
        _ => format!("{} s", seconds.max(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_for_people() {
        for (seconds, words) in [
            (-5, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (259_200, "3 days"),
        ] {
            assert_eq!(span(seconds), words);
        }
    }

    #[test]
    fn what_was_noted_is_read_again() {
        let checks = [
            Check::ok("a", ""),
            Check::fail("b", "", "").of(Problem::Silent),
            Check::warn("c", "", "").of(Problem::OtherVersion),
        ];
        let note = Problem::note(&checks);
        assert_eq!(note.as_deref(), Some("silent, other_version"));
        let noted = |note: Option<&str>| -> Vec<Problem> {
            Problem::iter().filter(|problem| problem.is_noted(note)).collect()
        };
        assert_eq!(noted(note.as_deref()), [Problem::OtherVersion, Problem::Silent]);
        assert_eq!(noted(Some("panicked")), [Problem::Unknown]);
        assert_eq!((noted(None), Problem::note(&checks[..1])), (Vec::new(), None));
    }

    #[test]
    fn the_gravest_counts() {
        let checks = [Check::ok("a", ""), Check::fail("b", "", ""), Check::warn("c", "", "")];
        assert_eq!((gravest(&checks), gravest(&checks[..1])), (Grade::Fail, Grade::Ok));
    }
}
