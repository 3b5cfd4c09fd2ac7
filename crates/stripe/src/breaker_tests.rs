use super::*;

const PAUSE: Duration = Duration::from_secs(5);

fn answer(status: u16) -> Result<Reply, Failure> {
    Ok(Reply { status, ..Reply::default() })
}

fn send(breaker: &Breaker, outcome: Result<Reply, Failure>) {
    let leave = breaker.enter().unwrap();
    breaker.learn(&leave, &outcome);
}

fn opened() -> Breaker {
    let breaker = Breaker::new(PAUSE);
    for _ in 0..FAILURES_MIN {
        send(&breaker, answer(503));
    }
    breaker
}

/// Covers: fault 1, fault 29.
#[tokio::test(start_paused = true)]
async fn a_run_of_failures_of_any_kind_opens_it() {
    let failures: [fn() -> Result<Reply, Failure>; 4] = [
        || answer(500),
        || Err(Failure::NotSent("refused".into())),
        || Err(Failure::Deadline(PAUSE)),
        || Err(Failure::Broken("reset".into())),
    ];
    for failure in failures {
        let breaker = Breaker::new(PAUSE);
        for _ in 0..FAILURES_MIN {
            assert!(breaker.check().is_ok());
            send(&breaker, failure());
        }
        assert!(breaker.check().is_err() && breaker.enter().is_err());
    }
}

/// Covers: fault 18, fault 19, fault 20.
#[tokio::test(start_paused = true)]
async fn refusals_declines_and_stored_failures_are_no_sign_of_an_outage() {
    let breaker = Breaker::new(PAUSE);
    for status in [400, 401, 402, 403, 404, 409, 429] {
        for _ in 0..2 * FAILURES_MIN {
            send(&breaker, answer(status));
        }
    }
    for _ in 0..WINDOW_MAX {
        send(&breaker, Ok(Reply { status: 500, replayed: true, ..Reply::default() }));
    }
    assert!(breaker.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn failures_among_more_answers_and_those_long_ago_do_not_open_it() {
    let breaker = Breaker::new(PAUSE);
    for _ in 0..WINDOW_MAX {
        send(&breaker, answer(200));
        send(&breaker, answer(200));
        send(&breaker, answer(500));
    }
    assert!(breaker.check().is_ok());
    let breaker = Breaker::new(PAUSE);
    for _ in 0..2 * FAILURES_MIN {
        send(&breaker, answer(500));
        tokio::time::advance(WINDOW / 3).await;
    }
    assert!(breaker.check().is_ok());
}

/// Covers: fault 29, fault 30.
#[tokio::test(start_paused = true)]
async fn one_call_in_each_pause_finds_out_until_one_is_answered() {
    let breaker = opened();
    for _ in 0..3 {
        let Open { after } = breaker.enter().unwrap_err();
        assert_eq!(after, PAUSE);
        tokio::time::advance(PAUSE).await;
        let probe = breaker.enter().unwrap();
        assert!(breaker.enter().is_err());
        breaker.learn(&probe, &answer(502));
    }
    tokio::time::advance(PAUSE).await;
    send(&breaker, answer(402));
    assert!(breaker.enter().is_ok() && breaker.enter().is_ok());
}

/// Covers: fault 29.
#[tokio::test(start_paused = true)]
async fn a_probe_that_is_never_heard_of_again_does_not_keep_it_open() {
    let breaker = opened();
    tokio::time::advance(PAUSE).await;
    breaker.enter().unwrap();
    tokio::time::advance(PAUSE).await;
    send(&breaker, answer(200));
    assert!(breaker.enter().is_ok());
}

/// Covers: fault 29.
#[tokio::test(start_paused = true)]
async fn silence_counts_once_and_an_answer_of_before_closes_nothing() {
    let breaker = Breaker::new(PAUSE);
    let mut leaves: Vec<_> = (0..FAILURES_MIN).map(|_| breaker.enter().unwrap()).collect();
    let (last, rest) = leaves.split_last_mut().unwrap();
    for leave in rest {
        breaker.silent(leave);
        breaker.learn(leave, &Err(Failure::Deadline(PAUSE)));
    }
    assert!(breaker.check().is_ok());
    breaker.silent(last);
    assert!(breaker.check().is_err());
    breaker.learn(last, &answer(200));
    assert!(breaker.check().is_err());
}
