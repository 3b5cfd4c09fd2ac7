use paywright_domain::{
    Mode, OrderId,
    ports::{Balance, Booked},
};
use serde::Serialize;
use time::Date;
use utoipa::ToSchema;

use super::rfc3339;
use crate::{
    http::openapi::words,
    report::{Sums, difference},
};

/// What was booked of an order. Amounts are in minor units of their currency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderReport)]
pub struct OrderReportJson {
    #[schema(schema_with = words::order_report)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    #[schema(value_type = words::OrderId)]
    order: String,
    /// Whether all accounts together are zero, in every currency.
    balanced: bool,
    /// Oldest first.
    entries: Vec<LedgerEntryJson>,
    totals: Vec<CurrencyTotalsJson>,
}

/// What was booked on a day in UTC. Amounts are in minor units of their currency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DayReport)]
pub struct DayReportJson {
    #[schema(schema_with = words::day_report)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    #[schema(format = "date", examples("2026-11-21"))]
    day: String,
    /// Whether all accounts together are zero, in every currency.
    balanced: bool,
    /// How many movements of money, each of one line of the ledger or more.
    movements: u64,
    /// How many lines.
    entries: u64,
    totals: Vec<CurrencyTotalsJson>,
}

/// A line of the ledger: `amount` goes from the account `credit` to the account `debit`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerEntry)]
struct LedgerEntryJson {
    /// When it moved, by Stripe's clock if Stripe told.
    #[schema(format = DateTime)]
    date: String,
    #[schema(examples("capture"))]
    movement: String,
    #[schema(value_type = words::PaymentId)]
    payment: String,
    #[schema(examples("clearing"))]
    debit: String,
    #[schema(examples("sales"))]
    credit: String,
    #[schema(minimum = 1)]
    amount: u64,
    #[schema(value_type = words::Currency)]
    currency: String,
    /// Stripe's balance transaction, if one told it.
    #[schema(required)]
    transaction: Option<String>,
    /// What makes it one movement: the lines of a movement share it.
    key: String,
}

/// One currency's accounts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CurrencyTotals)]
struct CurrencyTotalsJson {
    #[schema(value_type = words::Currency)]
    currency: String,
    /// What all accounts got together, less what they gave: zero.
    balance: i64,
    accounts: Vec<AccountTotalsJson>,
}

/// What an account got, and gave.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountTotals)]
struct AccountTotalsJson {
    #[schema(examples("gateway_balance"))]
    account: String,
    #[schema(minimum = 0)]
    debit: i64,
    #[schema(minimum = 0)]
    credit: i64,
    /// What it got, less what it gave.
    balance: i64,
}

impl OrderReportJson {
    /// An order's lines with their sums.
    pub fn new(mode: Mode, order: OrderId, lines: &[Booked], sums: &Sums) -> Self {
        Self {
            object: "order_report",
            mode: mode.to_string(),
            order: order.to_string(),
            balanced: sums.is_balanced(),
            entries: lines.iter().map(LedgerEntryJson::new).collect(),
            totals: CurrencyTotalsJson::all(sums),
        }
    }
}

impl DayReportJson {
    /// A day's sums.
    pub fn new(mode: Mode, day: Date, sums: &Sums) -> Self {
        Self {
            object: "day_report",
            mode: mode.to_string(),
            day: day.to_string(),
            balanced: sums.is_balanced(),
            movements: sums.movements(),
            entries: sums.entries(),
            totals: CurrencyTotalsJson::all(sums),
        }
    }
}

impl LedgerEntryJson {
    fn new(line: &Booked) -> Self {
        Self {
            date: rfc3339(line.at),
            movement: line.movement.to_string(),
            // The lines of an order all have one.
            payment: line.payment.map(|id| id.to_string()).unwrap_or_default(),
            debit: line.entry.debit.to_string(),
            credit: line.entry.credit.to_string(),
            amount: line.entry.amount.minor(),
            currency: line.entry.amount.currency().to_string(),
            transaction: line.transaction.as_ref().map(ToString::to_string),
            key: line.key.clone(),
        }
    }
}

impl CurrencyTotalsJson {
    fn all(sums: &Sums) -> Vec<Self> {
        let total = |(currency, accounts): (paywright_domain::Currency, Vec<Balance>)| Self {
            currency: currency.to_string(),
            balance: difference(&accounts),
            accounts: accounts.iter().map(AccountTotalsJson::new).collect(),
        };
        sums.currencies().into_iter().map(total).collect()
    }
}

impl AccountTotalsJson {
    fn new(balance: &Balance) -> Self {
        Self {
            account: balance.account.to_string(),
            debit: balance.debit,
            credit: balance.credit,
            balance: balance.debit - balance.credit,
        }
    }
}
