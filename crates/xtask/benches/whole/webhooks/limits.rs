//! What bounds us on this machine at this time: the parts that nobody can do without, each alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use paywright_stripe::API_VERSION;
use sqlx::{Connection as _, PgConnection};

use super::Bench;
use super::events::{self, KIND, Mail, Template};
use super::intake::{deliver, per_second};
use super::rows::{self, Row};
use crate::load::Times;
use crate::process::{self, Process, free_address};
use crate::stage::written_to;
use crate::table::Sample;

/// The faster of the two is the limit of intake.
pub(super) const GROUP: [&str; 2] = [
    "limit: group commit of the same rows, 1 connection",
    "limit: group commit of the same rows, 2 connections",
];
pub(super) const GROUP_PACED: [&str; 2] =
    ["limit: group commit at a pace, 1 connection", "limit: group commit at a pace, 2 connections"];
const SIGNATURE: &str = "limit: signature alone, no database";
const PGBENCH: &str = "limit: one durable insert each, pgbench";
const SINGLE: &str = "limit: one durable insert each, sqlx";
const BATCHES: [(u32, &str); 2] =
    [(1, "limit: 50 rows a commit, 1 connection"), (2, "limit: 50 rows a commit, 2 connections")];
const BATCH: u32 = 50;
/// Signed once, and sent again and again where nobody looks whether an event is new.
const SIGNATURES: u32 = 20_000;

/// An event with its job, both with names of their own, which grow. `:body` is sent with every transaction.
const SCRIPT: &str = "
    WITH name AS MATERIALIZED (
        SELECT lpad(to_hex(nextval('bare.numbers')), 24, '0') AS name
    ), event AS (
        INSERT INTO bare.inbox_events (id, kind, mode, api_version, object, about, created_at, body)
        SELECT 'evt_' || name, 'KIND', 'test', 'VERSION', 'pi_' || name, 'pi_' || name, now(), CAST(:body AS bytea)
        FROM name
    )
    INSERT INTO bare.jobs (id, queue, kind, payload, about, due_at)
    SELECT CAST(lpad(name, 32, '0') AS uuid), 'webhooks', 'read_event', 'evt_' || name, 'pi_' || name, now()
    FROM name;";

impl Bench<'_> {
    pub(super) async fn limits(&mut self) -> anyhow::Result<()> {
        self.signature().await?;
        self.pgbench().await?;
        let single = self.inserts(self.arguments.connections, 1).await?;
        self.table.add(SINGLE, &[], "", single);
        for (connections, name) in BATCHES {
            let sample = self.inserts(connections, BATCH).await?;
            self.table.add(name, &[], "", sample);
        }
        Ok(())
    }

    async fn signature(&mut self) -> anyhow::Result<()> {
        let mail = Arc::new(Mail::sign(self.numbers(SIGNATURES)?).endless());
        let (bare, address) = self.bare(&[])?;
        let meter = self.stage.cpu([&bare]);
        let time = Some(self.time());
        let delivered = deliver(address, &mail, self.arguments.connections, time, None).await?;
        let sample = self.metered(&meter, &[&bare], delivered.count(), delivered.sample());
        self.table.add(SIGNATURE, &[], "", sample);
        Ok(())
    }

    /// The bare group commit, at full speed and at a pace.
    pub(super) async fn group_commit(&mut self) -> anyhow::Result<()> {
        for (connections, (name, paced_name)) in (1..).zip(GROUP.into_iter().zip(GROUP_PACED)) {
            rows::empty_tables(&self.pool).await?;
            let connections = connections.to_string();
            let (bare, address) =
                self.bare(&["--database", &self.stage.url(), "--connections", &connections])?;
            let mail = self.mail()?;
            let meter = self.stage.cpu([&bare]);
            let time = Some(self.time());
            let delivered = deliver(address, &mail, self.arguments.connections, time, None).await?;
            let sample = self.metered(&meter, &[&bare], delivered.count(), delivered.sample());
            self.table.add(name, &[], "", sample);
            let paced = self.paced(address).await?;
            self.table.add(paced_name, &[], "", paced);
        }
        Ok(())
    }

    /// A bare handler, in a process of its own as the server is.
    fn bare(&self, more: &[&str]) -> anyhow::Result<(Process, SocketAddr)> {
        let (address, begun) = (free_address()?, Instant::now());
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", "--bind", &address.to_string()]).args(more);
        let log = self.stage.folder().join("bare.log");
        let mut bare = Process::spawn("bare", written_to(&log, &mut command)?)?;
        bare.answers(address, begun, &log)?;
        Ok((bare, address))
    }

    /// So many rows a commit, by so many connections, from this process.
    async fn inserts(&self, connections: u32, rows: u32) -> anyhow::Result<Sample> {
        rows::empty_tables(&self.pool).await?;
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(PgConnection::connect(&self.stage.url()).await?);
        }
        let (meter, begun) = (self.stage.cpu([]), Instant::now());
        let (until, numbers) = (begun + self.time(), Arc::new(AtomicU32::new(0)));
        let running: Vec<_> = open
            .into_iter()
            .map(|connection| tokio::spawn(one_writer(connection, rows, until, Arc::clone(&numbers))))
            .collect();
        let mut times = Times::default();
        for writer in running {
            times.merge(writer.await??);
        }
        let took = begun.elapsed();
        let count = times.count() * rows as usize;
        let sample = Sample {
            per_second: Some(per_second(count, took)),
            p50: Some(times.percentile(500)),
            p99: Some(times.percentile(990)),
            ..Sample::default()
        };
        Ok(self.metered(&meter, &[], count, sample))
    }

    /// PostgreSQL's own load generator, if it was installed.
    async fn pgbench(&mut self) -> anyhow::Result<()> {
        let Some(pgbench) = self.pgbench_binary().filter(|binary| binary.exists()) else {
            eprintln!("{PGBENCH}: skipped, there is no pgbench beside this PostgreSQL");
            return Ok(());
        };
        rows::empty_tables(&self.pool).await?;
        let script = self.stage.folder().join("insert.sql");
        std::fs::write(&script, SCRIPT.replace("KIND", KIND).replace("VERSION", API_VERSION))?;
        let mut body = Vec::new();
        Template::new().body(0, events::now().unix_timestamp(), &mut body);
        let body = String::from_utf8(body)?;
        let meter = self.stage.cpu([]);
        let mut command = tokio::process::Command::new(pgbench);
        command.args(["-n", "-M", "prepared", "-j", "2", "-D"]).arg(format!("body={body}"));
        command.args(["-c", &self.arguments.connections.to_string()]);
        command.args(["-T", &self.time().as_secs().to_string(), "-f"]).arg(script).arg(self.stage.url());
        let done = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
        let said = String::from_utf8_lossy(&done.stdout);
        ensure!(done.status.success(), "pgbench: {}", String::from_utf8_lossy(&done.stderr));
        let number = |line: &str| -> Option<u64> {
            said.lines().find_map(|said| said.strip_prefix(line)?.split(['.', ' ', '/']).next()?.parse().ok())
        };
        let count =
            number("number of transactions actually processed: ").context("pgbench counted nothing")?;
        let sample = Sample { per_second: number("tps = "), ..Sample::default() };
        // What it takes itself is told nowhere.
        let sample = Sample { load: None, ..self.metered(&meter, &[], usize::try_from(count)?, sample) };
        self.table.add(PGBENCH, &[], "", sample);
        Ok(())
    }

    fn pgbench_binary(&self) -> Option<PathBuf> {
        let postmaster = process::postmaster(self.stage.data_dir())?;
        let postgres = std::fs::read_link(format!("/proc/{postmaster}/exe")).ok()?;
        Some(postgres.parent()?.join("pgbench"))
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.arguments.seconds)
    }
}

async fn one_writer(
    mut connection: PgConnection,
    rows: u32,
    until: Instant,
    numbers: Arc<AtomicU32>,
) -> anyhow::Result<Times> {
    let (template, created) = (Template::new(), events::now().unix_timestamp());
    let (mut times, mut body) = (Times::default(), Vec::new());
    while Instant::now() < until {
        let first = numbers.fetch_add(rows, Ordering::Relaxed);
        let row = |number| {
            body.clear();
            template.body(number, created, &mut body);
            Row::read(&body, number)
        };
        let batch = (first..first + rows).map(row).collect::<anyhow::Result<Vec<_>>>()?;
        let begun = Instant::now();
        rows::insert(&mut connection, &batch).await?;
        times.add(begun.elapsed());
    }
    Ok(times)
}
