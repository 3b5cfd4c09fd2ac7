//! Tests of the sandbox over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod api;
mod browser;
mod checkout;
mod control;
mod dashboard;
mod desk;
mod disputes;
mod facts;
mod faults;
mod harness;
mod holds;
mod idempotency;
mod judge;
mod persistence;
mod properties;
mod refunds;
mod webhooks;
