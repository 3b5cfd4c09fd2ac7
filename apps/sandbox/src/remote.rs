//! Talks to a running sandbox: what `state export`, `state import` and `reset` do.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

/// A running sandbox, by its address.
pub(crate) struct Remote {
    url: String,
    client: reqwest::Client,
}

impl Remote {
    /// # Errors
    /// When the address is none.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let plain = url.trim_end_matches('/');
        if !plain.starts_with("http://") && !plain.starts_with("https://") {
            bail!("--url wants an address like http://127.0.0.1:12111, not {url:?}");
        }
        // A state of hundreds of megabytes takes its time.
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(300))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { url: plain.to_owned(), client })
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// When no sandbox answers there.
    pub(crate) async fn reset(&self) -> anyhow::Result<()> {
        self.send(self.client.post(format!("{}/_sandbox/reset", self.url))).await.map(drop)
    }

    /// Writes the state to a file, or to the standard output; answers its size.
    ///
    /// # Errors
    /// When no sandbox answers there, or the file cannot be written: the file is then as it was.
    pub(crate) async fn export(&self, file: &Path) -> anyhow::Result<usize> {
        let state = self.send(self.client.get(format!("{}/_sandbox/state", self.url))).await?;
        if file.as_os_str() == "-" {
            std::io::stdout().write_all(&state)?;
            return Ok(state.len());
        }
        let mut fresh = file.as_os_str().to_owned();
        fresh.push(".new");
        let written = std::fs::write(&fresh, &state).and_then(|()| std::fs::rename(&fresh, file));
        written.with_context(|| format!("cannot write {}", file.display()))?;
        Ok(state.len())
    }

    /// Replaces the state by that of a file, or of the standard input.
    ///
    /// # Errors
    /// When the file cannot be read or holds no state, or no sandbox answers: nothing has changed then.
    pub(crate) async fn import(&self, file: &Path) -> anyhow::Result<()> {
        let state = read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.send(self.client.post(format!("{}/_sandbox/state", self.url)).body(state)).await.map(drop)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Vec<u8>> {
        let unanswered = || format!("no sandbox answers at {}; is it running there?", self.url);
        let response = request.send().await.with_context(unanswered)?;
        let status = response.status();
        let body = response.bytes().await.with_context(unanswered)?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let reason = body["error"]["message"].as_str().unwrap_or("is a sandbox running there?");
        bail!("{} answered {status}: {reason}", self.url)
    }
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file.as_os_str() != "-" {
        return std::fs::read(file);
    }
    let mut state = Vec::new();
    std::io::stdin().read_to_end(&mut state)?;
    Ok(state)
}
