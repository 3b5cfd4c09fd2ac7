//! Real processes, a real database, and what can befall both: a program of its own, which `cargo xtask kill-rounds` runs
//! for as long as one likes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod blocked_threads;
mod database_faults;
mod kill_rounds;
#[path = "../it/process.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod process;
#[path = "../it/relay.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod relay;
mod restart;
#[path = "../it/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;
