//! The whole program end to end: HTTP, PostgreSQL and the Stripe sandbox, nothing mocked.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod access;
mod bad_input;
mod binary;
mod breaks;
mod contention;
mod disputes;
mod doctor;
mod flood;
mod flows;
mod holds;
mod idempotency;
mod inbox;
mod jobs;
mod kill;
mod late_money;
mod limits;
mod metrics;
mod openapi;
mod operating;
mod pages;
mod process;
mod races;
mod reconcile;
mod reconcile_books;
mod reconcile_command;
mod refunds;
mod relay;
mod reports;
mod restart;
mod scenarios;
mod several;
mod support;
mod webhooks;
