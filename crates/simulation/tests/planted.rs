//! The checker is checked: bugs that are planted are caught.

use paywright_simulation::{Bug, Fault, Knobs, run, shrink};

/// Caught so early that every test run may try it again.
const SOON: u64 = 500;

/// The first seed that catches it, and which invariant it violates.
fn caught(bug: Bug, within: u64) -> Option<(u64, &'static str)> {
    (1..=within).find_map(|seed| {
        let knobs = Knobs { bug: Some(bug), ..Knobs::draw(seed) };
        run(&knobs, false).violation.map(|violation| (seed, violation.id))
    })
}

#[test]
fn the_common_bugs_are_caught_soon() {
    let mut missed = Vec::new();
    for bug in Bug::all().filter(|bug| bug.caught_within() <= SOON) {
        if caught(bug, bug.caught_within()).is_none() {
            missed.push(bug);
        }
    }
    assert_eq!(missed, [], "planted, and not caught within {SOON} seeds");
}

#[test]
fn there_are_enough_of_them() {
    assert!(Bug::all().count() >= 15);
    assert!(Bug::all().all(|bug| bug.caught_within() <= 100_000));
}

#[test]
fn a_failure_is_made_smaller_and_stays_the_same() {
    let bug = Bug::NoReservation;
    let (seed, id) = caught(bug, SOON).expect("it is common");
    let knobs = Knobs { bug: Some(bug), ..Knobs::draw(seed) };
    let (least, violation) = shrink(&knobs).expect("it fails");
    assert_eq!(violation.id, id);
    assert_eq!((least.orders, least.processes), (1, 1));
    let classes = |knobs: &Knobs| Fault::all().filter(|fault| knobs.rates.of(*fault) > 0).count();
    assert!(classes(&least) <= classes(&knobs));
    let line = least.to_string();
    let again = run(&line.parse().expect("what it prints"), false);
    assert_eq!(again.violation, Some(violation), "{line}");
}
