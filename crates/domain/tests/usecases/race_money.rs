//! Two use cases about the same money at the same time, interleaved at every port call.

use paywright_domain::{ports::*, *};
use paywright_testkit::{Fault, builders};
use time::Duration;

use crate::{
    race::{SWITCHES_FEW, act, every_race, every_race_of, jobs, placed},
    support::Shop,
};

async fn paid() -> (Shop, OrderId) {
    let shop = Shop::new();
    let order = shop.paid_order().await.0.id;
    (shop, order)
}

async fn held() -> (Shop, OrderId) {
    let shop = Shop::new();
    let order = shop.held_order().await.0.id;
    (shop, order)
}

/// However it went: what went back is what the gateway sent, once, and nobody waits for anything.
fn assert_settled(shop: &Shop, order: OrderId, run: &str) {
    let payment = shop.payment(order);
    assert_eq!(payment.refunded.minor(), shop.intent(&payment).refunded(), "{run}: ours and the gateway's");
    assert!(!payment.capture_requested && !payment.end_requested, "{run}: {payment:#?}");
    let order = shop.order(order);
    let whole = !payment.captured.is_zero() && payment.returned == payment.captured;
    assert_eq!(order.state == OrderState::Refunded, whole, "{run}: {}", order.state);
    assert!(!order.fulfillment_requested, "{run}");
    let open = shop.store.calls().into_iter().filter(|call| call.state == CallState::Recorded);
    assert_eq!(open.count(), 0, "{run}");
}

/// Covers: I3, R-1, T-9, fault 143, fault 144.
#[tokio::test]
async fn two_refunds_at_once_never_give_back_more_than_was_taken() {
    for (first, second, both) in
        [(Some(2000), Some(1999), false), (Some(2000), Some(1998), true), (None, None, false)]
    {
        let runs = every_race_of(
            SWITCHES_FEW,
            paid,
            |shop, order| {
                let payment = shop.payment(order).id;
                [act(shop.refund(payment, first)), act(shop.refund(payment, second))]
            },
            async |shop, order, run| {
                assert_settled(shop, order, run);
                assert_eq!(shop.gateway.refunds_made().len(), 1 + usize::from(both), "{run}");
                assert!(shop.breaks().is_empty(), "{run}: refused before the gateway was asked");
            },
        )
        .await;
        assert!(runs > 50, "only {runs} interleavings");
    }
}

/// Covers: I17, I30, T-10, fault 100, fault 107.
#[tokio::test]
async fn one_refund_sent_twice_at_once_is_one_refund() {
    let runs = every_race(
        paid,
        |shop, order| {
            let (payment, operation) =
                (shop.payment(order).id, OperationId::from_uuid(uuid::Uuid::from_u128(7)));
            let once = || act(async move { shop.refund_as(operation, payment, Some(1000)).await.unwrap() });
            [once(), once()]
        },
        async |shop, order, run| {
            assert_settled(shop, order, run);
            assert_eq!((shop.gateway.refunds_made().len(), shop.store.refunds().len()), (1, 1), "{run}");
        },
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}

/// Covers: I3, R-6, fault 143, fault 151.
#[tokio::test]
async fn refunding_a_part_while_the_order_is_cancelled_gives_back_everything_once() {
    let runs = every_race_of(
        SWITCHES_FEW,
        paid,
        |shop, order| {
            let payment = shop.payment(order).id;
            [act(shop.refund(payment, Some(1000))), act(shop.cancel(order))]
        },
        async |shop, order, run| {
            assert_settled(shop, order, run);
            assert_eq!(shop.order(order).state, OrderState::Refunded, "{run}");
            assert!(shop.order(order).cancellation.is_some(), "{run}");
            assert!(shop.breaks().is_empty(), "{run}: {:?}", shop.breaks());
        },
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}

/// Covers: fault 145, I3, I16.
#[tokio::test]
async fn no_refund_is_accepted_once_a_dispute_is_stored() {
    let runs = every_race(
        async || {
            let (shop, order) = paid().await;
            // The gateway would still refund it, so that only we stand in the way.
            let id = builders::gateway_dispute_id();
            let told = DisputeSnapshot {
                sighting: DisputeSighting { refundable: false, ..dispute_seen() },
                ..builders::dispute_snapshot(&shop.payment(order), &id, DisputeStatus::NeedsResponse)
            };
            shop.receive(vec![shop.gateway.dispute_event("charge.dispute.created", told)]);
            (shop, order)
        },
        |shop, order| {
            let payment = shop.payment(order).id;
            let refunds = async move {
                let accepted = shop.refund(payment, None).await.is_ok();
                let first = shop.store.audit().into_iter().find_map(|row| match row.entry.subject.as_str() {
                    "refund" => Some(true),
                    "dispute" => Some(false),
                    _ => None,
                });
                assert_eq!(
                    accepted,
                    first == Some(true),
                    "accepted only if it was stored before the dispute"
                );
            };
            [act(refunds), act(jobs(shop, QueueName::Webhooks))]
        },
        async |shop, order, run| {
            assert_eq!(shop.payment(order).disputed.minor(), 3998, "{run}");
            assert_eq!(shop.payment(order).disputes_blocking, 1, "{run}");
        },
    )
    .await;
    assert!(runs > 20, "only {runs} interleavings");
}

fn dispute_seen() -> DisputeSighting {
    builders::dispute_seen(builders::usd(3998), DisputeStatus::NeedsResponse)
}

/// Covers: fault 151, C-2, I16.
#[tokio::test]
async fn taking_a_hold_while_the_order_is_cancelled_ends_in_one_of_both() {
    let runs = every_race_of(
        SWITCHES_FEW,
        held,
        |shop, order| {
            let payment = shop.payment(order).id;
            [act(shop.capture(payment, None)), act(shop.cancel(order))]
        },
        async |shop, order, run| {
            assert_settled(shop, order, run);
            let (order, payment) = (shop.order(order), shop.payment(order));
            match order.state {
                OrderState::Cancelled => assert_eq!(shop.paid(), 0, "{run}"),
                OrderState::Paid => assert_eq!(payment.captured.minor(), 3998, "{run}"),
                OrderState::Refunded => assert_eq!(payment.returned.minor(), 3998, "{run}"),
                other => panic!("{run}: {other}"),
            }
            assert!(shop.breaks().is_empty(), "{run}: {:?}", shop.breaks());
        },
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}

/// Covers: fault 151, C-3, I15, I16.
#[tokio::test]
async fn starting_fulfilment_while_the_hold_is_released_ends_in_one_of_both() {
    let runs = every_race(
        held,
        |shop, order| {
            let payment = shop.payment(order).id;
            [act(shop.fulfil(order)), act(shop.void(payment))]
        },
        async |shop, order, run| {
            assert_settled(shop, order, run);
            match shop.order(order).state {
                OrderState::FulfillmentStarted => assert_eq!(shop.paid(), 1, "{run}"),
                OrderState::Pending => assert_eq!((shop.paid(), shop.payable()), (0, 0), "{run}"),
                other => panic!("{run}: {other}"),
            }
            assert!(shop.breaks().is_empty(), "{run}: {:?}", shop.breaks());
        },
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}

/// Covers: fault 151, fault 149, I30.
#[tokio::test]
async fn two_captures_at_once_take_the_hold_once() {
    let runs = every_race(
        held,
        |shop, order| {
            let payment = shop.payment(order).id;
            [act(shop.capture(payment, Some(1000))), act(shop.capture(payment, Some(2000)))]
        },
        async |shop, order, run| {
            assert_settled(shop, order, run);
            assert_eq!(shop.calls("capture").len(), 1, "{run}");
            assert!([1000, 2000].contains(&shop.payment(order).captured.minor()), "{run}");
            assert!(shop.breaks().is_empty(), "{run}: {:?}", shop.breaks());
        },
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}

/// The answer of our call and two events tell of the same refund.
///
/// Covers: D-15, I22, I28, U-3, fault 32, fault 93.
#[tokio::test]
async fn a_refund_that_is_heard_of_and_looked_at_while_it_is_answered_is_one_refund() {
    let scene = async || {
        let (shop, order) = paid().await;
        shop.gateway.fail_call(Fault::UnknownAfter);
        shop.refund(shop.payment(order).id, Some(1000)).await.unwrap();
        shop.receive(shop.gateway.events());
        shop.clock.advance(Duration::MINUTE);
        (shop, order)
    };
    let check = async |shop: &Shop, order: OrderId, run: &str| {
        assert_settled(shop, order, run);
        assert_eq!(shop.store.refunds().len(), 1, "{run}");
        assert_eq!(shop.payment(order).returned.minor(), 1000, "{run}");
    };
    let runs = every_race_of(
        SWITCHES_FEW,
        scene,
        |shop, _| [act(jobs(shop, QueueName::Effects)), act(jobs(shop, QueueName::Webhooks))],
        check,
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
    let runs = every_race_of(
        SWITCHES_FEW,
        scene,
        |shop, order| {
            let payment = shop.payment(order).id;
            [act(jobs(shop, QueueName::Effects)), act(async move { shop.sync(payment).await.unwrap() })]
        },
        check,
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}

/// Covers: I18, I27, fault 14, fault 90.
#[tokio::test]
async fn two_workers_on_one_spent_key_make_one_other() {
    let runs = every_race(
        async || {
            let (shop, order) = placed().await;
            shop.gateway.fail_call(Fault::SpentBefore);
            shop.start(order, Channel::PaymentIntent).await.unwrap_err();
            shop.clock.advance(GatewayCall::ABSENT_AFTER);
            (shop, order)
        },
        |shop, _| {
            let zombie = shop.claim(QueueName::Effects).remove(0);
            shop.clock.advance(Duration::MINUTE);
            let next = shop.claim(QueueName::Effects).remove(0);
            assert_eq!(zombie.lease.job, next.lease.job);
            [zombie, next].map(|job| {
                act(async move {
                    if let Err(error) = shop.run(&job).await {
                        assert!(error.contains("LeaseLost"), "{error}");
                    }
                })
            })
        },
        async |shop, order, run| {
            assert_eq!(shop.calls("create_intent").len(), 2, "{run}");
            assert_eq!((shop.gateway.intents().len(), shop.payable()), (1, 1), "{run}");
            assert_eq!(shop.payment(order).state, PaymentState::Pending, "{run}");
        },
    )
    .await;
    assert!(runs > 10, "only {runs} interleavings");
}
