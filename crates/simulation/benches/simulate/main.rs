//! `cargo xtask simulate`: many runs on all cores, one that is looked at, or all planted bugs.

mod bugs;
mod many;
mod one;

use std::process::ExitCode;

use clap::Parser;
use paywright_simulation::{Bug, Channels, Knobs};

/// Simulates orders, payments and whatever goes wrong, and checks every invariant.
#[derive(Parser)]
#[command(name = "cargo xtask simulate")]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Only this seed, or this line of knobs, as a failure prints it.
    #[arg(long)]
    seed: Option<String>,
    /// Only runs that hear of Stripe like this: both, webhooks, reconciliation.
    #[arg(long, visible_alias = "mode")]
    channels: Option<Channels>,
    /// With a planted bug.
    #[arg(long)]
    bug: Option<Bug>,
    /// All planted bugs, each until it is caught.
    #[arg(long, conflicts_with_all = ["seed", "bug"])]
    bugs: bool,
    /// Prints what happened, step by step; only with --seed.
    #[arg(long, requires = "seed")]
    trail: bool,
    /// Tells failures as they are, without making them smaller.
    #[arg(long)]
    keep: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// What a seed draws, as far as it is asked for.
    fn draw(&self, seed: u64) -> Option<Knobs> {
        let knobs = Knobs { bug: self.bug, ..Knobs::draw(seed) };
        Some(knobs).filter(|knobs| self.channels.is_none_or(|channels| channels == knobs.channels))
    }
}

fn main() -> ExitCode {
    // `cargo bench` adds a word of its own.
    let words = std::env::args().filter(|word| word != "--bench");
    let arguments = Arguments::parse_from(words);
    let well = match &arguments.seed {
        Some(seed) => one::look(&arguments, seed),
        None if arguments.bugs => bugs::catch_all(&arguments),
        None => many::run_all(&arguments),
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
