//! What can befall the way to the database, while orders are placed and paid and Stripe's messages come. Each time: nothing
//! that was acknowledged is lost, nothing is doubled, nobody waits for ever, and all of it is well again by itself.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use futures::future::join_all;
use paywright_pg_local::Cluster;
use paywright_postgres::relay::{Commit, Fault, Then, Way};

use crate::{
    kill_rounds::{
        audit::audit,
        fleet::{Fleet, start_database},
        plan::Dice,
        shop::Shop,
        strike::cut_power,
    },
    relay::until,
    support::KEY,
};

/// Until somebody is served again once all is well again.
const RECOVERY: Duration = Duration::from_secs(5);
/// Longer than anybody waits for an answer of the database, see `PoolOptions::statement_timeout`.
const PATIENCE: Duration = Duration::from_secs(20);

/// A shop that sells while something goes wrong.
struct Trouble {
    fleet: Fleet,
    shop: Shop,
    dice: Dice,
}

impl Trouble {
    async fn start() -> Self {
        let fleet = Fleet::start().await;
        let shop = Shop::open(&fleet).await;
        Self { fleet, shop, dice: Dice::new(1) }
    }

    /// Sells, with this going on meanwhile; then everything is as it has to be.
    async fn through(mut self, customers: usize, fault: impl AsyncFnOnce(&Fleet)) -> Fleet {
        let carts = self.shop.carts(customers, &mut self.dice);
        let (sales, ()) = tokio::join!(self.shop.sell(&self.fleet, carts, 8), fault(&self.fleet));
        self.shop.sold.extend(sales);
        self.fleet.settle(false).await;
        assert_eq!(audit(&self.fleet, &self.shop).await, [""; 0]);
        self.fleet
    }
}

/// A while.
async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// What a server says of itself, and how long that took.
async fn readiness(fleet: &Fleet, patience: Duration) -> (Option<u16>, Duration) {
    let begun = Instant::now();
    let asked = fleet.http.get(format!("{}/readyz", fleet.us.url)).timeout(patience).send().await;
    (asked.ok().map(|answer| answer.status().as_u16()), begun.elapsed())
}

async fn is_well_again(fleet: &Fleet) {
    let begun = Instant::now();
    until("ready", async || (readiness(fleet, RECOVERY).await.0 == Some(200)).then_some(())).await;
    let url = format!("{}/v1/orders?limit=1", fleet.us.url);
    until("served", async || fleet.get(url.clone(), KEY).await).await;
    assert!(begun.elapsed() < RECOVERY, "it took {:?}", begun.elapsed());
}

/// Covers: fault 66, fault 67, I20, I24, I25, I30.
#[tokio::test(flavor = "multi_thread")]
async fn commits_whose_answers_are_lost_are_neither_lost_nor_done_twice() {
    let lost = |then| [Commit::Decisions, Commit::Events].map(|commit| Fault::AfterCommit(commit, then));
    let never_sent = [Commit::Decisions, Commit::Events].map(Fault::BeforeCommit);
    let cut = [lost(Then::Reset), never_sent].concat();
    let fleet = Trouble::start().await.through(40, async |fleet| {
        let between = &fleet.between;
        for trap in lost(Then::Silence).iter().chain(cut.iter().cycle().take(32)) {
            let before = between.struck();
            between.set(*trap);
            let caught = async {
                while between.struck() == before {
                    pass(10).await;
                }
            };
            // Near the end nobody may be left to be caught.
            tokio::time::timeout(Duration::from_secs(1), caught).await.ok();
        }
        between.set(Fault::Healthy);
    });
    let fleet = fleet.await;
    assert!(fleet.between.struck() >= 12, "{} commits were struck", fleet.between.struck());
    fleet.end().await;
}

/// Covers: fault 66, fault 69, fault 70, fault 73, fault 75, I34.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_anywhere_and_refused_cost_nothing_but_time() {
    let fleet = Trouble::start().await.through(30, async |fleet| {
        for n in 0..8 {
            let way = [Way::Answers, Way::Questions][n % 2];
            fleet.between.set(Fault::CutAfter(way, 700 * (n + 1) + 13));
            pass(250).await;
            fleet.between.set(Fault::Healthy);
            pass(150).await;
        }
        fleet.between.set(Fault::Reset);
        until("nobody is told that it is ready", async || {
            (readiness(fleet, PATIENCE).await.0 == Some(503)).then_some(())
        })
        .await;
        pass(3000).await;
        fleet.between.set(Fault::Healthy);
        is_well_again(fleet).await;
    });
    fleet.await.end().await;
}

/// The server is there, and nobody hears it: no connection ends by itself.
///
/// Covers: fault 66, fault 70, fault 74, I25, I34.
#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_waited_for_only_so_long_and_left_behind() {
    join_all([Way::Both, Way::Answers, Way::Questions].map(async |way| {
        let fleet = Trouble::start().await.through(16, async |fleet| {
            pass(400).await;
            let begun = Instant::now();
            fleet.between.set(Fault::Hole(way));
            let (status, took) = readiness(fleet, PATIENCE).await;
            assert!(status == Some(503) && took < RECOVERY, "{way:?}: {status:?} after {took:?}");
            // Whoever is under way is told so in time.
            let orders = format!("{}/v1/orders?limit=1", fleet.us.url);
            let asked = fleet.http.get(orders).bearer_auth(KEY).timeout(PATIENCE).send().await;
            assert_eq!(asked.unwrap().status(), 503, "{way:?}");
            tokio::time::sleep(PATIENCE.saturating_sub(begun.elapsed())).await;
            fleet.between.set(Fault::Healthy);
            is_well_again(fleet).await;
        });
        fleet.await.end().await;
    }))
    .await;
}

/// Ten times as slow as the others, and more: every question is asked once.
///
/// Covers: fault 74.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_is_not_asked_more_often() {
    let (by, jitter) = (Duration::from_millis(25), Duration::from_millis(25));
    let fleet = Trouble::start().await.through(12, async |fleet| {
        fleet.between.set(Fault::Late { by, jitter });
        let (status, took) = readiness(fleet, PATIENCE).await;
        assert!(status == Some(200) && took < RECOVERY, "{status:?} after {took:?}");
        pass(6000).await;
        fleet.between.set(Fault::Healthy);
    });
    let fleet = fleet.await;
    let again = "SELECT count(*) FROM jobs WHERE attempts > 2";
    assert_eq!(fleet.count(again).await, Some(0), "jobs were tried again and again");
    let deliveries = fleet.control("deliveries?limit=5000").await.unwrap();
    let again = deliveries["data"].as_array().unwrap().iter().filter(|one| one["status"] != 200).count();
    assert_eq!(again, 0, "Stripe had to ask again");
    fleet.end().await;
}

/// A second server that follows the first one, and has everything that the first one acknowledged.
async fn standby(fleet: &Fleet) -> Cluster {
    let primary = fleet.database.lock().await.take().unwrap();
    let url = primary.url("postgres");
    let socket = url.split("host=").nth(1).unwrap().split('&').next().unwrap().replace("%2F", "/");
    let (from, to) = (primary.data_dir().to_owned(), fleet.folder().join("standby"));
    tokio::task::spawn_blocking(move || primary.stop().unwrap()).await.unwrap();
    let script = r#"
        mkdir "$2" && chmod 755 "$2" && cp -a "$1/postgres" "$2/postgres"
        owner=$(stat -c %u:%g "$1/postgres")
        touch "$2/postgres/standby.signal"; chown "$owner" "$2/postgres/standby.signal"
        echo "primary_conninfo = 'host=$3 port=5432 user=paywright'" >>"$2/postgres/postgresql.auto.conf"
    "#;
    let copied = Command::new("sh").args(["-ec", script, "sh"]).args([&from, &to]).arg(&socket).status();
    assert!(copied.unwrap().success());
    *fleet.database.lock().await = Some(start_database(fleet.folder()).await);
    let options = paywright_pg_local::Options::new(&to);
    let standby = tokio::task::spawn_blocking(move || Cluster::start(&options).unwrap()).await.unwrap();
    until("it follows", async || {
        (fleet.count("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'").await? == 1)
            .then_some(())
    })
    .await;
    for sql in ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"] {
        fleet.database.lock().await.as_ref().unwrap().execute("postgres", sql).unwrap();
    }
    standby
}

/// Covers: fault 72, fault 73, fault 79 (who is led to a standby is not ready), I25.
#[tokio::test(flavor = "multi_thread")]
async fn when_the_standby_takes_over_nothing_acknowledged_is_lost_and_all_go_to_it_by_themselves() {
    let trouble = Trouble::start().await;
    let standby = standby(&trouble.fleet).await;
    let fleet = trouble.through(24, async |fleet| {
        pass(700).await;
        // The address leads to the standby before it is promoted: it only reads.
        fleet.between.lead_to(&standby.url("shop")).unwrap();
        cut_power(fleet.database.lock().await.as_ref().unwrap());
        until("nobody is told that it is ready", async || {
            (readiness(fleet, PATIENCE).await.0 == Some(503)).then_some(())
        })
        .await;
        pass(1500).await;
        assert_eq!(readiness(fleet, PATIENCE).await.0, Some(503), "what only reads is not ready");
        standby.execute("postgres", "SELECT pg_promote()").unwrap();
        is_well_again(fleet).await;
    });
    let fleet = fleet.await;
    // The old one is gone already.
    drop(fleet.database.lock().await.replace(standby));
    fleet.end().await;
}
