//! The one place where this adapter meets the network, and what may stand there instead.

use std::{fmt, sync::Arc};

use paywright_domain::ports::GatewayError;

use crate::{
    client::{Client, Reply},
    request::Request,
};

/// Where requests go.
pub(crate) enum Wire {
    /// To Stripe, over HTTP, with its limits of pace and patience.
    Http(Box<Client>),
    /// Somewhere else.
    Other(Arc<dyn Transport>),
}

impl Wire {
    /// Sends `request` once, and gives the whole answer.
    pub(crate) async fn exchange(&self, request: &Request) -> Result<Reply, GatewayError> {
        match self {
            Self::Http(client) => client.exchange(request).await,
            Self::Other(transport) => {
                let answered = transport.exchange(Sent::of(request)).await;
                Ok(answered.map(Reply::of_answer).map_err(Lost::failure)?)
            }
        }
    }
}

/// Carries one request to something that answers as Stripe does, and its answer back. For simulations: everything else
/// of the adapter stays as it is, but for what [`Settings`](crate::Settings) bounds.
#[async_trait::async_trait]
pub trait Transport: Send + Sync {
    /// Sends once, without repeats.
    ///
    /// # Errors
    /// [`Lost`] when no whole answer comes.
    async fn exchange(&self, sent: Sent<'_>) -> Result<Answered, Lost>;
}

/// A request as it goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent<'a> {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// With the query string.
    pub path: &'a str,
    /// The body of a `POST`.
    pub form: &'a str,
    /// The idempotency key of a `POST`.
    pub key: Option<&'a str>,
}

impl<'a> Sent<'a> {
    fn of(request: &'a Request) -> Self {
        match request {
            Request::Get { path } => Self { method: "GET", path, form: "", key: None },
            Request::Delete { path } => Self { method: "DELETE", path, form: "", key: None },
            Request::Post { path, form, key } => Self { method: "POST", path, form, key: Some(key) },
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// Its head; what is no header of HTTP is passed over.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why no whole answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nothing was sent.
    NotSent,
    /// It was sent, and nobody knows what became of it.
    Unanswered,
}

/// Behind a [`Lost`].
#[derive(Debug, thiserror::Error)]
#[error("the transport lost it")]
pub(crate) struct ByTransport;

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http(_) => "Http",
            Self::Other(_) => "Other",
        })
    }
}
