//! `docs/TRIAGE.md` and the rules say the same, and every cause has its rule.

use std::{collections::BTreeSet, fs, path::Path};

use fsdiag::engine::{advice, report::Cause, rules::RULES};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sentence that a rule's file shows, as the page quotes it.
fn shown(cause: Cause) -> String {
    let path = root().join(format!("src/engine/rules/{}.rs", cause.name()));
    let text = fs::read_to_string(path).unwrap();
    let quoted = text.lines().take_while(|l| l.starts_with("//!")).filter_map(|l| l.strip_prefix("//! "));
    quoted.filter(|l| l.starts_with('>')).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_cause_has_one_rule_and_one_section() {
    let page = fs::read_to_string(root().join("../docs/TRIAGE.md")).unwrap();
    let ruled: BTreeSet<Cause> = RULES.iter().map(|rule| rule.cause()).collect();
    assert_eq!(ruled, Cause::ALL.iter().copied().collect());
    assert_eq!(RULES.len(), Cause::ALL.len());
    let mut from = 0;
    for rule in RULES {
        let heading = format!("\n## `{}` ({})\n", rule.cause().name(), rule.cause().class());
        let at =
            page[from..].find(&heading).unwrap_or_else(|| panic!("no section {heading}, or not in the rules' order"));
        from += at;
        let sentence = shown(rule.cause());
        assert!(sentence.len() > 40, "{}: no sentence in its doc comment", rule.cause().name());
        assert!(page[from..].contains(&sentence), "{}: the page quotes another sentence", rule.cause().name());
    }
    assert_eq!(page.matches("\n## `").count(), RULES.len());
}

#[test]
fn the_decision_rules_of_the_founding_document_are_advice() {
    let page = fs::read_to_string(root().join("../docs/TRIAGE.md")).unwrap();
    assert!(advice::SKIP_EVICTION.contains("if the hangs stop, the bug is in the eviction or close path"));
    assert!(advice::SKIP_EVICTION.contains("if they go on, it is elsewhere"));
    assert!(advice::SINGLE_THREAD.contains("if the bug disappears, it is a concurrency issue"));
    assert!(advice::GETATTR.contains("a high Getattr count suggests Getattr is blocked behind Release"));
    for rule in ["debug_skip_eviction", "debug_fskit_single_thread", "it is a concurrency issue"] {
        assert!(page.split_whitespace().collect::<Vec<_>>().join(" ").contains(rule), "{rule}");
    }
}
