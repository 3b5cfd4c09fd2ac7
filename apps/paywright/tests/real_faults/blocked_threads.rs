//! Threads that do nothing but block.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::support::{KEY, TestApp, VISA};

/// Asks over a connection of its own, without any of the program's threads; the status.
fn ask(app: &TestApp, path: &str, patience: Duration) -> Option<u16> {
    let mut stream = TcpStream::connect(app.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).ok()?;
    str::from_utf8(&start[9..]).unwrap().parse().ok()
}

/// All threads that carry questions to the database are blocked for a while.
///
/// Covers: fault 97.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocked_threads_are_seen_in_health_and_lock_nothing_up() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let path = format!("/v1/orders/{order}");
    assert_eq!(ask(&app, "/readyz", Duration::from_secs(5)), Some(200));

    let (begun, blocked) = (Instant::now(), Duration::from_secs(8));
    for _ in 0..2 {
        tokio::spawn(async move { std::thread::sleep(blocked) });
    }
    std::thread::sleep(Duration::from_millis(200));
    let ready = ask(&app, "/readyz", Duration::from_secs(4));
    assert!(begun.elapsed() < blocked, "it was told too late");
    assert_ne!(ready, Some(200), "it says that it is ready");
    assert_eq!(ask(&app, "/healthz", Duration::from_secs(2)), Some(200), "it lives");
    // Who waits meanwhile is answered when the threads are free again.
    assert_eq!(ask(&app, &path, Duration::from_secs(20)), Some(200));
    assert_eq!(ask(&app, "/readyz", Duration::from_secs(5)), Some(200));

    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    app.until(&order, "paid").await;
    app.stop().await;
}
