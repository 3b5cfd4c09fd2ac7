//! Stripe's lists: complete, unlike its search, and read to the end.

use std::sync::Arc;

use paywright_domain::{
    GatewayCall, IntentId, Operation,
    ports::{DisputeSnapshot, GatewayError, RefundSnapshot, Reply},
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use time::Duration;

use crate::{
    answers::{Asked, done, of_refund, refund_of},
    classify::Doubt,
    client,
    form::{Created, ListQuery},
    gateway::Stripe,
    json,
    request::Request,
    snapshot,
    wire::{Bare, Dispute, Intent, List, Refund, Session},
};

/// Objects to a page: so many that it stays below the bound on an answer even where each holds as much as Stripe lets
/// it hold, in metadata or evidence. A search that could never be read would leave its call unknown for ever.
const REFUNDS: u8 = 50;
const DISPUTES: u8 = 10;
const SEARCHED: u8 = 30;
/// A list that is longer is not believed to end.
const PAGES_MAX: usize = 1_000;
/// Our clock and Stripe's may differ by less than this.
const CLOCKS_DIFFER: Duration = Duration::HOUR;

/// What an object of a list must name to be kept.
pub(crate) type Wanted<'a> = &'a (dyn Fn(&Bare) -> bool + Sync);

/// A part of a list.
pub(crate) struct Page {
    pub(crate) rows: Vec<Listed>,
    pub(crate) has_more: bool,
}

/// An object of a list, with the head of the answer that it came in.
pub(crate) struct Listed {
    object: Box<RawValue>,
    pub(crate) page: Arc<client::Reply>,
}

impl Listed {
    /// The bytes as they came.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.object.get().as_bytes()
    }

    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, GatewayError> {
        let status = self.page.status;
        json::read(self.bytes()).map_err(|source| Doubt::Unreadable { status, source }.into())
    }
}

impl Stripe {
    pub(crate) async fn list_refunds(&self, intent: &IntentId) -> Result<Vec<RefundSnapshot>, GatewayError> {
        let expand = ["data.balance_transaction", "data.failure_balance_transaction"];
        let query = of_payment(intent, &expand, REFUNDS);
        let listed = self.list("/v1/refunds", query, &|_| true).await?;
        let read = |listed: &Listed| {
            let refund = of_refund(&listed.read::<Refund>()?, &listed.page)?;
            check_payment(intent, refund.intent.as_ref())?;
            Ok(refund)
        };
        listed.iter().map(read).collect()
    }

    pub(crate) async fn list_disputes(
        &self,
        intent: &IntentId,
    ) -> Result<Vec<DisputeSnapshot>, GatewayError> {
        let listed = self.list("/v1/disputes", of_payment(intent, &[], DISPUTES), &|_| true).await?;
        let read = |listed: &Listed| {
            let dispute = self.of_dispute(&listed.read::<Dispute>()?, &listed.page)?;
            check_payment(intent, dispute.intent.as_ref())?;
            Ok(dispute)
        };
        listed.iter().map(read).collect()
    }

    /// The first object that a call brought into being.
    pub(crate) async fn search(&self, call: &GatewayCall) -> Result<Option<Reply>, GatewayError> {
        let asked = Asked::ToCreate(call.payment);
        let ours = |object: &Bare| snapshot::payment(&object.metadata) == Some(call.payment);
        match &call.operation {
            Operation::CreateIntent { .. } => {
                let listed = self.list("/v1/payment_intents", since(call), &ours).await?;
                let Some(first) = listed.last() else { return Ok(None) };
                let answer = self.of_intent(first.read::<Intent>()?, &first.page, &asked)?;
                Ok(Some(Reply::Payment(Box::new(answer))))
            }
            Operation::CreateSession { .. } => {
                let listed = self.list("/v1/checkout/sessions", since(call), &ours).await?;
                let Some(first) = listed.last() else { return Ok(None) };
                let answer = self.of_session(first.read::<Session>()?, &first.page, &asked)?;
                Ok(Some(Reply::Payment(Box::new(answer))))
            }
            Operation::CreateRefund { intent, .. } => {
                let Some(wanted) = refund_of(call) else { return Ok(None) };
                let refunds = self.list_refunds(intent).await?;
                let first = refunds.into_iter().rfind(|refund| refund.refund == Some(wanted));
                Ok(first.map(|refund| Reply::Refund(Box::new(refund))))
            }
            Operation::CancelIntent { .. }
            | Operation::ExpireSession { .. }
            | Operation::Capture { .. }
            | Operation::StageEvidence { .. }
            | Operation::SubmitEvidence { .. }
            | Operation::CloseDispute { .. } => Ok(None),
        }
    }

    /// All objects that are wanted, newest first.
    pub(crate) async fn list(
        &self,
        collection: &str,
        query: ListQuery<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Vec<Listed>, GatewayError> {
        let (mut found, mut last) = (Vec::new(), None::<String>);
        for _ in 0..PAGES_MAX {
            let query = ListQuery { starting_after: last.as_deref(), ..query };
            let page = self.page(&Request::list(collection, &query)).await?;
            let before = last.take();
            for listed in page.rows {
                let bare: Bare = listed.read()?;
                if wanted(&bare) {
                    found.push(listed);
                }
                last = Some(bare.id);
            }
            if !page.has_more {
                return Ok(found);
            }
            // More is said to follow, but from where?
            if last.is_none() || last == before {
                break;
            }
        }
        Err(Doubt::Endless.into())
    }

    /// A part of a list, its objects unread.
    pub(crate) async fn page(&self, request: &Request) -> Result<Page, GatewayError> {
        let mut reply = self.exchange(request).await?;
        let list: List = done(&reply)?;
        reply.body = Vec::new();
        if list.object != "list" {
            let got = crate::text::tidy(&list.object, 100);
            return Err(Doubt::WrongObject { asked: "a list".to_owned(), got }.into());
        }
        let page = Arc::new(reply);
        let rows = list.data.into_iter().map(|object| Listed { object, page: page.clone() });
        Ok(Page { rows: rows.collect(), has_more: list.has_more })
    }
}

fn of_payment<'a>(intent: &'a IntentId, expand: &'a [&'static str], limit: u8) -> ListQuery<'a> {
    ListQuery { payment_intent: Some(intent.as_str()), expand, limit, ..ListQuery::default() }
}

/// That the filter was heeded.
fn check_payment(asked: &IntentId, got: Option<&IntentId>) -> Result<(), Doubt> {
    if got == Some(asked) {
        return Ok(());
    }
    let got = got.map_or_else(|| "of no payment".to_owned(), |id| format!("of {id}"));
    Err(Doubt::WrongObject { asked: format!("what is of {asked}"), got })
}

/// What was made since a call may have been sent. There is no end: what an error of Stripe's own left half done it
/// may complete hours later.
///
/// Source: <https://docs.stripe.com/error-low-level#server-errors>
fn since(call: &GatewayCall) -> ListQuery<'static> {
    let created = Some(Created::since(call.recorded_at - CLOCKS_DIFFER));
    ListQuery { created, limit: SEARCHED, ..ListQuery::default() }
}
