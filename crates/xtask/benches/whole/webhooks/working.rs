//! Events processed a second: each about another order, whose payment succeeded.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tokio::time::sleep;

use super::events::Mail;
use super::intake::{deliver, per_second};
use super::{Bench, seed, unloaded};
use crate::table::Sample;

const ALONE: &str = "processed, intake idle";
const SATURATED: &str = "processed, intake saturated";
const MEANWHILE: &str = "intake meanwhile";

/// Long enough for the slowest; what is stuck is told.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(100);
/// Orders whose events are posted in a second while both are loaded; if intake takes more, the load ends early.
const SATURATED_RATE: u32 = 15_000;

const WAITING: &str = "SELECT count(*) FROM jobs WHERE queue = 'webhooks' AND state = 'ready'";
const IS_WAITING: &str = "SELECT EXISTS (SELECT FROM jobs WHERE queue = 'webhooks' AND state = 'ready')";

impl Bench<'_> {
    /// Everything is in the inbox, then the worker is started.
    pub(super) async fn processed_alone(&mut self, tag: &str) -> anyhow::Result<()> {
        let orders = self.numbers(self.arguments.events)?;
        seed::orders(&self.pool, orders.clone()).await?;
        let (server, address, _) = self.stage.serve(&["--no-worker"])?;
        let mail = Arc::new(Mail::sign(orders.clone()));
        let loaded = deliver(address, &mail, self.arguments.connections, None, None).await?;
        drop(server);
        let all = u64::from(self.arguments.events);
        ensure!(loaded.count() as u64 == all && self.waiting().await? == all, "the inbox lacks events");
        seed::settle(&self.pool).await?;

        self.stub.take_calls();
        let meter = self.stage.cpu([]);
        let worker = self.stage.work()?;
        let mut left = all;
        while left == all {
            sleep(POLL).await;
            left = self.waiting().await?;
        }
        let begun = Instant::now(); // the start of the process is not what is measured
        while sqlx::query_scalar::<_, bool>(IS_WAITING).fetch_one(&self.pool).await? {
            ensure!(begun.elapsed() < PATIENCE, "events are stuck: {}", self.stuck().await?);
            sleep(POLL).await;
        }
        let rate = per_second(usize::try_from(left)?, begun.elapsed());
        let sample = Sample { per_second: Some(rate), ..Sample::default() };
        let sample = self.metered(&meter, &[&worker], loaded.count(), sample);
        self.check().await?;
        let paid = self.paid(&orders).await?;
        ensure!(paid == all, "{paid} of {all} orders are paid");

        let name = format!("{ALONE}{tag}");
        self.table.add(&name, unloaded(tag, &[ALONE], &[]), "6,000", sample);
        self.table.fact(&format!("memory of the worker{tag}"), "MiB at most", "60", worker.peak_mib());
        self.tell_calls(tag);
        Ok(())
    }

    /// Server and worker at once, each event about another order. Whoever is slower ends with the load.
    pub(super) async fn processed_saturated(&mut self, tag: &str) -> anyhow::Result<()> {
        let seconds = u32::try_from(self.arguments.seconds)?;
        let orders = self.numbers(SATURATED_RATE.saturating_mul(seconds))?;
        seed::orders(&self.pool, orders.clone()).await?;
        let (server, address, _) = self.stage.serve(&["--no-worker"])?;
        let worker = self.stage.work()?;
        let mail = Arc::new(Mail::sign(orders.clone()));
        seed::settle(&self.pool).await?;

        let meter = self.stage.cpu([]);
        let (begun, time) = (Instant::now(), Some(Duration::from_secs(self.arguments.seconds)));
        let delivered = deliver(address, &mail, self.arguments.connections, time, None).await?;
        let took = begun.elapsed();
        let posted = delivered.count();
        let done = posted - usize::try_from(self.waiting().await?)?;
        let sample = Sample { per_second: Some(per_second(done, took)), ..Sample::default() };
        let processed = self.metered(&meter, &[&worker], done, sample);
        let intake = self.metered(&meter, &[&server], posted, delivered.sample());
        let peaks = (server.peak_mib(), worker.peak_mib());
        drop((server, worker));

        self.check().await?;
        seed::forget_waiting(&self.pool).await?;

        let name = format!("{SATURATED}{tag}");
        self.table.add(&name, unloaded(tag, &[SATURATED], &[]), "3,000", processed);
        let name = format!("{MEANWHILE}{tag}");
        self.table.add(&name, unloaded(tag, &[MEANWHILE], &[]), "", intake);
        self.table.fact(&format!("memory of the server, both saturated{tag}"), "MiB at most", "60", peaks.0);
        self.table.fact(&format!("memory of the worker, both saturated{tag}"), "MiB at most", "60", peaks.1);
        Ok(())
    }

    async fn waiting(&self) -> anyhow::Result<u64> {
        Ok(u64::try_from(sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&self.pool).await?)?)
    }

    async fn paid(&self, orders: &Range<u32>) -> anyhow::Result<u64> {
        let paid = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM orders
             WHERE token IN (SELECT 'bench-' || n FROM generate_series($1::bigint, $2::bigint - 1) AS n)
               AND state = 'paid'",
        );
        let (first, end) = (i64::from(orders.start), i64::from(orders.end));
        Ok(u64::try_from(paid.bind(first).bind(end).fetch_one(&self.pool).await?)?)
    }

    /// No job is dead, and whatever was processed has paid its order.
    async fn check(&self) -> anyhow::Result<()> {
        let reason: Option<Option<String>> =
            sqlx::query_scalar("SELECT last_error FROM jobs WHERE state = 'dead' LIMIT 1")
                .fetch_optional(&self.pool)
                .await?;
        if let Some(reason) = reason {
            bail!("a job is dead: {}", reason.unwrap_or_default());
        }
        let unpaid: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM jobs
             JOIN payments ON payments.intent = jobs.about
             JOIN orders ON orders.id = payments.order_id
             WHERE jobs.queue = 'webhooks' AND jobs.state = 'done' AND orders.state <> 'paid'",
        )
        .fetch_one(&self.pool)
        .await?;
        ensure!(unpaid == 0, "{unpaid} events were processed, but their orders are not paid");
        Ok(())
    }

    /// Why events are still there.
    async fn stuck(&self) -> anyhow::Result<String> {
        let reasons: Vec<(String, i64)> = sqlx::query_as(
            "SELECT coalesce(last_error, 'never failed'), count(*) FROM jobs
             WHERE queue = 'webhooks' AND state = 'ready' GROUP BY 1 ORDER BY 2 DESC LIMIT 3",
        )
        .fetch_all(&self.pool)
        .await?;
        let reasons = reasons.into_iter().map(|(reason, count)| format!("{count} times {reason}"));
        Ok(reasons.collect::<Vec<_>>().join("; "))
    }

    fn tell_calls(&mut self, tag: &str) {
        let calls = self.stub.take_calls();
        self.table.fact(&format!("calls to Stripe while processing{tag}"), "", "", calls.values().sum());
        for (call, count) in calls {
            eprintln!("  {call}: {count}");
        }
    }
}
