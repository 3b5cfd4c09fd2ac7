//! What a bench runs against: PostgreSQL with fsync on, the sandbox and the server, each a process of its own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use paywright_pg_local::{Cluster, Options};

pub(crate) const STRIPE_KEY: &str = "sk_test_bench";
const WEBHOOK_SECRET: &str = "whsec_5f4dcc3b5aa765d61d8327deb882cf99";

/// A process that ends with the value.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that runs.
pub(crate) struct Stage {
    pub(crate) server: Process,
    pub(crate) sandbox: Process,
    pub(crate) key: String,
    cluster: Cluster,
    _folder: tempfile::TempDir,
}

/// Hundredths of CPU seconds by what took them.
pub(crate) type Cpu = BTreeMap<&'static str, u64>;

impl Stage {
    pub(crate) fn set(root: &Path, binary: Option<&Path>, pool: u32) -> anyhow::Result<Self> {
        let binary = match binary {
            Some(built) => built.canonicalize().with_context(|| built.display().to_string())?,
            None => build(root)?,
        };
        let folder = tempfile::tempdir()?;
        let cluster = Cluster::start(&Options::new(folder.path().join("database")))?;
        cluster.create_database("bench")?;
        let sandbox = start("sandbox", &binary, &["sandbox", "--bind", "127.0.0.1:0"], &[], folder.path())?;
        let env = vec![
            ("DATABASE_URL", cluster.url("bench")),
            ("STRIPE_API_BASE", format!("http://{}", sandbox.address)),
            ("STRIPE_SECRET_KEY", STRIPE_KEY.to_owned()),
            ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
            ("PAYWRIGHT__HTTP__BIND", "127.0.0.1:0".to_owned()),
            ("PAYWRIGHT__DATABASE__MAX_CONNECTIONS", pool.to_string()),
            // The limiter off: what is measured is us.
            ("PAYWRIGHT__STRIPE__OPERATIONS_PER_SECOND", "0".to_owned()),
            ("PAYWRIGHT__STRIPE__OPERATIONS_PER_SECOND_PER_ENDPOINT", "0".to_owned()),
            ("PAYWRIGHT__LOG__FILTER", "warn".to_owned()),
        ];
        once(&binary, &["migrate"], &env, folder.path())?;
        let created =
            once(&binary, &["keys", "create", "--name", "bench", "--scope", "*"], &env, folder.path())?;
        let key =
            created.split_whitespace().find(|word| word.starts_with("pw_test_")).context("no API key")?;
        let key = key.to_owned();
        let server = start("server", &binary, &["serve"], &env, folder.path())?;
        Ok(Self { server, sandbox, key, cluster, _folder: folder })
    }

    /// CPU time so far of each process, all of PostgreSQL's together, and our own.
    pub(crate) fn cpu(&self) -> Cpu {
        let mut cpu = Cpu::new();
        for process in [&self.server, &self.sandbox] {
            cpu.insert(process.name, stat(process.child.id()).own);
        }
        cpu.insert("load generator", stat(std::process::id()).own);
        cpu.insert("PostgreSQL", postgres_ticks(self.cluster.data_dir()));
        cpu
    }

    /// Resident memory of the server in MiB.
    pub(crate) fn server_mib(&self) -> u64 {
        let file = format!("/proc/{}/status", self.server.child.id());
        let status = std::fs::read_to_string(file).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        kib.unwrap_or_default() / 1024
    }
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

fn once(binary: &Path, arguments: &[&str], env: &[(&str, String)], folder: &Path) -> anyhow::Result<String> {
    let done = Command::new(binary).args(arguments).envs(env.iter().cloned()).current_dir(folder).output()?;
    ensure!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

/// Starts a process and waits until it says where it listens.
fn start(
    name: &'static str,
    binary: &Path,
    arguments: &[&str],
    env: &[(&str, String)],
    folder: &Path,
) -> anyhow::Result<Process> {
    let said = std::fs::File::create(folder.join(name))?;
    let mut child = Command::new(binary)
        .args(arguments)
        .envs(env.iter().cloned())
        // The address is part of what is logged at `info`.
        .env("PAYWRIGHT__LOG__FILTER", "warn,paywright_app::commands=info")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said)
        .spawn()
        .with_context(|| name)?;
    for _ in 0..1_000 {
        let said = BufReader::new(std::fs::File::open(folder.join(name))?);
        if let Some(address) = said.lines().map_while(Result::ok).find_map(|line| address(&line)) {
            return Ok(Process { name, child, address });
        }
        if let Some(ended) = child.try_wait()? {
            let said = std::fs::read_to_string(folder.join(name))?;
            anyhow::bail!("{name} ended with {ended}: {said}");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill()?;
    anyhow::bail!("{name} does not say where it listens")
}

/// An address of this machine in a line of a log.
fn address(line: &str) -> Option<SocketAddr> {
    let start = line.find("127.0.0.1:")?;
    let address: String =
        line[start..].chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
    address.parse().ok()
}

/// CPU time of a database's postmaster, of its processes, and of those that ended and were waited for.
fn postgres_ticks(data_dir: &Path) -> u64 {
    let file = std::fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap_or_default();
    let Some(postmaster) = file.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else {
        return 0;
    };
    let stat = stat(postmaster);
    let mut sum = stat.own + stat.of_ended_children;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = self::stat(pid);
        if stat.parent == u64::from(postmaster) {
            sum += stat.own;
        }
    }
    sum
}

/// What `/proc` tells of a process; times in hundredths of a second.
#[derive(Default)]
struct Stat {
    parent: u64,
    own: u64,
    of_ended_children: u64,
}

/// Zeros for a process that has ended.
fn stat(pid: u32) -> Stat {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<_> = after_name.split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    Stat { parent: field(1), own: field(11) + field(12), of_ended_children: field(13) + field(14) }
}
