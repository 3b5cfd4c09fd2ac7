//! A local, stateful Stripe: its API, its events and webhooks, a hosted Checkout page and test cards.
//!
//! ```no_run
//! # async fn example() -> Result<(), paywright_sandbox::StartError> {
//! use paywright_sandbox::{Options, start};
//!
//! let options = Options { bind: ([127, 0, 0, 1], 0).into(), ..Options::default() };
//! let sandbox = start(options).await?;
//! println!("point a Stripe client at {}", sandbox.url());
//! sandbox.stop().await;
//! # Ok(())
//! # }
//! ```
#![recursion_limit = "512"]

pub mod cli;
mod http;
mod journal;
pub mod model;
mod remote;

pub use http::{Options, PresetEndpoint, Sandbox, StartError, start};
