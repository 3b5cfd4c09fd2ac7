//! What the fuzzers found worth keeping, replayed with the ordinary compiler. See `fuzz/README.md`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[expect(unreachable_pub, reason = "the fuzz targets name it from outside")]
#[path = "../../../fuzz/src/stripe/mod.rs"]
mod properties;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

use properties::{events, forms, objects, signature};
use replay::replay;

/// Covers: fault 38.
#[test]
fn only_what_stripe_signed_is_accepted() {
    replay("signature", signature::run);
}

#[test]
fn an_event_is_read_as_it_is_written_or_kept_whole() {
    replay("events", events::run);
}

#[test]
fn a_form_says_what_was_recorded() {
    replay("forms", forms::run);
}

/// Covers: fault 5.
#[test]
fn nothing_is_told_that_stripe_did_not_say() {
    replay("objects", objects::run);
}
