use secrecy::SecretString;
use time::{Duration, OffsetDateTime};

use super::{
    ATTEMPTS_MAX, ErrorKind, PerformCall, PerformCallError, Performed, Policy, Ports, Rejection,
    learn::{Pair, mismatch},
    look,
};
use crate::{
    Actor, Applied, Beat, CancelReason, Cause, Changes, Channel, Effect, GatewayCall, IllegalTransition,
    Operation, OperationId, Order, OrderEvent, OrderId, Payment, PaymentId, PaymentState, Step,
    ports::{Answer, Committed, GatewayError, StoreError},
};

/// Starts collecting an order's money, or goes on with the payment that is under way.
#[derive(Clone)]
pub struct StartPayment {
    ports: Ports,
    policy: Policy,
    calls: PerformCall,
}

/// A payment that the customer can make now.
#[derive(Debug)]
pub struct Started {
    /// The payment.
    pub payment: Payment,
    /// How the customer makes it.
    pub way: Way,
}

/// How the customer pays.
#[derive(Debug)]
pub enum Way {
    /// With this secret, on the merchant's own page. Never stored, never logged.
    ClientSecret(SecretString),
    /// On this page of the gateway.
    Page(String),
}

/// Why there is nothing to pay now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartPaymentError {
    /// There is no such order.
    #[error("no such order")]
    UnknownOrder,
    /// The order's state does not allow it; it may be paid already. Nothing was stored.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// Another request is starting or ending a payment of this order right now. Try again in a moment.
    #[error("a payment of this order is being started or ended right now")]
    InProgress,
    /// The gateway refused to create the payment, which has failed. No money can follow.
    #[error("the gateway refused to create the payment: {}", .0.code)]
    Refused(Rejection),
    /// The gateway did not answer. The payment is recorded and will be started or given up; try again in a moment.
    #[error("failed to start the payment")]
    Gateway(#[from] GatewayError),
    /// The store did not take it. Try again with the same operation.
    #[error("failed to store the payment")]
    Store(#[from] StoreError),
}

impl StartPaymentError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownOrder => ErrorKind::NotFound,
            Self::Illegal(_) | Self::InProgress => ErrorKind::Conflict,
            Self::Refused(_) => ErrorKind::Refused,
            Self::Gateway(GatewayError::KeyReused { .. }) => ErrorKind::Bug,
            Self::Gateway(_) => ErrorKind::Unavailable,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

impl From<PerformCallError> for StartPaymentError {
    fn from(error: PerformCallError) -> Self {
        match error {
            PerformCallError::Gateway(error) => Self::Gateway(error),
            PerformCallError::Illegal(error) => Self::Illegal(error),
            PerformCallError::Store(StoreError::LeaseLost) => Self::InProgress,
            PerformCallError::Store(error) => Self::Store(error),
            PerformCallError::UnknownCall => Self::Store(StoreError::Conflict),
        }
    }
}

/// An order as it stood a moment ago, for somebody who wants to pay it.
#[derive(Debug)]
pub struct Payable {
    order: Order,
    live: Option<Payment>,
}

/// Which request this is.
struct Request<'a> {
    operation: OperationId,
    actor: &'a Actor,
    channel: &'a Channel,
}

impl StartPayment {
    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        let calls = PerformCall::new(ports.clone(), policy.clone());
        Self { ports, policy, calls }
    }

    /// Starts a payment over the order's total.
    ///
    /// One payment an order is live at a time: a live one of the same channel is reused, one of another channel (or
    /// with other return addresses) is ended at the gateway first. If that finds the order paid, it is paid.
    ///
    /// # Errors
    /// See [`StartPaymentError`].
    pub async fn run(
        &self,
        operation: OperationId,
        actor: Actor,
        id: OrderId,
        channel: Channel,
    ) -> Result<Started, StartPaymentError> {
        let payable = self.payable(id).await?;
        self.run_on(payable, operation, actor, channel).await
    }

    /// Looks at an order. A caller who has to ask somebody else whether it may be paid can do both at the same time, and
    /// [go on](Self::run_on) with it.
    ///
    /// # Errors
    /// [`StartPaymentError::UnknownOrder`] and [`StartPaymentError::Store`].
    pub async fn payable(&self, id: OrderId) -> Result<Payable, StartPaymentError> {
        let found = self.ports.store.payable(id).await?;
        let found = found.filter(|(order, _)| order.mode == self.policy.mode);
        let (order, live) = found.ok_or(StartPaymentError::UnknownOrder)?;
        Ok(Payable { order, live })
    }

    /// As [`run`](Self::run), for an order that was looked at. Should it have moved since, it is looked at again.
    ///
    /// # Errors
    /// See [`StartPaymentError`].
    pub async fn run_on(
        &self,
        mut payable: Payable,
        operation: OperationId,
        actor: Actor,
        channel: Channel,
    ) -> Result<Started, StartPaymentError> {
        let request = Request { operation, actor: &actor, channel: &channel };
        let id = payable.order.id;
        for _ in 0..ATTEMPTS_MAX {
            match self.once(&request, payable).await {
                Ok(Some(started)) => return Ok(started),
                Ok(None) | Err(StartPaymentError::Store(StoreError::Conflict)) => {}
                Err(error) => return Err(error),
            }
            payable = self.payable(id).await?;
        }
        Err(StartPaymentError::InProgress)
    }

    /// `None`: something moved; look again.
    async fn once(
        &self,
        request: &Request<'_>,
        Payable { order, live }: Payable,
    ) -> Result<Option<Started>, StartPaymentError> {
        let started = order.apply(OrderEvent::PaymentStarted)?;
        match live {
            None => self.begin(request, order, started).await,
            Some(payment) if payment.state == PaymentState::Created || payment.end_requested => {
                Err(StartPaymentError::InProgress)
            }
            Some(payment) if payment.channel == *request.channel => {
                self.resume(request, order, payment).await
            }
            Some(payment) => self.clear(request, order, payment).await,
        }
    }

    /// Three beats: commit the intent, call, commit the answer.
    async fn begin(
        &self,
        request: &Request<'_>,
        order: Order,
        started: Applied<Order, OrderEvent>,
    ) -> Result<Option<Started>, StartPaymentError> {
        let now = self.ports.clock.now();
        let cause = Cause::Request(request.operation, Beat::Main);
        let mut changes = Changes::because(cause, request.actor.clone(), now);
        let id = PaymentId::from_uuid(request.operation.uuid());
        let (mode, channel, capture) = (order.mode, request.channel.clone(), order.capture);
        let birth = Payment::start(id, order.id, mode, channel, capture, order.total, now);
        let order = match &started {
            Applied::Moved(step) => step.after().clone(),
            Applied::AlreadyTrue => order,
        };
        let pair = Pair { payment: birth.after().clone(), order };
        changes.order(started);
        changes.steps.push(Step::Payment(Box::new(birth)));
        let operation = create(&pair, now);
        let call = pair.call(&changes, &self.ports, operation, 1);
        let recorded = call.clone();
        changes.effects.push(Effect::Call { call, held_for: Some(self.policy.call_held_for) });
        match self.ports.store.commit(changes).await? {
            Committed::Now => self.perform(recorded, pair).await.map(Some),
            // This request began before, and its payment has ended since. A new payment needs a new request.
            Committed::Before => Err(StartPaymentError::InProgress),
        }
    }

    async fn perform(&self, call: GatewayCall, born: Pair) -> Result<Started, StartPaymentError> {
        let performed = self.calls.run_born(call, born).await?;
        match performed {
            Performed { rejected: Some(rejection), .. } => Err(StartPaymentError::Refused(rejection)),
            Performed { payment, answer: Some(answer), .. } => started(payment, answer),
            Performed { answer: None, .. } => Err(StartPaymentError::InProgress),
        }
    }

    /// The live payment can be paid as it is; the gateway says how it stands.
    async fn resume(
        &self,
        request: &Request<'_>,
        order: Order,
        payment: Payment,
    ) -> Result<Option<Started>, StartPaymentError> {
        let Some(answer) = self.look(&payment).await? else { return Err(StartPaymentError::InProgress) };
        let known = payment.state;
        let mut pair = Pair { order, payment };
        let cause = Cause::Request(request.operation, Beat::Learned);
        let mut changes = Changes::because(cause, Actor::Gateway, self.ports.clock.now());
        pair.learn(&mut changes, &answer.snapshot, &self.ports)?;
        pair.guard(&mut changes);
        // That it still waits is no news.
        let news = pair.payment.state != known || !changes.breaks.is_empty();
        let committed = if news { self.ports.store.commit(changes).await? } else { Committed::Before };
        if pair.payment.state.is_live() {
            return started(pair.payment, answer).map(Some);
        }
        match committed {
            Committed::Now => Ok(None),
            // This request learned something before, and a cause is taken only once. The event brings the rest.
            Committed::Before => Err(StartPaymentError::InProgress),
        }
    }

    /// A hosted page that was finished does not tell how: its intent does.
    async fn look(&self, payment: &Payment) -> Result<Option<Answer>, GatewayError> {
        let gateway = &self.ports.gateway;
        let answer = match (&payment.session, &payment.intent) {
            (Some(session), _) => gateway.session(session).await?,
            (None, Some(intent)) => return gateway.intent(intent).await,
            (None, None) => None,
        };
        match answer {
            Some(page) => look::behind_page(&self.ports, page).await,
            None => Ok(None),
        }
    }

    /// Ends a live payment that is in the way.
    async fn clear(
        &self,
        request: &Request<'_>,
        order: Order,
        payment: Payment,
    ) -> Result<Option<Started>, StartPaymentError> {
        let cause = Cause::Request(request.operation, Beat::Clear);
        let mut changes = Changes::because(cause, request.actor.clone(), self.ports.clock.now());
        let mut pair = Pair { order, payment };
        let held_for = Some(self.policy.call_held_for);
        pair.end(&mut changes, &self.ports, CancelReason::Duplicate, held_for)?;
        let call = changes.recorded_call();
        let Some(call) = call else { return Err(StartPaymentError::InProgress) };
        pair.guard(&mut changes);
        if self.ports.store.commit(changes).await? == Committed::Before {
            return Err(StartPaymentError::InProgress);
        }
        let performed = self.calls.run_now(call).await?;
        if performed.payment.state.is_live() { Err(StartPaymentError::InProgress) } else { Ok(None) }
    }
}

/// Hands out the way to pay, if it is the way to pay this payment.
fn started(payment: Payment, answer: Answer) -> Result<Started, StartPaymentError> {
    if let Some((kind, detail)) = mismatch(&payment, &answer.snapshot) {
        return Err(GatewayError::Unknown(format!("{kind}: {detail}").into()).into());
    }
    let way = match (&payment.channel, answer.client_secret, answer.url) {
        (Channel::PaymentIntent, Some(secret), _) => Way::ClientSecret(secret),
        (Channel::Checkout(_), _, Some(url)) => Way::Page(url),
        (Channel::PaymentIntent | Channel::Checkout(_), _, _) => return Err(StartPaymentError::InProgress),
    };
    Ok(Started { payment, way })
}

fn create(pair: &Pair, now: OffsetDateTime) -> Operation {
    match &pair.payment.channel {
        Channel::PaymentIntent => Operation::create_intent(&pair.order, &pair.payment),
        Channel::Checkout(urls) => {
            Operation::create_session(&pair.order, &urls.success, &urls.cancel, page_closes(&pair.order, now))
        }
    }
}

/// A hosted page stays open until the order expires, within the gateway's bounds of 30 minutes and 24 hours (a
/// little inside of both, for the clocks).
///
/// Source: <https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at>
fn page_closes(order: &Order, now: OffsetDateTime) -> OffsetDateTime {
    let (soonest, latest) = (now + Duration::minutes(31), now + Duration::hours(23));
    order.expires_at.clamp(soonest, latest)
}
