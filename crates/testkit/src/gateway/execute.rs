//! What a call does, and when it is refused.

use paywright_domain::{
    DisputeStatus, Evidence, GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId, Metadata, Money,
    Operation, RefundStanding, Subject, ports::Reply,
};
use time::{Duration, OffsetDateTime};

use super::{
    model::{Model, Outcome},
    objects::{FakeIntent, FakeRefund, FakeSession, IntentStatus, SessionStatus},
};

type Refused = (&'static str, String);

/// The code that stands for a refusal to which the gateway gives none.
const NO_CODE: &str = "invalid_request_error";
/// How long a hold can be captured.
const HOLD: Duration = Duration::days(7);

impl Model {
    /// Performs a call, and sends the events about it.
    pub(super) fn execute(&mut self, call: &GatewayCall, now: OffsetDateTime) -> Outcome {
        match &call.operation {
            Operation::CreateIntent { amount, currency, capture_method, .. } => {
                let amount = money(*amount, currency)?;
                let id = self.new_intent(call.payment, amount, *capture_method, None, now).id;
                let intent = self.intent_mut(&id).unwrap();
                intent.order = Some(call.order);
                let intent = intent.clone();
                self.tell_intent("payment_intent.created", &intent.id, now);
                Ok(self.reply(&intent, now))
            }
            Operation::CreateSession { currency, lines, capture_method, expires_at, .. } => {
                let minor = lines.iter().map(|line| line.unit_amount * u64::from(line.quantity)).sum();
                let session = FakeSession {
                    id: self.name("cs_test").try_into().unwrap(),
                    order: call.order,
                    payment: call.payment,
                    amount: money(minor, currency)?,
                    capture: *capture_method,
                    status: SessionStatus::Open,
                    intent: None,
                    expires_at: OffsetDateTime::from_unix_timestamp(*expires_at)
                        .map_err(|_| ("parameter_invalid_integer", "Invalid expires_at".to_owned()))?,
                };
                self.sessions.push(session.clone());
                Ok(Reply::Payment(Box::new(session.answer(self.mode, now))))
            }
            Operation::CancelIntent { intent, .. } => self.cancel(intent, now),
            Operation::ExpireSession { session: id } => {
                let session = self.session(id).ok_or_else(|| missing(id.as_str()))?;
                if session.status != SessionStatus::Open {
                    let message = "Only Checkout Sessions with a status in [\"open\"] can be expired.";
                    return Err(("checkout_session_not_open", message.to_owned()));
                }
                self.close(id);
                self.tell_session("checkout.session.expired", id, now);
                Ok(Reply::Payment(Box::new(self.session(id).unwrap().answer(self.mode, now))))
            }
            Operation::Capture { intent, amount } => self.capture(intent, *amount, now),
            Operation::CreateRefund { intent, amount, reason, metadata } => {
                let id = self.refund(intent, *amount, now)?;
                let refund = self.refund_mut(&id).unwrap();
                refund.refund = match call.subject {
                    Subject::Refund(id) => Some(id),
                    Subject::Payment(_) | Subject::Dispute(_) => None,
                };
                refund.payment = Some(call.payment);
                refund.reason.clone_from(reason);
                refund.metadata.clone_from(metadata);
                let snapshot = refund.snapshot(None);
                self.tell_of_refund(&id, now);
                Ok(Reply::Refund(Box::new(snapshot)))
            }
            Operation::StageEvidence { dispute, evidence } => self.answer(dispute, evidence, false, now),
            Operation::SubmitEvidence { dispute, evidence } => self.answer(dispute, evidence, true, now),
            Operation::CloseDispute { dispute: id } => {
                self.open_dispute(id)?;
                self.dispute_mut(id).unwrap().status = DisputeStatus::Lost;
                self.tell_dispute("charge.dispute.closed", id, now);
                Ok(self.dispute_reply(id, now))
            }
        }
    }

    fn reply(&self, intent: &FakeIntent, now: OffsetDateTime) -> Reply {
        Reply::Payment(Box::new(intent.answer(self.mode, now)))
    }

    fn dispute_reply(&self, id: &GatewayDisputeId, now: OffsetDateTime) -> Reply {
        Reply::Dispute(Box::new(self.dispute(id).unwrap().snapshot(self.mode, now)))
    }

    /// A hosted page's intent can be cancelled only once it is authorized.
    /// Source: <https://docs.stripe.com/api/payment_intents/cancel>
    fn cancel(&mut self, id: &IntentId, now: OffsetDateTime) -> Outcome {
        let intent = self.intent_mut(id).ok_or_else(|| missing(id.as_str()))?;
        let by_page = intent.session.is_some() && intent.status != IntentStatus::Authorized;
        if by_page || !intent.status.can_end() {
            return Err(unexpected("cancel", intent.status));
        }
        intent.status = IntentStatus::Cancelled;
        let intent = intent.clone();
        self.tell_intent("payment_intent.canceled", id, now);
        Ok(self.reply(&intent, now))
    }

    fn capture(&mut self, id: &IntentId, amount: u64, now: OffsetDateTime) -> Outcome {
        let intent = self.intent(id).ok_or_else(|| missing(id.as_str()))?;
        if intent.status != IntentStatus::Authorized {
            return Err(unexpected("capture", intent.status));
        }
        if amount == 0 {
            return Err(("parameter_invalid_integer", "amount must be at least 1".to_owned()));
        }
        if amount > intent.amount.minor() {
            let message = format!("{amount} is more than can be captured, {}", intent.amount);
            return Err(("amount_too_large", message));
        }
        self.take(id, amount, now);
        self.tell_intent("charge.captured", id, now);
        self.tell_intent("payment_intent.succeeded", id, now);
        Ok(self.reply(&self.intent(id).unwrap().clone(), now))
    }

    /// Reserves the amount of an intent.
    pub(super) fn reserve(&mut self, id: &IntentId, now: OffsetDateTime) {
        let intent = self.intent_mut(id).expect("no such intent");
        intent.status = IntentStatus::Authorized;
        intent.capture_before = Some(now + HOLD);
    }

    /// Takes so much of an intent, and releases the rest.
    pub(super) fn take(&mut self, id: &IntentId, amount: u64, now: OffsetDateTime) {
        let late = self.balance.late;
        let intent = self.intent_mut(id).expect("no such intent");
        intent.status = IntentStatus::Captured { refunded: 0 };
        intent.captured = amount;
        if !late {
            self.settle(id, now);
        }
    }

    /// Gives so much of an intent back, by whomever.
    pub(super) fn refund(
        &mut self,
        id: &IntentId,
        amount: u64,
        now: OffsetDateTime,
    ) -> Result<GatewayRefundId, Refused> {
        let intent = self.intent(id).ok_or_else(|| missing(id.as_str()))?;
        let IntentStatus::Captured { refunded } = intent.status else {
            return Err((NO_CODE, format!("{id} has no successful charge to refund.")));
        };
        let left = intent.captured - refunded;
        let currency = intent.amount.currency();
        if self.disputes.iter().any(|dispute| dispute.intent == *id && !dispute.leaves_refundable()) {
            return Err(("charge_disputed", format!("{id} has been charged back; cannot issue a refund.")));
        }
        if left == 0 {
            return Err(("charge_already_refunded", format!("{id} has already been refunded.")));
        }
        if amount == 0 {
            return Err(("parameter_invalid_integer", "amount must be at least 1".to_owned()));
        }
        if amount > left {
            return Err((NO_CODE, format!("{amount} is greater than the unrefunded amount, {left}")));
        }
        let amount = Money::from_minor(amount, currency).unwrap();
        self.intent_mut(id).unwrap().status = IntentStatus::Captured { refunded: refunded + amount.minor() };
        let sent = !self.refunds_wait;
        let refund = FakeRefund {
            id: self.name("re").try_into().unwrap(),
            intent: id.clone(),
            amount,
            refund: None,
            payment: None,
            reason: None,
            metadata: Metadata::new(),
            standing: if sent { RefundStanding::Succeeded } else { RefundStanding::Pending },
            failure: None,
            settlement: sent.then(|| self.moved(amount, -1, now)),
            reversal: None,
            created_at: now,
        };
        self.refunds.push(refund.clone());
        Ok(refund.id)
    }

    /// The events about a new refund.
    pub(super) fn tell_of_refund(
        &mut self,
        id: &GatewayRefundId,
        now: OffsetDateTime,
    ) -> Vec<paywright_domain::ports::InboxEvent> {
        let intent = self.refund_mut(id).expect("no such refund").intent.clone();
        vec![self.tell_refund("refund.created", id, now), self.tell_intent("charge.refunded", &intent, now)]
    }

    fn answer(
        &mut self,
        id: &GatewayDisputeId,
        evidence: &Evidence,
        submit: bool,
        now: OffsetDateTime,
    ) -> Outcome {
        self.open_dispute(id)?;
        let dispute = self.dispute_mut(id).unwrap();
        if dispute.submitted {
            return Err((NO_CODE, "Evidence can be submitted once.".to_owned()));
        }
        dispute.evidence = evidence.clone();
        if submit {
            dispute.submitted = true;
            dispute.status = if dispute.status == DisputeStatus::WarningNeedsResponse {
                DisputeStatus::WarningUnderReview
            } else {
                DisputeStatus::UnderReview
            };
        }
        self.tell_dispute("charge.dispute.updated", id, now);
        Ok(self.dispute_reply(id, now))
    }

    fn open_dispute(&self, id: &GatewayDisputeId) -> Result<(), Refused> {
        let dispute = self.dispute(id).ok_or_else(|| missing(id.as_str()))?;
        if dispute.status.is_open() {
            Ok(())
        } else {
            Err((NO_CODE, "This dispute is already closed".to_owned()))
        }
    }

    /// What a call brought into being, by the ids in its objects' metadata.
    pub(super) fn find(&self, call: &GatewayCall, now: OffsetDateTime) -> Option<Reply> {
        match (&call.operation, call.subject) {
            (Operation::CreateIntent { .. }, _) => {
                let own = |intent: &&FakeIntent| intent.payment == call.payment && intent.session.is_none();
                self.intents.iter().find(own).map(|intent| self.reply(intent, now))
            }
            (Operation::CreateSession { .. }, _) => {
                let page = self.sessions.iter().find(|page| page.payment == call.payment)?;
                Some(Reply::Payment(Box::new(page.answer(self.mode, now))))
            }
            (Operation::CreateRefund { .. }, Subject::Refund(id)) => {
                let refund = self.refunds.iter().find(|refund| refund.refund == Some(id))?;
                Some(Reply::Refund(Box::new(refund.snapshot(None))))
            }
            (
                Operation::CreateRefund { .. }
                | Operation::CancelIntent { .. }
                | Operation::ExpireSession { .. }
                | Operation::Capture { .. }
                | Operation::StageEvidence { .. }
                | Operation::SubmitEvidence { .. }
                | Operation::CloseDispute { .. },
                _,
            ) => None,
        }
    }
}

fn unexpected(what: &str, status: IntentStatus) -> Refused {
    ("payment_intent_unexpected_state", format!("You cannot {what} this PaymentIntent: it is {status:?}."))
}

fn missing(id: &str) -> Refused {
    ("resource_missing", format!("No such object: '{id}'"))
}

fn money(minor: u64, currency: &str) -> Result<Money, Refused> {
    let currency = currency.parse().map_err(|_| ("invalid_currency", currency.to_owned()))?;
    Money::from_minor(minor, currency).map_err(|error| ("amount_too_large", error.to_string()))
}
