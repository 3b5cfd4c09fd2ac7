//! Bare handlers: what intake could reach if it did nothing but what nobody can do without.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::dev::ServerHandle;
use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context as _;
use paywright_stripe::{TOLERANCE, verify};
use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::events::now;
use super::rows::{self, Row};
use crate::stage::WEBHOOK_SECRET;

/// As many as the product's default.
const WORKERS: usize = 2;
const GROUP_MAX: usize = 256;

const ANSWER: &str = r#"{"received":true}"#;

type Waiting = (Row<Bytes>, oneshot::Sender<()>);

/// A handler that serves until it is stopped.
pub(super) struct Bare {
    pub(super) address: SocketAddr,
    handle: ServerHandle,
}

impl Bare {
    pub(super) async fn stop(self) {
        self.handle.stop(false).await;
    }
}

/// Verifies, and answers.
pub(super) fn signature_only() -> anyhow::Result<Bare> {
    serve(|config| {
        config.app_data(secrets()).route("/webhooks/stripe", web::post().to(verified));
    })
}

/// Verifies, commits the row in a group with others, and answers after the commit. Of several connections one commits
/// while another gathers; of one the groups are larger.
pub(super) async fn group_commit(url: &str, connections: u32) -> anyhow::Result<Bare> {
    let (sender, receiver) = mpsc::channel(4096);
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..connections {
        tokio::spawn(commit_groups(PgConnection::connect(url).await?, Arc::clone(&receiver)));
    }
    let jobs = Data::new(AtomicU32::new(0));
    serve(move |config| {
        let (sender, jobs) = (Data::new(sender.clone()), jobs.clone());
        config.app_data(secrets()).app_data(sender).app_data(jobs);
        config.route("/webhooks/stripe", web::post().to(committed));
    })
}

fn serve(routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static) -> anyhow::Result<Bare> {
    let server = HttpServer::new(move || App::new().configure(&routes));
    let server = server.workers(WORKERS).disable_signals().bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = *server.addrs().first().context("no address")?;
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(Bare { address, handle })
}

fn secrets() -> Data<Vec<SecretString>> {
    Data::new(vec![WEBHOOK_SECRET.to_owned().into()])
}

fn is_genuine(request: &HttpRequest, body: &[u8], secrets: &[SecretString]) -> bool {
    let header = request.headers().get("stripe-signature").and_then(|value| value.to_str().ok());
    verify(header, body, secrets, now(), TOLERANCE).is_ok()
}

async fn verified(request: HttpRequest, body: Bytes, secrets: Data<Vec<SecretString>>) -> HttpResponse {
    if !is_genuine(&request, &body, &secrets) {
        return HttpResponse::BadRequest().finish();
    }
    HttpResponse::Ok().content_type("application/json").body(ANSWER)
}

async fn committed(
    request: HttpRequest,
    body: Bytes,
    secrets: Data<Vec<SecretString>>,
    committers: Data<mpsc::Sender<Waiting>>,
    jobs: Data<AtomicU32>,
) -> HttpResponse {
    if !is_genuine(&request, &body, &secrets) {
        return HttpResponse::BadRequest().finish();
    }
    // Its name and its object's are the first two.
    let mut names = std::str::from_utf8(&body).unwrap_or_default().split("\"id\": \"").skip(1);
    let mut name = || names.next().and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned();
    let (id, object) = (name(), name());
    let job = rows::job(jobs.fetch_add(1, Ordering::Relaxed));
    let (done, is_done) = oneshot::channel();
    let sent = committers.send((Row { id, object, job, body }, done)).await;
    match (sent, is_done.await) {
        (Ok(()), Ok(())) => HttpResponse::Ok().content_type("application/json").body(ANSWER),
        _ => HttpResponse::ServiceUnavailable().finish(),
    }
}

/// Commits whatever waits, and tells those who wait. Ends with the handlers, or with its connection.
async fn commit_groups(mut connection: PgConnection, waiting: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    loop {
        let mut group = Vec::new();
        if waiting.lock().await.recv_many(&mut group, GROUP_MAX).await == 0 {
            return;
        }
        let (rows, told): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        match rows::insert(&mut connection, &rows).await {
            Ok(()) => {
                for told in told {
                    let _ = told.send(()); // whoever hung up needs no answer
                }
            }
            Err(error) => return eprintln!("the group commit ended: {error:#}"),
        }
    }
}
