//! Where things are: the data directory, and a socket directory with a short path.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use sha2::{Digest, Sha256};

use crate::error::{At, PgLocalError};
use crate::user::RunAs;

/// The longest socket directory. `sun_path` has 104 bytes on macOS and 108 on Linux, and the socket's own
/// name takes 15 of them.
const SOCKET_DIR_BYTES_MAX: usize = 86;

/// The directory a cluster asked to live in `wanted` really uses: `wanted` itself, made absolute; or, when
/// the user that PostgreSQL must run as cannot enter it (we are root and work below a 0700 home), a place
/// derived from it, `/var/lib/paywright/<hash of the wanted path>`, or a temporary directory when even that
/// cannot be made. The same `wanted` always gives the same place.
///
/// # Errors
/// [`PgLocalError::NoUser`] as root without a user to lend; [`PgLocalError::Io`] when the current directory
/// is gone or the fallback cannot be made. `wanted` itself is not made.
pub fn default_data_dir(wanted: &Path) -> Result<PathBuf, PgLocalError> {
    let wanted = std::path::absolute(wanted).at("resolve", wanted)?;
    if RunAs::choose(&wanted.join(PGDATA))?.can_enter(&wanted) {
        return Ok(wanted);
    }
    let system = Path::new("/var/lib/paywright");
    if make_dir(system, 0o755).is_ok() {
        return Ok(system.join(short_hash(&wanted)));
    }
    let temporary = std::env::temp_dir().join(format!("paywright-{}", short_hash(&wanted)));
    tracing::warn!(wanted = %wanted.display(), used = %temporary.display(),
        "the data directory cannot be reached by PostgreSQL's user: using a temporary one");
    own_dir(&temporary, geteuid().as_raw(), 0o755)?;
    Ok(temporary)
}

const PGDATA: &str = "postgres";
/// How the directories start in which initdb works until its result is whole.
pub(crate) const INITDB_PREFIX: &str = "initdb-";

/// The directories and files of one cluster.
#[derive(Debug)]
pub(crate) struct Place {
    /// The caller's directory (or its substitute); ours.
    pub(crate) root: PathBuf,
    /// PostgreSQL's own directory; the database user's, 0700.
    pub(crate) pgdata: PathBuf,
    /// Socket and life line; the database user's, 0700.
    pub(crate) run: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) lock: PathBuf,
    /// Says that the data may be thrown away, and during which boot of the machine it was made.
    pub(crate) disposable: PathBuf,
    pub(crate) run_as: RunAs,
}

impl Place {
    /// Resolves `wanted` and makes that directory alone: what is inside may be touched only under `lock`.
    pub(crate) fn locate(wanted: &Path) -> Result<Self, PgLocalError> {
        let root = default_data_dir(wanted)?;
        make_dir(&root, 0o755)?;
        let pgdata = root.join(PGDATA);
        let run_as = RunAs::choose(&pgdata)?;
        if !run_as.can_enter(&root) {
            return Err(PgLocalError::Unreachable { dir: root, user: run_as.name().to_owned() });
        }
        let mut run = root.join("run");
        if run.as_os_str().len() > SOCKET_DIR_BYTES_MAX {
            run = std::env::temp_dir().join(format!("paywright-run-{}", short_hash(&root)));
        }
        let (log, lock) = (root.join("postgres.log"), root.join("lock"));
        let disposable = root.join("disposable");
        Ok(Self { root, pgdata, run, log, lock, disposable, run_as })
    }

    /// Makes the socket directory, refuses directories that are someone else's, and clears away what a
    /// killed initdb left. Needs the lock.
    pub(crate) fn furnish(&self) -> Result<(), PgLocalError> {
        if self.pgdata.metadata().is_ok_and(|found| found.uid() != self.run_as.uid()) {
            return Err(PgLocalError::ForeignOwner { dir: self.pgdata.clone() });
        }
        for entry in fs::read_dir(&self.root).at("list", &self.root)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(INITDB_PREFIX) {
                let _ = fs::remove_dir_all(entry.path()); // its initdb may still be busy: next time, then
            }
        }
        if self.run.symlink_metadata().is_err() {
            fs::DirBuilder::new().mode(0o700).create(&self.run).at("create", &self.run)?;
        }
        // It is still ours when it is new, and when an earlier start was killed right here.
        if self.run.symlink_metadata().is_ok_and(|run| run.is_dir() && run.uid() == geteuid().as_raw()) {
            self.run_as.give(&self.run)?;
        }
        own_dir(&self.run, self.run_as.uid(), 0o700)
    }

    /// The major version that made the data, when there is data.
    pub(crate) fn version(&self) -> Option<u32> {
        fs::read_to_string(self.pgdata.join("PG_VERSION")).ok()?.trim().parse().ok()
    }
}

/// Makes a directory and its parents, with exactly this mode whatever the umask.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), PgLocalError> {
    let new = !path.exists();
    fs::create_dir_all(path).at("create", path)?;
    if new {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).at("set the mode of", path)?;
    }
    Ok(())
}

/// Makes a directory that must be `owner`'s. In a temporary directory anyone may have made it before us,
/// and whoever owns it reads and replaces what is inside.
pub(crate) fn own_dir(path: &Path, owner: u32, mode: u32) -> Result<(), PgLocalError> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e).at("create", path),
        _ => {}
    }
    let found = path.symlink_metadata().at("look at", path)?;
    if !found.is_dir() || found.uid() != owner {
        return Err(PgLocalError::ForeignOwner { dir: path.to_owned() });
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).at("set the mode of", path)
}

fn short_hash(path: &Path) -> String {
    hex::encode(&Sha256::digest(path.as_os_str().as_bytes())[..8])
}
