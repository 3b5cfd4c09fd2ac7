//! Of the program: what clients hand in.

pub mod client_address;
pub mod cursors;
#[path = "../draw.rs"]
mod draw;
pub mod fingerprint;
pub mod money;
