//! The command line.

use std::{path::PathBuf, process::ExitCode};

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
    /// Compares our books with Stripe's now, repairs ours, and says what is open. Exit code 0: nothing; 2: some breaks; 1:
    /// not everything could be compared.
    Reconcile(commands::reconcile::Reconcile),
    /// What the ledger says of an order or of a day.
    #[command(subcommand)]
    Report(commands::report::Report),
    /// What Stripe told, how far it has come, and reading it once more.
    #[command(subcommand)]
    Inbox(commands::inbox::Inbox),
    /// What the worker does, and trying it again.
    #[command(subcommand)]
    Jobs(commands::jobs::Jobs),
    /// Looks whether everything that payments depend on is as it has to be. Ends with 0: all is well; 1: something is to
    /// be looked at; 2: payments are in danger.
    Doctor(commands::doctor::Doctor),
    /// The webhook endpoint at Stripe.
    #[command(subcommand)]
    Webhooks(commands::webhooks::Webhooks),
    /// Prints the API's OpenAPI 3.1 description.
    Openapi,
    /// The local Stripe alone.
    Sandbox(paywright_sandbox::cli::Args),
}

impl Cli {
    /// Runs the command to its end; the code says what a command found, where it looks for something.
    ///
    /// # Errors
    /// One line for the terminal, see [`one_line`].
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let command = self.command.unwrap_or(Command::Dev);
        if let Command::Openapi = command {
            return commands::openapi::run().map(|()| ExitCode::SUCCESS);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        if let Command::Sandbox(args) = command {
            return runtime.block_on(paywright_sandbox::cli::run(args)).map(|()| ExitCode::SUCCESS);
        }
        let settings = Settings::load(self.config.as_deref());
        if let Command::Doctor(doctor) = command {
            return runtime.block_on(doctor.run(settings));
        }
        let settings = settings?;
        commands::log(&settings.log)?;
        match command {
            Command::Dev => commands::dev::run(&runtime, settings)?,
            Command::Serve { no_worker } => runtime.block_on(commands::serve::run(settings, !no_worker))?,
            Command::Worker => runtime.block_on(commands::serve::work(settings))?,
            Command::Migrate => runtime.block_on(commands::migrate::run(settings))?,
            Command::Keys(keys) => runtime.block_on(keys.run(settings))?,
            Command::Reconcile(reconcile) => return runtime.block_on(reconcile.run(settings)),
            Command::Report(report) => runtime.block_on(report.run(settings))?,
            Command::Webhooks(webhooks) => runtime.block_on(webhooks.run(settings))?,
            Command::Inbox(inbox) => return runtime.block_on(inbox.run(settings)),
            Command::Jobs(jobs) => return runtime.block_on(jobs.run(settings)),
            Command::Openapi | Command::Sandbox(_) | Command::Doctor(_) => unreachable!("handled above"),
        }
        Ok(ExitCode::SUCCESS)
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
