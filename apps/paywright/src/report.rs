//! Reports from the ledger: what was booked, its sums, and both as CSV. A day is read in pages, however long it is.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use paywright_domain::{
    Account, Currency, Mode,
    ports::{Balance, Booked, Reader, StoreError},
};
use paywright_postgres::Postgres;
use time::{Date, OffsetDateTime, UtcOffset};

use crate::http::present::rfc3339;

/// The most lines that are read at once.
const PAGE: u32 = 1_000;
/// The columns of a CSV report.
const COLUMNS: [&str; 10] =
    ["date", "movement", "order", "payment", "debit", "credit", "amount", "currency", "transaction", "key"];

/// The lines of one day in UTC, a page at a time.
pub struct Day {
    store: Postgres,
    mode: Mode,
    from: OffsetDateTime,
    before: OffsetDateTime,
    after: Option<i64>,
    ended: bool,
}

impl Day {
    /// Nothing of it was read yet.
    pub fn new(store: Postgres, mode: Mode, date: Date) -> Self {
        let midnight = |date: Date| date.midnight().assume_offset(UtcOffset::UTC);
        // After the last day of the calendar comes nothing.
        let before = date.next_day().map_or(midnight(Date::MAX), midnight);
        Self { store, mode, from: midnight(date), before, after: None, ended: false }
    }

    /// The next lines, oldest first; `None` after the last.
    ///
    /// # Errors
    /// Those of the store; the same page can be asked for again.
    pub async fn next(&mut self) -> Result<Option<Vec<Booked>>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let lines = self.store.ledger(self.mode, self.from, self.before, self.after, PAGE).await?;
        self.after = lines.last().map(|line| line.id).or(self.after);
        self.ended = u32::try_from(lines.len()).is_ok_and(|count| count < PAGE);
        Ok(Some(lines))
    }

    /// The sums of all lines.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sums(mut self) -> Result<Sums, StoreError> {
        let mut sums = Sums::default();
        while let Some(lines) = self.next().await? {
            sums.add(&lines);
        }
        Ok(sums)
    }
}

/// What the accounts got and gave.
#[derive(Debug, Default)]
pub struct Sums {
    sides: BTreeMap<(Currency, Account), (i64, i64)>,
    entries: u64,
    movements: u64,
    // Of the newest page: the lines of one movement are booked together, so none reaches further than over one border.
    keys: HashSet<String>,
}

impl Sums {
    /// The sums of these lines.
    pub fn of(lines: &[Booked]) -> Self {
        let mut sums = Self::default();
        sums.add(lines);
        sums
    }

    /// Adds a page. Each line is written to both of its accounts.
    pub fn add(&mut self, page: &[Booked]) {
        for line in page {
            let entry = &line.entry;
            let (currency, minor) = (entry.amount.currency(), entry.amount.minor().cast_signed());
            let debit = &mut self.sides.entry((currency, entry.debit)).or_default().0;
            *debit = debit.saturating_add(minor);
            let credit = &mut self.sides.entry((currency, entry.credit)).or_default().1;
            *credit = credit.saturating_add(minor);
            self.entries += 1;
        }
        let keys: HashSet<String> = page.iter().map(|line| line.key.clone()).collect();
        self.movements += keys.difference(&self.keys).count() as u64;
        self.keys = keys;
    }

    /// How many lines.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How many movements of money, each of one line or more.
    pub fn movements(&self) -> u64 {
        self.movements
    }

    /// Each currency with its accounts.
    pub fn currencies(&self) -> BTreeMap<Currency, Vec<Balance>> {
        let mut currencies: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (&(currency, account), &(debit, credit)) in &self.sides {
            currencies.entry(currency).or_default().push(Balance { account, currency, debit, credit });
        }
        currencies
    }

    /// Whether all accounts together are zero, in every currency.
    pub fn is_balanced(&self) -> bool {
        self.currencies().values().all(|accounts| difference(accounts) == 0)
    }
}

/// What accounts of one currency got together, less what they gave.
pub fn difference(accounts: &[Balance]) -> i64 {
    accounts.iter().map(|one| one.debit - one.credit).sum()
}

/// Lines as CSV.
///
/// # Errors
/// None that can happen: it is written to memory.
pub fn csv(lines: &[Booked], with_columns: bool) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if with_columns {
        writer.write_record(COLUMNS)?;
    }
    for line in lines {
        let entry = &line.entry;
        let cells = [
            rfc3339(line.at),
            line.movement.to_string(),
            line.order.map(|id| id.to_string()).unwrap_or_default(),
            line.payment.map(|id| id.to_string()).unwrap_or_default(),
            entry.debit.to_string(),
            entry.credit.to_string(),
            entry.amount.minor().to_string(),
            entry.amount.currency().to_string(),
            line.transaction.as_ref().map(ToString::to_string).unwrap_or_default(),
            line.key.clone(),
        ];
        writer.write_record(cells.iter().map(|cell| harmless(cell).into_owned()))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Every cell is an id, a word, a time or a positive number, which no spreadsheet takes for a formula. Ids come from
/// Stripe, so one that begins like a formula is made text all the same.
fn harmless(cell: &str) -> Cow<'_, str> {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

#[cfg(test)]
mod tests {
    use paywright_domain::{LedgerEntry, Money, Movement, OrderId, PaymentId, TransactionId};
    use time::macros::datetime;

    use super::*;

    fn line(id: i64, key: &str, debit: Account, credit: Account, minor: u64, currency: &str) -> Booked {
        let currency = currency.parse().unwrap();
        Booked {
            id,
            key: key.to_owned(),
            movement: Movement::Capture,
            order: Some(OrderId::from_uuid(uuid::Uuid::nil())),
            payment: Some(PaymentId::from_uuid(uuid::Uuid::nil())),
            transaction: TransactionId::try_from("txn_1".to_owned()).ok(),
            at: datetime!(2026-11-21 12:00 UTC),
            entry: LedgerEntry { debit, credit, amount: Money::from_minor(minor, currency).unwrap() },
        }
    }

    #[test]
    fn movements_are_counted_once_over_the_border_of_a_page() {
        let mut sums = Sums::default();
        sums.add(&[
            line(1, "capture:1", Account::Clearing, Account::Sales, 1999, "usd"),
            line(2, "txn_1", Account::GatewayBalance, Account::Clearing, 1911, "usd"),
        ]);
        sums.add(&[
            line(3, "txn_1", Account::Fees, Account::Clearing, 88, "usd"),
            line(4, "capture:2", Account::Clearing, Account::Sales, 500, "jpy"),
        ]);
        assert_eq!((sums.entries(), sums.movements()), (4, 3));
        assert!(sums.is_balanced());
        let currencies = sums.currencies();
        let jpy = &currencies[&"jpy".parse().unwrap()];
        assert_eq!(jpy.iter().map(|one| (one.debit, one.credit)).collect::<Vec<_>>(), [(0, 500), (500, 0)]);
        let usd = &currencies[&"usd".parse().unwrap()];
        let clearing = usd.iter().find(|one| one.account == Account::Clearing).unwrap();
        assert_eq!((clearing.debit, clearing.credit), (1999, 1999));
        assert_eq!(difference(usd), 0);
        assert_ne!(difference(&usd[1..]), 0);
    }

    /// Covers: S-6.
    #[test]
    fn a_payout_is_a_line_of_no_order() {
        let mut payout = line(1, "payout:po_1", Account::Bank, Account::GatewayBalance, 3852, "usd");
        (payout.movement, payout.order, payout.payment, payout.transaction) =
            (Movement::Payout, None, None, None);
        let text = String::from_utf8(csv(&[payout], false).unwrap()).unwrap();
        assert_eq!(text, "2026-11-21T12:00:00Z,payout,,,bank,gateway_balance,3852,usd,,payout:po_1\n");
    }

    #[test]
    fn no_cell_is_a_formula() {
        let mut hostile = line(1, "=HYPERLINK(1)", Account::Clearing, Account::Sales, 1999, "usd");
        hostile.transaction = TransactionId::try_from("-txn".to_owned()).ok();
        let text = String::from_utf8(csv(&[hostile], true).unwrap()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], COLUMNS.join(","));
        assert_eq!(
            lines[1],
            "2026-11-21T12:00:00Z,capture,ord_00000000000000000000000000,pay_00000000000000000000000000,clearing,\
             sales,1999,usd,'-txn,'=HYPERLINK(1)"
        );
        for cell in ["=1", "+1", "-1", "@a", "\ta", "\ra"] {
            assert_eq!(harmless(cell), format!("'{cell}"));
        }
        assert_eq!(harmless("txn_1"), "txn_1");
    }
}
