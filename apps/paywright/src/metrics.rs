//! Numbers for Prometheus: what is counted, where, and how it is read.
//!
//! [`catalogue`] names every metric; nothing else may be recorded. Counts and durations are recorded where they happen,
//! by the functions of [`record`], [`http`], [`gateway`] and [`archive`]; they cost next to nothing where nobody
//! [reads](start) them. What stands in the database is read once in a while by [`exporter`]. All is shown on a listener of
//! its own, never on the public one.

pub mod archive;
pub mod catalogue;
pub mod exporter;
pub mod gateway;
mod gauges;
pub mod http;
mod kept;
pub mod record;

pub use exporter::start;
