//! Promises about everything that the gateway is asked to do: written down first, under a key of its own, and of a
//! decision that was committed.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{FakeGateway, Fault, JobState, MemoryStore};
use time::Duration;

use crate::{
    fate::Blow,
    support::{Shop, page},
};

/// A gateway that performs only what it finds written down.
struct Witness {
    store: Arc<MemoryStore>,
    gateway: Arc<FakeGateway>,
}

impl Witness {
    fn look(&self, call: &GatewayCall) {
        let key = call.key();
        let recorded = self.store.calls().into_iter().find(|recorded| recorded.id == call.id);
        assert_eq!(recorded.as_ref(), Some(call), "{key} is sent as it was written down");
        assert_eq!(call.state, CallState::Recorded, "{key}");
        let job = self.store.jobs().into_iter().find(|job| job.id == call.id);
        let open = job.is_some_and(|job| !matches!(job.state, JobState::Done | JobState::Buried));
        assert!(open, "{key}: whoever comes after a crash goes on with it");
        assert!(self.store.payments().iter().any(|payment| payment.id == call.payment), "{key}");
        let subject = match call.subject {
            Subject::Payment(id) => id == call.payment,
            Subject::Refund(id) => self.store.refunds().iter().any(|refund| refund.id == id),
            Subject::Dispute(id) => self.store.disputes().iter().any(|dispute| dispute.id == id),
        };
        assert!(subject, "{key}: what it is about is stored");
    }
}

#[async_trait]
impl Gateway for Witness {
    async fn perform(&self, call: &GatewayCall) -> Result<Reply, GatewayError> {
        self.look(call);
        self.gateway.perform(call).await
    }
    async fn find(&self, call: &GatewayCall) -> Result<Option<Reply>, GatewayError> {
        self.look(call);
        self.gateway.find(call).await
    }
    async fn intent(&self, id: &IntentId) -> Result<Option<Answer>, GatewayError> {
        self.gateway.intent(id).await
    }
    async fn session(&self, id: &SessionId) -> Result<Option<Answer>, GatewayError> {
        self.gateway.session(id).await
    }
    async fn refund(&self, id: &GatewayRefundId) -> Result<Option<RefundSnapshot>, GatewayError> {
        self.gateway.refund(id).await
    }
    async fn refunds(&self, id: &IntentId) -> Result<Vec<RefundSnapshot>, GatewayError> {
        Gateway::refunds(&*self.gateway, id).await
    }
    async fn disputes(&self, id: &IntentId) -> Result<Vec<DisputeSnapshot>, GatewayError> {
        Gateway::disputes(&*self.gateway, id).await
    }
    async fn dispute(&self, id: &GatewayDisputeId) -> Result<Option<DisputeSnapshot>, GatewayError> {
        self.gateway.dispute(id).await
    }
    fn understand(&self, body: &[u8]) -> Result<Heard, Malformed> {
        self.gateway.understand(body)
    }
}

/// Covers: T-2, D-14, I26 (the part about what a crash leaves).
#[tokio::test]
async fn nothing_is_asked_that_was_not_written_down_first() {
    let mut shop = Shop::new();
    let witness = Witness { store: shop.store.clone(), gateway: shop.gateway.clone() };
    shop.ports.gateway = Arc::new(witness);

    // In two tabs, then not at all.
    let order = shop.place().await;
    shop.start(order.id, page("a")).await.unwrap();
    shop.start(order.id, Channel::PaymentIntent).await.unwrap();
    shop.cancel(order.id).await.unwrap();
    // Reserved: released, then taken in part, and given back.
    let (order, payment) = shop.held_order().await;
    shop.void(payment.id).await.unwrap();
    assert_eq!(shop.order(order.id).state, OrderState::Pending);
    let (order, payment) = shop.held_order().await;
    shop.capture(payment.id, Some(3000)).await.unwrap();
    shop.refund(payment.id, Some(1000)).await.unwrap();
    shop.cancel(order.id).await.unwrap();
    // Disputed twice.
    for accepted in [true, false] {
        let (_, payment) = shop.paid_order().await;
        let about = shop.intent(&payment).id;
        shop.hear(shop.gateway.open_dispute(&about, 3998, false)).await;
        let of = |dispute: &Dispute| dispute.payment == payment.id;
        let dispute = shop.store.disputes().into_iter().find(of).unwrap().id;
        let said = [("uncategorized_text".to_owned(), "It was delivered.".to_owned())];
        shop.answer(dispute, Say::Stage(said.into())).await.unwrap();
        let last = if accepted { Say::Accept } else { Say::Submit(Happened::default()) };
        shop.answer(dispute, last).await.unwrap();
    }
    // And what nobody knows of is looked for, and asked again.
    let order = shop.place().await;
    shop.gateway.fail_call(Fault::SpentBefore);
    shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
    shop.settle(Duration::minutes(5)).await;

    let kinds: BTreeSet<_> = shop.gateway.arrived().iter().map(|arrived| arrived.operation.name()).collect();
    let all = [
        "cancel_intent",
        "capture",
        "close_dispute",
        "create_intent",
        "create_refund",
        "create_session",
        "expire_session",
        "stage_evidence",
        "submit_evidence",
    ];
    assert_eq!(kinds, all.into(), "each kind was asked");
    shop.assert_sound();
}

/// Until the gateway has said what became of it, the attempt keeps its key and the order its only place for one,
/// whoever comes and however long it takes.
///
/// Covers: D-17, D-1, D-3, I2, I18.
#[tokio::test]
async fn only_the_gateways_word_frees_an_order_for_another_attempt() {
    for fault in [Fault::UnknownBefore, Fault::UnknownAfter, Fault::NotDone { after: None }] {
        for first in [Channel::PaymentIntent, page("a")] {
            let mut shop = Shop::new();
            shop.policy.order_lifetime = Duration::days(30);
            let order = shop.place().await;
            shop.gateway.fail_call(fault.clone());
            shop.start(order.id, first.clone()).await.unwrap_err();
            for hour in 1..=22 {
                shop.clock.advance(Duration::HOUR);
                for channel in [Channel::PaymentIntent, page("a"), page("b")] {
                    let error = shop.start(order.id, channel).await.unwrap_err();
                    assert!(matches!(error, StartPaymentError::InProgress), "hour {hour}: {error:?}");
                }
                shop.gateway.fail_call(fault.clone());
                assert_eq!(shop.work().await.len(), 1, "hour {hour}: the worker hears nothing either");
            }
            let keys: BTreeSet<_> = shop.gateway.arrived().into_iter().map(|arrived| arrived.key).collect();
            assert_eq!(keys.len(), 1, "{fault:?}: {keys:?}");
            shop.settle(Duration::minutes(5)).await;
            assert_eq!((shop.payments(order.id).len(), shop.payable()), (1, 1), "{fault:?}");
            shop.start(order.id, page("b")).await.unwrap();
            assert_eq!((shop.payments(order.id).len(), shop.payable()), (2, 1), "{fault:?}");
            shop.assert_sound();
        }
    }
}

/// Covers: D-17, C-2.
#[tokio::test]
async fn a_payment_that_may_not_have_ended_keeps_its_place() {
    for fault in [Fault::UnknownBefore, Fault::UnknownAfter, Fault::NotDone { after: None }] {
        for channel in [Channel::PaymentIntent, page("a")] {
            let mut shop = Shop::new();
            shop.policy.order_lifetime = Duration::days(30);
            let order = shop.place().await;
            shop.start(order.id, channel.clone()).await.unwrap();
            // The other way to pay ends this one first.
            shop.gateway.fail_call(fault.clone());
            shop.start(order.id, page("b")).await.unwrap_err();
            for _ in 0..5 {
                shop.clock.advance(Duration::HOUR);
                let error = shop.start(order.id, page("b")).await.unwrap_err();
                assert!(matches!(error, StartPaymentError::InProgress), "{error:?}");
                assert_eq!(shop.payments(order.id).len(), 1, "{fault:?}: no second one beside it");
            }
            shop.settle(Duration::minutes(5)).await;
            assert_eq!(shop.payable(), 0, "{fault:?}: it has ended");
            shop.start(order.id, page("b")).await.unwrap();
            assert_eq!(shop.payable(), 1, "{fault:?}");
            shop.assert_sound();
        }
    }
}

/// The gateway keeps a refusal with its key: under the same one it would be refused for ever.
///
/// Covers: D-5, D-3, I18.
#[tokio::test]
async fn after_a_definite_refusal_the_next_attempt_has_a_key_of_its_own() {
    let refused = || Fault::Rejected("card_declined".to_owned());
    let assert_two_keys = |shop: &Shop, operation: &str| {
        let calls = shop.calls(operation);
        let arrived = shop.gateway.arrived().into_iter();
        let sent: Vec<_> =
            arrived.filter(|sent| sent.operation.name() == operation).map(|sent| sent.key).collect();
        let became = |key: &String| calls.iter().find(|call| call.key() == *key).unwrap().state;
        let became: Vec<_> = sent.iter().map(became).collect();
        assert_eq!(became, [CallState::Rejected, CallState::Done], "{operation}: {sent:?}");
        assert_ne!(sent[0], sent[1], "{operation}");
        shop.assert_sound();
    };

    for (operation, channel) in [("create_intent", Channel::PaymentIntent), ("create_session", page("a"))] {
        let shop = Shop::new();
        let order = shop.place().await;
        shop.gateway.fail_call(refused());
        let error = shop.start(order.id, channel.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        shop.start(order.id, channel).await.unwrap();
        assert_two_keys(&shop, operation);
    }

    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    shop.gateway.fail_call(refused());
    assert_eq!(shop.capture(payment.id, None).await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(shop.order(order.id).state, OrderState::Authorized, "the money is still reserved");
    shop.capture(payment.id, None).await.unwrap();
    assert_two_keys(&shop, "capture");

    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.gateway.fail_call(refused());
    assert_eq!(shop.refund(payment.id, None).await.unwrap_err().kind(), ErrorKind::Refused);
    shop.refund(payment.id, None).await.unwrap();
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    assert_two_keys(&shop, "create_refund");
}

/// A decision that was not committed asks for nothing, and one that was decided again asks once.
///
/// Covers: D-16, I30.
#[tokio::test]
async fn only_a_committed_decision_has_effects() {
    let asked = |shop: &Shop| {
        let refunds = |arrived: &&paywright_testkit::Arrived| arrived.operation.name() == "create_refund";
        (shop.calls("create_refund").len(), shop.gateway.arrived().iter().filter(refunds).count())
    };
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    let before = shop.store.jobs().len();
    for blow in [Blow::FailBefore, Blow::LeaseLost] {
        shop.fate.next_commits([blow]);
        shop.refund(payment.id, None).await.unwrap_err();
        shop.fate.next_commits([blow]);
        shop.cancel(order.id).await.unwrap_err();
        assert_eq!((asked(&shop), shop.store.jobs().len()), ((0, 0), before), "{blow:?}");
        assert_eq!(shop.refunds(payment.id), [], "{blow:?}");
    }
    // Three were faster. Each time it was decided to give the money back, and once it was committed.
    shop.fate.next_commits([Blow::Conflict, Blow::Conflict, Blow::Conflict]);
    shop.cancel(order.id).await.unwrap();
    assert_eq!((asked(&shop), shop.refunds(payment.id).len()), ((1, 1), 1));
    assert_eq!(shop.gateway.refunds_made().len(), 1);
    let told = shop.store.audit().into_iter().filter(|row| row.order == order.id);
    let paid = told.filter(|row| row.entry.subject == "order" && row.entry.event == "captured").count();
    assert_eq!(paid, 1, "it became paid once");
    shop.assert_sound();
}

/// Covers: fault 20, O-7.
#[tokio::test]
async fn three_d_secure_that_nobody_completes_ends_with_the_order_and_late_success_comes_back() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    let intent = shop.intent(&payment).id;
    shop.hear(shop.gateway.require_action(&intent)).await;
    assert_eq!(shop.payment(order.id).state, PaymentState::RequiresAction);
    shop.settle(shop.policy.order_lifetime + Duration::HOUR).await;
    assert_eq!(shop.order(order.id).state, OrderState::Cancelled);
    assert_eq!((shop.payment(order.id).state, shop.payable()), (PaymentState::Cancelled, 0));
    shop.assert_sound();
    // What was paid all the same has no business here.
    let mut late = shop.intent(&payment).snapshot(Mode::Test, shop.clock_now());
    late.sighting.standing = Standing::Captured { captured: payment.amount.minor(), refunded: 0 };
    shop.hear(vec![shop.gateway.event("payment_intent.succeeded", late)]).await;
    assert_eq!(shop.order(order.id).state, OrderState::Cancelled);
    assert!(shop.breaks().contains(&BreakKind::LateMoney), "{:?}", shop.breaks());
}
