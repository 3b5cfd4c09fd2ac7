//! Starting and stopping a sandbox.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::record::Recorder;
use super::shell::Shell;
use super::{api, browser, control, dashboard, deliver, fault, pages};
use crate::journal::Journal;
use crate::model::{Input, Model, Preset, Settings};

/// How a sandbox is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 takes any free port.
    pub bind: SocketAddr,
    /// Where browsers reach the sandbox's pages, if that is not its own address.
    pub public_url: Option<String>,
    /// Where the state survives; without it, it ends with the process.
    pub data_dir: Option<PathBuf>,
    /// A file that each exchange is appended to. `PAYWRIGHT_SANDBOX_RECORD` names one, too.
    pub record: Option<PathBuf>,
    /// Webhook endpoints of the test world that exist from the start.
    pub webhook_endpoints: Vec<PresetEndpoint>,
    /// Waits before the second, third, ... attempt of a delivery.
    pub retry_schedule: Vec<Duration>,
    /// The deadline of one attempt.
    pub delivery_timeout: Duration,
    /// Threads that serve requests.
    pub workers: usize,
    /// The most objects that each mode holds; then a POST is refused until a reset, so that memory has an end.
    pub objects_max: usize,
}

/// A webhook endpoint that exists from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresetEndpoint {
    pub url: String,
    pub secret: String,
    pub enabled_events: Vec<String>,
}

impl PresetEndpoint {
    /// An endpoint for all events.
    pub fn new(url: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { url: url.into(), secret: secret.into(), enabled_events: vec!["*".to_owned()] }
    }
}

impl Default for Options {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        let mut retry_schedule = [1, 2, 5, 10, 30].map(Duration::from_secs).to_vec();
        retry_schedule.extend([minutes(1), minutes(5), minutes(30), minutes(60)]);
        // Then every four hours, for three days in all.
        retry_schedule.extend(std::iter::repeat_n(minutes(240), 17));
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 12_111)),
            public_url: None,
            data_dir: None,
            record: None,
            webhook_endpoints: Vec::new(),
            retry_schedule,
            delivery_timeout: Duration::from_secs(15),
            workers: 2,
            objects_max: crate::model::Settings::default().objects_max,
        }
    }
}

/// Why a sandbox could not be started; each is one clear line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    #[error("cannot listen on {address}: the address is in use by another program")]
    Busy { address: SocketAddr },
    #[error("cannot listen on {address}: {reason}")]
    Bind { address: SocketAddr, reason: io::Error },
    #[error("cannot use the data folder {folder}: {reason}", folder = folder.display())]
    Data { folder: PathBuf, reason: io::Error },
    #[error("cannot record to {file}: {reason}", file = file.display())]
    Record { file: PathBuf, reason: io::Error },
    #[error("cannot prepare the webhook client: {reason}")]
    Client { reason: String },
}

/// A running sandbox.
pub struct Sandbox {
    url: String,
    addr: SocketAddr,
    server: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
    delivering: JoinHandle<()>,
    stop: CancellationToken,
}

/// Starts a sandbox; it is bound and serving when this returns. Needs a Tokio runtime.
///
/// # Errors
/// See [`StartError`]; nothing runs then.
pub async fn start(options: Options) -> Result<Sandbox, StartError> {
    let address = options.bind;
    let listener = bind(address)?;
    let addr = listener.local_addr().map_err(|reason| StartError::Bind { address, reason })?;
    let recorder = recorder(options.record.clone())?;
    let client = deliver::client(options.delivery_timeout)
        .map_err(|error| StartError::Client { reason: error.to_string() })?;
    let (model, journal) = load(options.data_dir.clone())?;
    let public_url = options.public_url.clone().unwrap_or_else(|| format!("http://{addr}"));
    let shell = Arc::new(Shell::new(model, journal, recorder));
    shell.apply(&configuration(&options, &public_url));
    let data = web::Data::from(shell.clone());
    let server = HttpServer::new(move || App::new().app_data(data.clone()).configure(routes))
        .workers(options.workers.max(1))
        .shutdown_timeout(2)
        .disable_signals()
        .on_connect(fault::remember_socket)
        .listen(listener)
        .map_err(|reason| StartError::Bind { address, reason })?
        .run();
    let handle = server.handle();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server);
    let delivering = tokio::spawn(deliver::run(shell, client, stop.clone()));
    Ok(Sandbox { url: format!("http://{addr}"), addr, server: handle, serving, delivering, stop })
}

impl Sandbox {
    /// `http://127.0.0.1:12111`: the base of the API.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers what was begun, then stops; takes seconds at most.
    pub async fn stop(self) {
        self.stop.cancel();
        self.server.stop(true).await;
        drop(tokio::time::timeout(Duration::from_secs(5), self.serving).await);
        drop(tokio::time::timeout(Duration::from_secs(1), self.delivering).await);
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|reason| match reason.kind() {
        io::ErrorKind::AddrInUse => StartError::Busy { address },
        _ => StartError::Bind { address, reason },
    })
}

fn recorder(option: Option<PathBuf>) -> Result<Option<Recorder>, StartError> {
    let by_environment = std::env::var_os("PAYWRIGHT_SANDBOX_RECORD").filter(|path| !path.is_empty());
    match option.or(by_environment.map(PathBuf::from)) {
        None => Ok(None),
        Some(file) => match Recorder::open(&file) {
            Ok(recorder) => Ok(Some(recorder)),
            Err(reason) => Err(StartError::Record { file, reason }),
        },
    }
}

fn load(folder: Option<PathBuf>) -> Result<(Model, Option<Journal>), StartError> {
    match folder {
        None => Ok((Model::default(), None)),
        Some(folder) => match Journal::open(&folder) {
            Ok((model, journal)) => Ok((model, Some(journal))),
            Err(reason) => Err(StartError::Data { folder, reason }),
        },
    }
}

fn configuration(options: &Options, public_url: &str) -> Input {
    let millis = |wait: &Duration| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    let preset = |one: &PresetEndpoint| Preset {
        url: one.url.clone(),
        secret: one.secret.clone(),
        enabled_events: one.enabled_events.clone(),
    };
    Input::Configure {
        settings: Settings {
            public_url: public_url.trim_end_matches('/').to_owned(),
            retry_schedule_ms: options.retry_schedule.iter().map(millis).collect(),
            objects_max: options.objects_max,
        },
        presets: options.webhook_endpoints.iter().map(preset).collect(),
    }
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::scope("/_sandbox").configure(control::routes))
        .configure(pages::routes)
        .configure(dashboard::routes)
        .configure(browser::routes)
        // Browsers ask for it on every page.
        .route("/favicon.ico", web::get().to(async || HttpResponse::NoContent()))
        .default_service(web::to(api::handle));
}
