//! The cache of checked queries.
//!
//! sqlx's macros write it themselves while the crate is compiled against a live database. So: a private
//! database, the migrations, one `cargo check`. They write into an empty directory first, which makes stale
//! files visible and leaves the committed cache alone when anything fails.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use paywright_pg_local::{Cluster, Durability, Options};

const PACKAGE: &str = "paywright-postgres";
const DATABASE: &str = "queries";

/// File names and contents of a cache.
type Cache = BTreeMap<OsString, Vec<u8>>;

pub(crate) fn run(root: &Path, check: bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    let scratch = tempfile::tempdir()?;
    // The database's user has to enter it too; what is inside has modes of its own.
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))?;
    let written = scratch.path().join("sqlx");
    fs::create_dir(&written)?;

    let options = Options { durability: Durability::TestsOnly, ..Options::new(scratch.path().join("db")) };
    let cluster = Cluster::start(&options).context("no database")?;
    migrate(root, &cluster)?;
    compile(root, &cluster.url(DATABASE), &written)?;
    cluster.stop()?;

    let (fresh, committed) = (read(&written)?, read(&root.join(".sqlx"))?);
    let differing = differing(&fresh, &committed);
    if check {
        ensure!(differing.is_empty(), "run `cargo xtask sqlx`: .sqlx differs in {}", differing.join(", "));
    } else {
        replace(&root.join(".sqlx"), &fresh, &committed)?;
    }
    eprintln!("{} queries, {} changed, in {:.1?}", fresh.len(), differing.len(), begun.elapsed());
    Ok(())
}

/// Applies the migrations in order, each in one transaction, as sqlx does.
fn migrate(root: &Path, cluster: &Cluster) -> anyhow::Result<()> {
    cluster.create_database(DATABASE)?;
    for (_, file) in migrations(&root.join("migrations"))? {
        let sql = fs::read_to_string(&file)?;
        cluster.execute(DATABASE, &sql).with_context(|| format!("{} does not apply", file.display()))?;
    }
    Ok(())
}

/// The forward migrations by number: `<number>_<name>.sql`, or `.up.sql` where there is a way back.
fn migrations(dir: &Path) -> anyhow::Result<BTreeMap<i64, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(|| format!("no {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((number, rest)) = name.split_once('_') else { continue };
        if !rest.ends_with(".sql") || rest.ends_with(".down.sql") {
            continue;
        }
        let number = number.parse().with_context(|| format!("{name} does not start with a number"))?;
        if let Some(other) = found.insert(number, path) {
            bail!("{name} and {} have the same number", other.display());
        }
    }
    Ok(found)
}

/// Checks the crate against the database; its macros write what they learn into `cache`.
fn compile(root: &Path, url: &str, cache: &Path) -> anyhow::Result<()> {
    touch(&root.join("crates/postgres"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["check", "--quiet", "--package", PACKAGE, "--all-targets", "--features", "test-db"])
        .current_dir(root)
        .env("DATABASE_URL", url)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", cache)
        .status()?;
    ensure!(status.success(), "{PACKAGE} does not compile against the migrated database");
    Ok(())
}

/// Makes cargo compile every target of the crate again: it cannot know that the macros read a database.
fn touch(package: &Path) -> anyhow::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "cargo compares it with the time of the last build")]
    let now = std::time::SystemTime::now();
    for dir in ["src", "tests", "benches", "examples"] {
        for entry in fs::read_dir(package.join(dir)).into_iter().flatten() {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                File::options().append(true).open(path)?.set_modified(now)?;
            }
        }
    }
    Ok(())
}

fn read(dir: &Path) -> anyhow::Result<Cache> {
    let mut cache = Cache::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry?;
        cache.insert(entry.file_name(), fs::read(entry.path())?);
    }
    Ok(cache)
}

/// The files that only one of them has, or that differ.
fn differing(one: &Cache, other: &Cache) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let differs = |name: &&OsString| one.get(*name) != other.get(*name);
    names.into_iter().filter(differs).map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Makes the directory hold exactly `fresh`; files that are right already keep their time of change.
fn replace(dir: &Path, fresh: &Cache, committed: &Cache) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    for name in committed.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(dir.join(name))?;
    }
    for (name, bytes) in fresh.iter().filter(|(name, bytes)| committed.get(*name) != Some(bytes)) {
        fs::write(dir.join(name), bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(files: &[(&str, &str)]) -> Cache {
        files.iter().map(|(name, text)| (OsString::from(name), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_missing_a_stale_and_a_changed_query_are_all_named() {
        let fresh = cache(&[("new", "1"), ("changed", "1"), ("same", "1")]);
        let committed = cache(&[("stale", "1"), ("changed", "2"), ("same", "1")]);
        assert_eq!(differing(&fresh, &committed), ["changed", "new", "stale"]);
        let dir = tempfile::tempdir().unwrap();
        replace(dir.path(), &committed, &Cache::new()).unwrap();
        replace(dir.path(), &fresh, &committed).unwrap();
        assert_eq!(read(dir.path()).unwrap(), fresh);
    }

    #[test]
    fn migrations_run_by_number_and_ways_back_do_not_run() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["10_c.sql", "2_b.up.sql", "2_b.down.sql", "0001_a.sql", "README.md"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let found = migrations(dir.path()).unwrap();
        let names: Vec<_> = found.values().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["0001_a.sql", "2_b.up.sql", "10_c.sql"]);
        fs::write(dir.path().join("10_again.sql"), "").unwrap();
        assert!(migrations(dir.path()).is_err(), "two with one number");
    }
}
