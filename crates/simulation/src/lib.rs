//! What cannot be waited for: thousands of shops, each with its customers, its crashes and its bad luck, run in seconds
//! and repeatable to the last step from one number.
//!
//! # What is real
//!
//! The use cases of `paywright-domain`, the rules of its worker ([`RunJob`](paywright_domain::usecase::RunJob)), the
//! adapter of `paywright-stripe` with its forms, its judgement of answers and its reading of webhooks, and the
//! sandbox's model of Stripe. Only what does nothing but carry is left out: HTTP, PostgreSQL, threads and the clock.
//!
//! # What is played
//!
//! - **Time and chance** (`world`, `dice`): one clock, one generator, both from the seed.
//! - **Processes** (`process`): one to four of ours. Each serves requests, takes webhooks, works off jobs and takes
//!   its turn at reconciling. It may die at any await, stand still past its leases, and have a wrong clock.
//! - **Who goes on** (`executor`): every future gives way before and after the effect of each port call; which one is
//!   polled next is chance. A dead process is one whose futures are dropped.
//! - **Ports** (`ports`): the memory store, and the way to the model of Stripe, each with what goes wrong there
//!   ([`Fault`]).
//! - **Webhooks** (`net`): lost, doubled, late, in any order, outdated, forged.
//! - **People** (`edges`): customers with their cards and tabs, merchants, banks, and whoever is at the dashboard.
//!
//! # A run
//!
//! A seed first draws its [`Knobs`]: which faults exist at all, how often they strike, and by which [`Channels`] we
//! hear of Stripe. People act; then nobody begins anything new; then nothing goes wrong any more, and time passes
//! until nothing is left to do. What must hold always is checked after each commit and each request to Stripe, which is
//! where anything changes; what must hold in the end is checked then (`invariants`).
//!
//! ```
//! use paywright_simulation::{Knobs, run};
//!
//! let outcome = run(&Knobs::draw(7), false);
//! assert_eq!(outcome.violation, None);
//! ```
//!
//! # When something does not hold
//!
//! `cargo xtask simulate --seed N` runs it again, makes it smaller ([`shrink`]) and prints the shortest line of knobs
//! with the end of its trail; `--trail` prints all of it. Mend the cause, and add the line to `regressions.txt`.
//!
//! # How to add a fault
//! 1. A variant of [`Fault`] with its worst rate.
//! 2. `world.strikes(Fault::...)` where it may strike. Chance is asked only for classes that exist in the run.
//! 3. A [`Bug`] that only this fault reveals, if there is one: a fault that can reveal nothing is not worth its time.
//!
//! # How to add an invariant
//! A small function in `invariants`, named by its number, and a [`Bug`] that violates it.
#![deny(missing_docs)]

mod bugs;
mod dice;
mod edges;
mod executor;
mod fault;
mod invariants;
mod net;
mod ports;
mod process;
mod report;
mod run;
mod shrink;
mod swarm;
mod trail;
mod world;

pub use bugs::Bug;
pub use fault::{Each, Fault};
pub use invariants::Violation;
pub use report::Report;
pub use run::{Outcome, run};
pub use shrink::shrink;
pub use swarm::{Channels, Knobs, NoKnobs};
pub use trail::Trail;
