//! A long time in pieces, the oldest first, so that whatever interrupts a run leaves something done.

use time::{Duration, OffsetDateTime};

use crate::ports::Window;

/// How often the gateway may still be asked.
pub(super) struct Budget {
    spent: u32,
    max: u32,
}

impl Budget {
    pub(super) fn new(max: u32) -> Self {
        Self { spent: 0, max }
    }

    pub(super) fn spend(&mut self, asks: u32) {
        self.spent = self.spent.saturating_add(asks);
    }

    pub(super) fn spent(&self) -> u32 {
        self.spent
    }

    pub(super) fn is_spent(&self) -> bool {
        self.spent >= self.max
    }
}

/// The pieces of a window. They grow while there is little in them and shrink while there is much.
pub(super) struct Slices {
    rest: Window,
    span: Duration,
}

impl Slices {
    const FIRST: Duration = Duration::HOUR;
    const SHORTEST: Duration = Duration::MINUTE;
    /// A piece that took so few asks is followed by one of twice its length.
    const FEW: u32 = 4;
    /// A piece that took so many is followed by one of half its length.
    const MANY: u32 = 30;

    pub(super) fn new(window: Window) -> Self {
        Self { rest: window, span: Self::FIRST }
    }

    /// The next piece; `None` after the last.
    pub(super) fn next(&self) -> Option<Window> {
        let Window { from, before } = self.rest;
        (from < before).then(|| Window { from, before: self.end(from).min(before) })
    }

    fn end(&self, from: OffsetDateTime) -> OffsetDateTime {
        from.checked_add(self.span).unwrap_or(self.rest.before)
    }

    /// A piece is done, and took so many asks.
    pub(super) fn done(&mut self, piece: Window, asks: u32) {
        self.rest.from = piece.before;
        if asks <= Self::FEW {
            self.span = self.span.saturating_mul(2);
        } else if asks >= Self::MANY {
            self.span = self.span.checked_div(2).map_or(Self::SHORTEST, |half| half.max(Self::SHORTEST));
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn pieces(window: Window, asks: u32) -> Vec<Window> {
        let (mut slices, mut pieces) = (Slices::new(window), Vec::new());
        while let Some(piece) = slices.next() {
            slices.done(piece, asks);
            pieces.push(piece);
        }
        pieces
    }

    /// Covers: W-13.
    #[test]
    fn a_time_is_cut_without_gaps_whatever_is_in_it() {
        let window = Window { from: NOW - Duration::days(30), before: NOW };
        for (asks, most) in [(1, 10), (10, 720), (100, 43_200)] {
            let pieces = pieces(window, asks);
            assert!(pieces.len() <= most, "{} pieces at {asks} asks each", pieces.len());
            assert_eq!((pieces[0].from, pieces[pieces.len() - 1].before), (window.from, window.before));
            assert!(pieces.windows(2).all(|two| two[0].before == two[1].from && two[0].from < two[0].before));
        }
        assert_eq!(Slices::new(Window { from: NOW, before: NOW }).next(), None);
    }

    #[test]
    fn a_budget_ends() {
        let mut budget = Budget::new(3);
        budget.spend(2);
        assert!(!budget.is_spent());
        budget.spend(u32::MAX);
        assert!(budget.is_spent());
        assert_eq!(budget.spent(), u32::MAX);
    }
}
