//! Many runs, on all cores.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};
use paywright_simulation::{Fault, Report, run};
use serde_json::{Map, json};

use crate::{Arguments, one};

/// Runs all seeds; whether nothing was violated.
pub(crate) fn run_all(arguments: &Arguments) -> bool {
    let (bar, begun) = (bar(arguments.seeds), Instant::now());
    let (next, all) = (AtomicU64::new(0), Mutex::new(Report::default()));
    thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                let mut report = Report::default();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= arguments.seeds {
                        break;
                    }
                    if let Some(knobs) = arguments.draw(arguments.from + at) {
                        let outcome = run(&knobs, false);
                        if let Some(violation) = &outcome.violation {
                            bar.suspend(|| eprintln!("{knobs}: {violation}"));
                        }
                        report.add(&knobs, &outcome);
                    }
                    bar.inc(1);
                }
                all.lock().unwrap_or_else(PoisonError::into_inner).merge(report);
            });
        }
    });
    bar.finish_and_clear();
    let report = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    if arguments.json {
        println!("{}", as_json(&report, millis));
        return report.failures.is_empty();
    }
    println!("{report}");
    let a_second = |count: u64| count.saturating_mul(1000) / millis;
    println!(
        "{} s: {} runs, {} orders, {} faults a second",
        millis / 1000,
        a_second(report.runs),
        a_second(report.orders),
        a_second(report.faults())
    );
    if let Some((knobs, _)) = report.failures.first().filter(|_| !arguments.keep) {
        one::smaller(knobs);
    }
    report.failures.is_empty()
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) fn bar(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    match ProgressStyle::with_template("{wide_bar} {pos}/{len} seeds, {per_sec}, {eta} left {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn as_json(report: &Report, millis: u64) -> serde_json::Value {
    let faults: Map<_, _> =
        Fault::all().map(|fault| (fault.to_string(), report.faults.of(fault).into())).collect();
    let failures: Vec<_> = report
        .failures
        .iter()
        .map(|(knobs, found)| json!({"run": knobs.to_string(), "id": found.id, "words": found.words}))
        .collect();
    json!({
        "runs": report.runs, "by_channels": report.by_channels, "orders": report.orders, "steps": report.steps,
        "faults": faults, "faults_total": report.faults(), "milliseconds": millis, "failures": failures,
    })
}
