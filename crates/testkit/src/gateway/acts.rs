use paywright_domain::{
    CaptureMethod, IntentId, Refusal, SessionId,
    ports::{DisputeSnapshot, Fact, InboxEvent, RefundSnapshot, Snapshot},
};
use time::OffsetDateTime;

use super::{
    FakeGateway, encoding,
    model::{Model, envelope},
    objects::{FakeIntent, IntentStatus, SessionStatus},
};

/// What customers do, and forged events.
///
/// # Panics
/// Each when there is no such object, or its state does not allow it: the test is wrong.
impl FakeGateway {
    /// The customer pays on the merchant's page. The amount is reserved first where the intent says so; what is
    /// reserved already is taken whole. The gateway's event about the charge tells nothing more, and is left out.
    pub fn pay_intent(&self, id: &IntentId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        vec![model.pay(id, now)]
    }

    /// The customer's amount is reserved, not taken.
    pub fn authorize_intent(&self, id: &IntentId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        vec![model.authorize(id, now)]
    }

    /// The issuer wants the customer to do something.
    pub fn require_action(&self, id: &IntentId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        model.confirm(id).status = IntentStatus::ActionRequired;
        vec![model.tell_intent("payment_intent.requires_action", id, now)]
    }

    /// The customer pays by a delayed method.
    pub fn delay_intent(&self, id: &IntentId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        model.confirm(id).status = IntentStatus::Processing;
        vec![model.tell_intent("payment_intent.processing", id, now)]
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
            advice: None,
            message: "Your card was declined.".to_owned(),
            at,
        });
        vec![model.tell_intent("payment_intent.payment_failed", id, at)]
    }

    /// The customer pays on the hosted page.
    pub fn pay_session(&self, id: &SessionId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let intent = model.intent_of_session(id, now);
        let paid = model.pay(&intent, now);
        model.session_mut(id).expect("no such session").status = SessionStatus::Complete;
        vec![paid, model.tell_session("checkout.session.completed", id, now)]
    }

    /// The issuer refuses on the hosted page, which stays open.
    pub fn decline_session(&self, id: &SessionId, decline_code: &str) -> Vec<InboxEvent> {
        let intent = self.model().intent_of_session(id, self.now());
        self.decline(&intent, decline_code)
    }

    /// The hosted page's time is over.
    pub fn expire_session(&self, id: &SessionId) -> Vec<InboxEvent> {
        let mut model = self.model();
        let status = model.session(id).expect("no such session").status;
        assert_eq!(status, SessionStatus::Open, "{id}");
        model.close(id);
        vec![model.tell_session("checkout.session.expired", id, self.now())]
    }

    /// A fresh event that says `snapshot`, true or not: for events that are forged, foreign or out of date.
    pub fn event(&self, kind: &str, snapshot: Snapshot) -> InboxEvent {
        self.model().send(kind, Fact::Payment(Box::new(snapshot)), self.now())
    }

    /// As [`FakeGateway::event`], about a refund.
    pub fn refund_event(&self, kind: &str, snapshot: RefundSnapshot) -> InboxEvent {
        self.model().send(kind, Fact::Refund(Box::new(snapshot)), self.now())
    }

    /// As [`FakeGateway::event`], about a dispute.
    pub fn dispute_event(&self, kind: &str, snapshot: DisputeSnapshot) -> InboxEvent {
        self.model().send(kind, Fact::Dispute(Box::new(snapshot)), self.now())
    }

    /// A fresh event that is about nothing of ours.
    pub fn noise(&self, kind: &str) -> InboxEvent {
        let mut model = self.model();
        let id = model.name("evt");
        let body = encoding::nothing(kind);
        let event = InboxEvent { kind: kind.to_owned(), body, ..envelope(id, model.mode, self.now()) };
        model.events.push(event.clone());
        event
    }
}

impl Model {
    fn pay(&mut self, id: &IntentId, now: OffsetDateTime) -> InboxEvent {
        let intent = self.intent(id).expect("no such intent");
        if intent.capture == CaptureMethod::Manual && intent.status.is_open() {
            return self.authorize(id, now);
        }
        let whole = self.confirm(id).amount.minor();
        self.take(id, whole, now);
        self.tell_intent("payment_intent.succeeded", id, now)
    }

    fn authorize(&mut self, id: &IntentId, now: OffsetDateTime) -> InboxEvent {
        self.confirm(id);
        self.reserve(id, now);
        self.tell_intent("payment_intent.amount_capturable_updated", id, now)
    }

    /// The intent, to which the customer gives a method.
    fn confirm(&mut self, id: &IntentId) -> &mut FakeIntent {
        let intent = self.intent_mut(id).expect("no such intent");
        let authorized = intent.status == IntentStatus::Authorized;
        assert!(intent.status.is_open() || authorized, "{id} is {:?}", intent.status);
        intent.refusal = None;
        intent
    }

    /// A hosted page makes its intent at the customer's first attempt.
    fn intent_of_session(&mut self, id: &SessionId, now: OffsetDateTime) -> IntentId {
        self.pass_time(now);
        let session = self.session(id).expect("no such session").clone();
        assert_eq!(session.status, SessionStatus::Open, "{id}");
        session.intent.unwrap_or_else(|| {
            let page = Some(session.id);
            let intent = self.new_intent(session.payment, session.amount, session.capture, page, now).id;
            self.intent_mut(&intent).unwrap().order = Some(session.order);
            self.session_mut(id).unwrap().intent = Some(intent.clone());
            intent
        })
    }
}
