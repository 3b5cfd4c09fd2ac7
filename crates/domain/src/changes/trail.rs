//! What the audit trail says of a decision.

use std::collections::BTreeMap;

use crate::{
    Break, Decline, Dispute, DisputeEvent, GatewayCall, OrderEvent, OrderId, Payment, PaymentEvent,
    PaymentId, Refund, RefundEvent, Resolution, Step, Transition,
};

/// One line of an order's audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The order it belongs to.
    pub order: OrderId,
    /// The payment it is about, if it is about one.
    pub payment: Option<PaymentId>,
    /// What kind of thing: `order`, `payment`, `refund`, `dispute`, `call`, `decline`, `break`.
    pub subject: &'static str,
    /// What happened.
    pub event: String,
    /// The state before, for a step.
    pub from: Option<&'static str>,
    /// The state after, for a step.
    pub to: Option<&'static str>,
    /// Details for people, free of secrets and e-mail addresses.
    pub detail: BTreeMap<String, String>,
}

impl Entry {
    pub(super) fn of_step(step: &Step) -> Self {
        match step {
            Step::Order(step) => Self {
                order: step.after().id,
                payment: step.after().paid_by.filter(|_| matches!(step.event(), OrderEvent::Captured(_))),
                subject: "order",
                event: step.event().to_string(),
                from: step.before().map(|order| order.state.into()),
                to: Some(step.after().state.into()),
                detail: order_detail(step.event()),
            },
            Step::Payment(step) => Self {
                order: step.after().order,
                payment: Some(step.after().id),
                subject: "payment",
                event: payment_event(step.event()),
                from: step.before().map(|payment| payment.state.into()),
                to: Some(step.after().state.into()),
                detail: payment_detail(step),
            },
            Step::Refund(step) => Self {
                order: step.after().order,
                payment: Some(step.after().payment),
                subject: "refund",
                event: refund_event(step.event()),
                from: step.before().map(|refund| refund.state.into()),
                to: Some(step.after().state.into()),
                detail: refund_detail(step.after()),
            },
            Step::Dispute(step) => Self {
                order: step.after().order,
                payment: Some(step.after().payment),
                subject: "dispute",
                event: dispute_event(step.event()),
                from: step.before().map(|dispute| dispute.state()),
                to: Some(step.after().state()),
                detail: dispute_detail(step.after()),
            },
        }
    }

    pub(super) fn of_call(call: &GatewayCall, what: &str) -> Self {
        Self {
            order: call.order,
            payment: Some(call.payment),
            subject: "call",
            event: format!("{}_{what}", call.operation.name()),
            from: None,
            to: None,
            detail: BTreeMap::from([("idempotency_key".to_owned(), call.key())]),
        }
    }
}

impl Step {
    /// Whether a person would call it a step: that a dispute still stands as it stood is none.
    pub(crate) fn is_news(&self) -> bool {
        match self {
            Self::Dispute(step) => step.before().is_none_or(|before| {
                let (mut seen, after) = (before.seen.clone(), step.after());
                seen.at = after.seen.at;
                seen != after.seen || !matches!(step.event(), DisputeEvent::Seen(_))
            }),
            Self::Order(_) | Self::Payment(_) | Self::Refund(_) => true,
        }
    }
}

impl Decline {
    /// What the audit trail says of it.
    pub fn entry(&self) -> Entry {
        let mut detail = BTreeMap::from([
            ("code".to_owned(), self.refusal.code.clone()),
            ("message".to_owned(), self.refusal.message.clone()),
        ]);
        if let Some(code) = &self.refusal.decline_code {
            detail.insert("decline_code".to_owned(), code.clone());
        }
        if let Some(advice) = &self.refusal.advice {
            detail.insert("advice".to_owned(), advice.clone());
        }
        Entry {
            order: self.order,
            payment: Some(self.payment),
            subject: "decline",
            event: "declined".to_owned(),
            from: None,
            to: None,
            detail,
        }
    }
}

impl Break {
    /// What the audit trail of its order says of it.
    pub fn entry(&self) -> Option<Entry> {
        let mut detail = BTreeMap::from([("detail".to_owned(), self.detail.clone())]);
        if let Some(object) = &self.object {
            detail.insert("object".to_owned(), object.clone());
        }
        Some(Entry {
            order: self.order?,
            payment: self.payment,
            subject: "break",
            event: self.kind.to_string(),
            from: None,
            to: None,
            detail,
        })
    }
}

impl Resolution {
    /// What the audit trail of the order says of it.
    pub fn entry(&self, order: OrderId) -> Entry {
        Entry {
            order,
            payment: self.payment,
            subject: "break",
            event: format!("{}_resolved", self.kind),
            from: None,
            to: None,
            detail: BTreeMap::from([("reason".to_owned(), self.reason.clone())]),
        }
    }
}

fn order_detail(event: &OrderEvent) -> BTreeMap<String, String> {
    let mut detail = BTreeMap::new();
    match event {
        OrderEvent::Shipped(shipment) => {
            detail.insert("carrier".to_owned(), shipment.carrier.clone());
            if let Some(tracking) = &shipment.tracking {
                detail.insert("tracking".to_owned(), tracking.clone());
            }
        }
        OrderEvent::Cancelled(reason) | OrderEvent::CancellationRequested(reason) => {
            detail.insert("reason".to_owned(), reason.to_string());
        }
        OrderEvent::Placed
        | OrderEvent::PaymentStarted
        | OrderEvent::Authorized(_)
        | OrderEvent::Captured(_)
        | OrderEvent::AuthorizationLost
        | OrderEvent::FulfillmentRequested
        | OrderEvent::FulfillmentRefused
        | OrderEvent::FulfillmentStarted
        | OrderEvent::Completed
        | OrderEvent::CancellationRefused
        | OrderEvent::FullyRefunded => {}
    }
    detail
}

fn payment_event(event: &PaymentEvent) -> String {
    match event {
        PaymentEvent::Seen(sighting) => sighting.standing.to_string(),
        PaymentEvent::Started
        | PaymentEvent::Refused
        | PaymentEvent::EndRequested
        | PaymentEvent::EndRefused
        | PaymentEvent::CaptureRequested(_)
        | PaymentEvent::CaptureRefused
        | PaymentEvent::HoldExpiring
        | PaymentEvent::Unwanted
        | PaymentEvent::RefundsChanged { .. }
        | PaymentEvent::DisputesChanged { .. } => event.to_string(),
    }
}

fn refund_event(event: &RefundEvent) -> String {
    match event {
        RefundEvent::Seen(sighting) => sighting.standing.to_string(),
        RefundEvent::Requested | RefundEvent::Adopted | RefundEvent::Refused(_) => event.to_string(),
    }
}

fn refund_detail(refund: &Refund) -> BTreeMap<String, String> {
    let mut detail = BTreeMap::from([
        ("refund".to_owned(), refund.id.to_string()),
        ("amount".to_owned(), refund.amount.to_string()),
        ("reason".to_owned(), refund.reason.to_string()),
    ]);
    let parts = [
        ("note", refund.note.clone()),
        ("failure", refund.failure.clone()),
        ("gateway_refund", refund.gateway.as_ref().map(ToString::to_string)),
    ];
    detail.extend(parts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?))));
    detail
}

fn dispute_event(event: &DisputeEvent) -> String {
    match event {
        DisputeEvent::Seen(seen) => seen.status.to_string(),
        DisputeEvent::AnswerRequested(answer) => format!("{answer}_requested"),
        DisputeEvent::Opened
        | DisputeEvent::EvidenceEdited(_)
        | DisputeEvent::AnswerTaken
        | DisputeEvent::AnswerRefused
        | DisputeEvent::DeadlineNear => event.to_string(),
    }
}

fn dispute_detail(dispute: &Dispute) -> BTreeMap<String, String> {
    let mut detail = BTreeMap::from([
        ("dispute".to_owned(), dispute.id.to_string()),
        ("gateway_dispute".to_owned(), dispute.gateway.to_string()),
        ("amount".to_owned(), dispute.seen.amount.to_string()),
        ("reason".to_owned(), dispute.seen.reason.clone()),
        ("status".to_owned(), dispute.seen.status.to_string()),
    ]);
    if let Some(due_by) = dispute.seen.due_by {
        detail.insert("due_by".to_owned(), due_by.to_string());
    }
    detail
}

fn payment_detail(step: &Transition<Payment, PaymentEvent>) -> BTreeMap<String, String> {
    let (after, mut detail) = (step.after(), BTreeMap::new());
    detail.insert("amount".to_owned(), after.amount.to_string());
    if !after.captured.is_zero() {
        detail.insert("captured".to_owned(), after.captured.to_string());
    }
    if !after.refunded.is_zero() {
        detail.insert("refunded".to_owned(), after.refunded.to_string());
    }
    if !after.disputed.is_zero() {
        detail.insert("disputed".to_owned(), after.disputed.to_string());
    }
    if let Some(asked) = after.capture_asked.filter(|_| after.captured.is_zero()) {
        detail.insert("capture_asked".to_owned(), asked.to_string());
    }
    if let Some(fee) = &after.fee {
        detail.insert("fee".to_owned(), fee.amount.to_string());
    }
    if let Some(intent) = &after.intent {
        detail.insert("payment_intent".to_owned(), intent.to_string());
    }
    if let Some(session) = &after.session {
        detail.insert("checkout_session".to_owned(), session.to_string());
    }
    detail
}
