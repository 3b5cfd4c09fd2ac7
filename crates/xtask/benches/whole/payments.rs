//! Orders placed and payments started a second.
//!
//! A payment is started in three beats: commit the intent, call Stripe, commit the answer. No connection to the database
//! is held during the call, so a pool of a few connections carries as many payments at once as there are clients.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::load::{Connection, Pace, Times, field};
use crate::process::{Cpu, micros_each, since};
use crate::stage::{STRIPE_KEY, Stage};
use crate::table::millis;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Connections, each with one request under way.
    #[arg(long, default_value_t = 400)]
    clients: u32,
    /// How long each load lasts.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// How long Stripe takes for an answer.
    #[arg(long, default_value_t = 150)]
    stripe_ms: u64,
    /// Connections to the database.
    #[arg(long, default_value_t = 16)]
    pool: u32,
    /// Orders a second of the open load, at which latencies are taken.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Sends an idempotency key with every request.
    #[arg(long)]
    idempotency: bool,
    /// Takes this `paywright` instead of building one.
    #[arg(long)]
    binary: Option<PathBuf>,
}

pub(crate) async fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let mut stage = Stage::set(root, arguments.binary.as_deref())?;
    stage.with("PAYWRIGHT__DATABASE__MAX_CONNECTIONS", arguments.pool.to_string());
    let (sandbox, stripe) = stage.sandbox()?;
    stage.with_stripe(stripe);
    stage.once(&["migrate"])?;
    let created = stage.once(&["keys", "create", "--name", "bench", "--scope", "*"])?;
    let key = created.split_whitespace().find(|word| word.starts_with("pw_test_")).context("no API key")?;
    let (server, address, _) = stage.serve(&[])?;
    slow_down(stripe, arguments.stripe_ms).await?;
    let product = product(address, key).await?;
    let target = Target {
        server: address,
        key: key.to_owned(),
        order: format!(r#"{{"currency":"usd","items":[{{"product":"{product}","quantity":1}}]}}"#),
        idempotency: arguments.idempotency,
        turns: AtomicU64::new(0),
    };
    let target = Arc::new(target);
    let time = Duration::from_secs(arguments.seconds);

    // Connections, caches and prepared statements come to be.
    load(&target, arguments.clients.min(50), Duration::from_secs(2), None).await?;

    let mut alone = stripe_alone(stripe, arguments.clients, time.min(Duration::from_secs(5)), None).await?;
    println!(
        "limit, the sandbox alone:     {} calls/s; p50 {} ms, p99 {} ms",
        rate(alone.count(), time.min(Duration::from_secs(5))),
        millis(alone.percentile(500)),
        millis(alone.percentile(990))
    );

    let processes = [&server, &sandbox];
    let (before, begun) = (stage.cpu(processes), Instant::now());
    let mut closed = load(&target, arguments.clients, time, None).await?;
    let (after, took) = (stage.cpu(processes), begun.elapsed());
    println!(
        "order and payment, {} clients: {} a second; order p50 {} ms, p99 {} ms; payment p50 {} ms, p99 {} ms",
        arguments.clients,
        rate(closed.payments.count(), took),
        millis(closed.orders.percentile(500)),
        millis(closed.orders.percentile(990)),
        millis(closed.payments.percentile(500)),
        millis(closed.payments.percentile(990))
    );
    print_cpu(&before, &after, took, closed.payments.count());

    let pace = Arc::new(Pace::new(arguments.rate));
    // No more clients than turns a second: a connection that is idle for seconds is closed by the server.
    let clients = arguments.clients.min(arguments.rate);
    let mut open = load(&target, clients, time, Some(pace)).await?;
    let pace = Some(Arc::new(Pace::new(arguments.rate)));
    let mut paced = stripe_alone(stripe, clients, time.min(Duration::from_secs(5)), pace).await?;
    println!(
        "at {} a second:              {} a second; order p50 {} ms, p99 {} ms; payment p50 {} ms, p99 {} ms; \
         the sandbox alone p50 {} ms, p99 {} ms",
        arguments.rate,
        rate(open.payments.count(), time),
        millis(open.orders.percentile(500)),
        millis(open.orders.percentile(990)),
        millis(open.payments.percentile(500)),
        millis(open.payments.percentile(990)),
        millis(paced.percentile(500)),
        millis(paced.percentile(990)),
    );
    println!("memory of the server:         {} MiB", server.resident_mib());
    Ok(())
}

/// What the clients ask for.
struct Target {
    server: SocketAddr,
    key: String,
    order: String,
    idempotency: bool,
    turns: AtomicU64,
}

/// How long the requests took.
#[derive(Default)]
struct Taken {
    orders: Times,
    payments: Times,
}

/// Each client places an order and starts its payment, again and again; at its turn, if there is a pace.
async fn load(
    target: &Arc<Target>,
    clients: u32,
    time: Duration,
    pace: Option<Arc<Pace>>,
) -> anyhow::Result<Taken> {
    let until = Instant::now() + time;
    let running: Vec<_> =
        (0..clients).map(|_| tokio::spawn(one_client(Arc::clone(target), until, pace.clone()))).collect();
    let mut all = Taken::default();
    for client in running {
        let taken = client.await??;
        all.orders.merge(taken.orders);
        all.payments.merge(taken.payments);
    }
    Ok(all)
}

async fn one_client(target: Arc<Target>, until: Instant, pace: Option<Arc<Pace>>) -> anyhow::Result<Taken> {
    let mut connection = Connection::open(target.server, &target.key).await?;
    let mut taken = Taken::default();
    loop {
        let due = pace.as_ref().map_or_else(Instant::now, |pace| pace.next());
        if due >= until {
            return Ok(taken);
        }
        tokio::time::sleep_until(due.into()).await;
        let turn = target.turns.fetch_add(1, Ordering::Relaxed);
        let key = |what| {
            if target.idempotency { format!("Idempotency-Key: {what}-{turn}\r\n") } else { String::new() }
        };
        let placed = connection.post("/v1/orders", JSON, &key("order"), &target.order).await?;
        let path = format!("/v1/orders/{}/payment-intent", field(placed, "id")?);
        taken.orders.add(due.elapsed());
        let begun = Instant::now();
        connection.post(&path, JSON, &key("payment"), "{}").await?;
        taken.payments.add(begun.elapsed());
    }
}

/// The sandbox without us, as slow as it was told to be; at its turn, if there is a pace.
async fn stripe_alone(
    sandbox: SocketAddr,
    clients: u32,
    time: Duration,
    pace: Option<Arc<Pace>>,
) -> anyhow::Result<Times> {
    let until = Instant::now() + time;
    let running: Vec<_> = (0..clients)
        .map(|_| {
            let pace = pace.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(sandbox, STRIPE_KEY).await?;
                let mut times = Times::default();
                loop {
                    let due = pace.as_ref().map_or_else(Instant::now, |pace| pace.next());
                    if due >= until {
                        return anyhow::Ok(times);
                    }
                    tokio::time::sleep_until(due.into()).await;
                    connection.post("/v1/payment_intents", FORM, "", "amount=1999&currency=usd").await?;
                    times.add(due.elapsed());
                }
            })
        })
        .collect();
    let mut all = Times::default();
    for client in running {
        all.merge(client.await??);
    }
    Ok(all)
}

async fn product(server: SocketAddr, key: &str) -> anyhow::Result<String> {
    let mut connection = Connection::open(server, key).await?;
    let body = r#"{"name":"Hat","unit_amount":1999,"currency":"usd"}"#;
    Ok(field(connection.post("/v1/products", JSON, "", body).await?, "id")?.to_owned())
}

/// Tells the sandbox how long to take for every answer.
async fn slow_down(sandbox: SocketAddr, millis: u64) -> anyhow::Result<()> {
    let mut connection = Connection::open(sandbox, STRIPE_KEY).await?;
    let body = format!(r#"{{"fault":"delay","delay":"{millis}ms"}}"#);
    connection.post("/_sandbox/faults", JSON, "", &body).await?;
    Ok(())
}

fn rate(count: usize, time: Duration) -> u128 {
    count as u128 * 1000 / time.as_millis().max(1)
}

/// What took the processors, in percent of one, and for each order with its payment.
fn print_cpu(before: &Cpu, after: &Cpu, took: Duration, count: usize) {
    let spent = since(before, after).into_iter().map(|(name, ticks)| {
        let percent = u128::from(ticks) * 1000 / took.as_millis().max(1);
        format!("{name} {percent} % ({} us each)", micros_each(ticks, count))
    });
    println!("processors in use:            {}", spent.collect::<Vec<_>>().join(", "));
}
