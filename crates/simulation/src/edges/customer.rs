//! A customer: orders, pays, is declined, authenticates or does not, changes their mind, pays in two tabs.

use std::sync::Arc;

use paywright_domain::{
    Actor, CaptureMethod, Channel, OperationId, Order, OrderId, Payment, ProductId, ReturnUrls,
    usecase::{ErrorKind, NewItem, NewOrder, StartPaymentError},
};
use paywright_sandbox::model::{
    Control, Input,
    checkout_session::{Authenticate, PayDetails},
};

use super::{a_moment, a_while, is_open, merchant};
use crate::{
    bugs,
    executor::Owner,
    fault::Fault,
    process::{App, ask},
    world::World,
};

/// Cards that pay, that are declined, that want 3-D Secure, that settle days later, and that are contested.
const CARDS: [&str; 14] = [
    "4242424242424242",
    "4242424242424242",
    "4242424242424242",
    "5555555555554444",
    "4000000000000077",
    "4000000000000002",
    "4000000000009995",
    "4000000000000119",
    "4000002760003184",
    "4000008400001629",
    "4000000000007726",
    "4000000000005126",
    "AT321904300235473204",
    "AT861904300235473202",
];
/// Contested at once.
const DISPUTED: [&str; 2] = ["4000000000000259", "4000000000001976"];

/// An operation's id as a client's idempotency key gives it: the same for every repeat.
pub(super) fn new_operation(world: &World) -> OperationId {
    let mut bytes = [0; 10];
    let (some, more) = (world.bits().to_le_bytes(), world.bits().to_le_bytes());
    bytes[..8].copy_from_slice(&some);
    bytes[8..].copy_from_slice(&more[..2]);
    OperationId::from_parts(world.now(), &bytes)
}

/// Where the customer can pay: a page that may still be open when another one is.
#[derive(Clone)]
struct Tab(Payment);

/// One order's life, as long as people act.
pub(crate) async fn shop(world: Arc<World>, product: ProductId, number: u32) {
    a_while(&world, 1).await;
    let Some(order) = place(&world, product, number).await else { return };
    world.spawn(Owner::Outside, merchant::sell(Arc::clone(&world), order.id));
    let mut tabs: Vec<Tab> = Vec::new();
    for _ in 0..world.between(1, 5) {
        if !is_open(&world) {
            return;
        }
        if world.strikes(Fault::TwoTabs) {
            let (world, order) = (Arc::clone(&world), order.id);
            world.clone().spawn(Owner::Outside, async move { drop(start(&world, order).await) });
        }
        match start(&world, order.id).await {
            Some(payment) => tabs.push(Tab(payment)),
            None if tabs.is_empty() => {
                a_while(&world, 8).await;
                continue;
            }
            None => {}
        }
        world.watch().tabs_of(order.id, tabs.iter().map(|tab| tab.0.clone()).collect());
        a_while(&world, 12).await;
        let tries = world.between(0, 2);
        for _ in 0..tries {
            let old = tabs.len() > 1 && world.strikes(Fault::TwoTabs);
            let Some(tab) = (if old { tabs.first() } else { tabs.last() }) else { break };
            pay(&world, &tab.0).await;
            a_while(&world, 25).await;
        }
        a_while(&world, 6).await;
    }
}

async fn place(world: &Arc<World>, product: ProductId, number: u32) -> Option<Order> {
    let operation = new_operation(world);
    let capture = world.chance(350).then_some(CaptureMethod::Manual);
    let wanted = NewOrder {
        currency: "usd".parse().ok()?,
        items: vec![NewItem { product, quantity: u32::try_from(world.between(1, 5)).unwrap_or(1) }],
        customer: None,
        customer_email: world.chance(500).then(|| format!("customer{}@example.com", number % 3)),
        capture,
        metadata: Default::default(),
    };
    while is_open(world) {
        let request = |world: &Arc<World>| {
            let (world, wanted) = (Arc::clone(world), wanted.clone());
            async move {
                let handler = move |app: Arc<App>| async move {
                    app.place_order.run(operation, Actor::Shopper, wanted).await
                };
                let answer = ask(&world, handler).await;
                if let Some(Ok(order)) = &answer {
                    world.watch().ordered(&world, operation, order);
                }
                answer
            }
        };
        if world.strikes(Fault::AskedTwice) {
            let twice = request(world);
            world.spawn(Owner::Outside, async move { drop(twice.await) });
        }
        match request(world).await {
            Some(Ok(order)) => return Some(order),
            Some(Err(error)) if error.kind() != ErrorKind::Unavailable => return None,
            Some(Err(_)) | None => a_moment(world).await,
        }
    }
    None
}

pub(super) async fn start(world: &Arc<World>, order: OrderId) -> Option<Payment> {
    let channel = if world.chance(600) {
        Channel::PaymentIntent
    } else {
        let address = |what: &str| format!("https://shop.example/{what}");
        Channel::Checkout(ReturnUrls { success: address("thanks"), cancel: address("cart") })
    };
    let operation = new_operation(world);
    for _ in 0..world.between(1, 6) {
        if !is_open(world) {
            return None;
        }
        let channel = channel.clone();
        let twice = world.strikes(Fault::AskedTwice).then(|| channel.clone());
        if let Some(channel) = twice {
            let world = Arc::clone(world);
            world.clone().spawn(Owner::Outside, async move {
                let _ = ask(&world, move |app| async move {
                    app.start_payment.run(operation, Actor::Shopper, order, channel).await.map(|_| ())
                })
                .await;
            });
        }
        let started = ask(world, move |app| async move {
            app.start_payment.run(operation, Actor::Shopper, order, channel).await
        });
        match started.await {
            Some(Ok(started)) => return Some(started.payment),
            Some(Err(StartPaymentError::Illegal(_) | StartPaymentError::UnknownOrder)) => return None,
            Some(Err(_)) | None => a_moment(world).await,
        }
    }
    None
}

/// The customer pays on a page of Stripe's; we hear of it by webhook or not at all.
pub(super) async fn pay(world: &Arc<World>, payment: &Payment) {
    let card = if world.strikes(Fault::Dispute) { world.pick(&DISPUTED) } else { world.pick(&CARDS) };
    let authenticate = match world.below(3) {
        0 => None,
        1 => Some(Authenticate::Complete),
        _ => Some(Authenticate::Fail),
    };
    let details = PayDetails { card: card.to_owned(), authenticate, ..PayDetails::default() };
    let input = match (&payment.session, &payment.intent) {
        (Some(session), _) => Control::PaySession { session: session.to_string(), details },
        (None, Some(intent)) => Control::PayIntent { intent: intent.to_string(), details },
        (None, None) => return,
    };
    let answer = world.stripe(&Input::Control(input));
    world.note("pays", || format!("{} with {card}: {}", payment.id, answer.status));
    world.watch().stripe_moved(world, &answer.events);
    bugs::returned(world, payment).await;
    if let (None, Some(intent)) = (authenticate, &payment.intent) {
        a_while(world, 20).await;
        let outcome = if world.chance(600) { Authenticate::Complete } else { Authenticate::Fail };
        let answer =
            world.stripe(&Input::Control(Control::Authenticate { intent: intent.to_string(), outcome }));
        world.watch().stripe_moved(world, &answer.events);
    }
}
