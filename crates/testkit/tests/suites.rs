//! A promise that no macro names would be held by nobody.

use std::{fs, path::Path};

#[test]
fn every_promise_is_in_a_suite() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract");
    let read = |path: &Path| fs::read_to_string(path).expect("our own source");
    let suites = read(&folder.join("mod.rs"));
    let files = fs::read_dir(&folder).expect("our own folder").map(|file| file.expect("a file").path());
    let mut promises = 0;
    for file in files.filter(|file| !file.ends_with("mod.rs") && !file.ends_with("stage.rs")) {
        let source = read(&file);
        for text in source.split("\npub async fn ").skip(1) {
            let name = text.split('(').next().unwrap_or_default();
            assert!(suites.contains(&format!(" {name},\n")), "{name} of {} is in no suite", file.display());
            promises += 1;
        }
        let documented = source.matches("/// Covers: ").count();
        assert_eq!(documented, source.matches("\npub async fn ").count(), "{}", file.display());
    }
    assert!(promises > 50, "only {promises} promises found");
}
