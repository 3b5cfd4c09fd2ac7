use std::collections::BTreeMap;

use paywright_domain::{
    CaptureMethod, GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId, Mode, Money, Operation, Origin,
    PaymentId, SessionId,
    ports::{BookEntry, Fact, GatewayError, InboxEvent, Payout, Reply},
};
use time::OffsetDateTime;

use super::{
    balance::Balance,
    encoding,
    objects::{FakeDispute, FakeIntent, FakeRefund, FakeSession, IntentStatus, SessionStatus},
};

/// Everything the gateway knows.
pub(super) struct Model {
    pub(super) mode: Mode,
    pub(super) intents: Vec<FakeIntent>,
    pub(super) sessions: Vec<FakeSession>,
    pub(super) refunds: Vec<FakeRefund>,
    pub(super) disputes: Vec<FakeDispute>,
    pub(super) events: Vec<InboxEvent>,
    pub(super) balance: Balance,
    /// Movements that belong to nothing here, or that nothing here tells of.
    pub(super) strays: Vec<BookEntry>,
    /// Payouts with what they paid out, oldest first.
    pub(super) payouts: Vec<(Payout, Vec<BookEntry>)>,
    /// How many rows of a list come at once.
    pub(super) page: usize,
    /// Whether a new refund waits before its money is sent.
    pub(super) refunds_wait: bool,
    /// What each key was first used for, and what is said under it.
    keys: BTreeMap<String, (Operation, Kept)>,
    ids: u32,
}

/// What the gateway keeps under a key.
#[derive(Clone)]
enum Kept {
    Said(Outcome),
    /// A failure of its own, repeated for ever; the call, as long as it was not performed.
    Failed(Option<Box<GatewayCall>>),
}

/// What became of a call: the answer, or the code and the words of a refusal.
pub(super) type Outcome = Result<Reply, (&'static str, String)>;

impl Model {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            intents: Vec::new(),
            sessions: Vec::new(),
            refunds: Vec::new(),
            disputes: Vec::new(),
            events: Vec::new(),
            balance: Balance::default(),
            strays: Vec::new(),
            payouts: Vec::new(),
            page: 100,
            refunds_wait: false,
            keys: BTreeMap::new(),
            ids: 0,
        }
    }

    pub(super) fn intent(&self, id: &IntentId) -> Option<&FakeIntent> {
        self.intents.iter().find(|intent| intent.id == *id)
    }

    pub(super) fn session(&self, id: &SessionId) -> Option<&FakeSession> {
        self.sessions.iter().find(|session| session.id == *id)
    }

    pub(super) fn intent_mut(&mut self, id: &IntentId) -> Option<&mut FakeIntent> {
        self.intents.iter_mut().find(|intent| intent.id == *id)
    }

    pub(super) fn session_mut(&mut self, id: &SessionId) -> Option<&mut FakeSession> {
        self.sessions.iter_mut().find(|session| session.id == *id)
    }

    pub(super) fn refund_mut(&mut self, id: &GatewayRefundId) -> Option<&mut FakeRefund> {
        self.refunds.iter_mut().find(|refund| refund.id == *id)
    }

    pub(super) fn dispute(&self, id: &GatewayDisputeId) -> Option<&FakeDispute> {
        self.disputes.iter().find(|dispute| dispute.id == *id)
    }

    pub(super) fn dispute_mut(&mut self, id: &GatewayDisputeId) -> Option<&mut FakeDispute> {
        self.disputes.iter_mut().find(|dispute| dispute.id == *id)
    }

    /// The next name of an object.
    pub(super) fn name(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}_{}", self.ids)
    }

    pub(super) fn new_intent(
        &mut self,
        payment: PaymentId,
        amount: Money,
        capture: CaptureMethod,
        session: Option<SessionId>,
        created_at: OffsetDateTime,
    ) -> FakeIntent {
        let id = self.name("pi").try_into().unwrap();
        let intent = FakeIntent {
            id,
            order: None,
            payment,
            foreign: false,
            amount,
            capture,
            status: IntentStatus::AwaitingMethod,
            captured: 0,
            capture_before: None,
            settlement: None,
            session,
            refusal: None,
            created_at,
        };
        self.intents.push(intent.clone());
        intent
    }

    /// Pages and holds whose time is over end by themselves. An attempt that the issuer refused ends with its page.
    pub(super) fn pass_time(&mut self, now: OffsetDateTime) {
        let over = |page: &&FakeSession| page.status == SessionStatus::Open && page.expires_at <= now;
        let over: Vec<_> = self.sessions.iter().filter(over).map(|session| session.id.clone()).collect();
        for id in over {
            self.close(&id);
        }
        for intent in &mut self.intents {
            let over = intent.capture_before.is_some_and(|until| until <= now);
            if intent.status == IntentStatus::Authorized && over {
                intent.status = IntentStatus::Cancelled;
            }
        }
    }

    pub(super) fn close(&mut self, id: &SessionId) {
        let Some(session) = self.session_mut(id) else { return };
        session.status = SessionStatus::Expired;
        if let Some(intent) = session.intent.clone().and_then(|intent| self.intent_mut(&intent)) {
            intent.status = IntentStatus::Cancelled;
        }
    }

    /// Performs a call once for its key.
    pub(super) fn perform(&mut self, call: &GatewayCall, now: OffsetDateTime) -> Result<Reply, GatewayError> {
        self.pass_time(now);
        let kept = match self.keys.get(&call.key()) {
            Some((first, kept)) if *first == call.operation => kept.clone(),
            Some(_) => {
                let message = "other parameters under the same key".to_owned();
                return Err(GatewayError::KeyReused { message });
            }
            None => {
                let kept = Kept::Said(self.execute(call, now));
                self.keep(call, kept.clone());
                kept
            }
        };
        let request = Some(self.name("req"));
        match kept {
            Kept::Said(Ok(mut reply)) => {
                *origin(&mut reply) = Origin { event: None, request };
                Ok(reply)
            }
            Kept::Said(Err((code, message))) => {
                Err(GatewayError::Rejected { code: code.to_owned(), message, request })
            }
            Kept::Failed(_) => Err(GatewayError::Spent("scripted: the stored failure".into())),
        }
    }

    /// Fails at a call for ever, unless its key has another answer already.
    pub(super) fn fail(&mut self, call: &GatewayCall, performed: bool, now: OffsetDateTime) {
        if !self.keys.contains_key(&call.key()) {
            // Whatever the model says, the answer is lost.
            let done = performed.then(|| self.execute(call, now));
            self.keep(call, Kept::Failed(done.is_none().then(|| Box::new(call.clone()))));
        }
    }

    /// What was asked under a key that it failed at, and not performed; it is performed at most once.
    pub(super) fn take_failed(&mut self, key: &str) -> Option<GatewayCall> {
        match self.keys.get_mut(key) {
            Some((_, Kept::Failed(call))) => call.take().map(|call| *call),
            Some((_, Kept::Said(_))) | None => None,
        }
    }

    pub(super) fn forget(&mut self, key: &str) {
        self.keys.remove(key);
    }

    fn keep(&mut self, call: &GatewayCall, kept: Kept) {
        self.keys.insert(call.key(), (call.operation.clone(), kept));
    }

    /// A fresh event that says `fact`.
    pub(super) fn send(&mut self, kind: &str, mut fact: Fact, now: OffsetDateTime) -> InboxEvent {
        let id = self.name("evt");
        let (mode, object) = match &mut fact {
            Fact::Payment(told) => {
                told.origin.event = Some(id.clone());
                let sighting = &told.sighting;
                let intent = sighting.intent.as_ref().map(ToString::to_string);
                (told.mode, sighting.session.as_ref().map(ToString::to_string).or(intent))
            }
            Fact::Refund(told) => {
                told.origin.event = Some(id.clone());
                (told.mode.unwrap_or(self.mode), Some(told.sighting.id.to_string()))
            }
            Fact::Dispute(told) => {
                told.origin.event = Some(id.clone());
                (told.mode, Some(told.id.to_string()))
            }
        };
        let body = encoding::encode(&fact);
        let event = InboxEvent { kind: kind.to_owned(), mode, object, body, ..envelope(id, self.mode, now) };
        self.events.push(event.clone());
        event
    }

    /// An event about an intent or its charge. What the gateway names there and does not show, a look must find: an
    /// intent's event says nothing of the charge, and a charge's only that the balance has moved.
    pub(super) fn tell_intent(&mut self, kind: &str, id: &IntentId, now: OffsetDateTime) -> InboxEvent {
        let mut snapshot = self.intent(id).expect("no such intent").snapshot(self.mode, now);
        snapshot.sighting.settlement = None;
        if !kind.starts_with("charge.") {
            snapshot.settled = false;
            snapshot.sighting.capture_before = None;
        }
        self.send(kind, Fact::Payment(Box::new(snapshot)), now)
    }

    pub(super) fn tell_session(&mut self, kind: &str, id: &SessionId, now: OffsetDateTime) -> InboxEvent {
        let snapshot = self.session(id).expect("no such session").snapshot(self.mode, now);
        self.send(kind, Fact::Payment(Box::new(snapshot)), now)
    }

    pub(super) fn tell_refund(
        &mut self,
        kind: &str,
        id: &GatewayRefundId,
        now: OffsetDateTime,
    ) -> InboxEvent {
        let mode = Some(self.mode);
        let mut snapshot = self.refund_mut(id).expect("no such refund").snapshot(mode);
        (snapshot.sighting.settlement, snapshot.sighting.reversal) = (None, None);
        self.send(kind, Fact::Refund(Box::new(snapshot)), now)
    }

    pub(super) fn tell_dispute(
        &mut self,
        kind: &str,
        id: &GatewayDisputeId,
        now: OffsetDateTime,
    ) -> InboxEvent {
        let snapshot = self.dispute(id).expect("no such dispute").snapshot(self.mode, now);
        self.send(kind, Fact::Dispute(Box::new(snapshot)), now)
    }
}

/// An event without its contents.
pub(super) fn envelope(id: String, mode: Mode, now: OffsetDateTime) -> InboxEvent {
    InboxEvent {
        id,
        kind: String::new(),
        mode,
        account: None,
        api_version: None,
        object: None,
        about: None,
        created_at: now,
        body: Vec::new(),
        ignored: None,
    }
}

fn origin(reply: &mut Reply) -> &mut Origin {
    match reply {
        Reply::Payment(answer) => &mut answer.snapshot.origin,
        Reply::Refund(snapshot) => &mut snapshot.origin,
        Reply::Dispute(snapshot) => &mut snapshot.origin,
    }
}

pub(super) fn rejected(code: &str, message: &str) -> GatewayError {
    GatewayError::Rejected { code: code.to_owned(), message: message.to_owned(), request: None }
}
