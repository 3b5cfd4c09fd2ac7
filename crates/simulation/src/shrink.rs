//! Makes a failing run smaller: the same violation with fewer classes of faults, fewer orders and processes, and an
//! earlier end of all trouble.

use crate::{invariants::Violation, run::run, swarm::Knobs};

/// How many runs are spent on it.
const TRIES_MAX: u32 = 400;

/// The smallest run that was found to violate the same invariant as `knobs` do, with what it violates. `None`: these
/// violate nothing.
pub fn shrink(knobs: &Knobs) -> Option<(Knobs, Violation)> {
    let first = run(knobs, false);
    let violation = first.violation?;
    let mut search = Search { best: knobs.clone(), violation, steps: first.steps, tries: 0 };
    while search.round() && search.tries < TRIES_MAX {}
    search.stop_trouble_early();
    Some((search.best, search.violation))
}

struct Search {
    best: Knobs,
    violation: Violation,
    steps: u64,
    tries: u32,
}

impl Search {
    /// Tries everything once; whether anything helped.
    fn round(&mut self) -> bool {
        let mut helped = false;
        for fault in self.best.classes().collect::<Vec<_>>() {
            helped |= self.attempt(|knobs| *knobs.rates.of_mut(fault) = 0);
        }
        for orders in [1, self.best.orders / 2, self.best.orders.saturating_sub(1)] {
            if (1..self.best.orders).contains(&orders) {
                helped |= self.attempt(|knobs| knobs.orders = orders);
            }
        }
        for processes in 1..self.best.processes {
            if processes < self.best.processes {
                helped |= self.attempt(|knobs| knobs.processes = processes);
            }
        }
        if self.best.skew > 0 {
            helped |= self.attempt(|knobs| knobs.skew = 0);
        }
        helped
    }

    /// Looks for the first moment from which on nothing need go wrong any more.
    fn stop_trouble_early(&mut self) {
        let (mut enough, mut too_early) = (self.steps, 0);
        while enough - too_early > enough / 50 + 1 && self.tries < TRIES_MAX + 20 {
            let middle = u64::midpoint(enough, too_early);
            if self.attempt(|knobs| knobs.calm_after = Some(middle)) {
                enough = middle;
            } else {
                too_early = middle;
            }
        }
    }

    fn attempt(&mut self, change: impl FnOnce(&mut Knobs)) -> bool {
        self.tries += 1;
        let mut knobs = self.best.clone();
        change(&mut knobs);
        let outcome = run(&knobs, false);
        match outcome.violation {
            Some(violation) if violation.id == self.violation.id => {
                (self.best, self.violation, self.steps) = (knobs, violation, outcome.steps);
                true
            }
            Some(_) | None => false,
        }
    }
}
