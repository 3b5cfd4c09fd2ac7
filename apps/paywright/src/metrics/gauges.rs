//! How things stand, as gauges of a fresh recorder.

use std::collections::BTreeMap;

use metrics::gauge;
use metrics_process::Collector;
use paywright_domain::{
    RunState,
    ports::{Priority, QueueName},
};
use paywright_postgres::{Connections, OpenJobs, Standing};
use strum::IntoEnumIterator as _;

use super::catalogue::{
    AT_RISK, BREAK_AGE, BREAKER, BREAKS, BUILD, DATABASE, DEAD, DECLINES, ENDPOINT, ENDPOINT_AGE, EVENT_AGE,
    EVENT_SINCE, POOL, POOL_MAX, QUEUE, RUN_AGE, RUN_STATE, SKEW,
};
use crate::{doctor::Problem, wiring::App};

/// How an unfinished job may stand.
const STATES: [&str; 3] = ["due", "running", "later"];

/// What this process knows by itself.
pub(super) fn of_process(app: &App) {
    let usual_names = Collector::default();
    usual_names.describe();
    usual_names.collect();
    let mode: &str = app.settings.mode.into();
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION"), "mode" => mode).set(1.0);
    for Connections { pool, in_use, idle, max } in app.store.connections() {
        gauge!(POOL, "pool" => pool, "state" => "in_use").set(in_use);
        gauge!(POOL, "pool" => pool, "state" => "idle").set(idle);
        gauge!(POOL_MAX, "pool" => pool).set(max);
    }
    if let Some(seen) = app.gate.seen() {
        gauge!(DECLINES).set(f64::from(seen.lately.declined));
        gauge!(BREAKER).set(if seen.is_open { 1.0 } else { 0.0 });
    }
    if let Some(skew) = app.stripe.clock_skew() {
        gauge!(SKEW).set(skew.ahead.as_seconds_f64());
    }
}

/// What stands in the database; `None` when it does not answer. What is zero is said to be zero: an alarm cannot be
/// set on what is absent.
pub(super) fn of_database(standing: Option<&Standing>) {
    gauge!(DATABASE).set(if standing.is_some() { 1.0 } else { 0.0 });
    let Some(standing) = standing else { return };
    jobs(standing);
    breaks(standing);
    gauge!(EVENT_AGE).set(seconds(standing.oldest_event.unwrap_or_default()));
    if let Some(age) = standing.newest_event {
        gauge!(EVENT_SINCE).set(seconds(age));
    }
    if let Some(age) = standing.run_ended {
        gauge!(RUN_AGE).set(seconds(age));
    }
    if let Some(check) = &standing.endpoint {
        gauge!(ENDPOINT_AGE).set(seconds(check.age));
        for problem in Problem::iter() {
            let (name, found): (&str, _) = (problem.into(), problem.is_noted(check.found.as_deref()));
            gauge!(ENDPOINT, "problem" => name).set(if found { 1.0 } else { 0.0 });
        }
    }
    if let Some(newest) = standing.run {
        for state in RunState::iter() {
            let name: &str = state.into();
            gauge!(RUN_STATE, "state" => name).set(if state == newest { 1.0 } else { 0.0 });
        }
    }
}

fn jobs(standing: &Standing) {
    for queue in QueueName::iter() {
        let name: &str = queue.into();
        for priority in Priority::iter() {
            for state in STATES {
                let same =
                    |row: &&OpenJobs| (row.queue, row.priority, &*row.state) == (queue, priority, state);
                let (jobs, priority): (_, &str) = (standing.open.iter().filter(same), priority.into());
                gauge!(QUEUE, "queue" => name, "priority" => priority, "state" => state)
                    .set(number(jobs.map(|row| row.jobs).sum()));
            }
        }
        let dead = standing.dead.iter().filter(|(of, _)| *of == queue);
        gauge!(DEAD, "queue" => name).set(number(dead.map(|(_, jobs)| *jobs).sum()));
    }
}

fn breaks(standing: &Standing) {
    let mut counts = BTreeMap::new();
    for row in &standing.breaks {
        *counts.entry(row.kind).or_insert(0) += row.count;
    }
    for (kind, count) in counts {
        let kind: &str = kind.into();
        gauge!(BREAKS, "kind" => kind).set(number(count));
    }
    let oldest = standing.breaks.iter().map(|row| row.oldest).max();
    gauge!(BREAK_AGE).set(seconds(oldest.unwrap_or_default()));
    let mut at_risk = BTreeMap::new();
    for row in &standing.breaks {
        if let Some(currency) = row.currency {
            *at_risk.entry(currency.code().to_owned()).or_insert(0) += row.at_risk;
        }
    }
    for (currency, minor) in at_risk {
        gauge!(AT_RISK, "currency" => currency).set(number(minor));
    }
}

/// An age; clocks of a database that moved may give one below zero.
fn seconds(age: i64) -> f64 {
    number(age.max(0))
}

/// Exact up to 2^53, which is more money than there is.
fn number(number: i64) -> f64 {
    number as f64
}
