//! A relay in front of a server that stays where it is while the server behind it comes and goes, and that can keep a
//! request, or its answer, to itself.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What is kept from its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The request; the server never hears of it, unless it is let go.
    Request,
    /// The answer; the server has done it.
    Answer,
}

/// The relay; gone with the runtime.
#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    snapped: watch::Sender<bool>,
    let_go: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// The servers, by turns.
    behind: VecDeque<String>,
    trap: Option<(Keep, String)>,
}

impl Relay {
    /// A relay with nobody behind it yet.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let relay = Self {
            url,
            state: Arc::default(),
            snapped: watch::Sender::new(false),
            let_go: watch::Sender::new(false),
        };
        let serving = relay.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let relay = serving.clone();
                // An error is an end of one of the two; dropping both ends tells the other.
                tokio::spawn(async move { relay.pass(client).await.ok() });
            }
        });
        relay
    }

    /// From now on these servers, `127.0.0.1:1234`, are behind it. Without one, connections are closed at once.
    pub(crate) fn lead_to(&self, servers: &[&str]) {
        self.state.lock().unwrap().behind = servers.iter().map(|&server| server.to_owned()).collect();
    }

    /// Keeps the first request whose first line starts so, or its answer.
    pub(crate) fn set_trap(&self, keep: Keep, request: &str) {
        self.snapped.send_replace(false);
        self.state.lock().unwrap().trap = Some((keep, request.to_owned()));
    }

    /// Waits until the trap has caught something.
    pub(crate) async fn caught(&self) {
        self.snapped.subscribe().wait_for(|snapped| *snapped).await.unwrap();
    }

    /// Lets go what was caught.
    pub(crate) fn let_go(&self) {
        self.let_go.send_replace(true);
    }

    /// Whether these bytes are what the trap waits for; it catches only once.
    fn catches(&self, bytes: &[u8]) -> Option<Keep> {
        let trap = &mut self.state.lock().unwrap().trap;
        trap.take_if(|(_, request)| bytes.starts_with(request.as_bytes())).map(|(keep, _)| keep)
    }

    async fn kept(&self) {
        self.snapped.send_replace(true);
        self.let_go.subscribe().wait_for(|go| *go).await.unwrap();
    }

    /// Passes bytes on until an end closes.
    async fn pass(&self, mut client: TcpStream) -> std::io::Result<()> {
        let target = {
            let behind = &mut self.state.lock().unwrap().behind;
            behind.rotate_left(usize::from(!behind.is_empty()));
            behind.back().cloned()
        };
        let Some(target) = target else { return Ok(()) };
        let mut server = TcpStream::connect(target).await?;
        let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
        let mut keeps_answer = false;
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let bytes = &asked[..read?];
                    if bytes.is_empty() { return Ok(()) }
                    match self.catches(bytes) {
                        Some(Keep::Request) => self.kept().await,
                        Some(Keep::Answer) => keeps_answer = true,
                        None => {}
                    }
                    server.write_all(bytes).await?;
                }
                read = server.read(&mut answered) => {
                    let bytes = &answered[..read?];
                    if bytes.is_empty() { return Ok(()) }
                    if std::mem::take(&mut keeps_answer) {
                        self.kept().await;
                    }
                    client.write_all(bytes).await?;
                }
            }
        }
    }
}

/// Waits until something is so, at most a minute.
pub(crate) async fn until<T, Fut>(what: &str, look: impl FnMut() -> Fut) -> T
where
    Fut: Future<Output = Option<T>>,
{
    within(Duration::from_mins(1), what, look).await
}

/// Waits until something is so, at most so long.
pub(crate) async fn within<T, Fut>(patience: Duration, what: &str, mut look: impl FnMut() -> Fut) -> T
where
    Fut: Future<Output = Option<T>>,
{
    let found = tokio::time::timeout(patience, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("not within {patience:?}: {what}"))
}
