//! One HTTP exchange with Stripe, bounded in time and size. What the answer means is decided elsewhere.

use std::{error::Error, io, pin::pin, time::Duration};

use paywright_domain::ports::{BoxError, GatewayError};
use reqwest::{
    Response,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect, retry,
};
use secrecy::ExposeSecret;
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep, timeout},
};

use crate::{
    breaker::{Breaker, Leave, Open},
    credentials::Credentials,
    endpoint::{endpoint, object},
    limiter::{Crowded, Limiter},
    request::Request,
    serial::{Busy, Serial},
    settings::{Base, Settings, SettingsError},
    text,
    transport::{Answered, ByTransport, Lost},
};

/// The version whose shapes this crate knows; sent with every request.
///
/// Source: <https://docs.stripe.com/api/versioning>
pub const API_VERSION: &str = "2026-07-29.dahlia";

const USER_AGENT: &str =
    concat!("Paywright/", env!("CARGO_PKG_VERSION"), " (+", env!("CARGO_PKG_REPOSITORY"), ")");
const FORM: &str = "application/x-www-form-urlencoded";
/// Nobody waits longer for a handshake; within it, a failure to connect is known to be one.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// A longer wait that an answer asks for is cut to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// A call that has no answer after this counts as a sign of an outage before its deadline tells, which is much later.
const SILENCE: Duration = Duration::from_secs(3);
/// An object that another call holds is free again soon.
const BUSY_AFTER: Duration = Duration::from_secs(1);

/// An HTTP client that speaks to Stripe as one account.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Base,
    /// Marked sensitive, so that it is not printed.
    authorization: HeaderValue,
    deadline: Duration,
    max_response_bytes: usize,
    patience: Duration,
    limiter: Limiter,
    breaker: Breaker,
    credentials: Credentials,
    serial: Serial,
}

/// An answer that came whole.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Stripe's own word on whether a repeat helps.
    /// Source: <https://docs.stripe.com/error-low-level>
    pub(crate) should_retry: Option<bool>,
    /// How long to wait, if it says.
    pub(crate) retry_after: Option<Duration>,
    /// Which limiter refused.
    pub(crate) limited_by: Option<String>,
    /// Stripe's name for the request.
    pub(crate) request: Option<String>,
    /// When Stripe answered, by its clock.
    pub(crate) date: Option<OffsetDateTime>,
    /// Whether this is the stored answer of an earlier request, so that it tells of that time.
    pub(crate) replayed: bool,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// Why no whole answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No connection: no name, nobody there, or no trust. Nothing was sent.
    #[error("cannot connect to Stripe")]
    NotSent(#[source] BoxError),
    /// The deadline for the whole call passed.
    #[error("no complete answer within {} ms", .0.as_millis())]
    Deadline(Duration),
    /// The connection broke, or what came was no HTTP.
    #[error("the connection broke before the answer was complete")]
    Broken(#[source] BoxError),
    /// More than is read.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl Client {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let base = settings.check()?;
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .https_only(!base.loopback)
            .connect_timeout(CONNECT_DEADLINE.min(settings.deadline / 2));
        if base.loopback {
            builder = builder.no_proxy();
        }
        let bearer = format!("Bearer {}", settings.secret_key.expose_secret());
        let mut authorization = HeaderValue::try_from(bearer).map_err(|_| SettingsError::NotASecretKey)?;
        authorization.set_sensitive(true);
        Ok(Self {
            http: builder.build().map_err(SettingsError::Http)?,
            base,
            authorization,
            deadline: settings.deadline,
            max_response_bytes: settings.max_response_bytes,
            patience: settings.patience,
            limiter: Limiter::new(
                settings.operations_per_second,
                settings.operations_per_second_per_endpoint,
            ),
            breaker: Breaker::new(settings.outage_pause),
            credentials: Credentials::new(settings.refusal_pause),
            serial: Serial::default(),
        })
    }

    /// Sends `request` once, when it is its turn, and reads the whole answer.
    ///
    /// What cannot be sent within the patience, or would be sent to nobody, is not sent: not done.
    pub(crate) async fn exchange(&self, request: &Request) -> Result<Reply, GatewayError> {
        let endpoint = endpoint(request);
        let until = Instant::now() + self.patience;
        self.credentials.check(&endpoint)?;
        self.breaker.check()?;
        let _turn = self.turn(request, until).await?;
        self.limiter.place(&endpoint, until).await?;
        self.credentials.enter(&endpoint)?;
        let mut leave = self.breaker.enter()?;
        let outcome = self.watched(request, &endpoint, &mut leave).await;
        self.breaker.learn(&leave, &outcome);
        if let Ok(reply) = &outcome {
            self.limiter.learn(reply);
            self.credentials.learn(&endpoint, reply);
        }
        Ok(outcome?)
    }

    async fn turn(&self, request: &Request, until: Instant) -> Result<Option<OwnedMutexGuard<()>>, Busy> {
        match object(request) {
            Some(object) => self.serial.turn(object, until).await.map(Some),
            None => Ok(None),
        }
    }

    /// Waits for the answer, and tells the breaker if that takes long.
    async fn watched(&self, request: &Request, endpoint: &str, leave: &mut Leave) -> Result<Reply, Failure> {
        let mut call = pin!(self.call(request, endpoint));
        tokio::select! {
            biased;
            outcome = &mut call => return outcome,
            () = sleep(SILENCE) => self.breaker.silent(leave),
        }
        call.await
    }

    /// Sends `request` once, and reads the whole answer within the deadline.
    ///
    /// One exception: when the connection is closed before any of the answer came, as happens to a kept-alive
    /// connection that the peer has just given up, the same request is sent once more at once, under the same
    /// idempotency key. Stripe's own clients do so even with retries switched off.
    async fn call(&self, request: &Request, endpoint: &str) -> Result<Reply, Failure> {
        let exchange = async {
            let response = match self.send(request).await {
                Err(error) if closed_unanswered(&error) && self.may_repeat(endpoint).await => {
                    self.send(request).await.map_err(after_another)
                }
                outcome => outcome.map_err(Failure::from),
            };
            self.read(response?).await
        };
        let in_time = timeout(self.deadline, exchange).await;
        in_time.unwrap_or(Err(Failure::Deadline(self.deadline)))
    }

    /// What is sent twice counts twice.
    async fn may_repeat(&self, endpoint: &str) -> bool {
        self.limiter.place(endpoint, Instant::now() + self.patience).await.is_ok()
    }

    async fn send(&self, request: &Request) -> reqwest::Result<Response> {
        let url = self.base.join(request.path());
        let builder = match request {
            Request::Get { .. } => self.http.get(url),
            Request::Delete { .. } => self.http.delete(url),
            Request::Post { form, key, .. } => self
                .http
                .post(url)
                .header(CONTENT_TYPE, FORM)
                .header("Idempotency-Key", key)
                .body(form.clone()),
        };
        builder
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json")
            .header("Stripe-Version", API_VERSION)
            .send()
            .await
    }

    async fn read(&self, mut response: Response) -> Result<Reply, Failure> {
        let mut reply = Reply::of_head(response.status().as_u16(), response.headers());
        let max = self.max_response_bytes;
        if response.content_length().is_some_and(|length| length > max as u64) {
            return Err(Failure::TooLarge(max));
        }
        while let Some(chunk) = response.chunk().await? {
            if reply.body.len() + chunk.len() > max {
                return Err(Failure::TooLarge(max));
            }
            reply.body.extend_from_slice(&chunk);
        }
        Ok(reply)
    }
}

impl Reply {
    /// An answer that no HTTP client read.
    pub(crate) fn of_answer(answered: Answered) -> Self {
        let pair = |(name, value): &(String, String)| {
            Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?))
        };
        let head = answered.headers.iter().filter_map(pair).collect();
        Self { body: answered.body, ..Self::of_head(answered.status, &head) }
    }

    fn of_head(status: u16, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let flag = |name: &str| text(name).and_then(|value| value.parse::<bool>().ok());
        let seconds = text(RETRY_AFTER.as_str()).and_then(|value| value.parse().ok());
        Self {
            status,
            should_retry: flag("Stripe-Should-Retry"),
            retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
            limited_by: text("Stripe-Rate-Limited-Reason").map(|reason| text::tidy(reason, 64)),
            request: text("Request-Id").filter(|id| text::is_name(id)).map(str::to_owned),
            date: text(DATE.as_str()).and_then(http_date),
            replayed: flag("Idempotent-Replayed") == Some(true),
            body: Vec::new(),
        }
    }
}

impl Lost {
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::NotSent => Failure::NotSent(Box::new(ByTransport)),
            Self::Unanswered => Failure::Broken(Box::new(ByTransport)),
        }
    }
}

/// Source: <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7>, the one form that servers send.
fn http_date(text: &str) -> Option<OffsetDateTime> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    PrimitiveDateTime::parse(text, format).ok().map(PrimitiveDateTime::assume_utc)
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let unsent = error.is_connect() || error.is_builder();
        let error = Box::new(error.without_url());
        if unsent { Self::NotSent(error) } else { Self::Broken(error) }
    }
}

impl From<Busy> for GatewayError {
    fn from(busy: Busy) -> Self {
        Self::NotDone { after: Some(BUSY_AFTER), source: Box::new(busy) }
    }
}

impl From<Crowded> for GatewayError {
    fn from(crowded: Crowded) -> Self {
        Self::NotDone { after: Some(crowded.after), source: Box::new(crowded) }
    }
}

impl From<Open> for GatewayError {
    fn from(open: Open) -> Self {
        Self::NotDone { after: Some(open.after), source: Box::new(open) }
    }
}

/// That the second sending came to nothing says nothing of the first.
fn after_another(error: reqwest::Error) -> Failure {
    Failure::Broken(Box::new(error.without_url()))
}

/// Whether the connection was closed before any of the answer came.
fn closed_unanswered(error: &reqwest::Error) -> bool {
    if error.is_connect() || error.is_timeout() {
        return false;
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_canceled() || error.is_closed())
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>()
            && matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn head(pairs: &[(&'static str, &'static str)]) -> Reply {
        let headers =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        Reply::of_head(200, &headers.collect())
    }

    #[test]
    fn the_head_of_an_answer_is_read() {
        let reply = head(&[
            ("date", "Sat, 21 Nov 2026 05:53:04 GMT"),
            ("request-id", "req_1"),
            ("stripe-should-retry", "false"),
            ("retry-after", "3"),
            ("idempotent-replayed", "true"),
        ]);
        assert_eq!(reply.date, Some(datetime!(2026-11-21 5:53:04 UTC)));
        assert_eq!(reply.request.as_deref(), Some("req_1"));
        assert_eq!(reply.should_retry, Some(false));
        assert_eq!(reply.retry_after, Some(Duration::from_secs(3)));
        assert!(reply.replayed);
    }

    #[test]
    fn nonsense_in_the_head_is_passed_over() {
        let reply = head(&[
            ("date", "yesterday"),
            ("request-id", "two words"),
            ("stripe-should-retry", "perhaps"),
            ("retry-after", "Sat, 21 Nov 2026 05:53:04 GMT"),
        ]);
        assert_eq!((reply.date, reply.request, reply.should_retry), (None, None, None));
        assert_eq!(reply.retry_after, None);
    }

    /// Covers: fault 11.
    #[test]
    fn the_wait_that_an_answer_asks_for_is_capped() {
        assert_eq!(head(&[("retry-after", "86400")]).retry_after, Some(RETRY_AFTER_MAX));
    }
}
