//! What the random batches are made of: a few orders, payments and jobs, and units of work that meet on them.

use paywright_domain::{
    Account, Actor, Beat, BreakKind, CallState, CancelReason, Cause, Changes, Customer, Decline,
    DisputeStatus, Effect, GatewayCall, GatewayDisputeId, GatewayRefundId, Guard, Journal, Lease,
    LedgerEntry, Movement, OperationId, Order, OrderEvent, Payment, PaymentEvent, Product, Refund,
    Resolution, Sighting, Standing, ports::InboxEvent,
};
use time::{Duration, OffsetDateTime};

use crate::{
    SeededEntropy,
    builders::{self, ChangesExt, Steps, seen, usd},
};

/// What stands before a batch, as what is to be done to a store so that it stands.
#[derive(Debug)]
pub(super) struct Scene {
    now: OffsetDateTime,
    pub(super) product: Product,
    pub(super) setup: Vec<Changes>,
    /// Is received and claimed once, by somebody whose lease is over at once.
    pub(super) event: InboxEvent,
    /// Nobody started to pay it.
    open: Order,
    /// Its payment waits for the customer.
    waiting: (Order, Payment),
    /// Its payment was captured, and a break is open on it.
    paid: (Order, Payment),
    /// Asks for the waiting payment, and is held from its birth.
    call: GatewayCall,
    customer: Customer,
    operation: OperationId,
    refund: GatewayRefundId,
    dispute: GatewayDisputeId,
    object: String,
}

/// Something that somebody does to a store at one moment.
#[derive(Debug, Clone)]
pub(super) enum Unit {
    Commit(Box<Changes>),
    /// Under a lease of the scene's event's job.
    Finish {
        token: u32,
        changes: Box<Changes>,
    },
    Receive(InboxEvent),
    Claim,
    Retry {
        token: u32,
        delay: Duration,
    },
    Bury {
        token: u32,
    },
}

impl Scene {
    pub(super) fn new(now: OffsetDateTime) -> Self {
        let product = builders::product();
        let mut setup = Vec::new();
        let mut placed = || {
            let birth = builders::order().created_at(now).items(vec![builders::item(&product, 2)]).placed();
            let order = birth.after().clone();
            setup.push(request(now).step(birth));
            order
        };
        let (open, waiting, paid) = (placed(), placed(), placed());
        let mut started = |order: &Order, standing| {
            let step = order.step(OrderEvent::PaymentStarted);
            let birth = builders::payment(step.after()).started();
            let (order, payment) = (step.after().clone(), birth.after().clone());
            setup.push(request(now).step(step).step(birth));
            let sighting = Sighting { intent: Some(builders::intent_id()), ..seen(standing) };
            let step = payment.step(PaymentEvent::Seen(sighting));
            let payment = step.after().clone();
            setup.push(request(now).step(step));
            (order, payment)
        };
        let waiting = started(&waiting, Standing::AwaitingMethod);
        let captured = paid.total.minor();
        let paid = started(&paid, Standing::Captured { captured, refunded: 0 });
        let call = builders::call(&waiting.0, &waiting.1);
        let held = Effect::Call { call: call.clone(), held_for: Some(Duration::HOUR) };
        let broken = builders::found(BreakKind::AmountMismatch, &paid.1);
        setup.push(request(now).effect(held).found(broken));
        let id = |name| format!("evt_{name}_{}", open.id);
        Self {
            event: builders::inbox_event(&id("read")),
            object: id("object"),
            now,
            product,
            setup,
            waiting,
            paid,
            call,
            customer: builders::customer(),
            operation: builders::new_id(now),
            refund: builders::gateway_refund_id(),
            dispute: builders::gateway_dispute_id(),
            open,
        }
    }

    pub(super) fn orders(&self) -> [&Order; 3] {
        [&self.open, &self.waiting.0, &self.paid.0]
    }

    pub(super) fn call(&self) -> &GatewayCall {
        &self.call
    }

    pub(super) fn email(&self) -> &str {
        &self.customer.email
    }

    /// Two to five units. Few topics in each batch, so that they meet.
    pub(super) fn batch(&self, dice: &SeededEntropy) -> Vec<Unit> {
        let topics = [(); 2].map(|()| dice.below(4));
        (0..2 + dice.below(4)).map(|_| self.unit(dice, topics)).collect()
    }

    fn unit(&self, dice: &SeededEntropy, topics: [u64; 2]) -> Unit {
        let token = 1 + u32::from(dice.below(3) == 0);
        match dice.below(12) {
            0 => Unit::Claim,
            1 => {
                Unit::Retry { token, delay: if dice.below(2) == 0 { Duration::ZERO } else { Duration::HOUR } }
            }
            2 => Unit::Bury { token },
            3 => {
                // No job: which of two jobs a claim gets is up to chance.
                let ignored = Some("not ours".to_owned());
                let body = vec![b'{', b'0' + u8::try_from(dice.below(2)).unwrap(), b'}'];
                Unit::Receive(InboxEvent { body, ignored, ..builders::inbox_event(&self.object) })
            }
            4 | 5 => {
                // A placeholder: each store has a job of its own for the event.
                let lease = Lease { job: self.call.id, token };
                Unit::Finish { token, changes: Box::new(self.decision(dice, topics, Cause::Job(lease))) }
            }
            6 => {
                let lease = Lease { job: self.call.id, token: Lease::FROM_BIRTH };
                let mut changes = self.decision(dice, topics, Cause::Job(lease));
                changes.answers.push((self.call.clone(), CallState::Done));
                Unit::Commit(Box::new(changes))
            }
            7 => {
                let cause = Cause::Request(self.operation, Beat::Main);
                Unit::Commit(Box::new(self.decision(dice, topics, cause)))
            }
            _ => {
                let cause = Cause::Request(builders::new_id(self.now), Beat::Main);
                Unit::Commit(Box::new(self.decision(dice, topics, cause)))
            }
        }
    }

    /// Something about each of the topics, of which a part may only be read.
    fn decision(&self, dice: &SeededEntropy, topics: [u64; 2], cause: Cause) -> Changes {
        let mut changes = Changes::because(cause, Actor::System, self.now);
        let [first, second] = topics;
        changes = self.about(first, dice, changes);
        match dice.below(3) {
            _ if first == second => {}
            0 => {}
            1 => changes = self.about(second, dice, changes),
            _ => changes.guards.extend(self.guard(second)),
        }
        changes
    }

    fn guard(&self, topic: u64) -> Option<Guard> {
        match topic {
            0 => Some(Guard::Order(self.open.id, self.open.version)),
            1 => Some(Guard::Payment(self.waiting.1.id, self.waiting.1.version)),
            2 => Some(Guard::Payment(self.paid.1.id, self.paid.1.version)),
            _ => None,
        }
    }

    fn about(&self, topic: u64, dice: &SeededEntropy, changes: Changes) -> Changes {
        match topic {
            0 => self.starts(dice, changes),
            1 => self.waits(dice, changes),
            2 => self.gives_back(dice, changes),
            _ => self.tells(dice, changes),
        }
    }

    /// About the order that nobody started to pay.
    fn starts(&self, dice: &SeededEntropy, changes: Changes) -> Changes {
        let (order, birth) = (&self.open, builders::payment(&self.open).started());
        match dice.below(5) {
            0 => changes.step(order.step(OrderEvent::CancellationRequested(CancelReason::default()))),
            1 => changes.step(order.step(OrderEvent::PaymentStarted)),
            2 => {
                let call = builders::call(order, birth.after());
                let effect = Effect::Call { call, held_for: None };
                changes.step(order.step(OrderEvent::PaymentStarted)).step(birth).effect(effect)
            }
            3 => {
                let mut changes = changes.step(birth);
                changes.guards.extend(self.guard(0));
                changes
            }
            // The order may move meanwhile; that it has one live payment holds all the same.
            _ => changes.step(birth),
        }
    }

    /// About the order whose payment waits.
    fn waits(&self, dice: &SeededEntropy, mut changes: Changes) -> Changes {
        let (order, payment) = &self.waiting;
        let says = |standing| payment.step(PaymentEvent::Seen(seen(standing)));
        match dice.below(7) {
            0 => changes.step(says(Standing::Processing)),
            1 => changes.step(says(Standing::Captured { captured: payment.amount.minor(), refunded: 0 })),
            2 => {
                changes.guards.push(Guard::Order(order.id, order.version));
                changes.step(says(Standing::Cancelled))
            }
            3 => {
                changes.guards.extend(self.guard(1));
                changes.step(order.step(OrderEvent::CancellationRequested(CancelReason::default())))
            }
            4 => {
                // The scene's call has this key.
                let call = GatewayCall { id: builders::new_id(self.now), ..self.call.clone() };
                let generation = 1 + u32::try_from(dice.below(2)).unwrap();
                changes.effect(Effect::Call { call: GatewayCall { generation, ..call }, held_for: None })
            }
            5 => {
                let refusal = builders::refusal(["a", "b"][usize::from(dice.below(2) == 0)]);
                changes.declines.push(Decline { order: order.id, payment: payment.id, refusal });
                changes
            }
            _ => changes.step(payment.step(PaymentEvent::EndRequested)),
        }
    }

    /// About the order that was paid.
    fn gives_back(&self, dice: &SeededEntropy, mut changes: Changes) -> Changes {
        let (order, payment) = &self.paid;
        let minor = usd(1500 + dice.below(2500));
        match dice.below(3) {
            0 => {
                let birth = builders::refund(payment, minor);
                let call = builders::refund_call(order, payment, birth.after());
                changes.payment(payment.follow_refund(&birth).unwrap());
                changes.step(birth).effect(Effect::Call { call, held_for: None })
            }
            1 => {
                let birth = Refund::adopt(payment, builders::refund_draft(minor), self.refund.clone());
                changes.payment(payment.follow_refund(&birth).unwrap());
                changes.step(birth)
            }
            _ => {
                let known = builders::dispute(payment, DisputeStatus::NeedsResponse);
                let (id, at) = (known.after().id, known.after().created_at);
                let seen = known.after().seen.clone();
                let birth = paywright_domain::Dispute::open(id, payment, self.dispute.clone(), seen, at);
                changes.payment(payment.follow_dispute(&birth).unwrap());
                changes.step(birth)
            }
        }
    }

    /// About what is kept once however often it is told, and what is to be done later.
    fn tells(&self, dice: &SeededEntropy, mut changes: Changes) -> Changes {
        let (order, payment) = &self.paid;
        let found = builders::found(BreakKind::AmountMismatch, payment);
        match dice.below(6) {
            0 => changes.found(paywright_domain::Break { detail: format!("{}", dice.below(9)), ..found }),
            1 => {
                let (kind, payment, reason) = (found.kind, found.payment, format!("{}", dice.below(9)));
                changes.resolutions.push(Resolution { kind, payment, object: None, reason });
                changes
            }
            2 => {
                let amount = usd(1 + dice.below(9));
                let entry = LedgerEntry { debit: Account::Clearing, credit: Account::Sales, amount };
                changes.journal(Journal {
                    key: self.object.clone(),
                    movement: Movement::Capture,
                    mode: payment.mode,
                    order: Some(order.id),
                    payment: Some(payment.id),
                    transaction: None,
                    at: self.now,
                    entries: vec![entry],
                })
            }
            3 => {
                changes.customer = Some(Customer { id: builders::new_id(self.now), ..self.customer.clone() });
                changes
            }
            // An order has one timer.
            _ => {
                let (job, at) = (builders::new_id(self.now), self.now - Duration::hours(1));
                let order = [&self.open, &self.waiting.0][usize::from(dice.below(2) == 0)].id;
                changes.effect(Effect::WatchOrder { job, order, at })
            }
        }
    }
}

fn request(now: OffsetDateTime) -> Changes {
    Changes::because(Cause::Request(builders::new_id(now), Beat::Main), Actor::System, now)
}
