//! Paywright, the program: HTTP API, checkout page, worker and command line over the adapters.
//!
//! Start at [`cli`] for what the program can do, at [`wiring`] for which adapter stands behind which port, and at
//! [`http::routes`] for the API.

pub mod cli;
mod commands;
pub mod config;
pub mod doctor;
pub mod http;
mod masked;
pub mod metrics;
pub mod reconcile;
mod replay;
pub mod report;
pub mod system;
pub mod wiring;
pub mod worker;
