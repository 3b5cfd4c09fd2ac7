//! The wiring: which adapter stands behind which port. The only place that names two of them.

use std::{sync::Arc, time::Duration};

use paywright_domain::{
    ports::{Archive, Clock, Gateway, Queue, Store},
    usecase::{
        AdvanceOrder, AnswerDispute, CancelOrder, Pace, PlaceOrder, Policy, Ports, Reconcile, RequestRefund,
        RunJob, SettleHold, StartPayment, SyncPayment,
    },
};
use paywright_postgres::{ApiKeys, IdempotencyKeys, Operations, PoolOptions, Postgres};
use paywright_stripe::Stripe;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    config::{self, Settings},
    http::{limits::Gate, turns::Turns},
    metrics::{archive::MeasuredArchive, gateway::Measured},
    system::{OsEntropy, SystemClock},
};

/// How much longer than its call a request holds the call's job.
const HOLD_MARGIN: Duration = Duration::from_secs(5);

/// Everything a request or a job needs.
pub struct App {
    /// The configuration.
    pub settings: Settings,
    /// How browsers reach us, without a slash at the end.
    pub public_url: String,
    /// Where the checkout page may send shoppers, for its content security policy.
    pub checkout_origins: String,
    /// The active webhook secrets.
    pub webhook_secrets: Vec<SecretString>,
    /// The ports.
    pub ports: Ports,
    /// PostgreSQL, for reads and for what belongs to the API alone.
    pub store: Postgres,
    /// API keys.
    pub api_keys: ApiKeys,
    /// Idempotency keys.
    pub idempotency_keys: IdempotencyKeys,
    /// The inbox and the jobs, for operators.
    pub operations: Operations,
    /// Places orders.
    pub place_order: PlaceOrder,
    /// Starts payments.
    pub start_payment: StartPayment,
    /// Takes or releases reserved money.
    pub settle_hold: SettleHold,
    /// Asks Stripe how payments stand.
    pub sync_payment: SyncPayment,
    /// Who may try to pay, and how often.
    pub gate: Gate,
    /// Turns at payments, for crowds.
    pub turns: Turns,
    /// Gives money back.
    pub request_refund: RequestRefund,
    /// Cancels orders.
    pub cancel_order: CancelOrder,
    /// Answers disputes.
    pub answer_dispute: AnswerDispute,
    /// Fulfils orders.
    pub advance_order: AdvanceOrder,
    /// Runs claimed jobs: reads events, calls Stripe, looks after orders.
    pub run_job: RunJob,
    /// Compares our books with Stripe's.
    pub reconcile: Reconcile,
    /// Stripe itself: its clock, and where it sends events.
    pub stripe: Arc<Stripe>,
}

impl App {
    /// Wires the application over a database that answers.
    ///
    /// # Errors
    /// One line about a missing or wrong credential.
    pub fn new(settings: Settings, store: Postgres, public_url: String) -> anyhow::Result<Self> {
        let credentials = settings.credentials();
        let webhook_secrets = credentials.webhook_secrets()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let stripe = Arc::new(stripe(&settings)?);
        let archive: Arc<dyn Archive> = Arc::new(MeasuredArchive(stripe.clone()));
        let gateway: Arc<dyn Gateway> = Arc::new(Measured(stripe.clone()));
        let (shared, queue): (Arc<dyn Store>, Arc<dyn Queue>) =
            (Arc::new(store.clone()), Arc::new(store.clone()));
        let ports = Ports { store: shared, queue, gateway, clock, entropy: Arc::new(OsEntropy) };
        let policy = Policy {
            mode: settings.mode,
            capture: settings.payments.capture_method,
            expiring_hold: settings.payments.expiring_hold,
            order_lifetime: time::Duration::minutes(i64::from(settings.orders.expire_after_minutes)),
            call_held_for: time::Duration::try_from(settings.stripe.call_longest() + HOLD_MARGIN)?,
        };
        Ok(Self {
            checkout_origins: checkout_origins(&settings),
            public_url,
            webhook_secrets,
            api_keys: ApiKeys::new(&store),
            idempotency_keys: IdempotencyKeys::new(&store),
            operations: Operations::new(&store),
            place_order: PlaceOrder::new(ports.clone(), policy.clone()),
            start_payment: StartPayment::new(ports.clone(), policy.clone()),
            settle_hold: SettleHold::new(ports.clone(), policy.clone()),
            sync_payment: SyncPayment::new(ports.clone(), policy.clone()),
            gate: Gate::new(&settings, Arc::new(store.clone())),
            turns: Turns::default(),
            request_refund: RequestRefund::new(ports.clone(), policy.clone()),
            cancel_order: CancelOrder::new(ports.clone(), policy.clone()),
            answer_dispute: AnswerDispute::new(ports.clone(), policy.clone()),
            advance_order: AdvanceOrder::new(ports.clone(), policy.clone()),
            run_job: RunJob::new(ports.clone(), policy.clone()),
            reconcile: Reconcile::new(
                ports.clone(),
                policy,
                pace(&settings),
                archive,
                Arc::new(store.clone()),
            ),
            stripe,
            ports,
            store,
            settings,
        })
    }
}

/// Connects to the configured database.
///
/// # Errors
/// One line: the address is missing or wrong, or the database does not answer.
pub async fn connect(settings: &Settings) -> anyhow::Result<Postgres> {
    let options = PoolOptions { max: settings.database.max_connections, ..PoolOptions::default() };
    let store = Postgres::connect(settings.database_url()?.expose_secret(), options).await?;
    Ok(store)
}

/// The configured Stripe. Nothing is sent yet.
///
/// # Errors
/// One line about a missing or wrong credential or address.
pub fn stripe(settings: &Settings) -> anyhow::Result<Stripe> {
    Ok(Stripe::new(stripe_settings(settings)?, Arc::new(SystemClock))?)
}

fn stripe_settings(settings: &Settings) -> anyhow::Result<paywright_stripe::Settings> {
    let key = settings.credentials().secret_key(settings.mode)?.clone();
    let mut stripe = paywright_stripe::Settings::new(key, settings.mode);
    if let Some(base) = &settings.stripe.api_base {
        stripe.api_base.clone_from(base);
    }
    let config::Stripe { operations_per_second, operations_per_second_per_endpoint, .. } = settings.stripe;
    stripe.operations_per_second = operations_per_second;
    stripe.operations_per_second_per_endpoint = operations_per_second_per_endpoint;
    stripe.deadline = Duration::from_secs(settings.stripe.deadline_seconds);
    stripe.patience = Duration::from_secs(settings.stripe.patience_seconds);
    stripe.outage_pause = Duration::from_secs(settings.stripe.outage_pause_seconds);
    stripe.refusal_pause = Duration::from_secs(settings.stripe.refusal_pause_seconds);
    Ok(stripe)
}

fn pace(settings: &Settings) -> Pace {
    Pace {
        look_back: time::Duration::days(i64::from(settings.reconciliation.look_back_days)),
        overlap: time::Duration::minutes(i64::from(settings.reconciliation.overlap_minutes)),
        asks_max: settings.reconciliation.asks_max,
    }
}

/// Stripe's hosted page, and the sandbox's if there is one.
fn checkout_origins(settings: &Settings) -> String {
    let stripe = "https://checkout.stripe.com";
    match &settings.stripe.api_base {
        Some(base) => format!("{stripe} {}", base.trim_end_matches('/')),
        None => stripe.to_owned(),
    }
}
