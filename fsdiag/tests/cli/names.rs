//! Names of files hold what they like: none of it is an order to the terminal, or a line of ours.

use std::{path::Path, process::Command};

const FSDIAG: &str = env!("CARGO_BIN_EXE_fsdiag");
/// Clears the screen, says that all is well on a line of its own, and renames the window.
const FILE: &str = "../testdata/inputs/name-with-orders.jsonl";

fn said(args: &[&str], env: &[(&str, &str)]) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let output = Command::new(FSDIAG).args(args).arg(file).envs(env.iter().copied()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The words that show whether the name was taken for more than a name.
fn is_only_a_name(text: &str) {
    assert!(text.contains("all is well") && text.contains("owned"), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("healthy")), "{text:?}");
    for order in ["\u{1b}[2J", "\u{1b}[1;1H", "\u{1b}]", "\u{7}", "\r"] {
        assert!(!text.contains(order), "{order:?} in {text:?}");
    }
}

#[test]
fn a_report_gives_the_terminal_no_orders_of_a_name() {
    let text = said(&["analyze"], &[]);
    is_only_a_name(&text);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let coloured = said(&["analyze"], &[("CLICOLOR_FORCE", "1")]);
    is_only_a_name(&coloured);
    assert!(coloured.starts_with("\u{1b}[1;31m!\u{1b}[0m \u{1b}[1;31mRelease #36 has held"), "{coloured:?}");
}

#[test]
fn a_followed_file_gives_the_terminal_no_orders_of_a_name() {
    is_only_a_name(&said(&["tail", "-n", "200", "--for", "0.1"], &[]));
    is_only_a_name(&said(&["tail", "-n", "200", "--for", "0.1", "--stalled-after", "1"], &[("CLICOLOR_FORCE", "1")]));
}

#[test]
fn the_plain_screens_give_the_terminal_no_orders_of_a_name() {
    is_only_a_name(&said(&["tui", "--plain"], &[]));
}
