//! Disputes: what they withhold, what they block, what is booked, and our answer.

use std::collections::BTreeMap;

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{
    Fault, JobState,
    builders::{self, usd},
};
use time::Duration;

use crate::{
    fate::Blow,
    support::{Shop, ready, until_death},
};

/// A paid order with a dispute over everything, or an inquiry.
async fn disputed(inquiry: bool) -> (Shop, Order, Payment) {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.settle(Duration::days(2)).await;
    shop.hear(shop.gateway.open_dispute(&shop.intent(&payment).id, 3998, inquiry)).await;
    let (order, payment) = (shop.order(order.id), shop.payment(order.id));
    (shop, order, payment)
}

fn parts(part: &str, text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(part.to_owned(), text.to_owned())])
}

/// What the gateway's balance, its fees and the disputes come to, in US cents; and that nothing is left unexplained.
fn books(shop: &Shop) -> [i64; 3] {
    assert_eq!(shop.balance(Account::Clearing, "usd"), 0);
    [Account::GatewayBalance, Account::Fees, Account::Disputes].map(|account| shop.balance(account, "usd"))
}

/// What is left of 39.98 USD after the gateway's fee on it.
const NET: i64 = 3998 - FEE;
const FEE: i64 = 146;

/// Covers: fault 145, X-2, I3, R-1.
#[tokio::test]
async fn nothing_is_given_back_while_a_dispute_is_open() {
    let (shop, order, payment) = disputed(false).await;
    assert_eq!((payment.disputed, payment.disputes_blocking), (usd(3998), 1));
    let error = shop.refund(payment.id, Some(1)).await.unwrap_err();
    assert!(matches!(error, RequestRefundError::DisputeOpen), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let error = shop.cancel(order.id).await.unwrap_err();
    assert!(matches!(error, CancelOrderError::DisputeOpen), "{error:?}");
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    assert!(shop.gateway.refunds_made().is_empty() && shop.store.refunds().is_empty());
    shop.assert_sound();
}

/// Covers: fault 145, fault 148, X-1.
#[tokio::test]
async fn an_inquiry_moves_no_money_and_leaves_it_refundable() {
    let (shop, order, payment) = disputed(true).await;
    assert_eq!((payment.disputed, payment.disputes_blocking), (usd(0), 0));
    assert_eq!(books(&shop), [NET, FEE, 0]);
    shop.refund(payment.id, Some(1000)).await.unwrap();
    shop.hear(shop.gateway.close_inquiry(&shop.dispute_opened().id)).await;
    assert_eq!(shop.dispute().seen.status, DisputeStatus::WarningClosed);
    assert_eq!(books(&shop), [NET - 1000, FEE, 0]);
    assert_eq!(shop.payment(order.id).refundable(), usd(2998));
    shop.assert_sound();
}

/// The gateway refuses what it would pay out twice, also when we have not heard of the dispute.
///
/// Covers: fault 145, I5, I10.
#[tokio::test]
async fn a_refund_that_the_gateway_refuses_because_of_a_dispute_is_failed() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    let unheard = shop.gateway.open_dispute(&shop.intent(&payment).id, 3998, false);
    let error = shop.refund(payment.id, None).await.unwrap_err();
    assert!(matches!(&error, RequestRefundError::Refused(no) if no.code == "charge_disputed"), "{error:?}");
    shop.hear(unheard).await;
    let now = shop.payment(order.id);
    assert_eq!((now.refunded, now.disputed, now.refundable()), (usd(0), usd(3998), usd(0)));
    shop.assert_sound();
}

/// Covers: fault 146, X-2.
#[tokio::test]
async fn a_dispute_after_everything_was_given_back_is_recorded_with_the_refund_as_evidence() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.settle(Duration::days(2)).await;
    let refund = shop.refund(payment.id, None).await.unwrap();
    let before = shop.store.journals().len();
    shop.hear(shop.gateway.open_dispute(&shop.intent(&payment).id, 3998, true)).await;
    assert_eq!(shop.store.journals().len(), before, "an inquiry books nothing");
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);

    let answers = AnswerDispute::new(shop.ports.clone(), shop.policy.clone());
    let gathered = answers.gather(shop.dispute().id, &Happened::default()).await.unwrap();
    let told = &gathered.parts()["refund_refusal_explanation"];
    assert!(told.contains(refund.gateway.unwrap().as_str()), "{told}");

    shop.hear(shop.gateway.escalate_inquiry(&shop.dispute_opened().id)).await;
    let now = shop.payment(order.id);
    assert_eq!((now.returned, now.disputed, now.refundable()), (usd(3998), usd(3998), usd(0)));
    assert_eq!(books(&shop), [NET - 3998 - 3998 - 1500, FEE + 1500, 3998], "what really happened");
    shop.assert_sound();
}

/// Covers: fault 148, I9, X-1, X-4, X-5, I22, fault 31.
#[tokio::test]
async fn each_step_is_booked_once_and_the_books_are_right_at_each_end() {
    let (shop, order, _) = disputed(false).await;
    let id = shop.dispute_opened().id;
    let withdrawn = [NET - 3998 - 1500, FEE + 1500, 3998];
    assert_eq!(books(&shop), withdrawn);

    shop.clock.advance(Duration::DAY);
    let lost = shop.gateway.lose_dispute(&id);
    shop.hear([lost.clone(), lost].concat()).await;
    assert_eq!(shop.dispute().seen.status, DisputeStatus::Lost);
    assert_eq!((books(&shop), shop.payment(order.id).disputed), (withdrawn, usd(3998)), "it is gone");
    assert_eq!(shop.order(order.id).state, OrderState::Paid, "an order is not what its dispute is");

    shop.clock.advance(Duration::DAY);
    let won = shop.gateway.win_dispute(&id);
    shop.hear([won.clone(), won].concat()).await;
    assert_eq!(shop.dispute().seen.status, DisputeStatus::Won, "lost becomes won");
    assert_eq!(books(&shop), [NET - 1500, FEE + 1500, 0], "only the fee is gone");
    let now = shop.payment(order.id);
    assert_eq!((now.disputed, now.disputes_blocking, now.refundable()), (usd(0), 0, usd(3998)));

    shop.clock.advance(Duration::DAY);
    shop.hear(shop.gateway.lose_dispute(&id)).await;
    assert_eq!(shop.dispute().seen.status, DisputeStatus::Lost, "and won lost");
    assert_eq!(books(&shop), [NET - 3998 - 3000, FEE + 3000, 3998], "as the gateway's balance tells");
    shop.assert_sound();
}

/// Covers: fault 148, X-2, I3.
#[tokio::test]
async fn a_partial_dispute_withholds_its_part_and_one_may_exceed_what_is_left() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.settle(Duration::days(2)).await;
    shop.refund(payment.id, Some(3000)).await.unwrap();
    shop.hear(shop.gateway.open_dispute(&shop.intent(&payment).id, 2000, false)).await;
    let now = shop.payment(order.id);
    assert_eq!((now.refunded, now.disputed, now.refundable()), (usd(3000), usd(2000), usd(0)));
    assert_eq!(
        books(&shop),
        [NET - 3000 - 2000 - 1500, FEE + 1500, 2000],
        "the amounts of the balance, no others"
    );
    shop.clock.advance(Duration::DAY);
    shop.hear(shop.gateway.win_dispute(&shop.dispute_opened().id)).await;
    assert_eq!(shop.payment(order.id).refundable(), usd(998));
    shop.assert_sound();
}

/// Covers: O-5, fault 33, I5, I11, fault 34.
#[tokio::test]
async fn a_dispute_that_is_heard_of_before_the_payment_tells_of_both_and_the_last_word_wins() {
    for last_first in [false, true] {
        let shop = Shop::new();
        let order = shop.place().await;
        let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
        let intent = shop.intent(&payment).id;
        let paid = shop.gateway.pay_intent(&intent);
        let mut disputed = shop.gateway.open_dispute(&intent, 3998, false);
        shop.clock.advance(Duration::DAY);
        disputed.extend(shop.gateway.lose_dispute(&shop.dispute_opened().id));
        if last_first {
            disputed.reverse();
        }
        shop.hear(disputed).await;
        assert_eq!(shop.order(order.id).state, OrderState::Paid, "what is disputed was paid");
        assert_eq!(shop.dispute().seen.status, DisputeStatus::Lost);
        shop.hear(paid).await;
        assert_eq!(
            (shop.payment(order.id).captured, shop.payment(order.id).disputed),
            (usd(3998), usd(3998))
        );
        shop.settle(Duration::days(2)).await;
        assert_eq!(books(&shop), [NET - 3998 - 1500, FEE + 1500, 3998]);
        shop.assert_sound();
    }
}

/// Covers: fault 21, fault 23, fault 153, I23, S-1.
#[tokio::test]
async fn a_dispute_that_cannot_be_ours_is_a_break_and_an_unknown_status_is_kept() {
    type Lie = fn(&mut DisputeSnapshot);
    let lies: [(Lie, BreakKind); 2] = [
        (|told| told.mode = Mode::Live, BreakKind::ModeMismatch),
        (
            |told| told.sighting.amount = Money::from_minor(1, "eur".parse().unwrap()).unwrap(),
            BreakKind::AmountMismatch,
        ),
    ];
    for (lie, kind) in lies {
        let shop = Shop::new();
        let (order, payment) = shop.paid_order().await;
        let id = builders::gateway_dispute_id();
        let mut told = builders::dispute_snapshot(&payment, &id, DisputeStatus::NeedsResponse);
        lie(&mut told);
        for _ in 0..2 {
            shop.hear(vec![shop.gateway.dispute_event("charge.dispute.created", told.clone())]).await;
        }
        assert!(shop.store.disputes().is_empty());
        assert_eq!((shop.breaks(), shop.payment(order.id).disputed), (vec![kind], usd(0)));
    }
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    let new = DisputeStatus::Other("in_arbitration".to_owned());
    let told = builders::dispute_snapshot(&payment, &builders::gateway_dispute_id(), new.clone());
    shop.hear(vec![shop.gateway.dispute_event("charge.dispute.updated", told)]).await;
    assert_eq!(shop.dispute().seen.status, new);
    assert_eq!(shop.payment(order.id).disputed, usd(3998), "to be on the safe side it is not ours");
    shop.assert_sound();
}

/// What it holds could not be given back, and nobody would remember to.
///
/// Covers: I1, I5, I23, fault 145.
#[tokio::test]
async fn an_order_is_not_cancelled_while_a_dispute_that_nobody_knows_holds_its_money() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    let id = builders::gateway_dispute_id();
    let mut told =
        builders::dispute_snapshot(&payment, &id, DisputeStatus::Other("in_arbitration".to_owned()));
    told.sighting.refundable = true;
    shop.hear(vec![shop.gateway.dispute_event("charge.dispute.updated", told.clone())]).await;
    let error = shop.cancel(order.id).await.unwrap_err();
    assert!(matches!(error, CancelOrderError::DisputeOpen), "{error:?}");
    assert_eq!(shop.order(order.id).state, OrderState::Paid);

    told.sighting.status = DisputeStatus::WarningClosed;
    told.sighting.at += Duration::SECOND;
    shop.hear(vec![shop.gateway.dispute_event("charge.dispute.closed", told)]).await;
    shop.cancel(order.id).await.unwrap();
    shop.settle(Duration::MINUTE).await;
    assert_eq!(shop.payment(order.id).refunded, usd(3998));
    shop.assert_sound();
}

/// It holds money, and where it is over already no event tells so.
///
/// Covers: I1, I13, I23, fault 145.
#[tokio::test]
async fn a_dispute_that_nobody_knows_is_asked_about_soon() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.settle(Duration::days(30)).await;
    let timer = || {
        let jobs = shop.store.jobs().into_iter();
        let mut open =
            jobs.filter(|job| job.task == Task::WatchOrder(order.id) && job.state == JobState::Waiting);
        open.next().map(|job| job.due_at - shop.clock_now())
    };
    assert_eq!(timer(), None, "nobody looks after it any more");
    let id = builders::gateway_dispute_id();
    let status = DisputeStatus::Other("in_arbitration".to_owned());
    let told = builders::dispute_snapshot(&payment, &id, status);
    shop.hear(vec![shop.gateway.dispute_event("charge.dispute.updated", told)]).await;
    assert_eq!(shop.payment(order.id).disputes_blocking, 1);
    assert_eq!(timer(), Some(Duration::HOUR));
    shop.assert_sound();
}

/// Covers: fault 148, I17, I30, T-10.
#[tokio::test]
async fn evidence_is_staged_edited_and_submitted_once() {
    let (shop, _, _) = disputed(false).await;
    let id = shop.dispute().id;
    let answers = AnswerDispute::new(shop.ports.clone(), shop.policy.clone());
    let operation = shop.operation();
    for _ in 0..2 {
        let say = Say::Stage(parts("customer_name", "Ada"));
        let staged = answers.run(operation, Actor::System, id, say).await.unwrap();
        assert_eq!((staged.answering, staged.generation), (None, 1));
    }
    assert_eq!(shop.dispute_opened().evidence.parts(), &parts("customer_name", "Ada"));
    assert!(!shop.dispute_opened().submitted, "kept there, not sent");
    shop.answer(id, Say::Stage(parts("uncategorized_text", "She wears it."))).await.unwrap();
    assert_eq!(shop.dispute().evidence.parts().len(), 2, "the first part stays");

    let happened = Happened { shipped_on: None, timeline: vec!["paid".to_owned()] };
    let operation = shop.operation();
    for _ in 0..2 {
        let sent = answers.run(operation, Actor::System, id, Say::Submit(happened.clone())).await.unwrap();
        assert!(sent.seen.submitted);
    }
    let sent = shop.dispute_opened();
    assert_eq!((sent.submitted, sent.status), (true, DisputeStatus::UnderReview));
    assert_eq!(sent.evidence.parts()["uncategorized_text"], "She wears it.", "a person's words win");
    assert!(
        sent.evidence.parts()["product_description"].contains("A fine hat"),
        "the rest is from our books"
    );
    assert_eq!(shop.dispute().evidence, sent.evidence);
    assert_eq!(shop.calls("submit_evidence").len(), 1);
    for say in [Say::Stage(parts("customer_name", "Bob")), Say::Submit(happened), Say::Accept] {
        let error = shop.answer(id, say).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "it was said for good");
    }
    shop.assert_sound();
}

/// Covers: fault 148.
#[tokio::test]
async fn accepting_loses_the_dispute_for_good() {
    let (shop, order, _) = disputed(false).await;
    let accepted = shop.answer(shop.dispute().id, Say::Accept).await.unwrap();
    assert_eq!((accepted.seen.status, accepted.answering), (DisputeStatus::Lost, None));
    assert_eq!(shop.payment(order.id).disputed, usd(3998));
    let error = shop.answer(accepted.id, Say::Accept).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    shop.assert_sound();
}

/// Covers: I24, I32, fault 2, fault 108.
#[tokio::test]
async fn an_answer_that_is_refused_or_on_its_way_can_be_told_from_one_that_was_taken() {
    let (shop, _, _) = disputed(false).await;
    let id = shop.dispute().id;
    let error = shop.answer(id, Say::Stage(parts("receipt", "file_1"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let error = shop.answer(builders::new_id(shop.clock_now()), Say::Accept).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let live = AnswerDispute::new(shop.ports.clone(), Policy { mode: Mode::Live, ..shop.policy.clone() });
    let error = live.run(shop.operation(), Actor::System, id, Say::Accept).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "another mode's disputes do not exist here");

    shop.gateway.fail_call(Fault::Rejected("evidence_too_long".to_owned()));
    let error = shop.answer(id, Say::Stage(parts("customer_name", "Ada"))).await.unwrap_err();
    assert!(matches!(&error, AnswerDisputeError::Refused(no) if no.code == "evidence_too_long"), "{error:?}");
    assert_eq!(
        (shop.dispute().answering, shop.dispute().evidence.parts().len()),
        (None, 1),
        "it is kept here"
    );

    shop.gateway.fail_call(Fault::UnknownBefore);
    let waits = shop.answer(id, Say::Stage(parts("customer_name", "Eve"))).await.unwrap();
    assert_eq!(waits.answering, Some(DisputeAnswer::Stage));
    let error = shop.answer(id, Say::Accept).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "one answer at a time");
    shop.settle(Duration::minutes(2)).await;
    assert_eq!(shop.dispute().answering, None);
    assert_eq!(shop.dispute_opened().evidence.parts(), &parts("customer_name", "Eve"));
    shop.assert_sound();
}

/// Covers: fault 148, I13.
#[tokio::test]
async fn a_deadline_that_nobody_met_is_told_of_once_and_one_that_was_met_is_not() {
    for answered in [false, true] {
        let (shop, _, _) = disputed(false).await;
        if answered {
            shop.answer(shop.dispute().id, Say::Submit(Happened::default())).await.unwrap();
        }
        shop.settle(Duration::days(5) - Duration::MINUTE).await;
        assert!(!shop.dispute().deadline_told, "not yet");
        shop.settle(Duration::days(2)).await;
        assert_eq!(shop.dispute().deadline_told, !answered);
        let told = shop.store.audit().into_iter().filter(|row| row.entry.event == "deadline_near");
        assert_eq!(told.count(), usize::from(!answered));
        shop.assert_sound();
    }
}

/// Covers: fault 34, I5, X-1.
#[tokio::test]
async fn the_end_of_a_dispute_is_found_though_no_message_came() {
    let (shop, order, _) = disputed(false).await;
    shop.clock.advance(Duration::HOUR);
    drop(shop.gateway.win_dispute(&shop.dispute_opened().id));
    shop.settle(Duration::days(6)).await;
    assert_eq!(shop.dispute().seen.status, DisputeStatus::Won);
    assert_eq!(shop.payment(order.id).refundable(), usd(3998));
    shop.assert_sound();
}

/// A word about another amount than was withdrawn may be wrong, and may be the last that is heard of the dispute.
///
/// Covers: I1, X-2.
#[tokio::test]
async fn a_dispute_over_another_amount_than_was_withdrawn_is_a_break_until_it_adds_up() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.hear(shop.gateway.open_dispute(&shop.intent(&payment).id, 1000, false)).await;
    let id = shop.dispute_opened().id;
    assert_eq!(shop.breaks(), []);
    for said in [1001, 999] {
        shop.clock.advance(Duration::MINUTE);
        shop.hear(shop.gateway.restate_dispute(&id, said)).await;
        let found = shop.store.open_breaks().pop().unwrap();
        assert_eq!((found.kind, found.object), (BreakKind::AmountMismatch, Some(id.to_string())));
        assert_eq!((found.order, found.at_risk), (Some(order.id), Some(usd(1))), "{}", found.detail);
        shop.clock.advance(Duration::MINUTE);
        shop.hear(shop.gateway.restate_dispute(&id, 1000)).await;
        assert_eq!(shop.open_breaks(), []);
    }
    shop.assert_sound();
}

/// What settles in another currency cannot be compared, nor what was given back or never taken.
///
///
#[tokio::test]
async fn a_dispute_that_cannot_be_compared_is_no_break() {
    let shop = Shop::new();
    shop.gateway.settle_in("eur".parse().unwrap(), 900);
    let (_, payment) = shop.paid_order().await;
    shop.hear(shop.gateway.open_dispute(&shop.intent(&payment).id, 3998, false)).await;
    let id = shop.dispute_opened().id;
    shop.clock.advance(Duration::DAY);
    shop.hear(shop.gateway.win_dispute(&id)).await;
    assert_eq!(shop.breaks(), []);

    let (shop, ..) = disputed(true).await;
    let id = shop.dispute_opened().id;
    shop.clock.advance(Duration::DAY);
    shop.hear(shop.gateway.escalate_inquiry(&id)).await;
    shop.clock.advance(Duration::DAY);
    shop.hear(shop.gateway.win_dispute(&id)).await;
    shop.clock.advance(Duration::DAY);
    shop.hear(shop.gateway.lose_dispute(&id)).await;
    assert_eq!(shop.breaks(), []);
    shop.assert_sound();
}

/// Somebody looks at the dispute, and before they hear the answer, or before they store it, it is submitted and that is
/// seen. What was seen before is older, whenever it is heard.
///
/// Covers: X-5, I22.
#[test]
fn what_a_slow_look_saw_before_the_answer_does_not_undo_it() {
    for begins_at in [0, 990] {
        for call in 0.. {
            let (shop, ..) = ready(disputed(false));
            let (id, opened) = (shop.dispute().id, shop.dispute_opened().id);
            shop.clock.advance(Duration::SECOND + Duration::milliseconds(begins_at));
            let told = shop.dispute_opened().snapshot(Mode::Test, shop.clock_now());
            shop.receive(vec![shop.gateway.dispute_event("charge.dispute.updated", told)]);
            let job = shop.claim(QueueName::Webhooks).remove(0);
            shop.fate.falls(shop.fate.calls() + call, Blow::SleepAfter);
            let mut slow = Box::pin(shop.run(&job));
            if until_death(slow.as_mut()).is_some() {
                assert!(call > 3, "it looks, and stores what it saw");
                break;
            }
            shop.clock.advance(Duration::milliseconds(20));
            let said = ready(shop.answer(id, Say::Submit(Happened::default()))).unwrap();
            assert_eq!(said.seen.status, DisputeStatus::UnderReview);
            shop.clock.advance(Duration::milliseconds(20));
            let _ = ready(slow);
            assert_eq!(shop.dispute().seen.status, DisputeStatus::UnderReview, "{begins_at} ms, call {call}");
            assert_eq!(shop.dispute_opened().id, opened);
            shop.assert_sound();
        }
    }
}
