//! `paywright`: see `paywright help`.

use std::process::ExitCode;

use clap::Parser as _;
use paywright_app::cli::{Cli, one_line};

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("paywright: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}
