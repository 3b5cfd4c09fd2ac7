use std::collections::BTreeMap;

use paywright_domain::{
    GatewayCall, IntentId, Mode, Money, Operation, Origin, PaymentId, Refusal, SessionId, Sighting, Standing,
    ports::{Answer, GatewayError, InboxEvent, Snapshot},
};
use time::OffsetDateTime;

/// Everything the gateway knows.
#[derive(Default)]
pub(super) struct Model {
    pub(super) intents: Vec<FakeIntent>,
    pub(super) sessions: Vec<FakeSession>,
    pub(super) events: Vec<InboxEvent>,
    /// What each key was first used for, and the answer it got.
    replies: BTreeMap<String, (Operation, Reply)>,
    ids: u32,
}

type Reply = Result<Answer, (&'static str, String)>;

/// A PaymentIntent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeIntent {
    /// Its name.
    pub id: IntentId,
    /// The payment that its metadata names.
    pub payment: PaymentId,
    /// What it is over.
    pub amount: Money,
    /// How it stands.
    pub status: IntentStatus,
    /// The hosted page that made it.
    pub session: Option<SessionId>,
    /// The last attempt, if the issuer refused it.
    pub refusal: Option<Refusal>,
}

/// How an intent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentStatus {
    /// `requires_payment_method`
    AwaitingMethod,
    /// `requires_action`
    ActionRequired,
    /// `processing`
    Processing,
    /// `requires_capture`
    Authorized,
    /// `succeeded`
    Captured {
        /// Minor units given back in all.
        refunded: u64,
    },
    /// `canceled`
    Cancelled,
}

/// A Checkout Session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeSession {
    /// Its name.
    pub id: SessionId,
    /// The payment that its metadata names.
    pub payment: PaymentId,
    /// What it is over.
    pub amount: Money,
    /// How it stands.
    pub status: SessionStatus,
    /// Its intent; there is none before the customer's first attempt.
    pub intent: Option<IntentId>,
    /// When it closes by itself.
    pub expires_at: OffsetDateTime,
}

/// How a hosted page stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    /// The customer can pay.
    Open,
    /// The customer is through; whether money came, the intent tells.
    Complete,
    /// Closed without money.
    Expired,
}

impl IntentStatus {
    /// Whether an intent can be cancelled.
    fn can_end(self) -> bool {
        match self {
            Self::AwaitingMethod | Self::ActionRequired | Self::Authorized => true,
            Self::Processing | Self::Captured { .. } | Self::Cancelled => false,
        }
    }
}

impl FakeIntent {
    /// What a message of the gateway says of it.
    pub fn snapshot(&self, mode: Mode, at: OffsetDateTime) -> Snapshot {
        let minor = self.amount.minor();
        let standing = match self.status {
            IntentStatus::AwaitingMethod => Standing::AwaitingMethod,
            IntentStatus::ActionRequired => Standing::ActionRequired,
            IntentStatus::Processing => Standing::Processing,
            IntentStatus::Authorized => Standing::Authorized(minor),
            IntentStatus::Captured { refunded } => Standing::Captured { captured: minor, refunded },
            IntentStatus::Cancelled => Standing::Cancelled,
        };
        // An intent does not name its hosted page.
        let sighting = Sighting { standing, at, intent: Some(self.id.clone()), session: None };
        Snapshot {
            payment: Some(self.payment),
            mode,
            amount: Some(self.amount),
            sighting,
            refusal: self.refusal.clone(),
            origin: Origin::default(),
        }
    }

    pub(super) fn answer(&self, mode: Mode, now: OffsetDateTime) -> Answer {
        let client_secret = Some(format!("{}_secret_fake", self.id).into());
        Answer { snapshot: self.snapshot(mode, now), client_secret, url: None }
    }
}

impl FakeSession {
    /// What a message of the gateway says of it.
    pub fn snapshot(&self, mode: Mode, at: OffsetDateTime) -> Snapshot {
        let standing = match self.status {
            SessionStatus::Open => Standing::AwaitingMethod,
            SessionStatus::Complete => Standing::Unclear,
            SessionStatus::Expired => Standing::Cancelled,
        };
        let sighting = Sighting { standing, at, intent: self.intent.clone(), session: Some(self.id.clone()) };
        Snapshot {
            payment: Some(self.payment),
            mode,
            amount: Some(self.amount),
            sighting,
            refusal: None,
            origin: Origin::default(),
        }
    }

    pub(super) fn answer(&self, mode: Mode, now: OffsetDateTime) -> Answer {
        let open = self.status == SessionStatus::Open;
        let url = open.then(|| format!("https://checkout.example/{}", self.id));
        Answer { snapshot: self.snapshot(mode, now), client_secret: None, url }
    }
}

impl Model {
    pub(super) fn intent(&self, id: &IntentId) -> Option<&FakeIntent> {
        self.intents.iter().find(|intent| intent.id == *id)
    }

    pub(super) fn session(&self, id: &SessionId) -> Option<&FakeSession> {
        self.sessions.iter().find(|session| session.id == *id)
    }

    pub(super) fn intent_mut(&mut self, id: &IntentId) -> Option<&mut FakeIntent> {
        self.intents.iter_mut().find(|intent| intent.id == *id)
    }

    pub(super) fn session_mut(&mut self, id: &SessionId) -> Option<&mut FakeSession> {
        self.sessions.iter_mut().find(|session| session.id == *id)
    }

    /// The next name of an object.
    pub(super) fn name(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}_{}", self.ids)
    }

    pub(super) fn new_intent(
        &mut self,
        payment: PaymentId,
        amount: Money,
        session: Option<SessionId>,
    ) -> FakeIntent {
        let id = self.name("pi").try_into().unwrap();
        let intent =
            FakeIntent { id, payment, amount, status: IntentStatus::AwaitingMethod, session, refusal: None };
        self.intents.push(intent.clone());
        intent
    }

    /// Pages whose time is over close by themselves. An attempt that the issuer refused ends with its page.
    pub(super) fn close_pages(&mut self, now: OffsetDateTime) {
        let over = |page: &&FakeSession| page.status == SessionStatus::Open && page.expires_at <= now;
        let over: Vec<_> = self.sessions.iter().filter(over).map(|session| session.id.clone()).collect();
        for id in over {
            self.close(&id);
        }
    }

    pub(super) fn close(&mut self, id: &SessionId) {
        let Some(session) = self.session_mut(id) else { return };
        session.status = SessionStatus::Expired;
        if let Some(intent) = session.intent.clone().and_then(|intent| self.intent_mut(&intent)) {
            intent.status = IntentStatus::Cancelled;
        }
    }

    /// Performs a call once for its key.
    pub(super) fn perform(
        &mut self,
        mode: Mode,
        call: &GatewayCall,
        now: OffsetDateTime,
    ) -> Result<Answer, GatewayError> {
        self.close_pages(now);
        let reply = match self.replies.get(&call.key()) {
            Some((first, reply)) if *first == call.operation => reply.clone(),
            Some(_) => {
                let message = "other parameters under the same key".to_owned();
                return Err(GatewayError::KeyReused { message });
            }
            None => {
                let reply = self.execute(mode, call, now);
                self.replies.insert(call.key(), (call.operation.clone(), reply.clone()));
                reply
            }
        };
        let request = Some(self.name("req"));
        match reply {
            Ok(mut answer) => {
                answer.snapshot.origin = Origin { event: None, request };
                Ok(answer)
            }
            Err((code, message)) => Err(GatewayError::Rejected { code: code.to_owned(), message, request }),
        }
    }

    fn execute(&mut self, mode: Mode, call: &GatewayCall, now: OffsetDateTime) -> Reply {
        match &call.operation {
            Operation::CreateIntent { amount, currency, .. } => {
                let amount = money(*amount, currency)?;
                Ok(self.new_intent(call.payment, amount, None).answer(mode, now))
            }
            Operation::CreateSession { currency, lines, expires_at, .. } => {
                let minor = lines.iter().map(|line| line.unit_amount * u64::from(line.quantity)).sum();
                let session = FakeSession {
                    id: self.name("cs_test").try_into().unwrap(),
                    payment: call.payment,
                    amount: money(minor, currency)?,
                    status: SessionStatus::Open,
                    intent: None,
                    expires_at: OffsetDateTime::from_unix_timestamp(*expires_at)
                        .map_err(|_| ("parameter_invalid_integer", "Invalid expires_at".to_owned()))?,
                };
                self.sessions.push(session.clone());
                Ok(session.answer(mode, now))
            }
            Operation::CancelIntent { intent: id, .. } => {
                self.cancel(id).map(|intent| intent.answer(mode, now))
            }
            Operation::ExpireSession { session: id } => {
                let session = self.session(id).ok_or_else(|| missing(id.as_str()))?;
                if session.status != SessionStatus::Open {
                    let message = "Only Checkout Sessions with a status in [\"open\"] can be expired.";
                    return Err(("checkout_session_not_open", message.to_owned()));
                }
                self.close(id);
                Ok(self.session(id).unwrap().answer(mode, now))
            }
        }
    }

    /// A hosted page's intent can be cancelled only once it is authorized.
    /// Source: <https://docs.stripe.com/api/payment_intents/cancel>
    fn cancel(&mut self, id: &IntentId) -> Result<FakeIntent, (&'static str, String)> {
        let intent = self.intent_mut(id).ok_or_else(|| missing(id.as_str()))?;
        let by_page = intent.session.is_some() && intent.status != IntentStatus::Authorized;
        if by_page || !intent.status.can_end() {
            let message = format!("You cannot cancel this PaymentIntent: it is {:?}.", intent.status);
            return Err(("payment_intent_unexpected_state", message));
        }
        intent.status = IntentStatus::Cancelled;
        Ok(intent.clone())
    }
}

pub(super) fn rejected(code: &str, message: &str) -> GatewayError {
    GatewayError::Rejected { code: code.to_owned(), message: message.to_owned(), request: None }
}

fn missing(id: &str) -> (&'static str, String) {
    ("resource_missing", format!("No such object: '{id}'"))
}

fn money(minor: u64, currency: &str) -> Result<Money, (&'static str, String)> {
    let currency = currency.parse().map_err(|_| ("invalid_currency", currency.to_owned()))?;
    Money::from_minor(minor, currency).map_err(|error| ("amount_too_large", error.to_string()))
}
