//! Everything that one decision changes, as one value.

use std::{collections::BTreeMap, fmt};

use strum::{Display, EnumString, IntoStaticStr};
use time::{Duration, OffsetDateTime};

use crate::{
    ApiKeyId, Applied, CallState, Customer, GatewayCall, JobId, OperationId, Order, OrderEvent, OrderId,
    Payment, PaymentEvent, PaymentId, Transition, Version,
};

/// Why something is committed. The store takes each cause once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A client's request. One request may commit several times in a row; each beat is a cause of its own.
    Request(OperationId, Beat),
    /// A job, held under a lease. Committing completes the job.
    Job(Lease),
}

/// Which of a request's commits this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Beat {
    /// The decision that the request asked for.
    Main,
    /// A payment that stood in the way was asked to end.
    Clear,
    /// Something that the gateway told on the way.
    Learned,
}

/// The right to complete a job. A later claim of the same job has a greater token and voids this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// Which claim of it.
    pub token: u32,
}

impl Lease {
    /// The token of a job that was held from its birth, see [`Effect::Call`].
    pub const FROM_BIRTH: u32 = 1;
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(operation, Beat::Main) => write!(f, "{operation}"),
            Self::Request(operation, beat) => write!(f, "{operation}:{beat}"),
            Self::Job(lease) => write!(f, "{}", lease.job),
        }
    }
}

/// Who decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A client of the API.
    ApiKey(ApiKeyId),
    /// The shopper, on the order's page.
    Shopper,
    /// The gateway told us.
    Gateway,
    /// Ourselves, by a rule.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey(id) => write!(f, "api_key:{id}"),
            Self::Shopper => f.write_str("shopper"),
            Self::Gateway => f.write_str("stripe"),
            Self::System => f.write_str("system"),
        }
    }
}

/// Where a fact came from, for the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The gateway's event.
    pub event: Option<String>,
    /// The gateway's name for the request that answered.
    pub request: Option<String>,
}

/// One step of one aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Of an order.
    Order(Box<Transition<Order, OrderEvent>>),
    /// Of a payment.
    Payment(Box<Transition<Payment, PaymentEvent>>),
}

/// Something that a decision read and left as it was, and that must still be so when the decision is committed. Two
/// decisions that each read what the other one writes would not see each other without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// An order at a version.
    Order(OrderId, Version),
    /// A payment at a version.
    Payment(PaymentId, Version),
}

/// Something to be done later, outside; recorded with the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Call the gateway. With `held_for`, whoever commits holds the job's lease from its birth for that long
    /// (token [`Lease::FROM_BIRTH`]) and is expected to perform it at once; the worker takes over afterwards.
    Call {
        /// The call.
        call: GatewayCall,
        /// How long the committer holds it.
        held_for: Option<Duration>,
    },
    /// Look at an unpaid order at `at`, and cancel it. A pending one for the same order is moved to `at`.
    ExpireOrder {
        /// The job's identity.
        job: JobId,
        /// The order.
        order: OrderId,
        /// When.
        at: OffsetDateTime,
    },
}

/// An attempt that the issuer refused. Not an end: the customer tries another card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decline {
    /// On which order.
    pub order: OrderId,
    /// On which payment.
    pub payment: PaymentId,
    /// What the gateway said.
    pub refusal: Refusal,
}

/// What the gateway said of an attempt that the issuer refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What makes it one decline, however often it is told: the failed charge, or code and second.
    pub key: String,
    /// The gateway's code, `card_declined` for example.
    pub code: String,
    /// The issuer's finer code, `insufficient_funds` for example.
    pub decline_code: Option<String>,
    /// What may be shown to the customer.
    pub message: String,
    /// When.
    pub at: OffsetDateTime,
}

/// Kinds of differences between our books and the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum BreakKind {
    /// Money arrived for an order that is cancelled or refunded.
    LateMoney,
    /// A second payment of one order was captured.
    SurplusPayment,
    /// Amount or currency differ from what was asked.
    AmountMismatch,
    /// Test object in live mode, or the reverse.
    ModeMismatch,
    /// Two objects of the gateway claim to be the same payment.
    IdentityMismatch,
}

/// A difference that no rule explains; always a row, never silent, one for each kind and payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// What differs.
    pub kind: BreakKind,
    /// On which order.
    pub order: OrderId,
    /// On which payment.
    pub payment: PaymentId,
    /// Both sides, for people.
    pub detail: String,
}

/// Everything one decision changes: applied whole, once per cause, or not at all.
#[must_use = "a decision that is not committed never happened"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Why.
    pub cause: Cause,
    /// Who.
    pub actor: Actor,
    /// When, by the core's clock.
    pub at: OffsetDateTime,
    /// On whose word.
    pub origin: Origin,
    /// Steps, in the order in which they were decided.
    pub steps: Vec<Step>,
    /// What was read and must not have moved meanwhile.
    pub guards: Vec<Guard>,
    /// What is to be done outside.
    pub effects: Vec<Effect>,
    /// How recorded calls ended.
    pub answers: Vec<(GatewayCall, CallState)>,
    /// Refused attempts; one that is stored already is passed over.
    pub declines: Vec<Decline>,
    /// Differences found; one that is stored already, by kind and payment, is passed over.
    pub breaks: Vec<Break>,
    /// A customer to be created.
    pub customer: Option<Customer>,
    /// What came of the job, in a few words; kept with it.
    pub conclusion: Option<String>,
}

impl Changes {
    /// No changes yet, for a cause.
    pub fn because(cause: Cause, actor: Actor, at: OffsetDateTime) -> Self {
        Self {
            cause,
            actor,
            at,
            origin: Origin::default(),
            steps: Vec::new(),
            guards: Vec::new(),
            effects: Vec::new(),
            answers: Vec::new(),
            declines: Vec::new(),
            breaks: Vec::new(),
            customer: None,
            conclusion: None,
        }
    }

    /// Adds an order's step, if it moved.
    pub fn order(&mut self, applied: Applied<Order, OrderEvent>) {
        if let Applied::Moved(step) = applied {
            self.steps.push(Step::Order(step));
        }
    }

    /// Adds a payment's step, if it moved.
    pub fn payment(&mut self, applied: Applied<Payment, PaymentEvent>) {
        if let Applied::Moved(step) = applied {
            self.steps.push(Step::Payment(step));
        }
    }

    /// What the audit trail says of steps, effects and answers. Declines and breaks have an entry of their own
    /// ([`Decline::entry`], [`Break::entry`]), written only when they are new.
    pub fn entries(&self) -> Vec<Entry> {
        let answers = self.answers.iter().map(|(call, state)| Entry::of_call(call, &state.to_string()));
        let steps = self.steps.iter().map(Entry::of_step);
        let effects = self.effects.iter().filter_map(|effect| match effect {
            Effect::Call { call, .. } => Some(Entry::of_call(call, "recorded")),
            Effect::ExpireOrder { .. } => None,
        });
        answers.chain(steps).chain(effects).collect()
    }
}

/// One line of an order's audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The order it belongs to.
    pub order: OrderId,
    /// The payment it is about, if it is about one.
    pub payment: Option<PaymentId>,
    /// What kind of thing: `order`, `payment`, `call`, `decline`, `break`.
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
    fn of_step(step: &Step) -> Self {
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
        }
    }

    fn of_call(call: &GatewayCall, what: &str) -> Self {
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
    /// What the audit trail says of it.
    pub fn entry(&self) -> Entry {
        Entry {
            order: self.order,
            payment: Some(self.payment),
            subject: "break",
            event: self.kind.to_string(),
            from: None,
            to: None,
            detail: BTreeMap::from([("detail".to_owned(), self.detail.clone())]),
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
        | PaymentEvent::EndRefused => event.to_string(),
    }
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
    if let Some(intent) = &after.intent {
        detail.insert("payment_intent".to_owned(), intent.to_string());
    }
    if let Some(session) = &after.session {
        detail.insert("checkout_session".to_owned(), session.to_string());
    }
    detail
}
