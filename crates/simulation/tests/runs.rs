//! Many runs, by their seeds, and those that failed once.

use std::thread;

use paywright_simulation::{Knobs, Report, run};

/// Runs in each of the tests below: they run side by side.
const RUNS: u64 = 520;

/// Runs so many seeds, and stops at what does not hold.
fn all_hold(from: u64) {
    let mut report = Report::default();
    for seed in from..from + RUNS {
        let knobs = Knobs::draw(seed);
        let outcome = run(&knobs, false);
        if let Some(violation) = &outcome.violation {
            panic!("{violation}\nlook at it: cargo xtask simulate --seed {seed}");
        }
        report.add(&knobs, &outcome);
    }
    assert!(report.by_channels.iter().all(|runs| *runs > RUNS / 5), "{:?}", report.by_channels);
    assert!(report.faults() > 50 * RUNS, "too little goes wrong: {report}");
}

/// Covers: I1, I2, I3, I4, I5, I6, I7, I9, I10, I11, I12, I13, I14, I16, I17, I18, I19, I20, I21, I22, I23, I24, I26, I27,
/// fault 1, fault 2, fault 3, fault 9, fault 11, fault 12.
#[test]
fn every_invariant_holds_whatever_goes_wrong_first_part() {
    all_hold(1);
}

/// Covers: fault 13, fault 14, fault 15, fault 16, fault 20, fault 22, fault 27, fault 28, fault 32, fault 33, fault 34.
#[test]
fn every_invariant_holds_whatever_goes_wrong_second_part() {
    all_hold(100_001);
}

/// Covers: fault 53, fault 55, fault 57, fault 58, fault 62, fault 67.
#[test]
fn every_invariant_holds_whatever_goes_wrong_third_part() {
    all_hold(200_001);
}

/// Covers: D-1, D-7, D-10, D-15, O-1, R-1, R-5, C-1, C-2.
#[test]
fn every_invariant_holds_whatever_goes_wrong_fourth_part() {
    all_hold(300_001);
}

#[test]
fn a_seed_is_a_run_to_the_last_step() {
    for seed in [1, 2, 3, 20, 21, 22] {
        let knobs = Knobs::draw(seed);
        let again = thread::spawn({
            let knobs = knobs.clone();
            move || run(&knobs, true)
        });
        let (first, again) = (run(&knobs, false), again.join().expect("it runs"));
        assert_eq!((first.steps, first.trail.hash()), (again.steps, again.trail.hash()), "seed {seed}");
        assert_ne!(first.trail.hash(), run(&Knobs::draw(seed + 1), false).trail.hash());
    }
}

#[test]
fn what_failed_once_holds_now() {
    let lines = include_str!("../regressions.txt").lines();
    for line in lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let knobs: Knobs = line.parse().expect("a line of knobs");
        let outcome = run(&knobs, false);
        assert_eq!(outcome.violation, None, "{line}");
    }
}
