use std::collections::BTreeMap;

use proptest::{prelude::*, sample::Index};
use time::{Duration, macros::datetime};
use uuid::Uuid;

use super::*;
use crate::{CaptureMethod, Channel, Currency, PaymentEvent, RefundDraft, RefundReason, Sighting, Standing};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
const CAPTURED: u64 = 1000;

fn usd(minor: u64) -> Money {
    let currency: Currency = "usd".parse().unwrap();
    Money::from_minor(minor, currency).unwrap()
}

fn captured() -> Payment {
    let (id, order) = (PaymentId::from_uuid(Uuid::nil()), OrderId::from_uuid(Uuid::nil()));
    let (channel, capture) = (Channel::PaymentIntent, CaptureMethod::Automatic);
    let born = Payment::start(id, order, Mode::Test, channel, capture, usd(CAPTURED), NOW).after().clone();
    let taken = Sighting {
        standing: Standing::Captured { captured: CAPTURED, refunded: 0 },
        at: NOW,
        intent: None,
        session: None,
        capture_before: None,
        settlement: None,
    };
    after(&born, born.apply(PaymentEvent::Seen(taken)).unwrap())
}

fn after<A: Clone, E>(before: &A, applied: Applied<A, E>) -> A {
    match applied {
        Applied::Moved(step) => step.after().clone(),
        Applied::AlreadyTrue => before.clone(),
    }
}

fn stepped(dispute: &Dispute, event: DisputeEvent) -> Dispute {
    after(dispute, dispute.apply(event).unwrap())
}

/// Every status that we know, and one that we do not.
fn statuses() -> Vec<DisputeStatus> {
    use DisputeStatus::*;
    vec![
        WarningNeedsResponse,
        WarningUnderReview,
        WarningClosed,
        NeedsResponse,
        UnderReview,
        Won,
        Lost,
        Prevented,
        Other("arbitration".to_owned()),
    ]
}

/// A look so many seconds later. While money is withheld the gateway refunds nothing, and what was submitted is under
/// review.
fn sighting(status: DisputeStatus, second: i64) -> DisputeSighting {
    DisputeSighting {
        amount: usd(CAPTURED),
        reason: "fraudulent".to_owned(),
        due_by: Some(NOW + Duration::WEEK),
        refundable: !status.withholds(),
        submitted: matches!(status, DisputeStatus::UnderReview | DisputeStatus::WarningUnderReview),
        at: NOW + Duration::seconds(second),
        status,
    }
}

fn opened(number: u128, seen: DisputeSighting) -> Transition<Dispute, DisputeEvent> {
    let (id, gateway) = (DisputeId::from_uuid(Uuid::from_u128(number)), format!("du_{number}"));
    Dispute::open(id, &captured(), gateway.try_into().unwrap(), seen, NOW)
}

fn dispute_in(status: DisputeStatus) -> Dispute {
    opened(1, sighting(status, 0)).after().clone()
}

fn evidence(text: &str) -> Evidence {
    Evidence::parse(BTreeMap::from([("uncategorized_text".to_owned(), text.to_owned())])).unwrap()
}

/// Covers: fault 148, fault 23, I12, I23, O-2.
#[test]
fn the_newest_word_counts_from_every_status_to_every_other() {
    for from in statuses() {
        for to in statuses() {
            let dispute = dispute_in(from.clone());
            let later = stepped(&dispute, DisputeEvent::Seen(sighting(to.clone(), 1)));
            assert_eq!(later.seen.status, to, "{from}: won becomes lost, and lost won");
            let earlier = dispute.apply(DisputeEvent::Seen(sighting(to.clone(), -1)));
            assert_eq!(earlier, Ok(Applied::AlreadyTrue), "{to} was before {from}");
            let twice = later.apply(DisputeEvent::Seen(sighting(to.clone(), 1)));
            assert_eq!(twice, Ok(Applied::AlreadyTrue), "{to} twice");
        }
        let error = dispute_in(from.clone()).apply(DisputeEvent::Opened).unwrap_err();
        assert_eq!((error.event, error.from), ("opened", dispute_in(from).state()), "born once");
    }
}

/// Covers: O-2, T-12.
#[test]
fn of_one_second_the_status_further_on_counts() {
    use DisputeStatus::*;
    for (earlier, later) in [
        (WarningNeedsResponse, WarningUnderReview),
        (WarningNeedsResponse, WarningClosed),
        (WarningNeedsResponse, NeedsResponse),
        (NeedsResponse, UnderReview),
        (NeedsResponse, Lost),
        (UnderReview, Lost),
        (UnderReview, Won),
    ] {
        let told = |status: &DisputeStatus| DisputeEvent::Seen(sighting(status.clone(), 0));
        assert_eq!(stepped(&dispute_in(earlier.clone()), told(&later)).seen.status, later);
        assert_eq!(
            dispute_in(later.clone()).apply(told(&earlier)),
            Ok(Applied::AlreadyTrue),
            "{earlier} {later}"
        );
    }
}

/// Covers: fault 145, fault 148, X-2.
#[test]
fn money_is_withheld_and_refunds_are_blocked_as_the_gateway_does() {
    use DisputeStatus::*;
    for status in statuses() {
        let dispute = dispute_in(status.clone());
        let withholds = matches!(status, NeedsResponse | UnderReview | Lost | Other(_));
        assert_eq!(dispute.withheld(), usd(if withholds { CAPTURED } else { 0 }), "{status}");
        assert_eq!(dispute.blocks_refunds(), withholds, "{status}: an inquiry leaves it refundable");

        let charged_back = DisputeSighting { refundable: false, ..sighting(status.clone(), 0) };
        let over = matches!(status, Won | WarningClosed);
        let dispute = opened(1, charged_back).after().clone();
        assert_eq!(dispute.blocks_refunds(), !over, "{status}: the gateway says so itself");
        let open = !matches!(status, WarningClosed | Won | Lost | Prevented);
        assert_eq!(status.is_open(), open, "{status}");
    }
}

/// Covers: fault 148, I12.
#[test]
fn an_answer_is_given_once_at_a_time_while_one_is_taken() {
    for status in statuses() {
        let dispute = dispute_in(status.clone());
        let takes = matches!(status, DisputeStatus::NeedsResponse | DisputeStatus::WarningNeedsResponse);
        assert_eq!(dispute.is_answerable(), takes, "{status}");
        for answer in [DisputeAnswer::Stage, DisputeAnswer::Submit, DisputeAnswer::Accept] {
            assert_eq!(
                dispute.apply(DisputeEvent::AnswerRequested(answer)).is_ok(),
                takes,
                "{status}: {answer}"
            );
        }
        assert_eq!(dispute.apply(DisputeEvent::EvidenceEdited(evidence("hm"))).is_ok(), takes, "{status}");
        for ending in [DisputeEvent::AnswerTaken, DisputeEvent::AnswerRefused] {
            assert_eq!(dispute.apply(ending), Ok(Applied::AlreadyTrue), "{status}: nothing was asked");
        }
        if !takes {
            continue;
        }
        let asked = stepped(&dispute, DisputeEvent::AnswerRequested(DisputeAnswer::Stage));
        assert_eq!((asked.answering, asked.generation), (Some(DisputeAnswer::Stage), 1));
        let error = asked.apply(DisputeEvent::AnswerRequested(DisputeAnswer::Submit)).unwrap_err();
        assert_eq!(error.allowed, ["evidence_edited"], "one answer is on its way");
        for ending in [DisputeEvent::AnswerTaken, DisputeEvent::AnswerRefused] {
            let told = stepped(&asked, ending);
            assert_eq!(told.answering, None);
            let again = stepped(&told, DisputeEvent::AnswerRequested(DisputeAnswer::Submit));
            assert_eq!(again.generation, 2, "another key");
        }
        let reads = match status {
            DisputeStatus::WarningNeedsResponse => DisputeStatus::WarningUnderReview,
            _ => DisputeStatus::UnderReview,
        };
        let sent = DisputeSighting { submitted: true, ..sighting(reads, 1) };
        let sent = stepped(&asked, DisputeEvent::Seen(sent));
        assert!(!sent.is_answerable(), "it is submitted once");
        assert_eq!(sent.apply(DisputeEvent::EvidenceEdited(evidence("hm"))).unwrap_err().allowed, [""; 0]);
    }
    let said =
        stepped(&dispute_in(DisputeStatus::NeedsResponse), DisputeEvent::EvidenceEdited(evidence("hm")));
    assert_eq!(said.apply(DisputeEvent::EvidenceEdited(evidence("hm"))), Ok(Applied::AlreadyTrue));
}

/// Covers: fault 148.
#[test]
fn the_operator_is_told_once_of_each_deadline() {
    let dispute = dispute_in(DisputeStatus::NeedsResponse);
    let told = stepped(&dispute, DisputeEvent::DeadlineNear);
    assert_eq!(told.apply(DisputeEvent::DeadlineNear), Ok(Applied::AlreadyTrue));
    let same = stepped(&told, DisputeEvent::Seen(sighting(DisputeStatus::NeedsResponse, 1)));
    assert!(same.deadline_told);
    let due_by = Some(NOW + Duration::days(30));
    let moved = DisputeSighting { due_by, ..sighting(DisputeStatus::NeedsResponse, 1) };
    assert!(!stepped(&told, DisputeEvent::Seen(moved)).deadline_told, "another deadline earns another word");
}

#[test]
fn evidence_keeps_to_the_gateways_parts_and_bounds() {
    let parts = |part: &str, text: &str| BTreeMap::from([(part.to_owned(), text.to_owned())]);
    let error = Evidence::parse(parts("receipt", "a file")).unwrap_err();
    assert_eq!(error.field, "evidence.receipt");
    let error = Evidence::parse(parts("customer_name", "A\0da")).unwrap_err();
    assert_eq!(error.field, "evidence.customer_name");
    let most = "ü".repeat(Evidence::PART_MAX);
    assert!(Evidence::parse(parts("customer_name", &most)).is_ok(), "characters count, not bytes");
    let error = Evidence::parse(parts("customer_name", &format!("{most}x"))).unwrap_err();
    assert_eq!(error.field, "evidence.customer_name");
    let all = Evidence::PARTS.iter().map(|part| ((*part).to_owned(), most.clone()));
    assert_eq!(Evidence::parse(all.collect()).unwrap_err().field, "evidence");

    let edited = evidence("first").edited(parts("customer_name", "Ada")).unwrap();
    assert_eq!(edited.parts().len(), 2, "the others stay");
    let edited = edited.edited(parts("uncategorized_text", "")).unwrap();
    assert_eq!(edited.parts(), &parts("customer_name", "Ada"), "an empty text removes a part");
    let gathered = Evidence::parse(parts("customer_name", "a customer")).unwrap();
    assert_eq!(edited.clone().over(gathered), edited, "what a person wrote wins");
    assert!(Evidence::default().is_empty());
}

/// What happens to a payment after it was captured.
#[derive(Debug, Clone)]
enum Act {
    Open(DisputeSighting),
    See(Index, DisputeSighting),
    Refund(u64),
}

fn any_sighting() -> impl Strategy<Value = DisputeSighting> {
    let amounts = prop_oneof![3 => 1..=2 * CAPTURED, 1 => Just(CAPTURED)];
    (prop::sample::select(statuses()), 0_i64..4, amounts).prop_map(|(status, second, minor)| {
        DisputeSighting { amount: usd(minor), ..sighting(status, second) }
    })
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        any_sighting().prop_map(Act::Open),
        (any::<Index>(), any_sighting()).prop_map(|(index, seen)| Act::See(index, seen)),
        (1..=CAPTURED).prop_map(Act::Refund),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Messages of one second that agree about the status are told apart by a look, which is finer.
    ///
    /// Covers: I11, I22, I30, fault 32, fault 33, O-2, O-5.
    #[test]
    fn sightings_converge_in_any_order_with_any_repetition(
        told in prop::collection::vec((prop::sample::select(statuses()), 0_i64..4), 1..6).prop_flat_map(|told| {
            (Just(told.clone()), Just(told).prop_shuffle())
        }),
        repeated in prop::collection::vec(any::<Index>(), 0..4),
    ) {
        let (one, other) = told;
        let again: Vec<_> = repeated.iter().map(|index| index.get(&one).clone()).collect();
        let told = |looks: Vec<(DisputeStatus, i64)>| {
            let mut looks = looks.into_iter().map(|(status, second)| sighting(status, second));
            let first = opened(1, looks.next().unwrap()).after().clone();
            looks.fold(first, |dispute, seen| stepped(&dispute, DisputeEvent::Seen(seen))).seen
        };
        prop_assert_eq!(told(one), told(other.into_iter().chain(again).collect()));
    }

    /// Covers: I3, fault 145, fault 146, fault 148, X-2.
    #[test]
    fn a_payment_counts_what_its_disputes_withhold_and_never_offers_it_twice(
        acts in prop::collection::vec(any_act(), 1..15),
    ) {
        let (mut payment, mut disputes) = (captured(), Vec::<Dispute>::new());
        for (number, act) in acts.into_iter().enumerate() {
            match act {
                Act::Open(seen) => {
                    let birth = opened(number as u128, seen);
                    payment = after(&payment, payment.follow_dispute(&birth).unwrap());
                    disputes.push(birth.after().clone());
                }
                Act::See(_, _) if disputes.is_empty() => {}
                Act::See(index, seen) => {
                    let at = index.index(disputes.len());
                    let dispute = &mut disputes[at];
                    if let Applied::Moved(step) = dispute.apply(DisputeEvent::Seen(seen)).unwrap() {
                        payment = after(&payment, payment.follow_dispute(&step).unwrap());
                        *dispute = step.after().clone();
                    }
                }
                Act::Refund(minor) => {
                    let (id, reason) = (crate::RefundId::from_uuid(Uuid::from_u128(1)), RefundReason::Goodwill);
                    let draft = RefundDraft { id, amount: usd(minor), reason, note: None, created_at: NOW };
                    // As the use case does: no more than can be refunded.
                    if minor <= payment.refundable().minor() {
                        let birth = crate::Refund::request(&payment, draft);
                        payment = after(&payment, payment.follow_refund(&birth).unwrap());
                    }
                }
            }
            let withheld: u64 = disputes.iter().map(|dispute| dispute.withheld().minor()).sum();
            prop_assert_eq!(payment.disputed.minor(), withheld, "also more than was captured");
            let blocking = disputes.iter().filter(|dispute| dispute.blocks_refunds()).count();
            prop_assert_eq!(payment.disputes_blocking as usize, blocking);
            prop_assert!(payment.refunded.minor() <= CAPTURED);
            let left = CAPTURED.saturating_sub(payment.refunded.minor() + withheld);
            prop_assert_eq!(payment.refundable().minor(), left);
        }
    }
}

/// Covers: fault 153, fault 160, I8.
#[test]
fn a_dispute_in_another_currency_or_beyond_all_bounds_is_refused_not_miscounted() {
    let payment = captured();
    let eur = Money::from_minor(1, "eur".parse().unwrap()).unwrap();
    let foreign = DisputeSighting { amount: eur, ..sighting(DisputeStatus::Lost, 0) };
    assert!(payment.follow_dispute(&opened(1, foreign)).is_err());
    let most = usd(i64::MAX.unsigned_abs());
    let vast = |number| opened(number, DisputeSighting { amount: most, ..sighting(DisputeStatus::Lost, 0) });
    let payment = after(&payment, payment.follow_dispute(&vast(1)).unwrap());
    assert_eq!((payment.disputed, payment.refundable()), (most, usd(0)));
    assert!(payment.follow_dispute(&vast(2)).is_err());
}
