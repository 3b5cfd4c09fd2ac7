use async_trait::async_trait;
use paywright_domain::{
    Admission, Attempt, Breaker, Lately, Limits, Meter, Mode, Network, Order, PaymentState, Quota, Rule,
    ports::{Limiter, StoreError},
};
use time::{Duration, OffsetDateTime};

use super::{MemoryStore, state::State};

#[async_trait]
impl Limiter for MemoryStore {
    async fn admit(&self, attempt: Attempt, limits: Limits) -> Result<Admission, StoreError> {
        let now = self.clock.now();
        let mut state = self.rows();
        let takes = state.takes(&attempt, &limits);
        let metered =
            takes.iter().map(|(rule, subject, quota)| verdict(*rule, state.meter(subject, now), *quota, now));
        let counted = state.counted(&attempt, &limits, now);
        let verdict = metered.fold(counted, Admission::and);
        if verdict == Admission::Admitted {
            for (_, subject, quota) in takes {
                let meter = state.meter(&subject, now).after(1, quota, now);
                state.meters.insert(subject, meter);
            }
            state.origins.extend(attempt.network.map(|network| (network, attempt.order)));
        }
        Ok(verdict)
    }

    async fn bad_key(&self, network: Network, quota: Quota) -> Result<Admission, StoreError> {
        let now = self.clock.now();
        let mut state = self.rows();
        let (rule, subject) = (Rule::BadKeysPerAddress, format!("{} {network}", Rule::BadKeysPerAddress));
        let meter = state.meter(&subject, now);
        let verdict = verdict(rule, meter, quota, now);
        if verdict == Admission::Admitted {
            state.meters.insert(subject, meter.after(1, quota, now));
        }
        Ok(verdict)
    }

    async fn lately(&self, mode: Mode, breaker: Breaker) -> Result<Lately, StoreError> {
        let (now, state, window) = (self.clock.now(), self.rows(), breaker.declines.window());
        let declined = state.declined_of(|order| order.mode == mode);
        let declined: Vec<_> = declined.into_iter().take_while(|at| *at > now - window).collect();
        let has_money = |state| {
            matches!(state, PaymentState::Processing | PaymentState::Authorized | PaymentState::Captured)
        };
        let paid = state.payments.values().filter(|payment| {
            payment.mode == mode && payment.created_at > now - window && has_money(payment.state)
        });
        let nth = declined.get(breaker.few() as usize);
        Ok(Lately {
            declined: u32::try_from(declined.len()).unwrap_or(u32::MAX),
            paid: u32::try_from(paid.count()).unwrap_or(u32::MAX),
            few_in: nth.map_or(Duration::ZERO, |nth| *nth + window - now),
        })
    }
}

impl State {
    fn meter(&self, subject: &str, now: OffsetDateTime) -> Meter {
        self.meters.get(subject).copied().unwrap_or(Meter::unused(now))
    }

    /// The meters that an attempt takes from.
    fn takes(&self, attempt: &Attempt, limits: &Limits) -> Vec<(Rule, String, Quota)> {
        let Attempt { mode, order, network, key } = attempt;
        let customer = self.orders.get(order).and_then(|order| order.customer);
        let takes = [
            (Rule::PaymentsPerAddress, network.map(|network| format!("{mode} {network}"))),
            (Rule::PaymentsPerCustomer, customer.map(|customer| customer.to_string())),
            (Rule::PaymentsPerKey, key.map(|key| key.to_string())),
        ];
        let take = |(rule, who): (Rule, Option<String>)| {
            Some((rule, format!("{rule} {}", who?), limits.quota(rule)?))
        };
        takes.into_iter().filter_map(take).collect()
    }

    /// What is said of what counts by itself.
    fn counted(&self, attempt: &Attempt, limits: &Limits, now: OffsetDateTime) -> Admission {
        let Attempt { mode, order: id, network, .. } = attempt;
        let customer = self.orders.get(id).and_then(|order| order.customer);
        let payments = self.payments.values().rev().filter(|payment| payment.order == *id);
        let from_there = |order: &Order| {
            order.mode == *mode && network.is_some_and(|network| self.origins.contains(&(network, order.id)))
        };
        let counted = [
            (Rule::PaymentsPerOrder, payments.map(|payment| payment.created_at).collect()),
            (Rule::DeclinesPerAddress, self.declined_of(from_there)),
            (Rule::DeclinesPerOrder, self.declined_of(|order| order.id == *id)),
            (
                Rule::DeclinesPerCustomer,
                self.declined_of(|order| customer.is_some() && order.customer == customer),
            ),
        ];
        let said = counted.into_iter().filter_map(|(rule, moments): (Rule, Vec<_>)| {
            let wait = limits.quota(rule)?.wait(moments.into_iter(), now)?;
            Some(Admission::Refused { rule, wait })
        });
        said.fold(Admission::Admitted, Admission::and)
    }

    /// When attempts on these orders were declined, the newest first.
    fn declined_of(&self, wanted: impl Fn(&Order) -> bool) -> Vec<OffsetDateTime> {
        let is_wanted = |id| self.orders.get(id).is_some_and(&wanted);
        let declines = self.declines.iter().filter(|decline| is_wanted(&decline.order));
        let mut moments: Vec<_> = declines.map(|decline| decline.refusal.at).collect();
        moments.sort_unstable_by(|one, other| other.cmp(one));
        moments
    }
}

fn verdict(rule: Rule, meter: Meter, quota: Quota, now: OffsetDateTime) -> Admission {
    match meter.room(quota, now) {
        0 => Admission::Refused { rule, wait: meter.wait(quota, now) },
        _ => Admission::Admitted,
    }
}
