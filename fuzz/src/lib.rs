//! What must hold of any input: a function from bytes for each fuzz target, shared with the replay of its corpus in
//! `cargo test`.

pub mod app;
pub mod stripe;
