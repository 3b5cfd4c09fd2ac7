//! Finds the server's programs.

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::PgLocalError;
use crate::fetch;
use crate::options::{Options, Source};
use crate::place::Place;
use crate::user::RunAs;

/// The versions our SQL is tested with.
pub(crate) const VERSIONS: RangeInclusive<u32> = 14..=18;

/// A directory with `postgres` and `initdb` of one supported version, which the database's user can run.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) bin: PathBuf,
    pub(crate) major: u32,
}

/// Finds the programs for `place`: those of the version that made its data, or of any supported version.
pub(crate) fn find(place: &Place, options: &Options) -> Result<Binaries, PgLocalError> {
    let made_by = place.version();
    let fits = |found: &Binaries| made_by.is_none_or(|major| major == found.major);
    if options.source != Source::Wheel {
        if let Some(dir) = env::var_os("PG_BIN").filter(|dir| !dir.is_empty()).map(PathBuf::from) {
            let wanted = made_by.map_or("14 to 18".to_owned(), |major| major.to_string());
            let found = inspect(&dir, &place.run_as).filter(fits);
            return found.ok_or(PgLocalError::PgBin { dir, wanted });
        }
        let installed = installed_dirs(&place.run_as);
        if let Some(found) = installed.iter().find_map(|dir| inspect(dir, &place.run_as).filter(fits)) {
            return Ok(found);
        }
    }
    if let Some(major) = made_by.filter(|major| *major != fetch::MAJOR) {
        return Err(PgLocalError::WrongVersion { dir: place.root.clone(), made_by: major });
    }
    let bin = fetch::obtain(options, &place.run_as).map_err(|why| not_found(&why))?;
    inspect(&bin, &place.run_as)
        .ok_or_else(|| not_found(&format!("the one in {} does not run here", bin.display())))
}

/// Directories that may hold PostgreSQL, in the order of preference.
fn installed_dirs(run_as: &RunAs) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    if let Ok(answer) = Command::new("pg_config").arg("--bindir").output() {
        dirs.push(String::from_utf8_lossy(&answer.stdout).trim().into());
    }
    for (parent, prefix, below) in [
        ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu
        ("/usr", "pgsql-", "bin"),                   // Red Hat, by postgresql.org
        ("/usr/lib", "postgresql", "bin"),           // SUSE
        ("/usr/libexec", "postgresql", ""),          // Alpine
        ("/opt/homebrew/opt", "postgresql@", "bin"), // Homebrew
        ("/usr/local/opt", "postgresql@", "bin"),    // Homebrew on Intel
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ] {
        dirs.extend(newest_first(Path::new(parent), prefix).into_iter().map(|dir| dir.join(below)));
    }
    dirs.retain(|dir| dir.is_absolute() && run_as.can_enter(dir) && dir.join("postgres").exists());
    dirs
}

/// The folders `<prefix><number>` in `parent`, highest number first.
fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Looks whether `dir` has what we need. A link is followed, because initdb looks for its files beside
/// the real program; a script is passed over, because what it would really start cannot be known.
fn inspect(dir: &Path, run_as: &RunAs) -> Option<Binaries> {
    let postgres = dir.join("postgres").canonicalize().ok()?;
    let bin = postgres.parent()?.to_owned();
    if postgres.file_name()? != "postgres" || is_script(&postgres) || is_script(&bin.join("initdb")) {
        return None;
    }
    let answer = run_as.command(&postgres, Path::new("/")).arg("--version").output().ok()?;
    let major = parse_version(&String::from_utf8_lossy(&answer.stdout))?;
    (answer.status.success() && VERSIONS.contains(&major)).then_some(Binaries { bin, major })
}

/// Whether the file is a script, or cannot be read at all.
fn is_script(path: &Path) -> bool {
    let mut start = [0; 2];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_err() || start == *b"#!"
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(text: &str) -> Option<u32> {
    let number = text.strip_prefix("postgres (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn not_found(why: &str) -> PgLocalError {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    PgLocalError::NotFound { why: why.to_owned(), install: install_command(&release).to_owned() }
}

/// The command that installs PostgreSQL on the system that `os_release` describes.
fn install_command(os_release: &str) -> &'static str {
    if cfg!(target_os = "macos") {
        return "brew install postgresql@17";
    }
    let is = |wanted: &str| {
        os_release
            .lines()
            .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
            .any(|ids| ids.trim_matches('"').split_whitespace().any(|id| id.starts_with(wanted)))
    };
    let known = [
        ("debian", "apt-get install -y postgresql"),
        ("ubuntu", "apt-get install -y postgresql"),
        ("fedora", "dnf install -y postgresql-server"),
        ("rhel", "dnf install -y postgresql-server"),
        ("alpine", "apk add postgresql17"),
        ("arch", "pacman -S --noconfirm postgresql"),
        ("opensuse", "zypper install -y postgresql-server"),
        ("suse", "zypper install -y postgresql-server"),
    ];
    known.iter().find(|(id, _)| is(id)).map_or("your system's package manager", |(_, command)| command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn ourselves() -> RunAs {
        RunAs::choose(Path::new("/nonexistent")).unwrap()
    }

    /// An executable script in `dir`, which everybody may reach.
    fn script(dir: &Path, name: &str, text: &str) {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.join(name), text).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn versions_are_read_with_and_without_the_distributions_remark() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_version("pg_wrapper: no cluster\n"), None);
    }

    #[test]
    fn a_wrapper_script_is_passed_over_even_when_it_knows_the_right_version() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["postgres", "initdb"] {
            script(dir.path(), name, "#!/bin/sh\necho 'postgres (PostgreSQL) 16.1'\n");
        }
        assert!(inspect(dir.path(), &ourselves()).is_none());
    }

    #[test]
    fn a_link_on_the_path_leads_to_the_real_directory() {
        let real = installed_dirs(&ourselves()).iter().find_map(|dir| inspect(dir, &ourselves()));
        let Some(real) = real else { return }; // none installed here: nothing to link to
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(real.bin.join("postgres"), dir.path().join("postgres")).unwrap();
        assert_eq!(inspect(dir.path(), &ourselves()).unwrap().bin, real.bin);
    }

    #[test]
    fn the_highest_number_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["pgsql-9", "pgsql-16", "pgsql-15", "pgsql-x", "other"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let names: Vec<_> = newest_first(dir.path(), "pgsql-");
        let names: Vec<_> = names.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["pgsql-16", "pgsql-15", "pgsql-9"]);
    }

    #[cfg(not(target_os = "macos"))]
    #[test]
    fn each_system_is_told_its_own_command() {
        assert_eq!(install_command("ID=ubuntu\nID_LIKE=debian"), "apt-get install -y postgresql");
        assert_eq!(
            install_command("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\""),
            "dnf install -y postgresql-server"
        );
        assert_eq!(install_command("ID=\"opensuse-leap\""), "zypper install -y postgresql-server");
        assert_eq!(install_command(""), "your system's package manager");
    }
}
