//! What the fuzzer found worth keeping, replayed with the ordinary compiler. See `fuzz/README.md`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/script.rs"]
mod script;

#[test]
fn every_script_of_the_fuzzers_corpus_is_answered_as_stripe_would() {
    replay::replay("requests", script::run);
}
