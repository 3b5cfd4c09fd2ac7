//! Histograms, looked up once by each thread and then kept: finding one by its labels costs more than what it records.

use std::{cell::RefCell, time::Duration};

use metrics::Histogram;

/// The histograms of one metric, by two labels.
#[derive(Default)]
pub(super) struct Kept(RefCell<Vec<([&'static str; 2], Histogram)>>);

impl Kept {
    /// Records in the one with these labels, which `make` looks up. It counts for ever where it counts now: who reads the
    /// numbers is installed before the first.
    pub(super) fn record(
        &self,
        labels: [&'static str; 2],
        value: Duration,
        make: impl FnOnce([&'static str; 2]) -> Histogram,
    ) {
        let mut kept = self.0.borrow_mut();
        let at = kept.iter().position(|(known, _)| *known == labels).unwrap_or_else(|| {
            kept.push((labels, make(labels)));
            kept.len() - 1
        });
        kept[at].1.record(value);
    }
}
