//! Real questions with the sandbox's answers to them.

use std::sync::{Arc, OnceLock};

use paywright_domain::{CaptureMethod, Evidence, GatewayCall, IntentId, Metadata, Operation, SessionLine};
use paywright_sandbox::model::Method;
use paywright_stripe::Answered;

use super::{
    questions::{List, Question, Told},
    world::{NOW, Sandbox, adapter, call},
};

/// A question, and how it was answered.
#[derive(Clone)]
pub struct Scene {
    pub question: Question,
    pub call: GatewayCall,
    pub answers: Vec<Answered>,
}

pub fn scenes() -> &'static [Scene] {
    static SCENES: OnceLock<Vec<Scene>> = OnceLock::new();
    SCENES.get_or_init(|| {
        let mut stage = Stage { sandbox: Sandbox::new(), scenes: Vec::new() };
        stage.payments();
        stage.holds();
        stage.sessions();
        stage.disputes();
        stage.endpoints();
        stage.payouts();
        stage.scenes
    })
}

struct Stage {
    sandbox: Arc<Sandbox>,
    scenes: Vec<Scene>,
}

impl Stage {
    fn ask(&mut self, question: Question, call: &GatewayCall) -> Told {
        self.sandbox.answered();
        let told = question.ask(&adapter(self.sandbox.clone()), call, None);
        let told = told.unwrap_or_else(|error| panic!("{question:?}: {error:?}"));
        self.scenes.push(Scene { question, call: call.clone(), answers: self.sandbox.answered() });
        told
    }

    /// Asks for something that is to be there, and gives its name.
    fn made<T: TryFrom<String, Error: std::fmt::Debug>>(
        &mut self,
        question: Question,
        call: &GatewayCall,
    ) -> T {
        let told = self.ask(question, call);
        told.objects.into_iter().next().expect("something is told of").id.try_into().expect("an id")
    }

    fn confirm(&self, intent: &IntentId, method: &str) {
        let path = format!("/v1/payment_intents/{intent}/confirm");
        self.sandbox.send(Method::Post, &path, &format!("payment_method={method}"));
    }

    fn intent(&mut self, seed: u8, capture_method: CaptureMethod) -> (GatewayCall, IntentId) {
        let call = call(
            seed,
            Operation::CreateIntent {
                amount: 1999,
                currency: "usd".to_owned(),
                capture_method,
                receipt_email: Some("jenny@example.com".to_owned()),
                metadata: Metadata::from([("table".to_owned(), "7".to_owned())]),
            },
        );
        let intent = self.made(Question::Perform, &call);
        (call, intent)
    }

    fn payments(&mut self) {
        let (call_1, intent) = self.intent(1, CaptureMethod::Automatic);
        self.ask(Question::List(List::Events), &call_1);
        self.ask(Question::List(List::Undelivered), &call_1);
        self.ask(Question::Intent(intent.clone()), &call_1);
        self.confirm(&intent, "pm_card_visa");
        self.ask(Question::Intent(intent.clone()), &call_1);

        let (call_2, declined) = self.intent(2, CaptureMethod::Automatic);
        self.sandbox.answered();
        self.confirm(&declined, "pm_card_chargeDeclined");
        let answers = self.sandbox.answered();
        self.scenes.push(Scene { question: Question::Perform, call: call_2.clone(), answers });
        self.ask(Question::Intent(declined), &call_2);
        self.ask(Question::Find, &call_1);
        self.ask(Question::List(List::Payments), &call_1);

        let (amount, reason) = (500, Some("duplicate".to_owned()));
        let refund = Operation::CreateRefund { intent: intent.clone(), amount, reason, metadata: [].into() };
        let refund = call(1, refund);
        let id = self.made(Question::Perform, &refund);
        for question in [
            Question::Find,
            Question::Refund(id),
            Question::Refunds(intent),
            Question::List(List::Refunds),
            Question::List(List::Transactions),
        ] {
            self.ask(question, &refund);
        }
    }

    fn holds(&mut self) {
        let (_, intent) = self.intent(3, CaptureMethod::Manual);
        self.confirm(&intent, "pm_card_visa");
        self.ask(Question::Perform, &call(3, Operation::Capture { intent, amount: 1000 }));
        let (_, intent) = self.intent(4, CaptureMethod::Manual);
        self.confirm(&intent, "pm_card_visa");
        let reason = "requested_by_customer".to_owned();
        self.ask(Question::Perform, &call(4, Operation::CancelIntent { intent, reason }));
    }

    fn sessions(&mut self) {
        let create = call(
            5,
            Operation::CreateSession {
                currency: "eur".to_owned(),
                lines: vec![SessionLine { name: "Tea".to_owned(), unit_amount: 250, quantity: 2 }],
                capture_method: CaptureMethod::Automatic,
                customer_email: None,
                success_url: "https://a.example/?s={CHECKOUT_SESSION_ID}".to_owned(),
                cancel_url: "https://a.example/".to_owned(),
                expires_at: NOW.unix_timestamp() + 3_600,
                metadata: Metadata::new(),
            },
        );
        let session: paywright_domain::SessionId = self.made(Question::Perform, &create);
        self.ask(Question::Find, &create);
        self.ask(Question::Session(session.clone()), &create);
        self.ask(Question::Perform, &call(5, Operation::ExpireSession { session }));
    }

    fn disputes(&mut self) {
        for seed in [6, 7] {
            let (create, intent) = self.intent(seed, CaptureMethod::Automatic);
            self.confirm(&intent, "pm_card_createDispute");
            self.sandbox.advance(10);
            let dispute: paywright_domain::GatewayDisputeId = self.made(Question::Disputes(intent), &create);
            let parts = [("customer_name".to_owned(), "Ada Lovelace".to_owned())].into();
            let evidence = Evidence::parse(parts).expect("a name is a part");
            let answers = if seed == 6 {
                let stage = Operation::StageEvidence { dispute: dispute.clone(), evidence: evidence.clone() };
                vec![stage, Operation::SubmitEvidence { dispute: dispute.clone(), evidence }]
            } else {
                vec![Operation::CloseDispute { dispute: dispute.clone() }]
            };
            for answer in answers {
                self.ask(Question::Perform, &call(seed, answer));
            }
            self.ask(Question::Dispute(dispute), &create);
            self.ask(Question::List(List::Disputes), &create);
        }
    }

    fn endpoints(&mut self) {
        let none =
            call(8, Operation::ExpireSession { session: "cs_1".to_owned().try_into().expect("an id") });
        let id: String = self.made(Question::CreateEndpoint, &none);
        for question in [
            Question::Endpoints,
            Question::UpdateEndpoint(id.clone()),
            Question::DeleteEndpoint(id.clone()),
            Question::DeleteEndpoint(id),
        ] {
            self.ask(question, &none);
        }
    }

    /// Elsewhere: disputes left nothing to pay out.
    fn payouts(&mut self) {
        self.sandbox = Sandbox::new();
        let (none, intent) = self.intent(9, CaptureMethod::Automatic);
        self.confirm(&intent, "pm_card_bypassPending");
        self.sandbox.advance(3 * 86_400);
        let payout: paywright_domain::PayoutId = self.made(Question::List(List::Payouts), &none);
        self.ask(Question::PaidOut(payout), &none);
    }
}
