//! The listener for Prometheus, and what it shows.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::{App as ActixApp, HttpResponse, HttpServer, http::header, web};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use paywright_postgres::Standing;
use tokio_util::sync::CancellationToken;

use super::{
    catalogue::{self, Kind, METRICS},
    gauges, record,
};
use crate::{http::problem::chain, wiring::App};

/// The database is asked so often at most, however many ask us.
const EVERY: Duration = Duration::from_secs(5);
/// What was read longer ago is not shown: a number that stands still looks like a shop that is well.
const STALE: Duration = Duration::from_secs(15);
/// One reader or two; more would be a mistake.
const CONNECTIONS_MAX: usize = 32;
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counts from now on, and shows `/metrics` on the configured address until `stop`; the address, if there is one. Once
/// a process. That the address is taken ends nothing: money goes before numbers.
///
/// # Errors
/// When the process counts already.
pub fn start(app: &Arc<App>, stop: CancellationToken) -> anyhow::Result<Option<SocketAddr>> {
    let Some(address) = app.settings.metrics.bind else { return Ok(None) };
    let bound = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = match bound {
        Ok(bound) => bound,
        Err(error) => {
            tracing::warn!(bind = %address, %error, "no metrics: cannot listen (PAYWRIGHT__METRICS__BIND)");
            return Ok(None);
        }
    };
    let exporter = Exporter { app: Arc::clone(app), counted: install()?, last: Mutex::default() };
    tracing::info!(bind = %address, "metrics are shown");
    tokio::spawn(async move {
        if let Err(error) = serve(Arc::new(exporter), listener, stop).await {
            tracing::error!(%error, "metrics are not shown any more");
        }
    });
    Ok(Some(address))
}

fn install() -> anyhow::Result<PrometheusHandle> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Histogram) {
        let matcher = Matcher::Full(metric.name.to_owned());
        builder = builder.set_buckets_for_metric(matcher, catalogue::buckets(metric.name))?;
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| anyhow::anyhow!("metrics are installed already"))?;
    catalogue::describe();
    record::nobody_refused();
    Ok(handle)
}

/// What stood in the database, and when that was read.
type Last = Mutex<Option<(Instant, Standing)>>;

struct Exporter {
    app: Arc<App>,
    counted: PrometheusHandle,
    last: Last,
}

/// Shows `/metrics` and nothing else.
async fn serve(
    exporter: Arc<Exporter>,
    listener: TcpListener,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let data = web::Data::from(Arc::clone(&exporter));
    let server = HttpServer::new(move || {
        ActixApp::new().app_data(data.clone()).route("/metrics", web::get().to(show))
    });
    let server = server.workers(1).max_connections(CONNECTIONS_MAX).disable_signals().listen(listener)?.run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    exporter.watch(stop).await;
    handle.stop(false).await;
    serving.await.map_err(std::io::Error::other)?
}

async fn show(exporter: web::Data<Exporter>) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, TEXT)).body(exporter.render())
}

impl Exporter {
    /// Reads what stands in the database, again and again.
    async fn watch(&self, stop: CancellationToken) {
        let mode = self.app.settings.mode;
        while !stop.is_cancelled() {
            let read = self.app.store.standing(mode).await;
            if let Err(error) = &read {
                tracing::debug!(error = chain(error), "the numbers in the database cannot be read");
            }
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
                read.ok().map(|standing| (Instant::now(), standing));
            // Histograms keep every value until somebody reads or this tidies them.
            self.counted.run_upkeep();
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Counters and histograms as they were counted; gauges afresh, so that what is not known is not there.
    fn render(&self) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        let now = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            catalogue::describe();
            gauges::of_process(&self.app);
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = last.as_ref().filter(|(read, _)| read.elapsed() < STALE);
            gauges::of_database(fresh.map(|(_, standing)| standing));
        });
        self.counted.render() + &now.render()
    }
}
