//! The simulation, built apart with optimization: the chores need none of what it simulates, and it is to run often.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

pub(crate) fn run(root: &Path, arguments: &[OsString]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["bench", "--quiet", "--profile", "simulate", "--package", "paywright-simulation"])
        .args(["--bench", "simulate", "--"])
        .args(arguments)
        .current_dir(root)
        .status()
        .context("cargo bench")?;
    ensure!(status.success(), "the simulation found something");
    Ok(())
}
