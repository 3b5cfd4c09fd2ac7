//! Several people at once: whoever looks at an order sees the same news in the same moment, and does something about it.

use std::sync::Arc;

use paywright_domain::{CancelReason, Changes, OrderId, PaymentState, Step};
use time::Duration;

use super::{
    customer::{pay, start},
    is_open,
    merchant::{Act, choose, insist},
};
use crate::{executor::Owner, fault::Fault, world::World};

/// How often it happens in a run for each of its orders, at most: what they do is news in turn.
const OFTEN: u64 = 3;

/// Something was committed. Where it says how a payment stands now, people may be waiting for it.
pub(crate) fn hear(world: &Arc<World>, changes: &Changes) {
    if !world.exists(Fault::AtOnce) || !is_open(world) {
        return;
    }
    for step in &changes.steps {
        let Step::Payment(step) = step else { continue };
        let (order, state) = (step.after().order, step.after().state);
        let news = step.before().is_none_or(|before| before.state != state);
        let often = world.counts().of(Fault::AtOnce) >= OFTEN * u64::from(world.knobs.orders);
        if news && !often && world.strikes(Fault::AtOnce) {
            for _ in 0..world.between(2, 4) {
                world.spawn(Owner::Outside, react(Arc::clone(world), order, state));
            }
        }
    }
}

/// One of them: mostly at once, sometimes a little later.
async fn react(world: Arc<World>, order: OrderId, state: PaymentState) {
    if world.chance(400) {
        let time = world.wait(Duration::seconds(10));
        world.sleep(time).await;
    }
    let wants_to_pay = match state {
        // In another window.
        PaymentState::Created | PaymentState::Pending | PaymentState::RequiresAction => 500,
        PaymentState::Failed | PaymentState::Cancelled => 800,
        PaymentState::Processing | PaymentState::Authorized | PaymentState::Captured => 50,
    };
    if world.chance(wants_to_pay) {
        let Some(payment) = start(&world, order).await else { return };
        if world.chance(500) {
            pay(&world, &payment).await;
        }
        return;
    }
    let settles = [
        Act::Capture(None),
        Act::Fulfil(None),
        Act::Void,
        Act::Sync,
        Act::Cancel(CancelReason::RequestedByCustomer),
    ];
    let act = match state {
        PaymentState::Authorized => world.pick(&settles),
        PaymentState::Created | PaymentState::Pending | PaymentState::RequiresAction => {
            world.pick(&settles[3..])
        }
        PaymentState::Processing
        | PaymentState::Failed
        | PaymentState::Cancelled
        | PaymentState::Captured => choose(&world),
    };
    insist(world, order, act).await;
}
