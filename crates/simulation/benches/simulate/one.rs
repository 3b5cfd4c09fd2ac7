//! One run, looked at.

use paywright_simulation::{Knobs, run, shrink};
use serde_json::json;

use crate::Arguments;

/// Runs one seed or line; whether nothing was violated.
pub(crate) fn look(arguments: &Arguments, line: &str) -> bool {
    let line = if line.contains('=') { line.to_owned() } else { format!("seed={line}") };
    let mut knobs: Knobs = match line.parse() {
        Ok(knobs) => knobs,
        Err(error) => {
            eprintln!("error: {error}");
            return false;
        }
    };
    knobs.bug = arguments.bug.or(knobs.bug);
    let outcome = run(&knobs, arguments.trail);
    if arguments.json {
        let violation = outcome.violation.as_ref().map(|found| json!({"id": found.id, "words": found.words}));
        let told = json!({
            "run": knobs.to_string(), "steps": outcome.steps, "orders": outcome.orders,
            "trail": format!("{:016x}", outcome.trail.hash()), "violation": violation,
        });
        println!("{told}");
        return outcome.violation.is_none();
    }
    outcome.trail.lines().iter().for_each(|line| println!("{line}"));
    println!(
        "{knobs}: {} steps, {} orders, trail {:016x}",
        outcome.steps,
        outcome.orders,
        outcome.trail.hash()
    );
    match outcome.violation {
        None => true,
        Some(violation) => {
            println!("{violation}");
            if !arguments.keep && !arguments.trail {
                smaller(&knobs);
            }
            false
        }
    }
}

/// Makes a failure smaller, and tells how it came about.
pub(crate) fn smaller(knobs: &Knobs) {
    let Some((least, violation)) = shrink(knobs) else { return };
    let outcome = run(&least, true);
    println!("\nthe shortest that was found:\n  {least}\n  {violation}");
    let lines = outcome.trail.lines();
    let told = &lines[lines.len().saturating_sub(TOLD)..];
    println!("its last {} of {} lines (all: --trail --seed '{least}'):", told.len(), lines.len());
    told.iter().for_each(|line| println!("  {line}"));
}

/// Lines of a trail that are told unasked.
const TOLD: usize = 60;
