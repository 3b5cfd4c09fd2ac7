//! The benches of the whole. They are built apart, as a release: a load generator built for debugging would take most
//! of the two cores that it shares with what it measures.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

pub(crate) fn run(root: &Path, arguments: &[OsString]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["bench", "--quiet", "--package", "paywright-xtask", "--bench", "whole", "--"])
        .args(arguments)
        .current_dir(root)
        .status()
        .context("cargo bench")?;
    ensure!(status.success(), "the bench failed");
    Ok(())
}
