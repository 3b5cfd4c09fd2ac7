//! Every movement of the gateway's balance, and every payout to the cent.

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::builders::usd;
use time::Duration;

use crate::{
    reconcile_stage::assert_adds_up,
    support::{Shop, ready},
};

fn payout(shop: &Shop, id: &PayoutId) -> PayoutRecord {
    ready(Books::payout(&*shop.store, Mode::Test, id)).unwrap().unwrap()
}

/// Told by nobody, days after the capture.
///
/// Covers: S-5, I1.
#[tokio::test]
async fn a_fee_that_came_late_is_found() {
    for section in [Section::Local, Section::Books] {
        let shop = Shop::new();
        shop.gateway.settle_late(true);
        let (order, payment) = shop.paid_order().await;
        shop.clock.advance(Duration::hours(30));
        let run = shop.reconcile(&[section]).await;
        assert_eq!((run.state, shop.payment(order.id).fee), (RunState::Done, None), "{section}");
        drop(shop.gateway.settle(&payment.intent.unwrap()));
        shop.clock.advance(Duration::hours(7));
        let run = shop.reconcile(&[section]).await;
        let fee = shop.payment(order.id).fee.unwrap();
        assert_eq!((fee.amount, run.counts[&section].repaired), (usd(146), 1), "{section}: {run:#?}");
        assert_eq!((shop.balance(Account::Clearing, "usd"), shop.breaks()), (0, vec![]));
    }
}

/// A refund that came back weeks later, of which no webhook told.
///
/// Covers: I1, I9.
#[tokio::test]
async fn a_refund_that_came_back_is_found_by_what_it_moved() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.refund(payment.id, Some(500)).await.unwrap();
    shop.work().await;
    shop.reconcile_all().await;
    shop.clock.advance(Duration::days(20));
    drop(shop.gateway.refund_fails(&shop.refund_made().id));
    let run = shop.reconcile(&[Section::Books]).await;
    assert_eq!(run.counts[&Section::Books].repaired, 1, "{run:#?}");
    assert_eq!(shop.refunds(payment.id)[0].state, RefundState::Failed);
    assert_eq!((shop.payment(order.id).refunded, shop.balance(Account::Clearing, "usd")), (usd(0), 0));
    assert_eq!(shop.open_breaks(), [BreakKind::RefundFailed]);
    shop.assert_sound();
}

/// A movement for one of our payments that nothing explains is a break over its amount, once; when it is booked, the
/// break ends.
///
/// Covers: I1.
#[tokio::test]
async fn a_movement_without_a_counterpart_is_a_break() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.reconcile_all().await;
    let id = shop.gateway.move_balance("adjustment", usd(250), payment.intent.as_ref());
    shop.gateway.move_balance("stripe_fee", usd(9), None);
    for opened in [1, 0] {
        let run = shop.reconcile(&[Section::Books]).await;
        let counts = &run.counts[&Section::Books];
        assert_eq!((counts.broken, counts.matched, run.opened), (1, 1, opened), "{run:#?}");
        assert_eq!(counts.foreign_kinds, [("stripe_fee".to_owned(), 1)].into());
        assert_adds_up(&run);
        shop.clock.advance(Duration::MINUTE);
    }
    let found = shop.store.open_breaks().remove(0);
    assert_eq!((found.kind, found.at_risk), (BreakKind::UnexplainedTransaction, Some(usd(250))));
    assert_eq!((found.order, found.payment), (Some(order.id), Some(payment.id)));
    assert_eq!(found.object, Some(id.to_string()));

    let now = shop.clock_now();
    let moved = BalanceTransaction { id, amount: 250, fee: 0, currency: usd(0).currency(), at: now };
    let mut changes = Changes::because(paywright_testkit::builders::request(), Actor::System, now);
    changes.journals.push(Journal::disputed(&payment, &moved));
    ready(shop.store.commit(changes)).unwrap();
    let run = shop.reconcile(&[Section::Books]).await;
    assert_eq!((run.resolved, shop.open_breaks()), (1, vec![]));
}

/// It has no lines in the books, and needs none; what earlier runs made of it is no break.
///
/// Covers: I1, I9.
#[tokio::test]
async fn a_movement_of_nothing_needs_no_explanation() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.reconcile_all().await;
    let id = shop.gateway.move_balance("adjustment", usd(0), payment.intent.as_ref());
    for _ in 0..2 {
        let run = shop.reconcile(&[Section::Books]).await;
        let counts = &run.counts[&Section::Books];
        assert_eq!((counts.broken, counts.matched, run.opened), (0, 2, 0), "{run:#?}");
        assert_adds_up(&run);
        shop.clock.advance(Duration::MINUTE);
    }
    let now = shop.clock_now();
    let mut changes = Changes::because(paywright_testkit::builders::request(), Actor::System, now);
    changes.breaks.push(Break {
        kind: BreakKind::UnexplainedTransaction,
        mode: Mode::Test,
        order: Some(order.id),
        payment: Some(payment.id),
        object: Some(id.to_string()),
        detail: "the gateway's balance moved by 0 less 0 usd".to_owned(),
        at_risk: Some(usd(0)),
    });
    ready(shop.store.commit(changes)).unwrap();
    let run = shop.reconcile(&[Section::Books]).await;
    assert_eq!((run.resolved, shop.open_breaks()), (1, vec![]));
}

/// What it is made of, by kind, sums to its amount; it is booked once.
///
/// Covers: S-6, I9, I28.
#[tokio::test]
async fn a_payout_is_explained_to_the_cent() {
    let shop = Shop::new();
    shop.gateway.paged_by(2);
    let (_, payment) = shop.paid_order().await;
    shop.paid_order().await;
    shop.refund(payment.id, Some(500)).await.unwrap();
    drop(shop.gateway.open_dispute(&payment.intent.unwrap(), 1000, false));
    shop.gateway.move_balance("topup", usd(10_000), None);
    let id = shop.gateway.pay_out(usd(0).currency());
    for _ in 0..2 {
        let run = shop.reconcile_all().await;
        assert_eq!(run.state, RunState::Done, "{run:#?}");
        assert_adds_up(&run);
        shop.clock.advance(Duration::minutes(5));
    }
    let record = payout(&shop, &id);
    let part = |kind: &str, count, amount, fee| PayoutPart { kind: kind.to_owned(), count, amount, fee };
    let parts = [
        part("adjustment", 1, -1000, 1500),
        part("charge", 2, 7996, 292),
        part("refund", 1, -500, 0),
        part("topup", 1, 10_000, 0),
    ];
    assert_eq!((record.parts, record.remainder), (parts.to_vec(), Some(0)));
    assert_eq!((record.payout.amount, shop.balance(Account::Bank, "usd")), (usd(14_704), 14_704));
    let held = shop.balance(Account::GatewayBalance, "usd");
    assert_eq!((held, shop.breaks()), (-10_000, vec![]), "the topup is not ours to book");
}

/// Covers: S-6, I1.
#[tokio::test]
async fn a_payout_with_a_cent_too_much_is_a_break() {
    let shop = Shop::new();
    shop.paid_order().await;
    let id = shop.gateway.pay_out(usd(0).currency());
    shop.gateway.change_payout(&id, |payout| payout.amount = usd(3853));
    let run = shop.reconcile_all().await;
    assert_eq!((run.counts[&Section::Books].broken, run.opened), (1, 1), "{run:#?}");
    let found = shop.store.open_breaks().remove(0);
    assert_eq!((found.kind, found.at_risk), (BreakKind::UnexplainedPayout, Some(usd(1))));
    assert_eq!((found.object, payout(&shop, &id).remainder), (Some(id.to_string()), Some(1)));
    // A person has explained it: it is not opened again as long as nothing changes.
    let now = shop.clock_now();
    let mut changes = Changes::because(paywright_testkit::builders::request(), Actor::System, now);
    changes.resolutions.push(Resolution {
        kind: found.kind,
        payment: None,
        object: Some(id.to_string()),
        reason: "rounded by the bank".to_owned(),
    });
    ready(shop.store.commit(changes)).unwrap();
    shop.clock.advance(Duration::minutes(5));
    let run = shop.reconcile_all().await;
    assert_eq!((run.counts[&Section::Books].broken, shop.open_breaks()), (1, vec![]));
    shop.gateway.change_payout(&id, |payout| payout.amount = usd(3851));
    shop.reconcile_all().await;
    assert_eq!(shop.open_breaks(), [BreakKind::UnexplainedPayout]);
    shop.gateway.change_payout(&id, |payout| payout.amount = usd(3852));
    shop.clock.advance(Duration::minutes(5));
    let run = shop.reconcile_all().await;
    assert_eq!((run.resolved, shop.open_breaks()), (1, vec![]));
    assert!(payout(&shop, &id).is_explained());
}

/// On its way, paid, and back days later: booked once there, once back. One made by hand cannot be explained, and need
/// not be.
///
/// Covers: S-6, I9.
#[tokio::test]
async fn a_payout_that_came_back_is_booked_back() {
    let shop = Shop::new();
    shop.paid_order().await;
    let id = shop.gateway.pay_out(usd(0).currency());
    let bank = [("in_transit", 3852, None), ("paid", 3852, Some(0)), ("failed", 0, Some(0))];
    for (status, held, remainder) in bank {
        shop.gateway.change_payout(&id, |payout| payout.status = status.to_owned());
        let run = shop.reconcile_all().await;
        assert_eq!(run.state, RunState::Done, "{run:#?}");
        assert_eq!(shop.balance(Account::Bank, "usd"), held, "{status}");
        assert_eq!(
            (payout(&shop, &id).payout.status, payout(&shop, &id).remainder),
            (status.to_owned(), remainder)
        );
        shop.clock.advance(Duration::days(2));
    }
    assert_eq!(shop.balance(Account::GatewayBalance, "usd"), 3852);
    shop.gateway.move_balance("topup", usd(100), None);
    let by_hand = shop.gateway.pay_out(usd(0).currency());
    shop.gateway.change_payout(&by_hand, |payout| payout.automatic = false);
    shop.reconcile_all().await;
    assert_eq!((payout(&shop, &by_hand).remainder, shop.breaks()), (None, vec![]));
    assert_eq!(shop.balance(Account::Bank, "usd"), 100);
}

/// Where the balance has another currency than the customer.
///
/// Covers: S-6, I9.
#[tokio::test]
async fn a_payout_in_another_currency_is_explained() {
    let shop = Shop::new();
    let euro: Currency = "eur".parse().unwrap();
    shop.gateway.settle_in(euro, 900);
    shop.paid_order().await;
    let id = shop.gateway.pay_out(euro);
    let run = shop.reconcile_all().await;
    assert_eq!((run.state, shop.breaks()), (RunState::Done, vec![]));
    assert!(payout(&shop, &id).is_explained());
    assert_eq!(shop.balance(Account::Bank, "eur"), payout(&shop, &id).payout.signed());
    assert_eq!(shop.balance(Account::GatewayBalance, "eur"), 0);
}

/// A negative balance is filled from our bank.
///
/// Covers: S-6, I9.
#[tokio::test]
async fn a_payout_may_take_money() {
    let shop = Shop::new();
    let (_, payment) = shop.paid_order().await;
    shop.gateway.pay_out(usd(0).currency());
    drop(shop.gateway.open_dispute(&payment.intent.unwrap(), 3998, false));
    shop.clock.advance(Duration::DAY);
    let id = shop.gateway.pay_out(usd(0).currency());
    shop.reconcile_all().await;
    let record = payout(&shop, &id);
    assert_eq!((record.payout.taken, record.payout.amount, record.remainder), (true, usd(5498), Some(0)));
    assert_eq!(shop.balance(Account::Bank, "usd"), 3852 - 5498);
    assert_eq!(shop.balance(Account::GatewayBalance, "usd"), 0);
}

/// Not every run writes: only what is new, or has changed.
///
/// Covers: I28.
#[tokio::test]
async fn what_is_explained_is_not_asked_about_again() {
    let shop = Shop::new();
    shop.paid_order().await;
    let id = shop.gateway.pay_out(usd(0).currency());
    shop.reconcile_all().await;
    let first = payout(&shop, &id);
    shop.clock.advance(Duration::HOUR);
    let calls = shop.fate.calls();
    let run = shop.reconcile(&[Section::Books]).await;
    assert_eq!((payout(&shop, &id), run.counts[&Section::Books].matched), (first, 2));
    assert!(shop.fate.calls() - calls < 15, "{} port calls", shop.fate.calls() - calls);
    assert_eq!(
        Reconcile::new(
            shop.ports.clone(),
            shop.policy.clone(),
            Pace::default(),
            shop.gateway.clone(),
            shop.store.clone()
        )
        .fresh()
        .await
        .unwrap()
        .compared,
        0
    );
}
