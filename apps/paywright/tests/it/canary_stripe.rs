//! A Stripe that has gone mad: it refuses everything and repeats what it was told, credentials included.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicUsize, Ordering},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The mad one; gone with the runtime.
pub(crate) struct Echo {
    pub(crate) address: String,
    status: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (status, asked) = (Arc::new(AtomicU16::new(500)), Arc::<AtomicUsize>::default());
        let (told, counted) = (Arc::clone(&status), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(answer(client, Arc::clone(&told), Arc::clone(&counted)));
            }
        });
        Self { address, status, asked }
    }

    /// What it answers from now on; 200 is a page of HTML.
    pub(crate) fn says(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn answer(mut client: TcpStream, status: Arc<AtomicU16>, asked: Arc<AtomicUsize>) -> Option<()> {
    let mut request = Vec::new();
    loop {
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        asked.fetch_add(1, Ordering::Relaxed);
        let status = status.load(Ordering::Relaxed);
        let answer = match status {
            200 => format!("<html><body>Who sent {text}?</body></html>"),
            _ => json!({"error": {
                "type": "invalid_request_error", "code": "resource_missing", "param": "customer_email",
                "message": format!("You sent {text}"), "request_log_url": format!("https://example.org/{text}"),
            }})
            .to_string(),
        };
        let head = format!(
            "HTTP/1.1 {status} Odd\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        client.write_all((head + &answer).as_bytes()).await.ok()?;
        return Some(());
    }
}
