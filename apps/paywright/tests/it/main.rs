//! The whole program end to end: HTTP, PostgreSQL and the Stripe sandbox, nothing mocked.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod access;
mod bad_input;
mod binary;
mod breaks;
mod contention;
mod disputes;
mod flows;
mod holds;
mod idempotency;
mod kill;
mod late_money;
mod openapi;
mod pages;
mod process;
mod races;
mod refunds;
mod relay;
mod reports;
mod scenarios;
mod support;
mod webhooks;
