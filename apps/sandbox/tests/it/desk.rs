//! The pure model, with a client's shorthands.

use paywright_sandbox::model::by_hand::ByHand;
use paywright_sandbox::model::control::ClockCommand;
use paywright_sandbox::model::delivery::Outcome;
use paywright_sandbox::model::{Control, Effect, Input, Method, Model, Request, Response, Time};
use serde_json::Value;

pub(crate) const INTENTS: &str = "/v1/payment_intents";

/// A model and its real time.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) model: Model,
    steps: u64,
}

pub(crate) struct Reply {
    pub(crate) response: Response,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn id(&self) -> String {
        self.text("id").to_owned()
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.body))
    }

    pub(crate) fn rows(&self) -> &[Value] {
        self.body["data"].as_array().unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.response.status, 200, "{}", self.body);
        self
    }

    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.response.status, self.body["error"]["param"].as_str().unwrap_or_default())
    }
}

impl Desk {
    pub(crate) fn apply(&mut self, input: &Input) -> Response {
        self.steps += 1;
        self.model.apply(input, Time(0), self.steps)
    }

    pub(crate) fn send(&mut self, request: Request, fault: Option<Effect>) -> Reply {
        let response = self.apply(&Input::Request { request: request.key("sk_test_1"), fault });
        let body = serde_json::from_str(&response.body).unwrap();
        Reply { response, body }
    }

    pub(crate) fn post(&mut self, path: &str, form: &str) -> Reply {
        self.send(Request::new(Method::Post, path).form(form), None)
    }

    pub(crate) fn get(&mut self, path: &str) -> Reply {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        self.send(Request { query: query.to_owned(), ..Request::new(Method::Get, path) }, None)
    }

    pub(crate) fn pay(&mut self, more: &str) -> Reply {
        self.post(INTENTS, &format!("amount=1000&currency=usd&confirm=true&{more}"))
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        let millis = seconds * 1_000;
        self.apply(&Input::Control(Control::Clock(ClockCommand::Advance { millis })));
    }

    pub(crate) fn events(&mut self, query: &str) -> Vec<Value> {
        let page = self.get(&format!("/v1/events?limit=100&{query}")).ok();
        page.rows().iter().rev().cloned().collect()
    }

    pub(crate) fn event_types(&mut self) -> Vec<String> {
        self.events("").iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// What a person does apart from the API.
    pub(crate) fn by_hand(&mut self, id: &str, deed: Value) -> Reply {
        let deed = serde_json::from_value(deed).unwrap();
        self.control(Control::ByHand(ByHand { id: id.to_owned(), deed }))
    }

    pub(crate) fn control(&mut self, control: Control) -> Reply {
        let response = self.apply(&Input::Control(control));
        let body = serde_json::from_str(&response.body).unwrap();
        Reply { response, body }
    }

    /// The types of the events after the first `known`.
    pub(crate) fn events_since(&mut self, known: usize) -> Vec<String> {
        self.event_types().split_off(known)
    }

    /// Sends what is due to an endpoint that answers `status`.
    pub(crate) fn deliver(&mut self, status: u16) -> usize {
        let due = self.model.due_deliveries(Time(0), 100, |_, _| false);
        for (mode, outgoing) in &due {
            let outgoing = outgoing.as_ref().unwrap();
            let outcome = Outcome { status: Some(status), ..Outcome::default() };
            let (delivery, url) = (outgoing.delivery, outgoing.url.clone());
            self.apply(&Input::Attempt { mode: *mode, delivery, url, outcome });
        }
        due.len()
    }

    pub(crate) fn subscribe(&mut self, more: &str) -> Reply {
        let customer = self.post("/v1/customers", "email=a@example.com").ok().id();
        let price = self.price(1500);
        let form = format!("customer={customer}&items[0][price]={price}&payment_behavior=default_incomplete");
        self.post("/v1/subscriptions", &format!("{form}&expand[]=latest_invoice.confirmation_secret&{more}"))
            .ok()
    }

    pub(crate) fn price(&mut self, amount: i64) -> String {
        let form =
            format!("currency=usd&unit_amount={amount}&recurring[interval]=month&product_data[name]=Club");
        self.post("/v1/prices", &form).ok().id()
    }
}
