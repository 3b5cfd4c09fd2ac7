//! Recorded calls, and the jobs that perform them.

use std::sync::Arc;

use paywright_domain::{
    CallState, CaptureMethod, Cause, Effect, GatewayCall, Lease, Metadata, Operation, SessionLine, Subject,
    ports::{QueueName, Task},
};

use super::{
    Backend,
    stage::{LONG, SHORT, Stage, at_once, awkward_evidence, soon},
};
use crate::builders::{self, ChangesExt, gateway_dispute_id, intent_id, refund, session_id, usd};

/// Every kind of call, so that it can be repeated to the letter.
///
/// Covers: I18, I26.
pub async fn every_call_reads_back(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.started().await;
    let evidence = awkward_evidence();
    let metadata: Metadata = [("ключ".to_owned(), "値 \" \\".to_owned())].into();
    let line =
        |name: &str, unit_amount, quantity| SessionLine { name: name.to_owned(), unit_amount, quantity };
    let operations = [
        Operation::CreateIntent {
            amount: u64::from(u32::MAX) + 1,
            currency: "idr".to_owned(),
            capture_method: CaptureMethod::Manual,
            receipt_email: Some("a@example.com".to_owned()),
            metadata: metadata.clone(),
        },
        Operation::CreateSession {
            currency: "usd".to_owned(),
            lines: vec![line("帽子", 5, 2), line("a", 1, 999_999), line("帽子", 5, 1)],
            capture_method: CaptureMethod::Automatic,
            customer_email: None,
            success_url: "https://shop.example/ok?s={CHECKOUT_SESSION_ID}".to_owned(),
            cancel_url: "https://shop.example/".to_owned(),
            expires_at: stage.now.unix_timestamp(),
            metadata,
        },
        Operation::CancelIntent { intent: intent_id(), reason: "abandoned".to_owned() },
        Operation::ExpireSession { session: session_id() },
        Operation::Capture { intent: intent_id(), amount: 1 },
        Operation::CreateRefund {
            intent: intent_id(),
            amount: u64::from(u32::MAX) + 1,
            reason: Some("duplicate".to_owned()),
            metadata: [("failure_reason".to_owned(), "ausverkauft — 售罄\u{0}".to_owned())].into(),
        },
        Operation::StageEvidence { dispute: gateway_dispute_id(), evidence: evidence.clone() },
        Operation::SubmitEvidence { dispute: gateway_dispute_id(), evidence },
        Operation::CloseDispute { dispute: gateway_dispute_id() },
    ];
    for (operation, generation) in operations.into_iter().zip(1..) {
        let id = builders::new_id(stage.now);
        let recorded_at = stage.now;
        let call = GatewayCall { id, operation, generation, recorded_at, ..builders::call(&order, &payment) };
        stage.now(stage.request().effect(Effect::Call { call: call.clone(), held_for: None })).await;
        assert_eq!(stage.call(id).await.unwrap(), Some(call));
    }
}

/// An answer changes how the call stands and nothing else of it.
///
/// Covers: I24.
pub async fn an_answer_ends_its_call(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.started().await;
    for (state, generation) in [(CallState::Done, 1), (CallState::Rejected, 2), (CallState::Absent, 3)] {
        let call = GatewayCall { generation, ..builders::call(&order, &payment) };
        let held = Effect::Call { call: call.clone(), held_for: Some(LONG) };
        stage.now(stage.request().effect(held)).await;
        let mut answer = stage.because(Cause::Job(Lease { job: call.id, token: Lease::FROM_BIRTH }));
        answer.answers.push((call.clone(), state));
        stage.now(answer).await;
        assert_eq!(stage.call(call.id).await.unwrap(), Some(GatewayCall { state, ..call }));
    }
}

/// A second call of the same operation, payment and generation would share the key; it conflicts, and the next
/// generation does not.
///
/// Covers: I18, D-4, D-8.
pub async fn a_call_is_recorded_once_for_its_key(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.started().await;
    let record = |call: GatewayCall| stage.request().effect(Effect::Call { call, held_for: None });
    stage.now(record(builders::call(&order, &payment))).await;
    let twin = builders::call(&order, &payment);
    stage.conflicts(record(twin.clone())).await;
    assert_eq!(stage.call(twin.id).await.unwrap(), None);
    stage.take_one(QueueName::Effects, LONG).await;
    stage.now(record(GatewayCall { generation: 2, ..builders::call(&order, &payment) })).await;
    let operation = Operation::CancelIntent { intent: intent_id(), reason: "duplicate".to_owned() };
    stage.now(record(GatewayCall { operation, ..builders::call(&order, &payment) })).await;
}

/// What a call is about is part of its key: refunds of one payment each have their first call, and each only one.
///
/// Covers: I7, I18, fault 143.
pub async fn several_refunds_of_a_payment_have_calls_of_their_own(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, mut payment) = stage.paid().await;
    for _ in 0..3 {
        let birth = refund(&payment, usd(1000));
        let wanted = birth.after().clone();
        payment = stage.give_back(&payment, birth).await;
        let call = builders::refund_call(&order, &payment, &wanted);
        assert_eq!((call.generation, call.subject), (1, Subject::Refund(wanted.id)));
        let record = |call: &GatewayCall| {
            stage.request().effect(Effect::Call { call: call.clone(), held_for: Some(LONG) })
        };
        stage.now(record(&call)).await;
        assert_eq!(stage.call(call.id).await.unwrap().as_ref(), Some(&call));
        let twin = GatewayCall { id: builders::new_id(stage.now), ..call };
        stage.conflicts(record(&twin)).await;
    }
}

/// A call that nobody holds is claimable as soon as it is committed.
///
/// Covers: I26, fault 58.
pub async fn a_recorded_call_is_a_job_at_once(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.started().await;
    let call = builders::call(&order, &payment);
    stage.now(stage.request().effect(Effect::Call { call: call.clone(), held_for: None })).await;
    let job = stage.take_one(QueueName::Effects, LONG).await;
    assert_eq!(job.task, Task::PerformCall(call.id));
    assert_eq!((job.lease, job.attempts), (Lease { job: call.id, token: 1 }, 1));
    stage.now(stage.because(Cause::Job(job.lease))).await;
    stage.idle(QueueName::Effects).await;
}

/// A held call is nobody else's while its time runs, and whoever committed it completes it.
///
/// Covers: I18, I27.
pub async fn a_held_call_is_its_committers(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.started().await;
    let call = builders::call(&order, &payment);
    stage.now(stage.request().effect(Effect::Call { call: call.clone(), held_for: Some(LONG) })).await;
    stage.idle(QueueName::Effects).await;
    stage.now(stage.because(Cause::Job(Lease { job: call.id, token: Lease::FROM_BIRTH }))).await;
    stage.idle(QueueName::Effects).await;
}

/// When a held call's time is over one worker gets it, under a newer token, and its committer lost it.
///
/// Covers: I16, I26, I27.
pub async fn a_held_call_passes_to_one_worker_when_its_time_is_over(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.started().await;
    let call = builders::call(&order, &payment);
    stage.now(stage.request().effect(Effect::Call { call: call.clone(), held_for: Some(SHORT) })).await;
    let workers = || {
        at_once((0..8).map(|_| {
            let stage = stage.clone();
            async move { stage.take(QueueName::Effects, LONG).await }
        }))
    };
    let taken = soon("the held call can be claimed", || async {
        let taken: Vec<_> = workers().await.into_iter().flatten().collect();
        (!taken.is_empty()).then_some(taken)
    });
    let taken = taken.await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(taken[0].task, Task::PerformCall(call.id));
    assert_eq!(taken[0].lease, Lease { job: call.id, token: Lease::FROM_BIRTH + 1 });
    let mut late = stage.because(Cause::Job(Lease { job: call.id, token: Lease::FROM_BIRTH }));
    late.answers.push((call.clone(), CallState::Rejected));
    stage.loses(late).await;
    assert_eq!(stage.call(call.id).await.unwrap(), Some(call));
    stage.now(stage.because(Cause::Job(taken[0].lease))).await;
}
