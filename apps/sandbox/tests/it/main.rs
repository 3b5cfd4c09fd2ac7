//! Tests of the sandbox over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod api;
mod checkout;
mod control;
mod harness;
mod idempotency;
mod judge;
mod persistence;
mod webhooks;
