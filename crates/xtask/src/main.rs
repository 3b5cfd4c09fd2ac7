//! `cargo xtask`: the chores of this repository that need more than one command.
//!
//! Builds without the crate it prepares: no sqlx, no `paywright-postgres`. Otherwise a stale query cache
//! could not be renewed by the tool that renews it. The benches need more, and are a program of their own.

mod bench;
mod db;
mod kill_rounds;
mod simulate;
mod sqlx;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The chores of this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Renews .sqlx, the committed cache of checked queries, against a private database.
    Sqlx {
        /// Change nothing; fail when the committed cache differs.
        #[arg(long)]
        check: bool,
    },
    /// Runs a private database, empty at first and kept in target/, until Ctrl-C; prints its address.
    Db,
    /// Measures the whole, `payments` or `webhooks`: builds a release, starts it beside PostgreSQL, and loads it.
    #[command(disable_help_flag = true)]
    Bench {
        /// Handed on, `--help` as well.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Kills, stops and restarts the real processes and the database under load, and compares everything with Stripe's truth.
    #[command(disable_help_flag = true)]
    KillRounds {
        /// Handed on, `--help` as well.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Simulates orders, payments and whatever goes wrong, by seeds, and checks every invariant.
    #[command(disable_help_flag = true)]
    Simulate {
        /// Handed on, `--help` as well.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Sqlx { check } => sqlx::run(root(), check),
        Task::Db => db::run(root()),
        Task::Bench { arguments } => bench::run(root(), &arguments),
        Task::KillRounds { arguments } => kill_rounds::run(root(), &arguments),
        Task::Simulate { arguments } => simulate::run(root(), &arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}"); // one line, and no stack trace whatever RUST_BACKTRACE says
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}
