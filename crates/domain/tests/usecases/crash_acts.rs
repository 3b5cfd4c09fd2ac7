//! What people do to a shop whose processes crash.

use paywright_domain::{usecase::*, *};
use paywright_testkit::Fault;
use time::Duration;

use crate::support::Shop;

/// What somebody does, and repeats with the same operation until it is done.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Place,
    /// An order whose money is reserved first.
    PlaceHeld,
    Start(Channel),
    /// As [`Act::Start`], by a customer who does not come back.
    StartOnce,
    Cancel,
    Advance(Advance),
    Capture(u64),
    Void,
    Refund(u64),
    /// As [`Act::Refund`], by a merchant who does not come back.
    RefundOnce(u64),
    Submit,
    Sync,
    Reconcile(Vec<Section>),
    /// At the gateway: nothing of ours is involved.
    Pay,
    /// The same, and nobody tells us.
    PayUnheard,
    /// The customer pays the first intent, whatever we know of it.
    PayFirst,
    Decline,
    /// The page's time is over.
    Expire,
    /// At the gateway's dashboard.
    RefundThere(u64),
    /// The same, and nobody tells us.
    RefundThereUnheard(u64),
    /// The only refund comes back.
    RefundFails,
    /// The customer asks their bank.
    Dispute,
    /// The same, and nobody tells us.
    DisputeUnheard,
    Win,
    Lose,
    /// The next call that arrives meets this.
    Fail(Fault),
    /// Time passes.
    Wait(Duration),
}

/// Whether an act is over, for good or bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Yes,
    TryAgain,
}

impl Act {
    /// Whether it asks us for something, so that it can be asked again.
    pub(crate) fn is_ours(&self) -> bool {
        match self {
            Self::Place
            | Self::PlaceHeld
            | Self::Start(_)
            | Self::StartOnce
            | Self::Cancel
            | Self::Advance(_)
            | Self::Capture(_)
            | Self::Void
            | Self::Refund(_)
            | Self::RefundOnce(_)
            | Self::Submit
            | Self::Sync
            | Self::Reconcile(_) => true,
            Self::Pay
            | Self::PayUnheard
            | Self::PayFirst
            | Self::Decline
            | Self::Expire
            | Self::RefundThere(_)
            | Self::RefundThereUnheard(_)
            | Self::RefundFails
            | Self::Dispute
            | Self::DisputeUnheard
            | Self::Win
            | Self::Lose
            | Self::Fail(_)
            | Self::Wait(_) => false,
        }
    }
}

/// Does an act once. The order is the only one.
pub(crate) async fn once(shop: &Shop, operation: OperationId, act: &Act) -> Done {
    let order = || shop.store.orders()[0].id;
    let payment = || shop.payments(order()).remove(0);
    let intent = || shop.gateway.intents().remove(0).id;
    match act {
        Act::Place => ended(shop.place_as(operation, shop.hats(2)).await, PlaceOrderError::kind),
        Act::PlaceHeld => {
            let new = NewOrder { capture: Some(CaptureMethod::Manual), ..shop.hats(2) };
            ended(shop.place_as(operation, new).await, PlaceOrderError::kind)
        }
        Act::Start(channel) => match shop.start_as(operation, order(), channel.clone()).await {
            // Somebody (a worker that took over) is at it.
            Err(StartPaymentError::InProgress) => Done::TryAgain,
            outcome => ended(outcome, StartPaymentError::kind),
        },
        Act::StartOnce => match shop.start_as(operation, order(), Channel::PaymentIntent).await {
            Err(StartPaymentError::InProgress | StartPaymentError::Gateway(_)) => Done::Yes,
            outcome => ended(outcome, StartPaymentError::kind),
        },
        Act::Cancel => ended(shop.cancel_as(operation, order()).await, CancelOrderError::kind),
        Act::Advance(advance) => {
            let outcome = shop.advance_as(operation, order(), advance.clone()).await;
            ended_unless_early(shop, outcome, AdvanceOrderError::kind)
        }
        Act::Capture(amount) => {
            let (payment, amount) = (payment().id, Some(*amount));
            let outcome = shop.holds().capture(operation, Actor::System, payment, amount).await;
            ended_unless_early(shop, outcome, SettleHoldError::kind)
        }
        Act::Void => {
            let outcome = shop.holds().void(operation, Actor::System, payment().id).await;
            ended_unless_early(shop, outcome, SettleHoldError::kind)
        }
        Act::Refund(amount) => match shop.refund_as(operation, payment().id, Some(*amount)).await {
            Err(RequestRefundError::NotCaptured(_)) => Done::TryAgain,
            outcome => ended(outcome, RequestRefundError::kind),
        },
        Act::RefundOnce(amount) => match shop.refund_as(operation, payment().id, Some(*amount)).await {
            Err(error) if error.kind() == ErrorKind::Unavailable && !shop.store.refunds().is_empty() => {
                Done::Yes
            }
            outcome => ended(outcome, RequestRefundError::kind),
        },
        Act::Submit => {
            let Some(dispute) = shop.store.disputes().pop() else { return Done::TryAgain };
            let answers = AnswerDispute::new(shop.ports.clone(), shop.policy.clone());
            let say = Say::Submit(Happened::default());
            ended(answers.run(operation, Actor::System, dispute.id, say).await, AnswerDisputeError::kind)
        }
        Act::Sync => {
            for payment in shop.payments(order()) {
                if let Err(error) = shop.sync(payment.id).await {
                    return again(error.kind());
                }
            }
            Done::Yes
        }
        Act::Reconcile(sections) => {
            let ask = shop.ask(Trigger::Schedule, sections);
            match shop.reconciler(Pace::default()).run(ask, &|_, _| {}).await {
                Ok(run) if run.state == RunState::Done => Done::Yes,
                Ok(_) | Err(_) => Done::TryAgain,
            }
        }
        Act::Pay => {
            let events = pay(shop);
            told(shop, events)
        }
        Act::PayUnheard => {
            drop(pay(shop));
            Done::Yes
        }
        Act::PayFirst => told(shop, shop.gateway.pay_intent(&intent())),
        Act::Decline => {
            told(shop, shop.gateway.decline_session(&shop.page(&payment()).id, "insufficient_funds"))
        }
        Act::Expire => told(shop, shop.gateway.expire_session(&shop.page(&payment()).id)),
        Act::RefundThere(amount) => told(shop, shop.gateway.dashboard_refund(&intent(), *amount)),
        Act::RefundThereUnheard(amount) => {
            drop(shop.gateway.dashboard_refund(&intent(), *amount));
            Done::Yes
        }
        Act::RefundFails => told(shop, shop.gateway.refund_fails(&shop.refund_made().id)),
        Act::Dispute => told(shop, shop.gateway.open_dispute(&intent(), 3998, false)),
        Act::DisputeUnheard => {
            drop(shop.gateway.open_dispute(&intent(), 3998, false));
            Done::Yes
        }
        Act::Win => told(shop, shop.gateway.win_dispute(&shop.dispute_opened().id)),
        Act::Lose => told(shop, shop.gateway.lose_dispute(&shop.dispute_opened().id)),
        Act::Fail(fault) => {
            shop.gateway.fail_call(fault.clone());
            Done::Yes
        }
        Act::Wait(duration) => {
            shop.clock.advance(*duration);
            Done::Yes
        }
    }
}

/// Every payment from which money may follow, the way it is to be paid.
fn pay(shop: &Shop) -> Vec<ports::InboxEvent> {
    let live = shop.store.payments().into_iter().filter(|payment| payment.state.is_live());
    let paid = |payment: Payment| match payment.channel {
        Channel::PaymentIntent => shop.gateway.pay_intent(&shop.intent(&payment).id),
        Channel::Checkout(_) => shop.gateway.pay_session(&shop.page(&payment).id),
    };
    live.flat_map(paid).collect()
}

fn told(shop: &Shop, events: Vec<ports::InboxEvent>) -> Done {
    shop.receive(events);
    Done::Yes
}

fn ended<T, E>(outcome: Result<T, E>, kind: fn(&E) -> ErrorKind) -> Done {
    outcome.map_or_else(|error| again(kind(&error)), |_| Done::Yes)
}

/// As [`ended`], of something that needs money which we may not have heard of yet: the merchant looks again later.
fn ended_unless_early<T, E>(shop: &Shop, outcome: Result<T, E>, kind: fn(&E) -> ErrorKind) -> Done {
    let is_early = shop.store.orders()[0].state == OrderState::PaymentProcessing;
    match outcome {
        Err(_) if is_early => Done::TryAgain,
        outcome => ended(outcome, kind),
    }
}

fn again(kind: ErrorKind) -> Done {
    match kind {
        ErrorKind::Unavailable => Done::TryAgain,
        // What was refused at the gateway is refused for good; a worker may have heard it first.
        ErrorKind::Conflict | ErrorKind::Refused => Done::Yes,
        other @ (ErrorKind::NotFound | ErrorKind::Outdated | ErrorKind::Invalid | ErrorKind::Bug) => {
            panic!("{other:?}")
        }
    }
}
