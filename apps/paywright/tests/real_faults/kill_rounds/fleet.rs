//! All processes, and what stays while they come and go.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, time::Duration};

use futures::future::join_all;
use paywright_pg_local::{Cluster, Options};
use paywright_postgres::{ApiKeys, PoolOptions, Postgres, relay};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::plan::{Place, Webhooks};
use crate::{
    process::Process,
    relay::{Relay, until, within},
    support::{KEY, WEBHOOK_SECRET},
};

const STRIPE_KEY: &str = "sk_test_rounds";
/// Until all is quiet.
const PATIENCE: Duration = Duration::from_mins(3);

pub(crate) struct Fleet {
    /// One address for clients and for Stripe; the servers behind it take turns.
    pub(crate) us: Relay,
    pub(crate) http: reqwest::Client,
    pub(crate) store: Postgres,
    pub(crate) database: Mutex<Option<Cluster>>,
    /// Between all of us and the database.
    pub(crate) between: relay::Relay,
    pub(crate) servers: [Mutex<Option<Process>>; 2],
    pub(crate) workers: [Mutex<Option<Process>>; 2],
    addresses: std::sync::Mutex<[String; 2]>,
    sandbox: Process,
    pub(crate) sandbox_url: String,
    database_url: String,
    folder: tempfile::TempDir,
}

/// Starts a database that keeps what it says it keeps.
pub(crate) async fn start_database(folder: &std::path::Path) -> Cluster {
    let options = Options::new(folder.join("data"));
    tokio::task::spawn_blocking(move || Cluster::start(&options).unwrap()).await.unwrap()
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The database's user has to enter it too.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let cluster = start_database(folder.path()).await;
        cluster.create_database("shop").unwrap();
        let (between, database_url) = relay::Relay::before(&cluster.url("shop")).await.unwrap();
        let options = PoolOptions { max: 2, ..PoolOptions::default() };
        let store = Postgres::connect(&database_url, options).await.unwrap();
        store.migrate().await.unwrap();
        ApiKeys::new(&store).ensure_dev_key(KEY).await.unwrap();
        let us = Relay::start().await;
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let webhooks = format!("{}/webhooks/stripe", us.url);
        let args = ["sandbox", "--bind", &free, "--webhook-url", &webhooks];
        let args = [args.as_slice(), &["--webhook-secret", WEBHOOK_SECRET]].concat();
        let fleet = Self {
            us,
            // Each request by itself, so that the servers take turns.
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(5))
                .pool_max_idle_per_host(0)
                .no_proxy()
                .build()
                .unwrap(),
            store,
            database: Mutex::new(Some(cluster)),
            between,
            servers: Default::default(),
            workers: Default::default(),
            addresses: std::sync::Mutex::default(),
            sandbox: Process::start(folder.path(), &args, &[]),
            sandbox_url: format!("http://{free}"),
            database_url,
            folder,
        };
        until("a sandbox", async || fleet.control("health").await).await;
        let places = [Place::Server(0), Place::Server(1), Place::Worker(0), Place::Worker(1)];
        join_all(places.map(|place| fleet.start_one(place))).await;
        fleet
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn process(&self, args: &[&str]) -> Process {
        let env = [
            ("DATABASE_URL", self.database_url.as_str()),
            ("STRIPE_API_BASE", &self.sandbox_url),
            ("STRIPE_SECRET_KEY", STRIPE_KEY),
            ("STRIPE_PUBLISHABLE_KEY", "pk_test_rounds"),
            ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("PAYWRIGHT__HTTP__BIND", "127.0.0.1:0"),
            ("PAYWRIGHT__HTTP__PUBLIC_URL", &self.us.url),
            ("PAYWRIGHT__HTTP__WORKERS", "1"),
            // A short deadline makes for short leases, so that what the dead held is soon free.
            ("PAYWRIGHT__STRIPE__DEADLINE_SECONDS", "1"),
            ("PAYWRIGHT__STRIPE__PATIENCE_SECONDS", "1"),
            ("PAYWRIGHT__DATABASE__MAX_CONNECTIONS", "6"),
            ("PAYWRIGHT__RECONCILIATION__ENABLED", "false"),
            ("PAYWRIGHT__METRICS__BIND", ""),
        ];
        Process::start(self.folder.path(), args, &env)
    }

    pub(crate) fn at(&self, place: Place) -> &Mutex<Option<Process>> {
        match place {
            Place::Server(n) => &self.servers[n],
            Place::Worker(n) => &self.workers[n],
        }
    }

    pub(crate) async fn start_one(&self, place: Place) {
        let mut process = self.process(match place {
            Place::Server(_) => &["serve", "--no-worker"],
            Place::Worker(_) => &["worker"],
        });
        match place {
            Place::Server(n) => {
                let address = process.address().await;
                let mut addresses = self.addresses.lock().unwrap();
                addresses[n] = address;
                // Also those that are dead now: neither clients nor Stripe know before they ask.
                let known: Vec<_> =
                    addresses.iter().filter(|one| !one.is_empty()).map(String::as_str).collect();
                self.us.lead_to(&known);
            }
            Place::Worker(_) => {
                process.says("a worker", |said| said.contains("working").then_some(())).await;
            }
        }
        *self.at(place).lock().await = Some(process);
    }

    pub(crate) async fn get(&self, url: String, key: &str) -> Option<Value> {
        let answer = self.http.get(url).bearer_auth(key).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }

    /// Something of ours, however long it takes until somebody can answer.
    pub(crate) async fn show(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.us.url);
        until(path, async || self.get(url.clone(), KEY).await).await
    }

    pub(crate) async fn control(&self, path: &str) -> Option<Value> {
        self.get(format!("{}/_sandbox/{path}", self.sandbox_url), STRIPE_KEY).await
    }

    /// All of one of Stripe's lists.
    pub(crate) async fn at_stripe(&self, list: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::<Value>::new(), String::new());
        loop {
            let url = format!("{}/v1/{list}?limit=100{after}", self.sandbox_url);
            let page = until(list, async || self.get(url.clone(), STRIPE_KEY).await).await;
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            if page["has_more"] == false {
                return all;
            }
            after = format!("&starting_after={}", all.last().unwrap()["id"].as_str().unwrap());
        }
    }

    /// From now on Stripe's messages come so.
    pub(crate) async fn webhooks_go_wrong(&self, webhooks: Webhooks) {
        let faults = format!("{}/_sandbox/faults", self.sandbox_url);
        self.http.delete(&faults).send().await.unwrap();
        let rules = match webhooks {
            Webhooks::AtLeastOnce => return,
            Webhooks::Doubled => json!({"webhooks": {"duplicate": 2, "reorder": 0.5}}),
            Webhooks::Lost => json!({"webhooks": {"drop": 0.3, "duplicate": 2}}),
        };
        let answer = self.http.post(&faults).json(&rules).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Waits until everything is delivered and nothing is left to do but timers. Where messages were lost, the books are
    /// compared as an operator would.
    pub(crate) async fn settle(&self, lossy: bool) {
        self.webhooks_go_wrong(Webhooks::AtLeastOnce).await;
        self.quiet().await;
        if lossy {
            // Stripe may be too slow for our short deadline on a busy machine; then another run goes on.
            let mut tries = (0..5).map(|_| self.process(&["reconcile"]));
            while let Some(run) = tries.next() {
                let ended = run.ended().await;
                if ended.status.success() {
                    break;
                }
                assert!(tries.len() > 0 && ended.stderr.contains("no complete answer"), "{ended:?}");
            }
            self.quiet().await;
        }
    }

    async fn quiet(&self) {
        // What was kept of a payment is told a second later.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        // Stripe's next try may be a minute away.
        within(PATIENCE, "all delivered", async || {
            self.control("deliveries?limit=1").await.filter(|all| all["open"] == 0)
        })
        .await;
        within(PATIENCE, "nothing left to do", async || {
            // What was put off is tried at once, as if time had passed; what the dead held waits for the end of its lease.
            let now = "WITH put_off AS (UPDATE jobs SET due_at = now() WHERE state = 'ready' AND leased_until IS NULL
                           AND kind <> 'watch_order' AND due_at > now())
                       SELECT count(*) FROM jobs WHERE state = 'ready' AND kind <> 'watch_order'";
            (self.count(now).await? == 0).then_some(())
        })
        .await;
    }

    pub(crate) async fn count(&self, sql: &'static str) -> Option<i64> {
        sqlx::query_scalar(sql).fetch_one(self.store.pool()).await.ok()
    }

    /// Takes everything down in good order.
    pub(crate) async fn end(self) {
        for place in self.servers.iter().chain(&self.workers) {
            let ended = place.lock().await.take().unwrap().terminate().await;
            let said = &ended.stderr;
            assert!(ended.status.success(), "{ended:?}");
            assert!(!said.contains("job is dead") && !said.contains("panicked"), "{said}");
        }
        self.sandbox.terminate().await;
        self.store.close().await;
        self.database.lock().await.take().unwrap().stop().unwrap();
    }
}
