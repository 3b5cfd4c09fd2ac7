//! The load: events posted by so many connections, as fast as they are answered or at a pace.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::events::Mail;
use crate::load::{Connection, Pace, Times};
use crate::table::Sample;

/// What became of a load. All of it was answered with success, else there is none.
pub(super) struct Delivered {
    pub(super) times: Times,
    pub(super) took: Duration,
}

/// Posts events until the time is up or none is left.
pub(super) async fn deliver(
    server: SocketAddr,
    mail: &Arc<Mail>,
    connections: u32,
    time: Option<Duration>,
    rate: Option<u32>,
) -> anyhow::Result<Delivered> {
    let (begun, pace) = (Instant::now(), rate.map(|rate| Arc::new(Pace::new(rate))));
    let until = time.map(|time| begun + time);
    let running: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(one_sender(server, Arc::clone(mail), until, pace.clone())))
        .collect();
    let mut times = Times::default();
    for sender in running {
        times.merge(sender.await??);
    }
    Ok(Delivered { times, took: begun.elapsed() })
}

async fn one_sender(
    server: SocketAddr,
    mail: Arc<Mail>,
    until: Option<Instant>,
    pace: Option<Arc<Pace>>,
) -> anyhow::Result<Times> {
    let mut connection = Connection::open(server, "").await?;
    let (mut times, mut request, mut body) = (Times::default(), Vec::new(), Vec::new());
    loop {
        let turn = pace.as_ref().map(|pace| pace.next());
        let is_over = until.is_some_and(|until| turn.unwrap_or_else(Instant::now) >= until);
        if is_over || !mail.next(&mut request, &mut body) {
            return Ok(times);
        }
        if let Some(turn) = turn {
            tokio::time::sleep_until(turn.into()).await;
        }
        let begun = turn.unwrap_or_else(Instant::now);
        connection.exchange(&request).await?;
        times.add(begun.elapsed());
    }
}

impl Delivered {
    pub(super) fn count(&self) -> usize {
        self.times.count()
    }

    /// The rate and the times.
    pub(super) fn sample(mut self) -> Sample {
        Sample {
            per_second: Some(per_second(self.count(), self.took)),
            p50: Some(self.times.percentile(500)),
            p99: Some(self.times.percentile(990)),
            ..Sample::default()
        }
    }
}

pub(super) fn per_second(count: usize, time: Duration) -> u64 {
    u64::try_from(count as u128 * 1000 / time.as_millis().max(1)).unwrap_or(u64::MAX)
}
