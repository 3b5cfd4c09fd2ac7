use super::{ATTEMPTS_MAX, ErrorKind, Ports, learn::Pair};
use crate::{
    Actor, Cause, Changes, IllegalTransition, Lease, Payment, PaymentId,
    ports::{Committed, GatewayError, Heard, Malformed, Snapshot, StoreError},
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
        let snapshot = match self.ports.gateway.understand(&received.body)? {
            Heard::Payment(snapshot) => *snapshot,
            Heard::Nothing(why) => return self.conclude(lease, &why).await,
        };
        let Some(payment) = self.payment(&snapshot).await? else {
            return match snapshot.payment {
                Some(ours) => Err(RecordEventError::UnknownPayment(ours)),
                None => self.conclude(lease, "not a payment of ours").await,
            };
        };
        let looked =
            if payment.needs_look(&snapshot.sighting) { self.look(&payment, &snapshot).await? } else { None };
        for _ in 1..ATTEMPTS_MAX {
            match self.once(lease, payment.id, &snapshot, looked.as_ref()).await {
                Err(RecordEventError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        self.once(lease, payment.id, &snapshot, looked.as_ref()).await
    }

    async fn once(
        &self,
        lease: Lease,
        id: PaymentId,
        told: &Snapshot,
        looked: Option<&Snapshot>,
    ) -> Result<Committed, RecordEventError> {
        let store = &self.ports.store;
        let payment = store.payment(id).await?.ok_or(RecordEventError::UnknownPayment(id))?;
        let order = store.order(payment.order).await?.ok_or_else(|| StoreError::Inconsistent {
            table: "payments",
            column: "order_id",
            id: payment.id.to_string(),
        })?;
        let mut pair = Pair { order, payment };
        let mut changes = Changes::because(Cause::Job(lease), Actor::Gateway, self.ports.clock.now());
        pair.learn(&mut changes, told, &self.ports)?;
        if let Some(looked) = looked {
            pair.learn(&mut changes, looked, &self.ports)?;
        }
        changes.conclusion = Some(match changes.steps.len() {
            0 if changes.breaks.is_empty() => "already true".to_owned(),
            0 => "kept as a break".to_owned(),
            steps => format!("{steps} steps"),
        });
        pair.guard(&mut changes);
        Ok(store.commit(changes).await?)
    }

    /// Finds the payment: by our own id in the metadata, else by the gateway's ids.
    async fn payment(&self, snapshot: &Snapshot) -> Result<Option<Payment>, StoreError> {
        let store = &self.ports.store;
        if let Some(id) = snapshot.payment {
            return store.payment(id).await;
        }
        if let Some(intent) = &snapshot.sighting.intent
            && let Some(payment) = store.payment_by_intent(intent).await?
        {
            return Ok(Some(payment));
        }
        match &snapshot.sighting.session {
            Some(session) => store.payment_by_session(session).await,
            None => Ok(None),
        }
    }

    /// One message does not settle it: ask the gateway how the payment stands now.
    async fn look(&self, payment: &Payment, told: &Snapshot) -> Result<Option<Snapshot>, GatewayError> {
        let gateway = &self.ports.gateway;
        let session = told.sighting.session.as_ref().or(payment.session.as_ref());
        let mut intent = told.sighting.intent.clone().or_else(|| payment.intent.clone());
        let mut seen = None;
        if let (None, Some(session)) = (&intent, session) {
            seen = gateway.session(session).await?.map(|page| page.snapshot);
            intent = seen.as_ref().and_then(|page| page.sighting.intent.clone());
        }
        if let Some(intent) = &intent {
            seen = gateway.intent(intent).await?.map(|answer| answer.snapshot);
        }
        Ok(seen.map(|seen| self.newest(payment, told, seen)))
    }

    /// A look is newer than everything that was known before it began, although the gateway's clock, in whole seconds,
    /// may not show it.
    fn newest(&self, payment: &Payment, told: &Snapshot, mut seen: Snapshot) -> Snapshot {
        let known = payment.seen_at.map_or(told.sighting.at, |at| at.max(told.sighting.at));
        let within = self.ports.clock.now().microsecond();
        let at = seen.sighting.at.replace_microsecond(within).unwrap_or(seen.sighting.at);
        seen.sighting.at = at.max(known + time::Duration::MICROSECOND);
        seen
    }

    async fn conclude(&self, lease: Lease, why: &str) -> Result<Committed, RecordEventError> {
        let mut changes = Changes::because(Cause::Job(lease), Actor::System, self.ports.clock.now());
        changes.conclusion = Some(why.to_owned());
        Ok(self.ports.store.commit(changes).await?)
    }
}
