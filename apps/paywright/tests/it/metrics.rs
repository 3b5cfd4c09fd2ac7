//! Numbers for Prometheus, as a real process shows them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use paywright_app::{
    doctor::Problem,
    metrics::catalogue::{self, METRICS},
};
use paywright_postgres::TestDb;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use strum::IntoEnumIterator as _;

use crate::{
    doctor::{EMAIL, OLD_SECRET, SECRET_KEY, Shop, delivery},
    process::Process,
    relay::until,
    support::{DECLINED, KEY, text},
};

const PAGE: &str = "../../docs/metrics.md";
const HEAD: &str = "# Metrics

Every process that serves or works shows its numbers in the text format of Prometheus at `http://127.0.0.1:9464/metrics`
(`[metrics] bind`, or `PAYWRIGHT__METRICS__BIND`; empty is off). That listener is apart from the API's and shows nothing else;
bind it to an address that only Prometheus reaches. Where the address is taken, the process says so once in its log and goes
on without: give each process on one machine an address of its own.

Printed from the code by a test; `UPDATE_DOCS=1 cargo test -p paywright-app --test it metrics::` prints it anew.

- Labels are words out of short lists: routes by their pattern, never by their path; no ids, no names, no addresses.
- A histogram has `_count` (how many), `_sum` (seconds in all) and `_bucket`; its `_count` by label is the counter of
  requests, deliveries, attempts or calls.
- What stands in the database (queues, breaks, reconciliation, the endpoint) is read once in five seconds, whoever asks. Every
  process shows the same: use `max`, not `sum`. When the database does not answer, these are absent and
  `paywright_up_database` is 0.
- Memory, processor time and open files have their usual names: `process_resident_memory_bytes`,
  `process_cpu_seconds_total`, `process_open_fds`, `process_max_fds`, `process_threads`, `process_start_time_seconds`.
";

#[test]
fn the_page_lists_every_metric() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let problems: Vec<_> = Problem::iter().map(|problem| format!("`{problem}`")).collect();
    let problems = format!("- `paywright_endpoint_problem` knows {}.\n\n", problems.join(", "));
    let printed = format!("{HEAD}{problems}{}", catalogue::table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &printed).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == printed, "docs/metrics.md is stale: print it anew");
}

#[test]
fn metrics_are_named_as_prometheus_wants_it() {
    let mut names = BTreeSet::new();
    for metric in METRICS {
        let name = metric.name;
        assert!(names.insert(name) && name.starts_with("paywright_"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert!(!metric.help.is_empty() && metric.help.len() < 200, "{name}");
        let timed = metric.help.starts_with("Seconds");
        assert_eq!(timed, name.ends_with("_seconds"), "{name}: the unit is at the end of the name");
    }
}

/// Where the process shows its metrics.
pub(crate) async fn address(process: &mut Process) -> String {
    process
        .says("metrics", |said| {
            let line = said.lines().find(|line| line.contains("metrics are shown"))?;
            let (_, rest) = line.split_once("bind")?;
            Some(rest.trim_start_matches(['=', '"', ':']).split([' ', '"']).next()?.to_owned())
        })
        .await
}

/// One line of numbers: its labels and its value.
type Sample = (BTreeMap<String, String>, f64);

/// What is shown, by the names in the lines, with the kinds and texts of the families.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    text: String,
    samples: BTreeMap<String, Vec<Sample>>,
    kinds: BTreeMap<String, String>,
    helps: BTreeMap<String, String>,
}

impl Shown {
    pub(crate) async fn at(shop: &Shop, address: &str) -> Self {
        let answer = shop.http.get(format!("http://{address}/metrics")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
        Self::parse(&answer.text().await.unwrap())
    }

    fn parse(text: &str) -> Self {
        let mut shown = Self { text: text.to_owned(), ..Self::default() };
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (what, name, rest) = (words.next(), words.next(), words.next());
                let (name, rest) = (name.unwrap().to_owned(), rest.unwrap().to_owned());
                match what {
                    Some("TYPE") => shown.kinds.insert(name, rest),
                    Some("HELP") => shown.helps.insert(name, rest),
                    _ => panic!("{line}"),
                };
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let pairs = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
            let labels = pairs.map(|pair| {
                let (label, value) = pair.split_once("=\"").unwrap();
                (label.to_owned(), value.trim_end_matches('"').to_owned())
            });
            shown
                .samples
                .entry(name.to_owned())
                .or_default()
                .push((labels.collect(), value.parse().unwrap()));
        }
        shown
    }

    /// The sum of all that has these labels; `None` when there is none.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |(has, _): &&Sample| labels.iter().all(|(k, v)| has.get(*k).is_some_and(|has| has == v));
        let values: Vec<f64> = self.samples.get(name)?.iter().filter(fits).map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().copied().sum())
    }
}

/// What no shop that is well has.
pub(crate) const MISHAPS: &str = "
    INSERT INTO breaks (id, key, kind, mode, detail, at_risk, at_risk_currency, found_at)
    VALUES (gen_random_uuid(), 'canary_a', 'late_money', 'test', 'canary', 500, 'usd', now() - interval '2 hours'),
           (gen_random_uuid(), 'canary_b', 'late_money', 'test', 'canary', 250, 'eur', now()),
           (gen_random_uuid(), 'canary_c', 'late_money', 'live', 'canary', 1, 'usd', now());
    INSERT INTO jobs (id, queue, kind, payload, due_at, state, finished_at, last_error)
    VALUES (gen_random_uuid(), 'webhooks', 'read_event', 'evt_canary', now(), 'dead', now(), 'canary');
    INSERT INTO jobs (id, queue, kind, payload, due_at, priority)
    SELECT gen_random_uuid(), 'effects', 'watch_order', 'ord_canary' || n, now() + interval '1 hour', 'backlog'
    FROM generate_series(1, 3) AS n;
    INSERT INTO jobs (id, queue, kind, payload, due_at, created_at)
    VALUES (gen_random_uuid(), 'webhooks', 'read_event', 'evt_canary', now() + interval '1 hour', now() - interval '1 hour');
    INSERT INTO reconciliation_runs (id, mode, trigger, state, counts, opened, resolved, started_at, finished_at)
    VALUES (gen_random_uuid(), 'test', 'command', 'done', '{}', 0, 0, now() - interval '1 minute', now())";

/// Covers: fault 134, fault 135, fault 141, I31, fault 39, fault 52.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_shows_exactly_what_the_page_says_and_no_secret() {
    let shop = Shop::new(Some(OLD_SECRET)).await;
    let mut serving = shop.serve(OLD_SECRET).await;
    let address = address(&mut serving).await;
    shop.store.pool().execute(MISHAPS).await.unwrap();
    let (order, intent) = shop.order().await;
    assert_eq!(shop.pay(&intent, DECLINED).await, 402);
    let paid = shop.paid_order().await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
    let live = r#"{"id":"evt_canary_live","object":"event","type":"charge.succeeded","created":1,"livemode":true,
                   "data":{"object":{"id":"ch_canary","object":"charge"}}}"#;
    for (secret, at, status) in [
        ("whsec_stranger", now, 400),
        (OLD_SECRET, now - 900, 400),
        (OLD_SECRET, now + 900, 400),
        (OLD_SECRET, now, 200),
    ] {
        assert_eq!(shop.send(delivery(&shop, secret, at, live)).await.0, status);
    }
    let nowhere = format!("{}/nowhere/{EMAIL}?key={KEY}", shop.us.url);
    assert_eq!(shop.send(shop.http.get(&nowhere).bearer_auth(KEY)).await.0, 404);
    let odd = shop.http.request("CANARY".parse().unwrap(), &nowhere);
    shop.send(odd).await;

    // What is read from the database follows within seconds.
    let shown = until("everything is shown", async || {
        let shown = Shown::at(&shop, &address).await;
        let known = |name: &str| shown.get(name, &[]).or_else(|| shown.get(&format!("{name}_count"), &[]));
        METRICS.iter().all(|metric| known(metric.name).is_some()).then_some(shown)
    })
    .await;
    for metric in METRICS {
        let name = metric.name;
        let kind: &str = metric.kind.into();
        assert_eq!((shown.kinds[name].as_str(), shown.helps[name].as_str()), (kind, metric.help), "{name}");
    }
    for (name, samples) in shown.samples.iter().filter(|(name, _)| !name.starts_with("process_")) {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let known = |name: &str| METRICS.iter().find(|metric| metric.name == name);
        let metric =
            known(name).or_else(|| known(family?)).unwrap_or_else(|| panic!("{name} is not on the page"));
        for (labels, _) in samples {
            let labels: Vec<_> = labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
            let mut listed = metric.labels.to_vec();
            listed.sort_unstable();
            assert_eq!(labels, listed, "{name}");
        }
    }
    assert!(shown.get("process_resident_memory_bytes", &[]) > Some(1e6));
    assert!(
        shown.get("process_open_fds", &[]) > Some(1.0)
            && shown.get("process_cpu_seconds_total", &[]).is_some()
    );

    numbers(&shown);
    for secret in
        [SECRET_KEY, OLD_SECRET, KEY, EMAIL, &order, &paid, &intent, shop.db.url(), "canary", "CANARY"]
    {
        assert!(!shown.text.contains(secret), "{secret} is shown");
    }
    for id in ["evt_", "pi_", "ord_", "pay_", "whsec_", "sk_test", "@"] {
        assert!(!shown.text.contains(id), "{id}... is shown");
    }
    // Not where the public comes, and nothing else where Prometheus comes.
    for url in [
        format!("{}/metrics", shop.us.url),
        format!("http://{address}/v1/config"),
        format!("http://{address}/"),
    ] {
        assert_eq!(shop.send(shop.http.get(&url)).await.0, 404, "{url}");
    }
    assert_eq!(serving.terminate().await.status.code(), Some(0));
}

/// The numbers after that shop's day.
fn numbers(shown: &Shown) {
    let of = |name: &str, labels: &[(&str, &str)]| shown.get(name, labels).unwrap_or_default();
    for (name, labels, least) in [
        (
            "paywright_http_request_duration_seconds_count",
            &[("route", "/v1/orders"), ("status", "2xx")][..],
            2.0,
        ),
        ("paywright_http_request_duration_seconds_count", &[("route", "none"), ("method", "other")], 1.0),
        ("paywright_webhook_duration_seconds_count", &[("outcome", "stored")], 2.0),
        ("paywright_job_duration_seconds_count", &[("task", "read_event"), ("result", "done")], 2.0),
        ("paywright_event_lag_seconds_count", &[], 2.0),
        (
            "paywright_stripe_call_duration_seconds_count",
            &[("operation", "create_intent"), ("result", "done")],
            2.0,
        ),
        ("paywright_oldest_unprocessed_event_age_seconds", &[], 3_600.0),
        ("paywright_oldest_break_age_seconds", &[], 7_200.0),
        ("paywright_database_connections", &[], 1.0),
    ] {
        assert!(of(name, labels) >= least, "{name} {labels:?} is {}", of(name, labels));
    }
    for (name, labels, exactly) in [
        (
            "paywright_webhook_duration_seconds_count",
            &[("outcome", "refused"), ("reason", "mismatch")][..],
            1.0,
        ),
        ("paywright_webhook_duration_seconds_count", &[("outcome", "refused"), ("reason", "too_old")], 1.0),
        ("paywright_webhook_duration_seconds_count", &[("outcome", "refused"), ("reason", "too_new")], 1.0),
        (
            "paywright_webhook_duration_seconds_count",
            &[("outcome", "ignored"), ("reason", "other_mode")],
            1.0,
        ),
        ("paywright_open_breaks", &[("kind", "late_money")], 2.0),
        ("paywright_money_at_risk_minor_units", &[("currency", "usd")], 500.0),
        ("paywright_money_at_risk_minor_units", &[("currency", "eur")], 250.0),
        ("paywright_dead_jobs", &[("queue", "webhooks")], 1.0),
        ("paywright_dead_jobs", &[("queue", "effects")], 0.0),
        ("paywright_queue_jobs", &[("queue", "effects"), ("priority", "backlog"), ("state", "later")], 3.0),
        ("paywright_endpoint_problem", &[], 0.0),
        ("paywright_up_database", &[], 1.0),
        ("paywright_database_connections_max", &[], 6.0),
        ("paywright_build_info", &[("mode", "test"), ("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        assert_eq!(shown.get(name, labels), Some(exactly), "{name} {labels:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_a_process_says_so_and_shows_nothing_stale() {
    let shop = Shop::new(Some(OLD_SECRET)).await;
    let mut serving = shop.serve(OLD_SECRET).await;
    let address = address(&mut serving).await;
    shop.paid_order().await;
    let up = async |value: f64| {
        until("the database is noticed", async || {
            let shown = Shown::at(&shop, &address).await;
            (shown.get("paywright_up_database", &[]) == Some(value)).then_some(shown)
        })
        .await
    };
    assert!(up(1.0).await.get("paywright_queue_jobs", &[]).is_some());
    let (before, parameters) = shop.db.url().split_once('?').unwrap_or((shop.db.url(), ""));
    let (server, name) = before.rsplit_once('/').unwrap();
    let mut beside = PgConnection::connect(&format!("{server}/postgres?{parameters}")).await.unwrap();
    let allow = async |connection: &mut PgConnection, allowed: bool| {
        let sql = format!(
            "ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS {allowed};
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    };
    allow(&mut beside, false).await;
    let shown = up(0.0).await;
    for metric in
        METRICS.iter().filter(|metric| metric.name.contains("queue") || metric.name.contains("event_age"))
    {
        assert_eq!(shown.get(metric.name, &[]), None, "{}", metric.name);
    }
    assert!(
        shown.get("paywright_webhook_duration_seconds_count", &[]) >= Some(1.0),
        "what was counted stays"
    );
    allow(&mut beside, true).await;
    up(1.0).await;
    beside.close().await.unwrap();
    serving.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_can_be_off_and_a_taken_address_ends_nothing() {
    let shop = Shop::new(Some(OLD_SECRET)).await;
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (bind, said) in [("", None), (&*taken, Some("no metrics: cannot listen"))] {
        let env: Vec<_> = shop
            .env(OLD_SECRET)
            .into_iter()
            .filter(|(name, _)| *name != "PAYWRIGHT__METRICS__BIND")
            .collect();
        let env = [env, vec![("PAYWRIGHT__METRICS__BIND", bind)]].concat();
        let mut serving = Process::start(shop.folder.path(), &["serve"], &env);
        shop.us.lead_to(&[&serving.address().await]);
        shop.paid_order().await;
        let ended = serving.terminate().await;
        assert!(!ended.stderr.contains("metrics are shown"), "{ended:?}");
        assert!(said.is_none_or(|said| ended.stderr.contains(said)), "{ended:?}");
    }
}

/// The statements behind the gauges, as the committed cache has them.
fn statements() -> Vec<String> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    let queries = fs::read_dir(cache).unwrap().map(|file| {
        let entry: Value = serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
        text(&entry["query"])
    });
    let gauges = [
        "AS queues (name)",
        "WHERE state = 'dead' LIMIT",
        "AS run_ended",
        "resolved_at IS NULL ORDER BY id LIMIT",
    ];
    queries.filter(|sql| gauges.iter().any(|part| sql.contains(part))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_gauge_counts_what_is_finished() {
    let db = TestDb::new().await;
    let mut connection = PgConnection::connect(db.url()).await.unwrap();
    let rows = "INSERT INTO jobs (id, queue, kind, payload, due_at, state, finished_at)
                SELECT gen_random_uuid(), 'webhooks', 'read_event', n::text, now(),
                       CASE WHEN n % 100 = 0 THEN 'ready' WHEN n % 100 = 1 THEN 'dead' ELSE 'done' END,
                       CASE WHEN n % 100 > 0 THEN now() END
                FROM generate_series(1, 20000) AS n;
                INSERT INTO inbox_events (id, kind, mode, created_at, body, received_at)
                SELECT n::text, 'charge.succeeded', 'test', now(), '', now() - n * interval '1 second'
                FROM generate_series(1, 20000) AS n;
                INSERT INTO breaks (id, key, kind, mode, detail, found_at, resolved_at, resolved_by, resolution)
                SELECT gen_random_uuid(), n::text, 'late_money', 'test', '', now(),
                       CASE WHEN n % 100 > 0 THEN now() END, CASE WHEN n % 100 > 0 THEN 'system' END,
                       CASE WHEN n % 100 > 0 THEN 'x' END
                FROM generate_series(1, 20000) AS n;
                INSERT INTO reconciliation_runs (id, mode, trigger, state, counts, opened, resolved, started_at, finished_at)
                SELECT gen_random_uuid(), 'test', 'schedule', 'done', '{}', 0, 0, now() - n * interval '1 minute', now()
                FROM generate_series(1, 20000) AS n;
                ANALYZE";
    connection.execute(sqlx::raw_sql(rows)).await.unwrap();
    let statements = statements();
    assert_eq!(statements.len(), 4, "{statements:#?}");
    for sql in statements {
        connection.execute(AssertSqlSafe(format!("PREPARE gauge AS {sql}"))).await.unwrap();
        let arguments = match (sql.contains("mode = $1"), sql.contains("$2")) {
            (true, true) => "'test', 20000",
            (true, false) => "'test'",
            (false, _) => "20000",
        };
        let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE gauge ({arguments})"));
        let plan: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut connection).await.unwrap();
        assert!(!plan.iter().any(|line| line.contains("Seq Scan")), "{sql}\n{}", plan.join("\n"));
        connection.execute("DEALLOCATE gauge").await.unwrap();
    }
    connection.close().await.unwrap();
}
