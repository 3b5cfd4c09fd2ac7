use time::Duration;

use super::{
    ATTEMPTS_CONTENDED, ErrorKind, Ports,
    learn::{Pair, end_rival},
    look,
};
use crate::{
    Actor, Break, BreakKind, Cause, Changes, IllegalTransition, IntentId, Lease, Mode, Payment, PaymentId,
    RefundSighting, RefundStanding, Standing,
    ports::{
        Committed, DisputeSnapshot, Fact, GatewayError, Heard, InboxEvent, Malformed, RefundSnapshot,
        Snapshot, StoreError,
    },
};

/// Reads a received event and commits what follows from it.
#[derive(Clone)]
pub struct RecordEvent {
    ports: Ports,
}

/// Why an event has no effect yet. The job is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordEventError {
    /// There is no such event.
    #[error("no such event")]
    UnknownEvent,
    /// It cannot be read, now or later.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It names a payment of ours that is not here: not yet visible, or lost with a restored backup.
    #[error("it names {0}, which is not here")]
    UnknownPayment(PaymentId),
    /// The event alone does not tell, and the gateway could not be asked.
    #[error("failed to look at the payment")]
    Gateway(#[from] GatewayError),
    /// A step that cannot be; nothing was stored.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The store did not take it.
    #[error("failed to store what follows from the event")]
    Store(#[from] StoreError),
}

impl RecordEventError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownEvent | Self::Illegal(_) => ErrorKind::Bug,
            Self::Malformed(_) => ErrorKind::Invalid,
            Self::UnknownPayment(_) => ErrorKind::NotFound,
            Self::Gateway(_) => ErrorKind::Unavailable,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(StoreError::LeaseLost) => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

impl RecordEvent {
    /// How long an event about a payment that is not here waits for it.
    pub const FOREIGN_AFTER: Duration = Duration::HOUR;

    /// The use case over these ports.
    pub fn new(ports: Ports) -> Self {
        Self { ports }
    }

    /// Reads the event whose job is held under `lease`. Repeating it, or reading another event about the same
    /// change, has no further effect.
    ///
    /// # Errors
    /// See [`RecordEventError`]; nothing was stored and the job is still there.
    pub async fn run(&self, lease: Lease, event: &str) -> Result<Committed, RecordEventError> {
        let received = self.ports.queue.event(event).await?.ok_or(RecordEventError::UnknownEvent)?;
        let told = match self.ports.gateway.understand(&received.body)? {
            Heard::Fact(fact) => fact,
            Heard::Nothing(why) => return self.conclude(lease, &why).await,
        };
        let Some(payment) = self.payment(&told).await? else {
            return match ours(&told) {
                Some(ours) => self.not_here(lease, &received, &told, ours).await,
                None => self.conclude(lease, "not a payment of ours").await,
            };
        };
        let facts = self.settle(&payment, told).await?;
        let (id, mut found) = (payment.id, Some(payment));
        for _ in 1..ATTEMPTS_CONTENDED {
            let outdated = found.is_some();
            let payment = match found.take() {
                Some(payment) => payment,
                None => self.newest(id, &facts).await?,
            };
            match self.once(lease, payment, &facts).await {
                Err(RecordEventError::Store(StoreError::Conflict)) => {}
                // It may have moved since it was found.
                Err(RecordEventError::Illegal(_)) if outdated => {}
                outcome => return outcome,
            }
        }
        self.once(lease, self.newest(id, &facts).await?, &facts).await
    }

    /// The payment as it is now. Another object of the gateway may have become a payment of its own meanwhile.
    async fn newest(&self, id: PaymentId, facts: &[Fact]) -> Result<Payment, RecordEventError> {
        if let Some(fact) = facts.first()
            && let Some(payment) = self.payment(fact).await?
        {
            return Ok(payment);
        }
        self.ports.store.payment(id).await?.ok_or(RecordEventError::UnknownPayment(id))
    }

    async fn once(
        &self,
        lease: Lease,
        payment: Payment,
        facts: &[Fact],
    ) -> Result<Committed, RecordEventError> {
        let store = &self.ports.store;
        let mut pair = with_order(&self.ports, payment).await?;
        let mut changes = Changes::because(Cause::Job(lease), Actor::Gateway, self.ports.clock.now());
        for fact in facts {
            learn::<RecordEventError>(&self.ports, &mut pair, &mut changes, fact).await?;
        }
        changes.conclusion = Some(match changes.steps.iter().filter(|step| step.is_news()).count() {
            0 if changes.breaks.is_empty() => "already true".to_owned(),
            0 => "kept as a break".to_owned(),
            steps => format!("{steps} steps"),
        });
        pair.guard(&mut changes);
        end_rival(&self.ports, &pair, &mut changes).await?;
        Ok(store.commit(changes).await?)
    }

    /// Finds the payment: by the gateway's names, else by our own id in the metadata, else by asking the gateway.
    pub(super) async fn payment(&self, fact: &Fact) -> Result<Option<Payment>, RecordEventError> {
        let store = &self.ports.store;
        let (intent, session, named) = match fact {
            Fact::Payment(told) => {
                (told.sighting.intent.as_ref(), told.sighting.session.as_ref(), told.payment)
            }
            Fact::Refund(told) => (told.intent.as_ref(), None, told.payment),
            Fact::Dispute(told) => (told.intent.as_ref(), None, None),
        };
        if let Some(intent) = intent
            && let Some(payment) = store.payment_by_intent(intent).await?
        {
            return Ok(Some(payment));
        }
        if let Some(session) = session
            && let Some(payment) = store.payment_by_session(session).await?
        {
            return Ok(Some(payment));
        }
        if let Some(named) = named {
            return Ok(store.payment(named).await?);
        }
        // A dispute or a refund may be heard of before the payment's own name is.
        match (fact, intent) {
            (Fact::Refund(_) | Fact::Dispute(_), Some(intent)) => {
                let seen = self.ports.gateway.intent(intent).await?;
                match seen.and_then(|answer| answer.snapshot.payment) {
                    Some(named) => Ok(store.payment(named).await?),
                    None => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// What one message cannot settle is settled by asking the gateway once.
    pub(super) async fn settle(&self, payment: &Payment, told: Fact) -> Result<Vec<Fact>, RecordEventError> {
        match told {
            Fact::Payment(told) => self.settle_payment(payment, *told).await,
            Fact::Refund(told) => self.settle_refund(payment, *told).await,
            // The newest word counts, and events come in any order: only a look tells.
            Fact::Dispute(told) => {
                let looked = self.first_look(payment, told.intent.as_ref()).await?;
                let seen = look::dispute::<RecordEventError>(&self.ports, &told.id).await?;
                let told = match seen {
                    Some(seen) => DisputeSnapshot { origin: told.origin, ..seen },
                    None => *told,
                };
                // The dispute first: money that it holds cannot be given back.
                Ok([Fact::Dispute(Box::new(told))].into_iter().chain(looked).collect())
            }
        }
    }

    async fn settle_payment(&self, payment: &Payment, told: Snapshot) -> Result<Vec<Fact>, RecordEventError> {
        let hold_unknown = matches!(told.sighting.standing, Standing::Authorized(_))
            && told.sighting.capture_before.or(payment.capture_before).is_none();
        // The fee came to be known: the message only says where to look.
        let fee_unknown = told.settled && payment.fee.is_none() && told.sighting.settlement.is_none();
        let looked = if payment.needs_look(&told.sighting) || hold_unknown || fee_unknown {
            self.look(payment, &told).await?
        } else {
            None
        };
        let intent = told.sighting.intent.clone().or_else(|| payment.intent.clone());
        let snapshots: Vec<_> = [Some(told), looked].into_iter().flatten().collect();
        let refunds = match intent {
            Some(intent) if snapshots.iter().any(|seen| has_other_refunds(payment, seen)) => {
                look::refunds(&self.ports, &intent).await?
            }
            Some(_) | None => Vec::new(),
        };
        let payments = snapshots.into_iter().map(|snapshot| Fact::Payment(Box::new(snapshot)));
        Ok(payments.chain(refunds).collect())
    }

    async fn settle_refund(
        &self,
        payment: &Payment,
        mut told: RefundSnapshot,
    ) -> Result<Vec<Fact>, RecordEventError> {
        let more = told.amount.is_none_or(|amount| {
            payment.refunded.plus(amount).is_ok_and(|sum| sum.minor() > payment.captured.minor())
        });
        let looked = if more { self.first_look(payment, told.intent.as_ref()).await? } else { None };
        if let Some(seen) = self.moved(&told).await? {
            told.sighting.settlement = told.sighting.settlement.or(seen.settlement);
            told.sighting.reversal = told.sighting.reversal.or(seen.reversal);
        }
        Ok(looked.into_iter().chain([Fact::Refund(Box::new(told))]).collect())
    }

    /// A message about a refund does not hold what the refund moved in the balance, or what its coming back did: as
    /// long as that is not known, the gateway is asked.
    async fn moved(&self, told: &RefundSnapshot) -> Result<Option<RefundSighting>, RecordEventError> {
        let known = self.ports.store.refund_by_gateway(&told.sighting.id).await?;
        let (settled, reversed) =
            known.map_or((false, false), |known| (known.settlement.is_some(), known.reversal.is_some()));
        let explained = match told.sighting.standing {
            RefundStanding::Pending | RefundStanding::Succeeded => {
                settled || told.sighting.settlement.is_some()
            }
            RefundStanding::Cancelled | RefundStanding::Failed => {
                reversed || told.sighting.reversal.is_some()
            }
        };
        if explained {
            return Ok(None);
        }
        Ok(self.ports.gateway.refund(&told.sighting.id).await?.map(|seen| seen.sighting))
    }

    /// Before anything can be given back or withheld, it must have been taken.
    async fn first_look(
        &self,
        payment: &Payment,
        intent: Option<&IntentId>,
    ) -> Result<Option<Fact>, RecordEventError> {
        match intent {
            Some(intent) if payment.captured.is_zero() => {
                let begun = self.ports.clock.now();
                let seen = self.ports.gateway.intent(intent).await?;
                let seen = seen.map(|seen| look::newest(begun, payment, None, seen.snapshot));
                Ok(seen.map(|seen| Fact::Payment(Box::new(seen))))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// One message does not settle it: ask the gateway how the payment stands now.
    async fn look(&self, payment: &Payment, told: &Snapshot) -> Result<Option<Snapshot>, GatewayError> {
        let gateway = &self.ports.gateway;
        let session = told.sighting.session.as_ref().or(payment.session.as_ref());
        let mut intent = told.sighting.intent.clone().or_else(|| payment.intent.clone());
        let begun = self.ports.clock.now();
        let mut seen = None;
        if let (None, Some(session)) = (&intent, session) {
            seen = gateway.session(session).await?.map(|page| page.snapshot);
            intent = seen.as_ref().and_then(|page| page.sighting.intent.clone());
        }
        if let Some(intent) = &intent {
            seen = gateway.intent(intent).await?.map(|answer| answer.snapshot);
        }
        Ok(seen.map(|seen| look::newest(begun, payment, Some(told), seen)))
    }

    /// It names a payment that is not here: our own commit may not be visible yet, so it is tried again for a while,
    /// and is then kept as a break.
    async fn not_here(
        &self,
        lease: Lease,
        received: &InboxEvent,
        told: &Fact,
        named: PaymentId,
    ) -> Result<Committed, RecordEventError> {
        let now = self.ports.clock.now();
        if now - received.created_at < Self::FOREIGN_AFTER {
            return Err(RecordEventError::UnknownPayment(named));
        }
        let mut changes = Changes::because(Cause::Job(lease), Actor::Gateway, now);
        let mut found = foreign(received.mode, told, named, &format!("told by {}", received.id));
        found.object = found.object.or_else(|| received.object.clone());
        changes.breaks.push(found);
        changes.conclusion = Some("kept as a break".to_owned());
        Ok(self.ports.store.commit(changes).await?)
    }

    async fn conclude(&self, lease: Lease, why: &str) -> Result<Committed, RecordEventError> {
        let mut changes = Changes::because(Cause::Job(lease), Actor::System, self.ports.clock.now());
        changes.conclusion = Some(why.to_owned());
        Ok(self.ports.store.commit(changes).await?)
    }
}

/// Whether the gateway's total tells of refunds that we have not heard of: more was given back, or, while none of ours
/// is under way, less.
fn has_other_refunds(payment: &Payment, seen: &Snapshot) -> bool {
    let Standing::Captured { refunded, .. } = seen.sighting.standing else { return false };
    let all_sent = payment.refunded == payment.returned;
    refunded > payment.refunded.minor() || all_sent && refunded < payment.returned.minor()
}

/// An object of the gateway that names a payment of ours which is not here.
pub(super) fn foreign(mode: Mode, told: &Fact, named: PaymentId, how: &str) -> Break {
    let (object, at_risk) = match told {
        Fact::Payment(told) => {
            let (intent, session) = (&told.sighting.intent, &told.sighting.session);
            let page = || session.as_ref().map(ToString::to_string);
            (intent.as_ref().map(ToString::to_string).or_else(page), told.amount)
        }
        Fact::Refund(told) => (Some(told.sighting.id.to_string()), told.amount),
        Fact::Dispute(told) => (Some(told.id.to_string()), Some(told.sighting.amount)),
    };
    let detail = format!("it names {named}, which is not here; {how}");
    Break { kind: BreakKind::ForeignObject, mode, order: None, payment: None, object, detail, at_risk }
}

/// The payment of ours that a fact names.
pub(super) fn ours(fact: &Fact) -> Option<PaymentId> {
    match fact {
        Fact::Payment(told) => told.payment,
        Fact::Refund(told) => told.payment,
        Fact::Dispute(_) => None,
    }
}

/// A payment with its order.
pub(super) async fn load(ports: &Ports, id: PaymentId) -> Result<Option<Pair>, StoreError> {
    match ports.store.payment(id).await? {
        Some(payment) => with_order(ports, payment).await.map(Some),
        None => Ok(None),
    }
}

async fn with_order(ports: &Ports, payment: Payment) -> Result<Pair, StoreError> {
    let order = ports.store.order(payment.order).await?.ok_or_else(|| StoreError::Inconsistent {
        table: "payments",
        column: "order_id",
        id: payment.id.to_string(),
    })?;
    Ok(Pair { order, payment })
}

/// Whether another object of the gateway that claims to be this payment has become a payment of its own here, which
/// hears of it.
async fn is_known_as_another(ports: &Ports, payment: &Payment, told: &Snapshot) -> Result<bool, StoreError> {
    let (intent, session) = (&told.sighting.intent, &told.sighting.session);
    let by_intent = match intent.as_ref().filter(|_| *intent != payment.intent) {
        Some(intent) => ports.store.payment_by_intent(intent).await?,
        None => None,
    };
    let by_session = match session.as_ref().filter(|_| *session != payment.session) {
        Some(session) => ports.store.payment_by_session(session).await?,
        None => None,
    };
    Ok([by_intent, by_session].into_iter().flatten().any(|other| other.id != payment.id))
}

/// Adds what follows from any fact. Refunds and disputes are found by our own id, else by the gateway's name.
pub(super) async fn learn<E>(
    ports: &Ports,
    pair: &mut Pair,
    changes: &mut Changes,
    fact: &Fact,
) -> Result<(), E>
where
    E: From<StoreError> + From<IllegalTransition>,
{
    let store = &ports.store;
    match fact {
        Fact::Payment(told) if is_known_as_another(ports, &pair.payment, told).await? => {}
        Fact::Payment(told) => pair.learn(changes, told, ports)?,
        Fact::Refund(told) => {
            let named = match store.refund_by_gateway(&told.sighting.id).await? {
                Some(refund) => Some(refund),
                None => match told.refund {
                    Some(id) => store.refund(id).await?.filter(|refund| refund.payment == pair.payment.id),
                    None => None,
                },
            };
            pair.learn_refund(changes, named, told, ports)?;
        }
        Fact::Dispute(told) => {
            let known = store.dispute_by_gateway(&told.id).await?;
            pair.learn_dispute(changes, known, told, ports)?;
        }
    }
    Ok(())
}
