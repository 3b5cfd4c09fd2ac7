//! Steps and changes in one expression.

use paywright_domain::{
    Applied, Break, Changes, Dispute, DisputeEvent, Effect, Journal, Order, OrderEvent, Payment,
    PaymentEvent, Refund, RefundEvent, Step, Transition,
};

/// Something that takes steps: an order, a payment, a refund or a dispute.
pub trait Steps: Sized {
    /// What happens to it.
    type Event;
    /// The step that `event` means.
    ///
    /// # Panics
    /// When it means none.
    fn step(&self, event: Self::Event) -> Box<Transition<Self, Self::Event>>;
}

impl Steps for Order {
    type Event = OrderEvent;
    fn step(&self, event: OrderEvent) -> Box<Transition<Self, OrderEvent>> {
        moved(self.apply(event).unwrap())
    }
}

impl Steps for Payment {
    type Event = PaymentEvent;
    fn step(&self, event: PaymentEvent) -> Box<Transition<Self, PaymentEvent>> {
        moved(self.apply(event).unwrap())
    }
}

impl Steps for Refund {
    type Event = RefundEvent;
    fn step(&self, event: RefundEvent) -> Box<Transition<Self, RefundEvent>> {
        moved(self.apply(event).unwrap())
    }
}

impl Steps for Dispute {
    type Event = DisputeEvent;
    fn step(&self, event: DisputeEvent) -> Box<Transition<Self, DisputeEvent>> {
        moved(self.apply(event).unwrap())
    }
}

/// The step that `applied` is.
///
/// # Panics
/// When it is none.
pub fn moved<A, E>(applied: Applied<A, E>) -> Box<Transition<A, E>> {
    match applied {
        Applied::Moved(step) => step,
        Applied::AlreadyTrue => panic!("the event moves nothing"),
    }
}

/// What [`ChangesExt::step`] takes: any transition, boxed or not.
pub trait IntoStep {
    /// As a step of changes.
    fn into_step(self) -> Step;
}

impl IntoStep for Transition<Order, OrderEvent> {
    fn into_step(self) -> Step {
        Step::Order(Box::new(self))
    }
}

impl IntoStep for Transition<Payment, PaymentEvent> {
    fn into_step(self) -> Step {
        Step::Payment(Box::new(self))
    }
}

impl IntoStep for Transition<Refund, RefundEvent> {
    fn into_step(self) -> Step {
        Step::Refund(Box::new(self))
    }
}

impl IntoStep for Transition<Dispute, DisputeEvent> {
    fn into_step(self) -> Step {
        Step::Dispute(Box::new(self))
    }
}

impl<T: IntoStep> IntoStep for Box<T> {
    fn into_step(self) -> Step {
        (*self).into_step()
    }
}

/// Changes in one expression.
pub trait ChangesExt {
    /// With this step.
    fn step(self, step: impl IntoStep) -> Self;
    /// With this effect.
    fn effect(self, effect: Effect) -> Self;
    /// With this movement of money.
    fn journal(self, journal: Journal) -> Self;
    /// With this difference.
    fn found(self, found: Break) -> Self;
}

impl ChangesExt for Changes {
    fn step(mut self, step: impl IntoStep) -> Self {
        self.steps.push(step.into_step());
        self
    }

    fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    fn journal(mut self, journal: Journal) -> Self {
        self.journals.push(journal);
        self
    }

    fn found(mut self, found: Break) -> Self {
        self.breaks.push(found);
        self
    }
}
