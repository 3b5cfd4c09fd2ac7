use paywright_domain::{DisputeStatus, Evidence, GatewayDisputeId, IntentId, Money, ports::InboxEvent};
use time::{Duration, OffsetDateTime};

use super::{
    FakeGateway,
    model::Model,
    objects::{FakeDispute, IntentStatus},
};

/// How long an answer to a dispute is taken.
const ANSWER_WITHIN: Duration = Duration::days(7);

/// What customers' banks do.
///
/// # Panics
/// Each when there is no such object, or its state does not allow it: the test is wrong.
impl FakeGateway {
    /// The customer asks their bank for so much back, in minor units. An inquiry moves no money.
    pub fn open_dispute(&self, id: &IntentId, amount: u64, inquiry: bool) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let intent = model.intent(id).expect("no such intent");
        assert!(matches!(intent.status, IntentStatus::Captured { .. }), "{id} is {:?}", intent.status);
        let amount = Money::from_minor(amount, intent.amount.currency()).unwrap();
        let dispute: GatewayDisputeId = model.name("du").try_into().unwrap();
        let status = if inquiry { DisputeStatus::WarningNeedsResponse } else { DisputeStatus::NeedsResponse };
        model.disputes.push(FakeDispute {
            id: dispute.clone(),
            intent: id.clone(),
            amount,
            status,
            reason: "fraudulent".to_owned(),
            due_by: now + ANSWER_WITHIN,
            submitted: false,
            evidence: Evidence::default(),
            movements: Vec::new(),
            created_at: now,
        });
        let mut events = vec![model.tell_dispute("charge.dispute.created", &dispute, now)];
        if !inquiry {
            events.push(model.withdraw(&dispute, now));
        }
        events
    }

    /// The bank makes a dispute of an inquiry, to be answered anew.
    pub fn escalate_inquiry(&self, id: &GatewayDisputeId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let dispute = model.dispute_mut(id).expect("no such dispute");
        assert!(dispute.is_inquiry(), "{id} is {}", dispute.status);
        dispute.status = DisputeStatus::NeedsResponse;
        dispute.submitted = false;
        dispute.due_by = now + ANSWER_WITHIN;
        vec![model.tell_dispute("charge.dispute.updated", id, now), model.withdraw(id, now)]
    }

    /// From now on the dispute is said to be over so much, whatever was withdrawn.
    pub fn restate_dispute(&self, id: &GatewayDisputeId, amount: u64) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let dispute = model.dispute_mut(id).expect("no such dispute");
        dispute.amount = Money::from_minor(amount, dispute.amount.currency()).unwrap();
        vec![model.tell_dispute("charge.dispute.updated", id, now)]
    }

    /// The bank lets an inquiry rest.
    pub fn close_inquiry(&self, id: &GatewayDisputeId) -> Vec<InboxEvent> {
        let mut model = self.model();
        let dispute = model.dispute_mut(id).expect("no such dispute");
        assert!(dispute.is_inquiry(), "{id} is {}", dispute.status);
        dispute.status = DisputeStatus::WarningClosed;
        vec![model.tell_dispute("charge.dispute.closed", id, self.now())]
    }

    /// The bank decides for the merchant, even when it had decided otherwise: the money comes back, the fee does not.
    pub fn win_dispute(&self, id: &GatewayDisputeId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let dispute = model.dispute_mut(id).expect("no such dispute");
        assert!(dispute.is_withdrawn(), "{id} took nothing");
        dispute.status = DisputeStatus::Won;
        let amount = dispute.amount;
        let moved = model.moved(amount, 1, now);
        model.dispute_mut(id).unwrap().movements.push(moved);
        let kinds = ["charge.dispute.funds_reinstated", "charge.dispute.closed"];
        kinds.map(|kind| model.tell_dispute(kind, id, now)).into()
    }

    /// The bank decides for the customer, even when it had decided otherwise.
    pub fn lose_dispute(&self, id: &GatewayDisputeId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let dispute = model.dispute_mut(id).expect("no such dispute");
        assert!(!dispute.is_inquiry(), "{id} is {}", dispute.status);
        dispute.status = DisputeStatus::Lost;
        let (intent, taken) = (dispute.intent.clone(), dispute.is_withdrawn());
        let mut events = Vec::new();
        if !taken {
            events.push(model.withdraw(id, now));
        }
        events.push(model.tell_dispute("charge.dispute.closed", id, now));
        events.push(model.tell_intent("charge.updated", &intent, now));
        events
    }
}

impl Model {
    fn withdraw(&mut self, id: &GatewayDisputeId, now: OffsetDateTime) -> InboxEvent {
        let amount = self.dispute(id).expect("no such dispute").amount;
        let moved = self.withdrawn(amount, now);
        self.dispute_mut(id).unwrap().movements.push(moved);
        self.tell_dispute("charge.dispute.funds_withdrawn", id, now)
    }
}

impl FakeDispute {
    fn is_inquiry(&self) -> bool {
        matches!(self.status, DisputeStatus::WarningNeedsResponse | DisputeStatus::WarningUnderReview)
    }
}
