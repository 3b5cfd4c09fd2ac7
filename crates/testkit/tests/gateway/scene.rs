//! What every test of the gateway begins with.

use std::sync::Arc;

use paywright_domain::{
    GatewayCall, IntentId, Mode, Operation, Order, Payment, SessionId,
    ports::{Answer, Fact, Gateway, GatewayError, Heard, InboxEvent, Reply, Snapshot},
};
use paywright_testkit::{
    FakeGateway, ManualClock,
    builders::{self, OrderBuilder},
};
use time::Duration;

/// One order with one payment, and a gateway that knows nothing of them.
pub(crate) struct Scene {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) gateway: FakeGateway,
    pub(crate) order: Order,
    pub(crate) payment: Payment,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::of(builders::order())
    }

    pub(crate) fn of(order: OrderBuilder) -> Self {
        let clock = Arc::new(ManualClock::default());
        let gateway = FakeGateway::new(Mode::Test, clock.clone());
        let order = order.build();
        let payment = builders::payment(&order).build();
        Self { clock, gateway, order, payment }
    }

    pub(crate) fn call(&self, operation: Operation) -> GatewayCall {
        GatewayCall { operation, ..builders::call(&self.order, &self.payment) }
    }

    pub(crate) async fn intent(&self) -> IntentId {
        let answer = self.perform(&builders::call(&self.order, &self.payment)).await;
        answer.snapshot.sighting.intent.expect("an intent's name")
    }

    pub(crate) async fn session(&self) -> SessionId {
        let closes = ManualClock::START + Duration::HOUR;
        let operation =
            Operation::create_session(&self.order, "https://a.example", "https://b.example", closes);
        let answer = self.perform(&self.call(operation)).await;
        assert!(answer.url.is_some());
        answer.snapshot.sighting.session.expect("a page's name")
    }

    pub(crate) async fn cancel(&self, intent: &IntentId) -> Result<Reply, GatewayError> {
        let reason = "abandoned".to_owned();
        self.gateway.perform(&self.call(Operation::CancelIntent { intent: intent.clone(), reason })).await
    }

    pub(crate) async fn expire(&self, session: &SessionId) -> Result<Reply, GatewayError> {
        self.gateway.perform(&self.call(Operation::ExpireSession { session: session.clone() })).await
    }

    pub(crate) async fn perform(&self, call: &GatewayCall) -> Answer {
        match self.gateway.perform(call).await.expect("a call that goes well") {
            Reply::Payment(answer) => *answer,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn look(&self, intent: &IntentId) -> Snapshot {
        let looked = self.gateway.intent(intent).await.expect("a look that goes well");
        looked.expect("an intent").snapshot
    }

    pub(crate) async fn page(&self, session: &SessionId) -> Answer {
        let looked = self.gateway.session(session).await.expect("a look that goes well");
        looked.expect("a page")
    }

    pub(crate) fn understand(&self, event: &InboxEvent) -> Snapshot {
        match self.gateway.understand(&event.body) {
            Ok(Heard::Fact(Fact::Payment(snapshot))) => *snapshot,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn code(outcome: Result<Reply, GatewayError>) -> String {
    match outcome {
        Err(GatewayError::Rejected { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}
