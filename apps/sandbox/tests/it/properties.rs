//! Properties of the model under arbitrary input.

use std::collections::BTreeMap;

use paywright_sandbox::model::balance_transaction;
use paywright_sandbox::model::by_hand::ByHand;
use paywright_sandbox::model::charge::ChargeStatus;
use paywright_sandbox::model::checkout_session::{Authenticate, PayDetails};
use paywright_sandbox::model::control::ClockCommand;
use paywright_sandbox::model::dispute::DisputeStatus;
use paywright_sandbox::model::refund::RefundStatus;
use paywright_sandbox::model::table::{Row, Table};
use paywright_sandbox::model::world::World;
use paywright_sandbox::model::{Control, Input, Method, Mode, Model, Request, Time, cards, form};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Something that a merchant, a customer or the calendar does.
#[derive(Clone, Debug)]
enum Act {
    Create {
        amount: i64,
        card: usize,
        manual: bool,
        key: Option<u8>,
    },
    Capture {
        which: usize,
        amount: i64,
    },
    Cancel {
        which: usize,
    },
    Refund {
        which: usize,
        amount: i64,
        key: Option<u8>,
    },
    Confirm {
        which: usize,
        card: usize,
    },
    Authenticate {
        which: usize,
        passes: bool,
    },
    Contest {
        which: usize,
        wins: bool,
    },
    /// Someone acts apart from the API.
    ByHand {
        which: usize,
        deed: usize,
    },
    Account {
        waits: bool,
        converts: bool,
    },
    Wait {
        seconds: i64,
    },
}

/// What is done by hand, and to what.
const DEEDS: &[(&str, &str)] = &[
    ("pi", r#"{"refund": {"amount": 300}}"#),
    ("pi", r#"{"capture": {}}"#),
    ("pi", r#"{"dispute": {}}"#),
    ("pi", r#"{"dispute": {"status": "warning_needs_response", "amount": 200}}"#),
    ("re", r#"{"fail_refund": {}}"#),
    ("re", r#""settle_refund""#),
    ("du", r#""escalate""#),
    ("du", r#"{"decide": {"status": "won"}}"#),
    ("du", r#"{"decide": {"status": "lost"}}"#),
    ("du", r#"{"decide": {"status": "prevented"}}"#),
];

fn acts() -> impl Strategy<Value = Act> {
    let card = 0..cards::CARDS.len();
    let key = || proptest::option::weighted(0.3, 0..4_u8);
    prop_oneof![
        4 => (50..5_000_i64, card.clone(), any::<bool>(), key())
            .prop_map(|(amount, card, manual, key)| Act::Create { amount, card, manual, key }),
        2 => (0..8_usize, 0..6_000_i64).prop_map(|(which, amount)| Act::Capture { which, amount }),
        1 => (0..8_usize).prop_map(|which| Act::Cancel { which }),
        3 => (0..8_usize, 0..3_000_i64, key()).prop_map(|(which, amount, key)| Act::Refund { which, amount, key }),
        1 => (0..8_usize, card).prop_map(|(which, card)| Act::Confirm { which, card }),
        1 => (0..8_usize, any::<bool>()).prop_map(|(which, passes)| Act::Authenticate { which, passes }),
        1 => (0..4_usize, any::<bool>()).prop_map(|(which, wins)| Act::Contest { which, wins }),
        3 => (0..8_usize, 0..DEEDS.len()).prop_map(|(which, deed)| Act::ByHand { which, deed }),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(waits, converts)| Act::Account { waits, converts }),
        1 => (0..700_000_i64).prop_map(|seconds| Act::Wait { seconds }),
    ]
}

fn world(model: &Model) -> &World {
    model.world(Mode::Test)
}

fn intent(model: &Model, which: usize) -> String {
    let intents = &world(model).payment_intents;
    intents.at(which % intents.len().max(1)).map_or("pi_none".to_owned(), |intent| intent.id.clone())
}

fn named<T: Row>(table: &Table<T>, which: usize) -> String {
    table.at(which % table.len().max(1)).map_or("none_1".to_owned(), |row| row.id().to_owned())
}

fn input(model: &Model, act: &Act) -> Input {
    let post = |path: String, body: String, key: Option<u8>| {
        let request = Request::new(Method::Post, path).key("sk_test_1").form(body);
        let request = match key {
            Some(key) => request.idempotent(&key.to_string()),
            None => request,
        };
        Input::Request { request, fault: None }
    };
    let card = |card: usize| cards::CARDS[card].number.to_owned();
    match act {
        Act::Create { amount, card, manual, key } => {
            let token = cards::CARDS[*card].tokens.first().unwrap_or(&"pm_card_visa");
            let method = if *manual { "&capture_method=manual" } else { "" };
            let body = format!("amount={amount}&currency=usd&confirm=true&payment_method={token}{method}");
            post("/v1/payment_intents".to_owned(), body, *key)
        }
        Act::Capture { which, amount } => {
            let path = format!("/v1/payment_intents/{}/capture", intent(model, *which));
            post(path, format!("amount_to_capture={amount}"), None)
        }
        Act::Cancel { which } => {
            post(format!("/v1/payment_intents/{}/cancel", intent(model, *which)), String::new(), None)
        }
        Act::Refund { which, amount, key } => {
            let body = format!("payment_intent={}&amount={amount}", intent(model, *which));
            post("/v1/refunds".to_owned(), body, *key)
        }
        Act::Confirm { which, card: one } => Input::Control(Control::PayIntent {
            intent: intent(model, *which),
            details: PayDetails { card: card(*one), ..PayDetails::default() },
        }),
        Act::Authenticate { which, passes } => Input::Control(Control::Authenticate {
            intent: intent(model, *which),
            outcome: if *passes { Authenticate::Complete } else { Authenticate::Fail },
        }),
        Act::Contest { which, wins } => {
            let id = named(&world(model).disputes, *which);
            let text = if *wins { "winning_evidence" } else { "losing_evidence" };
            post(format!("/v1/disputes/{id}"), format!("evidence[uncategorized_text]={text}"), None)
        }
        Act::ByHand { which, deed } => {
            let (kind, deed) = DEEDS[*deed];
            let id = match kind {
                "pi" => intent(model, *which),
                "re" => named(&world(model).refunds, *which),
                _ => named(&world(model).disputes, *which),
            };
            Input::Control(Control::ByHand(ByHand { id, deed: serde_json::from_str(deed).unwrap() }))
        }
        Act::Account { waits, converts } => Input::Control(Control::Account(json!({
            "refunds_wait_for_balance": waits,
            "settlement_currency": if *converts { "eur" } else { "usd" },
            "exchange_rates": {"usd": "0.913"},
        }))),
        Act::Wait { seconds } => {
            Input::Control(Control::Clock(ClockCommand::Advance { millis: seconds * 1_000 }))
        }
    }
}

fn check(model: &Model) {
    let world = world(model);
    for charge in world.charges.iter() {
        assert!(charge.amount_refunded <= charge.amount_captured, "{charge:?}");
        assert!(charge.amount_captured <= charge.amount, "{charge:?}");
        let refunds = charge.refunds.iter().filter_map(|id| world.refunds.get(id));
        let standing = refunds.filter(|refund| refund.status != RefundStatus::Failed);
        assert_eq!(charge.amount_refunded, standing.map(|refund| refund.amount).sum::<i64>());
        assert!(charge.amount_refunded >= 0 && (charge.captured || charge.amount_captured == 0));
    }
    for intent in world.payment_intents.iter() {
        let succeeded = intent.charges.iter().filter_map(|id| world.charges.get(id));
        let taken = succeeded.filter(|charge| charge.status == ChargeStatus::Succeeded).count();
        assert!(taken <= 1, "an intent was charged twice: {intent:?}");
    }
    for refund in world.refunds.iter().filter(|refund| refund.waits_for_balance) {
        assert_eq!(refund.status, RefundStatus::Pending);
        assert!(!balance_transaction::covers(world, refund.amount, &refund.currency), "{refund:?}");
    }
    for dispute in world.disputes.iter() {
        let withheld = matches!(
            dispute.status,
            DisputeStatus::NeedsResponse | DisputeStatus::UnderReview | DisputeStatus::Lost
        );
        assert_eq!(dispute.balance_transactions.len() % 2 == 1, withheld, "{dispute:?}");
    }
    let mut sums = BTreeMap::<&str, i64>::new();
    for row in world.balance_transactions.iter() {
        *sums.entry(&row.currency).or_default() += row.net();
    }
    for (currency, amounts) in &world.balance {
        assert_eq!(sums[currency.as_str()], amounts.available + amounts.pending, "{currency}");
    }
    for payout in world.payouts.iter().filter(|payout| payout.automatic) {
        let rows = world.balance_transactions.iter().filter(|row| row.payout.as_ref() == Some(&payout.id));
        let rows = rows.filter(|row| row.kind != "payout");
        assert_eq!(rows.map(|row| row.net()).sum::<i64>(), payout.amount);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Covers: I1, I3, fault 148, fault 158.
    #[test]
    fn money_is_never_made_or_lost(acts in prop::collection::vec(acts(), 1..40)) {
        let mut model = Model::default();
        for (step, act) in acts.iter().enumerate() {
            let input = input(&model, act);
            let answer = model.apply(&input, Time(i64::try_from(step).unwrap() * 1_000), 7);
            prop_assert!(answer.status < 500, "{input:?} {answer:?}");
            check(&model);
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_state_also_after_a_snapshot(acts in prop::collection::vec(acts(), 1..25)) {
        let (mut one, mut other) = (Model::default(), Model::default());
        for (step, act) in acts.iter().enumerate() {
            let input = input(&one, act);
            let wall = Time(i64::try_from(step).unwrap() * 1_000);
            let entropy = u64::try_from(step).unwrap();
            prop_assert_eq!(one.apply(&input, wall, entropy), other.apply(&input, wall, entropy));
            let snapshot = serde_json::to_string(&other).unwrap();
            other = serde_json::from_str(&snapshot).unwrap();
        }
        prop_assert_eq!(serde_json::to_value(&one).unwrap(), serde_json::to_value(&other).unwrap());
    }

    #[test]
    fn one_key_is_one_charge(amount in 50..9_999_i64, times in 2..6_usize) {
        let mut model = Model::default();
        let body = format!("amount={amount}&currency=usd&confirm=true&payment_method=pm_card_visa");
        let request = Request::new(Method::Post, "/v1/payment_intents").key("sk_test_1").form(body).idempotent("k");
        let input = Input::Request { request, fault: None };
        let first = model.apply(&input, Time(0), 1).body;
        for step in 1..times {
            let again = model.apply(&input, Time(i64::try_from(step).unwrap()), 2);
            prop_assert_eq!(&again.body, &first);
        }
        prop_assert_eq!(world(&model).charges.len(), 1);
    }

    #[test]
    fn any_form_is_parsed_or_refused(source in "[a-z\\[\\]%&=+0-9\u{e9}]{0,200}") {
        if let Ok(tree) = form::parse(&[&source]) {
            let mut canonical = String::new();
            form::canonical(&tree, &mut canonical);
        }
    }

    #[test]
    fn any_request_is_answered_in_stripes_shape(
        post in any::<bool>(),
        path in prop_oneof![
            "(/v1/[a-z_]{0,16}){1,3}",
            Just("/v1/payment_intents".to_owned()),
            Just("/v1/checkout/sessions".to_owned()),
            Just("/v1/refunds".to_owned()),
            Just("/v1/subscriptions".to_owned()),
            "\\PC{0,40}",
        ],
        query in "\\PC{0,60}",
        body in prop_oneof!["\\PC{0,120}", "(amount|currency|limit|expand\\[\\]|metadata\\[a\\]|line_items\\[0\\]\\[quantity\\])=[-a-z0-9]{0,24}(&(amount|currency|mode|items\\[0\\])=[-a-z0-9]{0,9}){0,3}"],
        key in prop_oneof![Just(Some("sk_test_1".to_owned())), Just(None), "\\PC{0,30}".prop_map(Some)],
        version in proptest::option::of("\\PC{0,20}"),
    ) {
        let request = Request {
            query,
            body,
            api_key: key,
            stripe_version: version,
            ..Request::new(if post { Method::Post } else { Method::Get }, path)
        };
        let mut model = Model::default();
        let answer = model.apply(&Input::Request { request, fault: None }, Time(0), 1);
        prop_assert!(answer.status < 500);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        if answer.status >= 400 {
            prop_assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string());
        }
    }
}
