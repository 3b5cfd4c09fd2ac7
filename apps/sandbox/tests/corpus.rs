//! What the fuzzer found worth keeping, replayed with the ordinary compiler. See `fuzz/README.md`.

#[path = "../../../fuzz/script.rs"]
mod script;

#[test]
fn every_script_of_the_fuzzers_corpus_is_answered_as_stripe_would() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/requests");
    let mut scripts = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        script::run(&std::fs::read(entry.unwrap().path()).unwrap());
        scripts += 1;
    }
    assert!(scripts > 0, "the corpus is empty");
}
