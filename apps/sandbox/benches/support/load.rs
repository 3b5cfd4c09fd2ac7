//! A bounded load generator: N tasks, each with one connection that is kept alive and one request under way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pairs::{CONFIRM, CREATE};

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) pairs: u128,
    pub(crate) took: Duration,
    /// Of single requests, sorted; at most a hundred thousand of each task.
    latencies: Vec<u32>,
}

impl Outcome {
    pub(crate) fn pairs_a_second(&self) -> u128 {
        self.pairs * 1_000 / self.took.as_millis().max(1)
    }

    /// Microseconds that `percent` of the requests did not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> u32 {
        let place = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(place).copied().unwrap_or_default()
    }
}

/// Creates and confirms payment_intents for some time.
pub(crate) async fn run(server: SocketAddr, tasks: usize, time: Duration) -> std::io::Result<Outcome> {
    let begun = Instant::now();
    let running: Vec<_> = (0..tasks).map(|_| tokio::spawn(pairs(server, begun + time))).collect();
    let (mut count, mut latencies) = (0, Vec::new());
    for task in running {
        let (made, seen) = task.await.map_err(std::io::Error::other)??;
        count += made;
        latencies.extend(seen);
    }
    latencies.sort_unstable();
    Ok(Outcome { pairs: count, took: begun.elapsed(), latencies })
}

async fn pairs(server: SocketAddr, until: Instant) -> std::io::Result<(u128, Vec<u32>)> {
    const LATENCIES_MAX: usize = 100_000;
    let mut connection = Connection::open(server).await?;
    let (mut count, mut latencies) = (0, Vec::new());
    while Instant::now() < until {
        let begun = Instant::now();
        let id = connection.post("/v1/payment_intents", CREATE).await?;
        let between = Instant::now();
        connection.post(&format!("/v1/payment_intents/{id}/confirm"), CONFIRM).await?;
        if latencies.len() < LATENCIES_MAX {
            let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
            latencies.extend([micros(between - begun), micros(between.elapsed())]);
        }
        count += 1;
    }
    Ok((count, latencies))
}

/// One connection, kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Posts a form; answers the id of what came back.
    pub(crate) async fn post(&mut self, path: &str, form: &str) -> std::io::Result<String> {
        let body = self.exchange(path, form).await?;
        let text = String::from_utf8_lossy(&body);
        let id = text.split_once("\"id\":\"").and_then(|(_, rest)| rest.split_once('"'));
        Ok(id.map(|(id, _)| id.to_owned()).unwrap_or_default())
    }

    /// Posts a form; answers the body.
    pub(crate) async fn exchange(&mut self, path: &str, form: &str) -> std::io::Result<Vec<u8>> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer sk_test_bench\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let (head, length) = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break (head + 4, length(&self.buffer[..head])?);
            }
        };
        while self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer[head..].to_vec())
    }
}

/// The length of the body, from the head of an answer that must be a 200.
fn length(head: &[u8]) -> std::io::Result<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(std::io::Error::other(head));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.trim().parse().ok()).ok_or_else(|| std::io::Error::other("no length"))
}
