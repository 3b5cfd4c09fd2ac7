//! Payouts: available money leaves for the bank, by hand or every day.
//!
//! Source: <https://docs.stripe.com/api/payouts>, <https://docs.stripe.com/payouts>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::balance_transaction::{self, Entry, Fee};
use super::context::Context;
use super::currency;
use super::error::{ApiError, ApiResult};
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::table::Row;
use super::time::{DAY, HOUR};
use super::timers::Due;

/// When a payout is handed to the bank.
const TRANSIT_SECONDS: i64 = HOUR;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutStatus {
    Pending,
    InTransit,
    Paid,
    Failed,
    Canceled,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payout {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub currency: String,
    pub arrival_date: i64,
    pub automatic: bool,
    pub status: PayoutStatus,
    pub method: String,
    pub description: Option<String>,
    pub statement_descriptor: Option<String>,
    pub metadata: Metadata,
    pub balance_transaction: Option<String>,
    pub failure_balance_transaction: Option<String>,
    pub reconciled: bool,
}

impl Row for Payout {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Payout {
    pub fn render(&self, livemode: bool) -> Value {
        let failed = self.status == PayoutStatus::Failed;
        json!({
            "id": self.id,
            "object": "payout",
            "amount": self.amount,
            "application_fee": null,
            "application_fee_amount": null,
            "arrival_date": self.arrival_date,
            "automatic": self.automatic,
            "balance_transaction": self.balance_transaction,
            "created": self.created,
            "currency": self.currency,
            "description": self.description,
            "destination": null,
            "failure_balance_transaction": self.failure_balance_transaction,
            "failure_code": failed.then_some("account_closed"),
            "failure_message": failed.then_some("The bank account has been closed."),
            "livemode": livemode,
            "metadata": self.metadata.to_value(),
            "method": self.method,
            "original_payout": null,
            "payout_method": null,
            "reconciliation_status": match (self.automatic, self.reconciled) {
                (false, _) => "not_applicable",
                (true, false) => "in_progress",
                (true, true) => "completed",
            },
            "reversed_by": null,
            "source_type": "card",
            "statement_descriptor": self.statement_descriptor,
            "status": self.status,
            "trace_id": null,
            "type": "bank_account",
        })
    }
}

/// `POST /v1/payouts`: a payout by hand, of available money.
pub fn create(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let amount = params.positive("amount")?.ok_or_else(|| ApiError::missing("amount"))?;
    let currency = currency::check(params.text("currency").unwrap_or_default())?;
    let available = context.world.balance.get(&currency).map_or(0, |amounts| amounts.available);
    if amount > available {
        let message = "You have insufficient funds in your Stripe account for this transfer. Your card balance is too low. You can use the /v1/balance endpoint to view your Stripe balance (for more details, see stripe.com/docs/api#balance).";
        return Err(ApiError::refused(message).code("balance_insufficient").into());
    }
    let metadata = params.metadata()?;
    let mut payout = new(context, amount, currency, false);
    payout.metadata = metadata;
    payout.description = params.owned("description");
    payout.statement_descriptor = params.owned("statement_descriptor");
    payout.method = params.text("method").unwrap_or("standard").to_owned();
    let id = begin(context, payout);
    Ok(context.world.payout(&id))
}

fn new(context: &mut Context<'_>, amount: i64, currency: String, automatic: bool) -> Payout {
    Payout {
        id: context.random.id("po"),
        created: context.now.seconds(),
        amount,
        currency,
        arrival_date: context.now.seconds() + DAY,
        automatic,
        status: PayoutStatus::Pending,
        method: "standard".to_owned(),
        description: automatic.then(|| "STRIPE PAYOUT".to_owned()),
        statement_descriptor: None,
        metadata: Metadata::default(),
        balance_transaction: None,
        failure_balance_transaction: None,
        reconciled: false,
    }
}

fn begin(context: &mut Context<'_>, payout: Payout) -> String {
    let id = payout.id.clone();
    let arrives = super::time::Time::from_seconds(payout.arrival_date);
    context.world.payouts.insert(payout);
    let booked = book(context, &id, -1, "payout");
    let payout = context.world.payouts.get_mut(&id).expect("it was just inserted");
    payout.balance_transaction = Some(booked.clone());
    // An automatic payout's own row is listed with those that it pays out.
    if let Some(row) = context.world.balance_transactions.get_mut(&booked).filter(|_| payout.automatic) {
        row.payout = Some(id.clone());
    }
    let leaves = context.now.plus_seconds(TRANSIT_SECONDS);
    context.world.timers.set(leaves, Due::PayoutLeaves(id.clone()));
    context.world.timers.set(arrives, Due::PayoutArrives(id.clone()));
    let body = context.world.payout(&id);
    context.emit("payout.created", &body);
    id
}

fn book(context: &mut Context<'_>, id: &str, sign: i64, kind: &'static str) -> String {
    let payout = context.world.payouts.get(id).expect("the caller holds it");
    let entry = Entry {
        amount: payout.amount * sign,
        currency: payout.currency.clone(),
        fee: Fee::None,
        kind,
        reporting_category: if kind == "payout" { "payout" } else { "payout_reversal" },
        source: id.to_owned(),
        description: Some("STRIPE PAYOUT".to_owned()),
        available_at_once: true,
    };
    balance_transaction::book(context, entry)
}

/// Tells what has become available since the last time, and pays it out by currency: once a day.
/// Source: <https://docs.stripe.com/payouts#payout-schedule>.
pub fn pay_out_daily(context: &mut Context<'_>) {
    let body = balance_transaction::render_balance(context.world);
    context.emit("balance.available", &body);
    let rows = std::mem::take(&mut context.world.unpaid_rows);
    let mut totals = std::collections::BTreeMap::<String, (i64, Vec<String>)>::new();
    for id in rows {
        let Some(row) = context.world.balance_transactions.get(&id) else { continue };
        let total = totals.entry(row.currency.clone()).or_default();
        total.0 += row.net();
        total.1.push(id);
    }
    for (currency, (amount, rows)) in totals {
        let available = context.world.balance.get(&currency).map_or(0, |amounts| amounts.available);
        if amount <= 0 || amount > available {
            // Too little, or money left otherwise: these rows wait for the next day.
            context.world.unpaid_rows.extend(rows);
            continue;
        }
        let payout = new(context, amount, currency, true);
        let id = begin(context, payout);
        for row in rows {
            if let Some(row) = context.world.balance_transactions.get_mut(&row) {
                row.payout = Some(id.clone());
            }
        }
        context.world.payouts.get_mut(&id).expect("it was just inserted").reconciled = true;
        let body = context.world.payout(&id);
        context.emit("payout.reconciliation_completed", &body);
    }
    if !context.world.unpaid_rows.is_empty() {
        context.world.timers.set(context.now.plus_seconds(DAY), Due::DailyPayout);
    }
}

/// The money is handed to the bank: `payout.updated`.
pub fn leave(context: &mut Context<'_>, id: &str) {
    let livemode = context.world.livemode;
    let pending = context.world.payouts.get_mut(id).filter(|payout| payout.status == PayoutStatus::Pending);
    let Some(payout) = pending else { return };
    let before = payout.render(livemode);
    payout.status = PayoutStatus::InTransit;
    let after = payout.render(livemode);
    context.emit_updated("payout.updated", &before, &after);
}

/// The money reaches the bank.
pub fn arrive(context: &mut Context<'_>, id: &str) {
    let under_way =
        context.world.payouts.get(id).is_some_and(|payout| payout.status == PayoutStatus::InTransit);
    if under_way {
        change_status(context, id, PayoutStatus::Paid, "payout.paid");
    }
}

fn change_status(context: &mut Context<'_>, id: &str, status: PayoutStatus, event: &str) {
    context.world.payouts.get_mut(id).expect("the caller found it").status = status;
    let body = context.world.payout(id);
    context.emit(event, &body);
}

/// The bank sends the money back, also some days after it had it: `payout.failed`. What an automatic payout had paid
/// out is paid out again with the next.
///
/// # Errors
/// 404 for a payout that is not there, 400 for one that has failed or was canceled.
pub fn fail(context: &mut Context<'_>, id: &str) -> ApiResult<Value> {
    let Some(payout) = context.world.payouts.get(id) else {
        return Err(context.no_such("payout", id, "payout"));
    };
    if matches!(payout.status, PayoutStatus::Failed | PayoutStatus::Canceled) {
        return Err(ApiError::refused("This payout has ended.").into());
    }
    let automatic = payout.automatic;
    let back = book(context, id, 1, "payout_failure");
    if automatic {
        balance_transaction::wait_for_payout(context, &back);
    }
    context.world.payouts.get_mut(id).expect("it was just read").failure_balance_transaction = Some(back);
    change_status(context, id, PayoutStatus::Failed, "payout.failed");
    Ok(context.world.payout(id))
}

/// `POST /v1/payouts/{id}/cancel`: while pending, and not automatic.
pub fn cancel(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    let Some(payout) = context.world.payouts.get(ids[0]) else {
        return Err(context.no_such("payout", ids[0], "payout"));
    };
    if payout.status != PayoutStatus::Pending || payout.automatic {
        return Err(ApiError::refused("You can only cancel a manual payout that is pending.").into());
    }
    let back = book(context, ids[0], 1, "payout_cancel");
    context.world.payouts.get_mut(ids[0]).expect("it was just read").failure_balance_transaction = Some(back);
    change_status(context, ids[0], PayoutStatus::Canceled, "payout.canceled");
    Ok(context.world.payout(ids[0]))
}

/// `GET /v1/payouts/{id}`.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    match context.world.payouts.get(ids[0]) {
        Some(payout) => Ok(payout.render(context.world.livemode)),
        None => Err(context.no_such("payout", ids[0], "payout")),
    }
}

/// `GET /v1/payouts`.
pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    list::render(
        &context.world.payouts,
        &Page::from_params(params)?,
        "/v1/payouts",
        |payout| params.text("status").is_none_or(|status| json!(payout.status) == status),
        |payout| payout.render(livemode),
    )
}
