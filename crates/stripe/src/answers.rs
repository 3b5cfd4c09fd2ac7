//! Reading Stripe's answers: is this what was asked for, and what does it say?

use paywright_domain::{
    GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId, Origin, PaymentId, RefundId, Subject,
    ports::{Answer, DisputeSnapshot, GatewayError, RefundSnapshot, Snapshot},
};
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};
use time::OffsetDateTime;

use crate::{
    classify::{Doubt, Said, classify, rejected},
    client::Reply,
    dispute,
    gateway::Stripe,
    json::Strict,
    refund,
    snapshot::{self, Unfit, Word},
    wire::{self, ApiError, PaymentError},
};

const INTENT: &str = "payment_intent";
const SESSION: &str = "checkout.session";
const REFUND: &str = "refund";
const DISPUTE: &str = "dispute";
pub(crate) const EVENT: &str = "event";

/// What an answer must be about.
pub(crate) enum Asked<'a> {
    /// A new object, for this payment.
    ToCreate(PaymentId),
    /// This object.
    About(&'a str),
}

impl Stripe {
    /// A stored answer tells of the time when it was stored, which for what we create is the object's birth.
    pub(crate) fn word(&self, reply: &Reply, born: i64) -> Word {
        let stored = snapshot::moment(born).filter(|_| reply.replayed);
        let at = stored.or(reply.date).unwrap_or_else(|| self.now());
        Word { at: to_the_second(at), origin: origin(reply) }
    }

    /// Reads the answer to a creation: a decline shows the PaymentIntent too.
    pub(crate) fn created_intent(&self, reply: &Reply, payment: PaymentId) -> Result<Answer, GatewayError> {
        let (intent, error) = match classify::<wire::Intent>(reply)? {
            Said::Done(intent) => (intent, None),
            Said::Declined(error) => (intent_within(reply, &error)?, Some(error)),
        };
        let mut answer = self.of_intent(intent, reply, &Asked::ToCreate(payment))?;
        let snapshot = &mut answer.snapshot;
        if let (Some(error), None) = (error, &snapshot.refusal) {
            snapshot.refusal = snapshot::of_error(&PaymentError::from(*error), snapshot.sighting.at, None);
        }
        Ok(answer)
    }

    /// Reads an answer that shows a PaymentIntent as it is after what was asked. A decline means that it was not done.
    pub(crate) fn intent_answer(&self, reply: &Reply, id: &IntentId) -> Result<Answer, GatewayError> {
        self.of_intent(done(reply)?, reply, &Asked::About(id.as_str()))
    }

    pub(crate) fn of_intent(
        &self,
        intent: wire::Intent,
        reply: &Reply,
        asked: &Asked<'_>,
    ) -> Result<Answer, GatewayError> {
        asked.check_object(INTENT, &intent.object, &intent.id)?;
        let word = self.word(reply, intent.created);
        let snapshot = snapshot::of_intent(&intent, word).map_err(unfit(INTENT))?;
        asked.check_payment(&snapshot)?;
        snapshot.amount.ok_or(Doubt::Unfit { object: INTENT, field: "currency" })?;
        let client_secret: Option<SecretString> = intent.client_secret.map(|secret| secret.0);
        Ok(Answer { snapshot, client_secret, url: None })
    }

    /// Reads an answer that shows a Checkout Session.
    pub(crate) fn session_answer(&self, reply: &Reply, asked: &Asked<'_>) -> Result<Answer, GatewayError> {
        self.of_session(done(reply)?, reply, asked)
    }

    pub(crate) fn of_session(
        &self,
        session: wire::Session,
        reply: &Reply,
        asked: &Asked<'_>,
    ) -> Result<Answer, GatewayError> {
        asked.check_object(SESSION, &session.object, &session.id)?;
        let word = self.word(reply, session.created);
        let snapshot = snapshot::of_session(&session, word).map_err(unfit(SESSION))?;
        asked.check_payment(&snapshot)?;
        snapshot.amount.ok_or(Doubt::Unfit { object: SESSION, field: "amount_total or currency" })?;
        // Of a page in a state that nobody knows, its address tells that it is open.
        let closed = matches!(session.status.as_deref(), Some("complete" | "expired"));
        let url = session.url.filter(|_| !closed);
        Ok(Answer { snapshot, client_secret: None, url })
    }

    /// Reads the answer to the creation of a refund: it must be ours, and of this payment.
    pub(crate) fn created_refund(
        &self,
        reply: &Reply,
        call: &GatewayCall,
        intent: &IntentId,
    ) -> Result<RefundSnapshot, GatewayError> {
        let snapshot = of_refund(&done(reply)?, reply)?;
        let wanted = refund_of(call);
        if snapshot.refund != wanted || snapshot.intent.as_ref() != Some(intent) {
            let name = |id: Option<String>| id.unwrap_or_else(|| "nothing of ours".to_owned());
            return Err(Doubt::WrongObject {
                asked: format!("{} of {intent}", name(wanted.map(|id| id.to_string()))),
                got: format!(
                    "{} of {}",
                    name(snapshot.refund.map(|id| id.to_string())),
                    name(snapshot.intent.map(String::from))
                ),
            }
            .into());
        }
        Ok(snapshot)
    }

    /// Reads an answer that shows a refund.
    pub(crate) fn refund_answer(
        &self,
        reply: &Reply,
        id: &GatewayRefundId,
    ) -> Result<RefundSnapshot, GatewayError> {
        let refund: wire::Refund = done(reply)?;
        Asked::About(id.as_str()).check_object(REFUND, &refund.object, &refund.id)?;
        of_refund(&refund, reply)
    }

    /// Reads an answer that shows a dispute.
    pub(crate) fn dispute_answer(
        &self,
        reply: &Reply,
        id: &GatewayDisputeId,
    ) -> Result<DisputeSnapshot, GatewayError> {
        let dispute: wire::Dispute = done(reply)?;
        Asked::About(id.as_str()).check_object(DISPUTE, &dispute.object, &dispute.id)?;
        self.of_dispute(&dispute, reply)
    }

    pub(crate) fn of_dispute(
        &self,
        dispute: &wire::Dispute,
        reply: &Reply,
    ) -> Result<DisputeSnapshot, GatewayError> {
        Asked::About(&dispute.id).check_object(DISPUTE, &dispute.object, &dispute.id)?;
        let word = self.word(reply, dispute.created);
        dispute::of_dispute(dispute, word).map_err(unfit(DISPUTE)).map_err(GatewayError::from)
    }
}

pub(crate) fn of_refund(refund: &wire::Refund, reply: &Reply) -> Result<RefundSnapshot, GatewayError> {
    // A new object has no name that could be compared.
    Asked::About(&refund.id).check_object(REFUND, &refund.object, &refund.id)?;
    refund::of_refund(refund, None, origin(reply)).map_err(unfit(REFUND)).map_err(GatewayError::from)
}

/// The refund of ours that a call asks for.
pub(crate) fn refund_of(call: &GatewayCall) -> Option<RefundId> {
    match call.subject {
        Subject::Refund(refund) => Some(refund),
        Subject::Payment(_) | Subject::Dispute(_) => None,
    }
}

/// The object of a success. A decline is a refusal like any other here.
pub(crate) fn done<T: DeserializeOwned>(reply: &Reply) -> Result<T, GatewayError> {
    match classify(reply)? {
        Said::Done(object) => Ok(object),
        Said::Declined(error) => Err(rejected(reply, &error)),
    }
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
    let read = |value| wire::Intent::deserialize(Strict(value)).ok();
    let intent = error.payment_intent.as_ref().and_then(read);
    intent.ok_or_else(|| rejected(reply, error))
}

pub(crate) fn unfit(object: &'static str) -> impl Fn(Unfit) -> Doubt {
    move |Unfit(field)| Doubt::Unfit { object, field }
}

fn origin(reply: &Reply) -> Origin {
    Origin { event: None, request: reply.request.clone() }
}

/// Sightings are counted in seconds, as Stripe counts.
fn to_the_second(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
