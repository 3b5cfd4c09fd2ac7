//! The core's port, spoken with Stripe.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use paywright_domain::{
    GatewayCall, IntentId, Mode, Operation, Origin, PaymentId, SessionId,
    ports::{Answer, Clock, Gateway, GatewayError, Heard, Malformed, Snapshot},
};
use secrecy::SecretString;
use serde::Deserialize;
use time::OffsetDateTime;
use tracing::{Span, field::Empty};

use crate::{
    classify::{Doubt, Said, classify, rejected},
    client::{Client, Reply},
    heard,
    request::Request,
    settings::{Settings, SettingsError},
    snapshot::{self, Unfit, Word},
    wire::{self, ApiError, PaymentError},
};

/// Stripe, as one account in one mode.
///
/// Cheap to share behind an [`Arc`]; keep one for the life of the process, since it holds the connections.
pub struct Stripe {
    client: Client,
    clock: Arc<dyn Clock>,
    mode: Mode,
}

impl Stripe {
    /// An adapter for the account of the settings' key. Nothing is sent yet.
    ///
    /// `clock` is asked only when an answer does not say when it was given.
    ///
    /// # Errors
    /// [`SettingsError`] when the settings contradict each other; one clear line, without the key.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        Ok(Self { client: Client::new(&settings)?, clock, mode: settings.mode })
    }

    /// Sends a request, and names it in the current span.
    pub(crate) async fn exchange(&self, request: &Request) -> Result<Reply, GatewayError> {
        let reply = self.client.exchange(request).await?;
        let span = Span::current();
        span.record("status", reply.status);
        if let Some(request) = &reply.request {
            span.record("gateway.request", request.as_str());
        }
        Ok(reply)
    }

    /// A stored answer tells of the time when it was stored, which for what we create is the object's birth.
    fn word(&self, reply: &Reply, born: i64) -> Word {
        let stored = snapshot::moment(born).filter(|_| reply.replayed);
        let at = stored.or(reply.date).unwrap_or_else(|| self.clock.now());
        let origin = Origin { event: None, request: reply.request.clone() };
        Word { at: to_the_second(at), origin }
    }

    /// Reads an answer that shows a PaymentIntent.
    fn intent_answer(&self, reply: &Reply, asked: &Asked<'_>) -> Result<Answer, GatewayError> {
        let (intent, error) = match classify::<wire::Intent>(reply)? {
            Said::Done(intent) => (intent, None),
            Said::Declined(error) => (intent_within(reply, &error)?, Some(error)),
        };
        asked.check_object("payment_intent", &intent.object, &intent.id)?;
        let mut snapshot = snapshot::of_intent(&intent, self.word(reply, intent.created))
            .map_err(|Unfit(field)| Doubt::Unfit { object: "payment_intent", field })?;
        asked.check_payment(&snapshot)?;
        snapshot.amount.ok_or(Doubt::Unfit { object: "payment_intent", field: "currency" })?;
        if let (Some(error), None) = (error, &snapshot.refusal) {
            snapshot.refusal = snapshot::of_error(&PaymentError::from(*error), snapshot.sighting.at, None);
        }
        let client_secret: Option<SecretString> = intent.client_secret.map(|secret| secret.0);
        Ok(Answer { snapshot, client_secret, url: None })
    }

    /// Reads an answer that shows a Checkout Session.
    fn session_answer(&self, reply: &Reply, asked: &Asked<'_>) -> Result<Answer, GatewayError> {
        let session = match classify::<wire::Session>(reply)? {
            Said::Done(session) => session,
            Said::Declined(error) => return Err(rejected(reply, &error)),
        };
        asked.check_object("checkout.session", &session.object, &session.id)?;
        let snapshot = snapshot::of_session(&session, self.word(reply, session.created))
            .map_err(|Unfit(field)| Doubt::Unfit { object: "checkout.session", field })?;
        asked.check_payment(&snapshot)?;
        snapshot
            .amount
            .ok_or(Doubt::Unfit { object: "checkout.session", field: "amount_total or currency" })?;
        let url = session.url.filter(|_| session.status.as_deref() == Some("open"));
        Ok(Answer { snapshot, client_secret: None, url })
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
    async fn perform(&self, call: &GatewayCall) -> Result<Answer, GatewayError> {
        if call.mode != self.mode {
            let words = format!("the call is for {} mode, the credentials are for {}", call.mode, self.mode);
            return Err(GatewayError::NotAllowed(words));
        }
        let reply = self.exchange(&Request::of(call)).await?;
        match &call.operation {
            Operation::CreateIntent { .. } => self.intent_answer(&reply, &Asked::ToCreate(call.payment)),
            Operation::CreateSession { .. } => self.session_answer(&reply, &Asked::ToCreate(call.payment)),
            Operation::CancelIntent { intent, .. } => {
                self.intent_answer(&reply, &Asked::About(intent.as_str()))
            }
            Operation::ExpireSession { session } => {
                self.session_answer(&reply, &Asked::About(session.as_str()))
            }
        }
    }

    #[tracing::instrument(
        name = "gateway.intent",
        skip_all,
        fields(intent = %id, gateway.request = Empty, status = Empty)
    )]
    async fn intent(&self, id: &IntentId) -> Result<Option<Answer>, GatewayError> {
        let reply = self.exchange(&Request::intent(id)).await?;
        present(self.intent_answer(&reply, &Asked::About(id.as_str())))
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

/// What an answer must be about.
enum Asked<'a> {
    /// A new object, for this payment.
    ToCreate(PaymentId),
    /// This object.
    About(&'a str),
}

impl Asked<'_> {
    fn check_object(&self, kind: &'static str, got: &str, id: &str) -> Result<(), Doubt> {
        let right = got == kind && if let Self::About(asked) = self { *asked == id } else { true };
        if right {
            return Ok(());
        }
        let asked =
            if let Self::About(asked) = self { format!("{kind} {asked}") } else { format!("a {kind}") };
        Err(Doubt::WrongObject { asked, got: crate::text::tidy(&format!("{got} {id}"), 300) })
    }

    fn check_payment(&self, snapshot: &Snapshot) -> Result<(), Doubt> {
        match self {
            Self::ToCreate(payment) if snapshot.payment != Some(*payment) => Err(Doubt::WrongObject {
                asked: payment.to_string(),
                got: snapshot
                    .payment
                    .map_or_else(|| "about no payment of ours".to_owned(), |id| id.to_string()),
            }),
            Self::ToCreate(_) | Self::About(_) => Ok(()),
        }
    }
}

/// The PaymentIntent that a decline carries. A decline without one is a refusal like any other.
///
/// Source: <https://docs.stripe.com/api/errors#errors-payment_intent>
fn intent_within(reply: &Reply, error: &ApiError) -> Result<wire::Intent, GatewayError> {
    let intent = error.payment_intent.as_ref().and_then(|value| wire::Intent::deserialize(value).ok());
    intent.ok_or_else(|| rejected(reply, error))
}

/// Stripe answers `resource_missing` for what does not exist, for this account and mode.
///
/// Source: <https://docs.stripe.com/error-codes#resource-missing>
pub(crate) fn present<T>(outcome: Result<T, GatewayError>) -> Result<Option<T>, GatewayError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(GatewayError::Rejected { code, .. }) if code == "resource_missing" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sightings are counted in seconds, as Stripe counts.
fn to_the_second(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}
