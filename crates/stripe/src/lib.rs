//! Stripe behind the core's [`Gateway`](paywright_domain::ports::Gateway) port.
//!
//! The only crate that knows Stripe's JSON, forms, statuses and signatures. It decides nothing about orders
//! or payments: it sends what was recorded, and says what came back in the core's words, with an honest
//! "unknown" where nothing can be relied on.
//!
//! - [`Stripe`]: calls ([`Settings`] say where and as whom), and the past as
//!   [`Archive`](paywright_domain::ports::Archive) has it.
//! - [`Endpoint`]: where Stripe sends webhooks, made and mended by [`Stripe`], judged by [`judge`].
//! - [`verify`], then [`envelope`] (or [`unreadable`]): from the bytes of a webhook to a row of the inbox.
//!
//! Every fact about Stripe names the page of <https://docs.stripe.com> it is from. Shapes are those of
//! [`API_VERSION`], which is sent with each request; an event of another release is not read but looked up, but for
//! refunds and disputes, of which only fields are read that all releases have.
//!
//! ```
//! use paywright_domain::{Mode, ports::InboxEvent};
//! use paywright_stripe::{SignatureError, TOLERANCE, envelope, unreadable, verify};
//! # use {secrecy::SecretString, time::OffsetDateTime};
//!
//! /// From a webhook's header and bytes to what is stored before it is answered.
//! fn received(
//!     header: Option<&str>,
//!     body: &[u8],
//!     secrets: &[SecretString],
//!     now: OffsetDateTime,
//! ) -> Result<InboxEvent, SignatureError> {
//!     verify(header, body, secrets, now, TOLERANCE)?;
//!     Ok(envelope(body).unwrap_or_else(|_| unreadable(body, Mode::Test, now)))
//! }
//!
//! let secrets = ["whsec_test".to_owned().into()];
//! let forged = received(Some("t=1,v1=00"), b"{}", &secrets, OffsetDateTime::UNIX_EPOCH);
//! assert_eq!(forged, Err(SignatureError::Mismatch));
//! ```
//!
//! # How to add an operation
//! 1. A variant of [`Operation`](paywright_domain::Operation) in the core, with every parameter it needs,
//!    because it is recorded before it is sent and may be repeated for 23 hours.
//! 2. Its form in `form.rs` and its path in `request.rs`; a test there pins the exact bytes.
//! 3. What it answers with in `wire.rs` (only the fields needed), and its meaning beside `snapshot.rs`, `refund.rs` and
//!    `dispute.rs`, if it is a new object.
//! 4. An arm in `Stripe::perform`, and in `answers.rs` what the answer must be about. If it creates something, how that
//!    is found again in `lists.rs`.
//! 5. A test against the sandbox in `tests/`. The table in `classify.rs` stays as it is: errors mean the same
//!    everywhere.

mod answers;
mod archive;
mod balance;
mod breaker;
mod classify;
mod client;
mod credentials;
mod dispute;
mod endpoint;
mod endpoints;
mod envelope;
mod findings;
mod form;
mod gateway;
mod heard;
mod json;
mod limiter;
mod lists;
mod refund;
mod request;
mod serial;
mod settings;
mod skew;
mod snapshot;
mod text;
mod transport;
mod webhook;
mod wire;

pub use client::API_VERSION;
pub use endpoints::{Endpoint, EndpointChange};
pub use envelope::{UNREADABLE, envelope, unreadable};
pub use findings::{Finding, judge};
pub use gateway::Stripe;
pub use heard::EVENTS_NEEDED;
pub use settings::{Settings, SettingsError};
pub use skew::ClockSkew;
#[doc(hidden)]
pub use transport::{Answered, Lost, Sent, Transport};
pub use webhook::{SignatureError, TOLERANCE, verify};
