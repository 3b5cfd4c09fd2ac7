//! The dispute: the customer asked their bank for the money back.

mod evidence;

use strum::{Display, EnumString, IntoStaticStr};
use time::OffsetDateTime;

use crate::{
    Applied, DisputeId, GatewayDisputeId, IllegalTransition, Mode, Money, OrderId, Payment, PaymentId,
    Transition, Version,
};

pub use evidence::*;

/// The gateway's statuses. New ones may come at any time, so the list is open.
///
/// Source: <https://docs.stripe.com/api/disputes/object#dispute_object-status>
#[derive(Debug, Clone, PartialEq, Eq, Hash, Display, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum DisputeStatus {
    /// An inquiry: no money has moved; an answer may prevent a dispute.
    WarningNeedsResponse,
    /// The inquiry was answered.
    WarningUnderReview,
    /// The inquiry is over, without a dispute.
    WarningClosed,
    /// The money was withdrawn; an answer is due.
    NeedsResponse,
    /// The answer is being read.
    UnderReview,
    /// The money comes back.
    Won,
    /// The money is gone.
    Lost,
    /// A refund ended it before it began.
    Prevented,
    /// One that we do not know.
    #[strum(default, to_string = "{0}")]
    Other(String),
}

impl DisputeStatus {
    /// Whether the disputed amount is not ours, at least for now.
    pub fn withholds(&self) -> bool {
        match self {
            Self::NeedsResponse | Self::UnderReview | Self::Lost | Self::Other(_) => true,
            Self::WarningNeedsResponse
            | Self::WarningUnderReview
            | Self::WarningClosed
            | Self::Won
            | Self::Prevented => false,
        }
    }

    /// Whether the gateway still decides.
    pub fn is_open(&self) -> bool {
        match self {
            Self::WarningNeedsResponse
            | Self::WarningUnderReview
            | Self::NeedsResponse
            | Self::UnderReview
            | Self::Other(_) => true,
            Self::WarningClosed | Self::Won | Self::Lost | Self::Prevented => false,
        }
    }

    /// How far a dispute has come with it: of two messages of one second the one further on counts.
    fn progress(&self) -> u8 {
        match self {
            Self::WarningNeedsResponse => 0,
            Self::WarningUnderReview => 1,
            Self::WarningClosed => 2,
            Self::NeedsResponse => 3,
            Self::Other(_) => 4,
            Self::UnderReview => 5,
            Self::Prevented => 6,
            Self::Lost => 7,
            Self::Won => 8,
        }
    }

    /// Whether it waits for our answer.
    pub fn needs_response(&self) -> bool {
        matches!(self, Self::WarningNeedsResponse | Self::NeedsResponse)
    }
}

/// One look at a dispute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeSighting {
    /// How it stood.
    pub status: DisputeStatus,
    /// How much is disputed; may be more than was charged.
    pub amount: Money,
    /// The customer's reason, in the gateway's words.
    pub reason: String,
    /// Until when an answer is taken; `None`: none is.
    pub due_by: Option<OffsetDateTime>,
    /// Whether the gateway would still refund the charge.
    pub refundable: bool,
    /// Whether an answer was submitted.
    pub submitted: bool,
    /// When, by the gateway's clock: to the second in its messages, finer for a look of ours.
    pub at: OffsetDateTime,
}

/// What we tell the gateway about a dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum DisputeAnswer {
    /// Keep the evidence there, to be edited further.
    Stage,
    /// Send the evidence to the bank. Once.
    Submit,
    /// Give up: the dispute is lost. Cannot be undone.
    Accept,
}

/// Something that happened to a dispute.
#[derive(Debug, Clone, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum DisputeEvent {
    /// The gateway told of it. Only the first event.
    Opened,
    /// The gateway says how it stands.
    Seen(DisputeSighting),
    /// Evidence was gathered or edited here.
    EvidenceEdited(Evidence),
    /// The gateway is being told our answer.
    AnswerRequested(DisputeAnswer),
    /// The gateway took our answer.
    AnswerTaken,
    /// The gateway did not take our answer.
    AnswerRefused,
    /// An operator was told that the deadline is near.
    DeadlineNear,
}

/// A dispute. Change it by [`Dispute::apply`] only: the store takes nothing but transitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// Its identity.
    pub id: DisputeId,
    /// The order whose payment is disputed.
    pub order: OrderId,
    /// The payment that is disputed.
    pub payment: PaymentId,
    /// Test or live.
    pub mode: Mode,
    /// Counts the transitions.
    pub version: Version,
    /// The gateway's name for it.
    pub gateway: GatewayDisputeId,
    /// The newest that the gateway said.
    pub seen: DisputeSighting,
    /// What we have to say, by the gateway's names of its parts.
    pub evidence: Evidence,
    /// The answer that the gateway is being told.
    pub answering: Option<DisputeAnswer>,
    /// How often the gateway was told something; part of the call's idempotency key.
    pub generation: u32,
    /// Whether an operator was told that the deadline is near.
    pub deadline_told: bool,
    /// When the gateway opened it.
    pub created_at: OffsetDateTime,
}

enum Rule {
    Move,
    AlreadyTrue,
    Illegal,
}

impl Dispute {
    /// A dispute that the gateway told of.
    pub fn open(
        id: DisputeId,
        payment: &Payment,
        gateway: GatewayDisputeId,
        seen: DisputeSighting,
        created_at: OffsetDateTime,
    ) -> Transition<Self, DisputeEvent> {
        let dispute = Self {
            id,
            order: payment.order,
            payment: payment.id,
            mode: payment.mode,
            version: Version::FIRST,
            gateway,
            seen,
            evidence: Evidence::default(),
            answering: None,
            generation: 0,
            deadline_told: false,
            created_at,
        };
        Transition::first(DisputeEvent::Opened, dispute)
    }

    /// What of the payment's money it holds or took.
    pub fn withheld(&self) -> Money {
        if self.seen.status.withholds() { self.seen.amount } else { Money::zero(self.seen.amount.currency()) }
    }

    /// Whether the gateway would refuse to refund the payment: the issuer pulls the money, and a refund would pay it
    /// out twice. An inquiry leaves it refundable. What we do not know holds the money, so until we know it nothing that
    /// gives the money back is decided, whatever else is said.
    pub fn blocks_refunds(&self) -> bool {
        match self.seen.status {
            DisputeStatus::Won | DisputeStatus::WarningClosed => false,
            DisputeStatus::Other(_) => true,
            DisputeStatus::WarningNeedsResponse
            | DisputeStatus::WarningUnderReview
            | DisputeStatus::NeedsResponse
            | DisputeStatus::UnderReview
            | DisputeStatus::Lost
            | DisputeStatus::Prevented => !self.seen.refundable,
        }
    }

    /// Whether an answer is still taken.
    pub fn is_answerable(&self) -> bool {
        self.seen.status.needs_response()
    }

    fn rule(&self, event: &DisputeEvent) -> Rule {
        use {DisputeEvent as E, Rule::*};
        match event {
            E::Opened => Illegal,
            // The newest word counts: won may become lost, and lost won.
            E::Seen(seen) => {
                let rank = |it: &DisputeSighting| (it.at, it.status.progress(), it.status.to_string());
                if rank(seen) > rank(&self.seen) { Move } else { AlreadyTrue }
            }
            E::EvidenceEdited(_) if !self.is_answerable() => Illegal,
            E::EvidenceEdited(evidence) => {
                if *evidence == self.evidence {
                    AlreadyTrue
                } else {
                    Move
                }
            }
            E::AnswerRequested(_) if !self.is_answerable() || self.answering.is_some() => Illegal,
            E::AnswerRequested(_) => Move,
            E::AnswerTaken | E::AnswerRefused => {
                if self.answering.is_some() {
                    Move
                } else {
                    AlreadyTrue
                }
            }
            E::DeadlineNear => {
                if self.deadline_told {
                    AlreadyTrue
                } else {
                    Move
                }
            }
        }
    }

    /// The only way a dispute changes.
    ///
    /// # Errors
    /// [`IllegalTransition`] when there is no such step; nothing changed.
    pub fn apply(&self, event: DisputeEvent) -> Result<Applied<Self, DisputeEvent>, IllegalTransition> {
        match self.rule(&event) {
            Rule::Move => Ok(Applied::moved(self, self.after(&event), event)),
            Rule::AlreadyTrue => Ok(Applied::AlreadyTrue),
            Rule::Illegal => Err(IllegalTransition {
                id: self.id.to_string(),
                from: self.state(),
                event: (&event).into(),
                allowed: self.allowed(),
            }),
        }
    }

    /// The status by name; `other` for one that we do not know.
    pub fn state(&self) -> &'static str {
        match self.seen.status {
            DisputeStatus::WarningNeedsResponse => "warning_needs_response",
            DisputeStatus::WarningUnderReview => "warning_under_review",
            DisputeStatus::WarningClosed => "warning_closed",
            DisputeStatus::NeedsResponse => "needs_response",
            DisputeStatus::UnderReview => "under_review",
            DisputeStatus::Won => "won",
            DisputeStatus::Lost => "lost",
            DisputeStatus::Prevented => "prevented",
            DisputeStatus::Other(_) => "other",
        }
    }

    fn allowed(&self) -> Vec<&'static str> {
        match (self.is_answerable(), self.answering) {
            (true, None) => vec!["evidence_edited", "answer_requested"],
            (true, Some(_)) => vec!["evidence_edited"],
            (false, _) => Vec::new(),
        }
    }

    fn after(&self, event: &DisputeEvent) -> Self {
        let mut after = Self { version: self.version.next(), ..self.clone() };
        match event {
            DisputeEvent::Seen(seen) => {
                // Another deadline earns another word.
                after.deadline_told &= seen.due_by == self.seen.due_by;
                after.seen = seen.clone();
            }
            DisputeEvent::EvidenceEdited(evidence) => after.evidence = evidence.clone(),
            DisputeEvent::AnswerRequested(answer) => {
                after.answering = Some(*answer);
                after.generation += 1;
            }
            DisputeEvent::AnswerTaken | DisputeEvent::AnswerRefused => after.answering = None,
            DisputeEvent::DeadlineNear => after.deadline_told = true,
            DisputeEvent::Opened => {}
        }
        after
    }
}

#[cfg(test)]
#[path = "dispute_tests.rs"]
mod tests;
