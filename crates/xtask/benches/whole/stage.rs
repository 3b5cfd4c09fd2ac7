//! What a bench runs against: PostgreSQL with fsync on, and processes of the release's binary.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use paywright_pg_local::{Cluster, Options};

use crate::process::{Cpu, Process, cpu, free_address};

pub(crate) const STRIPE_KEY: &str = "sk_test_bench";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_5f4dcc3b5aa765d61d8327deb882cf99";
const DATABASE: &str = "bench";

/// A database of its own, and a binary to run against it. All of it is gone with the value.
pub(crate) struct Stage {
    cluster: Cluster,
    binary: PathBuf,
    env: Vec<(&'static str, String)>,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Starts PostgreSQL with an empty database, and builds the binary unless there is one.
    pub(crate) fn set(root: &Path, binary: Option<&Path>) -> anyhow::Result<Self> {
        let binary = match binary {
            Some(built) => built.canonicalize().with_context(|| built.display().to_string())?,
            None => build(root)?,
        };
        let folder = tempfile::tempdir()?;
        // The database's user has to enter it too.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let cluster = Cluster::start(&Options::new(folder.path().join("database")))?;
        cluster.create_database(DATABASE)?;
        let mut stage = Self { cluster, binary, env: Vec::new(), folder };
        stage.with("DATABASE_URL", stage.url());
        stage.with("STRIPE_SECRET_KEY", STRIPE_KEY);
        stage.with("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET);
        // The limiter off: what is measured is us.
        stage.with("PAYWRIGHT__STRIPE__OPERATIONS_PER_SECOND", "0");
        stage.with("PAYWRIGHT__STRIPE__OPERATIONS_PER_SECOND_PER_ENDPOINT", "0");
        let filter = std::env::var("PAYWRIGHT__LOG__FILTER").unwrap_or_else(|_| "warn".to_owned());
        stage.with("PAYWRIGHT__LOG__FILTER", filter);
        Ok(stage)
    }

    /// Sets a variable for whatever is started from now on.
    pub(crate) fn with(&mut self, name: &'static str, value: impl Into<String>) {
        self.env.push((name, value.into()));
    }

    /// Sets Stripe's address.
    pub(crate) fn with_stripe(&mut self, address: SocketAddr) {
        self.with("STRIPE_API_BASE", format!("http://{address}"));
    }

    /// The database's address.
    pub(crate) fn url(&self) -> String {
        self.cluster.url(DATABASE)
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.cluster.data_dir()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command to its end, and answers what it says.
    pub(crate) fn once(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let done = self.command(arguments).output()?;
        ensure!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8(done.stdout)?)
    }

    /// The server, where it listens, and how long it took until it answered.
    pub(crate) fn serve(&self, more: &[&str]) -> anyhow::Result<(Process, SocketAddr, Duration)> {
        let address = free_address()?;
        let arguments = [&["serve"], more].concat();
        let (log, begun) = (self.folder().join("server.log"), Instant::now());
        let mut command = self.command(&arguments);
        command.env("PAYWRIGHT__HTTP__BIND", address.to_string());
        let mut server = Process::spawn("server", written_to(&log, &mut command)?)?;
        let took = server.answers(address, begun, &log)?;
        Ok((server, address, took))
    }

    /// The worker alone.
    pub(crate) fn work(&self) -> anyhow::Result<Process> {
        let log = self.folder().join("worker.log");
        Process::spawn("worker", written_to(&log, &mut self.command(&["worker"]))?)
    }

    /// The sandbox, and where it listens.
    pub(crate) fn sandbox(&self) -> anyhow::Result<(Process, SocketAddr)> {
        let address = free_address()?;
        let (log, begun) = (self.folder().join("sandbox.log"), Instant::now());
        let mut command = self.command(&["sandbox", "--bind", &address.to_string()]);
        let mut sandbox = Process::spawn("sandbox", written_to(&log, &mut command)?)?;
        sandbox.answers(address, begun, &log)?;
        Ok((sandbox, address))
    }

    /// CPU time so far of these processes, of PostgreSQL and of our own.
    pub(crate) fn cpu<'a>(&self, processes: impl IntoIterator<Item = &'a Process>) -> Cpu {
        cpu(processes, self.data_dir())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).envs(self.env.iter().cloned()).current_dir(self.folder());
        command
    }
}

/// Its input is empty, and what it says is in a file.
pub(crate) fn written_to<'a>(log: &Path, command: &'a mut Command) -> anyhow::Result<&'a mut Command> {
    let log = fs::File::create(log)?;
    Ok(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log))
}

fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--package", "paywright-app"])
        .current_dir(root)
        .status()
        .context("cargo build")?;
    ensure!(built.success(), "cargo build failed");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/paywright"))
}
