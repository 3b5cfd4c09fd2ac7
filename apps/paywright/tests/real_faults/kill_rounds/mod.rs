//! Kill rounds: real processes on a durable database, a sandbox of its own process as Stripe, customers who never stop;
//! and in each round something is killed, stopped, ended or started anew. Then everything is compared with Stripe's truth.
//!
//! Short as a test; `cargo xtask kill-rounds` runs as many rounds as one likes, the same ones for the same seed.

pub(crate) mod audit;
pub(crate) mod fleet;
pub(crate) mod plan;
pub(crate) mod shop;
pub(crate) mod strike;
mod tally;

use std::time::{Duration, Instant};

use clap::Parser;

use self::{
    fleet::Fleet,
    plan::{Dice, Options, Webhooks},
    shop::Shop,
    tally::Tally,
};

/// Customers of one round, and how many of them at the same time.
const CUSTOMERS: usize = 12;
const AT_ONCE: usize = 6;
/// Where the options are when this runs as more than a test.
const OPTIONS: &str = "PAYWRIGHT_KILL_ROUNDS";

/// Covers: fault 57, fault 58, fault 73, fault 76, fault 85, fault 87, fault 89, fault 90, fault 91, I1, I2, I4, I7, I9, I12,
/// I14, I17, I18, I20, I24, I25, I27.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_nothing_acknowledged_is_lost_and_nothing_is_doubled() {
    let words = std::env::var(OPTIONS).unwrap_or_default();
    let options = Options::parse_from(["kill-rounds"].into_iter().chain(words.split_whitespace()));
    run(&options).await;
}

async fn run(options: &Options) {
    let (begun, mut dice) = (Instant::now(), Dice::new(options.seed));
    let rounds = options.rounds(&mut dice);
    let fleet = Fleet::start().await;
    let mut shop = Shop::open(&fleet).await;
    let mut tally = Tally::default();
    let mut lossy = false;
    for (n, round) in (1..).zip(&rounds) {
        let begun = Instant::now();
        tally.count(round);
        fleet.webhooks_go_wrong(round.webhooks).await;
        lossy |= round.webhooks == Webhooks::Lost;
        let carts = shop.carts(CUSTOMERS, &mut dice);
        let (recovery, sales) =
            tokio::join!(fleet.wreck(round, &mut dice), shop.sell(&fleet, carts, AT_ONCE));
        shop.sold.extend(sales);
        tally.recovered(recovery);
        let mut violations = Vec::new();
        if n % options.audit_every == 0 || n == rounds.len() {
            fleet.settle(std::mem::take(&mut lossy)).await;
            violations = audit::audit(&fleet, &shop).await;
        }
        println!(
            "round {n:>3} of {}: {:<60} {:>4} orders so far, {:>5.1} s{}",
            rounds.len(),
            round.to_string(),
            shop.sold.len(),
            begun.elapsed().as_secs_f32(),
            violations.iter().map(|what| format!("\n  VIOLATION {what}")).collect::<String>(),
        );
        tally.violations += violations.len();
        if tally.violations > 0 {
            break;
        }
    }
    tally.print(&shop, begun.elapsed());
    println!("again: cargo xtask kill-rounds {options}");
    assert_eq!(tally.violations, 0, "see above");
    fleet.end().await;
    assert!(tally.longest < Duration::from_secs(60), "{:?}", tally.longest);
}
