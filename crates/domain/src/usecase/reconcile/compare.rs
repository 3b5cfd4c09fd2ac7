//! Whether what the gateway keeps and what is here are the same.

use crate::{
    Dispute, DisputeSighting, Payment, PaymentState, Refund, RefundStanding, RefundState, Standing,
    ports::{DisputeSnapshot, RefundSnapshot, Snapshot},
    usecase::learn::mismatch,
};

/// Whether a payment stands here as it stands at the gateway.
pub(super) fn same_payment(ours: &Payment, told: &Snapshot) -> bool {
    let seen = &told.sighting;
    let named = seen.intent.is_none() || seen.intent == ours.intent;
    let paged = seen.session.is_none() || seen.session == ours.session;
    let stands = match seen.standing {
        Standing::AwaitingMethod => ours.state == PaymentState::Pending,
        Standing::ActionRequired => ours.state == PaymentState::RequiresAction,
        Standing::Processing => ours.state == PaymentState::Processing,
        Standing::Authorized(minor) => {
            let held = seen.capture_before.is_none() || seen.capture_before == ours.capture_before;
            ours.state == PaymentState::Authorized && ours.capturable.minor() == minor && held
        }
        Standing::Captured { captured, refunded } => {
            ours.state == PaymentState::Captured
                && ours.captured.minor() == captured
                && ours.refunded.minor() == refunded
                && (ours.fee.is_some() || !told.settled)
        }
        Standing::Cancelled => ours.state == PaymentState::Cancelled,
        Standing::Unclear => false,
    };
    named && paged && stands && mismatch(ours, told).is_none()
}

/// Whether a refund stands here as it stands at the gateway.
pub(super) fn same_refund(ours: &Refund, told: &RefundSnapshot) -> bool {
    let state = match told.sighting.standing {
        RefundStanding::Pending => RefundState::Pending,
        RefundStanding::Succeeded => RefundState::Succeeded,
        RefundStanding::Cancelled => RefundState::Cancelled,
        RefundStanding::Failed => RefundState::Failed,
    };
    let seen = &told.sighting;
    let settled = seen.settlement.as_ref().is_none_or(|moved| ours.settlement.as_ref() == Some(&moved.id));
    let reversed = seen.reversal.as_ref().is_none_or(|moved| ours.reversal.as_ref() == Some(&moved.id));
    ours.gateway.as_ref() == Some(&seen.id)
        && ours.state == state
        && told.amount == Some(ours.amount)
        && told.mode.is_none_or(|mode| mode == ours.mode)
        && settled
        && reversed
}

/// Whether a dispute stands here as it stands at the gateway.
pub(super) fn same_dispute(ours: &Dispute, told: &DisputeSnapshot) -> bool {
    let seen = DisputeSighting { at: ours.seen.at, ..told.sighting.clone() };
    ours.mode == told.mode && ours.seen == seen
}
