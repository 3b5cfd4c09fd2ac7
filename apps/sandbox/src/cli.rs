//! The command line: `paywright-sandbox`, and the same as `paywright sandbox`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{Options, PresetEndpoint, start};

/// A local, stateful Stripe.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, env = "PAYWRIGHT__SANDBOX__BIND", default_value = "127.0.0.1:12111")]
    pub bind: SocketAddr,
    /// Where browsers reach the sandbox, if that is not its own address.
    #[arg(long)]
    pub public_url: Option<String>,
    /// Folder for the state; without it, the state ends with the process.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Appends each exchange to this file, one JSON object a line.
    #[arg(long, env = "PAYWRIGHT_SANDBOX_RECORD")]
    pub record: Option<PathBuf>,
    /// Sends all events to this URL, signed with --webhook-secret.
    #[arg(long, requires = "webhook_secret")]
    pub webhook_url: Option<String>,
    /// Secret that signs the webhooks (whsec_...).
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET", hide_env_values = true)]
    pub webhook_secret: Option<String>,
}

impl From<Args> for Options {
    fn from(args: Args) -> Self {
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

/// Runs a sandbox until SIGINT or SIGTERM.
///
/// # Errors
/// When it cannot be started.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let sandbox = start(args.into()).await?;
    announce(sandbox.url());
    stopped().await?;
    sandbox.stop().await;
    Ok(())
}

/// Whoever read the address may have gone since: that is no reason to end.
fn announce(url: &str) {
    let mut out = std::io::stdout();
    drop(writeln!(out, "Sandbox listening on {url}"));
    drop(writeln!(
        out,
        "Use it as STRIPE_API_BASE={url} with any sk_test_... key; look around at {url}/dashboard"
    ));
    drop(out.flush());
}

async fn stopped() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
