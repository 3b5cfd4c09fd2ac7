//! Bugs that are planted to see whether they are found: each is a mistake that payment systems have really made. They sit
//! in what surrounds the core here, in the ports and at the edges, so that the core itself has none.

use std::sync::Arc;

use paywright_domain::{
    Actor, Beat, CallState, Cause, Changes, Effect, GatewayCall, Operation, OperationId, Payment, Standing,
    Step,
    ports::{Entropy as _, Gateway, GatewayError, InboxEvent, Reply},
};
use paywright_sandbox::model::{API_VERSION, delivery::signature};
use paywright_testkit::Flaw;
use serde_json::json;
use strum::{Display, EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};
use time::OffsetDateTime;

use crate::{
    ports::Line,
    process::ask,
    world::{SECRET, World},
};

/// A bug of the protocol.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumIter, EnumString, IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Bug {
    /// A webhook is answered before it is stored.
    AcknowledgeFirst,
    /// Each delivery of an event is an event of its own.
    NoDedupe,
    /// Each retry goes under a fresh key.
    FreshKeys,
    /// What was not answered is taken for refused.
    TimeoutIsFailure,
    /// A refund is asked for without reserving its amount.
    NoReservation,
    /// A decision is written over whatever is there.
    StaleOverwrite,
    /// Whoever ever held a job may complete it.
    NoFencing,
    /// The next generation of a call is born before the one before has ended.
    TornGeneration,
    /// A webhook of another version is read as if it were of ours.
    TrustThePayload,
    /// A customer who comes back has paid.
    PaidByRedirect,
    /// A payment is taken for cancelled without asking Stripe.
    CancelUnasked,
    /// The cursor of reconciliation moves on over what was not compared.
    CursorTooFar,
    /// A cause is taken as often as it comes.
    CauseTwice,
    /// A difference that no rule explains is not written down.
    BreakForgotten,
    /// A refund is found by its amount.
    RefundByAmount,
    /// A retry has other parameters, under the old key.
    NewParameters,
    /// A key is used however old it is.
    OldKeys,
    /// What a call of unknown outcome made is never found.
    FindsNothing,
    /// A movement of money is booked as often as it is told.
    BookedTwice,
    /// An order is not looked after.
    TimerLost,
    /// A webhook's signature is not checked.
    UnsignedAccepted,
    /// An order has as many live payments as it likes.
    SeveralLive,
    /// A decision is not guarded against what moves beside it.
    NoGuards,
    /// An event that names an unknown payment, or cannot be read for now, is given up at once.
    GivesUpAtOnce,
}

impl Bug {
    /// Every bug.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::iter()
    }

    /// Within how many seeds, from the first, it must be caught.
    pub fn caught_within(self) -> u64 {
        match self {
            Self::AcknowledgeFirst
            | Self::NoDedupe
            | Self::FreshKeys
            | Self::TimeoutIsFailure
            | Self::NoReservation
            | Self::StaleOverwrite
            | Self::TornGeneration
            | Self::PaidByRedirect
            | Self::CancelUnasked
            | Self::CursorTooFar
            | Self::CauseTwice
            | Self::BreakForgotten
            | Self::NewParameters
            | Self::OldKeys
            | Self::BookedTwice
            | Self::TimerLost
            | Self::GivesUpAtOnce => 100,
            Self::NoFencing
            | Self::TrustThePayload
            | Self::FindsNothing
            | Self::UnsignedAccepted
            | Self::SeveralLive
            | Self::NoGuards => 500,
            Self::RefundByAmount => 20_000,
        }
    }

    /// What the store gets wrong.
    pub(crate) fn flaw(self) -> Option<Flaw> {
        match self {
            Self::StaleOverwrite => Some(Flaw::StaleVersions),
            Self::NoFencing => Some(Flaw::AnyHolder),
            Self::CauseTwice => Some(Flaw::CauseTwice),
            Self::BookedTwice => Some(Flaw::BookedTwice),
            Self::SeveralLive => Some(Flaw::SeveralLive),
            _ => None,
        }
    }

    pub(crate) fn load(self, call: GatewayCall, line: &Line) -> GatewayCall {
        match self {
            Self::OldKeys => GatewayCall { recorded_at: line.world.now(), ..call },
            _ => call,
        }
    }

    /// What is committed instead, one after the other.
    pub(crate) fn commit(self, mut changes: Changes, line: &Line) -> Vec<Changes> {
        match self {
            Self::NoReservation if matches!(changes.cause, Cause::Request(..)) => {
                let refunds = changes.steps.iter().any(|step| matches!(step, Step::Refund(_)));
                if refunds {
                    changes.steps.retain(|step| !matches!(step, Step::Payment(_)));
                }
                vec![changes]
            }
            Self::TornGeneration => torn(changes, line),
            Self::BreakForgotten => {
                changes.breaks.clear();
                vec![changes]
            }
            Self::TimerLost => {
                changes.effects.retain(|effect| !matches!(effect, Effect::WatchOrder { .. }));
                vec![changes]
            }
            Self::NoGuards => {
                changes.guards.clear();
                vec![changes]
            }
            _ => vec![changes],
        }
    }

    pub(crate) fn receive(self, event: InboxEvent, line: &Line) -> InboxEvent {
        match self {
            Self::NoDedupe => {
                let again = line.world.bits() % 10_000;
                InboxEvent { id: format!("{}_{again}", event.id), ..event }
            }
            _ => event,
        }
    }

    /// Whether a job that failed like this is given up.
    pub(crate) fn buries(self, _: &str) -> bool {
        self == Self::GivesUpAtOnce
    }

    pub(crate) fn advance(self, to: OffsetDateTime, line: &Line) -> OffsetDateTime {
        match self {
            Self::CursorTooFar => line.world.now(),
            _ => to,
        }
    }

    pub(crate) fn acknowledges_first(self) -> bool {
        self == Self::AcknowledgeFirst
    }

    pub(crate) fn checks_signatures(self) -> bool {
        self != Self::UnsignedAccepted
    }

    /// The body of a webhook as it is stored.
    pub(crate) fn body(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::TrustThePayload => {
                let text = String::from_utf8_lossy(body);
                text.replace("\"2019-12-03\"", &format!("\"{API_VERSION}\"")).into_bytes()
            }
            _ => body.to_vec(),
        }
    }

    pub(crate) async fn perform(
        self,
        call: &GatewayCall,
        line: &Line,
        inner: &dyn Gateway,
    ) -> Result<Reply, GatewayError> {
        match self {
            Self::FreshKeys => {
                let generation = 1_000 + u32::try_from(line.world.below(1_000_000)).unwrap_or(0);
                inner.perform(&GatewayCall { generation, ..call.clone() }).await
            }
            Self::TimeoutIsFailure => match inner.perform(call).await {
                Err(GatewayError::Unknown(_)) => Err(GatewayError::Rejected {
                    code: "timeout".to_owned(),
                    message: String::new(),
                    request: None,
                }),
                outcome => outcome,
            },
            Self::NewParameters => inner.perform(&otherwise(call, line)).await,
            Self::CancelUnasked => match &call.operation {
                Operation::CancelIntent { intent, .. } => {
                    let Some(mut answer) = inner.intent(intent).await? else {
                        return inner.perform(call).await;
                    };
                    answer.snapshot.sighting.standing = Standing::Cancelled;
                    Ok(Reply::Payment(Box::new(answer)))
                }
                _ => inner.perform(call).await,
            },
            _ => inner.perform(call).await,
        }
    }

    pub(crate) async fn find(
        self,
        call: &GatewayCall,
        inner: &dyn Gateway,
    ) -> Result<Option<Reply>, GatewayError> {
        match (self, &call.operation) {
            (Self::FindsNothing, _) => Ok(None),
            (Self::RefundByAmount, Operation::CreateRefund { intent, amount, .. }) => {
                let refunds = inner.refunds(intent).await?;
                let same =
                    refunds.into_iter().find(|one| one.amount.is_some_and(|money| money.minor() == *amount));
                Ok(same.map(|refund| Reply::Refund(Box::new(refund))))
            }
            _ => inner.find(call).await,
        }
    }
}

/// The new call first, under a cause of its own, then the end of the old one.
fn torn(mut changes: Changes, line: &Line) -> Vec<Changes> {
    let ended = changes.answers.iter().any(|(_, state)| *state == CallState::Absent);
    let born = |effect: &Effect| matches!(effect, Effect::Call { call, .. } if call.generation > 1);
    if !ended || !changes.effects.iter().any(born) {
        return vec![changes];
    }
    let mut bytes = [0; 10];
    line.fill(&mut bytes);
    let operation = OperationId::from_parts(line.world.now(), &bytes);
    let mut first = Changes::because(Cause::Request(operation, Beat::Main), Actor::System, changes.at);
    let (calls, rest) = changes.effects.into_iter().partition(born);
    (first.effects, changes.effects) = (calls, rest);
    vec![first, changes]
}

/// The same wish in other words.
fn otherwise(call: &GatewayCall, line: &Line) -> GatewayCall {
    let mut call = call.clone();
    let note = line.world.bits().to_string();
    match &mut call.operation {
        Operation::CreateIntent { metadata, .. }
        | Operation::CreateSession { metadata, .. }
        | Operation::CreateRefund { metadata, .. } => drop(metadata.insert("attempt".to_owned(), note)),
        Operation::CancelIntent { .. }
        | Operation::ExpireSession { .. }
        | Operation::Capture { .. }
        | Operation::StageEvidence { .. }
        | Operation::SubmitEvidence { .. }
        | Operation::CloseDispute { .. } => {}
    }
    call
}

/// The customer comes back from Stripe's page; a shop that believes them tells itself that they have paid.
pub(crate) async fn returned(world: &Arc<World>, payment: &Payment) {
    let Some(intent) = payment.intent.as_ref().filter(|_| world.has(Bug::PaidByRedirect)) else { return };
    let (amount, number) = (payment.amount.minor(), world.bits());
    let body = json!({
        "id": format!("evt_redirect{number}"), "object": "event", "type": "payment_intent.succeeded",
        "created": world.wall().seconds(), "livemode": false, "api_version": API_VERSION,
        "data": {"object": {
            "id": intent.to_string(), "object": "payment_intent", "amount": amount, "amount_received": amount,
            "amount_capturable": 0, "currency": "usd", "status": "succeeded", "capture_method": "automatic",
            "created": world.wall().seconds(), "livemode": false, "metadata": {}
        }}
    });
    let body = body.to_string();
    let header = signature(&[SECRET.to_owned()], world.wall(), &body);
    ask(world, move |app| async move { app.intake(&header, body.as_bytes()).await }).await;
}
