//! A payment provider in memory: a small honest model of intents, hosted pages, refunds, disputes and a balance.
//!
//! Honest means: it is idempotent by key (a repeated key gets the first answer again, other parameters under it
//! are refused), it refuses what an object's state does not allow, and it never does what a fault says it did not.
//! Customers act when a test says so; every act returns the events that the gateway would send.

mod acts;
mod archive;
mod balance;
mod dashboard;
mod encoding;
mod execute;
mod issuer;
mod model;
mod objects;
mod payouts;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use paywright_domain::{
    Currency, GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId, Mode, Operation, SessionId,
    ports::{
        Answer, Clock, DisputeSnapshot, Gateway, GatewayError, Heard, InboxEvent, Malformed, RefundSnapshot,
        Reply,
    },
};
use time::OffsetDateTime;

use model::Model;

pub use objects::{FakeDispute, FakeIntent, FakeRefund, FakeSession, IntentStatus, SessionStatus};

/// The payment provider in memory. Share it in an [`Arc`].
pub struct FakeGateway {
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
    /// It is not performed, nobody can tell, and every repetition under its key fails too. The gateway may still
    /// perform it much later, see [`FakeGateway::repair_later`].
    SpentBefore,
    /// It is performed, the answer is lost, and every repetition under its key fails.
    SpentAfter,
    /// Its key is forgotten: it is performed as if it were new.
    KeyPruned,
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
        Self { clock, model: Mutex::new(Model::new(mode)), script: Mutex::default() }
    }

    /// The next call meets this; repeat it to script the calls after it.
    pub fn fail_call(&self, fault: Fault) {
        self.script.lock().unwrap().calls.push_back(Some(fault));
    }

    /// The next call goes well; for scripts such as "the second call fails".
    pub fn pass_call(&self) {
        self.script.lock().unwrap().calls.push_back(None);
    }

    /// The next look or search meets this.
    pub fn fail_look(&self, fault: Fault) {
        self.script.lock().unwrap().looks.push_back(Some(fault));
    }

    /// So many looks go well, and the one after them meets this.
    pub fn fail_look_after(&self, looks: usize, fault: Fault) {
        let mut script = self.script.lock().unwrap();
        script.looks.extend(std::iter::repeat_n(None, looks).chain([Some(fault)]));
    }

    /// What was scripted and has met nothing yet, meets nothing.
    pub fn heal(&self) {
        let mut script = self.script.lock().unwrap();
        script.calls.clear();
        script.looks.clear();
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
        model.pass_time(now);
        model.sessions.clone()
    }

    /// Every refund, oldest first.
    pub fn refunds_made(&self) -> Vec<FakeRefund> {
        self.model().refunds.clone()
    }

    /// Every dispute, oldest first.
    pub fn disputes_opened(&self) -> Vec<FakeDispute> {
        self.model().disputes.clone()
    }

    /// Whether captures reach the balance only by [`FakeGateway::settle`].
    pub fn settle_late(&self, late: bool) {
        self.model().balance.late = late;
    }

    /// The balance has this currency, of which so many units are worth a thousand of the customer's.
    pub fn settle_in(&self, currency: Currency, per_thousand: u32) {
        self.model().balance.foreign = Some((currency, per_thousand));
    }

    /// Whether new refunds wait until [`FakeGateway::refund_succeeds`].
    pub fn hold_refunds(&self, wait: bool) {
        self.model().refunds_wait = wait;
    }

    /// Every event so far, those about calls included, in the order in which they were made.
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
                model.pass_time(now);
                Ok(at(&mut model, now))
            }
        }
    }
}

#[async_trait]
impl Gateway for FakeGateway {
    async fn perform(&self, call: &GatewayCall) -> Result<Reply, GatewayError> {
        let fault = {
            let mut script = self.script.lock().unwrap();
            let fault = script.calls.pop_front().flatten();
            let (key, operation) = (call.key(), call.operation.clone());
            script.arrived.push(Arrived { key, operation, fault: fault.clone() });
            fault
        };
        let (mut model, now) = (self.model(), self.now());
        let Some(fault) = fault else { return model.perform(call, now) };
        match &fault {
            Fault::KeyPruned => {
                model.forget(&call.key());
                return model.perform(call, now);
            }
            // Whatever the model says, the answer is lost.
            Fault::UnknownAfter => drop(model.perform(call, now)),
            Fault::SpentBefore => model.fail(call, false, now),
            Fault::SpentAfter => model.fail(call, true, now),
            Fault::NotDone { .. }
            | Fault::UnknownBefore
            | Fault::Rejected(_)
            | Fault::KeyReused
            | Fault::NotAllowed => {}
        }
        Err(fault.error())
    }

    async fn find(&self, call: &GatewayCall) -> Result<Option<Reply>, GatewayError> {
        self.look(|model, now| model.find(call, now))
    }

    async fn intent(&self, id: &IntentId) -> Result<Option<Answer>, GatewayError> {
        self.look(|model, now| model.intent(id).map(|intent| intent.answer(model.mode, now)))
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Answer>, GatewayError> {
        self.look(|model, now| model.session(id).map(|session| session.answer(model.mode, now)))
    }

    async fn refund(&self, id: &GatewayRefundId) -> Result<Option<RefundSnapshot>, GatewayError> {
        self.look(|model, _| {
            model.refunds.iter().find(|refund| refund.id == *id).map(|refund| refund.snapshot(None))
        })
    }

    async fn refunds(&self, id: &IntentId) -> Result<Vec<RefundSnapshot>, GatewayError> {
        // Lists come newest first.
        self.look(|model, _| {
            let own = model.refunds.iter().rev().filter(|refund| refund.intent == *id);
            own.map(|refund| refund.snapshot(None)).collect()
        })
    }

    async fn disputes(&self, id: &IntentId) -> Result<Vec<DisputeSnapshot>, GatewayError> {
        self.look(|model, now| {
            let own = model.disputes.iter().rev().filter(|dispute| dispute.intent == *id);
            own.map(|dispute| dispute.snapshot(model.mode, now)).collect()
        })
    }

    async fn dispute(&self, id: &GatewayDisputeId) -> Result<Option<DisputeSnapshot>, GatewayError> {
        self.look(|model, now| model.dispute(id).map(|dispute| dispute.snapshot(model.mode, now)))
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
            Self::SpentBefore | Self::SpentAfter => {
                GatewayError::Unknown("scripted: a failure that is stored".into())
            }
            Self::KeyPruned => GatewayError::Unknown("scripted: the key is forgotten".into()),
        }
    }
}
