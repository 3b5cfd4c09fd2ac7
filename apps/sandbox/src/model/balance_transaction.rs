//! Balance transactions: every movement of our balance at Stripe, with its fee.
//!
//! Source: <https://docs.stripe.com/api/balance_transactions>,
//! <https://docs.stripe.com/reports/reporting-categories>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::account::Rate;
use super::context::Context;
use super::error::ApiResult;
use super::list::{self, Page};
use super::params::Params;
use super::refund;
use super::table::Row;
use super::time::{DAY, Time};
use super::timers::Due;
use super::world::World;

/// How long money stays pending.
pub const PENDING_SECONDS: i64 = 2 * DAY;
/// The fee of a dispute in an account of the United States. Source: <https://stripe.com/pricing>.
pub const DISPUTE_FEE: i64 = 1_500;

/// 2.9 % and 30 minor units, rounded half up. Source: <https://stripe.com/pricing>.
pub fn charge_fee(amount: i64) -> i64 {
    (amount.saturating_mul(29) + 500) / 1_000 + 30
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BalanceTransaction {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub fee: i64,
    pub currency: String,
    pub available_on: i64,
    pub available: bool,
    #[serde(rename = "type")]
    pub kind: String,
    pub reporting_category: String,
    pub source: String,
    pub description: Option<String>,
    /// The automatic payout that paid it out.
    pub payout: Option<String>,
    /// From the currency of what it is about to its own.
    #[serde(default)]
    exchange_rate: Option<Rate>,
}

/// What Stripe takes for a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fee {
    None,
    /// A share of the settled amount.
    Charge,
    /// Of the settlement currency.
    Fixed(i64),
}

/// What is to be booked.
pub struct Entry {
    pub amount: i64,
    pub currency: String,
    pub fee: Fee,
    pub kind: &'static str,
    pub reporting_category: &'static str,
    pub source: String,
    pub description: Option<String>,
    pub available_at_once: bool,
}

impl Row for BalanceTransaction {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl BalanceTransaction {
    pub fn net(&self) -> i64 {
        self.amount - self.fee
    }

    pub fn render(&self) -> Value {
        let fee_details = match self.fee {
            0 => json!([]),
            fee => json!([{
                "amount": fee,
                "application": null,
                "currency": self.currency,
                "description": if self.kind == "adjustment" { "Dispute fee" } else { "Stripe processing fees" },
                "type": "stripe_fee",
            }]),
        };
        json!({
            "id": self.id,
            "object": "balance_transaction",
            "amount": self.amount,
            "available_on": self.available_on,
            "balance_type": "payments",
            "created": self.created,
            "currency": self.currency,
            "description": self.description,
            "exchange_rate": self.exchange_rate.map(Rate::render),
            "fee": self.fee,
            "fee_details": fee_details,
            "net": self.net(),
            "reporting_category": self.reporting_category,
            "source": self.source,
            "status": if self.available { "available" } else { "pending" },
            "type": self.kind,
        })
    }
}

/// Money of one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    pub available: i64,
    pub pending: i64,
}

/// The balance by currency.
pub type Balance = BTreeMap<String, Amounts>;

/// Books a movement and answers its id. Money that leaves is taken from the available balance at once.
pub fn book(context: &mut Context<'_>, entry: Entry) -> String {
    let at_once = entry.available_at_once || entry.amount <= 0;
    let (amount, currency, exchange_rate) = match entry.kind.starts_with("payout") {
        true => (entry.amount, entry.currency, None),
        false => settled(context.world, entry.amount, &entry.currency),
    };
    let fee = match entry.fee {
        Fee::None => 0,
        Fee::Charge => charge_fee(amount),
        Fee::Fixed(fee) => fee,
    };
    let available_on = if at_once { context.now } else { context.now.plus_seconds(PENDING_SECONDS) };
    let booked = BalanceTransaction {
        id: context.random.id("txn"),
        created: context.now.seconds(),
        amount,
        fee,
        currency,
        available_on: available_on.seconds(),
        available: at_once,
        kind: entry.kind.to_owned(),
        reporting_category: entry.reporting_category.to_owned(),
        source: entry.source,
        description: entry.description,
        payout: None,
        exchange_rate,
    };
    let id = booked.id.clone();
    if !booked.kind.starts_with("payout") && at_once {
        wait_for_payout(context, &id);
    }
    let amounts = context.world.balance.entry(booked.currency.clone()).or_default();
    if at_once {
        amounts.available += booked.net();
    } else {
        amounts.pending += booked.net();
        context.world.timers.set(available_on, Due::FundsAvailable(id.clone()));
    }
    let adds = at_once && booked.net() > 0;
    context.world.balance_transactions.insert(booked);
    if adds {
        refund::pay_waiting(context);
    }
    id
}

/// An amount as it is booked: in the settlement currency, if it has a rate to it.
fn settled(world: &World, amount: i64, currency: &str) -> (i64, String, Option<Rate>) {
    match world.terms.rate(currency) {
        Some((settlement, rate)) => (rate.convert(amount), settlement.to_owned(), Some(rate)),
        None => (amount, currency.to_owned(), None),
    }
}

/// Whether the available balance covers an amount.
pub fn covers(world: &World, amount: i64, currency: &str) -> bool {
    let (amount, currency, _) = settled(world, amount, currency);
    world.balance.get(&currency).map_or(0, |amounts| amounts.available) >= amount
}

/// The next daily payout takes this row along; the first one of a day sets the hour.
pub fn wait_for_payout(context: &mut Context<'_>, id: &str) {
    if context.world.unpaid_rows.is_empty() {
        context.world.timers.set(context.now.plus_seconds(DAY), Due::DailyPayout);
    }
    context.world.unpaid_rows.push(id.to_owned());
}

/// Pending money becomes available.
pub fn become_available(context: &mut Context<'_>, id: &str) {
    let Some(booked) = context.world.balance_transactions.get_mut(id).filter(|booked| !booked.available)
    else {
        return;
    };
    booked.available = true;
    let (net, currency) = (booked.net(), booked.currency.clone());
    let amounts = context.world.balance.entry(currency).or_default();
    amounts.pending -= net;
    amounts.available += net;
    wait_for_payout(context, id);
    refund::pay_waiting(context);
}

/// `GET /v1/balance`.
pub fn balance(context: &mut Context<'_>, _: &[&str], _: Params<'_>) -> ApiResult<Value> {
    Ok(render_balance(context.world))
}

pub fn render_balance(world: &World) -> Value {
    let row = |currency: &str, amount: i64| json!({"amount": amount, "currency": currency, "source_types": {"card": amount}});
    let rows = |pick: fn(&Amounts) -> i64| -> Vec<Value> {
        if world.balance.is_empty() {
            let currency = world.terms.settlement_currency.as_deref();
            return vec![row(currency.unwrap_or(super::account::CURRENCY), 0)];
        }
        world.balance.iter().map(|(currency, amounts)| row(currency, pick(amounts))).collect()
    };
    json!({
        "object": "balance",
        "available": rows(|amounts| amounts.available),
        "livemode": world.livemode,
        "pending": rows(|amounts| amounts.pending),
    })
}

pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.balance_transactions.get(ids[0]) {
        Some(booked) => Ok(booked.render()),
        None => Err(context.no_such("balance transaction", ids[0], "id")),
    }
}

pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let world = &*context.world;
    let matches = |name: &str, value: &str| params.text(name).is_none_or(|wanted| wanted == value);
    // A refund's rows are found by its charge as well as by the refund; a dispute finds none.
    let source = |booked: &BalanceTransaction| {
        params.text("source").is_none_or(|wanted| {
            (booked.source == wanted && !world.disputes.contains(wanted))
                || world.refunds.get(&booked.source).is_some_and(|refund| refund.charge == wanted)
        })
    };
    list::render(
        &world.balance_transactions,
        &Page::from_params(params)?,
        "/v1/balance_transactions",
        |booked| {
            matches("type", &booked.kind)
                && matches("currency", &booked.currency)
                && params.text("payout").is_none_or(|payout| booked.payout.as_deref() == Some(payout))
                && source(booked)
        },
        BalanceTransaction::render,
    )
}

/// When the sandbox's time passes `available_on`, in words for the pages.
pub fn available_at(booked: &BalanceTransaction) -> Time {
    Time::from_seconds(booked.available_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fee_is_rounded_half_up() {
        assert_eq!(charge_fee(1_000), 59);
        assert_eq!(charge_fee(1_099), 62);
        assert_eq!(charge_fee(50), 31);
    }
}
