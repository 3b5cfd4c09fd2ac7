//! Turns at one payment. Of many decisions about it that are made at once, one is committed and all others are made
//! again, so a crowd goes a few at a time. A turn is a politeness and no lock: whoever waits too long goes on without.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use paywright_domain::PaymentId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Enough that the next call to Stripe is ready when the one before it is answered.
const AT_ONCE: usize = 4;
/// Longer than a crowd takes while Stripe is well.
const PATIENCE: Duration = Duration::from_secs(10);
/// Below so many payments nothing is cleared away.
const KEPT_MIN: usize = 256;

/// The turns of this process.
#[derive(Debug, Default)]
pub struct Turns {
    /// Alive as long as somebody has a turn or waits for one.
    at: Mutex<HashMap<PaymentId, Weak<Semaphore>>>,
}

impl Turns {
    /// Waits for a turn, which ends when the answer is dropped; `None` after waiting too long.
    pub async fn wait(&self, payment: PaymentId) -> Option<OwnedSemaphorePermit> {
        let turns = self.at(payment);
        tokio::time::timeout(PATIENCE, turns.acquire_owned()).await.ok()?.ok()
    }

    fn at(&self, payment: PaymentId) -> Arc<Semaphore> {
        let mut all = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = all.get(&payment).and_then(Weak::upgrade) {
            return turns;
        }
        if all.len() >= KEPT_MIN {
            all.retain(|_, turns| turns.strong_count() > 0);
        }
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        all.insert(payment, Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn payment(number: u128) -> PaymentId {
        PaymentId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn a_few_go_at_once_and_the_others_wait_for_them() {
        let turns = Turns::default();
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(turns.wait(payment(1)).await.unwrap());
        }
        assert!(turns.wait(payment(2)).await.is_some(), "another payment has turns of its own");
        assert!(turns.wait(payment(1)).now_or_never().is_none(), "one too many goes on");
        held.pop();
        assert!(turns.wait(payment(1)).await.is_some());
    }

    #[tokio::test]
    async fn payments_that_nobody_is_at_are_forgotten() {
        let turns = Turns::default();
        let kept = turns.wait(payment(0)).await;
        for number in 1..=KEPT_MIN as u128 {
            drop(turns.wait(payment(number)).await);
        }
        let all = turns.at.lock().unwrap();
        assert!(all.len() < KEPT_MIN && all.contains_key(&payment(0)), "{}", all.len());
        drop(kept);
    }
}
