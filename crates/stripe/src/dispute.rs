//! From Stripe's disputes to the core's words.

use paywright_domain::{DisputeSighting, DisputeStatus, GatewayDisputeId, Mode, ports::DisputeSnapshot};

use crate::{
    balance,
    snapshot::{Unfit, Word, intent_id, moment, money},
    text,
    wire::Dispute,
};

/// A dispute. Its movements are told with it, unlike those of charges and refunds.
///
/// One in a currency that we do not know cannot be told: it must be seen by a person.
pub(crate) fn of_dispute(dispute: &Dispute, word: Word) -> Result<DisputeSnapshot, Unfit> {
    let intent = dispute.payment_intent.as_ref().map(|intent| intent_id(intent.id())).transpose()?;
    let details = dispute.evidence_details.as_ref();
    let due_by = details.and_then(|details| details.due_by);
    let submissions = details.and_then(|details| details.submission_count).unwrap_or(0);
    Ok(DisputeSnapshot {
        id: GatewayDisputeId::try_from(dispute.id.clone()).map_err(|_| Unfit("dispute id"))?,
        intent,
        mode: Mode::from_livemode(dispute.livemode),
        sighting: DisputeSighting {
            status: status(&dispute.status),
            amount: money(Some(dispute.amount), Some(&dispute.currency))
                .ok_or(Unfit("amount or currency"))?,
            reason: text::tidy(&dispute.reason, 100),
            // Zero means that no answer is taken.
            due_by: due_by.filter(|seconds| *seconds > 0).and_then(moment),
            refundable: dispute.is_charge_refundable,
            submitted: submissions > 0,
            at: word.at,
        },
        movements: dispute.balance_transactions.iter().filter_map(balance::transaction).collect(),
        created_at: moment(dispute.created).ok_or(Unfit("created"))?,
        origin: word.origin,
    })
}

/// Source: <https://docs.stripe.com/api/disputes/object#dispute_object-status>
fn status(text: &str) -> DisputeStatus {
    let text = text::tidy(text, 100);
    text.parse().unwrap_or(DisputeStatus::Other(text))
}
