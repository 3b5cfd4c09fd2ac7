//! From Stripe's refunds to the core's words.

use paywright_domain::{
    GatewayRefundId, Mode, Origin, RefundId, RefundSighting, RefundStanding, ports::RefundSnapshot,
};

use crate::{
    balance,
    snapshot::{Unfit, intent_id, moment, money, payment},
    text,
    wire::{Metadata, Refund},
};

/// A refund. `mode` where the message tells; the object does not.
pub(crate) fn of_refund(
    refund: &Refund,
    mode: Option<Mode>,
    origin: Origin,
) -> Result<RefundSnapshot, Unfit> {
    let intent = refund.payment_intent.as_ref().map(|intent| intent_id(intent.id())).transpose()?;
    Ok(RefundSnapshot {
        refund: named(&refund.metadata),
        payment: payment(&refund.metadata),
        intent,
        mode,
        amount: money(Some(refund.amount), Some(&refund.currency)),
        reason: refund.reason.as_deref().map(|reason| text::tidy(reason, 100)),
        sighting: RefundSighting {
            id: GatewayRefundId::try_from(refund.id.clone()).map_err(|_| Unfit("refund id"))?,
            standing: standing(refund.status.as_deref()),
            failure: refund.failure_reason.as_deref().map(|reason| text::tidy(reason, 100)),
            settlement: balance::moved(refund.balance_transaction.as_ref()),
            reversal: balance::moved(refund.failure_balance_transaction.as_ref()),
        },
        created_at: moment(refund.created).ok_or(Unfit("created"))?,
        origin,
    })
}

/// A status that we do not know promises nothing: the money is not known to be sent, nor to have come back.
///
/// Source: <https://docs.stripe.com/api/refunds/object#refund_object-status>
fn standing(status: Option<&str>) -> RefundStanding {
    match status {
        Some("succeeded") => RefundStanding::Succeeded,
        Some("failed") => RefundStanding::Failed,
        Some("canceled") => RefundStanding::Cancelled,
        Some(_) | None => RefundStanding::Pending,
    }
}

/// The refund of ours that the metadata names.
fn named(metadata: &Option<Metadata>) -> Option<RefundId> {
    metadata.as_ref()?.paywright_refund.as_ref()?.parse().ok()
}
