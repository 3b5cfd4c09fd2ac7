//! Kill rounds: a test of the application, which runs as many of them as it is told to.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

const TEST: &str = "kill_rounds::whatever_is_killed_nothing_acknowledged_is_lost_and_nothing_is_doubled";

pub(crate) fn run(root: &Path, arguments: &[OsString]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--quiet", "--package", "paywright-app", "--test", "real_faults", "--"])
        .args(["--exact", "--nocapture", TEST])
        .env("PAYWRIGHT_KILL_ROUNDS", arguments.join(&OsString::from(" ")))
        .current_dir(root)
        .status()
        .context("cargo test")?;
    ensure!(status.success(), "see above");
    Ok(())
}
