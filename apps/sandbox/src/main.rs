//! `paywright-sandbox`: see `--help`.

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// A local, stateful Stripe for tests and development.
#[derive(Parser)]
#[command(name = "paywright-sandbox", version)]
struct Command {
    #[command(flatten)]
    args: paywright_sandbox::cli::Args,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Command::parse();
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match paywright_sandbox::cli::run(command.args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("paywright-sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}
