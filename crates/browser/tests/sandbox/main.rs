//! The sandbox's own pages, and its stand-in for Stripe.js on a merchant's page, in a real Chromium.
//! Screenshots go to `target/screenshots`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "../pages/browser.rs"]
mod browser;
mod dashboard;
mod merchant;
mod stripe_js;
