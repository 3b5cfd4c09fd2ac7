//! `serve` and `worker`, and the orderly end of both: stop claiming, drain, exit 0.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use paywright_postgres::Postgres;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    http::server,
    metrics,
    wiring::{self, App},
    worker,
};

/// Serves, and works unless told otherwise, until a signal.
pub(crate) async fn run(settings: Settings, with_worker: bool) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let listener = bind(settings.http.bind)?;
    let store = prepared(&settings).await?;
    let public_url = public_url(&settings, listener.local_addr()?);
    let app = Arc::new(App::new(settings, store.clone(), public_url)?);
    metrics::start(&app, stop.clone())?;
    tracing::info!(address = %listener.local_addr()?, mode = %app.settings.mode, "serving");
    serve(app, listener, with_worker, stop).await?;
    store.close().await;
    Ok(())
}

/// Works until a signal.
pub(crate) async fn work(settings: Settings) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let store = prepared(&settings).await?;
    let public_url = settings.http.public_url.clone().unwrap_or_default();
    let app = Arc::new(App::new(settings, store.clone(), public_url)?);
    metrics::start(&app, stop.clone())?;
    tracing::info!(mode = %app.settings.mode, "working");
    worker::run(app, stop).await;
    store.close().await;
    Ok(())
}

/// Serves on `listener` until `stop`, then drains: requests and jobs under way are finished.
pub(crate) async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    with_worker: bool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let drain = Duration::from_secs(app.settings.http.drain_seconds);
    let server = server::serve(Arc::clone(&app), listener)?;
    let handle = server.handle();
    let mut serving = tokio::spawn(server);
    let working = with_worker.then(|| tokio::spawn(worker::run(app, stop.clone())));
    tokio::select! {
        () = stop.cancelled() => {}
        ended = &mut serving => {
            ended.context("the server")?.context("the server")?;
            anyhow::bail!("the server ended by itself");
        }
    }
    tracing::info!("stopping: no new requests or jobs, {} s for those under way", drain.as_secs());
    handle.stop(true).await;
    serving.await.context("the server")?.context("the server")?;
    if let Some(working) = working {
        // What is not finished by then is recorded, and its lease ends by itself.
        match tokio::time::timeout(drain, working).await {
            Ok(ended) => ended.context("the worker")?,
            Err(_) => tracing::warn!("jobs still under way; they are tried again later"),
        }
    }
    Ok(())
}

/// Binds the address, so that a busy port is found before anything else starts.
pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address} (PAYWRIGHT__HTTP__BIND)"))
}

/// How browsers reach us.
pub(crate) fn public_url(settings: &Settings, address: SocketAddr) -> String {
    match &settings.http.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None if address.ip().is_unspecified() => format!("http://127.0.0.1:{}", address.port()),
        None => format!("http://{address}"),
    }
}

/// A token that is cancelled by SIGTERM or Ctrl-C.
pub(crate) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

/// Checks what can be checked without the database first, then the database and its schema.
pub(crate) async fn prepared(settings: &Settings) -> anyhow::Result<Postgres> {
    let credentials = settings.credentials();
    credentials.secret_key(settings.mode)?;
    credentials.webhook_secrets()?;
    database(settings).await
}

/// The database, with all that it must have.
pub(crate) async fn database(settings: &Settings) -> anyhow::Result<Postgres> {
    let store = wiring::connect(settings).await.context("cannot reach the database (DATABASE_URL)")?;
    let pending = store.pending_migrations().await?;
    anyhow::ensure!(pending == 0, "the database lacks {pending} migrations; run `paywright migrate` first");
    Ok(store)
}
