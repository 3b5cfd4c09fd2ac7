//! A relay in front of a PostgreSQL server that breaks on purpose, for tests.
//!
//! It passes bytes on, and understands of the protocol only what a fault needs: where a statement commits, and where its
//! answer ends. Source: <https://www.postgresql.org/docs/current/protocol-message-formats.html>

mod wire;

use std::{
    io,
    path::PathBuf,
    str::FromStr as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

use self::wire::{Answers, Questions};

/// What goes wrong from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Healthy,
    /// Answers come so much later, and up to `jitter` later than that.
    Late {
        /// At least.
        by: Duration,
        /// At most in addition.
        jitter: Duration,
    },
    /// Nothing arrives, and nobody is told. A connection that lost something stays silent when the relay is healed.
    Hole(Way),
    /// Each connection is reset when so many more bytes were passed on.
    CutAfter(Way, usize),
    /// Every connection is reset, and whoever connects as well.
    Reset,
    /// The next commit of this kind is not passed on, and its connection is reset. Then all is well.
    BeforeCommit(Commit),
    /// The server does the next commit of this kind, and its answer is lost. Then all is well.
    AfterCommit(Commit, Then),
}

/// Where bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the server.
    Questions,
    /// To the client.
    Answers,
    /// To both.
    Both,
}

/// What commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// `COMMIT`: decisions, see `commit.rs`.
    Decisions,
    /// The one statement that stores events, see `intake.rs`.
    Events,
}

/// What becomes of a connection that lost the answer to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is reset.
    Reset,
    /// It stays open, and silent.
    Silence,
    /// It is reset, and so are all others from then on.
    ResetAll,
}

/// The relay; gone with the runtime.
#[derive(Debug, Clone)]
pub struct Relay {
    fault: watch::Sender<Fault>,
    struck: watch::Sender<usize>,
    target: Arc<Mutex<Target>>,
}

#[derive(Debug, Clone)]
enum Target {
    Tcp(String),
    Socket(PathBuf),
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// One of the two closed it.
    Closed,
    Reset,
}

impl Relay {
    /// Starts a relay to the server of `url`, and returns the address that leads through it.
    ///
    /// # Errors
    /// When the address cannot be read, or there is no port to listen on.
    pub async fn before(url: &str) -> io::Result<(Self, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let relay = Self {
            fault: watch::Sender::new(Fault::Healthy),
            struck: watch::Sender::new(0),
            target: Arc::new(Mutex::new(Target::of(url)?)),
        };
        let serving = relay.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let relay = serving.clone();
                // An error is an end of one of the two; dropping both ends tells the other.
                tokio::spawn(async move { relay.serve(client).await.ok() });
            }
        });
        let options = PgConnectOptions::from_str(url).map_err(io::Error::other)?;
        let (user, database) = (options.get_username(), options.get_database().unwrap_or_default());
        Ok((relay, format!("postgres://{user}@{address}/{database}?sslmode=disable")))
    }

    /// From now on whoever connects gets to the server of this address.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn lead_to(&self, url: &str) -> io::Result<()> {
        *self.target() = Target::of(url)?;
        Ok(())
    }

    /// Makes something go wrong, or nothing any more.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// What goes wrong now.
    pub fn fault(&self) -> Fault {
        *self.fault.borrow()
    }

    /// How many commits met their fault.
    pub fn struck(&self) -> usize {
        *self.struck.borrow()
    }

    fn target(&self) -> MutexGuard<'_, Target> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let target = self.target().clone();
        let end = match (self.fault(), target) {
            (Fault::Reset, _) => End::Reset,
            (_, Target::Tcp(address)) => self.pass(&mut client, TcpStream::connect(address).await?).await,
            (_, Target::Socket(path)) => self.pass(&mut client, UnixStream::connect(path).await?).await,
        };
        if end == End::Reset {
            client.set_zero_linger()?;
        }
        Ok(())
    }

    async fn pass(&self, client: &mut TcpStream, server: impl AsyncRead + AsyncWrite) -> End {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = tokio::io::split(server);
        let lost_commit = Mutex::new(None);
        let questions = Pump { relay: self, way: Way::Questions, passed: 0, deaf: false };
        let answers = Pump { way: Way::Answers, ..questions.clone() };
        let end = tokio::select! {
            end = questions.questions(&mut from_client, &mut to_server, &lost_commit) => end,
            end = answers.answers(&mut from_server, &mut to_client, &lost_commit) => end,
            () = self.reset() => Ok(End::Reset),
        };
        end.unwrap_or(End::Closed)
    }

    async fn reset(&self) {
        // The sender is ours: it never ends.
        let _ = self.fault.subscribe().wait_for(|fault| *fault == Fault::Reset).await;
    }

    /// Ends a fault that is for one commit, if nobody else was faster.
    fn snap(&self, trap: Fault) -> bool {
        self.fault.send_if_modified(|fault| {
            let set = *fault == trap;
            if set {
                *fault = Fault::Healthy;
            }
            set
        })
    }

    fn strike(&self) {
        self.struck.send_modify(|struck| *struck += 1);
    }
}

impl Target {
    fn of(url: &str) -> io::Result<Self> {
        let options = PgConnectOptions::from_str(url).map_err(io::Error::other)?;
        Ok(match options.get_socket() {
            Some(dir) => Self::Socket(dir.join(format!(".s.PGSQL.{}", options.get_port()))),
            None => Self::Tcp(format!("{}:{}", options.get_host(), options.get_port())),
        })
    }
}

impl Way {
    fn covers(self, way: Self) -> bool {
        self == Self::Both || self == way
    }
}

/// One direction of one connection.
#[derive(Clone)]
struct Pump<'a> {
    relay: &'a Relay,
    way: Way,
    /// Bytes since the fault that counts them was set.
    passed: usize,
    /// Something was lost, so that nothing after it means anything.
    deaf: bool,
}

impl Pump<'_> {
    async fn questions(
        mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        lost_commit: &Mutex<Option<Then>>,
    ) -> io::Result<End> {
        let (mut buffer, mut wire) = (vec![0; 65_536], Questions::default());
        loop {
            let read = from.read(&mut buffer).await?;
            let bytes = &buffer[..read];
            if bytes.is_empty() {
                return self.closed().await;
            }
            let commit = wire.read(bytes);
            match (self.relay.fault(), commit) {
                (trap @ Fault::BeforeCommit(wanted), Some(commit))
                    if wanted == commit && self.relay.snap(trap) =>
                {
                    self.relay.strike();
                    return Ok(End::Reset);
                }
                (trap @ Fault::AfterCommit(wanted, then), Some(commit))
                    if wanted == commit && self.relay.snap(trap) =>
                {
                    *lost_commit.lock().unwrap_or_else(PoisonError::into_inner) = Some(then);
                }
                _ => {}
            }
            if let Some(end) = self.pass(bytes, to).await? {
                return Ok(end);
            }
        }
    }

    async fn answers(
        mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        lost_commit: &Mutex<Option<Then>>,
    ) -> io::Result<End> {
        let (mut buffer, mut wire) = (vec![0; 65_536], Answers::default());
        loop {
            let read = from.read(&mut buffer).await?;
            let bytes = &buffer[..read];
            if bytes.is_empty() {
                return self.closed().await;
            }
            let is_over = wire.read(bytes);
            let lost = *lost_commit.lock().unwrap_or_else(PoisonError::into_inner);
            match lost {
                None => {}
                Some(_) if !is_over => continue,
                Some(then) => {
                    self.relay.strike();
                    match then {
                        Then::Silence => self.deaf = true,
                        Then::Reset => return Ok(End::Reset),
                        Then::ResetAll => {
                            self.relay.set(Fault::Reset);
                            return Ok(End::Reset);
                        }
                    }
                }
            }
            if let Some(end) = self.pass(bytes, to).await? {
                return Ok(end);
            }
        }
    }

    /// Passes bytes on, as far as the fault lets them.
    async fn pass(&mut self, bytes: &[u8], to: &mut (impl AsyncWrite + Unpin)) -> io::Result<Option<End>> {
        let mut part = bytes;
        match self.relay.fault() {
            Fault::Hole(way) if way.covers(self.way) => self.deaf = true,
            Fault::CutAfter(way, most) if way.covers(self.way) => {
                part = &bytes[..bytes.len().min(most.saturating_sub(self.passed))];
                self.passed += part.len();
            }
            Fault::Late { by, jitter } if self.way == Way::Answers => {
                let spread = u32::try_from(bytes.len() * 7 % 11).unwrap_or_default();
                tokio::time::sleep(by + jitter * spread / 10).await;
            }
            Fault::Healthy | Fault::BeforeCommit(_) | Fault::AfterCommit(..) => self.passed = 0,
            Fault::Hole(_) | Fault::CutAfter(..) | Fault::Late { .. } | Fault::Reset => {}
        }
        if self.deaf {
            return Ok(None);
        }
        to.write_all(part).await?;
        Ok((part.len() < bytes.len()).then_some(End::Reset))
    }

    /// An end that nobody hears of does not end the other side while there is a hole between.
    async fn closed(&self) -> io::Result<End> {
        let is_open = |fault: &Fault| !matches!(fault, Fault::Hole(way) if way.covers(self.way));
        let _ = self.relay.fault.subscribe().wait_for(is_open).await;
        Ok(End::Closed)
    }
}
