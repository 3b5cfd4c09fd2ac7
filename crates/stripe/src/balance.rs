//! What moved in the balance that Stripe keeps for the account.

use paywright_domain::{
    BalanceTransaction, GatewayDisputeId, GatewayRefundId, Money, PayoutId, TransactionId,
    ports::{BookEntry, Payout},
};

use crate::{
    json::Expandable,
    snapshot::{Unfit, intent_id, moment},
    text,
    wire::{self, Cause, Source},
};

/// Charges, refunds and disputes by the beginning of their names. Of these we must know the payment.
const OF_PAYMENTS: [&str; 6] = ["ch_", "py_", "re_", "pyr_", "du_", "dp_"];

/// A movement, where it came along. One that cannot be booked, in a currency that we do not know for example, is left
/// out: that there is one shows elsewhere, and so it stays unexplained rather than wrong.
pub(crate) fn moved(reference: Option<&Expandable<wire::BalanceTransaction>>) -> Option<BalanceTransaction> {
    match reference? {
        Expandable::Object(object) => transaction(object),
        Expandable::Id(_) => None,
    }
}

/// Source: <https://docs.stripe.com/api/balance_transactions/object>
pub(crate) fn transaction(object: &wire::BalanceTransaction) -> Option<BalanceTransaction> {
    Some(BalanceTransaction {
        id: TransactionId::try_from(object.id.clone()).ok()?,
        amount: object.amount,
        fee: object.fee,
        currency: object.currency.parse().ok()?,
        at: moment(object.created)?,
    })
}

/// A movement, with what caused it.
///
/// Source: <https://docs.stripe.com/api/balance_transactions/object#balance_transaction_object-source>
pub(crate) fn entry(object: &wire::BalanceTransaction, cause: &Cause) -> Result<BookEntry, Unfit> {
    let moved = transaction(object).ok_or(Unfit("id, currency or created"))?;
    let mut entry = BookEntry {
        moved,
        kind: text::tidy(&cause.kind, 100),
        source: None,
        intent: None,
        refund: None,
        dispute: None,
        payout: None,
    };
    match &cause.source {
        None => {}
        Some(Expandable::Object(source)) => of_source(&mut entry, source)?,
        // Stripe does not show every kind of source.
        Some(Expandable::Id(id)) if OF_PAYMENTS.iter().any(|prefix| id.starts_with(prefix)) => {
            return Err(Unfit("source"));
        }
        Some(Expandable::Id(id)) => entry.source = Some(text::tidy(id, 255)),
    }
    Ok(entry)
}

fn of_source(entry: &mut BookEntry, source: &Source) -> Result<(), Unfit> {
    let id = || source.id.clone();
    entry.source = Some(text::tidy(&source.id, 255));
    entry.intent = source.payment_intent.as_ref().map(|intent| intent_id(intent.id())).transpose()?;
    match source.object.as_str() {
        "refund" => {
            entry.refund = Some(GatewayRefundId::try_from(id()).map_err(|_| Unfit("refund id"))?);
        }
        "dispute" => {
            entry.dispute = Some(GatewayDisputeId::try_from(id()).map_err(|_| Unfit("dispute id"))?);
        }
        "payout" => entry.payout = Some(payout_id(&source.id)?),
        _ => {}
    }
    Ok(())
}

/// Source: <https://docs.stripe.com/api/payouts/object>
pub(crate) fn payout(object: &wire::Payout) -> Result<Payout, Unfit> {
    let currency = object.currency.parse().map_err(|_| Unfit("currency"))?;
    Ok(Payout {
        id: payout_id(&object.id)?,
        amount: Money::from_minor(object.amount.unsigned_abs(), currency).map_err(|_| Unfit("amount"))?,
        taken: object.amount < 0,
        status: text::tidy(&object.status, 100),
        automatic: object.automatic,
        created_at: moment(object.created).ok_or(Unfit("created"))?,
        arrives_at: moment(object.arrival_date).ok_or(Unfit("arrival_date"))?,
    })
}

fn payout_id(id: &str) -> Result<PayoutId, Unfit> {
    PayoutId::try_from(id.to_owned()).map_err(|_| Unfit("payout id"))
}
