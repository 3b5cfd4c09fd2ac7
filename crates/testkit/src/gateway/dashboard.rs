use paywright_domain::{GatewayRefundId, IntentId, RefundStanding, ports::InboxEvent};

use time::OffsetDateTime;

use super::{FakeGateway, model::Model, objects::IntentStatus};

/// What people at the gateway's dashboard do, and what the gateway does by itself.
///
/// # Panics
/// Each when there is no such object, or its state does not allow it: the test is wrong.
impl FakeGateway {
    /// Somebody cancels the intent.
    pub fn dashboard_cancel(&self, id: &IntentId) -> Vec<InboxEvent> {
        self.end(id, &["payment_intent.canceled"])
    }

    /// The hold runs out.
    pub fn expire_hold(&self, id: &IntentId) -> Vec<InboxEvent> {
        let status = self.model().intent(id).expect("no such intent").status;
        assert_eq!(status, IntentStatus::Authorized, "{id}");
        self.end(id, &["charge.expired", "payment_intent.canceled"])
    }

    /// Somebody takes so much of what is reserved; the rest is released.
    pub fn dashboard_capture(&self, id: &IntentId, amount: u64) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let intent = model.intent(id).expect("no such intent");
        assert_eq!(intent.status, IntentStatus::Authorized, "{id}");
        assert!((1..=intent.amount.minor()).contains(&amount), "{amount} of {}", intent.amount);
        model.take(id, amount, now);
        ["charge.captured", "payment_intent.succeeded"].map(|kind| model.tell_intent(kind, id, now)).into()
    }

    /// The capture reaches the balance.
    pub fn settle(&self, id: &IntentId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let status = model.intent(id).expect("no such intent").status;
        assert!(matches!(status, IntentStatus::Captured { .. }), "{id} is {status:?}");
        model.settle(id, now);
        vec![model.tell_intent("charge.updated", id, now)]
    }

    /// Somebody gives so much back.
    pub fn dashboard_refund(&self, id: &IntentId, amount: u64) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let refund = model.refund(id, amount, now).expect("a refund that is allowed");
        model.tell_of_refund(&refund, now)
    }

    /// Somebody gives money back until so much was given back in all, in minor units.
    pub fn refund_intent(&self, id: &IntentId, refunded: u64) -> Vec<InboxEvent> {
        let before = self.model().intent(id).expect("no such intent").refunded();
        self.dashboard_refund(id, refunded.checked_sub(before).expect("less than was given back"))
    }

    /// The money of a refund that waited is sent.
    pub fn refund_succeeds(&self, id: &GatewayRefundId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let refund = model.refund_mut(id).expect("no such refund");
        assert_eq!(refund.standing, RefundStanding::Pending, "{id}");
        refund.standing = RefundStanding::Succeeded;
        let amount = refund.amount;
        let moved = model.moved(amount, -1, now);
        model.refund_mut(id).unwrap().settlement = Some(moved);
        ["refund.updated", "charge.refund.updated"].map(|kind| model.tell_refund(kind, id, now)).into()
    }

    /// The money of a refund comes back, or was never sent: it can be refunded again.
    pub fn refund_fails(&self, id: &GatewayRefundId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        model.undo(id, RefundStanding::Failed, now);
        model.refund_mut(id).unwrap().failure = Some("lost_or_stolen_card".to_owned());
        vec![model.tell_refund("refund.failed", id, now)]
    }

    /// Somebody withdraws a refund that waits.
    pub fn refund_cancelled(&self, id: &GatewayRefundId) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        model.undo(id, RefundStanding::Cancelled, now);
        ["refund.updated", "charge.refund.updated"].map(|kind| model.tell_refund(kind, id, now)).into()
    }

    /// Hours after a failure of its own the gateway performs the call after all, under whose key it failed, see
    /// [`Fault::SpentBefore`](super::Fault::SpentBefore).
    pub fn repair_later(&self, key: &str) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let call = model.take_failed(key).expect("no call that it failed at and did not perform");
        let before = model.events.len();
        model.execute(&call, now).expect("a call that is allowed");
        model.events[before..].to_vec()
    }

    fn end(&self, id: &IntentId, kinds: &[&str]) -> Vec<InboxEvent> {
        let (mut model, now) = (self.model(), self.now());
        let intent = model.intent_mut(id).expect("no such intent");
        assert!(intent.status.is_open() || intent.status == IntentStatus::Authorized, "{id}");
        intent.status = IntentStatus::Cancelled;
        kinds.iter().map(|kind| model.tell_intent(kind, id, now)).collect()
    }
}

impl Model {
    /// The refund's amount can be refunded again.
    fn undo(&mut self, id: &GatewayRefundId, to: RefundStanding, now: OffsetDateTime) {
        let refund = self.refund_mut(id).expect("no such refund");
        let waits = refund.standing == RefundStanding::Pending;
        let comes_back = refund.standing == RefundStanding::Succeeded && to == RefundStanding::Failed;
        assert!(waits || comes_back, "{id} is {}", refund.standing);
        refund.standing = to;
        let (intent, amount) = (refund.intent.clone(), refund.amount);
        if comes_back {
            let moved = self.moved(amount, 1, now);
            self.refund_mut(id).unwrap().reversal = Some(moved);
        }
        let intent = self.intent_mut(&intent).unwrap();
        intent.status = IntentStatus::Captured { refunded: intent.refunded() - amount.minor() };
    }
}
