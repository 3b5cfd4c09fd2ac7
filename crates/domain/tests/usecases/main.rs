//! The use cases end to end, on [`MemoryStore`](paywright_testkit::MemoryStore),
//! [`FakeGateway`](paywright_testkit::FakeGateway) and a clock that stands still until a test moves it.

mod advance;
mod cancel;
mod conflicts;
mod crash;
mod perform;
mod place;
mod race;
mod record;
mod start;
mod support;
