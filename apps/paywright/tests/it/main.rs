//! The whole program end to end: HTTP, PostgreSQL and the Stripe sandbox, nothing mocked.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod flows;
mod support;
