//! `Idempotency-Key`: the same key and request give the same answer, once executed.

use std::future::Future;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use paywright_domain::OperationId;
use paywright_postgres::{Answered, Began};
use sha2::{Digest, Sha256};

use super::{auth::Caller, problem::Problem};
use crate::wiring::App;

/// The most calls to Stripe in a row that one request makes.
const CALLS_MAX: u32 = 3;
/// The longest key.
const KEY_MAX: usize = 255;

/// A successful answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: StatusCode,
    body: serde_json::Value,
}

impl Answer {
    /// 200 with a body.
    pub fn ok(body: impl serde::Serialize) -> Self {
        Self::with(StatusCode::OK, body)
    }

    /// 201 with a body.
    pub fn created(body: impl serde::Serialize) -> Self {
        Self::with(StatusCode::CREATED, body)
    }

    /// A status with a body.
    pub fn with(status: StatusCode, body: impl serde::Serialize) -> Self {
        Self { status, body: serde_json::to_value(body).expect("API objects are plain data") }
    }

    /// Sets a field that is in the answer but must not be stored with it.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.body[name] = value.into();
        self
    }

    /// A text field of the body.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str()
    }

    /// As an HTTP answer.
    pub fn respond(self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if self.status.is_client_error() {
            response.content_type("application/problem+json");
        }
        response.json(self.body)
    }

    /// As it is stored: without a client secret, which the route asks Stripe for again.
    fn to_store(&self) -> Answered {
        let mut body = self.body.clone();
        if let Some(fields) = body.as_object_mut() {
            fields.remove("client_secret");
        }
        Answered { status: self.status.as_u16(), headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    fn stored(stored: &Answered) -> Result<Self, Problem> {
        let status = StatusCode::from_u16(stored.status).map_err(|error| Problem::bug(&error))?;
        let body = serde_json::from_slice(&stored.body).map_err(|error| Problem::bug(&error))?;
        Ok(Self { status, body })
    }
}

impl Problem {
    fn to_store(&self) -> Answered {
        Answered { status: self.status().as_u16(), headers: Vec::new(), body: self.body().into_bytes() }
    }
}

/// What a request came to.
pub struct Outcome {
    /// The answer.
    pub answer: Result<Answer, Problem>,
    /// Whether it is an earlier one.
    pub replayed: bool,
}

impl Outcome {
    /// As an HTTP answer.
    pub fn respond(self) -> HttpResponse {
        let mut response = match self.answer {
            Ok(answer) => answer.respond(),
            Err(problem) => actix_web::ResponseError::error_response(&problem),
        };
        if self.replayed {
            let name = actix_web::http::header::HeaderName::from_static("idempotent-replayed");
            response.headers_mut().insert(name, actix_web::http::header::HeaderValue::from_static("true"));
        }
        response
    }
}

/// Runs `work` once for each idempotency key. Without a key it just runs.
///
/// The operation's id is stored before the work begins: when the process dies in the middle, the repeat runs under the
/// same id, and what was committed then is found, not done again. The work runs to its end even if the client goes
/// away.
///
/// # Errors
/// 400 for a malformed key, 422 for a key that was used for another request, 409 while the first one runs.
pub async fn once<F, Fut>(
    app: &App,
    caller: &Caller,
    request: &HttpRequest,
    body: &[u8],
    work: F,
) -> Result<Outcome, Problem>
where
    F: FnOnce(OperationId) -> Fut,
    Fut: Future<Output = Result<Answer, Problem>> + 'static,
{
    let fresh: OperationId = app.ports.new_id();
    let Some(key) = key(request)? else {
        let answer = detached(work(fresh)).await;
        return Ok(Outcome { answer, replayed: false });
    };
    let scope = caller.key.to_string();
    let keys = &app.idempotency_keys;
    let locked_for = app.settings.stripe.call_longest() * CALLS_MAX;
    let operation = match keys
        .begin(&scope, &key, fingerprint(request.method().as_str(), request.path(), body), fresh, locked_for)
        .await?
    {
        Began::Fresh(operation) | Began::Resumed(operation) => operation,
        Began::Replay(stored) => {
            return Ok(Outcome { answer: Ok(Answer::stored(&stored)?), replayed: true });
        }
        Began::Mismatch => {
            let title = "The idempotency key was used for another request";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", title)
                .detail("use a new key for a new request; nothing was done"));
        }
        Began::InFlight { retry_after } => {
            let title = "The first request with this key is still running";
            let problem = Problem::new(StatusCode::CONFLICT, "idempotency_key_in_use", title);
            return Err(problem.retry_after(retry_after.as_secs().clamp(1, 5)));
        }
    };
    let (work, keys) = (work(operation), keys.clone());
    let answer = detached(async move {
        let answer = work.await;
        let kept = match &answer {
            Ok(answer) => keys.finish(&scope, &key, operation, &answer.to_store()).await,
            Err(problem) if problem.is_passing() => {
                keys.abandon(&scope, &key, operation).await.map(|()| None)
            }
            // Nothing was done: the key is free for the corrected request.
            Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => {
                keys.forget(&scope, &key, operation).await.map(|()| None)
            }
            Err(problem) => keys.finish(&scope, &key, operation, &problem.to_store()).await,
        };
        match kept {
            // A run that took over this one's lock was faster: what it answered stands.
            Ok(Some(earlier)) => Answer::stored(&earlier),
            Ok(None) => answer,
            Err(error) => {
                // The work is committed under its operation's id, so a repeat finds it.
                tracing::warn!(%error, "an idempotent answer was not stored");
                answer
            }
        }
    })
    .await;
    Ok(Outcome { answer, replayed: false })
}

/// Runs to the end even if whoever awaits this goes away.
async fn detached<Fut>(work: Fut) -> Result<Answer, Problem>
where
    Fut: Future<Output = Result<Answer, Problem>> + 'static,
{
    actix_web::rt::spawn(work).await.unwrap_or_else(|error| Err(Problem::bug(&error)))
}

fn key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| (1..=KEY_MAX).contains(&key.len()));
    let problem = || {
        let detail = format!("Idempotency-Key must be 1 to {KEY_MAX} visible ASCII characters");
        Problem::bad_request("malformed_idempotency_key", detail)
    };
    key.map(str::to_owned).map(Some).ok_or_else(problem)
}

/// The same for the same request, and for no other. No request that writes has a query string.
pub fn fingerprint(method: &str, path: &str, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [method.as_bytes(), path.as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
