//! The few bytes of PostgreSQL's protocol that a cluster needs to run statements as its own superuser.
//!
//! Enough for `CREATE DATABASE` and for feeding a migration file, over a Unix socket with trust
//! authentication, results ignored. A driver would be a second one beside sqlx, or sqlx itself in the tool
//! that prepares sqlx's query cache.
//!
//! Source: <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The longest message accepted; the server's are errors, notices and rows nobody asked for.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

#[derive(Debug)]
pub(crate) enum WireError {
    Io(io::Error),
    Sql { code: String, message: String },
}

impl From<io::Error> for WireError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

pub(crate) struct Session(BufReader<UnixStream>);

impl Session {
    /// Connects and waits until the server is ready for a query.
    pub(crate) fn open(socket: &Path, user: &str, database: &str) -> Result<Self, WireError> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut session = Self(BufReader::new(stream));
        let mut body = 196_608_u32.to_be_bytes().to_vec(); // protocol 3.0
        for word in ["user", user, "database", database, "application_name", "pg-local"] {
            body.extend_from_slice(word.as_bytes());
            body.push(0);
        }
        body.push(0);
        session.send(None, &body)?;
        session.until_ready()?;
        session.0.get_ref().set_read_timeout(None)?; // a statement may take as long as it takes
        Ok(session)
    }

    /// Runs one or more statements; as one transaction, unless they say otherwise.
    pub(crate) fn execute(&mut self, sql: &str) -> Result<(), WireError> {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)?;
        self.until_ready()
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.0.get_mut().write_all(&message)
    }

    /// Reads until the server waits for us. The first error wins; a fatal one is followed by the end of
    /// the stream instead.
    fn until_ready(&mut self) -> Result<(), WireError> {
        let mut failure = None;
        loop {
            match (self.receive(), &failure) {
                (Err(_), Some(_)) | (Ok((b'Z', _)), _) => return failure.map_or(Ok(()), Err),
                (Err(e), None) => return Err(e.into()),
                (Ok((b'E', body)), None) => failure = Some(error_fields(&body)),
                (Ok((b'R', body)), _) if body != [0; 4] => return Err(unsupported("a password")),
                (Ok((b'G' | b'H' | b'W', _)), _) => return Err(unsupported("COPY")),
                (Ok(_), _) => {}
            }
        }
    }

    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length - 4];
        self.0.read_exact(&mut body)?;
        Ok((head[0], body))
    }
}

fn unsupported(what: &str) -> WireError {
    WireError::Io(io::Error::other(format!("the server asked for {what}, which is not supported here")))
}

/// An error message is a list of fields: one letter, then text up to a zero byte.
fn error_fields(body: &[u8]) -> WireError {
    let field = |letter: u8| {
        let found = body.split(|b| *b == 0).find(|f| f.first() == Some(&letter));
        found.map_or_else(String::new, |f| String::from_utf8_lossy(&f[1..]).into_owned())
    };
    WireError::Sql { code: field(b'C'), message: field(b'M') }
}
