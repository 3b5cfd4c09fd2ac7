//! The order's page and the hosted Checkout page as a shopper meets them: Chromium, driven over WebDriver, against the
//! whole program. Screenshots go to `target/screenshots`.
//!
//! `cargo test -p paywright-browser`; needs `apt-get install chromium chromium-driver`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod browser;
mod shopper;
#[path = "../../../../apps/paywright/tests/it/support.rs"]
#[expect(dead_code, reason = "the program's own tests need more of it")]
mod support;
