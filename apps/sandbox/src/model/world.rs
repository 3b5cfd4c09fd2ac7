//! Everything of one mode: test and live are two worlds that never meet.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::account::Terms;
use super::balance_transaction::{Balance, BalanceTransaction};
use super::billing_portal::Configuration;
use super::charge::Charge;
use super::checkout_session::CheckoutSession;
use super::customer::Customer;
use super::delivery::{Deliveries, Outcome, Outgoing};
use super::dispute::Dispute;
use super::error::{ApiError, ApiResult};
use super::event::{self, Event};
use super::idempotency;
use super::invoice::{Invoice, InvoicePayment};
use super::payment_intent::PaymentIntent;
use super::payment_method::PaymentMethod;
use super::payout::Payout;
use super::price::Price;
use super::product::Product;
use super::refund::Refund;
use super::request::Request;
use super::setup_intent::SetupIntent;
use super::subscription::Subscription;
use super::table::{Row, Table};
use super::time::Time;
use super::timers::Timers;
use super::webhook_endpoint::WebhookEndpoint;
use super::{API_VERSION, Settings};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct World {
    pub livemode: bool,
    /// Where the sandbox's own pages are.
    pub public_url: String,
    /// The time of the input being handled.
    pub clock_seconds: i64,
    /// The most objects that it holds. Nothing is forgotten silently, so there has to be an end.
    #[serde(default = "super::objects_max")]
    pub objects_max: usize,
    pub payment_intents: Table<PaymentIntent>,
    pub charges: Table<Charge>,
    pub payment_methods: Table<PaymentMethod>,
    pub checkout_sessions: Table<CheckoutSession>,
    pub customers: Table<Customer>,
    pub products: Table<Product>,
    pub prices: Table<Price>,
    pub refunds: Table<Refund>,
    pub disputes: Table<Dispute>,
    pub balance_transactions: Table<BalanceTransaction>,
    pub balance: Balance,
    #[serde(default)]
    pub terms: Terms,
    /// Refunds that wait for money, the oldest first.
    #[serde(default)]
    pub waiting_refunds: VecDeque<String>,
    /// Requests that were answered with a 500 and will be carried out later, by their request ids.
    #[serde(default)]
    pub repairs: BTreeMap<String, Request>,
    /// Available rows that no payout has paid out yet.
    #[serde(default)]
    pub unpaid_rows: Vec<String>,
    #[serde(default)]
    pub subscriptions: Table<Subscription>,
    #[serde(default)]
    pub invoices: Table<Invoice>,
    #[serde(default)]
    pub invoice_payments: Table<InvoicePayment>,
    #[serde(default)]
    pub portal_configurations: Table<Configuration>,
    #[serde(default)]
    pub payouts: Table<Payout>,
    #[serde(default)]
    pub setup_intents: Table<SetupIntent>,
    pub events: Table<Event>,
    pub webhook_endpoints: Table<WebhookEndpoint>,
    pub deliveries: Deliveries,
    pub idempotency: idempotency::Store,
    pub timers: Timers,
}

impl World {
    /// How many objects there are, of the kinds that grow with use.
    pub fn objects(&self) -> usize {
        self.payment_intents.len()
            + self.charges.len()
            + self.payment_methods.len()
            + self.checkout_sessions.len()
            + self.customers.len()
            + self.products.len()
            + self.prices.len()
            + self.refunds.len()
            + self.disputes.len()
            + self.balance_transactions.len()
            + self.subscriptions.len()
            + self.invoices.len()
            + self.setup_intents.len()
    }

    /// Whether there is room for more. It is the sandbox's own rule, not Stripe's.
    ///
    /// # Errors
    /// A 400 that says how to go on; nothing was done.
    pub fn check_room(&self) -> ApiResult<()> {
        let most = self.objects_max;
        if self.objects() < most {
            return Ok(());
        }
        let message =
            format!("This sandbox is full: it holds {most} objects. Empty it by POST /_sandbox/reset.");
        Err(ApiError::invalid(message).into())
    }

    /// Any object by its id.
    pub fn find(&self, id: &str) -> Option<Value> {
        let live = self.livemode;
        match id.split_once('_')?.0 {
            "pi" => self.payment_intents.get(id).map(|one| one.render(live)),
            "ch" => self.charges.get(id).map(|one| one.render(self)),
            "pm" => self.payment_methods.get(id).map(|one| one.render(live)),
            "cs" => self.checkout_sessions.get(id).map(|one| one.render(self)),
            "cus" => self.customers.get(id).map(|one| one.render(live)),
            "prod" => self.products.get(id).map(|one| one.render(live)),
            "price" => self.prices.get(id).map(|one| one.render(live)),
            "re" => self.refunds.get(id).map(Refund::render),
            "du" => self.disputes.get(id).map(|one| one.render(self)),
            "sub" => self.subscriptions.get(id).map(|one| one.render(self)),
            "in" => self.invoices.get(id).map(|one| one.render(self)),
            "inpay" => self.invoice_payments.get(id).map(|one| one.render(live)),
            "bpc" => self.portal_configurations.get(id).map(|one| one.render(live)),
            "seti" => self.setup_intents.get(id).map(|one| one.render(live)),
            "po" => self.payouts.get(id).map(|one| one.render(live)),
            "txn" => self.balance_transactions.get(id).map(BalanceTransaction::render),
            "evt" => self.events.get(id).map(Event::render),
            "we" => self.webhook_endpoints.get(id).filter(|one| !one.deleted).map(|one| one.render(live)),
            _ => self.products.get(id).map(|one| one.render(live)),
        }
    }

    /// The newest object of the same kind as another one.
    pub fn another(&self, id: &str) -> Option<Value> {
        fn newest<T: Row>(table: &Table<T>, id: &str) -> Option<String> {
            table.iter().rev().map(Row::id).find(|other| *other != id).map(str::to_owned)
        }
        let other = match id.split_once('_')?.0 {
            "pi" => newest(&self.payment_intents, id),
            "ch" => newest(&self.charges, id),
            "cs" => newest(&self.checkout_sessions, id),
            "re" => newest(&self.refunds, id),
            "du" => newest(&self.disputes, id),
            "cus" => newest(&self.customers, id),
            _ => None,
        };
        self.find(&other?)
    }

    fn must(&self, id: &str) -> Value {
        self.find(id).expect("the caller holds an object of this id")
    }

    pub fn intent(&self, id: &str) -> Value {
        self.must(id)
    }

    pub fn charge(&self, id: &str) -> Value {
        self.must(id)
    }

    pub fn session(&self, id: &str) -> Value {
        self.must(id)
    }

    pub fn customer(&self, id: &str) -> Value {
        self.must(id)
    }

    pub fn product(&self, id: &str) -> Value {
        self.products.get(id).expect("the caller holds a product of this id").render(self.livemode)
    }

    pub fn subscription(&self, id: &str) -> Value {
        self.must(id)
    }

    pub fn invoice(&self, id: &str) -> Value {
        self.must(id)
    }

    pub fn invoice_payment(&self, id: &str) -> Value {
        self.must(id)
    }

    pub fn setup_intent(&self, id: &str) -> Value {
        self.must(id)
    }

    pub fn payout(&self, id: &str) -> Value {
        self.must(id)
    }

    pub fn refund(&self, id: &str) -> Value {
        self.must(id)
    }

    pub fn dispute(&self, id: &str) -> Value {
        self.must(id)
    }

    /// Forgets events that are thirty days old, or too many.
    pub fn forget_old_events(&mut self, now: Time) {
        while let Some(oldest) = self.events.oldest() {
            if oldest.created + event::KEPT_SECONDS > now.seconds() && self.events.len() <= event::KEPT_MAX {
                return;
            }
            let forgotten = oldest.id.clone();
            self.events.pop_oldest();
            // An endpoint that never answers must not keep them in memory for ever.
            self.deliveries.forget(&forgotten);
        }
    }

    /// What a delivery would send now; none when its event or endpoint is gone.
    pub fn outgoing(&self, delivery: u64, now: Time) -> Option<Outgoing> {
        let (event, endpoint) = self.deliveries.event_of(delivery)?;
        let endpoint = self.webhook_endpoints.get(endpoint).filter(|one| one.enabled && !one.deleted)?;
        let event = self.events.get(event)?;
        Some(Outgoing {
            delivery,
            event: event.id.clone(),
            kind: event.kind.clone(),
            attempts: self.deliveries.attempts_of(delivery),
            url: endpoint.url.clone(),
            body: event.body(event.addressed.max(1), endpoint.api_version.as_deref().unwrap_or(API_VERSION)),
            secrets: endpoint.active_secrets(now).map(str::to_owned).collect(),
            corrupt: false,
        })
    }

    /// Records what came of sending it.
    pub fn record_attempt(
        &mut self,
        delivery: u64,
        url: &str,
        outcome: Outcome,
        settings: &Settings,
        now: Time,
    ) {
        let Some((event, endpoint)) = self.deliveries.event_of(delivery) else { return };
        let mut kind = String::new();
        if let Some(event) = self.events.get_mut(event) {
            kind.clone_from(&event.kind);
            if outcome.is_success() {
                event.undelivered.retain(|waiting| waiting != endpoint);
            }
        }
        self.deliveries.record(delivery, &kind, url, outcome, &settings.retry_schedule_ms, now);
    }

    /// Loses a delivery: it is logged and never made again, and the event stays undelivered.
    pub fn lose_delivery(&mut self, delivery: u64, url: &str, now: Time) {
        let Some((event, _)) = self.deliveries.event_of(delivery) else { return };
        let kind = self.events.get(event).map(|event| event.kind.clone()).unwrap_or_default();
        let outcome = Outcome { error: Some("lost by a fault".to_owned()), ..Outcome::default() };
        self.deliveries.record(delivery, &kind, url, outcome, &[], now);
    }

    /// Plans further copies of a delivery.
    pub fn duplicate_delivery(&mut self, delivery: u64, copies: u32, now: Time) {
        let Some((event, endpoint)) = self.deliveries.event_of(delivery) else { return };
        let (event, endpoint) = (event.to_owned(), endpoint.to_owned());
        for _ in 0..copies {
            self.deliveries.plan(&event, &endpoint, now, true);
        }
    }

    /// Ends a delivery whose endpoint was disabled or deleted; the event stays undelivered.
    pub fn abandon_delivery(&mut self, delivery: u64) {
        self.deliveries.abandon(delivery);
    }
}
