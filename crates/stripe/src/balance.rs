//! What moved in the balance that Stripe keeps for the account.

use paywright_domain::{BalanceTransaction, TransactionId};

use crate::{json::Expandable, snapshot::moment, wire};

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
