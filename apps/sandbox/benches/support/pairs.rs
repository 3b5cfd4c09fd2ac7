//! The work that is measured: a payment_intent is created, then confirmed.

use std::time::{Duration, Instant};

use paywright_sandbox::model::{Input, Method, Mode, Model, Request, Time};

pub(crate) const CREATE: &str = "amount=1999&currency=eur&metadata[order]=ord_1";
pub(crate) const CONFIRM: &str = "payment_method=pm_card_visa";

fn post(path: &str, form: &str) -> Input {
    let request = Request::new(Method::Post, path).key("sk_test_bench").form(form);
    Input::Request { request, fault: None }
}

/// Pairs a second through the model alone, on one core.
pub(crate) fn through_the_model(time: Duration) -> u128 {
    let mut model = Model::default();
    let create = post("/v1/payment_intents", CREATE);
    let (begun, mut count, mut entropy) = (Instant::now(), 0_u128, 0_u64);
    while begun.elapsed() < time {
        for _ in 0..100 {
            entropy += 1;
            let now = Time(i64::try_from(count).unwrap_or(i64::MAX));
            let created = model.apply(&create, now, entropy);
            let newest = model.world(Mode::Test).payment_intents.iter().next_back();
            let id = newest.map(|one| one.id.clone()).unwrap_or_default();
            let confirm = post(&format!("/v1/payment_intents/{id}/confirm"), CONFIRM);
            let confirmed = model.apply(&confirm, now, entropy);
            assert!(created.status == 200 && confirmed.status == 200);
            count += 1;
        }
    }
    count * 1_000 / begun.elapsed().as_millis().max(1)
}
