//! What the integration tests share: an adapter at some address, recorded calls, a clock.

use std::{sync::Arc, time::Duration};

use paywright_domain::{
    CallState, CaptureMethod, GatewayCall, JobId, Metadata, Mode, Operation, OrderId, PaymentId, Subject,
    ports::{Answer, Clock, GatewayError, Reply},
};
use paywright_stripe::{Settings, Stripe};
use time::{OffsetDateTime, macros::datetime};

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
pub(crate) const KEY: &str = "sk_test_canary";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> OffsetDateTime {
        NOW
    }
}

/// An adapter that speaks with whatever listens at `base`.
pub(crate) fn stripe_at(base: &str) -> Stripe {
    stripe_with(base, |_| {})
}

pub(crate) fn stripe_with(base: &str, change: impl FnOnce(&mut Settings)) -> Stripe {
    let mut settings = Settings::new(KEY.to_owned().into(), Mode::Test);
    settings.api_base = base.to_owned();
    settings.deadline = Duration::from_secs(10);
    change(&mut settings);
    Stripe::new(settings, Arc::new(Fixed)).unwrap()
}

/// A recorded call; calls of the same `seed` are about the same payment.
pub(crate) fn call(seed: u8, operation: Operation) -> GatewayCall {
    GatewayCall {
        id: JobId::from_parts(NOW, &[seed; 10]),
        order: OrderId::from_parts(NOW, &[seed; 10]),
        payment: PaymentId::from_parts(NOW, &[seed; 10]),
        subject: Subject::Payment(PaymentId::from_parts(NOW, &[seed; 10])),
        mode: Mode::Test,
        operation,
        generation: 0,
        state: CallState::Recorded,
        recorded_at: NOW,
    }
}

pub(crate) fn create_intent(seed: u8) -> GatewayCall {
    let receipt_email = Some("jenny@example.com".to_owned());
    let metadata = Metadata::from([("table".to_owned(), "7".to_owned())]);
    let (currency, capture_method) = ("usd".to_owned(), CaptureMethod::Automatic);
    call(seed, Operation::CreateIntent { amount: 1999, currency, capture_method, receipt_email, metadata })
}

/// The answer of a call about a payment.
pub(crate) fn about_payment(outcome: Result<Reply, GatewayError>) -> Result<Answer, GatewayError> {
    outcome.map(|reply| match reply {
        Reply::Payment(answer) => *answer,
        other => panic!("not about a payment: {other:?}"),
    })
}
