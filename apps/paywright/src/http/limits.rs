//! How often somebody may try to pay, and guess an API key: who is asking, what is said to one more, and what happens while
//! somebody tests cards. Reads and webhooks pass without being looked at.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
};
use ipnet::IpNet;
use paywright_domain::{
    Admission, ApiKeyId, Attempt, Breaker, Lately, Limits, Mode, Network, OrderId, Rule, ports::Limiter,
};

use super::{
    client_address::client_address,
    problem::{Problem, chain},
};
use crate::{
    config::{OnManyDeclines, Settings},
    metrics::record,
    wiring::App,
};

/// How often it is looked at what became of attempts.
const LOOK: Duration = Duration::from_secs(2);

/// Who may come through.
pub struct Gate {
    limiter: Arc<dyn Limiter>,
    mode: Mode,
    limits: Limits,
    breaker: Breaker,
    on_many_declines: OnManyDeclines,
    proxies: Vec<IpNet>,
    seen: Mutex<Option<Seen>>,
    warned: AtomicBool,
}

/// The last look at the declines of the whole shop.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Whether there are too many.
    pub is_open: bool,
    /// What there was.
    pub lately: Lately,
    at: Instant,
}

impl Gate {
    /// The gate of this process, which counts together with all others.
    pub fn new(settings: &Settings, limiter: Arc<dyn Limiter>) -> Self {
        let limits = &settings.limits;
        Self {
            limiter,
            mode: settings.mode,
            limits: limits.quotas(),
            breaker: limits.many_declines(),
            on_many_declines: limits.breaker,
            proxies: settings.http.trusted_proxies.clone(),
            seen: Mutex::default(),
            warned: AtomicBool::new(false),
        }
    }

    /// From where a request comes.
    pub fn network(&self, request: &HttpRequest) -> Network {
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        self.warn_of_undeclared(peer, request);
        client_address(peer, request.headers(), &self.proxies).into()
    }

    /// Counts an attempt to pay an order.
    ///
    /// # Errors
    /// 429 when there were too many; 503 while no payments are taken, and when it cannot be counted.
    pub async fn admit(
        &self,
        order: OrderId,
        network: Option<Network>,
        key: Option<ApiKeyId>,
    ) -> Result<(), Problem> {
        let limits = match (self.on_many_declines, self.seen().filter(|seen| seen.is_open)) {
            (OnManyDeclines::Refuse, Some(seen)) => return Err(paused(seen)),
            (OnManyDeclines::Tighten, Some(_)) => self.limits.tightened(),
            (OnManyDeclines::Off, _) | (OnManyDeclines::Tighten | OnManyDeclines::Refuse, None) => {
                self.limits
            }
        };
        if limits == Limits::default() {
            return Ok(());
        }
        let verdict = self.limiter.admit(Attempt { mode: self.mode, order, network, key }, limits).await?;
        self.heed(verdict, &limits)
            .inspect_err(|_| tracing::info!(order.id = %order, "an attempt to pay was refused"))
    }

    /// Counts a request with an API key that is none. It is told apart from others by where it comes from alone, and a right
    /// key is never refused: nobody can lock out anybody.
    ///
    /// # Errors
    /// 429 when there were too many; 503 when it cannot be counted.
    pub async fn bad_key(&self, request: &HttpRequest) -> Result<(), Problem> {
        let Some(quota) = self.limits.bad_keys_per_address else { return Ok(()) };
        let verdict = self.limiter.bad_key(self.network(request), quota).await?;
        self.heed(verdict, &self.limits)
    }

    fn heed(&self, verdict: Admission, limits: &Limits) -> Result<(), Problem> {
        let Admission::Refused { rule, wait } = verdict else { return Ok(()) };
        record::refused(rule.into());
        let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many attempts")
            .detail(words(rule))
            .retry_after(seconds(wait));
        if let Some(quota) = limits.quota(rule) {
            problem = problem.limited(rule, quota);
        }
        Err(problem)
    }

    /// The last look, if somebody looks.
    pub fn seen(&self) -> Option<Seen> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what became of attempts, and tells when there begin or cease to be too many declines.
    pub async fn look(&self) {
        let lately = match self.limiter.lately(self.mode, self.breaker).await {
            Ok(lately) => lately,
            // A database that is away is loud enough.
            Err(error) if error.is_transient() => return,
            Err(error) => {
                tracing::error!(error = chain(&error), "cannot look at what became of attempts to pay");
                return;
            }
        };
        let was_open = self.seen().is_some_and(|seen| seen.is_open);
        let is_open = self.breaker.is_open(was_open, lately);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Seen { is_open, lately, at: Instant::now() });
        let (declined, paid) = (lately.declined, lately.paid);
        let limits_breaker: &str = self.on_many_declines.into();
        match (was_open, is_open) {
            (false, true) => tracing::error!(
                declined,
                paid,
                limits_breaker,
                "too many attempts to pay are declined: somebody may be testing cards (docs/limits.md)"
            ),
            (true, false) => {
                tracing::warn!(declined, paid, "attempts to pay are declined no more than usual again")
            }
            (false, false) | (true, true) => {}
        }
    }

    /// A proxy that nobody declared makes all shoppers look like one.
    fn warn_of_undeclared(&self, peer: IpAddr, request: &HttpRequest) {
        let inside = match peer.to_canonical() {
            IpAddr::V4(peer) => peer.is_private() || peer.is_loopback(),
            IpAddr::V6(peer) => peer.is_unique_local() || peer.is_loopback(),
        };
        let says = |name| request.headers().contains_key(name);
        let declared = self.proxies.iter().any(|network| network.contains(&peer.to_canonical()));
        if inside
            && !declared
            && (says(header::X_FORWARDED_FOR) || says(header::FORWARDED))
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                proxy = %peer,
                "a proxy that is not in http.trusted_proxies says from where requests come: it is not believed, and all \
                 who come through it are limited together"
            );
        }
    }
}

/// Looks again and again, as long as there is something to look for.
pub async fn watch(app: Weak<App>) {
    while let Some(app) = app.upgrade() {
        if app.gate.on_many_declines == OnManyDeclines::Off {
            return;
        }
        app.gate.look().await;
        drop(app);
        tokio::time::sleep(LOOK).await;
    }
}

fn paused(seen: Seen) -> Problem {
    record::refused(record::PAUSED);
    let few_in = Duration::try_from(seen.lately.few_in).unwrap_or_default();
    let rest = (few_in + LOOK).saturating_sub(seen.at.elapsed());
    let title = "No payments are taken for the moment";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "payments_paused", title)
        .detail("too many attempts of the whole shop were declined; nothing was started")
        .retry_after(seconds(time::Duration::try_from(rest).unwrap_or_default()))
}

/// Whole ones, rounded up: who waits so long has waited long enough.
fn seconds(wait: time::Duration) -> u64 {
    let rounded = wait + time::Duration::SECOND - time::Duration::NANOSECOND;
    u64::try_from(rounded.whole_seconds()).unwrap_or_default().max(1)
}

fn words(rule: Rule) -> &'static str {
    match rule {
        Rule::PaymentsPerAddress => "too many payments were asked for from this shopper's address",
        Rule::PaymentsPerOrder => "too many payments were started for this order",
        Rule::PaymentsPerCustomer => "too many payments were asked for by this order's customer",
        Rule::PaymentsPerKey => "too many payments were asked for under this API key",
        Rule::DeclinesPerAddress => "too many attempts from this shopper's address were declined",
        Rule::DeclinesPerOrder => "too many attempts on this order were declined",
        Rule::DeclinesPerCustomer => "too many attempts of this order's customer were declined",
        Rule::BadKeysPerAddress => "too many requests with a wrong API key came from this address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_too_short() {
        for (millis, told) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            assert_eq!(seconds(time::Duration::milliseconds(millis)), told, "{millis}");
        }
    }
}
