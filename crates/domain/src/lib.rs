//! placeholder
mod call;
mod catalogue;
mod changes;
mod id;
mod input;
mod mode;
mod money;
mod order;
mod payment;
mod transition;

pub mod ports;
pub mod usecase;

pub use call::*;
pub use catalogue::*;
pub use changes::*;
pub use id::*;
pub use input::*;
pub use mode::*;
pub use money::*;
pub use order::*;
pub use payment::*;
pub use transition::*;
