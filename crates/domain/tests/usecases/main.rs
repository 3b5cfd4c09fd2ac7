//! The use cases end to end, on [`MemoryStore`](paywright_testkit::MemoryStore),
//! [`FakeGateway`](paywright_testkit::FakeGateway) and a clock that stands still until a test moves it.
#![expect(clippy::unwrap_used, reason = "a broken assumption shall stop the test")]

mod advance;
mod cancel;
mod conflicts;
mod crash;
mod crash_acts;
mod crash_pairs;
mod crash_play;
mod crash_truth;
mod crash_twice;
mod dispute;
mod fate;
mod hold;
mod money;
mod perform;
mod place;
mod race;
mod race_money;
mod reconcile;
mod reconcile_books;
mod reconcile_crash;
mod reconcile_stage;
mod record;
mod refund;
mod repair;
mod review;
mod scenarios;
mod start;
mod support;
mod sync;
mod unknown;
