//! The whole program end to end: HTTP, PostgreSQL and the Stripe sandbox, nothing mocked.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod access;
mod bad_input;
mod binary;
mod flows;
mod idempotency;
mod kill;
mod openapi;
mod pages;
mod process;
mod races;
mod relay;
mod support;
mod webhooks;
