//! What the fuzzers found worth keeping, replayed with the ordinary compiler. See `fuzz/README.md`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[expect(unreachable_pub, reason = "the fuzz targets name it from outside")]
#[path = "../../../fuzz/src/app/mod.rs"]
mod properties;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

use properties::{client_address, cursors, fingerprint, money};
use replay::replay;

/// Covers: I8, fault 109, fault 110.
#[test]
fn money_stays_exact_on_all_its_ways() {
    replay("money", money::run);
}

#[test]
fn a_fingerprint_is_of_one_request() {
    replay("fingerprint", fingerprint::run);
}

#[test]
fn a_page_begins_where_its_cursor_says() {
    replay("cursors", cursors::run);
}

/// Covers: S-4.
#[test]
fn nothing_that_a_client_writes_makes_it_another() {
    replay("client_address", client_address::run);
}
