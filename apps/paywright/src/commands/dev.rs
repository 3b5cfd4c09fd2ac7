//! `dev`: the main job on one machine, with no account and no configuration.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use anyhow::Context as _;
use paywright_domain::{
    Actor, Metadata, Mode, Money, Order, OrderState, Product, ProductId, Version,
    ports::{Catalogue, Clock, Entropy, OrderFilter, Page, Reader},
    usecase::{NewItem, NewOrder},
};
use paywright_pg_local::{Cluster, Options};
use paywright_postgres::{ApiKeys, Postgres};
use paywright_sandbox::{PresetEndpoint, Sandbox};
use secrecy::{ExposeSecret, SecretString};

use super::serve;
use crate::{
    config::{Credentials, Settings},
    http::present::checkout_url,
    metrics,
    system::{OsEntropy, SystemClock},
    wiring::{self, App},
};

/// Accepted in `dev` and nowhere else.
const DEV_KEY: &str = "pw_test_dev";
const DATABASE: &str = "paywright";
/// Plenty for one machine; PostgreSQL keeps some for itself.
const CONNECTIONS: u16 = 50;

/// Runs everything until a signal.
pub(crate) fn run(runtime: &tokio::runtime::Runtime, mut settings: Settings) -> anyhow::Result<()> {
    anyhow::ensure!(settings.mode == Mode::Test, "`paywright dev` is for test mode; use `paywright serve`");
    let listener = serve::bind(settings.http.bind)?;
    let cluster = match settings.database.url {
        Some(_) => None,
        None => Some(database(&mut settings)?),
    };
    let ended = runtime.block_on(everything(settings, listener, cluster.is_some()));
    if let Some(cluster) = cluster {
        cluster.stop()?;
    }
    ended
}

/// Starts the embedded database and points the settings at it.
fn database(settings: &mut Settings) -> anyhow::Result<Cluster> {
    let data_dir = settings.data_dir.join("postgres");
    let cluster = Cluster::start(&Options { max_connections: CONNECTIONS, ..Options::new(data_dir) })?;
    cluster.create_database(DATABASE)?;
    settings.database.url = Some(SecretString::from(cluster.url(DATABASE)));
    Ok(cluster)
}

/// Everything over a database; its connections are closed before it is.
async fn everything(settings: Settings, listener: TcpListener, alone: bool) -> anyhow::Result<()> {
    let store = wiring::connect(&settings).await.context("cannot reach the database (DATABASE_URL)")?;
    let ended = over(&store, settings, listener, alone).await;
    store.close().await;
    ended
}

async fn over(
    store: &Postgres,
    mut settings: Settings,
    listener: TcpListener,
    alone: bool,
) -> anyhow::Result<()> {
    let stop = serve::stop_on_signal()?;
    store.migrate().await?;
    if alone {
        // Nobody else has this database: leases that an earlier run was killed with are void.
        store.release_leases().await?;
    }
    seed(store).await?;
    ApiKeys::new(store).ensure_dev_key(DEV_KEY).await?;
    let public_url = serve::public_url(&settings, listener.local_addr()?);
    let sandbox = match settings.stripe.api_base.is_some() || settings.credentials().secret_key.is_some() {
        true => None,
        false => Some(sandbox(&mut settings, &public_url).await?),
    };
    complete(&mut settings.stripe.test);
    let app = Arc::new(App::new(settings, store.clone(), public_url)?);
    let metrics = metrics::start(&app, stop.clone())?;
    let banner = banner(&app, &demo_order(&app).await?, sandbox.as_ref(), metrics);
    // Requests wait in the listener's queue until the server takes them, so what is printed is ready.
    println!("{banner}");
    serve::serve(app, listener, true, stop).await?;
    if let Some(sandbox) = sandbox {
        sandbox.stop().await;
    }
    Ok(())
}

/// Starts the local Stripe, with its state beside the database, and points the settings at it.
async fn sandbox(settings: &mut Settings, public_url: &str) -> anyhow::Result<Sandbox> {
    let secret = match &settings.stripe.test.webhook_secret {
        Some(_) => settings.stripe.test.webhook_secrets()?.remove(0).expose_secret().to_owned(),
        None => fresh_secret(),
    };
    settings.stripe.test.webhook_secret.get_or_insert_with(|| secret.clone().into());
    let bind = settings.sandbox.bind;
    let sandbox = paywright_sandbox::start(paywright_sandbox::Options {
        bind,
        data_dir: Some(settings.data_dir.join("sandbox")),
        webhook_endpoints: vec![PresetEndpoint::new(format!("{public_url}/webhooks/stripe"), secret)],
        ..paywright_sandbox::Options::default()
    });
    let sandbox = sandbox.await.context("the Stripe sandbox (PAYWRIGHT__SANDBOX__BIND)")?;
    settings.stripe.api_base = Some(sandbox.url().to_owned());
    Ok(sandbox)
}

fn fresh_secret() -> String {
    let mut random = [0; 24];
    OsEntropy.fill(&mut random);
    format!("whsec_{}", hex::encode(random))
}

/// Any key of the right form opens the sandbox.
fn complete(credentials: &mut Credentials) {
    credentials.secret_key.get_or_insert_with(|| "sk_test_paywright_sandbox".to_owned().into());
    credentials.publishable_key.get_or_insert_with(|| "pk_test_paywright_sandbox".to_owned());
    if credentials.webhook_secret.is_none() {
        credentials.webhook_secret = Some(fresh_secret().into());
        tracing::warn!("STRIPE_WEBHOOK_SECRET is not set: events of Stripe will be refused");
    }
}

/// A small catalogue to play with, if there is none.
async fn seed(store: &Postgres) -> anyhow::Result<()> {
    let page = Page { limit: 1, after: None };
    if !Catalogue::list(store, Mode::Test, page).await?.rows.is_empty() {
        return Ok(());
    }
    for (name, minor, currency) in [
        ("Coffee beans, 1 kg", 2_490, "usd"),
        ("Espresso cup", 1_250, "usd"),
        ("Barista course", 9_900, "eur"),
    ] {
        let mut random = [0; 10];
        OsEntropy.fill(&mut random);
        let now = SystemClock.now();
        store
            .add(Product {
                id: ProductId::from_parts(now, &random),
                mode: Mode::Test,
                version: Version::FIRST,
                name: name.to_owned(),
                unit_price: Money::from_minor(minor, currency.parse()?)?,
                active: true,
                metadata: Metadata::new(),
                created_at: now,
            })
            .await?;
    }
    Ok(())
}

/// An order that waits for money, to try the checkout page with.
async fn demo_order(app: &App) -> anyhow::Result<Order> {
    let pending = OrderFilter { state: Some(OrderState::Pending), ..OrderFilter::default() };
    let newest = app.store.list_orders(Mode::Test, pending, Page { limit: 1, after: None }).await?;
    if let Some(view) = newest.rows.into_iter().next() {
        return Ok(view.order);
    }
    let products = Catalogue::list(&app.store, Mode::Test, Page { limit: 100, after: None }).await?;
    let product = products.rows.iter().find(|product| product.active).context("no product is for sale")?;
    let new = NewOrder {
        currency: product.unit_price.currency(),
        items: vec![NewItem { product: product.id, quantity: 1 }],
        customer: None,
        customer_email: None,
        capture: None,
        metadata: Metadata::new(),
    };
    Ok(app.place_order.run(app.ports.new_id(), Actor::System, new).await?)
}

fn banner(app: &App, demo: &Order, sandbox: Option<&Sandbox>, metrics: Option<SocketAddr>) -> String {
    let (url, api_base) = (&app.public_url, app.settings.stripe.api_base.as_deref());
    let stripe = match sandbox {
        Some(sandbox) => format!("Stripe sandbox   {}", sandbox.url()),
        None => format!("Stripe           {}", api_base.unwrap_or(paywright_stripe::Settings::API_BASE)),
    };
    let metrics = match metrics {
        Some(address) => format!("http://{address}/metrics"),
        None => "off".to_owned(),
    };
    format!(
        "\nPaywright is ready (test mode, Ctrl-C stops it)\n\n  \
         An order to pay  {}\n  \
         API              {url}/v1\n  \
         Webhooks         {url}/webhooks/stripe\n  \
         {stripe}\n  \
         Metrics          {metrics}\n  \
         API key          {DEV_KEY}\n\n  \
         WARNING: {DEV_KEY} is known to everybody and works in `dev` only.\n",
        checkout_url(demo, url)
    )
}
