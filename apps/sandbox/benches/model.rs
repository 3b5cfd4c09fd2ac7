//! How fast the pure model is: payment_intents created and confirmed a second, on one core.
//!
//! `cargo bench -p paywright-sandbox --bench model`; at least 5,000 a second is the aim.

#[path = "support/pairs.rs"]
mod pairs;

use std::time::Duration;

fn main() {
    let rate = pairs::through_the_model(Duration::from_secs(3));
    println!("pure model, one core: {rate} payment_intents created and confirmed a second (aim: 5,000)");
}
