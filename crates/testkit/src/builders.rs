//! Valid defaults, so that a test states only what it is about.
//!
//! Ids come from one counter in the process: unique, and in the order in which they were built. Births and steps
//! can only be made by the domain, so the builders end in transitions; [`Changes`] takes them.

mod money;
mod steps;

use std::sync::atomic::{AtomicU64, Ordering};

pub use money::*;
use paywright_domain::{
    Actor, Beat, CallState, CaptureMethod, Cause, Changes, Channel, Currency, Customer, CustomerId, Draft,
    GatewayCall, Id, IntentId, Metadata, Mode, Money, Operation, OperationId, Order, OrderEvent, OrderItem,
    Origin, Payment, PaymentEvent, Product, Refusal, ReturnUrls, SessionId, Sighting, Standing, Subject,
    Transition, Version,
    ports::{InboxEvent, Snapshot},
};
pub use steps::*;
use time::{Duration, OffsetDateTime};

use crate::ManualClock;

/// An id that nobody has yet; it sorts by `at`, then by when it was built.
pub fn new_id<K>(at: OffsetDateTime) -> Id<K> {
    let mut entropy = [0; 10];
    entropy[2..].copy_from_slice(&number().to_be_bytes());
    Id::from_parts(at, &entropy)
}

fn number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// So many US cents.
pub fn usd(minor: u64) -> Money {
    Money::from_minor(minor, "usd".parse().unwrap()).unwrap()
}

/// A fresh request as a cause.
pub fn request() -> Cause {
    let operation: OperationId = new_id(ManualClock::START);
    Cause::Request(operation, Beat::Main)
}

/// Empty changes of a fresh request, by the system, at the manual clock's start.
pub fn changes() -> Changes {
    Changes::because(request(), Actor::System, ManualClock::START)
}

/// A product of 19.99 USD in test mode.
pub fn product() -> Product {
    Product {
        id: new_id(ManualClock::START),
        mode: Mode::Test,
        version: Version::FIRST,
        name: "A fine hat".to_owned(),
        unit_price: usd(1999),
        active: true,
        metadata: Metadata::new(),
        created_at: ManualClock::START,
    }
}

/// A customer in test mode with an address of their own.
pub fn customer() -> Customer {
    Customer {
        id: new_id(ManualClock::START),
        mode: Mode::Test,
        email: format!("shopper-{}@example.com", number()),
        created_at: ManualClock::START,
    }
}

/// One line of an order.
pub fn item(product: &Product, quantity: u32) -> OrderItem {
    OrderItem { product: product.id, name: product.name.clone(), unit_price: product.unit_price, quantity }
}

/// An order of two hats in test mode, 39.98 USD, open for a day.
pub fn order() -> OrderBuilder {
    let at = ManualClock::START;
    OrderBuilder(Draft {
        id: new_id(at),
        mode: Mode::Test,
        customer: None,
        customer_email: None,
        currency: usd(0).currency(),
        items: vec![item(&product(), 2)],
        capture: CaptureMethod::Automatic,
        metadata: Metadata::new(),
        token: format!("token-{}", number()),
        created_at: at,
        expires_at: at + Duration::DAY,
    })
}

/// See [`order`].
#[derive(Debug, Clone)]
pub struct OrderBuilder(Draft);

impl OrderBuilder {
    /// In this mode.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.0.mode = mode;
        self
    }

    /// Bought by a known customer, with their address.
    pub fn customer(mut self, customer: &Customer) -> Self {
        self.0.customer = Some(customer.id);
        self.email(&customer.email)
    }

    /// Bought by a known customer, without an address.
    pub fn customer_id(mut self, id: CustomerId) -> Self {
        self.0.customer = Some(id);
        self
    }

    /// Where to write to.
    pub fn email(mut self, email: &str) -> Self {
        self.0.customer_email = Some(email.to_owned());
        self
    }

    /// These lines, in the currency of the first.
    pub fn items(mut self, items: Vec<OrderItem>) -> Self {
        self.0.currency = items.first().map_or(self.0.currency, |item| item.unit_price.currency());
        self.0.items = items;
        self
    }

    /// One piece of this price.
    pub fn total(self, total: Money) -> Self {
        let product = Product { unit_price: total, ..product() };
        self.items(vec![item(&product, 1)])
    }

    /// In this currency, whatever the lines say.
    pub fn currency(mut self, currency: Currency) -> Self {
        self.0.currency = currency;
        self
    }

    /// Whose money is reserved first, and taken later.
    pub fn manual(mut self) -> Self {
        self.0.capture = CaptureMethod::Manual;
        self
    }

    /// With these notes.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.0.metadata = metadata;
        self
    }

    /// With this secret in its page's address.
    pub fn token(mut self, token: &str) -> Self {
        self.0.token = token.to_owned();
        self
    }

    /// Placed at that time, with an id that says so, open for a day.
    pub fn created_at(mut self, at: OffsetDateTime) -> Self {
        self.0.id = new_id(at);
        self.0.created_at = at;
        self.expires_at(at + Duration::DAY)
    }

    /// Open until then.
    pub fn expires_at(mut self, at: OffsetDateTime) -> Self {
        self.0.expires_at = at;
        self
    }

    /// The draft that it is made of.
    pub fn draft(self) -> Draft {
        self.0
    }

    /// The order's birth, for [`Changes`].
    pub fn placed(self) -> Transition<Order, OrderEvent> {
        Order::place(self.0).unwrap()
    }

    /// The order as it was born, without the birth.
    pub fn build(self) -> Order {
        self.placed().after().clone()
    }
}

/// A payment of `order` by PaymentIntent, started when the order was placed.
pub fn payment(order: &Order) -> PaymentBuilder {
    PaymentBuilder { order: order.clone(), channel: Channel::PaymentIntent, at: order.created_at }
}

/// See [`payment`].
#[derive(Debug, Clone)]
pub struct PaymentBuilder {
    order: Order,
    channel: Channel,
    at: OffsetDateTime,
}

impl PaymentBuilder {
    /// On the hosted page.
    pub fn hosted(mut self) -> Self {
        self.channel = Channel::Checkout(ReturnUrls {
            success: "https://shop.example/thanks?session={CHECKOUT_SESSION_ID}".to_owned(),
            cancel: "https://shop.example/basket".to_owned(),
        });
        self
    }

    /// Started at that time.
    pub fn created_at(mut self, at: OffsetDateTime) -> Self {
        self.at = at;
        self
    }

    /// The payment's birth, for [`Changes`].
    pub fn started(self) -> Transition<Payment, PaymentEvent> {
        let Self { order, channel, at } = self;
        Payment::start(new_id(at), order.id, order.mode, channel, order.capture, order.total, at)
    }

    /// The payment as it was born, without the birth.
    pub fn build(self) -> Payment {
        self.started().after().clone()
    }
}

/// A look at a payment at the manual clock's start, that names no object.
pub fn seen(standing: Standing) -> Sighting {
    Sighting {
        standing,
        at: ManualClock::START,
        intent: None,
        session: None,
        capture_before: None,
        settlement: None,
    }
}

/// What the gateway shows of `payment`, which stands like this.
pub fn snapshot(payment: &Payment, standing: Standing) -> Snapshot {
    let (intent, session) = (payment.intent.clone(), payment.session.clone());
    Snapshot {
        order: Some(payment.order),
        payment: Some(payment.id),
        mode: payment.mode,
        amount: Some(payment.amount),
        sighting: Sighting { intent, session, ..seen(standing) },
        settled: false,
        refusal: None,
        origin: Origin::default(),
    }
}

/// Everything of `payment` was captured.
pub fn captured(payment: &Payment) -> PaymentEvent {
    PaymentEvent::Seen(seen(Standing::Captured { captured: payment.amount.minor(), refunded: 0 }))
}

/// An intent's name that nobody has yet.
pub fn intent_id() -> IntentId {
    format!("pi_{}", number()).try_into().unwrap()
}

/// A hosted page's name that nobody has yet.
pub fn session_id() -> SessionId {
    format!("cs_test_{}", number()).try_into().unwrap()
}

/// A recorded call that creates `payment`'s intent.
pub fn call(order: &Order, payment: &Payment) -> GatewayCall {
    GatewayCall {
        id: new_id(payment.created_at),
        order: order.id,
        payment: payment.id,
        subject: Subject::Payment(payment.id),
        mode: payment.mode,
        operation: Operation::create_intent(order, payment),
        generation: 1,
        state: CallState::Recorded,
        recorded_at: payment.created_at,
    }
}

/// A refusal for want of money, known by `key`.
pub fn refusal(key: &str) -> Refusal {
    Refusal {
        key: key.to_owned(),
        code: "card_declined".to_owned(),
        decline_code: Some("insufficient_funds".to_owned()),
        advice: Some("try_again_later".to_owned()),
        message: "Your card has insufficient funds.".to_owned(),
        at: ManualClock::START,
    }
}

/// A received event in test mode.
pub fn inbox_event(id: &str) -> InboxEvent {
    InboxEvent {
        id: id.to_owned(),
        kind: "payment_intent.succeeded".to_owned(),
        mode: Mode::Test,
        account: None,
        api_version: Some("2026-07-29.dahlia".to_owned()),
        object: Some("pi_1".to_owned()),
        about: None,
        created_at: ManualClock::START,
        body: b"{}".to_vec(),
        ignored: None,
    }
}
