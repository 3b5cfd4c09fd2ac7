//! A bounded load generator over HTTP/1.1: each client has one connection that is kept alive and one request under
//! way. Written out, since a library's client would take most of the two cores that it shares with what it measures.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One connection, kept alive.
pub(crate) struct Connection {
    server: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
    authorization: String,
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr, key: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).await.with_context(|| format!("connecting to {server}"))?;
        stream.set_nodelay(true)?;
        let authorization = format!("Bearer {key}");
        Ok(Self { server, stream, buffer: Vec::with_capacity(16 * 1024), authorization })
    }

    /// Posts a body; answers that of a 2xx.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        kind: &str,
        more: &str,
        body: &str,
    ) -> anyhow::Result<&str> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Type: {kind}\r\n{more}\
             Content-Length: {}\r\n\r\n{body}",
            self.server,
            self.authorization,
            body.len()
        );
        self.exchange(request.as_bytes()).await.with_context(|| path.to_owned())
    }

    /// Sends a whole request; answers the body of a 2xx.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<&str> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection was closed");
            if let Some(head) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break head + 4;
            }
        };
        let (status, length) = read_head(std::str::from_utf8(&self.buffer[..head])?)?;
        while self.buffer.len() < head + length {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection was closed");
        }
        let text = std::str::from_utf8(&self.buffer[head..])?;
        ensure!((200..300).contains(&status), "{status} {text}");
        Ok(text)
    }
}

/// Status and length of the body.
fn read_head(head: &str) -> anyhow::Result<(u16, usize)> {
    let status = head.get(9..12).context("no status")?.parse()?;
    for line in head.lines() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok((status, value.trim().parse()?));
        }
    }
    bail!("an answer without a length")
}

/// A string field of a JSON text, without parsing the rest.
pub(crate) fn field<'a>(json: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let start = json.find(&format!("\"{name}\":\"")).with_context(|| format!("no {name} in {json}"))?;
    let value = &json[start + name.len() + 4..];
    value.split('"').next().context("an unfinished text")
}

/// How long things took, in microseconds.
#[derive(Default)]
pub(crate) struct Times(Vec<u64>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Microseconds that `per_mille` of them did not exceed.
    pub(crate) fn percentile(&mut self, per_mille: usize) -> u64 {
        self.0.sort_unstable();
        let place = (self.0.len() * per_mille / 1000).min(self.0.len().saturating_sub(1));
        self.0.get(place).copied().unwrap_or_default()
    }
}

/// When the next request of an open load is due: `rate` a second over all clients, evenly.
pub(crate) struct Pace {
    begun: Instant,
    between: Duration,
    next: std::sync::atomic::AtomicU32,
}

impl Pace {
    pub(crate) fn new(rate: u32) -> Self {
        let between = Duration::from_secs(1) / rate.max(1);
        Self { begun: Instant::now(), between, next: std::sync::atomic::AtomicU32::new(0) }
    }

    /// The moment of the next one, whoever takes it. Latency counts from there, so that a server which stalls is not
    /// spared the requests that it delays.
    pub(crate) fn next(&self) -> Instant {
        let turn = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.begun + self.between * turn
    }
}
