//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{commands, config::Settings};

/// Orders and their payments through Stripe: never lost, never charged twice.
#[derive(Debug, Parser)]
#[command(name = "paywright", version)]
pub struct Cli {
    /// The configuration file; by default `paywright.toml` if there is one.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything on one machine: an embedded database, a local Stripe, a demo catalogue, server and worker (the
    /// default).
    Dev,
    /// The HTTP server, with the worker unless told otherwise.
    Serve {
        /// Serve only; run `paywright worker` elsewhere.
        #[arg(long)]
        no_worker: bool,
    },
    /// The worker alone.
    Worker,
    /// Brings the database's schema up to date.
    Migrate,
    /// API keys.
    #[command(subcommand)]
    Keys(commands::keys::Keys),
    /// What the ledger says of an order or of a day.
    #[command(subcommand)]
    Report(commands::report::Report),
    /// Prints the API's OpenAPI 3.1 description.
    Openapi,
    /// The local Stripe alone.
    Sandbox(paywright_sandbox::cli::Args),
}

impl Cli {
    /// Runs the command to its end.
    ///
    /// # Errors
    /// One line for the terminal, see [`one_line`].
    pub fn run(self) -> anyhow::Result<()> {
        let command = self.command.unwrap_or(Command::Dev);
        if let Command::Openapi = command {
            return commands::openapi::run();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        if let Command::Sandbox(args) = command {
            return runtime.block_on(paywright_sandbox::cli::run(args));
        }
        let settings = Settings::load(self.config.as_deref())?;
        commands::log(&settings.log)?;
        match command {
            Command::Dev => commands::dev::run(&runtime, settings),
            Command::Serve { no_worker } => runtime.block_on(commands::serve::run(settings, !no_worker)),
            Command::Worker => runtime.block_on(commands::serve::work(settings)),
            Command::Migrate => runtime.block_on(commands::migrate::run(settings)),
            Command::Keys(keys) => runtime.block_on(keys.run(settings)),
            Command::Report(report) => runtime.block_on(report.run(settings)),
            Command::Openapi | Command::Sandbox(_) => unreachable!("handled above"),
        }
    }
}

/// An error and its causes on one line; no stack trace.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        // Many libraries repeat their source in their own text.
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}
