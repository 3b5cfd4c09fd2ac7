//! What our processes reach the world through. Each call gives way once before and once after its effect, and at both
//! places something may go wrong.

mod books;
mod gateway;
mod queue;
mod store;
mod wire;

use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use paywright_domain::ports::{Clock, Entropy, StoreError};
use time::{Duration, OffsetDateTime};

pub(crate) use gateway::Twisted;
pub(crate) use wire::Wire;

use crate::{
    executor::yield_now,
    fault::Fault,
    world::{Blow, World},
};

/// The outside, as one process sees it.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) world: Arc<World>,
    pub(crate) process: usize,
    /// How far its clock is from the true one.
    pub(crate) skew: Duration,
}

impl Line {
    /// Gives way, and may not come back: a crash drops whatever waits here.
    async fn pass(&self) {
        yield_now().await;
        if self.world.strikes(Fault::Crash) {
            self.world.strike(self.process, Blow::Crash);
            std::future::pending::<()>().await;
        }
        if self.world.strikes(Fault::Pause) {
            let time = self.world.wait(Duration::minutes(6));
            self.world.strike(self.process, Blow::Pause(time));
            yield_now().await;
        }
    }

    /// On the way to the store.
    async fn to_store(&self, what: &'static str) -> Result<(), StoreError> {
        self.pass().await;
        if self.world.strikes(Fault::StoreSlow) {
            let longest = self.world.pick(&[1, 1, 1, 70]);
            let time = self.world.wait(Duration::seconds(longest));
            self.world.sleep(time).await;
        }
        if self.world.strikes(Fault::StoreOutage) {
            let time = self.world.wait(Duration::minutes(30));
            self.world.store_goes_away(time);
        }
        if self.world.store_is_away() || self.world.strikes(Fault::StoreBefore) {
            return Err(away());
        }
        self.world.note(what, String::new);
        Ok(())
    }

    /// On the way back.
    async fn back_from_store(&self) -> Result<(), StoreError> {
        self.pass().await;
        if self.world.strikes(Fault::StoreAfter) { Err(away()) } else { Ok(()) }
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("a fault".into())
}

impl Clock for Line {
    fn now(&self) -> OffsetDateTime {
        self.world.now() + self.skew
    }
}

impl Entropy for Line {
    fn fill(&self, bytes: &mut [u8]) {
        let mut dice = self.world.dice();
        for chunk in bytes.chunks_mut(8) {
            let number = dice.bits().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}

/// What our rows say, at once: they are in memory, and never wait.
pub(crate) fn peek<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(found) => Some(found),
        Poll::Pending => None,
    }
}

/// One call to our rows, with what may go wrong before and after it.
macro_rules! through {
    ($line:expr, $what:literal, $call:expr) => {{
        $line.to_store($what).await?;
        let found = $call.await;
        $line.back_from_store().await?;
        found
    }};
}
use through;
