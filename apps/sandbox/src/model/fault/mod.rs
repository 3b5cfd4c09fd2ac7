//! Faults on demand: what goes wrong with which request or webhook, by script or by chance.

mod effect;
mod parse;
mod rules;

pub use effect::Effect;
pub use parse::{ParsedFaults, parse};
pub use rules::{Faults, Kind, Rule, Subject, Verdict};
