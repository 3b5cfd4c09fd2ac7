//! Events taken in and processed a second, beside what bounds them on this machine in the same run.
//!
//! Each measurement runs against one PostgreSQL with `fsync` and `synchronous_commit` on; between them what is left is
//! cleared away, statistics are renewed and a checkpoint is made, so that none pays for another.

pub(crate) mod bare;
mod events;
mod intake;
mod limits;
mod rows;
mod seed;
mod stub;
mod working;

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use self::events::Mail;
use self::intake::deliver;
use self::stub::Stub;
use crate::process::{Cpu, Process, micros_each, since};
use crate::stage::Stage;
use crate::table::{Sample, Table};

const INTAKE: &str = "intake";
const INTAKE_PACED: &str = "intake at a pace";
/// Events signed for each second of a load: more than anything that commits can take.
const SIGNED_RATE: u32 = 25_000;
/// Of the paced load, more is not needed.
const PACED_SECONDS_MAX: u64 = 5;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long each load lasts.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Events that wait for the worker when it is measured alone.
    #[arg(long, default_value_t = 50_000)]
    events: u32,
    /// Connections, kept alive, each with one request under way.
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Events a second at a pace.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// How often everything is measured, in turn; the table shows medians.
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// Afterwards all of ours once more, with so many finished events in the database.
    #[arg(long, default_value_t = 0)]
    preload: u32,
    /// Only these; intake comes with the group commit that it is compared with.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Takes this `paywright` instead of building one; from the root of the repository.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Said below the table: what else ran, which settings were changed.
    #[arg(long)]
    profile_note: Option<String>,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What bounds intake.
    Limits,
    /// The server.
    Intake,
    /// The worker.
    Process,
}

pub(crate) async fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let stub = Stub::start()?;
    let mut stage = Stage::set(root, arguments.binary.as_deref())?;
    stage.with_stripe(stub.address);
    // Orders shall be paid by their events, not by looking.
    stage.with("PAYWRIGHT__RECONCILIATION__ENABLED", "false");
    stage.once(&["migrate"])?;
    let pool = PgPoolOptions::new().max_connections(2).connect(&stage.url()).await?;
    let durable = durability(&pool).await?;
    let mut bench = Bench { stage: &stage, arguments, stub, pool, table: Table::default(), next: 0 };
    for run in 1..=arguments.runs {
        eprintln!("run {run} of {}", arguments.runs);
        bench.measure("", true).await?;
    }
    if arguments.preload > 0 {
        seed::past(&bench.pool, arguments.preload).await?;
        let tag = format!(", {} finished events", arguments.preload);
        for run in 1..=arguments.runs {
            eprintln!("run {run} of {}{tag}", arguments.runs);
            bench.measure(&tag, false).await?;
        }
    }
    println!("{}", bench.table.markdown());
    println!("{}", conditions(&durable, arguments));
    Ok(())
}

/// What runs, and what was measured so far.
struct Bench<'a> {
    stage: &'a Stage,
    arguments: &'a Arguments,
    stub: Stub,
    pool: PgPool,
    table: Table,
    /// The number of the next event.
    next: u32,
}

impl Bench<'_> {
    /// One run; `tag` says what is different about its rows.
    async fn measure(&mut self, tag: &str, limits: bool) -> anyhow::Result<()> {
        if limits && self.wants(Part::Limits) {
            self.limits().await?;
        }
        if limits && (self.wants(Part::Limits) || self.wants(Part::Intake)) {
            self.group_commit().await?;
        }
        if self.wants(Part::Intake) {
            self.intake(tag).await?;
        }
        if self.wants(Part::Process) {
            self.processed_alone(tag).await?;
            self.processed_saturated(tag).await?;
        }
        Ok(())
    }

    fn wants(&self, part: Part) -> bool {
        self.arguments.only.is_empty() || self.arguments.only.contains(&part)
    }

    /// The server without a worker, at full speed and at a pace.
    async fn intake(&mut self, tag: &str) -> anyhow::Result<()> {
        seed::settle(&self.pool).await?;
        let (server, address, started) = self.stage.serve(&["--no-worker"])?;
        let mail = self.mail()?;
        let meter = self.stage.cpu([&server]);
        let time = Some(Duration::from_secs(self.arguments.seconds));
        let delivered = deliver(address, &mail, self.arguments.connections, time, None).await?;
        let sample = self.metered(&meter, &[&server], delivered.count(), delivered.sample());
        let name = format!("{INTAKE}{tag}");
        let limit = unloaded(tag, &[INTAKE], &limits::GROUP);
        self.table.add(&name, limit, "0.9 of the limit; p99 1.5 times", sample);
        let paced = self.paced(address).await?;
        let limit = unloaded(tag, &[INTAKE_PACED], &limits::GROUP_PACED);
        self.table.add(&format!("{INTAKE_PACED}{tag}"), limit, "p99 6.0 ms", paced);
        let millis = u64::try_from(started.as_millis())?;
        self.table.fact(&format!("`serve` until its first answer{tag}"), "ms", "300", millis);
        self.table.fact(&format!("memory of the server{tag}"), "MiB at most", "60", server.peak_mib());
        drop(server);
        seed::forget_waiting(&self.pool).await
    }

    /// A load that does not wait for answers.
    async fn paced(&mut self, address: SocketAddr) -> anyhow::Result<Sample> {
        let seconds = self.arguments.seconds.min(PACED_SECONDS_MAX);
        let (rate, time) = (self.arguments.rate, Duration::from_secs(seconds));
        // No more connections than turns a second: one that is idle for seconds is closed by the server.
        let connections = self.arguments.connections.min(rate);
        let mail = Mail::sign(self.numbers(rate.saturating_mul(u32::try_from(seconds)? + 1))?);
        let delivered = deliver(address, &Arc::new(mail), connections, Some(time), Some(rate)).await?;
        Ok(delivered.sample())
    }

    /// Enough new events for a load.
    fn mail(&mut self) -> anyhow::Result<Arc<Mail>> {
        let seconds = u32::try_from(self.arguments.seconds)?;
        Ok(Arc::new(Mail::sign(self.numbers(SIGNED_RATE.saturating_mul(seconds))?)))
    }

    /// Numbers that no other event has.
    fn numbers(&mut self, count: u32) -> anyhow::Result<Range<u32>> {
        let first = self.next;
        self.next = first.checked_add(count).context("too many events")?;
        Ok(first..self.next)
    }

    /// What each of `count` took since `before`.
    fn metered(&self, before: &Cpu, ours: &[&Process], count: usize, sample: Sample) -> Sample {
        let spent = since(before, &self.stage.cpu(ours.iter().copied()));
        let each = |name: &str| spent.get(name).map(|ticks| micros_each(*ticks, count));
        let ours = ours.iter().filter_map(|process| each(process.name)).reduce(|a, b| a + b);
        Sample { ours, postgres: each("PostgreSQL"), load: each("load"), ..sample }
    }
}

/// What a row is compared with: one with a tag with itself without.
fn unloaded<'n>(tag: &str, plain: &'n [&'n str], limits: &'n [&'n str]) -> &'n [&'n str] {
    if tag.is_empty() { limits } else { plain }
}

/// Makes sure that a commit is on the disk before it is answered.
async fn durability(pool: &PgPool) -> anyhow::Result<String> {
    let (fsync, commit, version): (String, String, String) = sqlx::query_as(
        "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('server_version')",
    )
    .fetch_one(pool)
    .await?;
    ensure!(fsync == "on" && commit == "on", "fsync is {fsync}, synchronous_commit is {commit}");
    Ok(format!("PostgreSQL {version}, fsync {fsync}, synchronous_commit {commit}"))
}

/// Under which conditions it was measured.
fn conditions(durable: &str, arguments: &Arguments) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let note = arguments.profile_note.as_deref().map(|note| format!(" {note}")).unwrap_or_default();
    format!(
        "{durable}; {cores} cores, shared with the load; {} connections, {} s a load, paced at {} a second, {} events \
         for the worker alone; medians of {} runs; load average at the end {load}. Reconciliation is off.{note}",
        arguments.connections, arguments.seconds, arguments.rate, arguments.events, arguments.runs
    )
}
