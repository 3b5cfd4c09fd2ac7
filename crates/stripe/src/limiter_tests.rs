use super::*;

const CREATE: &str = "POST /v1/payment_intents";

fn in_seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

fn refused(limiter: Option<&str>, retry_after: Option<u64>, code: &str) -> Reply {
    Reply {
        status: 429,
        limited_by: limiter.map(str::to_owned),
        retry_after: retry_after.map(Duration::from_secs),
        body: format!(r#"{{"error":{{"type":"invalid_request_error","code":"{code}"}}}}"#).into_bytes(),
        ..Reply::default()
    }
}

/// The moments, in ms, at which `n` callers who come together get their places.
async fn moments(limiter: &Arc<Limiter>, n: usize, endpoint: fn(usize) -> String) -> Vec<u128> {
    let begin = Instant::now();
    let callers = (0..n).map(|n| {
        let limiter = Arc::clone(limiter);
        tokio::spawn(async move {
            limiter.place(&endpoint(n), in_seconds(3600)).await.unwrap();
            begin.elapsed().as_millis()
        })
    });
    let mut moments = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        moments.push(caller.await.unwrap());
    }
    moments.sort_unstable();
    moments
}

/// The most that fall within one second.
fn busiest_second(moments: &[u128]) -> usize {
    let within = |from: &u128| moments.iter().filter(|at| (*from..from + 1000).contains(at)).count();
    moments.iter().map(within).max().unwrap_or(0)
}

/// Covers: fault 30.
#[tokio::test(start_paused = true)]
async fn a_crowd_is_let_through_at_the_pace_of_the_whole() {
    let limiter = Arc::new(Limiter::new(100, 0));
    tokio::time::advance(Duration::from_secs(600)).await;
    let moments = moments(&limiter, 1000, |n| format!("GET /v1/{n}")).await;
    assert!(busiest_second(&moments) <= 110, "{}", busiest_second(&moments));
    assert!((9_500..=10_500).contains(moments.last().unwrap()), "{:?}", moments.last());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_has_its_own_pace_and_does_not_slow_the_others() {
    let limiter = Arc::new(Limiter::new(100, 25));
    let one = moments(&limiter, 100, |_| CREATE.to_owned()).await;
    assert!(busiest_second(&one) <= 27);
    let four = moments(&limiter, 100, |n| format!("GET /v1/{}", n % 4)).await;
    assert!(four.last() < Some(&1_500), "{four:?}");
}

#[tokio::test(start_paused = true)]
async fn zero_is_any_number() {
    let limiter = Arc::new(Limiter::new(0, 0));
    assert_eq!(moments(&limiter, 1000, |_| CREATE.to_owned()).await.last(), Some(&0));
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_gives_up() {
    let limiter = Limiter::new(1, 0);
    limiter.place(CREATE, in_seconds(5)).await.unwrap();
    let until = Instant::now() + Duration::from_millis(500);
    assert!(limiter.place(CREATE, until).await.is_err());
    limiter.place(CREATE, in_seconds(5)).await.unwrap();
}

/// Covers: fault 11.
#[tokio::test(start_paused = true)]
async fn a_refusal_by_a_limiter_pauses_everybody() {
    for (limited_by, retry_after) in [(Some("global-rate"), 3), (Some("endpoint-concurrency"), 3), (None, 3)]
    {
        let limiter = Limiter::new(100, 25);
        limiter.learn(&refused(limited_by, Some(retry_after), "rate_limit"));
        let begin = Instant::now();
        limiter.place("GET /v1/events", in_seconds(10)).await.unwrap();
        let paused = begin.elapsed();
        assert!((3_000..=4_100).contains(&paused.as_millis()), "{paused:?}");
    }
}

/// Covers: fault 11.
#[tokio::test(start_paused = true)]
async fn a_pause_longer_than_the_patience_is_not_waited_for() {
    let limiter = Limiter::new(100, 25);
    limiter.learn(&refused(Some("global-rate"), Some(60), "rate_limit"));
    limiter.learn(&refused(Some("global-rate"), None, "rate_limit"));
    let begin = Instant::now();
    let Crowded { after } = limiter.place(CREATE, in_seconds(5)).await.unwrap_err();
    assert!(after > Duration::from_secs(59) && begin.elapsed() < Duration::from_secs(1), "{after:?}");
    tokio::time::advance(after).await;
    limiter.place(CREATE, in_seconds(5)).await.unwrap();
}

/// Covers: fault 12.
#[tokio::test(start_paused = true)]
async fn a_refusal_about_one_object_pauses_nobody() {
    let limiter = Limiter::new(100, 25);
    limiter.learn(&refused(None, None, "lock_timeout"));
    limiter.learn(&refused(Some("resource-specific"), Some(60), "rate_limit"));
    limiter.learn(&Reply { status: 503, retry_after: Some(Duration::from_secs(60)), ..Reply::default() });
    limiter.place(CREATE, Instant::now()).await.unwrap();
}
