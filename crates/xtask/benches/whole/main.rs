//! Benches of the whole: real processes, fsync on, a load generator of our own on the same machine.
//!
//! `cargo xtask bench payments`, `cargo xtask bench webhooks`; `--help` says what can be set.

mod load;
mod payments;
mod process;
mod stage;
mod table;
mod webhooks;

use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Measures the whole")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

/// What can be measured.
#[derive(Subcommand)]
enum Bench {
    /// Orders placed and payments started a second, while Stripe takes its time.
    Payments(payments::Arguments),
    /// Events taken in and processed a second, beside the limits of the same machine in the same run.
    Webhooks(webhooks::Arguments),
    /// What intake is compared with; started by the bench, in a process of its own as the server is.
    #[command(hide = true)]
    Bare(webhooks::bare::Arguments),
}

fn main() -> ExitCode {
    // The last word is cargo's.
    let words = std::env::args_os().filter(|word| word != "--bench");
    match run(Arguments::parse_from(words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let root = root();
    std::env::set_current_dir(root)?; // cargo starts a bench in its package
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let bench = async {
            match &arguments.bench {
                Bench::Payments(arguments) => payments::run(root, arguments).await,
                Bench::Webhooks(arguments) => webhooks::run(root, arguments).await,
                Bench::Bare(arguments) => webhooks::bare::run(arguments).await,
            }
        };
        // Whatever was started ends with the bench, so it is dropped rather than left.
        tokio::select! {
            outcome = bench => outcome,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

/// The root of the repository.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}
