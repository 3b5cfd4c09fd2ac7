//! What can be done, one use case a file: load, decide, commit once.
//!
//! A use case that meets [`StoreError::Conflict`](crate::ports::StoreError::Conflict) loads and decides again, a
//! bounded number of times. Where a caller must wait for the gateway, the same three beats run inside the request:
//! commit the intent, call, commit the answer. A crash in between leaves a job that finishes it.

mod advance_order;
mod answer_dispute;
mod cancel_order;
mod learn;
mod look;
mod perform_call;
mod place_order;
mod reconcile;
mod record_event;
mod request_refund;
mod run_job;
mod settle_hold;
mod start_payment;
mod sync_payment;
mod watch_order;

use std::sync::Arc;

pub use advance_order::*;
pub use answer_dispute::*;
pub use cancel_order::*;
pub use perform_call::*;
pub use place_order::*;
pub use reconcile::*;
pub use record_event::*;
pub use request_refund::*;
pub use run_job::*;
pub use settle_hold::*;
pub use start_payment::*;
pub use sync_payment::*;
use time::Duration;
pub use watch_order::*;

use crate::{
    CaptureMethod, Id, Mode,
    ports::{Clock, Entropy, Gateway, Queue, Store},
};

/// The outside, as the use cases see it.
#[derive(Clone)]
pub struct Ports {
    /// Loads and commits.
    pub store: Arc<dyn Store>,
    /// The inbox and the jobs.
    pub queue: Arc<dyn Queue>,
    /// The payment provider.
    pub gateway: Arc<dyn Gateway>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Ports {
    /// A new id of any kind.
    pub fn new_id<K>(&self) -> Id<K> {
        let mut bytes = [0; 10];
        self.entropy.fill(&mut bytes);
        Id::from_parts(self.clock.now(), &bytes)
    }
}

/// What the merchant decides once.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Test or live: objects of the other mode do not exist here.
    pub mode: Mode,
    /// Whether money is taken at once or reserved first, where an order does not say.
    pub capture: CaptureMethod,
    /// What becomes of a hold that runs out before anybody has asked for its money.
    pub expiring_hold: ExpiringHold,
    /// How long an order waits for money before it is cancelled.
    pub order_lifetime: Duration,
    /// How long a request holds a call that it performs itself before the worker takes over. Longer than the
    /// gateway's total deadline.
    pub call_held_for: Duration,
}

/// What becomes of a hold that runs out before anybody has asked for its money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExpiringHold {
    /// It is released at the gateway a little before; the order waits for money again.
    #[default]
    Void,
    /// Its money is taken a little before.
    Capture,
}

/// How often a decision is made again when somebody else was faster.
const ATTEMPTS_MAX: u32 = 8;
/// The same, where many decide about one payment at once: of each round one goes through, so this many may wait.
const ATTEMPTS_CONTENDED: u32 = 300;

/// What a caller can do about an error; closed, so that every border maps all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such thing (or it is another mode's).
    NotFound,
    /// The thing's state does not allow it.
    Conflict,
    /// The caller believes something that is not so any more.
    Outdated,
    /// The input is wrong.
    Invalid,
    /// The gateway will not do it, and asking again does not help.
    Refused,
    /// Try again later.
    Unavailable,
    /// Our fault.
    Bug,
}
