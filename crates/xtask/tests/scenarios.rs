//! Prints `docs/scenarios.md`: which test covers which scenario. It fails when the file is stale.
//!
//! A test names what it covers in its doc comment: `/// Covers: fault 31, I20, D-10.`

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const PAGE: &str = "docs/scenarios.md";
const HEAD: &str = "# Scenarios and their tests

What must hold (`I`), what must be survived (`fault`), and what others got wrong (the other letters), with the tests that show
it. Printed by a test from the `Covers:` lines of the tests themselves; `UPDATE_DOCS=1 cargo test -p paywright-xtask` prints it
anew.

| scenario | tests |
|---|---|
";

#[test]
fn the_page_names_every_test_that_covers_a_scenario() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut covered: BTreeMap<Scenario, Vec<String>> = BTreeMap::new();
    for file in sources(root) {
        let name = file.strip_prefix(root).unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        for (scenario, test) in coverage(&text) {
            covered.entry(scenario).or_default().push(format!("`{test}` ({name})"));
        }
    }
    let rows = covered.iter().map(|(scenario, tests)| {
        let mut tests = tests.clone();
        tests.sort();
        tests.dedup();
        format!("| {scenario} | {} |\n", tests.join("<br>"))
    });
    let printed = format!("{HEAD}{}", rows.collect::<String>());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root.join(PAGE), &printed).unwrap();
    }
    let committed = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    assert!(committed == printed, "{PAGE} is stale: UPDATE_DOCS=1 cargo test -p paywright-xtask");
}

/// Sorted by family, then number: `D-2` before `D-10`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Scenario {
    family: String,
    number: u32,
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.family.as_str() {
            "I" => write!(f, "I{}", self.number),
            "fault" => write!(f, "fault {}", self.number),
            family => write!(f, "{family}-{}", self.number),
        }
    }
}

impl Scenario {
    /// `I14`, `fault 31`, `D-10`; with anything in brackets or after it passed over.
    fn parse(text: &str) -> Option<Self> {
        let text = text.split(['(', ';', ':']).next()?.trim().trim_end_matches('.').trim();
        let (family, number) = if let Some(number) = text.strip_prefix("fault ") {
            ("fault", number)
        } else if let Some((family, number)) = text.split_once('-') {
            (family, number)
        } else {
            ("I", text.strip_prefix('I')?)
        };
        let known =
            family == "fault" || (family.len() == 1 && family.chars().all(|c| c.is_ascii_uppercase()));
        known.then_some(())?;
        Some(Self { family: family.to_owned(), number: number.trim().parse().ok()? })
    }
}

/// Every scenario named in a doc comment, with the function below it.
fn coverage(text: &str) -> Vec<(Scenario, String)> {
    let (mut found, mut pending, mut listing) = (Vec::new(), Vec::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            let named = doc.split_once("Covers:").map(|(_, list)| list);
            listing = named.is_some() || (listing && !doc.trim().is_empty());
            if listing {
                let list = named.unwrap_or(doc);
                // A sentence may follow the list.
                let list = list.split(". ").next().unwrap_or(list);
                pending.extend(list.split(',').filter_map(Scenario::parse));
                listing = !list.trim_end().ends_with('.');
            }
        } else if let Some(name) = function(line) {
            found.extend(pending.drain(..).map(|scenario| (scenario, name.clone())));
            listing = false;
        } else if line.is_empty() || line.starts_with('}') {
            pending.clear();
        }
    }
    found
}

fn function(line: &str) -> Option<String> {
    let rest = line.split_once("fn ").filter(|(before, _)| {
        before.split_whitespace().all(|word| matches!(word, "pub" | "pub(crate)" | "pub(super)" | "async"))
    })?;
    let name: String = rest.1.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.join("crates"), root.join("apps")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                // The examples below cover nothing.
                && !path.ends_with("crates/xtask/tests/scenarios.rs")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn covers_lines_are_read_across_line_breaks_and_remarks() {
    let text = "
        /// A sentence. Covers: fault 31, I20 (in part),
        /// D-10. Another sentence with W-9, that does not count.
        #[tokio::test]
        async fn it_holds() {}

        /// Covers: nothing known.
        fn nor_this() {}
    ";
    let found: Vec<_> = coverage(text).into_iter().map(|(s, test)| format!("{s} {test}")).collect();
    assert_eq!(found, ["fault 31 it_holds", "I20 it_holds", "D-10 it_holds"]);
}
