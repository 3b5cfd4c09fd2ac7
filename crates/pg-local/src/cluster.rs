//! A running cluster, as its user sees it.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

use crate::error::{At, PgLocalError};
use crate::find::{self, Binaries};
use crate::options::{Durability, Options};
use crate::place::{Place, own_dir};
use crate::server::{self, PORT, SUPERUSER, Server};
use crate::wire::{Session, WireError};

/// How long to wait for a directory that another process holds: a process that was just killed needs a
/// moment to let go.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(20);
/// SQLSTATE class: the server is being shut down, or crashed.
const OPERATOR_INTERVENTION: &str = "57";
/// SQLSTATE `duplicate_database`.
const DUPLICATE_DATABASE: &str = "42P04";

/// A private PostgreSQL server, running as long as this value lives and never longer than its process.
///
/// Dropping it stops the server, as [`Cluster::stop`] does, without saying whether that went well.
#[derive(Debug)]
pub struct Cluster {
    data_dir: PathBuf,
    run: PathBuf,
    hold: Hold,
}

/// What keeps the server alive.
#[derive(Debug)]
enum Hold {
    /// Ours alone. The lock is released after the server has ended: fields drop in order.
    Alone { server: Server, _lock: File },
    /// Everyone's who holds the named pipe open.
    Shared { _life_line: OwnedFd },
}

impl Cluster {
    /// Starts a cluster of our own; the data directory is made when it is new.
    ///
    /// Blocks: about 0.1 s for existing data, 1 to 4 s the first time, longer when a PostgreSQL has to be
    /// fetched or a crash recovered from. Call it outside of async code.
    ///
    /// # Errors
    /// Whichever it is, no server that this call started is left running and existing data is untouched.
    /// - [`PgLocalError::Busy`]: another process runs a cluster there, and still did 3 s later.
    /// - [`PgLocalError::NotFound`], [`PgLocalError::PgBin`], [`PgLocalError::WrongVersion`]: no program to
    ///   run it with.
    /// - [`PgLocalError::Unreachable`], [`PgLocalError::ForeignOwner`], [`PgLocalError::NoUser`]: the
    ///   directory and the user do not go together.
    /// - [`PgLocalError::Initdb`], [`PgLocalError::Start`], [`PgLocalError::Io`]: see there.
    pub fn start(options: &Options) -> Result<Self, PgLocalError> {
        let place = Place::locate(&options.data_dir)?;
        let lock = lock_within(&place, LOCK_TIMEOUT)?;
        let binaries = prepare(&place, options)?;
        let server = Server::launch(&place, &binaries, options, None)?;
        Ok(Self { data_dir: place.root, run: place.run, hold: Hold::Alone { server, _lock: lock } })
    }

    /// Starts a cluster that other processes of this user share, or joins it when it runs already. It ends
    /// with the last of them, however they end. Its data may be thrown away: meant for tests.
    ///
    /// Of [`Options`], the first process decides; the durability is always [`Durability::TestsOnly`].
    /// The data directory must be ours alone. Blocks, like [`Cluster::start`], and also while another
    /// process starts the cluster.
    ///
    /// # Errors
    /// As [`Cluster::start`], without `Busy`. Data that a server cannot be started on is thrown away once
    /// before that is an error.
    pub fn share(options: &Options) -> Result<Self, PgLocalError> {
        let options = Options { durability: Durability::TestsOnly, ..options.clone() };
        let place = Place::locate(&options.data_dir)?;
        own_dir(&place.root, geteuid().as_raw(), 0o755)?;
        let lock = lock_file(&place)?;
        lock.lock().at("lock", &place.lock)?; // released on return: whoever joins needs no lock
        let name = place.run.join("life-line");
        let shared = |life_line| Self {
            data_dir: place.root.clone(),
            run: place.run.clone(),
            hold: Hold::Shared { _life_line: life_line },
        };
        if let Some(life_line) = server::join(&name) {
            let joined = shared(life_line);
            match joined.execute("postgres", "SELECT 1") {
                Err(PgLocalError::Sql { code, .. }) if code.starts_with(OPERATOR_INTERVENTION) => {}
                Err(PgLocalError::Io { .. }) => {}
                _ => return Ok(joined), // any other refusal, as by a full house, comes from a living server
            }
        }
        let server = launch_shared(&place, &options, &name).or_else(|e| match e {
            PgLocalError::Start { .. } | PgLocalError::WrongVersion { .. } if place.disposable.exists() => {
                tracing::warn!(error = %e, "the shared test cluster does not start: making a new one");
                server::discard(&place)?;
                launch_shared(&place, &options, &name)
            }
            e => Err(e),
        })?;
        let lost = || PgLocalError::Stop { reason: "it lost its life line".to_owned() };
        server.into_life_line().map(shared).ok_or_else(lost)
    }

    /// The directory that holds the data: the one asked for, or its substitute
    /// (see [`default_data_dir`](crate::default_data_dir)).
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The address of `database`, in the form that sqlx reads: a Unix socket, no password, no TLS. Every
    /// part is spelled out, so that no `PG*` variable of the environment fills a gap.
    pub fn url(&self, database: &str) -> String {
        let (socket, database) = (encode(&self.run.to_string_lossy()), encode(database));
        format!("postgres://{SUPERUSER}@localhost:{PORT}/{database}?host={socket}&sslmode=disable")
    }

    /// Creates an empty database, unless it exists already.
    ///
    /// # Errors
    /// [`PgLocalError::Sql`] or [`PgLocalError::Io`]; the database was not created.
    pub fn create_database(&self, database: &str) -> Result<(), PgLocalError> {
        let name = database.replace('"', "\"\"");
        match self.execute("postgres", &format!("CREATE DATABASE \"{name}\"")) {
            Err(PgLocalError::Sql { code, .. }) if code == DUPLICATE_DATABASE => Ok(()),
            outcome => outcome,
        }
    }

    /// Runs one or more statements in `database` as the superuser; what they return is ignored. Together
    /// they are one transaction, unless they say otherwise.
    ///
    /// # Errors
    /// [`PgLocalError::Sql`]: the server refused, and nothing of that transaction happened.
    /// [`PgLocalError::Io`]: the connection failed; whether it happened is unknown.
    pub fn execute(&self, database: &str, sql: &str) -> Result<(), PgLocalError> {
        let socket = self.run.join(format!(".s.PGSQL.{PORT}"));
        Session::open(&socket, SUPERUSER, database).and_then(|mut session| session.execute(sql)).map_err(
            |e| match e {
                WireError::Sql { code, message } => PgLocalError::Sql { code, message },
                WireError::Io(source) => {
                    PgLocalError::Io { doing: "talk to PostgreSQL at", path: socket, source }
                }
            },
        )
    }

    /// Stops the server and waits until it is gone: clients are disconnected, what was committed is kept.
    /// A shared cluster is only let go; it stops after its last user.
    ///
    /// # Errors
    /// [`PgLocalError::Stop`]: it is gone, but not cleanly; the next start recovers.
    pub fn stop(mut self) -> Result<(), PgLocalError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), PgLocalError> {
        match &mut self.hold {
            Hold::Alone { server, .. } => {
                let outcome = server.stop();
                let _ = fs::remove_dir(&self.run); // it may be in a shared temporary directory
                outcome
            }
            Hold::Shared { .. } => Ok(()),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(e) = self.end() {
            tracing::warn!(error = %e, "the private PostgreSQL did not end well");
        }
    }
}

/// Everything before the server itself: directories, programs, data. Needs the lock.
fn prepare(place: &Place, options: &Options) -> Result<Binaries, PgLocalError> {
    place.furnish()?;
    server::discard_after_reboot(place)?;
    let binaries = find::find(place, options)?;
    tracing::debug!(bin = %binaries.bin.display(), major = binaries.major, "found PostgreSQL");
    if place.version().is_none() {
        server::initdb(place, &binaries, options.durability)?;
    }
    Ok(binaries)
}

fn launch_shared(place: &Place, options: &Options, name: &Path) -> Result<Server, PgLocalError> {
    let binaries = prepare(place, options)?;
    Server::launch(place, &binaries, options, Some(name))
}

fn lock_file(place: &Place) -> Result<File, PgLocalError> {
    fs::OpenOptions::new().create(true).truncate(false).write(true).open(&place.lock).at("open", &place.lock)
}

fn lock_within(place: &Place, timeout: Duration) -> Result<File, PgLocalError> {
    let (begun, file) = (Instant::now(), lock_file(place)?);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < timeout => sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => return Err(PgLocalError::Busy { dir: place.root.clone() }),
            Err(TryLockError::Error(e)) => return Err(e).at("lock", &place.lock),
        }
    }
}

/// Percent-encodes everything that could mean something in a URL.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_odd_letters_survives_in_the_url() {
        assert_eq!(encode("/tmp/a b+c%d&é"), "/tmp/a%20b%2Bc%25d%26%C3%A9");
    }
}
