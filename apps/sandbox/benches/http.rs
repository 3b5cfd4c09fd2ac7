//! How fast the sandbox is through HTTP: payment_intents created and confirmed a second, on two cores that
//! the load generator shares.
//!
//! `cargo bench -p paywright-sandbox --bench http -- [--seconds 5] [--tasks 16] [--data-dir DIR] [--webhooks]`
//!
//! Beside the sandbox it measures, in the same run, what bounds it: a bare handler that answers the same bytes, and
//! the model without HTTP. With many seconds it shows how memory grows. The aim is 2,000 a second.

#[path = "support/load.rs"]
mod load;
#[path = "support/pairs.rs"]
mod pairs;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use clap::Parser;
use paywright_sandbox::{Options, PresetEndpoint, start};

#[derive(Clone, Parser)]
struct Args {
    /// How long to load the sandbox.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections, each with one request under way.
    #[arg(long, default_value_t = 16)]
    tasks: usize,
    /// Keeps a journal in this folder.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Delivers every event to a receiver in this process.
    #[arg(long)]
    webhooks: bool,
    /// What cargo says.
    #[arg(long, hide = true)]
    bench: bool,
}

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let model = pairs::through_the_model(Duration::from_secs(2));
    println!("limit, pure model on one core:       {model} pairs/s");
    let bare = bare().await?;
    let outcome = load::run(bare, args.tasks, Duration::from_secs(3)).await?;
    let rate = outcome.pairs_a_second();
    println!("limit, bare handler, the same bytes: {rate} pairs/s = {} requests/s", rate * 2);
    let receiver = PresetEndpoint::new(format!("http://{bare}/receiver"), "whsec_bench");
    let sandbox = start(Options {
        bind: LOCAL,
        data_dir: args.data_dir.clone(),
        webhook_endpoints: Some(receiver).filter(|_| args.webhooks).into_iter().collect(),
        ..Options::default()
    })
    .await?;
    let mut left = args.seconds;
    println!("resident memory before:              {} MiB", resident_mib());
    while left > 0 {
        let seconds = left.min(10);
        let outcome = load::run(sandbox.addr(), args.tasks, Duration::from_secs(seconds)).await?;
        report(&outcome);
        left -= seconds;
    }
    sandbox.stop().await;
    Ok(())
}

fn report(outcome: &load::Outcome) {
    let rate = outcome.pairs_a_second();
    println!(
        "sandbox over HTTP:                   {rate} pairs/s = {} requests/s; a request {} us p50, {} us p99; {} MiB",
        rate * 2,
        outcome.percentile(50),
        outcome.percentile(99),
        resident_mib()
    );
}

/// A server that does nothing but answer what the sandbox once answered, and receives webhooks.
async fn bare() -> Result<SocketAddr, Box<dyn std::error::Error>> {
    let sandbox = start(Options { bind: LOCAL, ..Options::default() }).await?;
    let mut connection = load::Connection::open(sandbox.addr()).await?;
    let created = connection.exchange("/v1/payment_intents", pairs::CREATE).await?;
    let id = connection.post("/v1/payment_intents", pairs::CREATE).await?;
    let path = format!("/v1/payment_intents/{id}/confirm");
    let confirmed = connection.exchange(&path, pairs::CONFIRM).await?;
    sandbox.stop().await;
    let server = HttpServer::new(move || {
        let (created, confirmed) = (created.clone(), confirmed.clone());
        App::new()
            .route("/v1/payment_intents", web::post().to(move |body| same(body, created.clone())))
            .route(
                "/v1/payment_intents/{id}/confirm",
                web::post().to(move |body| same(body, confirmed.clone())),
            )
            .route("/receiver", web::post().to(|_: web::Bytes| async { HttpResponse::Ok().finish() }))
    })
    .workers(2)
    .disable_signals()
    .bind(LOCAL)?;
    let address = server.addrs()[0];
    tokio::spawn(server.run());
    Ok(address)
}

async fn same(_form: web::Bytes, body: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-cache, no-store"))
        .insert_header(("Access-Control-Allow-Origin", "*"))
        .insert_header(("Request-Id", "req_00000000000000"))
        .insert_header(("Stripe-Version", "2026-07-29.dahlia"))
        .body(body)
}

/// Of this whole process: the load generator is in it, too.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or_default() / 1024
}
