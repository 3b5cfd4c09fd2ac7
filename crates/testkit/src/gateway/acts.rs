use paywright_domain::{
    IntentId, Refusal, SessionId,
    ports::{InboxEvent, Snapshot},
};

use super::{
    FakeGateway, encoding,
    model::{IntentStatus, Model, SessionStatus},
};

/// What customers, issuers and people at the gateway's dashboard do.
///
/// # Panics
/// Each when there is no such object, or its state does not allow it: the test is wrong.
impl FakeGateway {
    /// The customer pays on the merchant's page.
    pub fn pay_intent(&self, id: &IntentId) -> Vec<InboxEvent> {
        self.confirm(id, "payment_intent.succeeded", IntentStatus::Captured { refunded: 0 })
    }

    /// The customer's amount is reserved, not taken.
    pub fn authorize_intent(&self, id: &IntentId) -> Vec<InboxEvent> {
        self.confirm(id, "payment_intent.amount_capturable_updated", IntentStatus::Authorized)
    }

    /// The issuer wants the customer to do something.
    pub fn require_action(&self, id: &IntentId) -> Vec<InboxEvent> {
        self.confirm(id, "payment_intent.requires_action", IntentStatus::ActionRequired)
    }

    /// The customer pays by a delayed method.
    pub fn delay_intent(&self, id: &IntentId) -> Vec<InboxEvent> {
        self.confirm(id, "payment_intent.processing", IntentStatus::Processing)
    }

    /// The issuer refuses; the customer may try again. A hosted page stays open.
    pub fn decline(&self, id: &IntentId, decline_code: &str) -> Vec<InboxEvent> {
        let at = self.now();
        let mut model = self.model();
        let key = model.name("ch");
        let intent = model.intent_mut(id).expect("no such intent");
        assert!(intent.status.is_open(), "{id} is {:?}", intent.status);
        intent.status = IntentStatus::AwaitingMethod;
        intent.refusal = Some(Refusal {
            key,
            code: "card_declined".to_owned(),
            decline_code: Some(decline_code.to_owned()),
            message: "Your card was declined.".to_owned(),
            at,
        });
        let snapshot = intent.snapshot(self.mode, at);
        vec![self.send(&mut model, "payment_intent.payment_failed", snapshot)]
    }

    /// The customer pays on the hosted page.
    pub fn pay_session(&self, id: &SessionId) -> Vec<InboxEvent> {
        let intent = self.intent_of_session(id);
        let mut events = self.pay_intent(&intent);
        let mut model = self.model();
        let session = model.session_mut(id).expect("no such session");
        session.status = SessionStatus::Complete;
        let snapshot = session.snapshot(self.mode, self.now());
        events.push(self.send(&mut model, "checkout.session.completed", snapshot));
        events
    }

    /// The issuer refuses on the hosted page, which stays open.
    pub fn decline_session(&self, id: &SessionId, decline_code: &str) -> Vec<InboxEvent> {
        let intent = self.intent_of_session(id);
        self.decline(&intent, decline_code)
    }

    /// The hosted page's time is over.
    pub fn expire_session(&self, id: &SessionId) -> Vec<InboxEvent> {
        let mut model = self.model();
        let status = model.session(id).expect("no such session").status;
        assert_eq!(status, SessionStatus::Open, "{id}");
        model.close(id);
        let snapshot = model.session(id).unwrap().snapshot(self.mode, self.now());
        vec![self.send(&mut model, "checkout.session.expired", snapshot)]
    }

    /// Somebody cancels the intent at the gateway, or a hold runs out.
    pub fn cancel_intent(&self, id: &IntentId) -> Vec<InboxEvent> {
        let mut model = self.model();
        let intent = model.intent_mut(id).expect("no such intent");
        assert!(intent.status.is_open() || intent.status == IntentStatus::Authorized, "{id}");
        intent.status = IntentStatus::Cancelled;
        let snapshot = intent.snapshot(self.mode, self.now());
        vec![self.send(&mut model, "payment_intent.canceled", snapshot)]
    }

    /// Somebody gives money back at the gateway; `refunded` is the total so far, in minor units.
    pub fn refund_intent(&self, id: &IntentId, refunded: u64) -> Vec<InboxEvent> {
        let mut model = self.model();
        let intent = model.intent_mut(id).expect("no such intent");
        assert!(matches!(intent.status, IntentStatus::Captured { .. }), "{id} is {:?}", intent.status);
        assert!(refunded <= intent.amount.minor(), "more than was captured");
        intent.status = IntentStatus::Captured { refunded };
        let snapshot = intent.snapshot(self.mode, self.now());
        vec![self.send(&mut model, "charge.refunded", snapshot)]
    }

    /// A fresh event that says `snapshot`, true or not: for events that are forged, foreign or out of date.
    pub fn event(&self, kind: &str, snapshot: Snapshot) -> InboxEvent {
        self.send(&mut self.model(), kind, snapshot)
    }

    /// A fresh event that is about nothing of ours.
    pub fn noise(&self, kind: &str) -> InboxEvent {
        let mut model = self.model();
        let id = model.name("evt");
        let event = InboxEvent { kind: kind.to_owned(), body: encoding::nothing(kind), ..self.envelope(id) };
        model.events.push(event.clone());
        event
    }

    fn confirm(&self, id: &IntentId, kind: &str, to: IntentStatus) -> Vec<InboxEvent> {
        let mut model = self.model();
        let intent = model.intent_mut(id).expect("no such intent");
        let authorized = intent.status == IntentStatus::Authorized;
        assert!(intent.status.is_open() || authorized, "{id} is {:?}", intent.status);
        intent.status = to;
        intent.refusal = None;
        let snapshot = intent.snapshot(self.mode, self.now());
        vec![self.send(&mut model, kind, snapshot)]
    }

    /// A hosted page makes its intent at the customer's first attempt.
    fn intent_of_session(&self, id: &SessionId) -> IntentId {
        let mut model = self.model();
        model.close_pages(self.now());
        let session = model.session(id).expect("no such session").clone();
        assert_eq!(session.status, SessionStatus::Open, "{id}");
        session.intent.unwrap_or_else(|| {
            let intent = model.new_intent(session.payment, session.amount, Some(session.id)).id;
            model.session_mut(id).unwrap().intent = Some(intent.clone());
            intent
        })
    }

    fn send(&self, model: &mut Model, kind: &str, mut snapshot: Snapshot) -> InboxEvent {
        let id = model.name("evt");
        snapshot.origin.event = Some(id.clone());
        let sighting = &snapshot.sighting;
        let object = match (&sighting.session, &sighting.intent) {
            (Some(session), _) => Some(session.to_string()),
            (None, intent) => intent.as_ref().map(ToString::to_string),
        };
        let event = InboxEvent {
            kind: kind.to_owned(),
            mode: snapshot.mode,
            object,
            body: encoding::encode(&snapshot),
            ..self.envelope(id)
        };
        model.events.push(event.clone());
        event
    }

    fn envelope(&self, id: String) -> InboxEvent {
        InboxEvent {
            id,
            kind: String::new(),
            mode: self.mode,
            account: None,
            api_version: None,
            object: None,
            created_at: self.now(),
            body: Vec::new(),
            ignored: None,
        }
    }
}

impl IntentStatus {
    fn is_open(self) -> bool {
        match self {
            Self::AwaitingMethod | Self::ActionRequired | Self::Processing => true,
            Self::Authorized | Self::Captured { .. } | Self::Cancelled => false,
        }
    }
}
