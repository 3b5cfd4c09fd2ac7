//! The people: who orders and pays, who sells, and who acts at Stripe's dashboard or at a bank.

mod at_once;
mod customer;
mod merchant;
mod outsiders;

pub(crate) use at_once::hear;
pub(crate) use customer::shop;
pub(crate) use outsiders::{decide_disputes, haunt};

use std::sync::Arc;

use time::Duration;

use crate::world::{Phase, World};

/// Whether people still begin something.
pub(super) fn is_open(world: &World) -> bool {
    world.phase() == Phase::Load
}

/// Lets a part of the run pass.
pub(super) async fn a_while(world: &Arc<World>, share: i32) {
    let time = world.wait(world.knobs.load / share);
    world.sleep(time).await;
}

/// A moment before somebody asks again who has not been answered.
pub(super) async fn a_moment(world: &Arc<World>) {
    let time = world.wait(Duration::minutes(2)) + Duration::SECOND;
    world.sleep(time).await;
}
