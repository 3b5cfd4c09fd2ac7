//! The real binary as a process, which ends with the value.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    task::JoinHandle,
};

/// A process needs a moment; a machine that is busy needs some.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running `paywright`.
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    stdout: Captured,
    stderr: Captured,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Its only complaint: one line, for people.
    pub(crate) fn complaint(&self) -> &str {
        assert!(self.status.code().is_some_and(|code| code != 0), "{self:?}");
        let lines: Vec<_> = self.stderr.lines().collect();
        assert!(lines.len() == 1 && lines[0].starts_with("paywright: "), "not one clear line: {self:?}");
        lines[0]
    }
}

impl Process {
    /// Starts `paywright ARGS` in a folder, with nothing of our own environment that would configure it.
    pub(crate) fn start(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paywright"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("PAYWRIGHT__") || name.starts_with("STRIPE_") || name == "DATABASE_URL" {
                command.env_remove(&*name);
            }
        }
        command.args(args).envs(env.iter().copied()).current_dir(folder).kill_on_drop(true);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap());
        let stdout = Captured::from(child.stdout.take().unwrap());
        let stderr = Captured::from(child.stderr.take().unwrap());
        Self { child, pid, stdout, stderr }
    }

    /// Runs `paywright ARGS` to its end.
    pub(crate) async fn run(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Ended {
        Self::start(folder, args, env).ended().await
    }

    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw()
    }

    /// What it said on standard error so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.text()
    }

    pub(crate) fn send(&self, signal: Signal) {
        signal::kill(self.pid, signal).unwrap();
    }

    /// Waits until it says, on either output, something that `find` finds.
    pub(crate) async fn says<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = find(&self.stdout.text()).or_else(|| find(&self.stderr.text())) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            let said = || self.stdout.text() + &self.stderr.text();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "no {what} ({ended:?}): {}", said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where `serve` listens.
    pub(crate) async fn address(&mut self) -> String {
        self.says("address", |said| {
            let line = said.lines().find(|line| line.contains("serving") && line.contains("address"))?;
            let (_, rest) = line.split_once("address")?;
            let address = rest.trim_start_matches(['"', ':', '=']);
            Some(address.split([' ', '"']).next()?.to_owned())
        })
        .await
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Ended {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it does not end: {}", self.stderr.text())).unwrap();
        Ended { status, stdout: self.stdout.whole().await, stderr: self.stderr.whole().await }
    }

    /// Ends it as it should be ended.
    pub(crate) async fn terminate(self) -> Ended {
        self.send(Signal::SIGTERM);
        self.ended().await
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(self) -> Ended {
        self.send(Signal::SIGKILL);
        self.ended().await
    }
}

/// What comes out of a pipe.
struct Captured {
    text: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Captured {
    fn from(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let text: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&text);
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 8192];
            while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
                kept.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { text, reading }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// All of it; a grandchild that holds the pipe open is not waited for.
    async fn whole(&mut self) -> String {
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.reading).await;
        self.text()
    }
}
