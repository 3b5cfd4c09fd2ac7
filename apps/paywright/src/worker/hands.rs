//! How many jobs of a queue are under way at most.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How long free hands wait for more of them, so that one claim serves many: it costs about the same for one job as for a
/// hundred.
const GATHER: Duration = Duration::from_millis(5);

/// All hands of a queue in this process.
pub(super) struct Hands {
    free: Arc<Semaphore>,
    /// How many are worth a claim at once.
    quarter: u32,
    let_go: Arc<Notify>,
}

/// Some that have nothing to do.
pub(super) struct Idle {
    permit: OwnedSemaphorePermit,
    let_go: Arc<Notify>,
}

/// One that is at work until this is dropped.
pub(super) struct Hand {
    permit: Option<OwnedSemaphorePermit>,
    let_go: Arc<Notify>,
}

impl Hands {
    /// So many; with none at all nothing of the queue is done here.
    pub(super) fn new(count: u32) -> Self {
        let free = Arc::new(Semaphore::new((count as usize).min(Semaphore::MAX_PERMITS)));
        Self { free, quarter: (count / 4).max(1), let_go: Arc::default() }
    }

    /// All that are free: at once if a quarter is, else when one is and `GATHER` has passed.
    pub(super) async fn idle(&self) -> Idle {
        let mut permit = self.acquire(1).await;
        if let Ok(more) = tokio::time::timeout(GATHER, self.acquire(self.quarter - 1)).await {
            permit.merge(more);
        }
        let rest = u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX);
        if let Ok(more) = Arc::clone(&self.free).try_acquire_many_owned(rest) {
            permit.merge(more);
        }
        Idle { permit, let_go: Arc::clone(&self.let_go) }
    }

    /// Returns when a hand has let go of its work since this returned last.
    pub(super) async fn let_go(&self) {
        self.let_go.notified().await;
    }

    async fn acquire(&self, count: u32) -> OwnedSemaphorePermit {
        Arc::clone(&self.free).acquire_many_owned(count).await.expect("the semaphore is never closed")
    }
}

impl Idle {
    /// How many.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.permit.num_permits()).unwrap_or(u32::MAX)
    }

    /// One of them.
    pub(super) fn take(&mut self) -> Hand {
        Hand { permit: self.permit.split(1), let_go: Arc::clone(&self.let_go) }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        // It is free before anybody hears of it.
        self.permit.take();
        self.let_go.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, time::Instant};

    use futures::FutureExt as _;

    use super::*;

    /// What comes without any waiting.
    fn at_once<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().unwrap()
    }

    #[tokio::test]
    async fn an_idle_system_begins_at_once_and_a_busy_one_gathers_a_quarter() {
        let hands = Hands::new(16);
        let mut idle = at_once(hands.idle());
        assert_eq!(idle.count(), 16);
        let mut busy: Vec<_> = (0..16).map(|_| idle.take()).collect();
        drop(idle);
        busy.truncate(12);
        assert_eq!(at_once(hands.idle()).count(), 4, "a quarter is enough");
        let idle = at_once(hands.idle());
        busy.truncate(10);
        let waiting = hands.idle();
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending(), "two are few");
        drop(idle);
        assert_eq!(at_once(waiting).count(), 6);
    }

    #[tokio::test]
    async fn few_hands_do_not_wait_long_for_more() {
        let hands = Hands::new(16);
        let mut idle = hands.idle().await;
        let mut busy: Vec<_> = (0..16).map(|_| idle.take()).collect();
        drop(idle);
        busy.pop();
        let begun = Instant::now();
        assert_eq!(hands.idle().await.count(), 1);
        assert!(begun.elapsed() >= GATHER);
    }

    #[tokio::test]
    async fn a_hand_that_lets_go_is_heard_and_is_free_by_then() {
        let hands = Hands::new(1);
        let hand = hands.idle().await.take();
        assert!(futures::poll!(std::pin::pin!(hands.let_go())).is_pending());
        drop(hand);
        hands.let_go().await;
        assert_eq!(hands.idle().await.count(), 1);
    }
}
