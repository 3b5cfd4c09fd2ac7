//! The adapter over what stands in for Stripe: the sandbox, or answers from a list.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use futures::FutureExt;
use paywright_domain::{
    CallState, GatewayCall, JobId, Mode, Operation, OrderId, PaymentId, RefundId, Subject, ports::Clock,
};
use paywright_sandbox::model::{
    Control, Input, Method, Model, Request, Response, Time, control::ClockCommand,
};
use paywright_stripe::{Answered, Lost, Sent, Stripe, Transport};
use time::{OffsetDateTime, macros::datetime};

pub const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// Nothing here waits for anything.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a call that goes over no network is done at once")
}

pub fn adapter(transport: Arc<dyn Transport>) -> Stripe {
    Stripe::over(transport, Mode::Test, Arc::new(Fixed))
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> OffsetDateTime {
        NOW
    }
}

/// Calls of the same `seed` are about the same payment.
pub fn call(seed: u8, operation: Operation) -> GatewayCall {
    let payment = PaymentId::from_parts(NOW, &[seed; 10]);
    let subject = match operation {
        Operation::CreateRefund { .. } => Subject::Refund(RefundId::from_parts(NOW, &[seed; 10])),
        _ => Subject::Payment(payment),
    };
    GatewayCall {
        id: JobId::from_parts(NOW, &[seed; 10]),
        order: OrderId::from_parts(NOW, &[seed; 10]),
        payment,
        subject,
        mode: Mode::Test,
        operation,
        generation: 1,
        state: CallState::Recorded,
        recorded_at: NOW,
    }
}

/// A request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub form: String,
    pub key: Option<String>,
}

/// Gives its answers in turn. After the last, nobody answers.
#[derive(Default)]
pub struct Script {
    answers: Mutex<VecDeque<Answered>>,
    asked: Mutex<Vec<Asked>>,
}

impl Script {
    pub fn new(answers: Vec<Answered>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into()), asked: Mutex::default() })
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Asked {
    fn of(sent: Sent<'_>) -> Self {
        Self { path: sent.path.to_owned(), form: sent.form.to_owned(), key: sent.key.map(str::to_owned) }
    }
}

#[async_trait::async_trait]
impl Transport for Script {
    async fn exchange(&self, sent: Sent<'_>) -> Result<Answered, Lost> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked::of(sent));
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front().ok_or(Lost::Unanswered)
    }
}

/// The sandbox, with all that it answered since it was asked last.
pub struct Sandbox {
    state: Mutex<(Model, u32, Vec<Answered>)>,
}

impl Sandbox {
    /// Its clock stands near [`NOW`].
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new((Model::default(), 0, Vec::new())) })
    }

    pub fn send(&self, method: Method, target: &str, form: &str) -> Response {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request { query: query.to_owned(), ..Request::new(method, path) };
        self.input(&request.key("sk_test_fuzz").form(form))
    }

    pub fn advance(&self, seconds: i64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (model, turn, _) = &mut *state;
        *turn += 1;
        let clock = Control::Clock(ClockCommand::Advance { millis: seconds * 1_000 });
        model.apply(&Input::Control(clock), wall(*turn), u64::from(*turn));
    }

    /// What was answered since.
    pub fn answered(&self) -> Vec<Answered> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).2)
    }

    fn input(&self, request: &Request) -> Response {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (model, turn, answers) = &mut *state;
        *turn += 1;
        let entropy = u64::from(*turn);
        let response = match request.method {
            Method::Get => model.read(request, None, wall(*turn), entropy),
            Method::Post | Method::Delete => {
                let input = Input::Request { request: request.clone(), fault: None };
                model.apply(&input, wall(*turn), entropy)
            }
        };
        let Response { status, headers, body, .. } = response.clone();
        answers.push(Answered { status, headers, body: body.into_bytes() });
        response
    }
}

fn wall(turn: u32) -> Time {
    Time(NOW.unix_timestamp() * 1_000 + i64::from(turn))
}

#[async_trait::async_trait]
impl Transport for Sandbox {
    async fn exchange(&self, sent: Sent<'_>) -> Result<Answered, Lost> {
        let (path, query) = sent.path.split_once('?').unwrap_or((sent.path, ""));
        let method = match sent.method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            _ => Method::Delete,
        };
        let request = Request {
            query: query.to_owned(),
            idempotency_key: sent.key.map(str::to_owned),
            ..Request::new(method, path)
        };
        let Response { status, headers, body, .. } = self.input(&request.key("sk_test_fuzz").form(sent.form));
        Ok(Answered { status, headers, body: body.into_bytes() })
    }
}
