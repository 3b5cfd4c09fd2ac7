//! A payment provider in memory: a small honest model of intents and hosted pages.
//!
//! Honest means: it is idempotent by key (a repeated key gets the first answer again, other parameters under it
//! are refused), it refuses what an object's state does not allow, and it never does what a fault says it did not.
//! Customers act when a test says so; every act returns the events that the gateway would send.

mod acts;
mod encoding;
mod model;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use paywright_domain::{
    GatewayCall, IntentId, Mode, Operation, SessionId,
    ports::{Answer, Clock, Gateway, GatewayError, Heard, InboxEvent, Malformed},
};
use time::OffsetDateTime;

use model::Model;

pub use model::{FakeIntent, FakeSession, IntentStatus, SessionStatus};

/// The payment provider in memory. Share it in an [`Arc`].
pub struct FakeGateway {
    mode: Mode,
    clock: Arc<dyn Clock>,
    model: Mutex<Model>,
    script: Mutex<Script>,
}

/// What goes wrong with one call, or one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not performed, and says so.
    NotDone {
        /// How long the gateway asks to wait.
        after: Option<Duration>,
    },
    /// It is not performed, and nobody can tell.
    UnknownBefore,
    /// It is performed, and the answer is lost.
    UnknownAfter,
    /// It is refused with this code.
    Rejected(String),
    /// Its key was used for another request.
    KeyReused,
    /// The credentials are refused.
    NotAllowed,
}

/// A call that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its idempotency key.
    pub key: String,
    /// What it asked.
    pub operation: Operation,
    /// What went wrong with it.
    pub fault: Option<Fault>,
}

#[derive(Default)]
struct Script {
    calls: VecDeque<Option<Fault>>,
    looks: VecDeque<Option<Fault>>,
    arrived: Vec<Arrived>,
}

impl FakeGateway {
    /// A gateway of `mode` that nobody has asked anything yet.
    pub fn new(mode: Mode, clock: Arc<dyn Clock>) -> Self {
        Self { mode, clock, model: Mutex::default(), script: Mutex::default() }
    }

    /// The next call meets this; repeat it to script the calls after it.
    pub fn fail_call(&self, fault: Fault) {
        self.script.lock().unwrap().calls.push_back(Some(fault));
    }

    /// The next call goes well; for scripts such as "the second call fails".
    pub fn pass_call(&self) {
        self.script.lock().unwrap().calls.push_back(None);
    }

    /// The next look at an intent or a hosted page meets this.
    pub fn fail_look(&self, fault: Fault) {
        self.script.lock().unwrap().looks.push_back(Some(fault));
    }

    /// Every call that arrived, in order, faulty ones and repetitions included.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.script.lock().unwrap().arrived.clone()
    }

    /// Every intent, oldest first.
    pub fn intents(&self) -> Vec<FakeIntent> {
        self.model().intents.clone()
    }

    /// Every hosted page, oldest first.
    pub fn sessions(&self) -> Vec<FakeSession> {
        let (mut model, now) = (self.model(), self.now());
        model.close_pages(now);
        model.sessions.clone()
    }

    /// Every event so far, in the order in which they were made.
    pub fn events(&self) -> Vec<InboxEvent> {
        self.model().events.clone()
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    /// The gateway's clock shows seconds only.
    fn now(&self) -> OffsetDateTime {
        let now = self.clock.now();
        now.replace_nanosecond(0).unwrap_or(now)
    }

    fn look<T>(&self, at: impl FnOnce(&mut Model, OffsetDateTime) -> T) -> Result<T, GatewayError> {
        match self.script.lock().unwrap().looks.pop_front().flatten() {
            Some(fault) => Err(fault.error()),
            None => {
                let now = self.now();
                let mut model = self.model();
                model.close_pages(now);
                Ok(at(&mut model, now))
            }
        }
    }
}

#[async_trait]
impl Gateway for FakeGateway {
    async fn perform(&self, call: &GatewayCall) -> Result<Answer, GatewayError> {
        let fault = {
            let mut script = self.script.lock().unwrap();
            let fault = script.calls.pop_front().flatten();
            let (key, operation) = (call.key(), call.operation.clone());
            script.arrived.push(Arrived { key, operation, fault: fault.clone() });
            fault
        };
        match fault {
            None => self.model().perform(self.mode, call, self.now()),
            Some(Fault::UnknownAfter) => {
                // Whatever the model says, the answer is lost.
                let _ = self.model().perform(self.mode, call, self.now());
                Err(Fault::UnknownAfter.error())
            }
            Some(fault) => Err(fault.error()),
        }
    }

    async fn intent(&self, id: &IntentId) -> Result<Option<Answer>, GatewayError> {
        let mode = self.mode;
        self.look(|model, now| model.intent(id).map(|intent| intent.answer(mode, now)))
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Answer>, GatewayError> {
        let mode = self.mode;
        self.look(|model, now| model.session(id).map(|session| session.answer(mode, now)))
    }

    fn understand(&self, body: &[u8]) -> Result<Heard, Malformed> {
        encoding::decode(body)
    }
}

impl Fault {
    fn error(&self) -> GatewayError {
        match self {
            Self::NotDone { after } => {
                GatewayError::NotDone { after: *after, source: "scripted: not sent".into() }
            }
            Self::UnknownBefore => GatewayError::Unknown("scripted: lost on the way there".into()),
            Self::UnknownAfter => GatewayError::Unknown("scripted: lost on the way back".into()),
            Self::Rejected(code) => model::rejected(code, "scripted refusal"),
            Self::KeyReused => GatewayError::KeyReused { message: "scripted: key reused".to_owned() },
            Self::NotAllowed => GatewayError::NotAllowed("scripted: wrong key".to_owned()),
        }
    }
}
