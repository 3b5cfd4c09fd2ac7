//! The HTTP side: parse, call a use case, present.

pub mod auth;
pub mod body;
pub mod client_address;
pub mod idempotent;
pub mod limits;
pub mod openapi;
pub mod present;
pub mod problem;
pub mod routes;
pub mod server;
pub mod turns;
