//! Whether somebody who tests stolen cards would be stopped, and whether somebody does.

use ipnet::IpNet;
use paywright_domain::{Mode, Quota, Rule, ports::Limiter as _};
use paywright_postgres::Postgres;
use strum::IntoEnumIterator as _;

use super::Check;
use crate::{
    config::{OnManyDeclines, Settings},
    http::problem::chain,
};

/// Looks at the limits that are set, and at what became of attempts to pay lately.
pub(super) async fn look(store: &Postgres, settings: &Settings, checks: &mut Vec<Check>) {
    checks.push(set(settings));
    checks.extend(proxies(settings));
    if settings.limits.breaker == OnManyDeclines::Off {
        return;
    }
    let (name, breaker) = ("declines", settings.limits.many_declines());
    checks.push(match store.lately(settings.mode, breaker).await {
        // Servers that saw it open keep it open until there are few.
        Ok(lately) if breaker.is_open(false, lately) => Check::fail(
            name,
            format!(
                "somebody may be testing cards: {} attempts were declined within {}, and {} paid",
                lately.declined,
                span(breaker.declines),
                lately.paid
            ),
            "docs/limits.md says what to do; it is over by itself when there are few declines again",
        ),
        Ok(_) => Check::ok(name, "no more attempts to pay are declined than usual"),
        Err(error) => Check::fail(name, chain(&error), "look at the database's log"),
    });
}

fn set(settings: &Settings) -> Check {
    let (name, limits) = ("limits", &settings.limits);
    let quotas = limits.quotas();
    // A shop's own key is a matter of taste.
    let mut off: Vec<&str> = Rule::iter()
        .filter(|rule| *rule != Rule::PaymentsPerKey && quotas.quota(*rule).is_none())
        .map(<&str>::from)
        .collect();
    off.extend((limits.breaker == OnManyDeclines::Off).then_some("breaker"));
    if off.is_empty() {
        return Check::ok(name, "attempts to pay are limited");
    }
    let found = format!("off: {}", off.join(", "));
    match settings.mode {
        Mode::Test => Check::ok(name, found),
        Mode::Live => {
            Check::warn(name, found, "set them under [limits]: without them stolen cards are tested here")
        }
    }
}

/// Real money comes by TLS, which somebody before us speaks.
fn proxies(settings: &Settings) -> Option<Check> {
    let elsewhere = |network: &IpNet| !network.addr().is_loopback();
    let declared = settings.http.trusted_proxies.iter().any(elsewhere);
    if settings.mode == Mode::Test || declared || settings.http.bind.ip().is_loopback() {
        return None;
    }
    let found = "http.trusted_proxies names no proxy on another machine: if there is one, all shoppers look like it, and \
                 are limited together";
    Some(Check::warn(
        "proxies",
        found,
        "set PAYWRIGHT__HTTP__TRUSTED_PROXIES to the addresses of your proxies",
    ))
}

fn span(quota: Quota) -> String {
    super::span(quota.window().whole_seconds())
}
