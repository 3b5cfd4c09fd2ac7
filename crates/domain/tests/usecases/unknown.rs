//! Calls of which nobody knows what became of them.

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{Fault, IntentStatus, builders::usd};
use time::Duration;

use crate::support::{Shop, page};

/// Everything that the gateway is asked to do.
const ASKS: [Ask; 8] = [
    Ask::CreateIntent,
    Ask::CreatePage,
    Ask::EndIntent,
    Ask::EndPage,
    Ask::Capture,
    Ask::Void,
    Ask::Refund,
    Ask::Submit,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    CreateIntent,
    CreatePage,
    EndIntent,
    EndPage,
    Capture,
    Void,
    Refund,
    Submit,
}

impl Ask {
    /// The name of the call's operation.
    fn operation(self) -> &'static str {
        match self {
            Self::CreateIntent => "create_intent",
            Self::CreatePage => "create_session",
            Self::EndIntent | Self::Void => "cancel_intent",
            Self::EndPage => "expire_session",
            Self::Capture => "capture",
            Self::Refund => "create_refund",
            Self::Submit => "submit_evidence",
        }
    }

    /// What the call needs to be there.
    async fn prepare(self, shop: &Shop) -> OrderId {
        match self {
            Self::CreateIntent | Self::CreatePage => shop.place().await.id,
            Self::EndIntent | Self::EndPage => {
                let order = shop.place().await.id;
                let channel = if self == Self::EndPage { page("a") } else { Channel::PaymentIntent };
                shop.start(order, channel).await.unwrap();
                order
            }
            Self::Capture | Self::Void => shop.held_order().await.0.id,
            Self::Refund => shop.paid_order().await.0.id,
            Self::Submit => {
                let (order, payment) = shop.paid_order().await;
                shop.hear(shop.gateway.open_dispute(&shop.intent(&payment).id, 3998, false)).await;
                order.id
            }
        }
    }

    /// Asks, and hears nothing that can be relied on.
    async fn ask(self, shop: &Shop, order: OrderId) {
        match self {
            Self::CreateIntent => drop(shop.start(order, Channel::PaymentIntent).await.unwrap_err()),
            Self::CreatePage => drop(shop.start(order, page("a")).await.unwrap_err()),
            Self::EndIntent | Self::EndPage => {
                let outcome = shop.cancel(order).await;
                assert!(matches!(outcome, Ok(Cancellation::Requested(_))), "{self:?}: {outcome:?}");
            }
            Self::Capture => {
                assert!(shop.capture(shop.payment(order).id, None).await.unwrap().capture_requested);
            }
            Self::Void => assert!(shop.void(shop.payment(order).id).await.unwrap().end_requested),
            Self::Refund => {
                let refund = shop.refund(shop.payment(order).id, None).await.unwrap();
                assert_eq!(refund.state, RefundState::Requested, "not sent, as far as we know");
            }
            Self::Submit => {
                let asked = shop.answer(shop.dispute().id, Say::Submit(Happened::default())).await.unwrap();
                assert_eq!(asked.answering, Some(DisputeAnswer::Submit));
            }
        }
    }

    /// It is done, here and at the gateway, and once.
    fn assert_done(self, shop: &Shop, order: OrderId, told: &str) {
        let (payment, state) = (shop.payment(order), shop.order(order).state);
        let told = format!("{self:?}, {told}");
        match self {
            Self::CreateIntent | Self::CreatePage => {
                assert_eq!((payment.state, shop.payable()), (PaymentState::Pending, 1), "{told}");
                assert_eq!(shop.gateway.intents().len() + shop.gateway.sessions().len(), 1, "{told}");
            }
            Self::EndIntent | Self::EndPage => {
                assert_eq!((state, shop.payable()), (OrderState::Cancelled, 0), "{told}");
            }
            Self::Capture => {
                let taken = shop.intent(&payment).status;
                assert_eq!((state, payment.captured), (OrderState::Paid, usd(3998)), "{told}");
                assert_eq!(taken, IntentStatus::Captured { refunded: 0 }, "{told}");
            }
            Self::Void => {
                let status = shop.intent(&payment).status;
                assert_eq!((state, status), (OrderState::Pending, IntentStatus::Cancelled), "{told}");
            }
            Self::Refund => {
                assert_eq!((state, payment.returned), (OrderState::Refunded, usd(3998)), "{told}");
                let [refund] = &shop.refunds(payment.id)[..] else { panic!("{told}: one refund") };
                assert_eq!(shop.refund_made().refund, Some(refund.id), "{told}");
            }
            Self::Submit => {
                assert!(shop.dispute().seen.submitted && shop.dispute_opened().submitted, "{told}");
            }
        }
        assert!(shop.breaks().is_empty(), "{told}: {:?}", shop.breaks());
        assert_nothing_is_open(shop);
    }
}

/// Nobody waits for an answer any more.
fn assert_nothing_is_open(shop: &Shop) {
    let open = shop.store.calls().into_iter().filter(|call| call.state == CallState::Recorded);
    assert_eq!(open.count(), 0);
    for payment in shop.store.payments() {
        assert!(!payment.capture_requested && payment.state != PaymentState::Created, "{payment:#?}");
    }
    assert!(shop.store.refunds().iter().all(|refund| refund.state != RefundState::Requested));
    assert!(shop.store.disputes().iter().all(|dispute| dispute.answering.is_none()));
}

/// A call of this kind that met `fault`.
pub(crate) async fn asked(ask: Ask, fault: Fault) -> (Shop, OrderId) {
    let mut shop = Shop::new();
    shop.policy.order_lifetime = Duration::days(30);
    let order = ask.prepare(&shop).await;
    shop.gateway.fail_call(fault);
    ask.ask(&shop, order).await;
    (shop, order)
}

/// The keys under which this was asked, in the order in which they arrived.
fn keys(shop: &Shop, ask: Ask) -> Vec<String> {
    let arrived = shop.gateway.arrived().into_iter();
    arrived.filter(|call| call.operation.name() == ask.operation()).map(|call| call.key).collect()
}

/// Covers: fault 1, fault 2, fault 3, fault 9, fault 11, fault 16, fault 18, I18, I24, I26, T-10, U-2, U-4, U-5.
#[tokio::test]
async fn what_may_have_been_done_is_asked_again_under_the_same_key() {
    let faults = [
        Fault::UnknownBefore,
        Fault::UnknownAfter,
        Fault::NotDone { after: Some(std::time::Duration::from_secs(1)) },
        Fault::NotAllowed,
    ];
    for ask in ASKS {
        for fault in &faults {
            let (shop, order) = asked(ask, fault.clone()).await;
            shop.settle(Duration::minutes(3)).await;
            ask.assert_done(&shop, order, &format!("{fault:?}"));
            let keys = keys(&shop, ask);
            assert_eq!(keys.len(), 2, "{ask:?}, {fault:?}: {keys:?}");
            assert_eq!(keys[0], keys[1], "{ask:?}, {fault:?}");
            assert_eq!(shop.calls(ask.operation()).len(), 1, "recorded once");
            shop.assert_sound();
        }
    }
}

/// Covers: fault 13, D-7, I18, I24, I26, U-3.
#[tokio::test]
async fn a_stored_failure_that_had_its_effect_is_found_and_adopted() {
    for ask in ASKS {
        let (shop, order) = asked(ask, Fault::SpentAfter).await;
        shop.settle(Duration::minutes(3)).await;
        ask.assert_done(&shop, order, "adopted");
        assert_eq!(shop.calls(ask.operation()).len(), 1, "{ask:?}: no other key");
        assert_eq!(shop.calls(ask.operation())[0].state, CallState::Done);
        shop.assert_sound();
    }
}

/// Covers: fault 14, D-7, I18, I24, T-1, U-6.
#[tokio::test]
async fn a_stored_failure_without_effect_gets_another_key_once_the_gateway_was_searched() {
    for ask in ASKS {
        let (shop, order) = asked(ask, Fault::SpentBefore).await;
        shop.settle(GatewayCall::ABSENT_AFTER - Duration::SECOND).await;
        assert_eq!(shop.calls(ask.operation()).len(), 1, "{ask:?}: it may still have been on its way");
        shop.settle(Duration::minutes(3)).await;
        let calls = shop.calls(ask.operation());
        assert_eq!(calls[0].state, CallState::Absent, "{ask:?}");
        if ask == Ask::Submit {
            // Whether it shall still be said is up to the merchant.
            assert_eq!((calls.len(), shop.dispute().answering), (1, None));
            let said = shop.answer(shop.dispute().id, Say::Submit(Happened::default())).await.unwrap();
            assert_eq!(said.generation, 2);
        } else {
            assert_eq!(calls.len(), 2, "{ask:?}");
            assert_eq!((calls[1].generation, calls[1].state), (2, CallState::Done));
            assert_eq!(calls[1].operation, calls[0].operation, "to the letter");
        }
        ask.assert_done(&shop, order, "under another key");
        shop.assert_sound();
    }
}

/// Covers: I18, D-7, fault 14, fault 28.
#[tokio::test]
async fn no_other_key_is_made_while_the_gateway_cannot_be_searched() {
    for ask in ASKS {
        let (shop, order) = asked(ask, Fault::SpentBefore).await;
        for _ in 0..6 {
            shop.gateway.fail_look(Fault::UnknownBefore);
        }
        shop.settle(Duration::minutes(5)).await;
        assert_eq!(shop.calls(ask.operation()).len(), 1, "{ask:?}");
        shop.settle(Duration::minutes(5)).await;
        assert_eq!(shop.calls(ask.operation())[0].state, CallState::Absent, "{ask:?}: {order}");
        shop.assert_sound();
    }
}

/// Covers: I19, I24, T-1, fault 27, fault 29.
#[tokio::test]
async fn a_key_that_may_be_forgotten_is_never_sent_but_looked_for() {
    for ask in ASKS {
        for fault in [Fault::UnknownBefore, Fault::UnknownAfter] {
            let (shop, order) = asked(ask, fault.clone()).await;
            // Nobody worked for a day.
            shop.clock.advance(GatewayCall::SEND_WITHIN);
            shop.settle(Duration::minutes(5)).await;
            let first = &shop.calls(ask.operation())[0];
            let sent = keys(&shop, ask).iter().filter(|key| **key == first.key()).count();
            assert_eq!(sent, 1, "{ask:?}, {fault:?}: not sent again");
            if fault == Fault::UnknownAfter {
                assert_eq!(first.state, CallState::Done, "{ask:?}: it was found");
                if ask == Ask::CreatePage {
                    assert_eq!(
                        shop.payment(order).state,
                        PaymentState::Cancelled,
                        "and had closed meanwhile"
                    );
                    continue;
                }
            } else if ask == Ask::CreateIntent || ask == Ask::CreatePage {
                // The customer is gone: it is given up, and a new request may begin anew.
                assert_eq!(shop.payment(order).state, PaymentState::Failed, "{ask:?}");
                assert_eq!(shop.payable(), 0, "{ask:?}");
                shop.start(order, page("a")).await.unwrap();
                continue;
            } else if ask == Ask::Submit {
                shop.answer(shop.dispute().id, Say::Submit(Happened::default())).await.unwrap();
            }
            ask.assert_done(&shop, order, &format!("{fault:?}"));
            shop.assert_sound();
        }
    }
}

/// Two workers, of which the first lost its lease in the middle.
///
/// Covers: I18, I27, fault 14, fault 90, fault 91.
#[tokio::test]
async fn only_the_lease_holder_makes_another_key_and_only_one() {
    for ask in ASKS.into_iter().filter(|ask| *ask != Ask::Submit) {
        let (shop, order) = asked(ask, Fault::SpentBefore).await;
        shop.clock.advance(GatewayCall::ABSENT_AFTER);
        let call = shop.calls(ask.operation())[0].id;
        let own = |jobs: Vec<Job>| jobs.into_iter().find(|job| job.lease.job == call).unwrap();
        let zombie = own(shop.claim(QueueName::Effects));
        shop.clock.advance(Duration::MINUTE);
        let next = own(shop.claim(QueueName::Effects));
        let error = shop.run(&zombie).await.unwrap_err();
        assert!(error.contains("LeaseLost"), "{error}");
        assert_eq!(shop.calls(ask.operation()).len(), 1, "{ask:?}");
        shop.run(&next).await.unwrap();
        shop.run(&zombie).await.unwrap();
        shop.run(&next).await.unwrap();
        assert_eq!(shop.calls(ask.operation()).len(), 2, "{ask:?}");
        shop.settle(Duration::minutes(3)).await;
        ask.assert_done(&shop, order, "once");
        shop.assert_sound();
    }
}

/// Covers: I13, I18, T-1, U-6.
#[tokio::test]
async fn what_is_never_done_under_any_key_is_given_up_after_a_few() {
    for ask in [Ask::CreateIntent, Ask::EndIntent, Ask::Capture, Ask::Refund] {
        let (shop, order) = asked(ask, Fault::SpentBefore).await;
        // The first key is tried again twice, each later one once: then it is old enough.
        shop.gateway.pass_call();
        for _ in 1..GatewayCall::GENERATIONS_MAX {
            shop.gateway.pass_call();
            shop.gateway.fail_call(Fault::SpentBefore);
        }
        shop.settle(Duration::minutes(20)).await;
        let calls = shop.calls(ask.operation());
        assert_eq!(calls.len(), GatewayCall::GENERATIONS_MAX as usize, "{ask:?}");
        assert!(calls.iter().all(|call| call.state == CallState::Absent), "{ask:?}");
        let (payment, order) = (shop.payment(order), shop.order(order));
        match ask {
            Ask::CreateIntent => assert_eq!(payment.state, PaymentState::Failed),
            Ask::EndIntent => {
                assert_eq!((payment.end_requested, order.cancellation), (false, None), "it goes on");
            }
            Ask::Capture => {
                assert_eq!((payment.state, payment.capture_requested), (PaymentState::Authorized, false));
            }
            _ => {
                assert_eq!(shop.refunds(payment.id)[0].state, RefundState::Failed);
                assert_eq!(shop.open_breaks(), [BreakKind::RefundFailed], "a person is told");
            }
        }
        assert_nothing_is_open(&shop);
        shop.assert_sound();
    }
}

/// The gateway repeats its first answer under the same key, however old it is.
///
/// Covers: fault 3, fault 148, I11, O-2.
#[tokio::test]
async fn a_repeated_answer_does_not_undo_what_the_bank_has_decided_since() {
    let (shop, order) = asked(Ask::Submit, Fault::UnknownAfter).await;
    drop(shop.gateway.lose_dispute(&shop.dispute_opened().id));
    shop.settle(Duration::minutes(3)).await;
    assert_eq!((shop.dispute().seen.status, shop.dispute().answering), (DisputeStatus::Lost, None));
    assert_eq!(shop.payment(order).disputed, usd(3998));
    shop.assert_sound();
}
