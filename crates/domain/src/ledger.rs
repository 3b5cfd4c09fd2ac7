//! The ledger: every movement of money as entries that each take from one account what they give to another, so that
//! the sum over all accounts is zero in every currency whatever is written.

use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use time::OffsetDateTime;

use crate::{Currency, Mode, Money, OrderId, Payment, PaymentId, Refund, TransactionId, ports::Payout};

/// Where money stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumIter, EnumString, IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum Account {
    /// Sold to customers.
    Sales,
    /// Given back to customers.
    Refunds,
    /// Taken back by issuers.
    Disputes,
    /// Kept by the gateway.
    Fees,
    /// Moved at the gateway, and not yet seen in its balance. Zero once everything is explained.
    Clearing,
    /// What the gateway holds for us.
    GatewayBalance,
    /// Our bank account.
    Bank,
    /// The two sides of a conversion between the customer's currency and the gateway balance's.
    Exchange,
}

/// What an entry is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumIter, EnumString, IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum Movement {
    /// Money was taken.
    Capture,
    /// Money is on its way back.
    Refund,
    /// A refund came back.
    RefundFailed,
    /// A dispute took money, or gave it back.
    Dispute,
    /// The gateway's balance followed.
    Settlement,
    /// The gateway sent money to our bank, or took some.
    Payout,
    /// A payout came back.
    PayoutFailed,
}

/// A movement of the gateway's balance. Amounts are minor units of `currency`, which need not be the customer's, and
/// negative when they leave the balance.
///
/// Source: <https://docs.stripe.com/api/balance_transactions/object>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceTransaction {
    /// The gateway's name for it.
    pub id: TransactionId,
    /// Before fees.
    pub amount: i64,
    /// What the gateway kept; the balance moved by `amount - fee`.
    pub fee: i64,
    /// The balance's currency.
    pub currency: Currency,
    /// When.
    pub at: OffsetDateTime,
}

impl BalanceTransaction {
    /// Whether the balance is as it was before.
    pub fn moves_nothing(&self) -> bool {
        self.amount == 0 && self.fee == 0
    }
}

/// One line: `amount` goes from `credit` to `debit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The account that gets it.
    pub debit: Account,
    /// The account that it comes from.
    pub credit: Account,
    /// How much; never zero.
    pub amount: Money,
}

/// The entries of one movement, booked once however often it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// What makes it one movement: `capture:pay_...:1999`, or the balance transaction's id.
    pub key: String,
    /// What it is.
    pub movement: Movement,
    /// Test or live: whose books.
    pub mode: Mode,
    /// The order it belongs to. A payout belongs to none.
    pub order: Option<OrderId>,
    /// The payment it belongs to. A payout belongs to none.
    pub payment: Option<PaymentId>,
    /// The balance transaction that told it, if one did.
    pub transaction: Option<TransactionId>,
    /// When, by the gateway's clock if it told, else by ours.
    pub at: OffsetDateTime,
    /// The lines.
    pub entries: Vec<LedgerEntry>,
}

impl Journal {
    /// The money that a payment has now taken beyond `before`; `None` when that is nothing.
    pub fn captured(before: &Payment, after: &Payment, at: OffsetDateTime) -> Option<Self> {
        let amount = after.captured.minus(before.captured).ok().filter(|amount| !amount.is_zero())?;
        let key = format!("capture:{}:{}", after.id, after.captured.minor());
        Some(Self::new(
            key,
            Movement::Capture,
            after,
            at,
            vec![entry(Account::Clearing, Account::Sales, amount)],
        ))
    }

    /// What the capture moved in the gateway's balance.
    pub fn settled(payment: &Payment, moved: &BalanceTransaction) -> Self {
        let entries = settle(payment.captured, moved, 1);
        Self::of_transaction(Movement::Settlement, payment, moved, entries)
    }

    /// A refund that the gateway accepted.
    pub fn refunded(payment: &Payment, refund: &Refund, at: OffsetDateTime) -> Self {
        let entries = vec![entry(Account::Refunds, Account::Clearing, refund.amount)];
        Self::new(format!("refund:{}", refund.id), Movement::Refund, payment, at, entries)
    }

    /// A refund that the gateway had accepted and that came back.
    pub fn refund_failed(payment: &Payment, refund: &Refund, at: OffsetDateTime) -> Self {
        let entries = vec![entry(Account::Clearing, Account::Refunds, refund.amount)];
        Self::new(format!("refund_failed:{}", refund.id), Movement::RefundFailed, payment, at, entries)
    }

    /// What a refund, or its coming back, moved in the gateway's balance.
    pub fn refund_settled(payment: &Payment, refund: &Refund, moved: &BalanceTransaction) -> Self {
        let comes_back = refund.reversal.as_ref() == Some(&moved.id);
        let entries = settle(refund.amount, moved, if comes_back { 1 } else { -1 });
        Self::of_transaction(Movement::Settlement, payment, moved, entries)
    }

    /// What a dispute moved in the gateway's balance: a withdrawal, its reversal, a fee.
    pub fn disputed(payment: &Payment, moved: &BalanceTransaction) -> Self {
        let mut entries = Vec::new();
        between(&mut entries, Account::GatewayBalance, Account::Disputes, moved.amount, moved.currency);
        between(
            &mut entries,
            Account::GatewayBalance,
            Account::Fees,
            moved.fee.saturating_neg(),
            moved.currency,
        );
        Self::of_transaction(Movement::Dispute, payment, moved, entries)
    }

    /// What a payout moved between the gateway's balance and our bank; and what moved back when it failed.
    pub fn paid_out(mode: Mode, payout: &Payout) -> Vec<Self> {
        let (to, from) = if payout.taken {
            (Account::GatewayBalance, Account::Bank)
        } else {
            (Account::Bank, Account::GatewayBalance)
        };
        let journal = |movement: Movement, entry: LedgerEntry| Self {
            key: format!("{movement}:{}", payout.id),
            movement,
            mode,
            order: None,
            payment: None,
            transaction: None,
            at: payout.created_at,
            entries: vec![entry],
        };
        if payout.amount.is_zero() {
            return Vec::new();
        }
        let mut journals = vec![journal(Movement::Payout, entry(to, from, payout.amount))];
        if payout.has_failed() {
            journals.push(journal(Movement::PayoutFailed, entry(from, to, payout.amount)));
        }
        journals
    }

    fn of_transaction(
        movement: Movement,
        payment: &Payment,
        moved: &BalanceTransaction,
        entries: Vec<LedgerEntry>,
    ) -> Self {
        let journal = Self::new(moved.id.to_string(), movement, payment, moved.at, entries);
        Self { transaction: Some(moved.id.clone()), ..journal }
    }

    fn new(
        key: String,
        movement: Movement,
        payment: &Payment,
        at: OffsetDateTime,
        entries: Vec<LedgerEntry>,
    ) -> Self {
        let (mode, order, payment) = (payment.mode, Some(payment.order), Some(payment.id));
        Self { key, movement, mode, order, payment, transaction: None, at, entries }
    }
}

/// Moves `charged`, which waits in [`Account::Clearing`], to the gateway's balance and to its fees, in the direction of
/// `moved`. Where the balance has another currency, both sides meet in [`Account::Exchange`]; so little may be nothing
/// there, and goes in the `expected` direction.
fn settle(charged: Money, moved: &BalanceTransaction, expected: i64) -> Vec<LedgerEntry> {
    let mut entries = Vec::new();
    let source = if charged.currency() == moved.currency {
        Account::Clearing
    } else {
        let direction = if moved.amount == 0 { expected } else { moved.amount.signum() };
        let signed = i64::try_from(charged.minor()).unwrap_or(i64::MAX) * direction;
        between(&mut entries, Account::Exchange, Account::Clearing, signed, charged.currency());
        Account::Exchange
    };
    between(
        &mut entries,
        Account::GatewayBalance,
        source,
        moved.amount.saturating_sub(moved.fee),
        moved.currency,
    );
    between(&mut entries, Account::Fees, source, moved.fee, moved.currency);
    entries
}

/// A positive amount goes from `credit` to `debit`, a negative one back.
fn between(entries: &mut Vec<LedgerEntry>, debit: Account, credit: Account, amount: i64, currency: Currency) {
    let Ok(money) = Money::from_minor(amount.unsigned_abs(), currency) else { return };
    match amount.signum() {
        1 => entries.push(entry(debit, credit, money)),
        -1 => entries.push(entry(credit, debit, money)),
        _ => {}
    }
}

fn entry(debit: Account, credit: Account, amount: Money) -> LedgerEntry {
    LedgerEntry { debit, credit, amount }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
