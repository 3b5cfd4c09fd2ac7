//! Benches of the whole: real processes, fsync on, a load generator of our own on the same machine.

mod load;
mod payments;
mod stage;

use std::path::Path;

use clap::Subcommand;

/// What can be measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Orders placed and payments started a second, while Stripe takes its time.
    Payments(payments::Arguments),
}

pub(crate) fn run(root: &Path, bench: &Bench) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match bench {
        Bench::Payments(arguments) => runtime.block_on(payments::run(root, arguments)),
    }
}
