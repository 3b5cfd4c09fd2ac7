//! The program is killed at every point of the main flow, and ends in the same state as if it had not been.
//!
//! Real processes on one database; the sandbox, in this process, survives them as Stripe would.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use nix::sys::signal::Signal;
use paywright_postgres::{ApiKeys, PoolOptions, Postgres, TestDb};
use paywright_sandbox::{PresetEndpoint, Sandbox};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    process::{PATIENCE, Process},
    relay::{Keep, Relay, until},
    support::{KEY, VISA, WEBHOOK_SECRET, text},
};

/// Each has a handful of connections, and the tests' server has an end.
const AT_ONCE: usize = 10;
/// A server's answer is expected within this; a stopped one gives none.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);

/// One way through the flow.
struct Scenario {
    name: &'static str,
    way: Way,
    end: End,
    strike: Strike,
}

/// How the order is to be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Page,
    Intent,
}

/// How the order ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Paid,
    Cancelled,
}

/// What befalls the program.
#[derive(Clone, Copy)]
enum Strike {
    Nothing,
    /// Killed between two steps of the client.
    After(Step),
    /// Killed when this is caught on its way, and the next one when the next is.
    At(&'static [Trap]),
    /// Not there when the customer pays; Stripe's message finds nobody at first.
    WhilePaying,
    /// Killed when Stripe's messages are stored and nobody has read them.
    Unread,
    /// Stopped when this is caught, continued after another has done the work.
    Stopped(Trap, Waking),
}

impl Strike {
    /// Whether it needs an event that makes the worker look at Stripe.
    fn awaits_a_look(&self) -> bool {
        let is_look = |trap: &Trap| matches!(trap, Stripe(_, request) if *request == LOOK);
        match self {
            At(traps) => traps.iter().any(is_look),
            Stopped(trap, _) => is_look(trap),
            Nothing | After(_) | WhilePaying | Unread => false,
        }
    }
}

/// A step of the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Placed,
    Started,
    Paid,
}

/// What a relay waits for.
#[derive(Clone, Copy)]
enum Trap {
    /// On the way to Stripe.
    Stripe(Keep, &'static str),
    /// On the way to us.
    Us(Keep, &'static str),
}

/// When a stopped one is continued.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waking {
    /// Long after its deadlines.
    Late,
    /// So soon that it believes itself in time: its lease was given to another, and it has Stripe's answer.
    InTime,
}

use self::{
    End::{Cancelled, Paid},
    Keep::{Answer, Request},
    Step::{Placed, Started},
    Strike::{After, At, Nothing, Stopped, Unread, WhilePaying},
    Trap::{Stripe, Us},
    Way::{Intent, Page},
};

const CREATE_PAGE: &str = "POST /v1/checkout/sessions HTTP";
const END_PAGE: &str = "POST /v1/checkout/sessions/";
const CREATE_INTENT: &str = "POST /v1/payment_intents HTTP";
const END_INTENT: &str = "POST /v1/payment_intents/";
const LOOK: &str = "GET /v1/payment_intents/";
const WEBHOOK: &str = "POST /webhooks/stripe";
const PLACE: &str = "POST /v1/orders HTTP";
const COMMAND: &str = "POST /v1/orders/";

const fn scenario(name: &'static str, way: Way, end: End, strike: Strike) -> Scenario {
    Scenario { name, way, end, strike }
}

#[rustfmt::skip]
const SCENARIOS: [Scenario; 30] = [
    scenario("nothing happens: page", Page, Paid, Nothing),
    scenario("nothing happens: intent", Intent, Paid, Nothing),
    scenario("nothing happens: page, cancelled", Page, Cancelled, Nothing),
    scenario("nothing happens: intent, cancelled", Intent, Cancelled, Nothing),

    scenario("placed, the client was not told", Page, Paid, At(&[Us(Answer, PLACE)])),
    scenario("placed", Page, Paid, After(Placed)),
    scenario("page recorded, Stripe not called", Page, Paid, At(&[Stripe(Request, CREATE_PAGE)])),
    scenario("intent recorded, Stripe not called", Intent, Paid, At(&[Stripe(Request, CREATE_INTENT)])),
    scenario("page made, its answer lost", Page, Paid, At(&[Stripe(Answer, CREATE_PAGE)])),
    scenario("intent made, its answer lost", Intent, Paid, At(&[Stripe(Answer, CREATE_INTENT)])),
    scenario("page stored, the client was not told", Page, Paid, At(&[Us(Answer, COMMAND)])),
    scenario("intent stored, the client was not told", Intent, Paid, At(&[Us(Answer, COMMAND)])),
    scenario("page stored, the client was told", Page, Paid, After(Started)),
    scenario("intent stored, the client was told", Intent, Paid, After(Started)),
    scenario("paid while nobody was there: page", Page, Paid, WhilePaying),
    scenario("paid while nobody was there: intent", Intent, Paid, WhilePaying),
    scenario("paid a moment ago", Page, Paid, After(Step::Paid)),
    scenario("event stored, Stripe was not told", Page, Paid, At(&[Us(Answer, WEBHOOK)])),
    scenario("event stored, not read: page", Page, Paid, Unread),
    scenario("event stored, not read: intent", Intent, Paid, Unread),
    scenario("event being read", Page, Paid, At(&[Stripe(Request, LOOK)])),
    scenario("page to end, Stripe not called", Page, Cancelled, At(&[Stripe(Request, END_PAGE)])),
    scenario("page ended, its answer lost", Page, Cancelled, At(&[Stripe(Answer, END_PAGE)])),
    scenario("intent to end, Stripe not called", Intent, Cancelled, At(&[Stripe(Request, END_INTENT)])),
    scenario("intent ended, its answer lost", Intent, Cancelled, At(&[Stripe(Answer, END_INTENT)])),

    scenario("killed again in its recovery", Page, Paid, At(&[
        Stripe(Request, CREATE_PAGE), Stripe(Answer, CREATE_PAGE), Stripe(Request, LOOK),
    ])),
    scenario("killed again and again until cancelled", Page, Cancelled, At(&[
        Stripe(Answer, CREATE_PAGE), Stripe(Request, END_PAGE), Stripe(Answer, END_PAGE),
    ])),

    scenario("a zombie request", Page, Paid, Stopped(Stripe(Request, CREATE_PAGE), Waking::Late)),
    scenario("a zombie worker", Page, Paid, Stopped(Stripe(Request, LOOK), Waking::Late)),
    scenario("a zombie worker that knows nothing of it", Page, Paid, Stopped(Stripe(Answer, LOOK), Waking::InTime)),
];

/// Covers: fault 85, fault 86, fault 91, fault 95, D-14, W-9.
#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_program_is_killed_the_flow_ends_as_if_it_had_not_been() {
    let played: Vec<_> = stream::iter(SCENARIOS.iter().rev()) // the longest first
        .map(|scenario| async move {
            let begun = Instant::now();
            let ended = tokio::spawn(play(scenario)).await;
            eprintln!("{:6.1?}  {}", begun.elapsed(), scenario.name);
            ended.is_err().then_some(scenario.name)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let failed: Vec<_> = played.into_iter().flatten().collect();
    assert!(failed.is_empty(), "see above: {failed:#?}");
}

/// The client's part, with the strike in it, and then the verdict.
async fn play(scenario: &'static Scenario) {
    let stage = Arc::new(Stage::set(scenario).await);
    let product = stage.product().await;
    let killer = stage.strike_at(scenario.strike);

    let basket = json!({"currency": "usd", "items": [{"product": product, "quantity": 2}]});
    let order = text(&stage.ask("/v1/orders", "place", &basket).await["id"]);
    stage.passed(Placed).await;
    let command = match scenario.way {
        Page => "checkout-session",
        Intent => "payment-intent",
    };
    let start = format!("/v1/orders/{order}/{command}");
    let started = stage.ask(&start, "start", &json!({})).await;
    stage.passed(Started).await;
    match scenario.end {
        Paid => stage.pay(scenario.way, &started).await,
        Cancelled => drop(stage.ask(&format!("/v1/orders/{order}/cancel"), "cancel", &json!({})).await),
    }
    if let Some(killer) = killer {
        tokio::time::timeout(PATIENCE, killer).await.expect("the trap caught nothing").unwrap();
    }
    let state = if scenario.end == Paid { "paid" } else { "cancelled" };
    stage.until(&order, state).await;
    stage.wake_the_stopped().await;

    // Whoever asks again is answered the same.
    assert_eq!(stage.ask("/v1/orders", "place", &basket).await["id"], order.as_str());
    assert_eq!(stage.ask(&start, "start", &json!({})).await["payment"], started["payment"]);
    stage.judge(scenario, &order).await;
    stage.strike().await;
}

/// Everything around the program, which stays while it comes and goes.
struct Stage {
    scenario: &'static Scenario,
    us: Relay,
    stripe: Relay,
    sandbox: Sandbox,
    http: reqwest::Client,
    running: Mutex<Vec<Process>>,
    stopped: Mutex<Option<Process>>,
    folder: tempfile::TempDir,
    store: Postgres,
    db: TestDb,
}

impl Stage {
    async fn set(scenario: &'static Scenario) -> Self {
        let (us, stripe, db) = (Relay::start().await, Relay::start().await, TestDb::new().await);
        let mut endpoint = PresetEndpoint::new(format!("{}/webhooks/stripe", us.url), WEBHOOK_SECRET);
        if scenario.strike.awaits_a_look() {
            // A finished page does not tell how it was paid; other events would.
            endpoint.enabled_events = vec!["checkout.session.completed".to_owned()];
        }
        let sandbox = paywright_sandbox::start(paywright_sandbox::Options {
            bind: "127.0.0.1:0".parse().unwrap(),
            webhook_endpoints: vec![endpoint],
            retry_schedule: vec![Duration::from_millis(500); 200],
            delivery_timeout: CLIENT_PATIENCE,
            workers: 1,
            ..paywright_sandbox::Options::default()
        });
        let sandbox = sandbox.await.unwrap();
        stripe.lead_to(&[&sandbox.addr().to_string()]);
        let store =
            Postgres::connect(db.url(), PoolOptions { max: 1, ..PoolOptions::default() }).await.unwrap();
        ApiKeys::new(&store).ensure_dev_key(KEY).await.unwrap();
        let http = reqwest::Client::builder().timeout(CLIENT_PATIENCE).no_proxy().build().unwrap();
        let (running, stopped) = (Mutex::default(), Mutex::default());
        let folder = tempfile::tempdir().unwrap();
        let stage = Self { scenario, us, stripe, sandbox, http, running, stopped, folder, store, db };
        let unread = matches!(scenario.strike, Unread);
        stage.serve(if unread { &["serve", "--no-worker"] } else { &["serve"] }).await;
        stage
    }

    /// Starts the program, to which all requests go from now on.
    async fn serve(&self, args: &[&str]) {
        // A short deadline makes for short leases. A worker that shall believe itself in time needs a long one.
        let in_time = matches!(self.scenario.strike, Stopped(_, Waking::InTime));
        let env = [
            ("DATABASE_URL", self.db.url()),
            ("STRIPE_API_BASE", &self.stripe.url),
            ("STRIPE_SECRET_KEY", "sk_test_kill"),
            ("STRIPE_PUBLISHABLE_KEY", "pk_test_kill"),
            ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("PAYWRIGHT__HTTP__BIND", "127.0.0.1:0"),
            ("PAYWRIGHT__HTTP__PUBLIC_URL", &self.us.url),
            ("PAYWRIGHT__HTTP__WORKERS", "1"),
            ("PAYWRIGHT__STRIPE__DEADLINE_SECONDS", if in_time { "60" } else { "1" }),
            ("PAYWRIGHT__DATABASE__MAX_CONNECTIONS", "3"),
        ];
        let mut process = Process::start(self.folder.path(), args, &env);
        self.us.lead_to(&[&process.address().await]);
        self.running.lock().await.push(process);
    }

    /// Takes the one that runs out of its way.
    async fn take(&self) -> Process {
        self.us.lead_to(&[]);
        self.running.lock().await.pop().expect("one runs")
    }

    async fn kill(&self) {
        self.take().await.kill().await;
    }

    async fn restart(&self) {
        self.kill().await;
        self.serve(&["serve"]).await;
    }

    /// Prepares what happens at a trap.
    fn strike_at(self: &Arc<Self>, strike: Strike) -> Option<tokio::task::JoinHandle<()>> {
        let stage = Arc::clone(self);
        match strike {
            At(traps) => {
                let first = self.arm(traps[0]);
                Some(tokio::spawn(async move {
                    first.caught().await;
                    for trap in &traps[1..] {
                        stage.kill().await;
                        let next = stage.arm(*trap);
                        stage.serve(&["serve"]).await;
                        next.caught().await;
                    }
                    stage.restart().await;
                }))
            }
            Stopped(trap, waking) => {
                let relay = self.arm(trap);
                Some(tokio::spawn(async move {
                    relay.caught().await;
                    let process = stage.take().await;
                    process.send(Signal::SIGSTOP);
                    *stage.stopped.lock().await = Some(process);
                    stage.serve(&["serve"]).await;
                    if waking == Waking::InTime {
                        // It may have been stopped inside of a transaction, which PostgreSQL ends after a while.
                        until("its lease is over", async || stage.store.release_leases().await.ok()).await;
                    }
                }))
            }
            Nothing | After(_) | WhilePaying | Unread => None,
        }
    }

    fn arm(&self, trap: Trap) -> Relay {
        let (relay, keep, request) = match trap {
            Stripe(keep, request) => (&self.stripe, keep, request),
            Us(keep, request) => (&self.us, keep, request),
        };
        relay.set_trap(keep, request);
        relay.clone()
    }

    /// The client has done a step.
    async fn passed(&self, step: Step) {
        if matches!(self.scenario.strike, After(at) if at == step) {
            self.restart().await;
        }
    }

    /// The stopped one goes on where it was, and then ends as it should.
    async fn wake_the_stopped(&self) {
        let Some(process) = self.stopped.lock().await.take() else { return };
        process.send(Signal::SIGCONT);
        self.stripe.let_go();
        self.us.let_go();
        let ended = process.terminate().await;
        assert!(ended.status.success(), "{ended:?}");
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

    async fn get(&self, base: &str, path: &str, key: &str) -> Option<Value> {
        let answer =
            self.http.request(Method::GET, format!("{base}{path}")).bearer_auth(key).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }

    async fn product(&self) -> String {
        let body = json!({"name": "Tea, 100 g", "unit_amount": 1999, "currency": "usd"});
        text(&self.ask("/v1/products", "product", &body).await["id"])
    }

    /// The customer pays.
    async fn pay(&self, way: Way, started: &Value) {
        if matches!(self.scenario.strike, WhilePaying) {
            self.kill().await;
        }
        let subject = match way {
            Page => format!("checkout/sessions/{}", text(&started["url"]).rsplit('/').next().unwrap()),
            Intent => {
                let secret = text(&started["client_secret"]);
                format!("payment_intents/{}", secret.split("_secret_").next().unwrap())
            }
        };
        let request = self.http.post(format!("{}/_sandbox/{subject}/pay", self.sandbox.url()));
        let answer = request.json(&json!({"card": VISA, "email": "ada@example.org"})).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        self.passed(Step::Paid).await;
        match self.scenario.strike {
            WhilePaying => {
                self.deliveries("a vain delivery", |all| all["data"].as_array().unwrap().iter().any(is_vain))
                    .await;
                self.serve(&["serve"]).await;
            }
            Unread => {
                self.deliveries("all delivered", |all| all["open"] == 0).await;
                self.restart().await;
            }
            Nothing | After(_) | At(_) | Stopped(..) => {}
        }
    }

    async fn deliveries(&self, what: &str, so: impl Fn(&Value) -> bool) {
        until(what, async || self.get(self.sandbox.url(), "/_sandbox/deliveries", KEY).await.filter(&so))
            .await;
    }

    async fn until(&self, order: &str, state: &str) {
        let path = format!("/v1/orders/{order}");
        until(state, async || {
            self.get(&self.us.url, &path, KEY).await.filter(|shown| shown["state"] == state)
        })
        .await;
    }

    /// Looks at everything once all is quiet.
    async fn judge(&self, scenario: &Scenario, order: &str) {
        self.deliveries("all delivered", |all| all["open"] == 0).await;
        let path = format!("/v1/orders/{order}");
        let shown = self.get(&self.us.url, &path, KEY).await.unwrap();
        let (state, captured) = if scenario.end == Paid { ("paid", 3998) } else { ("cancelled", 0) };
        assert_eq!(
            (&shown["state"], &shown["amount_captured"]),
            (&json!(state), &json!(captured)),
            "{shown:#}"
        );
        assert_eq!(shown["payments"].as_array().unwrap().len(), 1, "{shown:#}");

        // What Stripe has: one of each, whatever happened.
        let intents =
            self.get(self.sandbox.url(), "/v1/payment_intents?limit=100", "sk_test_kill").await.unwrap();
        let intents = intents["data"].as_array().unwrap();
        let received: u64 = intents.iter().map(|intent| intent["amount_received"].as_u64().unwrap()).sum();
        assert_eq!(received, captured, "{intents:#?}");
        assert!(intents.len() <= 1, "{intents:#?}");
        let pages = self.get(self.sandbox.url(), "/v1/checkout/sessions?limit=100", "sk_test_kill").await;
        let pages = pages.unwrap()["data"].as_array().unwrap().len();
        assert_eq!(pages, usize::from(scenario.way == Page));

        // Each step once. A call whose outcome an event told before is still answered, once its lease ends.
        let (steps, calls) = expected(scenario);
        let timeline = until("all calls answered", async || {
            let list = self.get(&self.us.url, &format!("{path}/timeline"), KEY).await?;
            let entries = list["data"].as_array().unwrap().clone();
            (of(&entries, "call").len() >= calls.len()).then_some(entries)
        })
        .await;
        until("nothing left to do", async || {
            let left = "SELECT count(*) FROM jobs WHERE state <> 'done' AND kind <> 'watch_order'";
            let left: i64 = sqlx::query_scalar(left).fetch_one(self.store.pool()).await.ok()?;
            (left == 0).then_some(())
        })
        .await;
        let told = told(&timeline);
        assert_eq!(of(&timeline, "order"), steps, "{told}");
        assert_eq!(of(&timeline, "call"), calls, "{told}");
        // Not those that only learn one of Stripe's ids.
        let moved: Vec<_> = timeline.iter().filter(|entry| entry["from"] != entry["to"]).cloned().collect();
        let mut payment = of(&moved, "payment");
        let all = payment.len();
        payment.sort_unstable();
        payment.dedup();
        assert_eq!(payment.len(), all, "a doubled step: {told}");
        assert!(of(&timeline, "break").is_empty(), "{told}");
    }

    /// Takes everything down in good order.
    async fn strike(&self) {
        let ended = self.take().await.terminate().await;
        assert!(ended.status.success() && !ended.stderr.contains("job is dead"), "{ended:?}");
        self.store.close().await;
    }
}

/// The steps of the order, and the calls to Stripe, of an undisturbed run.
fn expected(scenario: &Scenario) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut calls = match scenario.way {
        Page => vec!["create_session_recorded", "create_session_done"],
        Intent => vec!["create_intent_recorded", "create_intent_done"],
    };
    let mut steps = vec!["placed", "payment_started"];
    match (scenario.end, scenario.way) {
        (Paid, _) => steps.push("captured"),
        (Cancelled, way) => {
            steps.extend(["cancellation_requested", "cancelled"]);
            calls.extend(match way {
                Page => ["expire_session_recorded", "expire_session_done"],
                Intent => ["cancel_intent_recorded", "cancel_intent_done"],
            });
        }
    }
    (steps, calls)
}

/// The events of one subject.
fn of<'a>(timeline: &'a [Value], subject: &str) -> Vec<&'a str> {
    let entries = timeline.iter().filter(|entry| entry["subject"] == subject);
    entries.map(|entry| entry["event"].as_str().unwrap()).collect()
}

/// The timeline, a line an entry.
fn told(timeline: &[Value]) -> String {
    let line = |entry: &Value| {
        let names = ["at", "subject", "event", "from", "to", "actor", "cause"];
        names.map(|name| entry[name].as_str().unwrap_or("-").to_owned()).join("  ")
    };
    timeline.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A delivery that reached nobody.
fn is_vain(attempt: &Value) -> bool {
    attempt["status"].as_u64() != Some(200)
}
