//! How fast the pure model is: payment_intents created and confirmed a second, on one core.
//!
//! `cargo bench -p paywright-sandbox`. It fails when it is slower than 5,000 a second.

use std::time::{Duration, Instant};

use paywright_sandbox::model::{Input, Method, Mode, Model, Request, Time};

const FLOOR: u128 = 5_000;

fn post(path: &str, form: &str) -> Input {
    let request = Request::new(Method::Post, path).key("sk_test_bench").form(form);
    Input::Request { request, fault: None }
}

fn main() {
    let mut model = Model::default();
    let create = post("/v1/payment_intents", "amount=1999&currency=eur&metadata[order]=ord_1");
    let (begun, mut count, mut entropy) = (Instant::now(), 0_u128, 0_u64);
    while begun.elapsed() < Duration::from_secs(3) {
        for _ in 0..100 {
            entropy += 1;
            let now = Time(i64::try_from(count).unwrap_or(i64::MAX));
            let created = model.apply(&create, now, entropy);
            let newest = model.world(Mode::Test).payment_intents.len() - 1;
            let id = model
                .world(Mode::Test)
                .payment_intents
                .at(newest)
                .map(|one| one.id.clone())
                .unwrap_or_default();
            let confirm = post(&format!("/v1/payment_intents/{id}/confirm"), "payment_method=pm_card_visa");
            let confirmed = model.apply(&confirm, now, entropy);
            assert!(created.status == 200 && confirmed.status == 200);
            count += 1;
        }
    }
    let rate = count * 1_000 / begun.elapsed().as_millis();
    println!("{rate} payment_intents created and confirmed a second ({count} in all)");
    assert!(cfg!(debug_assertions) || rate >= FLOOR, "slower than {FLOOR} a second");
}
