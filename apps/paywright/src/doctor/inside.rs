//! How things stand in our own database.

use paywright_domain::{Mode, RunState, ports::Clock as _};
use paywright_postgres::{Postgres, Standing};

use super::{Check, span};
use crate::{http::problem::chain, system::SystemClock};

/// Our clock and the database's may differ by so much, in seconds; leases go by the database's.
const SKEW_MAX: i64 = 30;
/// An event waits for seconds, unless there is a flood.
const WAITS: i64 = 60;
const WAITS_TOO_LONG: i64 = 900;
/// Reconciliation runs every few minutes.
const RECONCILED: i64 = 1_800;

/// Looks at what the database says of events, jobs, breaks and reconciliation.
pub(super) async fn look(store: &Postgres, mode: Mode, checks: &mut Vec<Check>) {
    match store.standing(mode).await {
        Ok(standing) => {
            let look = [clock, last_event, waiting, dead, breaks, reconciliation];
            checks.extend(look.map(|look| look(&standing)));
        }
        Err(error) => checks.push(Check::fail("database", chain(&error), "look at the database's log")),
    }
}

fn clock(standing: &Standing) -> Check {
    let name = "database_clock";
    let ahead = standing.now.map_or(0, |theirs| (SystemClock.now() - theirs).whole_seconds());
    if ahead.abs() <= SKEW_MAX {
        return Check::ok(name, "ours and the database's agree");
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    Check::warn(
        name,
        format!("our clock is {} {side} the database's", span(ahead.abs())),
        "set both clocks (NTP)",
    )
}

fn last_event(standing: &Standing) -> Check {
    match standing.newest_event {
        Some(age) => Check::ok("last_event", format!("the last event came {} ago", span(age))),
        None => {
            let remedy = "pay an order, or send an event by Stripe's dashboard, to see that they come";
            Check::warn("last_event", "no event ever came", remedy)
        }
    }
}

fn waiting(standing: &Standing) -> Check {
    let (name, age) = ("waiting_events", standing.oldest_event.unwrap_or_default());
    let found = format!("the oldest event that is not processed waits for {}", span(age));
    let remedy = "is a worker running? `paywright jobs list` shows what fails, and why";
    if age <= WAITS {
        Check::ok(name, "no event waits for long")
    } else if age <= WAITS_TOO_LONG {
        Check::warn(name, found, remedy)
    } else {
        Check::fail(name, found, remedy)
    }
}

fn dead(standing: &Standing) -> Check {
    let dead: Vec<_> =
        standing.dead.iter().map(|(queue, jobs)| format!("{jobs} in the queue {queue}")).collect();
    if dead.is_empty() {
        return Check::ok("dead_jobs", "no job was given up");
    }
    let remedy = "`paywright jobs list --state dead` tells why; `paywright inbox replay` and `paywright jobs retry` \
                  start them again";
    Check::fail("dead_jobs", format!("given up: {}", dead.join(", ")), remedy)
}

fn breaks(standing: &Standing) -> Check {
    let count: i64 = standing.breaks.iter().map(|row| row.count).sum();
    let Some(oldest) = standing.breaks.iter().map(|row| row.oldest).max() else {
        return Check::ok("breaks", "every difference to Stripe's books is explained");
    };
    let at_risk: Vec<_> = standing
        .breaks
        .iter()
        .filter_map(|row| Some(format!("{} {} ({})", row.at_risk, row.currency?, row.kind)))
        .collect();
    let at_risk = if at_risk.is_empty() { "nothing".to_owned() } else { at_risk.join(", ") };
    let found = format!("{count} open, the oldest for {}; at risk in minor units: {at_risk}", span(oldest));
    Check::warn("breaks", found, "GET /v1/breaks shows both sides; POST /v1/breaks/{id}/resolve ends one")
}

fn reconciliation(standing: &Standing) -> Check {
    let (name, remedy) = ("reconciliation", "is a worker running? `paywright reconcile` runs it now");
    let Some(age) = standing.run_ended else {
        return Check::warn(name, "it never ran to its end", remedy);
    };
    let found = format!("the last run that ended began {} ago", span(age));
    match standing.run {
        Some(RunState::Failed) => Check::fail(name, format!("the newest run failed; {found}"), remedy),
        Some(RunState::Incomplete) => {
            Check::warn(name, format!("{found}, and could not compare everything"), remedy)
        }
        _ if age > RECONCILED => Check::fail(name, found, remedy),
        Some(RunState::Running | RunState::Done) | None => Check::ok(name, found),
    }
}
