//! Every metric there is. A test prints this list to `docs/metrics.md`, and another holds it against a real process.

use std::fmt::Write as _;

use Kind::{Counter, Gauge, Histogram};

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// How many since the process began.
    Counter,
    /// How it is now.
    Gauge,
    /// How many, and how long each took: `_count`, `_sum` and `_bucket`.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// With the unit at its end.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What it is split by; each has few values, all known in advance, and none is a name of anything of anybody's.
    pub labels: &'static [&'static str],
    /// What it counts, and in which unit.
    pub help: &'static str,
    /// When to wake somebody, if ever.
    pub alert: &'static str,
}

pub(super) const HTTP: &str = "paywright_http_request_duration_seconds";
pub(super) const WEBHOOK: &str = "paywright_webhook_duration_seconds";
pub(super) const LAG: &str = "paywright_event_lag_seconds";
pub(super) const JOB: &str = "paywright_job_duration_seconds";
pub(super) const CALL: &str = "paywright_stripe_call_duration_seconds";
pub(super) const EVENT_AGE: &str = "paywright_oldest_unprocessed_event_age_seconds";
pub(super) const EVENT_SINCE: &str = "paywright_last_event_age_seconds";
pub(super) const QUEUE: &str = "paywright_queue_jobs";
pub(super) const DEAD: &str = "paywright_dead_jobs";
pub(super) const BREAKS: &str = "paywright_open_breaks";
pub(super) const BREAK_AGE: &str = "paywright_oldest_break_age_seconds";
pub(super) const AT_RISK: &str = "paywright_money_at_risk_minor_units";
pub(super) const RUN_AGE: &str = "paywright_reconciliation_age_seconds";
pub(super) const RUN_STATE: &str = "paywright_reconciliation_state";
pub(super) const ENDPOINT: &str = "paywright_endpoint_problem";
pub(super) const ENDPOINT_AGE: &str = "paywright_endpoint_check_age_seconds";
pub(super) const SKEW: &str = "paywright_clock_skew_seconds";
pub(super) const DATABASE: &str = "paywright_up_database";
pub(super) const POOL: &str = "paywright_database_connections";
pub(super) const POOL_MAX: &str = "paywright_database_connections_max";
pub(super) const REFUSED: &str = "paywright_requests_refused_total";
pub(super) const DECLINES: &str = "paywright_recent_declines";
pub(super) const BREAKER: &str = "paywright_decline_breaker_open";
pub(super) const BUILD: &str = "paywright_build_info";

/// All of ours. Those of the process itself have their usual names, `process_...`.
pub const METRICS: [Metric; 24] = [
    Metric {
        name: HTTP,
        kind: Histogram,
        labels: &["route", "method", "status"],
        help: "Seconds until a request was answered, by the route's pattern, the method and the class of its status",
        alert: "`status=\"5xx\"` above 1 % of requests for 5 minutes",
    },
    Metric {
        name: WEBHOOK,
        kind: Histogram,
        labels: &["outcome", "reason"],
        help: "Seconds until a delivery of Stripe's was answered, by what became of the event and why",
        alert: "any `outcome=\"refused\"` or `\"unavailable\"` for 5 minutes; any `\"unreadable\"`; `reason=\"too_old\"` or `\"too_new\"`: \
                clocks disagree",
    },
    Metric {
        name: LAG,
        kind: Histogram,
        labels: &[],
        help: "Seconds from the moment Stripe made an event until it was processed here",
        alert: "99th percentile above 60 for 10 minutes",
    },
    Metric {
        name: JOB,
        kind: Histogram,
        labels: &["task", "result"],
        help: "Seconds that an attempt at a job took, by what it was about and how it ended",
        alert: "`result=\"panicked\"` at all; `\"retry\"` above half of all for 10 minutes",
    },
    Metric {
        name: CALL,
        kind: Histogram,
        labels: &["operation", "result"],
        help: "Seconds that a call to Stripe took, its wait for a place included, by operation and result",
        alert: "`result=\"not_allowed\"` at all: the key is refused; `\"unknown\"` above 5 % for 5 minutes",
    },
    Metric {
        name: EVENT_AGE,
        kind: Gauge,
        labels: &[],
        help: "Seconds since the oldest event that waits to be processed was received, dead ones aside; 0 when none waits",
        alert: "above 300: events come in and are not processed",
    },
    Metric {
        name: EVENT_SINCE,
        kind: Gauge,
        labels: &[],
        help: "Seconds since the newest event was received; absent until there was one",
        alert: "above what is usual for the shop while orders are paid; see `paywright_endpoint_problem`",
    },
    Metric {
        name: QUEUE,
        kind: Gauge,
        labels: &["queue", "priority", "state"],
        help: "Jobs that are not finished: due, running, or due later; at most 20000 of each queue and priority are counted",
        alert: "`state=\"due\"` growing for 15 minutes",
    },
    Metric {
        name: DEAD,
        kind: Gauge,
        labels: &["queue"],
        help: "Jobs that were given up and wait for a person; at most 20000 are counted",
        alert: "above 0",
    },
    Metric {
        name: BREAKS,
        kind: Gauge,
        labels: &["kind"],
        help: "Differences between our books and Stripe's that no rule explains; at most 20000 are counted",
        alert: "above 0 for a day; `kind=\"identity_mismatch\"` at once",
    },
    Metric {
        name: BREAK_AGE,
        kind: Gauge,
        labels: &[],
        help: "Seconds since the oldest open break was found; 0 when none is open",
        alert: "above 259200 (three days)",
    },
    Metric {
        name: AT_RISK,
        kind: Gauge,
        labels: &["currency"],
        help: "Money in the wrong place according to the open breaks, in minor units of the currency",
        alert: "above what the shop can bear",
    },
    Metric {
        name: RUN_AGE,
        kind: Gauge,
        labels: &[],
        help: "Seconds since the last run of reconciliation that ended was begun; absent until there was one",
        alert: "above 1800: nothing finds what webhooks did not bring",
    },
    Metric {
        name: RUN_STATE,
        kind: Gauge,
        labels: &["state"],
        help: "1 for the state in which the newest run of reconciliation is, 0 for the others",
        alert: "`state=\"failed\"` for 30 minutes",
    },
    Metric {
        name: ENDPOINT,
        kind: Gauge,
        labels: &["problem"],
        help: "1 for each problem that the last check of the webhook endpoint found, 0 for those it looked for in vain",
        alert: "above 0: `paywright doctor` says what to do",
    },
    Metric {
        name: ENDPOINT_AGE,
        kind: Gauge,
        labels: &[],
        help: "Seconds since the last check of the webhook endpoint ended; absent until there was one",
        alert: "above 1800",
    },
    Metric {
        name: SKEW,
        kind: Gauge,
        labels: &[],
        help: "Seconds that our clock was ahead of Stripe's (behind: negative) at its last answer; absent until there was one",
        alert: "above 30 or below -30",
    },
    Metric {
        name: DATABASE,
        kind: Gauge,
        labels: &[],
        help: "1 when the database answered lately, 0 when not; then what is read from it is absent",
        alert: "0 for a minute",
    },
    Metric {
        name: POOL,
        kind: Gauge,
        labels: &["pool", "state"],
        help: "Connections to the database of this process, in use or idle; `keyed` are the hot path's",
        alert: "`state=\"in_use\"` at the maximum for a minute",
    },
    Metric {
        name: POOL_MAX,
        kind: Gauge,
        labels: &["pool"],
        help: "Connections to the database that this process may have",
        alert: "",
    },
    Metric {
        name: REFUSED,
        kind: Counter,
        labels: &["rule"],
        help: "Requests that were refused by a limit, or because payments are paused, by this process",
        alert: "any `declines_...` or `payments_per_address` growing for 10 minutes: see docs/limits.md",
    },
    Metric {
        name: DECLINES,
        kind: Gauge,
        labels: &[],
        help: "Declined attempts of the whole shop within the time of `limits.breaker_declines`; servers show it",
        alert: "",
    },
    Metric {
        name: BREAKER,
        kind: Gauge,
        labels: &[],
        help: "1 while too many attempts are declined, and limits are tightened or payments paused, else 0; servers show it",
        alert: "above 0: somebody may be testing cards, see docs/limits.md",
    },
    Metric {
        name: BUILD,
        kind: Gauge,
        labels: &["version", "mode"],
        help: "Always 1; says which version runs, in which mode",
        alert: "",
    },
];

/// What `_bucket` counts, in seconds.
pub(super) fn buckets(metric: &str) -> &'static [f64] {
    match metric {
        WEBHOOK => &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
        LAG => &[0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, 259_200.0],
        JOB => &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0],
        _ => &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
    }
}

/// Tells the current recorder what each metric means.
pub(super) fn describe() {
    for Metric { name, kind, help, .. } in METRICS {
        match kind {
            Counter => metrics::describe_counter!(name, help),
            Gauge => metrics::describe_gauge!(name, help),
            Histogram => metrics::describe_histogram!(name, help),
        }
    }
}

/// The list as a table in Markdown.
pub fn table() -> String {
    let mut table =
        String::from("| name | type | labels | meaning | suggested alert |\n|---|---|---|---|---|\n");
    for Metric { name, kind, labels, help, alert } in METRICS {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels): (&str, _) = (kind.into(), labels.join(", "));
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} | {alert} |").expect("a string takes all");
    }
    table
}
