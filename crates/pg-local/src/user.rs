//! As whom the server runs. PostgreSQL refuses root, so root lends it another user.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Gid, Uid, User, geteuid};

use crate::error::{At, PgLocalError};

/// The user the server runs as: ourselves, or the one root lends it.
#[derive(Debug, Clone)]
pub(crate) struct RunAs {
    uid: Uid,
    gid: Gid,
    name: String,
    switch: bool,
}

impl RunAs {
    /// Ourselves, unless we are root: then the owner of the data that is already in `pgdata`, so that a
    /// directory made by an ordinary user keeps working under sudo; else `postgres`; else `nobody`.
    pub(crate) fn choose(pgdata: &Path) -> Result<Self, PgLocalError> {
        let uid = geteuid();
        if !uid.is_root() {
            return Ok(Self { uid, gid: nix::unistd::getegid(), name: uid.to_string(), switch: false });
        }
        if let Ok(found) = pgdata.metadata()
            && found.uid() != 0
        {
            let (uid, gid) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
            return Ok(Self { uid, gid, name: uid.to_string(), switch: true });
        }
        let named = |name| User::from_name(name).ok().flatten();
        let user = named("postgres").or_else(|| named("nobody")).ok_or(PgLocalError::NoUser)?;
        Ok(Self { uid: user.uid, gid: user.gid, name: user.name, switch: true })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// A command that runs as this user, in `home`, without our environment: the server has no business
    /// with our secrets, and a stray `PGPORT` or `PGOPTIONS` has none with the server.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, home: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", home).env("LC_ALL", "C").current_dir(home).stdin(Stdio::null());
        for kept in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        if self.switch {
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
        command
    }

    /// Makes this user the owner of `path`.
    pub(crate) fn give(&self, path: &Path) -> Result<(), PgLocalError> {
        if !self.switch {
            return Ok(());
        }
        std::os::unix::fs::chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
            .at("change the owner of", path)
    }

    /// Whether this user can enter the nearest existing directory on the way to `path`. Asked of the
    /// kernel by trying: modes alone do not know about groups, access lists and read-only mounts.
    pub(crate) fn can_enter(&self, path: &Path) -> bool {
        let mut existing: PathBuf = path.to_owned();
        while !existing.exists() && existing.pop() {}
        !self.switch
            || self
                .command("/bin/sh", Path::new("/"))
                .args([OsStr::new("-c"), OsStr::new("cd -- \"$1\""), OsStr::new("sh"), existing.as_os_str()])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
    }
}
