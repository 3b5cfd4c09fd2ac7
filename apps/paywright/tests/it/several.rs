//! Three servers and three workers on one database are killed and started all the while, and customers notice nothing.
//!
//! Real processes; the sandbox, in this process, survives them as Stripe would. Nobody compares the books meanwhile: what
//! the webhooks and the jobs do not bring to its end is not hidden by that.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, future::join_all, stream};
use paywright_postgres::{ApiKeys, PoolOptions, Postgres, TestDb};
use paywright_sandbox::{PresetEndpoint, Sandbox};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    process::Process,
    relay::{Relay, until},
    support::{DECLINED, KEY, VISA, WEBHOOK_SECRET, text},
};

const STRIPE_KEY: &str = "sk_test_several";
const ORDERS: usize = 40;
/// Customers at the same time.
const AT_ONCE: usize = 4;
const TOTAL: u64 = 3998;
const GIVEN_BACK: u64 = 500;

/// What is killed in each round: places of servers, places of workers.
const ROUNDS: [(&[usize], &[usize]); 10] = [
    (&[0], &[]),
    (&[], &[0]),
    (&[1], &[1]),
    (&[0, 1, 2], &[]),
    (&[], &[0, 1, 2]),
    (&[2], &[2]),
    (&[0, 2], &[0, 1]),
    (&[0, 1, 2], &[0, 1, 2]),
    (&[1], &[0]),
    (&[2], &[1, 2]),
];

/// What a customer does, and how the order ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    PaidOnThePage,
    PaidByIntent,
    PaidAfterADecline,
    PaidAndPartlyGivenBack,
    Cancelled,
}

const COURSES: [Course; 5] = [
    Course::PaidOnThePage,
    Course::PaidByIntent,
    Course::PaidAfterADecline,
    Course::PaidAndPartlyGivenBack,
    Course::Cancelled,
];

impl Course {
    fn is_paid(self) -> bool {
        match self {
            Self::PaidOnThePage | Self::PaidByIntent | Self::PaidAfterADecline => true,
            Self::PaidAndPartlyGivenBack => true,
            Self::Cancelled => false,
        }
    }

    fn given_back(self) -> u64 {
        if self == Self::PaidAndPartlyGivenBack { GIVEN_BACK } else { 0 }
    }
}

/// Covers: fault 57, fault 58, fault 76, fault 85, fault 89, fault 90, I2, I5, I9, I14, I20, I22, I25, I26, I27, W-1, W-5.
#[tokio::test(flavor = "multi_thread")]
async fn three_servers_and_three_workers_are_killed_at_will_and_each_order_is_paid_once() {
    let fleet = Fleet::start().await;
    let tea = json!({"name": "Tea, 100 g", "unit_amount": 1999, "currency": "usd"});
    let product = text(&fleet.ask("/v1/products", "product", &tea).await["id"]);
    let shop = stream::iter(0..ORDERS)
        .map(|n| fleet.buy(n, COURSES[n % COURSES.len()], &product))
        .buffer_unordered(AT_ONCE)
        .collect::<BTreeMap<String, Course>>();
    let ((), orders) = tokio::join!(fleet.wreck(), shop);
    fleet.settle().await;
    assert_eq!(orders.len(), ORDERS, "an order was placed twice, or not at all");
    fleet.judge_orders(&orders).await;
    fleet.judge_stripe(&orders).await;
    fleet.judge_store(&orders).await;
    fleet.end().await;
}

/// All processes, and what stays while they come and go.
struct Fleet {
    /// One address for clients and for Stripe; the servers behind it take turns.
    us: Relay,
    sandbox: Sandbox,
    http: reqwest::Client,
    servers: [Mutex<Option<Process>>; 3],
    addresses: std::sync::Mutex<[String; 3]>,
    workers: [Mutex<Option<Process>>; 3],
    folder: tempfile::TempDir,
    store: Postgres,
    db: TestDb,
}

impl Fleet {
    async fn start() -> Self {
        let (us, db) = (Relay::start().await, TestDb::new().await);
        let endpoint = PresetEndpoint::new(format!("{}/webhooks/stripe", us.url), WEBHOOK_SECRET);
        let sandbox = paywright_sandbox::start(paywright_sandbox::Options {
            bind: "127.0.0.1:0".parse().unwrap(),
            webhook_endpoints: vec![endpoint],
            retry_schedule: vec![Duration::from_millis(300); 300],
            delivery_timeout: Duration::from_secs(3),
            ..paywright_sandbox::Options::default()
        });
        let options = PoolOptions { max: 2, ..PoolOptions::default() };
        let store = Postgres::connect(db.url(), options).await.unwrap();
        ApiKeys::new(&store).ensure_dev_key(KEY).await.unwrap();
        let fleet = Self {
            us,
            sandbox: sandbox.await.unwrap(),
            http: reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build().unwrap(),
            servers: Default::default(),
            addresses: std::sync::Mutex::default(),
            workers: Default::default(),
            folder: tempfile::tempdir().unwrap(),
            store,
            db,
        };
        tokio::join!(fleet.start_servers(&[0, 1, 2]), fleet.start_workers(&[0, 1, 2]));
        fleet
    }

    fn process(&self, args: &[&str]) -> Process {
        let env = [
            ("DATABASE_URL", self.db.url()),
            ("STRIPE_API_BASE", self.sandbox.url()),
            ("STRIPE_SECRET_KEY", STRIPE_KEY),
            ("STRIPE_PUBLISHABLE_KEY", "pk_test_several"),
            ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("PAYWRIGHT__HTTP__BIND", "127.0.0.1:0"),
            ("PAYWRIGHT__HTTP__PUBLIC_URL", &self.us.url),
            ("PAYWRIGHT__HTTP__WORKERS", "1"),
            // A short deadline makes for short leases, so that what the dead held is soon free.
            ("PAYWRIGHT__STRIPE__DEADLINE_SECONDS", "1"),
            ("PAYWRIGHT__STRIPE__PATIENCE_SECONDS", "1"),
            ("PAYWRIGHT__DATABASE__MAX_CONNECTIONS", "3"),
            ("PAYWRIGHT__RECONCILIATION__ENABLED", "false"),
            ("PAYWRIGHT__METRICS__BIND", ""),
        ];
        Process::start(self.folder.path(), args, &env)
    }

    async fn start_servers(&self, places: &[usize]) {
        join_all(places.iter().map(async |&place| {
            let mut process = self.process(&["serve", "--no-worker"]);
            self.addresses.lock().unwrap()[place] = process.address().await;
            *self.servers[place].lock().await = Some(process);
        }))
        .await;
        // Also those that are dead now: neither clients nor Stripe know before they ask.
        let addresses = self.addresses.lock().unwrap().clone();
        self.us.lead_to(&addresses.each_ref().map(String::as_str));
    }

    async fn start_workers(&self, places: &[usize]) {
        join_all(places.iter().map(async |&place| {
            let mut process = self.process(&["worker"]);
            process.says("a worker", |said| said.contains("working").then_some(())).await;
            *self.workers[place].lock().await = Some(process);
        }))
        .await;
    }

    /// Kills and starts, as long as there are rounds.
    async fn wreck(&self) {
        for (servers, workers) in ROUNDS {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let doomed = servers.iter().map(|&place| &self.servers[place]);
            let doomed = doomed.chain(workers.iter().map(|&place| &self.workers[place]));
            join_all(doomed.map(async |place| place.lock().await.take().unwrap().kill().await)).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            tokio::join!(self.start_servers(servers), self.start_workers(workers));
        }
    }

    /// Sends a request until it goes well, always under the same key, as a good client does.
    async fn ask(&self, path: &str, key: &str, body: &Value) -> Value {
        until(path, async || {
            let request = self.http.post(format!("{}{path}", self.us.url)).bearer_auth(KEY);
            let answer = request.header("idempotency-key", key).json(body).send().await.ok()?;
            let status = answer.status();
            let answer = answer.text().await.ok()?;
            assert!(status.is_success() || status.is_server_error() || status == 409, "{status} {answer}");
            assert!(!answer.contains("illegal_transition"), "{status} {answer}");
            status.is_success().then(|| serde_json::from_str(&answer).unwrap())
        })
        .await
    }

    async fn get(&self, url: String, key: &str) -> Option<Value> {
        let answer = self.http.get(url).bearer_auth(key).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }

    async fn show(&self, order: &str) -> Value {
        let url = format!("{}/v1/orders/{order}", self.us.url);
        until("an answer", async || self.get(url.clone(), KEY).await).await
    }

    /// All of one of Stripe's lists.
    async fn at_stripe(&self, list: &str) -> Vec<Value> {
        let url = format!("{}/v1/{list}?limit=100", self.sandbox.url());
        let listed = self.get(url, STRIPE_KEY).await.unwrap();
        assert_eq!(listed["has_more"], false, "more than a page of {list}");
        listed["data"].as_array().unwrap().clone()
    }

    /// One customer's way to the end; the order's id.
    async fn buy(&self, n: usize, course: Course, product: &str) -> (String, Course) {
        let basket = json!({"currency": "usd", "items": [{"product": product, "quantity": 2}]});
        let order = text(&self.ask("/v1/orders", &format!("place-{n}"), &basket).await["id"]);
        let command = if course == Course::PaidOnThePage { "checkout-session" } else { "payment-intent" };
        let start = format!("/v1/orders/{order}/{command}");
        let started = self.ask(&start, &format!("start-{n}"), &json!({})).await;
        match course {
            Course::PaidOnThePage => {
                let page = text(&started["url"]);
                self.pay(&format!("checkout/sessions/{}", page.rsplit('/').next().unwrap()), VISA).await;
            }
            Course::PaidByIntent => self.pay(&intent(&started), VISA).await,
            Course::PaidAfterADecline => {
                self.pay(&intent(&started), DECLINED).await;
                self.pay(&intent(&started), VISA).await;
            }
            Course::PaidAndPartlyGivenBack => {
                self.pay(&intent(&started), VISA).await;
                until("paid", async || (self.show(&order).await["state"] == "paid").then_some(())).await;
                let refund =
                    json!({"payment": started["payment"], "amount": GIVEN_BACK, "reason": "goodwill"});
                self.ask("/v1/refunds", &format!("refund-{n}"), &refund).await;
            }
            Course::Cancelled => {
                let cancel = format!("/v1/orders/{order}/cancel");
                self.ask(&cancel, &format!("cancel-{n}"), &json!({})).await;
            }
        }
        (order, course)
    }

    async fn pay(&self, subject: &str, card: &str) {
        let request = self.http.post(format!("{}/_sandbox/{subject}/pay", self.sandbox.url()));
        let body = json!({"card": card, "email": "ada@example.org"});
        let answer = request.json(&body).send().await.unwrap();
        let (status, answer) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success() || (card == DECLINED && status == 402), "{status} {answer}");
    }

    /// Waits until everything is delivered and nothing is left to do but timers.
    async fn settle(&self) {
        let url = format!("{}/_sandbox/deliveries", self.sandbox.url());
        until("all delivered", async || self.get(url.clone(), KEY).await.filter(|all| all["open"] == 0))
            .await;
        let left = "SELECT count(*) FROM jobs WHERE state <> 'done' AND kind <> 'watch_order'";
        until("nothing left to do", async || {
            let dead = "SELECT count(*) FROM jobs WHERE state = 'dead'";
            assert_eq!(self.count(dead).await, 0, "a job is dead");
            (self.count(left).await == 0).then_some(())
        })
        .await;
    }

    async fn judge_orders(&self, orders: &BTreeMap<String, Course>) {
        for (order, course) in orders {
            let shown = self.show(order).await;
            let state = if course.is_paid() { "paid" } else { "cancelled" };
            let captured = if course.is_paid() { TOTAL } else { 0 };
            assert_eq!(
                json!([shown["state"], shown["amount_captured"], shown["amount_refunded"]]),
                json!([state, captured, course.given_back()]),
                "{course:?} {shown:#}"
            );
        }
    }

    /// Stripe has one payment of each order, and each that it took is one that the order knows.
    async fn judge_stripe(&self, orders: &BTreeMap<String, Course>) {
        let intents = self.at_stripe("payment_intents").await;
        for (order, course) in orders {
            let its: Vec<_> =
                intents.iter().filter(|one| one["metadata"]["paywright_order"] == order.as_str()).collect();
            let received: Vec<_> = its.iter().map(|one| one["amount_received"].as_u64().unwrap()).collect();
            assert_eq!(received, [if course.is_paid() { TOTAL } else { 0 }], "{course:?} {its:#?}");
        }
        assert_eq!(intents.len(), orders.len(), "Stripe has one that is nobody's");
        let refunds = orders.values().filter(|course| course.given_back() > 0).count();
        assert_eq!(self.at_stripe("refunds").await.len(), refunds);
    }

    async fn judge_store(&self, orders: &BTreeMap<String, Course>) {
        let health = self.get(format!("{}/_sandbox/health", self.sandbox.url()), KEY).await.unwrap();
        assert_eq!(self.count("SELECT count(*) FROM inbox_events").await, health["events"].as_i64().unwrap());
        for (nothing, what) in [
            (
                "SELECT count(*) FROM inbox_events WHERE processed_at IS NULL OR outcome IS NULL",
                "an event without outcome",
            ),
            ("SELECT count(*) FROM breaks", "a break"),
            (
                "SELECT count(*) FROM orders o WHERE version <> (SELECT count(*) FROM order_transitions t
                 WHERE t.order_id = o.id AND t.subject = 'order')",
                "an order's step that was told twice or never",
            ),
            (
                "SELECT count(*) FROM payments p WHERE version <> (SELECT count(*) FROM order_transitions t
                 WHERE t.payment_id = p.id AND t.subject = 'payment')",
                "a payment's step that was told twice or never",
            ),
            (
                "SELECT count(*) FROM (SELECT 1 FROM order_transitions WHERE subject = 'order'
                 GROUP BY order_id, event HAVING count(*) > 1) AS doubled",
                "a step that was taken twice",
            ),
            (
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                "a lock that outlives its transaction",
            ),
        ] {
            assert_eq!(self.count(nothing).await, 0, "{what}");
        }
        let of = |sum: fn(Course) -> u64| orders.values().map(|&course| sum(course)).sum::<u64>();
        let taken = of(|course| if course.is_paid() { TOTAL } else { 0 });
        let moved = self.at_stripe("balance_transactions").await;
        let net = moved.iter().map(|one| one["net"].as_i64().unwrap()).sum();
        let expected = [
            ("sales", -taken.cast_signed()),
            ("refunds", of(Course::given_back).cast_signed()),
            ("clearing", 0),
            ("gateway_balance", net),
        ];
        for (account, balance) in expected {
            assert_eq!(self.balance(account).await, balance, "{account}");
        }
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.store.pool()).await.unwrap()
    }

    async fn balance(&self, account: &str) -> i64 {
        let sql = "SELECT coalesce(sum(CASE WHEN debit = $1 THEN amount ELSE -amount END), 0)::bigint
                   FROM ledger_entries WHERE $1 IN (debit, credit)";
        sqlx::query_scalar(sql).bind(account).fetch_one(self.store.pool()).await.unwrap()
    }

    /// Takes everything down in good order.
    async fn end(self) {
        for place in self.servers.iter().chain(&self.workers) {
            let ended = place.lock().await.take().unwrap().terminate().await;
            let said = &ended.stderr;
            assert!(ended.status.success(), "{ended:?}");
            assert!(!said.contains("job is dead") && !said.contains("panicked"), "{said}");
        }
        self.store.close().await;
        self.sandbox.stop().await;
    }
}

/// The started intent, as the sandbox's control knows it.
fn intent(started: &Value) -> String {
    let secret = text(&started["client_secret"]);
    format!("payment_intents/{}", secret.split("_secret_").next().unwrap())
}
