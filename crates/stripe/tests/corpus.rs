//! What the fuzzers found worth keeping, replayed with the ordinary compiler. See `fuzz/README.md`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[expect(unreachable_pub, reason = "the fuzz targets name it from outside")]
#[path = "../../../fuzz/src/stripe/mod.rs"]
mod properties;

use properties::{events, forms, objects, signature};

fn replay(target: &str, run: fn(&[u8])) {
    let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut inputs = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        run(&std::fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "the corpus is empty");
}

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
