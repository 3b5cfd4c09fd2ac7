//! How fast this process calls Stripe, over all and for each endpoint.
//!
//! Source: <https://docs.stripe.com/rate-limits>

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{
    Jitter, Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::{
    sync::Mutex as Queue,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{client::Reply, json, wire};

/// The limiter that is about one object only.
const OF_ONE_OBJECT: &str = "resource-specific";
/// The code of a refusal because the object is being changed.
const LOCK_TIMEOUT: &str = "lock_timeout";
/// For an answer that asks for a slower pace and does not say for how long.
const PAUSE_DEFAULT: Duration = Duration::from_secs(1);
/// Processes that were refused together do not come back together.
const JITTER_MAX: Duration = Duration::from_secs(1);

/// The pace that all callers of this process share.
#[derive(Debug)]
pub(crate) struct Limiter {
    total: Option<Pace>,
    /// Calls a second for each endpoint; 0: any number.
    per_endpoint: u32,
    endpoints: Mutex<HashMap<String, Arc<Pace>>>,
    /// Stripe wants nothing before this moment.
    paused_until: Mutex<Option<Instant>>,
}

/// No place came free in time; nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("too many calls at once")]
pub(crate) struct Crowded {
    /// When it is worth while to ask again.
    pub(crate) after: Duration,
}

impl Limiter {
    /// So many calls a second in total and for each endpoint; 0: any number.
    pub(crate) fn new(total: u32, per_endpoint: u32) -> Self {
        Self {
            total: Pace::new(total),
            per_endpoint,
            endpoints: Mutex::default(),
            paused_until: Mutex::default(),
        }
    }

    /// Waits for a place, in the order of asking, until the moment `until`.
    pub(crate) async fn place(&self, endpoint: &str, until: Instant) -> Result<(), Crowded> {
        let of_endpoint = self.of_endpoint(endpoint);
        loop {
            self.wait_out_pause(until).await?;
            for pace in [of_endpoint.as_deref(), self.total.as_ref()].into_iter().flatten() {
                pace.place(until).await?;
            }
            // If a pause began while we waited, the place is lost: kept, it would be one of a burst when the pause ends.
            if self.pause_end().is_none() {
                return Ok(());
            }
        }
    }

    /// Learns from an answer: a refusal by a limiter slows everybody down, at the same place where Stripe counts.
    pub(crate) fn learn(&self, reply: &Reply) {
        let Some(pause) = pause(reply) else { return };
        let now = Instant::now();
        let end = now + (Jitter::up_to(JITTER_MAX) + pause);
        let mut paused_until = lock(&self.paused_until);
        let begins = paused_until.is_none_or(|until| until <= now);
        *paused_until = (*paused_until).max(Some(end));
        drop(paused_until);
        if begins {
            let limiter = reply.limited_by.as_deref().unwrap_or("unknown");
            let pause_ms = end.duration_since(now).as_millis();
            tracing::warn!(limiter, pause_ms, "Stripe asks for fewer calls; all calls pause");
        }
    }

    async fn wait_out_pause(&self, until: Instant) -> Result<(), Crowded> {
        while let Some(end) = self.pause_end() {
            if end > until {
                return Err(Crowded { after: end.saturating_duration_since(Instant::now()) });
            }
            sleep_until(end).await;
        }
        Ok(())
    }

    fn pause_end(&self) -> Option<Instant> {
        lock(&self.paused_until).filter(|end| *end > Instant::now())
    }

    fn of_endpoint(&self, endpoint: &str) -> Option<Arc<Pace>> {
        let mut endpoints = lock(&self.endpoints);
        if let Some(pace) = endpoints.get(endpoint) {
            return Some(Arc::clone(pace));
        }
        let pace = Arc::new(Pace::new(self.per_endpoint)?);
        endpoints.insert(endpoint.to_owned(), Arc::clone(&pace));
        Some(pace)
    }
}

/// How long everybody is to pause after an answer. That one object is locked, or changed too often, is no reason to
/// leave the others alone.
fn pause(reply: &Reply) -> Option<Duration> {
    if reply.status != 429 || reply.limited_by.as_deref() == Some(OF_ONE_OBJECT) {
        return None;
    }
    let error = json::read::<wire::ErrorBody>(&reply.body).map(|body| body.error).ok();
    let code = error.and_then(|error| error.code);
    if reply.limited_by.is_none() && code.as_deref() == Some(LOCK_TIMEOUT) {
        return None;
    }
    Some(reply.retry_after.unwrap_or(PAUSE_DEFAULT))
}

/// One limit. Its cells fill up at an even rate, and hold a tenth of a second's worth, so that no second sees much
/// more than the limit, whatever came before.
#[derive(Debug)]
struct Pace {
    cells: RateLimiter<NotKeyed, InMemoryState, Tokio, NoOpMiddleware<Duration>>,
    clock: Tokio,
    /// One caller at a time waits for a cell; the others wait for it, first come, first served.
    queue: Queue<()>,
}

impl Pace {
    fn new(per_second: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        let burst = NonZeroU32::new(per_second.get() / 10).unwrap_or(NonZeroU32::MIN);
        let clock = Tokio { origin: Instant::now() };
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Some(Self { cells: RateLimiter::direct_with_clock(quota, clock), clock, queue: Queue::default() })
    }

    async fn place(&self, until: Instant) -> Result<(), Crowded> {
        let crowded = |_| Crowded { after: PAUSE_DEFAULT };
        let _first = timeout_at(until, self.queue.lock()).await.map_err(crowded)?;
        while let Err(not_yet) = self.cells.check() {
            let wait = not_yet.wait_time_from(self.clock.now());
            let ready = Instant::now() + wait;
            if ready > until {
                return Err(Crowded { after: wait.max(PAUSE_DEFAULT) });
            }
            sleep_until(ready).await;
        }
        Ok(())
    }
}

/// The runtime's clock, which tests can move.
#[derive(Debug, Clone, Copy)]
struct Tokio {
    origin: Instant,
}

impl Clock for Tokio {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
