//! A relay between store and server that breaks on purpose.

use std::{
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex},
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};

/// What happens to the next connection that says COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trap {
    /// Nothing.
    Off,
    /// It is cut before the server hears of it.
    BeforeCommit,
    /// It is cut after the server did it; its answer is lost.
    AfterCommit,
    /// As before, and nobody gets through any more.
    AfterCommitAndThenDead,
    /// Nobody gets through.
    Dead,
}

/// The relay; gone with the runtime.
#[derive(Clone)]
pub(crate) struct Relay {
    trap: Arc<Mutex<Trap>>,
    target: Target,
}

#[derive(Clone)]
enum Target {
    Tcp(String),
    Socket(PathBuf),
}

impl Relay {
    /// Starts a relay to the server of `url`, and returns the address that leads through it.
    pub(crate) async fn before(url: &str) -> (Self, String) {
        let options = PgConnectOptions::from_str(url).unwrap();
        let target = match options.get_socket() {
            Some(dir) => Target::Socket(dir.join(format!(".s.PGSQL.{}", options.get_port()))),
            None => Target::Tcp(format!("{}:{}", options.get_host(), options.get_port())),
        };
        let relay = Self { trap: Arc::new(Mutex::new(Trap::Off)), target };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = relay.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serving.clone().connect(client));
            }
        });
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, database) = rest.split_once('/').unwrap();
        let user = authority.rsplit_once('@').map_or("postgres", |(user, _)| user);
        let database = database.split('?').next().unwrap();
        (relay, format!("{scheme}://{user}@{address}/{database}?sslmode=disable"))
    }

    pub(crate) fn set(&self, trap: Trap) {
        *self.trap.lock().unwrap() = trap;
    }

    /// `Off` after it snapped.
    pub(crate) fn trap(&self) -> Trap {
        *self.trap.lock().unwrap()
    }

    async fn connect(self, client: TcpStream) {
        if self.trap() == Trap::Dead {
            return;
        }
        match &self.target {
            Target::Tcp(address) => self.pass(client, TcpStream::connect(address).await.unwrap()).await,
            Target::Socket(path) => self.pass(client, UnixStream::connect(path).await.unwrap()).await,
        }
    }

    /// Passes bytes on until an end closes, or the trap snaps.
    async fn pass(&self, client: TcpStream, server: impl AsyncRead + AsyncWrite) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = tokio::io::split(server);
        let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            tokio::select! {
                read = from_client.read(&mut asked) => {
                    let Ok(1..) = read else { return };
                    let bytes = &asked[..read.unwrap()];
                    let trap = if bytes.windows(7).any(|w| w == b"COMMIT\0") { self.trap() } else { Trap::Off };
                    if self.trap() == Trap::Dead {
                        return;
                    }
                    if trap == Trap::BeforeCommit {
                        return self.set(Trap::Off);
                    }
                    to_server.write_all(bytes).await.unwrap();
                    if trap != Trap::Off {
                        // The server did it once it answers.
                        assert!(from_server.read(&mut answered).await.unwrap() > 0);
                        return self.set(if trap == Trap::AfterCommit { Trap::Off } else { Trap::Dead });
                    }
                }
                read = from_server.read(&mut answered) => {
                    let Ok(1..) = read else { return };
                    if to_client.write_all(&answered[..read.unwrap()]).await.is_err() { return }
                }
            }
        }
    }
}
