//! What was done, in numbers.

use std::{sync::atomic::Ordering, time::Duration};

use super::{
    plan::{Blow, Round, Strike},
    shop::Shop,
};

#[derive(Default)]
pub(crate) struct Tally {
    rounds: usize,
    kills: usize,
    ends: usize,
    stops: usize,
    zombie_rounds: usize,
    restarts: usize,
    pub(crate) longest: Duration,
    pub(crate) violations: usize,
}

impl Tally {
    pub(crate) fn count(&mut self, round: &Round) {
        self.rounds += 1;
        self.zombie_rounds += usize::from(round.blow == Blow::Zombies);
        for strike in &round.strikes {
            match strike {
                Strike::Kill(_) => self.kills += 1,
                Strike::KillAll => self.kills += 4,
                Strike::Terminate(_) => self.ends += 1,
                Strike::Stop(_) => self.stops += 1,
                Strike::Database => self.restarts += 1,
            }
        }
    }

    /// How long it took after a blow until a request was answered well again.
    pub(crate) fn recovered(&mut self, after: Duration) {
        self.longest = self.longest.max(after);
    }

    pub(crate) fn print(&self, shop: &Shop, took: Duration) {
        let Self { rounds, kills, ends, stops, zombie_rounds, restarts, longest, violations } = self;
        let told = &shop.told;
        let count = |what: &std::sync::atomic::AtomicUsize| what.load(Ordering::Relaxed);
        println!(
            "{rounds} rounds in {:.0} s: {kills} killed, {ends} ended under load, {stops} stopped past their leases in \
             {zombie_rounds} rounds, {restarts} database restarts",
            took.as_secs_f32()
        );
        println!(
            "{} orders; {} requests acknowledged, {} repeated under their keys after no answer or a 5xx; {} payments \
             taken; {} refunds",
            shop.sold.len(),
            count(&told.acknowledged),
            count(&told.repeated),
            count(&told.payments),
            count(&told.refunds),
        );
        println!("longest until served again: {:.1} s; violations: {violations}", longest.as_secs_f32());
    }
}
