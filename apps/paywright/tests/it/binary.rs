//! The program as its operators meet it: commands, signals, complaints, exit codes.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use futures::{StreamExt as _, future::join_all, stream};
use nix::sys::signal::Signal;
use paywright_postgres::{PoolOptions, Postgres, TestDb};
use paywright_sandbox::{PresetEndpoint, Sandbox};
use serde_json::{Value, json};

use crate::{
    process::{Ended, Process},
    relay::{Keep, Relay, until},
    support::{DECLINED, KEY, VISA, text},
};

const SECRET_KEY: &str = "sk_test_canary1secretkey";
const WEBHOOK_SECRET: &str = "whsec_canary2webhooksecret";
const EMAIL: &str = "canary3.shopper@example.org";

/// A folder that the database's user can enter too.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A client of one program.
struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Client {
    fn new(url: &str, key: &str) -> Self {
        let patience = Duration::from_secs(30);
        let http = reqwest::Client::builder().timeout(patience).no_proxy().build().unwrap();
        Self { http, url: url.to_owned(), key: key.to_owned() }
    }

    /// The status and the body, if there was an answer.
    async fn try_send(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        let mut request = self.http.request(method.parse().unwrap(), url).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, serde_json::from_str(&answer.text().await.ok()?).unwrap_or_default()))
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.try_send(method, path, body).await.unwrap_or_else(|| panic!("{method} {path}: no answer"))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send("GET", path, None).await;
        assert_eq!(status, 200, "{path} {body}");
        body
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send("POST", path, Some(&body)).await;
        assert!((200..300).contains(&status), "{path} {status} {answer}");
        answer
    }

    async fn place(&self) -> Option<(u16, Value)> {
        let products = self.try_send("GET", "/v1/products", None).await?.1;
        let product = &products["data"][0];
        let items = json!([{"product": product["id"], "quantity": 1}]);
        let body = json!({"currency": product["currency"], "items": items, "customer_email": EMAIL});
        self.try_send("POST", "/v1/orders", Some(&body)).await
    }

    async fn order(&self) -> String {
        let (status, order) = self.place().await.unwrap();
        assert_eq!(status, 201, "{order}");
        text(&order["id"])
    }

    /// The address of the hosted page.
    async fn page(&self, order: &str) -> String {
        text(&self.post(&format!("/v1/orders/{order}/checkout-session"), json!({})).await["url"])
    }

    /// The customer pays on it.
    async fn pay(&self, page: &str, card: &str) -> u16 {
        let (stripe, session) = page.rsplit_once("/c/pay/").unwrap();
        let path = format!("{stripe}/_sandbox/checkout/sessions/{session}/pay");
        self.send("POST", &path, Some(&json!({"card": card, "email": EMAIL}))).await.0
    }

    async fn until_paid(&self, order: &str) {
        let path = format!("/v1/orders/{order}");
        until("paid", async || {
            self.try_send("GET", &path, None).await.filter(|(_, shown)| shown["state"] == "paid")
        })
        .await;
    }
}

// ---------------------------------------------------------------- dev

/// A running `paywright`, which is `paywright dev`.
struct Dev {
    process: Process,
    client: Client,
    stripe: String,
}

impl Dev {
    async fn start(folder: &Path, http: &str, stripe: &str) -> Self {
        let data = folder.join("data");
        let mut process = Process::start(folder, &[], &dev_env(&data, http, stripe));
        let find = |said: &str| {
            said.contains("WARNING: pw_test_dev").then(|| {
                let after = |label: &str| {
                    let line = said.lines().find(|line| line.trim_start().starts_with(label)).unwrap();
                    line.split_whitespace().last().unwrap().to_owned()
                };
                (after("API ").trim_end_matches("/v1").to_owned(), after("Stripe sandbox "))
            })
        };
        let (url, stripe) = process.says("banner", find).await;
        Self { process, client: Client::new(&url, KEY), stripe }
    }
}

fn dev_env<'a>(data: &'a Path, http: &'a str, stripe: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("PAYWRIGHT__DATA_DIR", data.to_str().unwrap()),
        ("PAYWRIGHT__HTTP__BIND", http),
        ("PAYWRIGHT__SANDBOX__BIND", stripe),
    ]
}

const ANY: &str = "127.0.0.1:0";

/// A process by its number and the time it began, so that a number used again is not taken for it.
type Known = (i32, u64);

/// All processes now: number, parent, beginning; the dead that nobody has collected are left out.
fn processes() -> Vec<(i32, i32, u64)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let stat = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        (fields[0] != "Z").then(|| Some((pid, fields[1].parse().ok()?, fields[19].parse().ok()?)))?
    };
    entries.filter_map(stat).collect()
}

fn descendants(of: i32) -> Vec<Known> {
    let all = processes();
    let (mut found, mut parents) = (Vec::new(), vec![of]);
    while let Some(parent) = parents.pop() {
        for (pid, _, begun) in all.iter().filter(|(_, its, _)| *its == parent) {
            found.push((*pid, *begun));
            parents.push(*pid);
        }
    }
    found
}

async fn gone(known: &[Known]) {
    until("its processes are gone", async || {
        let all = processes();
        let left = known.iter().any(|(pid, begun)| all.iter().any(|one| (one.0, one.2) == (*pid, *begun)));
        (!left).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_paywright_needs_nothing_and_keeps_everything_from_run_to_run() {
    let folder = folder();
    let dev = Dev::start(folder.path(), ANY, ANY).await;
    assert_eq!(dev.client.get("/readyz").await["status"], "ready");
    let catalogue = dev.client.get("/v1/products").await;
    let names: Vec<_> = catalogue["data"].as_array().unwrap().iter().map(|one| text(&one["name"])).collect();
    assert!(names.contains(&"Espresso cup".to_owned()), "{names:?}");
    let (refused, _) = Client::new(&dev.client.url, "pw_test_other").send("GET", "/v1/products", None).await;
    assert_eq!(refused, 401);
    let order = dev.client.order().await;
    let children = descendants(dev.process.id());
    assert!(children.len() > 3, "a shell, PostgreSQL and its helpers: {children:?}");
    let ended = dev.process.terminate().await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    gone(&children).await;

    let dev = Dev::start(folder.path(), ANY, ANY).await;
    assert_eq!(dev.client.get(&format!("/v1/orders/{order}")).await["state"], "pending");
    assert_eq!(dev.client.get("/v1/products").await, catalogue);
    assert_eq!(dev.process.terminate().await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_dev_on_one_folder_says_so_and_leaves_the_first_alone() {
    let folder = folder();
    let dev = Dev::start(folder.path(), ANY, ANY).await;
    let data = folder.path().join("data");
    let second = Process::run(folder.path(), &["dev"], &dev_env(&data, ANY, ANY)).await;
    assert!(second.complaint().contains("another paywright is using the data directory"), "{second:?}");
    dev.client.order().await;
    assert_eq!(dev.process.terminate().await.status.code(), Some(0));
}

/// Covers: fault 85, fault 89.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_dev_leaves_no_database_running_and_loses_nothing() {
    let folder = folder();
    let dev = Dev::start(folder.path(), ANY, ANY).await;
    let client = dev.client;
    let (paid, open) = (client.order().await, client.order().await);
    let (paid_page, open_page) = (client.page(&paid).await, client.page(&open).await);
    let mut orders = vec![paid.clone(), open.clone()];
    orders.extend(join_all((0..10).map(|_| client.order())).await);
    let children = descendants(dev.process.id());
    assert_eq!(client.pay(&paid_page, VISA).await, 200);
    dev.process.kill().await;
    gone(&children).await;

    let address = |url: &str| url.split_once("://").unwrap().1.to_owned();
    let dev = Dev::start(folder.path(), &address(&client.url), &address(&dev.stripe)).await;
    for order in &orders {
        client.get(&format!("/v1/orders/{order}")).await;
    }
    client.until_paid(&paid).await;
    assert_eq!(client.pay(&open_page, VISA).await, 200, "a page that was open goes on");
    client.until_paid(&open).await;
    assert_eq!(dev.process.terminate().await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_says_in_one_line_what_it_cannot_have() {
    let (folder, taken) = (folder(), TcpListener::bind(ANY).unwrap());
    let (data, busy) = (folder.path().join("data"), taken.local_addr().unwrap().to_string());
    let dev = async |env: &[(&str, &str)]| Process::run(folder.path(), &["dev"], env).await;
    let ended = dev(&dev_env(&data, &busy, ANY)).await;
    assert!(
        ended.complaint().contains(&format!("cannot listen on {busy} (PAYWRIGHT__HTTP__BIND)")),
        "{ended:?}"
    );
    let ended = dev(&dev_env(&data, ANY, &busy)).await;
    assert!(ended.complaint().contains(&busy) && ended.complaint().contains("SANDBOX__BIND"), "{ended:?}");
    let ended = dev(&[("PAYWRIGHT__MODE", "live")]).await;
    assert!(ended.complaint().contains("is for test mode"), "{ended:?}");
}

// ---------------------------------------------------------------- what is wrong

/// An environment with which `serve` starts.
fn good<'a>(database: &'a str, stripe: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("DATABASE_URL", database),
        ("STRIPE_API_BASE", stripe),
        ("STRIPE_SECRET_KEY", SECRET_KEY),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_public"),
        ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("PAYWRIGHT__HTTP__BIND", ANY),
        ("PAYWRIGHT__DATABASE__MAX_CONNECTIONS", "4"),
    ]
}

/// The environment with one value replaced; an empty one is as good as none.
fn but<'a>(env: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let kept = env.iter().filter(|(other, _)| *other != name).copied();
    kept.chain([(name, value)]).collect()
}

/// Covers: fault 44, fault 98, fault 134, S-1.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_is_said_in_one_line_without_a_secret() {
    let (folder, db, taken) = (folder(), TestDb::new().await, TcpListener::bind(ANY).unwrap());
    let busy = taken.local_addr().unwrap().to_string();
    let live = format!("sk_{}_canary", "live");
    let env = good(db.url(), "http://127.0.0.1:9");
    let nowhere = "postgres://canary:canary@127.0.0.1:9/canary";
    let cases: Vec<(&str, &str, &str)> = vec![
        ("DATABASE_URL", "", "DATABASE_URL is not set"),
        ("DATABASE_URL", "canary", "DATABASE_URL"),
        ("DATABASE_URL", "mysql://canary:canary@localhost/canary", "DATABASE_URL"),
        ("DATABASE_URL", nowhere, "cannot reach the database (DATABASE_URL)"),
        ("STRIPE_SECRET_KEY", "", "STRIPE_SECRET_KEY is not set"),
        ("STRIPE_SECRET_KEY", "canary", "STRIPE_SECRET_KEY is no Stripe secret key"),
        ("STRIPE_SECRET_KEY", "pk_test_canary", "STRIPE_SECRET_KEY is no Stripe secret key"),
        ("STRIPE_SECRET_KEY", "sk_test_can ary", "secret key"),
        ("STRIPE_SECRET_KEY", &live, "STRIPE_SECRET_KEY is a live key, but mode is \"test\""),
        ("PAYWRIGHT__MODE", "live", "STRIPE_SECRET_KEY is a test key, but mode is \"live\""),
        ("PAYWRIGHT__MODE", "canary", "mode must be \"test\" or \"live\""),
        ("STRIPE_WEBHOOK_SECRET", "", "STRIPE_WEBHOOK_SECRET is not set"),
        ("STRIPE_WEBHOOK_SECRET", "canary", "STRIPE_WEBHOOK_SECRET is no webhook signing secret"),
        ("STRIPE_API_BASE", "canary", "Stripe address cannot be used"),
        ("STRIPE_API_BASE", "http://canary.example", "Stripe address cannot be used"),
        ("PAYWRIGHT__HTTP__BIND", &busy, "cannot listen on"),
        ("PAYWRIGHT__HTTP__BIND", "canary", "http.bind"),
        ("PAYWRIGHT__HTTP__BYND", "canary", "bynd"),
        ("PAYWRIGHT__STRIPE__DEADLINE_SECONDS", "canary", "deadline_seconds"),
        ("PAYWRIGHT__STRIPE__DEADLINE_SECONDS", "0", "deadline"),
        ("PAYWRIGHT__LOG__FILTER", "a=b=canary", "log.filter"),
    ];
    let tried = cases.iter().map(async |(name, value, expected)| {
        let ended = Process::run(folder.path(), &["serve"], &but(&env, name, value)).await;
        (name, value, expected, ended)
    });
    for (name, value, expected, ended) in join_all(tried).await {
        let complaint = ended.complaint();
        assert!(complaint.contains(expected), "{name}={value}: {complaint}");
        let secret =
            ["canary1", "canary2", "SECRET_KEY", "DATABASE_URL"].iter().any(|word| name.contains(word));
        assert!(!secret || !complaint.contains("canary"), "{name}={value}: {complaint}");
        assert!(ended.stdout.is_empty(), "{ended:?}");
    }
    for args in [&["worker"][..], &["migrate"], &["keys", "list"], &["keys", "create", "--name", "x"]] {
        let ended = Process::run(folder.path(), args, &but(&env, "DATABASE_URL", "")).await;
        assert!(ended.complaint().contains("DATABASE_URL is not set"), "{ended:?}");
    }
    let ended = Process::run(folder.path(), &["--config", "nowhere.toml", "serve"], &env).await;
    assert!(ended.complaint().contains("nowhere.toml"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_explains_itself() {
    let folder = folder();
    for args in [
        &["--help"][..],
        &["help"],
        &["dev", "--help"],
        &["serve", "--help"],
        &["worker", "--help"],
        &["migrate", "--help"],
        &["keys", "--help"],
        &["keys", "create", "--help"],
        &["keys", "list", "--help"],
        &["keys", "revoke", "--help"],
        &["sandbox", "--help"],
    ] {
        let Ended { status, stdout, stderr } = Process::run(folder.path(), args, &[]).await;
        assert!(
            status.success() && stderr.is_empty() && stdout.contains("Usage: paywright"),
            "{args:?} {stdout}"
        );
        let first = stdout.lines().next().unwrap();
        assert!(first.contains(' ') && !first.starts_with("Usage"), "{args:?} does not say what it is for");
    }
    let version = Process::run(folder.path(), &["--version"], &[]).await.stdout;
    assert_eq!(version.trim(), format!("paywright {}", env!("CARGO_PKG_VERSION")));
    let wrong = Process::run(folder.path(), &["surf"], &[]).await;
    assert_eq!(wrong.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_not_text_is_none_of_our_business() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = folder();
    let binary = env!("CARGO_BIN_EXE_paywright");
    let mut command = tokio::process::Command::new(binary);
    command.env("FOREIGN", std::ffi::OsStr::from_bytes(b"\xff\xfe")).env_remove("DATABASE_URL");
    let ended = command.arg("migrate").current_dir(folder.path()).output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.starts_with("paywright: DATABASE_URL is not set"), "{said}");
}

// ---------------------------------------------------------------- serve, worker, migrate, keys

/// The surroundings of `serve`: a database, a Stripe, and an address that stays.
struct Site {
    folder: tempfile::TempDir,
    db: TestDb,
    us: Relay,
    stripe: Relay,
    _sandbox: Sandbox,
}

impl Site {
    async fn new() -> Self {
        let (us, stripe) = (Relay::start().await, Relay::start().await);
        let sandbox = paywright_sandbox::start(paywright_sandbox::Options {
            bind: ANY.parse().unwrap(),
            webhook_endpoints: vec![PresetEndpoint::new(
                format!("{}/webhooks/stripe", us.url),
                WEBHOOK_SECRET,
            )],
            ..paywright_sandbox::Options::default()
        });
        let sandbox = sandbox.await.unwrap();
        stripe.lead_to(&[&sandbox.addr().to_string()]);
        Self { folder: folder(), db: TestDb::new().await, us, stripe, _sandbox: sandbox }
    }

    fn env(&self) -> Vec<(&str, &str)> {
        let mut env = good(self.db.url(), &self.stripe.url);
        env.push(("PAYWRIGHT__HTTP__PUBLIC_URL", &self.us.url));
        env
    }

    async fn run(&self, args: &[&str]) -> Ended {
        Process::run(self.folder.path(), args, &self.env()).await
    }

    /// Starts `serve` behind the address that stays.
    async fn serve(&self, args: &[&str], env: &[(&str, &str)]) -> Process {
        let all = [self.env(), env.to_vec()].concat();
        let mut process = Process::start(self.folder.path(), args, &all);
        self.us.lead_to(&[&process.address().await]);
        process
    }

    /// A new key: its id, and a client with it.
    async fn client(&self, scope: &str) -> (String, Client) {
        let ended = self.run(&["keys", "create", "--name", "canary", "--scope", scope]).await;
        assert!(ended.status.success(), "{ended:?}");
        let (id, secret) = ended.stdout.trim().split_once("  ").unwrap();
        assert!(id.starts_with("key_") && secret.starts_with("pw_test_"), "{ended:?}");
        assert!(!ended.stderr.contains(secret), "{ended:?}");
        (id.to_owned(), Client::new(&self.us.url, secret))
    }

    async fn shop(&self) -> Client {
        let (_, client) = self.client("*").await;
        client.post("/v1/products", json!({"name": "Tea", "unit_amount": 1999, "currency": "usd"})).await;
        client
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_migrations_is_refused_until_migrate_ran() {
    let site = Site::new().await;
    let empty = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
    let store = Postgres::connect(site.db.url(), PoolOptions::default()).await.unwrap();
    sqlx::raw_sql(empty).execute(store.pool()).await.unwrap();
    store.close().await;
    for command in ["serve", "worker"] {
        let refused = site.run(&[command]).await;
        assert!(refused.complaint().contains("run `paywright migrate` first"), "{refused:?}");
    }
    let both = join_all([site.run(&["migrate"]), site.run(&["migrate"])]).await;
    assert!(both.iter().all(|ended| ended.status.success()), "{both:?}");
    assert_eq!(site.run(&["migrate"]).await.stdout, "0 migrations applied\n");
    let serving = site.serve(&["serve"], &[]).await;
    site.shop().await.order().await;
    assert_eq!(serving.terminate().await.status.code(), Some(0));
}

/// Covers: fault 134.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_works_and_ends_when_it_is_revoked() {
    let site = Site::new().await;
    let _serving = site.serve(&["serve"], &[]).await;
    let (id, client) = site.client("orders:read,products:read").await;
    assert_eq!(client.get("/v1/orders").await["data"], json!([]));
    let product = json!({"name": "Tea", "unit_amount": 1, "currency": "usd"});
    assert_eq!(client.send("POST", "/v1/products", Some(&product)).await.0, 403);
    let listed = site.run(&["keys", "list"]).await.stdout;
    assert!(listed.contains(&id) && !listed.contains(&client.key), "{listed}");
    let listed: Value = serde_json::from_str(&site.run(&["keys", "list", "--json"]).await.stdout).unwrap();
    assert_eq!(listed[0]["id"], id.as_str());
    assert_eq!(listed[0]["scopes"], json!(["orders:read", "products:read"]));

    assert_eq!(site.run(&["keys", "revoke", &id]).await.stdout, format!("{id} revoked\n"));
    assert_eq!(client.send("GET", "/v1/orders", None).await.0, 401);
    assert!(site.run(&["keys", "list"]).await.stdout.contains("revoked"));
    assert!(site.run(&["keys", "revoke", &id]).await.status.success(), "it is as was wished");
    for wrong in ["key_00000000000000000000000000", "canary"] {
        site.run(&["keys", "revoke", wrong]).await.complaint();
    }
    let unknown = site.run(&["keys", "create", "--name", "x", "--scope", "everything"]).await;
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}

/// Covers: fault 87.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_told_to_stop_finishes_what_it_began_and_nothing_acknowledged_is_lost() {
    let site = Site::new().await;
    let serving = site.serve(&["serve"], &[("PAYWRIGHT__HTTP__DRAIN_SECONDS", "20")]).await;
    let client = site.shop().await;
    let order = client.order().await;
    let load = async || {
        let mut acknowledged = Vec::new();
        while let Some((status, order)) = client.place().await {
            assert_eq!(status, 201, "{order}");
            acknowledged.push(text(&order["id"]));
        }
        acknowledged
    };
    let stop = async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // One request waits for Stripe while the server is told to stop.
        site.stripe.set_trap(Keep::Answer, "POST /v1/checkout/sessions HTTP");
        let page = client.page(&order);
        let end = async {
            site.stripe.caught().await;
            serving.send(Signal::SIGTERM);
            until("it stops", async || serving.log().contains("stopping").then_some(())).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            site.stripe.let_go();
        };
        tokio::join!(page, end).0
    };
    let (acknowledged, page) = tokio::join!(join_all((0..6).map(|_| load())), stop());
    assert!(page.contains("/c/pay/"), "the request under way was answered");
    let ended = serving.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");

    let serving = site.serve(&["serve"], &[]).await;
    let acknowledged = acknowledged.concat();
    assert!(acknowledged.len() >= 6, "there was a load");
    for order in &acknowledged {
        assert_eq!(client.get(&format!("/v1/orders/{order}")).await["state"], "pending");
    }
    assert_eq!(client.page(&order).await, page);
    assert_eq!(serving.terminate().await.status.code(), Some(0));
}

/// Covers: fault 90, I11.
#[tokio::test(flavor = "multi_thread")]
async fn two_servers_and_two_workers_share_one_database() {
    let site = Site::new().await;
    let mut processes = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let mut server = site.serve(&["serve", "--no-worker"], &[]).await;
        addresses.push(server.address().await);
        processes.push(server);
        processes.push(Process::start(site.folder.path(), &["worker"], &site.env()));
    }
    site.us.lead_to(&[&addresses[0], &addresses[1]]);
    let client = site.shop().await;
    let buy = async || {
        let order = client.order().await;
        let page = client.page(&order).await;
        assert_eq!(client.pay(&page, VISA).await, 200);
        client.until_paid(&order).await;
        let shown = client.get(&format!("/v1/orders/{order}")).await;
        assert_eq!(
            (&shown["amount_captured"], shown["payments"].as_array().unwrap().len()),
            (&json!(1999), 1)
        );
        let timeline = client.get(&format!("/v1/orders/{order}/timeline")).await;
        let paid = timeline["data"].as_array().unwrap().iter().filter(|entry| entry["to"] == "paid").count();
        assert_eq!(paid, 1, "{timeline:#}");
    };
    stream::iter(0..30).map(|_| buy()).buffer_unordered(8).collect::<Vec<()>>().await;
    for process in processes {
        let ended = process.terminate().await;
        assert!(ended.status.success() && !ended.stderr.contains("ERROR"), "{ended:?}");
    }
}

/// Covers: fault 134, S-1.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_whole_flow_tells_no_secret_and_nothing_personal() {
    let site = Site::new().await;
    let talkative = [("PAYWRIGHT__LOG__FILTER", "debug"), ("PAYWRIGHT__LOG__FORMAT", "json")];
    let server = site.serve(&["serve"], &talkative).await;
    let client = site.shop().await;
    let order = client.order().await;
    let shown = client.get(&format!("/v1/orders/{order}")).await;
    let checkout = text(&shown["checkout_url"]);
    client.send("GET", &checkout, None).await;
    client.send("POST", &format!("{checkout}/pay"), None).await;
    let intent = client.post(&format!("/v1/orders/{order}/payment-intent"), json!({})).await;
    let page = client.page(&order).await;
    assert_eq!(client.pay(&page, DECLINED).await, 402);
    assert_eq!(client.pay(&page, VISA).await, 200);
    client.until_paid(&order).await;
    // And what goes wrong.
    client.send("POST", "/v1/orders", Some(&json!({"customer_email": EMAIL, "nonsense": EMAIL}))).await;
    client.send("POST", "/webhooks/stripe", Some(&json!({"email": EMAIL}))).await;
    client.send("GET", &format!("/nowhere?email={EMAIL}&key={}", client.key), None).await;
    client.post(&format!("/v1/orders/{order}/fulfillment"), json!({})).await;
    let ended = server.terminate().await;
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("event received"), "{said}");
    let client_secret = text(&intent["client_secret"]);
    let token = checkout.rsplit('/').next().unwrap();
    for (what, secret) in [
        ("Stripe's key", SECRET_KEY),
        ("the webhook secret", WEBHOOK_SECRET),
        ("the API key", &client.key),
        ("an e-mail address", EMAIL),
        ("a client secret", &client_secret),
        ("an order's token", token),
        ("a card", VISA),
        ("a database address", site.db.url()),
    ] {
        let line = said.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{what} is in the log: {}", line.unwrap_or_default());
    }
}
