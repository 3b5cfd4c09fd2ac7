//! The command line: `paywright-sandbox`, and the same as `paywright sandbox`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::remote::Remote;
use crate::{Options, PresetEndpoint, start};

/// A local, stateful Stripe.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

const AFTER_HELP: &str = "\
Without a subcommand, it runs until SIGINT or SIGTERM. Any Stripe client works with it, given its address and any
well-formed key: sk_test_... and sk_live_... are two separate worlds. Faults, the clock and everything it holds are
at {address}/dashboard.

Examples:
  paywright sandbox                                      runs it at http://127.0.0.1:12111
  paywright sandbox --data-dir .sandbox                  the same, and the state survives
  paywright sandbox state export demo.json               keeps the state of the one that runs there
  paywright sandbox state import demo.json               and brings it back
  paywright sandbox reset --url http://127.0.0.1:9000    empties another";

/// How it is run.
#[derive(Clone, Debug, clap::Args)]
struct RunArgs {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, env = "PAYWRIGHT__SANDBOX__BIND", default_value = "127.0.0.1:12111")]
    bind: SocketAddr,
    /// Where browsers reach the sandbox, if that is not its own address.
    #[arg(long)]
    public_url: Option<String>,
    /// Folder for the state; without it, the state ends with the process.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Appends each exchange to this file, one JSON object a line.
    #[arg(long, env = "PAYWRIGHT_SANDBOX_RECORD")]
    record: Option<PathBuf>,
    /// Sends all events to this URL, signed with --webhook-secret.
    #[arg(long, requires = "webhook_secret")]
    webhook_url: Option<String>,
    /// Secret that signs the webhooks (whsec_...).
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET", hide_env_values = true)]
    webhook_secret: Option<String>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Keeps, or brings back, all that a running sandbox holds: both worlds and the clock.
    State {
        #[command(subcommand)]
        command: State,
    },
    /// Empties a running sandbox and sets its clock right; endpoints given with --webhook-url stay.
    Reset(Target),
}

#[derive(Clone, Debug, clap::Subcommand)]
enum State {
    /// Writes the state to a file; it is complete, or not there.
    Export {
        /// The file, `-` for the standard output.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Replaces the state by that of a file; what the sandbox held before is lost.
    Import {
        /// What `export` wrote, `-` for the standard input.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Target {
    /// Where the sandbox runs.
    #[arg(long, default_value = "http://127.0.0.1:12111", value_name = "URL")]
    url: String,
}

impl From<RunArgs> for Options {
    fn from(args: RunArgs) -> Self {
        let endpoint = args.webhook_url.zip(args.webhook_secret);
        Self {
            bind: args.bind,
            public_url: args.public_url,
            data_dir: args.data_dir,
            record: args.record,
            webhook_endpoints: endpoint
                .map(|(url, secret)| PresetEndpoint::new(url, secret))
                .into_iter()
                .collect(),
            ..Self::default()
        }
    }
}

/// Runs a sandbox until SIGINT or SIGTERM, or talks to one that runs.
///
/// # Errors
/// When it cannot be started; when none runs there, or a file cannot be read or written.
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        None => serve(args.run.into()).await,
        Some(Command::Reset(target)) => {
            Remote::new(&target.url)?.reset().await?;
            say(&format!("The sandbox at {} is empty.", target.url));
            Ok(())
        }
        Some(Command::State { command: State::Export { file, target } }) => {
            let size = Remote::new(&target.url)?.export(&file).await?;
            if file.as_os_str() != "-" {
                say(&format!("Wrote {size} bytes to {}.", file.display()));
            }
            Ok(())
        }
        Some(Command::State { command: State::Import { file, target } }) => {
            Remote::new(&target.url)?.import(&file).await?;
            say(&format!("The sandbox at {} holds the state of {}.", target.url, file.display()));
            Ok(())
        }
    }
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let sandbox = start(options).await?;
    announce(sandbox.url());
    stopped().await?;
    sandbox.stop().await;
    Ok(())
}

fn announce(url: &str) {
    say(&format!(
        "Sandbox listening on {url}\nUse it as STRIPE_API_BASE={url} with any sk_test_... key; look around at {url}/dashboard"
    ));
}

/// Whoever read the output may have gone since: that is no reason to end.
fn say(text: &str) {
    let mut out = std::io::stdout();
    drop(writeln!(out, "{text}"));
    drop(out.flush());
}

async fn stopped() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Whole {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Whole::try_parse_from(line.split(' ')).map(|whole| whole.args)
    }

    #[test]
    fn without_a_subcommand_it_runs() {
        let args = parse("sandbox --bind 127.0.0.1:0 --data-dir x").unwrap();
        assert!(args.command.is_none());
        assert_eq!(args.run.data_dir, Some(PathBuf::from("x")));
    }

    #[test]
    fn a_subcommand_names_the_sandbox_it_talks_to() {
        let args = parse("sandbox reset --url http://127.0.0.1:9000").unwrap();
        assert!(matches!(args.command, Some(Command::Reset(Target { url })) if url.ends_with(":9000")));
        let args = parse("sandbox state export x.json").unwrap();
        let Some(Command::State { command: State::Export { target, .. } }) = args.command else { panic!() };
        assert_eq!(target.url, "http://127.0.0.1:12111");
        assert!(parse("sandbox state import").is_err());
        assert!(parse("sandbox --data-dir x reset").is_err());
    }
}
