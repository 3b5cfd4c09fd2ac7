//! Scheduled work: one at a time, whoever it is.

use paywright_postgres::Schedules;
use time::Duration;

use crate::stage::Stage;

const MINUTE: Duration = Duration::MINUTE;
const NONE: Duration = Duration::ZERO;

/// Covers: fault 93, I28.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_want_to_lead_one_does() {
    let stage = Stage::new().await;
    for _ in 0..5 {
        let claims = (0..8).map(|_| {
            let schedules = Schedules::new(&stage.store);
            tokio::spawn(async move { schedules.claim("sweep", MINUTE).await.unwrap() })
        });
        let claimed: Vec<_> =
            futures::future::join_all(claims).await.into_iter().flatten().flatten().collect();
        assert_eq!(claimed.len(), 1);
        Schedules::new(&stage.store).finish(&claimed[0], NONE, Ok(())).await.unwrap();
    }
    let other = Schedules::new(&stage.store).claim("another", MINUTE).await.unwrap();
    assert!(other.is_some(), "schedules know nothing of each other");
}

#[tokio::test]
async fn the_next_run_is_due_after_its_time_however_the_last_one_ended() {
    let stage = Stage::new().await;
    let schedules = Schedules::new(&stage.store);
    for outcome in [Ok(()), Err("no database\0")] {
        let run = schedules.claim("sweep", MINUTE).await.unwrap().unwrap();
        schedules.finish(&run, Duration::HOUR, outcome).await.unwrap();
        assert_eq!(schedules.claim("sweep", MINUTE).await.unwrap(), None);
        let told = "SELECT last_error IS NOT NULL AND every = interval '1 hour' AND last_finished_at >= last_started_at
                    FROM schedules";
        let failed: bool = sqlx::query_scalar(told).fetch_one(&stage.aside).await.unwrap();
        assert_eq!(failed, outcome.is_err());
        stage.run("UPDATE schedules SET due_at = now()").await.unwrap();
    }
    assert!(schedules.claim("sweep", MINUTE).await.unwrap().is_some());
}

/// Covers: fault 91, fault 92, I16.
#[tokio::test]
async fn who_lost_the_lease_can_neither_renew_nor_finish() {
    let stage = Stage::new().await;
    let schedules = Schedules::new(&stage.store);
    let zombie = schedules.claim("sweep", MINUTE).await.unwrap().unwrap();
    assert!(schedules.renew(&zombie, MINUTE).await.unwrap());
    assert_eq!(schedules.claim("sweep", MINUTE).await.unwrap(), None);
    // Its time is over, and nobody else has come yet: too late all the same.
    assert!(schedules.renew(&zombie, NONE).await.unwrap());
    assert!(!schedules.renew(&zombie, MINUTE).await.unwrap());
    let holder = schedules.claim("sweep", MINUTE).await.unwrap().unwrap();
    assert!(!schedules.renew(&zombie, MINUTE).await.unwrap());
    schedules.finish(&zombie, NONE, Ok(())).await.unwrap();
    assert_eq!(schedules.claim("sweep", MINUTE).await.unwrap(), None, "the holder still has it");
    assert!(schedules.renew(&holder, MINUTE).await.unwrap());
    schedules.finish(&holder, NONE, Ok(())).await.unwrap();
    assert!(!schedules.renew(&holder, MINUTE).await.unwrap());
}
