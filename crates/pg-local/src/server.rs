//! Initialises a data directory and runs one server on it, tied to the life of a pipe.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::error::{At, PgLocalError};
use crate::find::Binaries;
use crate::options::{Durability, Options};
use crate::place::{INITDB_PREFIX, Place};

/// The superuser of the cluster. Who may enter the socket directory is who may connect.
pub(crate) const SUPERUSER: &str = "paywright";
pub(crate) const PORT: u16 = 5432;

/// How long a server that lost its owner may take to leave the directory to us.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(30);
/// What PostgreSQL says when another server still has the directory.
const OCCUPIED: [&str; 2] =
    ["lock file \"postmaster.pid\" already exists", "pre-existing shared memory block"];
const RETRY: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_millis(5);
/// A fast shutdown writes a checkpoint, which may take a while on a busy disk.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const TAIL_LINES: usize = 12;

/// Runs the server (`"$@"`) as long as standard input stays open, then stops it fast.
///
/// Standard input is a pipe (or a named one, `$1`) whose other end our process holds. However that process
/// ends, the kernel closes it and `cat` returns. A shell starts background commands with SIGINT ignored
/// until they install their own handlers, so a server still in its first milliseconds gets a SIGTERM too:
/// that ends it before its handlers are there, and after the SIGINT it changes nothing. A stopped server
/// hears both only once it is continued.
///
/// A named pipe can be joined by others, so it is taken away first, and whoever joined before that is
/// waited for: nobody can hold a life line that nobody watches. When the server ends by itself the watcher
/// is ended as well, before its number can belong to another process.
///
/// Shell and watcher ignore what may be sent to the whole group: they must not end before the server. The
/// kernel itself sends SIGHUP, when we die while one of the group is stopped. INT and TERM are ignored only
/// once the server is started, because it would inherit that.
const SCRIPT: &str = r#"
line=$1; shift
exec 3<&0 </dev/null
trap '' HUP
"$@" 3<&- >&2 &
server=$!
trap '' INT TERM
(
  cat <&3
  if [ -n "$line" ]; then rm -f "$line"; cat <&3; fi
  kill -TERM $server; kill -INT $server; kill -CONT $server
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
echo $server; exec >&2
wait $server; code=$?
kill -KILL $watcher
exit $code
"#;

/// Makes the data directory, whole or not at all.
pub(crate) fn initdb(place: &Place, binaries: &Binaries, durability: Durability) -> Result<(), PgLocalError> {
    let scratch = tempfile::Builder::new().prefix(INITDB_PREFIX).tempdir_in(&place.root);
    let scratch = scratch.at("create a directory in", &place.root)?;
    place.run_as.give(scratch.path())?;
    let fresh = scratch.path().join("data");
    let mut command = place.run_as.command(binaries.bin.join("initdb"), scratch.path());
    command.args(["-A", "trust", "-U", SUPERUSER, "-E", "UTF8", "--locale=C", "-D"]).arg(&fresh);
    match durability {
        Durability::Full => command.arg("--data-checksums"),
        Durability::TestsOnly => command.arg("--no-sync"),
    };
    let answer = command.output().at("run", &binaries.bin.join("initdb"))?;
    if !answer.status.success() {
        let output = String::from_utf8_lossy(&answer.stderr).trim().replace('\n', "; ");
        return Err(PgLocalError::Initdb { dir: place.root.clone(), output });
    }
    if durability == Durability::TestsOnly {
        fs::write(&place.disposable, boot()).at("write", &place.disposable)?;
    }
    fs::rename(&fresh, &place.pgdata).at("rename", &fresh)?;
    File::open(&place.root).and_then(|dir| dir.sync_all()).at("sync", &place.root)
}

/// Throws data away that may be thrown away and must be: without `fsync` it may be torn after a reboot.
/// Only data made for tests carries the mark that allows it.
pub(crate) fn discard_after_reboot(place: &Place) -> Result<(), PgLocalError> {
    match fs::read_to_string(&place.disposable) {
        Ok(made_during) if made_during != boot() => discard(place),
        _ => Ok(()),
    }
}

/// Throws disposable data away.
pub(crate) fn discard(place: &Place) -> Result<(), PgLocalError> {
    if place.pgdata.exists() {
        fs::remove_dir_all(&place.pgdata).at("remove", &place.pgdata)?;
    }
    fs::remove_file(&place.disposable).at("remove", &place.disposable)
}

/// Names the time since the machine was switched on; empty where the system does not tell.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// A running server and our end of its life line.
#[derive(Debug)]
pub(crate) struct Server {
    shell: Child,
    life_line: Option<OwnedFd>,
}

impl Server {
    /// Starts the server and waits until it accepts connections, recovery included.
    ///
    /// With `name` the life line is a named pipe, which others can join. When an older server is still
    /// leaving the directory (its owner was killed a moment ago), PostgreSQL refuses to start, and is
    /// started again until the older one is gone.
    pub(crate) fn launch(
        place: &Place,
        binaries: &Binaries,
        options: &Options,
        name: Option<&Path>,
    ) -> Result<Self, PgLocalError> {
        let begun = Instant::now();
        loop {
            let mut server = Self::spawn(place, binaries, options, name)?;
            let Err(reason) = server.await_ready(place, options.start_timeout) else { return Ok(server) };
            let _ = server.stop(); // it has ended already, or took too long to start
            let tail = tail(&place.log);
            if !OCCUPIED.iter().any(|sign| tail.contains(sign)) {
                return Err(PgLocalError::Start { reason, log: place.log.clone(), tail });
            }
            if begun.elapsed() > PREDECESSOR_TIMEOUT {
                return Err(PgLocalError::Busy { dir: place.root.clone() });
            }
            sleep(RETRY);
        }
    }

    fn spawn(
        place: &Place,
        binaries: &Binaries,
        options: &Options,
        name: Option<&Path>,
    ) -> Result<Self, PgLocalError> {
        let (reader, writer) = match name {
            None => std::io::pipe().map(|(r, w)| (r.into(), w.into())).at("make a pipe in", &place.run)?,
            Some(name) => named_pipe(name)?,
        };
        let _ = fs::rename(&place.log, place.log.with_extension("log.old"));
        let log = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&place.log);
        let log = log.at("create", &place.log)?;
        let mut shell = place.run_as.command("/bin/sh", &place.pgdata);
        shell.args(["-c", SCRIPT, "sh"]).arg(name.unwrap_or(Path::new("")));
        shell.arg(binaries.bin.join("postgres")).arg("-D").arg(&place.pgdata);
        for setting in settings(place, options) {
            shell.arg("-c").arg(setting);
        }
        shell.stdin(reader).stdout(Stdio::piped()).stderr(log);
        shell.process_group(0); // the terminal's Ctrl-C is for us: the database must outlive our drain
        Ok(Self { shell: shell.spawn().at("run", Path::new("/bin/sh"))?, life_line: Some(writer) })
    }

    /// Waits for what pg_ctl waits for: the pid file names this very server and says "ready". A connection
    /// alone would prove nothing, because a predecessor on its way out answers as well.
    fn await_ready(&mut self, place: &Place, timeout: Duration) -> Result<(), String> {
        let begun = Instant::now();
        let mut pid = String::new();
        if let Some(stdout) = self.shell.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut pid);
        }
        loop {
            let file = fs::read_to_string(place.pgdata.join("postmaster.pid")).unwrap_or_default();
            let lines: Vec<&str> = file.lines().map(str::trim).collect();
            if lines.first() == Some(&pid.trim()) && lines.get(7) == Some(&"ready") {
                return Ok(());
            }
            match self.shell.try_wait() {
                Ok(None) if begun.elapsed() < timeout => sleep(POLL),
                Ok(None) => return Err(format!("did not accept connections within {timeout:?}")),
                Ok(Some(status)) => return Err(format!("ended while starting ({status})")),
                Err(e) => return Err(format!("cannot be watched ({e})")),
            }
        }
    }

    /// Stops the server fast: clients are disconnected, what was committed is kept.
    pub(crate) fn stop(&mut self) -> Result<(), PgLocalError> {
        drop(self.life_line.take());
        let failed = |reason: String| PgLocalError::Stop { reason };
        let begun = Instant::now();
        loop {
            match self.shell.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(failed(status.to_string())),
                Err(e) => return Err(failed(e.to_string())),
                Ok(None) if begun.elapsed() < STOP_TIMEOUT => sleep(POLL),
                Ok(None) => break,
            }
        }
        // Its own group, see `spawn`. SIGQUIT is PostgreSQL's immediate shutdown.
        if let Ok(group) = i32::try_from(self.shell.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGQUIT);
        }
        let _ = self.shell.wait();
        Err(failed(format!("not gone after {STOP_TIMEOUT:?}")))
    }

    /// Gives up being the only owner: the server now lives until the last holder of its named pipe ends.
    pub(crate) fn into_life_line(mut self) -> Option<OwnedFd> {
        self.life_line.take()
    }
}

/// Makes a named pipe and opens both ends; the order keeps every `open` from waiting for the other side.
fn named_pipe(name: &Path) -> Result<(OwnedFd, OwnedFd), PgLocalError> {
    let _ = fs::remove_file(name);
    mkfifo(name, Mode::S_IRUSR | Mode::S_IWUSR).at("make the pipe", name)?;
    let mut no_wait = OpenOptions::new();
    no_wait.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let guard = no_wait.open(name).at("open", name)?;
    let writer = OpenOptions::new().write(true).open(name).at("open", name)?;
    let reader = File::open(name).at("open", name)?; // `cat` needs one that waits
    drop(guard);
    Ok((reader.into(), writer.into()))
}

/// Joins the life line of a running server. `None`: there is no such server, or it is on its way out.
pub(crate) fn join(name: &Path) -> Option<OwnedFd> {
    let mut no_wait = OpenOptions::new();
    no_wait.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
    no_wait.open(name).ok().map(OwnedFd::from)
}

fn settings(place: &Place, options: &Options) -> Vec<OsString> {
    let mut socket_dir = OsString::from("unix_socket_directories=\"");
    socket_dir.push(place.run.to_string_lossy().replace('"', "\"\"")); // the value is a list, with quotes
    socket_dir.push("\"");
    let mut settings = vec![socket_dir, format!("max_connections={}", options.max_connections).into()];
    let fixed = ["listen_addresses=", "port=5432", "unix_socket_permissions=0700", "logging_collector=off"];
    let fixed = fixed.into_iter().chain(["log_destination=stderr", "timezone=UTC", "log_timezone=UTC"]);
    settings.extend(fixed.map(OsString::from));
    if options.durability == Durability::TestsOnly {
        let unsafe_but_fast = ["fsync=off", "full_page_writes=off", "synchronous_commit=off"];
        settings.extend(unsafe_but_fast.map(OsString::from));
    }
    settings
}

/// The last lines of the log.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Runs the script with a stand-in for the server, and waits until both have ended.
    fn run(line: &Path, life_line: impl Into<Stdio>, server: &str) -> Duration {
        let begun = Instant::now();
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(line)
            .args(["/bin/sh", "-c", server])
            .stdin(life_line)
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        while shell.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(10) {
            sleep(POLL);
        }
        let took = begun.elapsed();
        let _ = killpg(Pid::from_raw(shell.id().try_into().unwrap()), Signal::SIGKILL); // whatever is left
        let _ = shell.wait();
        took
    }

    #[test]
    fn a_server_without_handlers_yet_is_ended_too() {
        // What a shell starts in the background ignores SIGINT, until it says otherwise: this one never does.
        let took = run(Path::new(""), Stdio::null(), "exec sleep 10");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[test]
    fn a_stopped_server_is_ended_too() {
        let (reader, writer) = std::io::pipe().unwrap();
        std::thread::scope(|scope| {
            let running = scope.spawn(|| run(Path::new(""), reader, "kill -STOP $$; exec sleep 10"));
            sleep(Duration::from_millis(300)); // it stops itself meanwhile
            drop(writer);
            let took = running.join().unwrap();
            assert!(took < Duration::from_secs(5), "{took:?}");
        });
    }

    #[test]
    fn a_signal_to_the_whole_group_does_not_end_the_watch_before_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let seen = dir.path().join("seen");
        // The stand-in sends what the kernel sends to an orphaned group, then lives on until it is told.
        let signals = "trap '' HUP INT TERM; sleep 0.1; kill -HUP 0; kill -INT 0; kill -TERM 0";
        let server = format!("{signals}; {}", until_told("echo told", &seen));
        let (reader, writer) = std::io::pipe().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| run(Path::new(""), reader, &server));
            await_text(&seen, "ready");
            drop(writer);
        });
        assert_eq!(fs::read_to_string(seen).unwrap(), "told\n");
    }

    #[test]
    fn a_named_life_line_is_taken_away_before_the_server_is_told_to_stop() {
        let dir = tempfile::tempdir().unwrap();
        let (name, seen) = (dir.path().join("line"), dir.path().join("seen"));
        let (reader, writer) = named_pipe(&name).unwrap();
        let server = until_told(&format!("ls {}", name.display()), &seen);
        std::thread::scope(|scope| {
            scope.spawn(|| run(&name, reader, &server));
            await_text(&seen, "ready");
            drop(writer); // the last user leaves
        });
        assert_eq!(fs::read_to_string(seen).unwrap(), "", "nobody can join a server that is about to stop");
    }

    /// A stand-in that says when it is ready, and does something when it is told to stop.
    fn until_told(answer: &str, seen: &Path) -> String {
        let seen = seen.display();
        format!(
            "trap '{answer} >{seen} 2>/dev/null; exit' TERM; echo ready >{seen}; while :; do sleep 0.01; done"
        )
    }

    fn await_text(file: &Path, text: &str) {
        let begun = Instant::now();
        while !fs::read_to_string(file).unwrap_or_default().contains(text) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{text} is never said");
            sleep(POLL);
        }
    }

    #[test]
    fn whoever_joined_in_time_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("line");
        let (reader, first) = named_pipe(&name).unwrap();
        let second = join(&name).unwrap();
        let waited = std::thread::scope(|scope| {
            let running = scope.spawn(|| run(&name, reader, "exec sleep 10"));
            drop(first);
            sleep(Duration::from_millis(100)); // long enough for a script that does not wait
            assert!(!running.is_finished());
            drop(second);
            running.join().unwrap()
        });
        assert!(waited < Duration::from_secs(5), "{waited:?}");
        assert!(join(&name).is_none(), "afterwards there is nothing to join");
    }
}
