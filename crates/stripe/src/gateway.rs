//! The core's port, spoken with Stripe.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use paywright_domain::{
    GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId, Mode, Operation, SessionId,
    ports::{Answer, Clock, DisputeSnapshot, Gateway, GatewayError, Heard, Malformed, RefundSnapshot, Reply},
};
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tracing::{Span, field::Empty};

use crate::{
    answers::{Asked, present},
    client::{self, Client},
    heard,
    request::Request,
    settings::{Settings, SettingsError},
    skew::{ClockSkew, Skew},
    transport::{Transport, Wire},
};

/// Stripe, as one account in one mode.
///
/// Cheap to share behind an [`Arc`]; keep one for the life of the process, since it holds the connections.
pub struct Stripe {
    wire: Wire,
    clock: Arc<dyn Clock>,
    mode: Mode,
    skew: Skew,
    /// Held by whoever reads lists of the past.
    pub(crate) looking_back: Mutex<()>,
}

impl Stripe {
    /// An adapter for the account of the settings' key. Nothing is sent yet.
    ///
    /// `clock` is compared with Stripe's, and stands in where an answer does not say when it was given.
    ///
    /// # Errors
    /// [`SettingsError`] when the settings contradict each other; one clear line, without the key.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        let wire = Wire::Http(Box::new(Client::new(&settings)?));
        Ok(Self { wire, clock, mode: settings.mode, skew: Skew::default(), looking_back: Mutex::default() })
    }

    /// The same adapter over another transport than HTTP, without any limit of pace or patience: for simulations.
    #[doc(hidden)]
    pub fn over(transport: Arc<dyn Transport>, mode: Mode, clock: Arc<dyn Clock>) -> Self {
        let wire = Wire::Other(transport);
        Self { wire, clock, mode, skew: Skew::default(), looking_back: Mutex::default() }
    }

    /// How far our clock was from Stripe's at the last answer; `None` before the first. Signatures stop being accepted at
    /// [`TOLERANCE`](crate::TOLERANCE), so alarm well before.
    pub fn clock_skew(&self) -> Option<ClockSkew> {
        self.skew.last()
    }

    /// Sends a request, and names it in the current span.
    pub(crate) async fn exchange(&self, request: &Request) -> Result<client::Reply, GatewayError> {
        let sent_at = self.now();
        let reply = self.wire.exchange(request).await?;
        // What has no name for the request is of somebody in between.
        if let (Some(date), Some(_)) = (reply.date, &reply.request) {
            self.skew.learn(sent_at, date, self.now());
        }
        let span = Span::current();
        span.record("status", reply.status);
        if let Some(request) = &reply.request {
            span.record("gateway.request", request.as_str());
        }
        Ok(reply)
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    fn check_mode(&self, call: &GatewayCall) -> Result<(), GatewayError> {
        if call.mode == self.mode {
            return Ok(());
        }
        let words = format!("the call is for {} mode, the credentials are for {}", call.mode, self.mode);
        Err(GatewayError::NotAllowed(words))
    }
}

#[async_trait]
impl Gateway for Stripe {
    #[tracing::instrument(
        name = "gateway.perform",
        skip_all,
        fields(
            payment.id = %call.payment,
            operation = call.operation.name(),
            generation = call.generation,
            gateway.request = Empty,
            status = Empty,
        )
    )]
    async fn perform(&self, call: &GatewayCall) -> Result<Reply, GatewayError> {
        self.check_mode(call)?;
        let reply = &self.exchange(&Request::of(call)).await?;
        let payment = |answer| Reply::Payment(Box::new(answer));
        let dispute = |snapshot| Reply::Dispute(Box::new(snapshot));
        match &call.operation {
            Operation::CreateIntent { .. } => self.created_intent(reply, call.payment).map(payment),
            Operation::CreateSession { .. } => {
                self.session_answer(reply, &Asked::ToCreate(call.payment)).map(payment)
            }
            Operation::CancelIntent { intent, .. } | Operation::Capture { intent, .. } => {
                self.intent_answer(reply, intent).map(payment)
            }
            Operation::ExpireSession { session } => {
                self.session_answer(reply, &Asked::About(session.as_str())).map(payment)
            }
            Operation::CreateRefund { intent, .. } => {
                let refund = self.created_refund(reply, call, intent)?;
                Ok(Reply::Refund(Box::new(refund)))
            }
            Operation::StageEvidence { dispute: id, .. }
            | Operation::SubmitEvidence { dispute: id, .. }
            | Operation::CloseDispute { dispute: id } => self.dispute_answer(reply, id).map(dispute),
        }
    }

    #[tracing::instrument(
        name = "gateway.find",
        skip_all,
        fields(payment.id = %call.payment, operation = call.operation.name(), gateway.request = Empty, status = Empty)
    )]
    async fn find(&self, call: &GatewayCall) -> Result<Option<Reply>, GatewayError> {
        self.check_mode(call)?;
        self.search(call).await
    }

    #[tracing::instrument(
        name = "gateway.intent",
        skip_all,
        fields(intent = %id, gateway.request = Empty, status = Empty)
    )]
    async fn intent(&self, id: &IntentId) -> Result<Option<Answer>, GatewayError> {
        let reply = self.exchange(&Request::intent(id)).await?;
        present(self.intent_answer(&reply, id))
    }

    #[tracing::instrument(
        name = "gateway.session",
        skip_all,
        fields(session = %id, gateway.request = Empty, status = Empty)
    )]
    async fn session(&self, id: &SessionId) -> Result<Option<Answer>, GatewayError> {
        let reply = self.exchange(&Request::session(id)).await?;
        present(self.session_answer(&reply, &Asked::About(id.as_str())))
    }

    #[tracing::instrument(
        name = "gateway.refund",
        skip_all,
        fields(refund = %id, gateway.request = Empty, status = Empty)
    )]
    async fn refund(&self, id: &GatewayRefundId) -> Result<Option<RefundSnapshot>, GatewayError> {
        let reply = self.exchange(&Request::refund(id)).await?;
        present(self.refund_answer(&reply, id))
    }

    #[tracing::instrument(
        name = "gateway.refunds",
        skip_all,
        fields(intent = %id, gateway.request = Empty, status = Empty)
    )]
    async fn refunds(&self, id: &IntentId) -> Result<Vec<RefundSnapshot>, GatewayError> {
        self.list_refunds(id).await
    }

    #[tracing::instrument(
        name = "gateway.disputes",
        skip_all,
        fields(intent = %id, gateway.request = Empty, status = Empty)
    )]
    async fn disputes(&self, id: &IntentId) -> Result<Vec<DisputeSnapshot>, GatewayError> {
        self.list_disputes(id).await
    }

    #[tracing::instrument(
        name = "gateway.dispute",
        skip_all,
        fields(dispute = %id, gateway.request = Empty, status = Empty)
    )]
    async fn dispute(&self, id: &GatewayDisputeId) -> Result<Option<DisputeSnapshot>, GatewayError> {
        let reply = self.exchange(&Request::dispute(id)).await?;
        present(self.dispute_answer(&reply, id))
    }

    fn understand(&self, body: &[u8]) -> Result<Heard, Malformed> {
        heard::understand(body)
    }
}

/// Neither key nor connections print.
impl fmt::Debug for Stripe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stripe").field("mode", &self.mode).finish_non_exhaustive()
    }
}
