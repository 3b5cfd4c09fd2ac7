//! What the core asks of the outside, one port a file. Whoever embeds the core implements these.

mod archive;
mod books;
mod catalogue;
mod clock;
mod gateway;
mod limits;
mod queue;
mod reader;
mod store;

pub use archive::*;
pub use books::*;
pub use catalogue::*;
pub use clock::*;
pub use gateway::*;
pub use limits::*;
pub use queue::*;
pub use reader::*;
pub use store::*;

/// A cause from below, kept for the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
