//! Processes that a bench starts, and what they take of the machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

/// How long a process may take to answer.
const START_MAX: Duration = Duration::from_secs(30);

/// A process that ends with the value.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    child: Child,
}

impl Process {
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self { name, child: command.spawn()? })
    }

    /// Waits until it answers a request at `address`, and says how long that took since `begun`.
    pub(crate) fn answers(
        &mut self,
        address: SocketAddr,
        begun: Instant,
        log: &Path,
    ) -> anyhow::Result<Duration> {
        while !is_answered(address) {
            if let Some(ended) = self.child.try_wait()? {
                bail!("{} ended with {ended}: {}", self.name, fs::read_to_string(log)?);
            }
            ensure!(begun.elapsed() < START_MAX, "{} does not answer", self.name);
            sleep(Duration::from_millis(1));
        }
        Ok(begun.elapsed())
    }

    /// The most memory that it ever had, in MiB.
    pub(crate) fn peak_mib(&self) -> u64 {
        self.status("VmHWM:") / 1024
    }

    /// The memory that it has, in MiB.
    pub(crate) fn resident_mib(&self) -> u64 {
        self.status("VmRSS:") / 1024
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine that nobody listens on.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Whether a request gets any answer. One that is sent before the server is ready is held by the system, and answered
/// then.
fn is_answered(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(START_MAX))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 8];
        stream.read_exact(&mut start).map(|()| start)
    };
    ask().is_ok_and(|start: [u8; 8]| start == *b"HTTP/1.1")
}

/// Hundredths of CPU seconds by what took them.
pub(crate) type Cpu = BTreeMap<&'static str, u64>;

/// CPU time so far of each process, of all of PostgreSQL's together, and of our own.
pub(crate) fn cpu<'a>(processes: impl IntoIterator<Item = &'a Process>, data_dir: &Path) -> Cpu {
    let mut cpu = Cpu::new();
    for process in processes {
        cpu.insert(process.name, stat(process.child.id()).own);
    }
    cpu.insert("load", stat(std::process::id()).own);
    cpu.insert("PostgreSQL", postgres(data_dir));
    cpu
}

/// What was taken since `before`.
pub(crate) fn since(before: &Cpu, after: &Cpu) -> Cpu {
    let taken = |(name, ticks): (&&'static str, &u64)| {
        (*name, ticks.saturating_sub(before.get(name).copied().unwrap_or_default()))
    };
    after.iter().map(taken).collect()
}

/// Microseconds of a core for each of `count`.
pub(crate) fn micros_each(ticks: u64, count: usize) -> u64 {
    ticks * 10_000 / u64::try_from(count).unwrap_or(u64::MAX).max(1)
}

/// The number of a database's first process.
pub(crate) fn postmaster(data_dir: &Path) -> Option<u32> {
    let file = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).ok()?;
    file.lines().next()?.trim().parse().ok()
}

/// CPU time of a database's postmaster, of its processes, and of those that ended and were waited for.
fn postgres(data_dir: &Path) -> u64 {
    let Some(postmaster) = postmaster(data_dir) else { return 0 };
    let stat = stat(postmaster);
    let mut sum = stat.own + stat.of_ended_children;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
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
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<_> = after_name.split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    Stat { parent: field(1), own: field(11) + field(12), of_ended_children: field(13) + field(14) }
}
