//! Transport faults: answers that come late, in drops, in part or not at all.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, SizedStream};
use actix_web::dev::Extensions;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures::stream;

use crate::model::fault::{Kind, Verdict};

/// A second handle of a connection's socket, to end it without an answer.
#[derive(Clone)]
struct Socket(Arc<TcpStream>);

/// Remembers each connection's socket.
pub(super) fn remember_socket(connection: &dyn std::any::Any, data: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<tokio::net::TcpStream>() else { return };
    if let Ok(descriptor) = stream.as_fd().try_clone_to_owned() {
        data.insert(Socket(Arc::new(TcpStream::from(descriptor))));
    }
}

/// Ends the connection: the client gets no answer.
fn reset(http: &HttpRequest) -> HttpResponse {
    if let Some(Socket(socket)) = http.conn_data::<Socket>() {
        drop(socket.shutdown(Shutdown::Both));
    }
    let mut response = HttpResponse::Ok();
    response.force_close();
    response.finish()
}

/// What is answered in place of what Stripe said, if the fault is one of that kind.
pub(super) fn instead(http: &HttpRequest, kind: Kind) -> Option<HttpResponse> {
    let page = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>";
    match kind {
        Kind::Reset => Some(reset(http)),
        Kind::EmptyBody => Some(HttpResponse::Ok().content_type("application/json").finish()),
        Kind::EndlessBody => Some(endless()),
        Kind::GatewayTimeout => Some(HttpResponse::GatewayTimeout().finish()),
        Kind::HtmlError => Some(HttpResponse::BadGateway().content_type("text/html").body(page)),
        Kind::BadGateway => Some(HttpResponse::BadGateway().finish()),
        Kind::Unavailable => Some(HttpResponse::ServiceUnavailable().finish()),
        _ => None,
    }
}

/// JSON that begins well and goes on until the client hangs up; some tens of megabytes a second.
fn endless() -> HttpResponse {
    const CHUNK: Bytes = Bytes::from_static(&[b'x'; 64 * 1024]);
    let start = Bytes::from_static(b"{\"object\":\"");
    let chunks = stream::unfold(start, |chunk| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Some((Ok::<_, std::io::Error>(chunk), CHUNK))
    });
    HttpResponse::Ok().content_type("application/json").streaming(Box::pin(chunks))
}

/// Pieces of a dripping answer.
const DROPS: usize = 10;

/// Sends an answer's body in drops, or only its first half.
pub(super) fn mangle(response: HttpResponse, body: String, verdict: Verdict) -> HttpResponse {
    let bytes = Bytes::from(body);
    let length = bytes.len() as u64;
    match verdict.kind {
        Kind::Drip => {
            let size = bytes.len().div_ceil(DROPS).max(1);
            let wait = Duration::from_millis(verdict.millis);
            let drops = stream::unfold(bytes, move |mut rest| async move {
                if rest.is_empty() {
                    return None;
                }
                tokio::time::sleep(wait).await;
                let drop = rest.split_to(size.min(rest.len()));
                Some((Ok::<_, std::io::Error>(drop), rest))
            });
            response.set_body(BoxBody::new(SizedStream::new(length, Box::pin(drops))))
        }
        Kind::Truncate => {
            let half = bytes.slice(..bytes.len() / 2);
            let torn = stream::unfold(Some(half), |half| async move {
                match half {
                    Some(half) if !half.is_empty() => Some((Ok(half), None)),
                    _ => {
                        // The first half is on its way before the connection breaks.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        Some((Err(std::io::Error::other("truncated by a fault")), None))
                    }
                }
            });
            response.set_body(BoxBody::new(SizedStream::new(length, Box::pin(torn))))
        }
        _ => response.set_body(BoxBody::new(bytes)),
    }
}
