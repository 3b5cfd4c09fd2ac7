//! Everything that the adapter can be asked, and what it told, in one shape.

use paywright_domain::{
    Currency, GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId, Mode, PayoutId, SessionId, Standing,
    ports::{
        Archive, BookEntry, DisputeSnapshot, Gateway, GatewayError, InboxEvent, Payout, RefundSnapshot,
        Reply, Shelf, Snapshot, Window,
    },
};
use paywright_stripe::{Endpoint, EndpointChange, Stripe};
use time::Duration;

use super::world::{NOW, now};

/// Around everything that the sandbox made.
pub const WINDOW: Window =
    Window { from: NOW.saturating_sub(Duration::HOUR), before: NOW.saturating_add(Duration::days(100)) };

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    Perform,
    Find,
    Intent(IntentId),
    Session(SessionId),
    Refund(GatewayRefundId),
    Refunds(IntentId),
    Disputes(IntentId),
    Dispute(GatewayDisputeId),
    List(List),
    PaidOut(PayoutId),
    Endpoints,
    CreateEndpoint,
    UpdateEndpoint(String),
    DeleteEndpoint(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    Events,
    Undelivered,
    Payments,
    Refunds,
    Disputes,
    Transactions,
    Payouts,
}

/// What was told.
#[derive(Debug, Default)]
pub struct Told {
    pub objects: Vec<Object>,
    /// Where the list goes on.
    pub next: Option<String>,
}

#[derive(Debug)]
pub struct Object {
    pub kind: &'static str,
    pub id: String,
    /// With its sign.
    pub amount: Option<(i128, Currency)>,
    pub mode: Option<Mode>,
    pub standing: Option<Standing>,
}

impl Question {
    pub fn ask(
        &self,
        stripe: &Stripe,
        call: &GatewayCall,
        after: Option<String>,
    ) -> Result<Told, GatewayError> {
        let one = |object: Object| Told { objects: vec![object], next: None };
        let maybe = |object: Option<Object>| Told { objects: object.into_iter().collect(), next: None };
        let rows = |objects: Vec<Object>| Told { objects, next: None };
        Ok(match self {
            Self::Perform => one(now(stripe.perform(call))?.into()),
            Self::Find => maybe(now(stripe.find(call))?.map(Object::from)),
            Self::Intent(id) => maybe(now(stripe.intent(id))?.map(|answer| answer.snapshot.into())),
            Self::Session(id) => maybe(now(stripe.session(id))?.map(|answer| answer.snapshot.into())),
            Self::Refund(id) => maybe(now(Gateway::refund(stripe, id))?.map(Object::from)),
            Self::Dispute(id) => maybe(now(Gateway::dispute(stripe, id))?.map(Object::from)),
            Self::Refunds(id) => rows(of_all(now(Gateway::refunds(stripe, id))?)),
            Self::Disputes(id) => rows(of_all(now(Gateway::disputes(stripe, id))?)),
            Self::List(list) => list.ask(stripe, after)?,
            Self::PaidOut(payout) => of_shelf(now(stripe.paid_out(payout, after))?),
            Self::Endpoints => rows(of_all(now(stripe.endpoints())?)),
            Self::CreateEndpoint => {
                let made = now(stripe.create_endpoint("https://a.example/hook", &["refund.created"], "key"))?;
                one(made.0.into())
            }
            Self::UpdateEndpoint(id) => {
                let change = EndpointChange { enabled: Some(false), ..EndpointChange::default() };
                maybe(now(stripe.update_endpoint(id, &change, "change"))?.map(Object::from))
            }
            Self::DeleteEndpoint(id) => {
                let deleted = || Object::named("webhook_endpoint", id);
                maybe(now(stripe.delete_endpoint(id))?.then(deleted))
            }
        })
    }
}

impl List {
    fn ask(self, stripe: &Stripe, after: Option<String>) -> Result<Told, GatewayError> {
        Ok(match self {
            Self::Events => of_shelf(now(Archive::events(stripe, WINDOW, after))?),
            Self::Undelivered => of_shelf(now(stripe.undelivered(WINDOW, after))?),
            Self::Payments => of_shelf(now(Archive::payments(stripe, WINDOW, after))?),
            Self::Refunds => of_shelf(now(Archive::refunds(stripe, WINDOW, after))?),
            Self::Disputes => of_shelf(now(Archive::disputes(stripe, WINDOW, after))?),
            Self::Transactions => of_shelf(now(Archive::transactions(stripe, WINDOW, after))?),
            Self::Payouts => of_shelf(now(Archive::payouts(stripe, WINDOW, after))?),
        })
    }
}

fn of_all<T: Into<Object>>(rows: Vec<T>) -> Vec<Object> {
    rows.into_iter().map(T::into).collect()
}

fn of_shelf<T: Into<Object>>(shelf: Shelf<T>) -> Told {
    Told { objects: of_all(shelf.rows), next: shelf.next }
}

impl Object {
    fn named(kind: &'static str, id: &str) -> Self {
        Self { kind, id: id.to_owned(), amount: None, mode: None, standing: None }
    }
}

impl From<Reply> for Object {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Payment(answer) => answer.snapshot.into(),
            Reply::Refund(refund) => (*refund).into(),
            Reply::Dispute(dispute) => (*dispute).into(),
        }
    }
}

impl From<Snapshot> for Object {
    fn from(told: Snapshot) -> Self {
        let (kind, id) = match (told.sighting.session, told.sighting.intent) {
            (Some(session), _) => ("checkout.session", session.as_str().to_owned()),
            (None, Some(intent)) => ("payment_intent", intent.as_str().to_owned()),
            (None, None) => panic!("a payment without a name"),
        };
        Self {
            amount: told.amount.map(|money| (money.minor().into(), money.currency())),
            mode: Some(told.mode),
            standing: Some(told.sighting.standing),
            ..Self::named(kind, &id)
        }
    }
}

impl From<RefundSnapshot> for Object {
    fn from(told: RefundSnapshot) -> Self {
        let amount = told.amount.map(|money| (money.minor().into(), money.currency()));
        Self { amount, ..Self::named("refund", told.sighting.id.as_str()) }
    }
}

impl From<DisputeSnapshot> for Object {
    fn from(told: DisputeSnapshot) -> Self {
        let money = told.sighting.amount;
        Self {
            amount: Some((money.minor().into(), money.currency())),
            mode: Some(told.mode),
            ..Self::named("dispute", told.id.as_str())
        }
    }
}

impl From<InboxEvent> for Object {
    fn from(told: InboxEvent) -> Self {
        Self { mode: Some(told.mode), ..Self::named("event", &told.id) }
    }
}

impl From<BookEntry> for Object {
    fn from(told: BookEntry) -> Self {
        let amount = Some((told.moved.amount.into(), told.moved.currency));
        Self { amount, ..Self::named("balance_transaction", told.moved.id.as_str()) }
    }
}

impl From<Payout> for Object {
    fn from(told: Payout) -> Self {
        let minor = i128::from(told.amount.minor());
        let amount = Some((if told.taken { -minor } else { minor }, told.amount.currency()));
        Self { amount, ..Self::named("payout", told.id.as_str()) }
    }
}

impl From<Endpoint> for Object {
    fn from(told: Endpoint) -> Self {
        Self { mode: Some(told.mode), ..Self::named("webhook_endpoint", &told.id) }
    }
}
