//! Bare handlers: what intake could reach if it did nothing but what nobody can do without.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
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

type Waiting = (Row, oneshot::Sender<()>);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen.
    #[arg(long)]
    bind: SocketAddr,
    /// The database, where rows are to be committed.
    #[arg(long, requires = "connections")]
    database: Option<String>,
    /// So many commit.
    #[arg(long)]
    connections: Option<u32>,
}

/// Serves until it is stopped: verifies each event; if there is a database, reads its outside, which is its row, and
/// commits that in a group with others; answers after that. Of several connections one commits while another gathers; of one the groups are larger.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let secrets = Data::new(vec![SecretString::from(WEBHOOK_SECRET)]);
    let committers = match &arguments.database {
        Some(url) => Some(Data::new(committers(url, arguments.connections.unwrap_or(1)).await?)),
        None => None,
    };
    let jobs = Data::new(AtomicU32::new(0));
    let server = HttpServer::new(move || {
        let app = App::new().app_data(secrets.clone()).app_data(jobs.clone());
        match &committers {
            Some(committers) => {
                app.app_data(committers.clone()).route("/webhooks/stripe", web::post().to(committed))
            }
            None => app.route("/webhooks/stripe", web::post().to(verified)),
        }
    });
    Ok(server.workers(WORKERS).disable_signals().bind(arguments.bind)?.run().await?)
}

async fn committers(url: &str, connections: u32) -> anyhow::Result<mpsc::Sender<Waiting>> {
    let (sender, receiver) = mpsc::channel(4096);
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..connections {
        tokio::spawn(commit_groups(PgConnection::connect(url).await?, Arc::clone(&receiver)));
    }
    Ok(sender)
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
    let Ok(row) = Row::read(&body, jobs.fetch_add(1, Ordering::Relaxed)) else {
        return HttpResponse::BadRequest().finish();
    };
    let (done, is_done) = oneshot::channel();
    let sent = committers.send((row, done)).await;
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
