//! The HTTP shell around the model: it parses bytes, calls the model under a lock and writes answers.

mod api;
mod browser;
mod control;
mod dashboard;
mod deliver;
mod fault;
mod hand;
mod pages;
mod record;
mod server;
mod shell;

pub use server::{Options, PresetEndpoint, Sandbox, StartError, start};
