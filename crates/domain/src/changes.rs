//! Everything that one decision changes, as one value.

mod trail;

use std::fmt;

use strum::{Display, EnumString, IntoStaticStr};
use time::{Duration, OffsetDateTime};

use crate::{
    ApiKeyId, Applied, CallState, Customer, Dispute, DisputeEvent, DisputeId, GatewayCall, JobId, Journal,
    Mode, Money, OperationId, Order, OrderEvent, OrderId, Payment, PaymentEvent, PaymentId, Refund,
    RefundEvent, RefundId, Transition, Version,
};

pub use trail::*;

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
    /// Of a refund.
    Refund(Box<Transition<Refund, RefundEvent>>),
    /// Of a dispute.
    Dispute(Box<Transition<Dispute, DisputeEvent>>),
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
#[expect(clippy::large_enum_variant, reason = "a decision has a handful of effects")]
pub enum Effect {
    /// Call the gateway. With `held_for`, whoever commits holds the job's lease from its birth for that long
    /// (token [`Lease::FROM_BIRTH`]) and is expected to perform it at once; the worker takes over afterwards.
    Call {
        /// The call.
        call: GatewayCall,
        /// How long the committer holds it.
        held_for: Option<Duration>,
    },
    /// Look after an order at `at`: cancel it if nobody paid, decide on a hold that runs out, ask about what was not
    /// heard of. An order has one such timer; one that is set for later is moved to `at`, an earlier one stays, since
    /// whoever looks says when to look again.
    WatchOrder {
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
    /// What the issuer advises: `do_not_try_again`, `try_again_later`, `confirm_card_data`.
    pub advice: Option<String>,
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
    /// An object of the gateway names a payment of ours that is not here.
    ForeignObject,
    /// A refund was refused, or came back after the money was sent.
    RefundFailed,
    /// The gateway's balance moved for one of our payments, and nothing that we know of it tells why.
    UnexplainedTransaction,
    /// A payout is not the sum of what it paid out.
    UnexplainedPayout,
}

/// A difference that no rule explains; always a row, never silent, one for each kind, payment and object. One that was
/// resolved and is found again is opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// What differs.
    pub kind: BreakKind,
    /// Test or live: whose books differ.
    pub mode: Mode,
    /// On which order, if it is on one.
    pub order: Option<OrderId>,
    /// On which payment, if it is on one.
    pub payment: Option<PaymentId>,
    /// The refund of ours or the object of the gateway that it is about, where the payment alone does not tell.
    pub object: Option<String>,
    /// Both sides, for people.
    pub detail: String,
    /// How much money is in the wrong place.
    pub at_risk: Option<Money>,
}

impl Break {
    /// What makes it one break, however often it is found.
    pub fn key(&self) -> String {
        let payment = self.payment.map(|id| id.to_string()).unwrap_or_default();
        format!("{}:{payment}:{}", self.kind, self.object.as_deref().unwrap_or_default())
    }
}

/// The end of breaks that a rule explains now: of one kind, on a payment or about an object, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Which kind.
    pub kind: BreakKind,
    /// On which payment, if only there.
    pub payment: Option<PaymentId>,
    /// About which object, if only that.
    pub object: Option<String>,
    /// Why it is none any more.
    pub reason: String,
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
    /// Differences found; one that is open already is passed over.
    pub breaks: Vec<Break>,
    /// Differences explained; one that is not open is passed over.
    pub resolutions: Vec<Resolution>,
    /// Movements of money; one that is booked already is passed over.
    pub journals: Vec<Journal>,
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
            resolutions: Vec::new(),
            journals: Vec::new(),
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

    /// Adds a refund's step, if it moved.
    pub fn refund(&mut self, applied: Applied<Refund, RefundEvent>) {
        if let Applied::Moved(step) = applied {
            self.steps.push(Step::Refund(step));
        }
    }

    /// Adds a dispute's step, if it moved.
    pub fn dispute(&mut self, applied: Applied<Dispute, DisputeEvent>) {
        if let Applied::Moved(step) = applied {
            self.steps.push(Step::Dispute(step));
        }
    }

    /// The first call that is to be made.
    pub(crate) fn recorded_call(&self) -> Option<GatewayCall> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Call { call, .. } => Some(call.clone()),
            Effect::WatchOrder { .. } => None,
        })
    }

    /// A refund as the last of its steps leaves it.
    pub(crate) fn last_refund(&self, id: RefundId) -> Option<&Refund> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Refund(step) if step.after().id == id => Some(step.after()),
            Step::Refund(_) | Step::Order(_) | Step::Payment(_) | Step::Dispute(_) => None,
        })
    }

    /// A dispute as the last of its steps leaves it.
    pub(crate) fn last_dispute(&self, id: DisputeId) -> Option<&Dispute> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Dispute(step) if step.after().id == id => Some(step.after()),
            Step::Dispute(_) | Step::Order(_) | Step::Payment(_) | Step::Refund(_) => None,
        })
    }

    /// Looks after an order at `at`, or earlier if that was decided already.
    pub(crate) fn watch(&mut self, timer: JobId, watched: OrderId, moment: OffsetDateTime) {
        for effect in &mut self.effects {
            if let Effect::WatchOrder { order, at, .. } = effect
                && *order == watched
            {
                *at = moment.min(*at);
                return;
            }
        }
        self.effects.push(Effect::WatchOrder { job: timer, order: watched, at: moment });
    }

    /// What the audit trail says of steps, effects and answers. Declines and breaks have an entry of their own
    /// ([`Decline::entry`], [`Break::entry`]), written only when they are new.
    pub fn entries(&self) -> Vec<Entry> {
        let answers = self.answers.iter().map(|(call, state)| Entry::of_call(call, &state.to_string()));
        let steps = self.steps.iter().filter(|step| step.is_news()).map(Entry::of_step);
        let effects = self.effects.iter().filter_map(|effect| match effect {
            Effect::Call { call, .. } => Some(Entry::of_call(call, "recorded")),
            Effect::WatchOrder { .. } => None,
        });
        answers.chain(steps).chain(effects).collect()
    }
}
