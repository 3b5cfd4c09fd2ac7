//! The gateway's balance: what a movement of money does to it, and what the gateway keeps.

use paywright_domain::{BalanceTransaction, Currency, IntentId, Money};
use time::OffsetDateTime;

use super::model::Model;

/// How captures reach the balance.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Balance {
    /// Whether a capture is booked only when a test says so.
    pub(super) late: bool,
    /// The balance's currency and its units for a thousand of the customer's, if it is another one.
    pub(super) foreign: Option<(Currency, u32)>,
}

/// What is kept of a capture beside 2.9 %.
const FEE_FIXED: i64 = 30;
/// What a dispute costs, whatever comes of it.
const DISPUTE_FEE: i64 = 1500;

impl Model {
    /// Books the capture of an intent, unless it is booked.
    pub(super) fn settle(&mut self, id: &IntentId, now: OffsetDateTime) {
        let intent = self.intent(id).expect("no such intent");
        if intent.settlement.is_some() {
            return;
        }
        let taken = Money::from_minor(intent.captured, intent.amount.currency()).unwrap();
        let mut moved = self.moved(taken, 1, now);
        moved.fee = (moved.amount * 29 + 500) / 1000 + FEE_FIXED;
        self.intent_mut(id).unwrap().settlement = Some(moved);
    }

    /// A movement of `money` into the balance, or out of it.
    pub(super) fn moved(&mut self, money: Money, sign: i64, at: OffsetDateTime) -> BalanceTransaction {
        let minor = i64::try_from(money.minor()).unwrap();
        let (amount, currency) = match self.balance.foreign {
            Some((currency, per_thousand)) => (minor * i64::from(per_thousand) / 1000, currency),
            None => (minor, money.currency()),
        };
        let id = self.name("txn").try_into().unwrap();
        BalanceTransaction { id, amount: sign * amount, fee: 0, currency, at }
    }

    /// A dispute takes its amount, and costs.
    pub(super) fn withdrawn(&mut self, money: Money, at: OffsetDateTime) -> BalanceTransaction {
        BalanceTransaction { fee: DISPUTE_FEE, ..self.moved(money, -1, at) }
    }
}
