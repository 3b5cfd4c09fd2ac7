//! The core of Paywright: orders, the payments that collect their money, and what to do when the two do not hear of
//! each other in time. It decides and does nothing by itself: no IO, no runtime, no clock, no randomness. Whoever
//! embeds it brings those as [`ports`].
//!
//! # The story
//!
//! - An [`Order`] is placed at the catalogue's prices ([`usecase::PlaceOrder`]), in one currency, for ever.
//! - A [`Payment`] is one attempt to collect its total ([`usecase::StartPayment`]). The payment and the call that
//!   shall create it ([`GatewayCall`]) are stored first, the gateway is called then: whoever dies in between leaves a
//!   job that goes on with the same idempotency key. At most one payment of an order is live.
//! - What the gateway says enters by one door, be it the answer to a call ([`usecase::PerformCall`]), an event
//!   ([`usecase::RecordEvent`]) or a look: a [`Sighting`] says how a payment *stands*, never what changed. Sightings
//!   are merged, so they may be late, doubled and out of order, and every order of them ends in the same payment.
//! - The order follows its payment ([`Order::follow`]). An object that is not the one we asked for, and money where no
//!   rule expects it, moves nothing and is never passed over: it is a [`Break`].
//! - Cancelling ([`usecase::CancelOrder`]) asks the gateway first. If the money has come, the order is paid instead; of
//!   a paid order, what is left is given back.
//! - A paid order is fulfilled, shipped and completed ([`usecase::AdvanceOrder`]). Money that was only reserved is taken
//!   first; a hold can also be settled by hand ([`usecase::SettleHold`]).
//! - A [`Refund`] ([`usecase::RequestRefund`]) reserves its amount on the payment before the gateway is asked; a
//!   [`Dispute`] ([`usecase::AnswerDispute`]) is the gateway's word on money that the issuer pulls. The payment follows
//!   both, and money that has no business here is given back by itself.
//! - Every movement is booked once ([`Journal`]), as entries that each take from one account what they give to another.
//! - A call whose outcome stays unknown is looked for at the gateway; an order's timer ([`usecase::WatchOrder`]) looks
//!   after whatever was not heard of.
//! - Whatever the gateway keeps is compared with what is here, again and again ([`usecase::Reconcile`]): what was never
//!   told enters by the same door, every movement of the gateway's balance must be booked, every payout explained.
//!
//! Every use case is the same three steps: load, [`apply`](Order::apply), commit. A commit takes one [`Changes`]: all
//! steps, calls, declines and breaks of one decision, under a [`Cause`] that the store takes once. So everything may
//! be repeated, by a client under its [`OperationId`] and by a worker under its [`Lease`].
//!
//! # Where to begin reading
//!
//! The tables are in [`OrderState`]'s and [`PaymentState`]'s files and printed in `docs/state-machines.md`; each
//! use case is one file; each port says in its own words what an implementor must guarantee, and the contract suites
//! of `paywright-testkit` hold it to that. With the feature `mock` every port has a mock.
//!
//! # Example
//!
//! A shop whose store and gateway live in memory. In earnest these are `paywright-postgres` and `paywright-stripe`,
//! or adapters of your own.
//!
//! ```
//! use std::sync::Arc;
//!
//! use paywright_domain::{Actor, CaptureMethod, Channel, Mode, OrderState, ports::*, usecase::*};
//! use paywright_testkit::{FakeGateway, ManualClock, MemoryStore, SeededEntropy, builders};
//! use time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The outside: five ports, here played by three things and a die.
//! let clock = Arc::new(ManualClock::default());
//! let store = Arc::new(MemoryStore::new(clock.clone()));
//! let gateway = Arc::new(FakeGateway::new(Mode::Test, clock.clone()));
//! let ports = Ports {
//!     store: store.clone(),
//!     queue: store.clone(),
//!     gateway: gateway.clone(),
//!     clock: clock.clone(),
//!     entropy: Arc::new(SeededEntropy::new(7)),
//! };
//! let policy = Policy {
//!     mode: Mode::Test,
//!     capture: CaptureMethod::Automatic,
//!     expiring_hold: ExpiringHold::Void,
//!     order_lifetime: Duration::days(1),
//!     call_held_for: Duration::seconds(60),
//! };
//! let hat = store.add(builders::product()).await?; // 19.99 USD
//!
//! // The client says what it wants, and under which operation, so that it can safely say it again.
//! let (placing, paying) = (ports.new_id(), ports.new_id());
//! let wanted = NewOrder {
//!     currency: "usd".parse()?,
//!     items: vec![NewItem { product: hat.id, quantity: 2 }],
//!     customer: None,
//!     customer_email: Some("ada@example.org".to_owned()),
//!     capture: None,
//!     metadata: Default::default(),
//! };
//! let orders = PlaceOrder::new(ports.clone(), policy.clone());
//! let order = orders.run(placing, Actor::Shopper, wanted.clone()).await?;
//! assert_eq!(order, orders.run(placing, Actor::Shopper, wanted).await?);
//! assert_eq!((order.state, order.total), (OrderState::Pending, builders::usd(3998)));
//!
//! // The customer is to pay on a page of yours, with this secret.
//! let payments = StartPayment::new(ports.clone(), policy.clone());
//! let started = payments.run(paying, Actor::Shopper, order.id, Channel::PaymentIntent).await?;
//! assert!(matches!(started.way, Way::ClientSecret(_)));
//!
//! // They do, and the gateway tells. Store the message before you answer it; read it when you like.
//! let intent = started.payment.intent.ok_or("named by the gateway")?;
//! for event in gateway.pay_intent(&intent) {
//!     store.receive(event).await?;
//! }
//! let events = RecordEvent::new(ports.clone());
//! for job in store.claim(QueueName::Webhooks, 10, Duration::seconds(60)).await? {
//!     if let Task::ReadEvent(event) = &job.task {
//!         events.run(job.lease, event).await?;
//!     }
//! }
//!
//! let order = ports.store.order(order.id).await?.ok_or("placed above")?;
//! assert_eq!(order.state, OrderState::Paid);
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

mod call;
mod catalogue;
mod changes;
mod dispute;
mod id;
mod input;
mod ledger;
mod limits;
mod mode;
mod money;
mod order;
mod payment;
mod reconciliation;
mod refund;
mod transition;

pub mod ports;
pub mod usecase;

pub use call::*;
pub use catalogue::*;
pub use changes::*;
pub use dispute::*;
pub use id::*;
pub use input::*;
pub use ledger::*;
pub use limits::*;
pub use mode::*;
pub use money::*;
pub use order::*;
pub use payment::*;
pub use reconciliation::*;
pub use refund::*;
pub use transition::*;
