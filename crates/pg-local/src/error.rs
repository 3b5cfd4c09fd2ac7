//! Everything that can go wrong, one clear line each.

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no running cluster, or why it did not do what was asked.
///
/// Whichever it is, no server that this call started is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgLocalError {
    /// No usable PostgreSQL here, and none could be fetched.
    #[error(
        "no PostgreSQL 14 to 18 is installed and {why}; install one with `{install}`, or set DATABASE_URL"
    )]
    NotFound {
        /// Why fetching did not help.
        why: String,
        /// The command that installs one on this system.
        install: String,
    },
    /// `PG_BIN` points at something else.
    #[error("PG_BIN is set to {}, which does not hold a usable PostgreSQL {wanted}", dir.display())]
    PgBin {
        /// The value of `PG_BIN`.
        dir: PathBuf,
        /// The versions that would do.
        wanted: String,
    },
    /// The data was written by a PostgreSQL that is no longer here. It is untouched.
    #[error("{} was made by PostgreSQL {made_by}, which is not installed here; install it, or choose another data directory", dir.display())]
    WrongVersion {
        /// The data directory.
        dir: PathBuf,
        /// The major version that made it.
        made_by: u32,
    },
    /// Another process runs a cluster there. It is not disturbed.
    #[error("another paywright is using the data directory {}", dir.display())]
    Busy {
        /// The data directory.
        dir: PathBuf,
    },
    /// The directory exists and belongs to someone else: using it would hand them the database.
    #[error("{} belongs to another user; remove it, or choose another data directory", dir.display())]
    ForeignOwner {
        /// The directory.
        dir: PathBuf,
    },
    /// The database's user may not enter the data directory.
    #[error("the user `{user}`, as whom PostgreSQL must run, cannot enter {}; choose another data directory", dir.display())]
    Unreachable {
        /// The data directory.
        dir: PathBuf,
        /// The database's user.
        user: String,
    },
    /// We are root and there is nobody to run PostgreSQL as.
    #[error("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody`")]
    NoUser,
    /// `initdb` failed; what it had made is removed.
    #[error("initdb failed in {}: {output}", dir.display())]
    Initdb {
        /// The data directory.
        dir: PathBuf,
        /// What initdb printed.
        output: String,
    },
    /// The server ended, or did not accept connections in time; it is not running.
    #[error("PostgreSQL {reason}; the end of {}:\n{tail}", log.display())]
    Start {
        /// What happened.
        reason: String,
        /// The server's log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The server did not end when asked, or ended badly. It is gone; the next start recovers.
    #[error("PostgreSQL did not stop cleanly ({reason}); the next start will recover")]
    Stop {
        /// What happened.
        reason: String,
    },
    /// The server answered a statement with an error.
    #[error("PostgreSQL answered {code}: {message}")]
    Sql {
        /// SQLSTATE.
        code: String,
        /// The server's message.
        message: String,
    },
    /// The operating system refused something.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Says what was tried, and on which path, when an I/O operation fails.
pub(crate) trait At<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, PgLocalError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, PgLocalError> {
        self.map_err(|e| PgLocalError::Io { doing, path: path.to_owned(), source: e.into() })
    }
}
