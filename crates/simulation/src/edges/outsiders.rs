//! People at Stripe's dashboard, banks, and strangers.

use std::sync::Arc;

use paywright_sandbox::model::{
    Control, Input, Mode,
    by_hand::{Amount, ByHand, Cause, Complaint, Decision, Deed},
    dispute::DisputeStatus,
};

use super::{a_while, is_open};
use crate::{executor::Owner, fault::Fault, net, world::World};

/// Acts at the dashboard, at banks and in the dark, as long as people act.
pub(crate) async fn haunt(world: Arc<World>) {
    let faults = [
        Fault::DashboardRefund,
        Fault::DashboardTouch,
        Fault::Dispute,
        Fault::RefundFails,
        Fault::PayoutFails,
        Fault::WebhookForged,
        Fault::WebhookUnknown,
        Fault::WebhookResent,
    ];
    let occasions = 4 + 4 * world.knobs.orders;
    for _ in 0..occasions {
        a_while(&world, i32::try_from(occasions / 3).unwrap_or(1).max(1)).await;
        if !is_open(&world) {
            return;
        }
        let fault = world.pick(&faults);
        let webhooks = world.knobs.channels.webhooks();
        match fault {
            Fault::WebhookForged | Fault::WebhookUnknown | Fault::WebhookResent if !webhooks => {}
            _ if !world.strikes(fault) => {}
            Fault::WebhookForged => {
                if let Some(intent) = some_intent(&world) {
                    world.spawn(Owner::Outside, net::forge(Arc::clone(&world), intent));
                }
            }
            Fault::WebhookUnknown => {
                let intent = some_intent(&world).unwrap_or_else(|| "pi_none".to_owned());
                world.spawn(Owner::Outside, net::tell_news(Arc::clone(&world), intent));
            }
            Fault::WebhookResent => net::resend(&world),
            fault => by_hand(&world, fault),
        }
    }
}

fn some_intent(world: &World) -> Option<String> {
    let model = world.model();
    let intents: Vec<_> =
        model.world(Mode::Test).payment_intents.iter().map(|intent| intent.id.clone()).collect();
    drop(model);
    if intents.is_empty() { None } else { Some(world.pick(&intents)) }
}

fn by_hand(world: &World, fault: Fault) {
    let amount = world.chance(500).then(|| world.between(1, 3_000).cast_signed());
    let chosen = match fault {
        Fault::DashboardRefund => {
            some_intent(world).map(|id| (id, Deed::Refund(Amount { amount, reason: None })))
        }
        Fault::DashboardTouch => some_intent(world).map(|id| {
            let cancel = world.chance(500);
            let capture = Deed::Capture(Amount { amount: None, reason: None });
            (id, if cancel { Deed::Cancel(Cause::default()) } else { capture })
        }),
        Fault::Dispute => some_intent(world).map(|id| {
            let inquiry = world.chance(300).then_some(DisputeStatus::WarningNeedsResponse);
            let complaint = Complaint {
                amount,
                status: inquiry,
                answer_seconds: Some(3 * 86_400),
                ..Complaint::default()
            };
            (id, Deed::Dispute(complaint))
        }),
        Fault::RefundFails => {
            let refunds: Vec<_> =
                world.model().world(Mode::Test).refunds.iter().map(|one| one.id.clone()).collect();
            let refund = if refunds.is_empty() { None } else { Some(world.pick(&refunds)) };
            refund.map(|id| (id, Deed::FailRefund(Cause::default())))
        }
        Fault::PayoutFails => {
            let payouts: Vec<_> =
                world.model().world(Mode::Test).payouts.iter().map(|one| one.id.clone()).collect();
            let payout = if payouts.is_empty() { None } else { Some(world.pick(&payouts)) };
            payout.map(|id| (id, Deed::FailPayout))
        }
        _ => None,
    };
    if let Some((id, deed)) = chosen {
        act(world, id, deed);
    }
}

fn act(world: &World, id: String, deed: Deed) {
    let words = format!("{id} {deed:?}");
    let answer = world.stripe(&Input::Control(Control::ByHand(ByHand { id, deed })));
    world.note("by hand", || format!("{words}: {}", answer.status));
    world.watch().stripe_moved(world, &answer.events);
}

/// All banks decide, so that a run comes to an end.
pub(crate) fn decide_disputes(world: &World) {
    let open: Vec<_> = {
        let model = world.model();
        let disputes = model.world(Mode::Test).disputes.iter();
        disputes.map(|dispute| (dispute.id.clone(), dispute.status)).collect()
    };
    for (id, status) in open {
        let lost = world.chance(500);
        let decided = match status {
            DisputeStatus::WarningNeedsResponse | DisputeStatus::WarningUnderReview => {
                DisputeStatus::WarningClosed
            }
            DisputeStatus::NeedsResponse | DisputeStatus::UnderReview if lost => DisputeStatus::Lost,
            DisputeStatus::NeedsResponse | DisputeStatus::UnderReview => DisputeStatus::Won,
            DisputeStatus::WarningClosed
            | DisputeStatus::Won
            | DisputeStatus::Lost
            | DisputeStatus::Prevented => continue,
        };
        act(world, id, Deed::Decide(Decision { status: decided }));
    }
}
