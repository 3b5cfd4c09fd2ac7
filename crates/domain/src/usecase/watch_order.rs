use time::{Duration, OffsetDateTime};

use super::{
    ATTEMPTS_CONTENDED, CancelOrderError, ErrorKind, ExpiringHold, Policy, Ports, cancel_order,
    learn::{DISPUTE_NOTICE, HOLD_NOTICE, Pair, SECOND_CHANCE, end_rival},
    look,
    record_event::learn,
};
use crate::{
    Actor, Applied, CancelReason, Cause, Changes, Dispute, DisputeEvent, IllegalTransition, Lease, Order,
    OrderEvent, OrderId, OrderState, Payment, PaymentEvent, PaymentId, PaymentState, Step,
    ports::{Committed, Fact, GatewayError, StoreError},
};

/// Looks after an order when its timer rings: cancels it if nobody paid in time, decides about a hold before it runs
/// out, tells of a dispute's deadline, and asks the gateway about what was not heard of.
#[derive(Clone)]
pub struct WatchOrder {
    ports: Ports,
    policy: Policy,
}

/// Why the order could not be looked after; the job is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchOrderError {
    /// The gateway did not answer.
    #[error("failed to look at a payment")]
    Gateway(#[from] GatewayError),
    /// A step that cannot be; nothing was stored.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The order could not be cancelled; nothing was stored.
    #[error(transparent)]
    Cancel(#[from] CancelOrderError),
    /// The store did not take it.
    #[error("failed to store what was decided")]
    Store(#[from] StoreError),
}

impl WatchOrderError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Gateway(_) => ErrorKind::Unavailable,
            Self::Illegal(_) => ErrorKind::Bug,
            Self::Cancel(error) => error.kind(),
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(StoreError::LeaseLost) => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }

    fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Conflict) | Self::Cancel(CancelOrderError::Store(StoreError::Conflict))
        )
    }
}

impl WatchOrder {
    /// How long before a hold runs out it is decided about.
    pub const HOLD_DECIDED: Duration = Duration::hours(2);
    /// When to ask again about what was not heard of.
    const ASK_AGAIN: Duration = Duration::hours(6);
    /// How long a fee is waited for; it comes within days, or with the books.
    const FEE_PATIENCE: Duration = Duration::days(7);

    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        Self { ports, policy }
    }

    /// Looks after the order; the job held under `lease` is completed. While the order may need another look, a new
    /// timer is set.
    ///
    /// # Errors
    /// See [`WatchOrderError`]; the job is still there.
    pub async fn run(&self, lease: Lease, id: OrderId) -> Result<(), WatchOrderError> {
        let mut looked = Vec::new();
        for payment in self.ports.store.payments(id).await? {
            if self.wants_a_look(&payment).await? {
                match look::everything::<WatchOrderError>(&self.ports, &payment).await {
                    Ok(facts) => looked.push((payment.id, facts)),
                    // A hold runs out whether or not the gateway can be asked.
                    Err(WatchOrderError::Gateway(_)) if payment.state == PaymentState::Authorized => {}
                    Err(error) => return Err(error),
                }
            }
        }
        for _ in 1..ATTEMPTS_CONTENDED {
            match self.once(lease, id, &looked).await {
                Err(error) if error.is_conflict() => {}
                outcome => return outcome,
            }
        }
        self.once(lease, id, &looked).await
    }

    /// Whether something is under way of which the gateway may know more.
    async fn wants_a_look(&self, payment: &Payment) -> Result<bool, StoreError> {
        Ok(match payment.state {
            PaymentState::Captured => {
                payment.fee.is_none()
                    || payment.refunded != payment.returned
                    || self.disputes(payment.id).await?.iter().any(|dispute| dispute.seen.status.is_open())
            }
            PaymentState::Processing | PaymentState::Authorized => true,
            PaymentState::Created
            | PaymentState::Pending
            | PaymentState::RequiresAction
            | PaymentState::Failed
            | PaymentState::Cancelled => false,
        })
    }

    async fn disputes(&self, payment: PaymentId) -> Result<Vec<Dispute>, StoreError> {
        self.ports.store.disputes(payment).await
    }

    /// First what was seen, then what is due.
    async fn once(
        &self,
        lease: Lease,
        id: OrderId,
        looked: &[(PaymentId, Vec<Fact>)],
    ) -> Result<(), WatchOrderError> {
        let store = &self.ports.store;
        let mut changes = Changes::because(Cause::Job(lease), Actor::System, self.ports.clock.now());
        let Some(mut order) = store.order(id).await? else {
            changes.conclusion = Some("no such order".to_owned());
            let _ = store.commit(changes).await?;
            return Ok(());
        };
        let (mut due, mut pairs) = (Vec::new(), Vec::new());
        for payment in store.payments(id).await? {
            let mut pair = Pair { order, payment };
            let facts = looked.iter().find(|(payment, _)| *payment == pair.payment.id);
            for fact in facts.map(|(_, facts)| facts.as_slice()).unwrap_or_default() {
                learn::<WatchOrderError>(&self.ports, &mut pair, &mut changes, fact).await?;
            }
            due.extend(self.hold(&mut pair, &mut changes)?);
            due.extend(self.deadlines(&pair, &mut changes).await?);
            due.extend(self.still_unknown(&pair, &changes).await?);
            order = pair.order.clone();
            pairs.push(pair);
        }
        let live = pairs.iter().map(|pair| &pair.payment).find(|payment| payment.state.is_live());
        due.extend(self.unpaid(&order, live, &mut changes)?);
        for pair in pairs {
            let pair = Pair { order: order.clone(), ..pair };
            pair.guard(&mut changes);
            if pair.order.paid_by == Some(pair.payment.id) {
                end_rival(&self.ports, &pair, &mut changes).await?;
            }
        }
        if let Some(at) = due.into_iter().min() {
            let soonest = changes.at + Duration::MINUTE;
            changes.watch(self.ports.new_id(), id, at.max(soonest));
        }
        changes.conclusion = Some(format!("{} steps", changes.steps.len()));
        match store.commit(changes).await? {
            Committed::Now | Committed::Before => Ok(()),
        }
    }

    /// Decides about a hold before it runs out; before that, tells an operator.
    fn hold(
        &self,
        pair: &mut Pair,
        changes: &mut Changes,
    ) -> Result<Option<OffsetDateTime>, IllegalTransition> {
        let Some(until) = pair.payment.capture_before else { return Ok(None) };
        if pair.payment.state != PaymentState::Authorized {
            return Ok(None);
        }
        let (told, decided) = (until - HOLD_NOTICE, until - Self::HOLD_DECIDED);
        if changes.at < told {
            return Ok(Some(told));
        }
        pair.payment_event(changes, PaymentEvent::HoldExpiring)?;
        if changes.at < decided {
            return Ok(Some(decided));
        }
        if !pair.payment.capture_requested && !pair.payment.end_requested {
            match self.policy.expiring_hold {
                ExpiringHold::Void => pair.end(changes, &self.ports, CancelReason::Expired, None)?,
                ExpiringHold::Capture => {
                    let everything = pair.payment.capturable;
                    pair.capture(changes, &self.ports, everything, None)?;
                }
            }
        }
        // Whatever becomes of it: an order that is not paid then has had its second chance.
        Ok(Some(until.max(changes.at) + SECOND_CHANCE))
    }

    /// Tells an operator of disputes that nobody has answered.
    async fn deadlines(
        &self,
        pair: &Pair,
        changes: &mut Changes,
    ) -> Result<Option<OffsetDateTime>, WatchOrderError> {
        let mut next: Option<OffsetDateTime> = None;
        for mut dispute in self.disputes(pair.payment.id).await? {
            if let Some(newest) = changes.last_dispute(dispute.id) {
                dispute = newest.clone();
            }
            let Some(due_by) = dispute.seen.due_by.filter(|_| dispute.is_answerable()) else { continue };
            let told = due_by - DISPUTE_NOTICE;
            if changes.at < told {
                next = Some(next.map_or(told, |next| next.min(told)));
            } else if let applied @ Applied::Moved(_) = dispute.apply(DisputeEvent::DeadlineNear)? {
                changes.dispute(applied);
            }
        }
        Ok(next)
    }

    /// When to ask again about what the gateway has not told yet.
    async fn still_unknown(
        &self,
        pair: &Pair,
        changes: &Changes,
    ) -> Result<Option<OffsetDateTime>, StoreError> {
        let payment = &pair.payment;
        let fee = payment.state == PaymentState::Captured
            && payment.fee.is_none()
            && changes.at - payment.created_at < Self::FEE_PATIENCE;
        let refunding = payment.refunded != payment.returned;
        let unsettled = match payment.state {
            PaymentState::Processing => true,
            // Nobody said when the hold runs out.
            PaymentState::Authorized => payment.capture_before.is_none(),
            PaymentState::Created
            | PaymentState::Pending
            | PaymentState::RequiresAction
            | PaymentState::Failed
            | PaymentState::Cancelled
            | PaymentState::Captured => false,
        };
        let open = fee || refunding || unsettled || self.is_disputed(payment.id, changes).await?;
        Ok(open.then_some(changes.at + Self::ASK_AGAIN))
    }

    /// Whether the gateway still decides about a dispute, as far as is known now.
    async fn is_disputed(&self, payment: PaymentId, changes: &Changes) -> Result<bool, StoreError> {
        let told = changes.steps.iter().filter_map(|step| match step {
            Step::Dispute(step) if step.after().payment == payment => Some(step.after().id),
            Step::Dispute(_) | Step::Order(_) | Step::Payment(_) | Step::Refund(_) => None,
        });
        let told: Vec<_> = told.filter_map(|id| changes.last_dispute(id)).collect();
        let known = self.disputes(payment).await?;
        let untold = known.iter().filter(|known| told.iter().all(|told| told.id != known.id));
        Ok(untold.chain(told.iter().copied()).any(|dispute| dispute.seen.status.is_open()))
    }

    /// Cancels an order that nobody paid in time, and goes on with a cancellation that got stuck.
    fn unpaid(
        &self,
        order: &Order,
        live: Option<&Payment>,
        changes: &mut Changes,
    ) -> Result<Option<OffsetDateTime>, WatchOrderError> {
        let now = changes.at;
        if !order.state.is_unpaid() || order.state == OrderState::Authorized && order.cancellation.is_none() {
            return Ok(None);
        }
        if order.cancellation.is_none() && now < order.expires_at {
            return Ok(Some(order.expires_at));
        }
        // A hold that was just found lost leaves a second chance.
        let lost =
            |step: &Step| matches!(step, Step::Order(step) if *step.event() == OrderEvent::AuthorizationLost);
        if changes.steps.iter().any(lost) {
            return Ok(None);
        }
        let (order, live) = (order.clone(), live.cloned());
        cancel_order::end_with(&self.ports, changes, order, live, CancelReason::Expired, None)?;
        Ok(None)
    }
}
