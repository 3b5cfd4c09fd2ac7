//! Stripe's past, list by list: the other side of every comparison.

use async_trait::async_trait;
use paywright_domain::{
    PayoutId,
    ports::{
        Archive, BookEntry, DisputeSnapshot, GatewayError, InboxEvent, Payout, RefundSnapshot, Shelf,
        Snapshot, Window,
    },
};
use tracing::field::Empty;

use crate::{
    answers::{EVENT, of_refund, unfit},
    balance,
    classify::Doubt,
    client::Failure,
    envelope,
    form::{Created, ListQuery},
    gateway::Stripe,
    lists::{Listed, Page},
    request::Request,
    snapshot, text,
    wire::{self, Row},
};

const EVENTS: List = List { collection: "/v1/events", holds: EVENT, expand: &[] };
const PAYMENTS: List = List {
    collection: "/v1/payment_intents",
    holds: "payment_intent",
    expand: &["data.latest_charge.balance_transaction"],
};
const REFUNDS: List = List {
    collection: "/v1/refunds",
    holds: "refund",
    expand: &["data.balance_transaction", "data.failure_balance_transaction"],
};
const DISPUTES: List = List { collection: "/v1/disputes", holds: "dispute", expand: &[] };
const TRANSACTIONS: List =
    List { collection: "/v1/balance_transactions", holds: "balance_transaction", expand: &["data.source"] };
const PAYOUTS: List = List { collection: "/v1/payouts", holds: "payout", expand: &[] };

/// Rows to a part. An answer that would be larger than is read is asked for again in smaller parts: a row is small as a
/// rule, but may hold as much metadata or evidence as Stripe lets it hold.
const ROWS: [u8; 3] = [100, 10, 1];
/// A list of more parts is not believed to end.
const PARTS_MAX: u32 = 100_000;

/// A list of Stripe's.
struct List {
    collection: &'static str,
    /// What its rows say that they are.
    holds: &'static str,
    /// What comes along with a row.
    expand: &'static [&'static str],
}

#[async_trait]
impl Archive for Stripe {
    #[tracing::instrument(name = "archive.events", skip_all, fields(gateway.request = Empty, status = Empty))]
    async fn events(&self, window: Window, after: Option<String>) -> Result<Shelf<InboxEvent>, GatewayError> {
        self.shelf(&EVENTS, within(window), after, event).await
    }

    #[tracing::instrument(name = "archive.payments", skip_all, fields(gateway.request = Empty, status = Empty))]
    async fn payments(&self, window: Window, after: Option<String>) -> Result<Shelf<Snapshot>, GatewayError> {
        let read = |listed: &Listed| {
            let intent: wire::Intent = listed.read()?;
            let word = self.word(&listed.page, intent.created);
            Ok(snapshot::of_intent(&intent, word).map_err(unfit(PAYMENTS.holds))?)
        };
        self.shelf(&PAYMENTS, within(window), after, read).await
    }

    #[tracing::instrument(name = "archive.refunds", skip_all, fields(gateway.request = Empty, status = Empty))]
    async fn refunds(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<RefundSnapshot>, GatewayError> {
        let read = |listed: &Listed| of_refund(&listed.read()?, &listed.page);
        self.shelf(&REFUNDS, within(window), after, read).await
    }

    #[tracing::instrument(name = "archive.disputes", skip_all, fields(gateway.request = Empty, status = Empty))]
    async fn disputes(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<DisputeSnapshot>, GatewayError> {
        let read = |listed: &Listed| self.of_dispute(&listed.read()?, &listed.page);
        self.shelf(&DISPUTES, within(window), after, read).await
    }

    #[tracing::instrument(name = "archive.transactions", skip_all, fields(gateway.request = Empty, status = Empty))]
    async fn transactions(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<BookEntry>, GatewayError> {
        self.shelf(&TRANSACTIONS, within(window), after, entry).await
    }

    #[tracing::instrument(name = "archive.payouts", skip_all, fields(gateway.request = Empty, status = Empty))]
    async fn payouts(&self, window: Window, after: Option<String>) -> Result<Shelf<Payout>, GatewayError> {
        let read = |listed: &Listed| Ok(balance::payout(&listed.read()?).map_err(unfit(PAYOUTS.holds))?);
        self.shelf(&PAYOUTS, within(window), after, read).await
    }

    #[tracing::instrument(
        name = "archive.paid_out",
        skip_all,
        fields(payout = %payout, gateway.request = Empty, status = Empty)
    )]
    async fn paid_out(
        &self,
        payout: &PayoutId,
        after: Option<String>,
    ) -> Result<Shelf<BookEntry>, GatewayError> {
        if after.is_none() {
            self.check_itemised(payout).await?;
        }
        let query = ListQuery { payout: Some(payout.as_str()), ..ListQuery::default() };
        self.shelf(&TRANSACTIONS, query, after, entry).await
    }
}

impl Stripe {
    /// Events that an endpoint was to get and did not take, newest first.
    ///
    /// # Errors
    /// As for every read: nothing happened.
    ///
    /// Source: <https://docs.stripe.com/webhooks/process-undelivered-events>
    #[tracing::instrument(name = "archive.undelivered", skip_all, fields(gateway.request = Empty, status = Empty))]
    pub async fn undelivered(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<InboxEvent>, GatewayError> {
        let query = ListQuery { delivery_success: Some(false), ..within(window) };
        self.shelf(&EVENTS, query, after, event).await
    }

    async fn shelf<T>(
        &self,
        list: &List,
        query: ListQuery<'_>,
        after: Option<String>,
        read: impl Fn(&Listed) -> Result<T, GatewayError> + Send,
    ) -> Result<Shelf<T>, GatewayError> {
        let place = after.map(Place::parse);
        let query = ListQuery {
            expand: list.expand,
            starting_after: place.as_ref().map(|place| place.after.as_str()),
            ..query
        };
        let page = self.in_parts(list.collection, query).await?;
        let (mut rows, mut last) = (Vec::with_capacity(page.rows.len()), None);
        for listed in &page.rows {
            let row: Row = listed.read()?;
            check(list, &query, &row)?;
            rows.push(read(listed)?);
            last = Some(row.id);
        }
        let next = match (page.has_more, last) {
            (false, _) => None,
            (true, Some(last)) => Some(Place::behind(last, place)?.to_string()),
            // More is said to follow, but from where?
            (true, None) => return Err(Doubt::Endless.into()),
        };
        Ok(Shelf { rows, next })
    }

    /// One call at a time, so that looking back never takes the place of a payment.
    async fn in_parts(&self, collection: &str, query: ListQuery<'_>) -> Result<Page, GatewayError> {
        let _one = self.looking_back.lock().await;
        let mut outcome = Err(Doubt::Endless.into());
        for limit in ROWS {
            outcome = self.page(&Request::list(collection, &ListQuery { limit, ..query })).await;
            if !outcome.as_ref().is_err_and(is_too_large) {
                break;
            }
        }
        outcome
    }

    /// Until Stripe has itemised a payout, the list of what it paid out is not complete.
    ///
    /// Source: <https://docs.stripe.com/api/payouts/object#payout_object-reconciliation_status>
    async fn check_itemised(&self, payout: &PayoutId) -> Result<(), GatewayError> {
        let _one = self.looking_back.lock().await;
        let reply = self.exchange(&Request::get("/v1/payouts", payout.as_str(), "")).await?;
        let found: wire::Payout = crate::answers::done(&reply)?;
        if found.id != payout.as_str() {
            let got = text::tidy(&found.id, 300);
            return Err(Doubt::WrongObject { asked: payout.to_string(), got }.into());
        }
        if found.reconciliation_status.as_deref() == Some("in_progress") {
            return Err(GatewayError::NotDone { after: None, source: Box::new(NotItemised) });
        }
        Ok(())
    }
}

/// The list is not to be had yet.
#[derive(Debug, thiserror::Error)]
#[error("Stripe has not yet said what the payout paid out")]
struct NotItemised;

fn within(window: Window) -> ListQuery<'static> {
    ListQuery { created: Some(Created::between(window.from, window.before)), ..ListQuery::default() }
}

fn event(listed: &Listed) -> Result<InboxEvent, GatewayError> {
    envelope(listed.bytes()).map_err(|malformed| GatewayError::Unknown(Box::new(malformed)))
}

fn entry(listed: &Listed) -> Result<BookEntry, GatewayError> {
    Ok(balance::entry(&listed.read()?, &listed.read()?).map_err(unfit(TRANSACTIONS.holds))?)
}

/// That a row is what was asked for, and that the list goes on and not back.
fn check(list: &List, query: &ListQuery<'_>, row: &Row) -> Result<(), Doubt> {
    if query.starting_after == Some(row.id.as_str()) {
        return Err(Doubt::Endless);
    }
    let wrong = |asked: &str, got: String| Doubt::WrongObject {
        asked: asked.to_owned(),
        got: text::tidy(&format!("{got} {}", row.id), 300),
    };
    if row.object != list.holds {
        return Err(wrong(list.holds, row.object.clone()));
    }
    if query.created.is_some_and(|window| !window.contains(row.created)) {
        return Err(wrong("what was made in a window", format!("made at {}:", row.created)));
    }
    Ok(())
}

fn is_too_large(error: &GatewayError) -> bool {
    match error {
        GatewayError::Unknown(source) => {
            matches!(source.downcast_ref::<Failure>(), Some(Failure::TooLarge(_)))
        }
        _ => false,
    }
}

/// Where a part of a list begins. The parts are counted, so that a list ends whatever it says.
struct Place {
    parts: u32,
    after: String,
}

impl Place {
    /// `2:evt_1`; a name alone is a place, too.
    fn parse(text: String) -> Self {
        let counted = text.split_once(':').and_then(|(parts, after)| {
            let parts = parts.parse().ok()?;
            Some(Self { parts, after: after.to_owned() })
        });
        counted.unwrap_or(Self { parts: 0, after: text })
    }

    fn behind(last: String, before: Option<Self>) -> Result<Self, Doubt> {
        let parts = before.map_or(0, |place| place.parts) + 1;
        if parts < PARTS_MAX { Ok(Self { parts, after: last }) } else { Err(Doubt::Endless) }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.parts, self.after)
    }
}
