//! The pool: clean connections, bounded waits, and what a database in trouble looks like from outside.

use std::time::{Duration, Instant};

use futures::poll;
use paywright_domain::ports::{Committed, Queue, Store, StoreError};
use paywright_postgres::{
    PoolOptions, Postgres, TestDb,
    relay::{Fault, Relay, Way},
};
use paywright_testkit::builders::{self, ChangesExt, new_id};
use sqlx::{Executor, PgPool, postgres::PgPoolOptions};

use crate::stage::Stage;

/// Begins a transaction and gives up `after` so long, wherever it is then; the next borrower writes a row and is
/// told that it is written. Whether it was lost: nobody else can see it.
async fn acknowledged_and_lost(pool: &PgPool, observer: &PgPool, after: Duration, trial: i32) -> bool {
    let begun = Instant::now();
    {
        let mut begin = std::pin::pin!(pool.begin());
        while poll!(begin.as_mut()).is_pending() && begun.elapsed() < after {
            tokio::task::yield_now().await;
        }
    }
    sqlx::query("INSERT INTO acknowledged VALUES ($1)").bind(trial).execute(pool).await.unwrap();
    let seen = sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM acknowledged WHERE trial = $1)");
    let lost = !seen.bind(trial).fetch_one(observer).await.unwrap();
    pool.execute("ROLLBACK").await.unwrap();
    lost
}

/// How long it takes on this machine, now.
async fn usual_time_to_begin(pool: &PgPool) -> Duration {
    let mut times = Vec::new();
    for _ in 0..15 {
        let begun = Instant::now();
        drop(pool.begin().await.unwrap());
        times.push(begun.elapsed());
    }
    times.sort();
    times[7]
}

/// How many of 120 acknowledged writes are lost, with givings-up spread around the time that it takes.
async fn losses(pool: &PgPool, observer: &PgPool) -> usize {
    pool.execute("CREATE TABLE IF NOT EXISTS acknowledged (trial int); TRUNCATE acknowledged").await.unwrap();
    let usual = usual_time_to_begin(pool).await;
    let mut lost = 0;
    for trial in 0..120 {
        let after = usual * (30 + trial as u32 % 60) / 60;
        lost += usize::from(acknowledged_and_lost(pool, observer, after, trial).await);
    }
    lost
}

/// Covers: fault 68, fault 88.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_begin_loses_no_acknowledged_write() {
    let stage = Stage::with(PoolOptions { max: 1, ..PoolOptions::default() }).await;
    assert_eq!(losses(stage.store.pool(), &stage.aside).await, 0);
}

/// The reason for the hook: when this fails, sqlx was mended and the hook can go.
///
/// Covers: fault 68.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_begin_loses_acknowledged_writes_on_a_pool_without_the_hook() {
    let db = TestDb::new().await;
    let (pool, observer) = (PgPoolOptions::new().max_connections(1), db.pool().await);
    let pool = pool.connect(db.url()).await.unwrap();
    for round in 1..=100 {
        let lost = losses(&pool, &observer).await;
        if lost > 0 {
            println!("lost {lost} of 120 in round {round}");
            return;
        }
    }
    panic!("nothing was lost in 12000 trials");
}

/// Covers: fault 69.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_query_leaves_no_rows_to_the_next_borrower() {
    let stage = Stage::with(PoolOptions { max: 1, ..PoolOptions::default() }).await;
    let pool = stage.store.pool();
    for trial in 0..60_u64 {
        let begun = Instant::now();
        {
            let mut query = std::pin::pin!(sqlx::query_scalar::<_, i32>("SELECT 13").fetch_one(pool));
            while poll!(query.as_mut()).is_pending() && begun.elapsed() < Duration::from_micros(10 * trial) {
                tokio::task::yield_now().await;
            }
        }
        let seven: i32 = sqlx::query_scalar("SELECT 7").fetch_one(pool).await.unwrap();
        assert_eq!(seven, 7);
    }
}

/// Whoever has waited long enough for a connection is told so, on the hot path and beside it.
///
/// Covers: fault 70.
#[tokio::test]
async fn an_exhausted_pool_says_so_in_time() {
    // One connection for each of the two.
    let options =
        PoolOptions { max: 2, acquire_timeout: Duration::from_millis(200), ..PoolOptions::default() };
    let stage = Stage::with(options).await;
    let (order, payment) = stage.started().await;
    let held = stage.store.pool().acquire().await.unwrap();
    let mut holder = stage.aside.begin().await.unwrap();
    holder.execute("UPDATE payments SET seen_at = now()").await.unwrap();
    let (store, step) = (stage.store.clone(), builders::Steps::step(&payment, builders::captured(&payment)));
    let waiting = tokio::spawn(async move { store.commit(builders::changes().step(step)).await });
    stage.until_somebody_waits().await;
    let begun = Instant::now();
    for outcome in [
        stage.store.ping().await,
        stage.store.order_by_token("token").await.map(drop),
        stage.store.order(order.id).await.map(drop),
        stage.store.receive(builders::inbox_event("evt_1")).await.map(drop),
        stage.store.commit(builders::changes()).await.map(drop),
    ] {
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(3));
    holder.rollback().await.unwrap();
    drop(held);
    assert_eq!(waiting.await.unwrap().unwrap(), Committed::Now);
    stage.store.ping().await.unwrap();
    stage.now(builders::changes()).await;
}

/// Covers: fault 65, fault 74, fault 75.
#[tokio::test]
async fn a_row_that_somebody_holds_on_to_is_waited_for_only_so_long() {
    let short = Duration::from_millis(150);
    let (lock, statement) = (
        PoolOptions { lock_timeout: short, ..PoolOptions::default() },
        PoolOptions { statement_timeout: short, ..PoolOptions::default() },
    );
    for (options, told) in [(lock, "conflict"), (statement, "unavailable")] {
        let stage = Stage::with(options).await;
        let (_, payment) = stage.started().await;
        let mut holder = stage.aside.begin().await.unwrap();
        holder.execute("UPDATE payments SET seen_at = now()").await.unwrap();
        let step = builders::Steps::step(&payment, builders::captured(&payment));
        let outcome = stage.store.commit(builders::changes().step(step.clone())).await;
        match told {
            "conflict" => assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}"),
            _ => assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}"),
        }
        holder.rollback().await.unwrap();
        stage.now(builders::changes().step(step)).await;
    }
}

/// Covers: fault 72.
#[tokio::test]
async fn a_server_that_only_reads_refuses_writes_cleanly() {
    let stage = Stage::new().await;
    let url = stage.db.url();
    let more = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{more}options=-c%20default_transaction_read_only%3Don");
    let store = Postgres::connect(&url, PoolOptions::default()).await.unwrap();
    for outcome in [
        store.receive(builders::inbox_event("evt_1")).await.map(drop),
        store.commit(builders::changes().step(builders::order().placed())).await.map(drop),
    ] {
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    }
    assert_eq!(store.order(new_id(time::OffsetDateTime::UNIX_EPOCH)).await.unwrap(), None);
}

/// Covers: fault 66, fault 73, fault 75.
#[tokio::test]
async fn connections_that_the_server_ended_are_replaced() {
    let stage = Stage::new().await;
    let (order, _) = stage.started().await;
    for _ in 0..3 {
        stage
            .run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND application_name = 'paywright'",
            )
            .await
            .unwrap();
        assert_eq!(stage.store.order(order.id).await.unwrap().as_ref(), Some(&order));
    }
}

/// Covers: fault 98.
#[tokio::test]
async fn an_address_without_a_server_is_unavailable_and_a_wrong_one_is_a_bug() {
    let nobody = Postgres::connect("postgres://nobody@127.0.0.1:1/none", PoolOptions::default()).await;
    assert!(matches!(nobody, Err(StoreError::Unavailable(_))), "{nobody:?}");
    let db = TestDb::new().await;
    let wrong = db.url().replacen("/paywright_test", "/no_paywright_test", 1);
    let wrong = Postgres::connect(&wrong, PoolOptions::default()).await;
    assert!(matches!(wrong, Err(StoreError::Bug(_))), "{wrong:?}");
    let unreadable = Postgres::connect("not an address", PoolOptions::default()).await;
    assert!(matches!(unreadable, Err(StoreError::Bug(_))), "{unreadable:?}");
}

/// Nobody waits for ever for a server that is not heard any more, and no place in a pool is lost to it.
///
/// Covers: fault 66, fault 70.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_heard_any_more_is_left_behind() {
    let stage = Stage::new().await;
    let (order, _) = stage.started().await;
    let (relay, url) = Relay::before(stage.db.url()).await.unwrap();
    let short = Duration::from_millis(300);
    let options =
        PoolOptions { max: 4, acquire_timeout: short, statement_timeout: short, ..PoolOptions::default() };
    let store = Postgres::connect(&url, options).await.unwrap();
    for way in [Way::Both, Way::Answers, Way::Questions] {
        assert_eq!(store.order(order.id).await.unwrap().as_ref(), Some(&order));
        let (event, lasting) = (builders::inbox_event(&format!("evt_{way:?}")), Duration::from_secs(8));
        relay.set(Fault::Hole(way));
        let begun = Instant::now();
        let asked = futures::join!(
            store.ping(),
            store.order(order.id),
            store.order_by_token("token"),
            store.receive(event.clone()),
            store.commit(builders::changes()),
        );
        let (ping, by_id, by_token, received, committed) = asked;
        for outcome in [ping, by_id.map(drop), by_token.map(drop), received.map(drop), committed.map(drop)] {
            assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{way:?}: {outcome:?}");
        }
        assert!(begun.elapsed() < lasting, "{way:?}: {:?}", begun.elapsed());

        relay.set(Fault::Healthy);
        let (begun, mut well) = (Instant::now(), 0);
        // More often in a row than there are connections.
        while well < 6 {
            let answers = futures::join!(store.ping(), store.order(order.id), store.receive(event.clone()));
            let is_well = answers.0.is_ok() && answers.1.is_ok() && answers.2.is_ok();
            well = if is_well { well + 1 } else { 0 };
            assert!(begun.elapsed() < lasting, "{way:?}: {answers:?}");
        }
    }
}

/// A session that only reads may be to a server that was replaced: it is not used again.
///
/// Covers: fault 72.
#[tokio::test]
async fn a_session_that_only_reads_is_left_behind() {
    let stage = Stage::new().await;
    let alter = async |to: &str| {
        let name: String =
            sqlx::query_scalar("SELECT current_database()").fetch_one(&stage.aside).await.unwrap();
        let sql = format!("ALTER DATABASE {name} SET default_transaction_read_only = {to}");
        stage.aside.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    };
    alter("on").await;
    // One session for each of the two pools.
    let options = PoolOptions { max: 2, ..PoolOptions::default() };
    let store = Postgres::connect(stage.db.url(), options).await.unwrap();
    assert!(store.is_read_only().await.unwrap());
    for outcome in [
        store.receive(builders::inbox_event("evt_1")).await.map(drop),
        store.commit(builders::changes()).await.map(drop),
        store.release_leases().await,
    ] {
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    }
    alter("off").await;
    store.receive(builders::inbox_event("evt_1")).await.unwrap();
    assert_eq!(store.commit(builders::changes()).await.unwrap(), Committed::Now);
    store.release_leases().await.unwrap();
}
