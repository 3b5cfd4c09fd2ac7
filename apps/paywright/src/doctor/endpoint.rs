//! Whether Stripe calls us as we need it.

use paywright_domain::{
    Mode,
    ports::{Archive as _, Clock as _, GatewayError, InboxEvent, StoreError, Window},
};
use paywright_postgres::Postgres;
use paywright_stripe::{EVENTS_NEEDED, Finding, Stripe, judge};
use time::{Duration, OffsetDateTime};

use super::{Check, Problem, span};
use crate::{http::problem::chain, system::SystemClock};

/// What did not reach us within this does not reach us.
const SILENCE: Duration = Duration::minutes(15);
/// What a webhook brings comes within this, mostly.
const IN_TIME: Duration = Duration::seconds(20);
/// So many events tell how it is now: one may have been fetched by reconciliation as soon as it was made.
const NEWEST: usize = 5;
/// As far back as it is looked for events.
const LOOKED_BACK: Duration = Duration::DAY;
/// Clocks that differ by more are wrong: signatures are refused at 300 seconds.
const SKEW_MAX: Duration = Duration::seconds(30);

/// Asks Stripe: does it answer us, does it call us at `url`, did what it sent come in time to `store`, and does it have
/// our time?
pub async fn look(stripe: &Stripe, store: Option<&Postgres>, mode: Mode, url: Option<String>) -> Vec<Check> {
    let mut checks = match stripe.endpoints().await {
        Ok(endpoints) => {
            let mut checks = vec![Check::ok("stripe", "it answers, and accepts our key")];
            if let Some(url) = url {
                checks.extend(judged(judge(&endpoints, &url, mode), &url));
            }
            checks
        }
        Err(error) => return vec![unanswered(&error)],
    };
    checks.push(deliveries(stripe, store).await);
    checks.push(clock(stripe));
    checks
}

fn unanswered(error: &GatewayError) -> Check {
    let remedy = match error {
        GatewayError::NotAllowed(_) => {
            "is STRIPE_SECRET_KEY valid, and may it read webhook endpoints and events? Stripe's dashboard, API keys"
        }
        _ => "can this machine reach Stripe? https://status.stripe.com tells whether others can",
    };
    Check::fail("stripe", chain(error), remedy).of(Problem::Unknown)
}

fn judged(findings: Vec<Finding>, url: &str) -> Vec<Check> {
    if findings.is_empty() {
        return vec![Check::ok("endpoint", format!("Stripe sends all we need to {url}"))];
    }
    findings.into_iter().map(|finding| check(&finding)).collect()
}

fn check(finding: &Finding) -> Check {
    let (name, found) = ("endpoint", finding.to_string());
    let mends = "`paywright doctor --fix` mends it";
    match finding {
        Finding::Missing { .. } | Finding::OtherUrl { .. } => {
            let remedy = "`paywright doctor --fix --secret-file FILE` makes one";
            Check::fail(name, found, remedy).of(Problem::Missing)
        }
        Finding::Disabled { .. } => Check::fail(name, found, mends).of(Problem::Disabled),
        Finding::MissingEvents { .. } => Check::fail(name, found, mends).of(Problem::MissingEvents),
        Finding::OtherVersion { .. } => {
            let remedy = "a version is for life: `paywright webhooks roll start` makes another endpoint";
            Check::warn(name, found, remedy).of(Problem::OtherVersion)
        }
        Finding::OtherMode { .. } => {
            let remedy = "set the key of our mode as STRIPE_SECRET_KEY";
            Check::fail(name, found, remedy).of(Problem::OtherMode)
        }
        Finding::Repeated { .. } => {
            let remedy = "harmless while a secret is rolled; `paywright webhooks roll finish` ends that";
            Check::warn(name, found, remedy).of(Problem::Repeated)
        }
    }
}

/// Whether events reach us: by what Stripe says of the newest that had time to, and by when they came.
async fn deliveries(stripe: &Stripe, store: Option<&Postgres>) -> Check {
    let now = their_now(stripe);
    let window = Window { from: now - LOOKED_BACK, before: now - SILENCE };
    let asked = futures::try_join!(stripe.undelivered(window, None), stripe.events(window, None));
    let (undelivered, events) = match asked {
        Ok(shelves) => shelves,
        Err(error) => return Check { name: "deliveries", ..unanswered(&error) },
    };
    let mut missed: Vec<InboxEvent> = undelivered.rows.into_iter().filter(is_needed).collect();
    if let Some(store) = store
        && let Err(error) = forget_arrived(store, &mut missed).await
    {
        return Check::fail("deliveries", chain(&error), "look at the database's log").of(Problem::Unknown);
    }
    let Some(last) = missed.first() else {
        return Check::ok("deliveries", "Stripe has no event for us that did not come in time");
    };
    let count = format!("{}{}", missed.len(), if undelivered.next.is_some() { " or more" } else { "" });
    let ago = span((now - last.created_at).whole_seconds());
    let newest: Vec<&InboxEvent> = events.rows.iter().filter(|event| is_needed(event)).take(NEWEST).collect();
    let is_missed = |event: &&&InboxEvent| missed.iter().any(|missed| missed.id == event.id);
    if newest.iter().filter(is_missed).count() * 2 <= newest.len() {
        let found =
            format!("{count} of Stripe's events did not reach us in time, the last {ago} ago; newer ones do");
        let remedy = "Stripe tries again for three days; `paywright reconcile` fetches what is missing";
        return Check::warn("deliveries", found, remedy).of(Problem::Undelivered);
    }
    let kind = &last.kind;
    let found =
        format!("Stripe stopped calling us: {count} events did not reach us (the last, {kind}, {ago} ago)");
    let remedy = "is our address open to the internet, and is the endpoint's secret in STRIPE_WEBHOOK_SECRET? Look for \
                  \"refused an event\" in the server's log; `paywright reconcile` fetches what is missing";
    Check::fail("deliveries", found, remedy).of(Problem::Silent)
}

/// Forgets the events that came in time: what Stripe could not deliver, it could not deliver to some endpoint of the
/// account, which may be another's. Those that reconciliation fetched came late.
async fn forget_arrived(store: &Postgres, missed: &mut Vec<InboxEvent>) -> Result<(), StoreError> {
    let ids: Vec<String> = missed.iter().map(|event| event.id.clone()).collect();
    let arrivals = store.arrivals(&ids).await?;
    missed.retain(|event| arrivals.get(&event.id).is_none_or(|at| *at > event.created_at + IN_TIME));
    Ok(())
}

/// Whether a change of ours depends on it; others go to other endpoints.
pub fn is_needed(event: &InboxEvent) -> bool {
    EVENTS_NEEDED.contains(&event.kind.as_str())
}

/// What Stripe's clock shows, by which it dates events.
pub fn their_now(stripe: &Stripe) -> OffsetDateTime {
    let ahead = stripe.clock_skew().map_or(Duration::ZERO, |skew| skew.ahead);
    SystemClock.now() - ahead
}

fn clock(stripe: &Stripe) -> Check {
    let Some(skew) = stripe.clock_skew() else {
        return Check::warn("clock", "Stripe did not say what time it is", "look at it again later");
    };
    if skew.ahead.abs() <= SKEW_MAX {
        return Check::ok("clock", "ours and Stripe's agree");
    }
    let side = if skew.ahead.is_positive() { "ahead of" } else { "behind" };
    let found = format!("our clock is {} {side} Stripe's", span(skew.ahead.whole_seconds().abs()));
    Check::fail("clock", found, "set this machine's clock (NTP): at 300 seconds events are refused")
        .of(Problem::Clock)
}
