//! Whether every planted bug is caught.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use paywright_simulation::{Bug, Knobs, Violation, run};
use serde_json::json;

use crate::{
    Arguments,
    many::{bar, cores},
};

/// Runs each bug until it is caught; whether all are, within their bounds.
pub(crate) fn catch_all(arguments: &Arguments) -> bool {
    let mut well = true;
    for bug in Bug::all() {
        let caught = catch(bug, arguments);
        let within = caught.as_ref().is_some_and(|(seed, _)| *seed < arguments.from + bug.caught_within());
        well &= within;
        let (bound, late) = (bug.caught_within(), if within { "" } else { "  LATE" });
        match caught {
            Some((seed, found)) if arguments.json => {
                println!(
                    "{}",
                    json!({"bug": bug.to_string(), "seed": seed, "id": found.id, "within": bound})
                );
            }
            None if arguments.json => {
                println!("{}", json!({"bug": bug.to_string(), "seed": null, "within": bound}));
            }
            Some((seed, found)) => println!("{bug:<22} seed {seed:>6} of {bound:>6}  {}{late}", found.id),
            None => println!("{bug:<22} not caught within {bound}{late}"),
        }
    }
    well
}

/// The first seed that catches it, and what it violates.
fn catch(bug: Bug, arguments: &Arguments) -> Option<(u64, Violation)> {
    let bar = bar(bug.caught_within()).with_message(bug.to_string());
    let (next, found) = (AtomicU64::new(0), Mutex::new(None::<(u64, Violation)>));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= bug.caught_within() {
                        break;
                    }
                    let seed = arguments.from + at;
                    let outcome = run(&Knobs { bug: Some(bug), ..Knobs::draw(seed) }, false);
                    bar.inc(1);
                    if let Some(violation) = outcome.violation {
                        done.store(true, Ordering::Relaxed);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        if found.as_ref().is_none_or(|(first, _)| seed < *first) {
                            *found = Some((seed, violation));
                        }
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}
