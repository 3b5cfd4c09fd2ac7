//! Records each exchange as one line of JSON, for the checker of Stripe's published description.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::model::{Request, Response};

/// A file that many processes may append to: each line is one write.
#[derive(Debug)]
pub(super) struct Recorder(File);

impl Recorder {
    /// # Errors
    /// When the file cannot be opened for appending.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).append(true).open(path).map(Self)
    }

    /// Writes one exchange. A failure is logged: it must not fail the request.
    pub(super) fn write(&self, request: &Request, response: &Response) {
        let path = match request.query.as_str() {
            "" => request.path.clone(),
            query => format!("{}?{query}", request.path),
        };
        let body: Value = serde_json::from_str(&response.body).unwrap_or(Value::Null);
        let mut line = json!({
            "method": request.method.text(),
            "path": path,
            "request_body": Some(&request.body).filter(|body| !body.is_empty()),
            "status": response.status,
            "response_body": body,
        })
        .to_string();
        line.push('\n');
        if let Err(error) = (&self.0).write_all(line.as_bytes()) {
            tracing::warn!(%error, "could not record an exchange");
        }
    }
}
