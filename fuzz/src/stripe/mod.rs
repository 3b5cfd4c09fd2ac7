//! Of the adapter to Stripe.

#[path = "../draw.rs"]
mod draw;
pub mod events;
mod expected;
pub mod forms;
mod json;
pub mod objects;
mod questions;
mod scenes;
pub mod signature;
mod world;
