//! The house rules of docs/ARCHITECTURE.md that the compiler cannot check.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Lowest floor first; a module may use modules of lower floors only.
///
/// The engine knows neither formats nor sources: they make facts, it folds them.
const FLOORS: &[&[&str]] = &[&["engine"], &["formats"], &["output"], &["sources"], &["commands"], &["tui"], &["cli"]];

/// The only modules that may name a word.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("unsafe", &["sources/ptrace", "sources/kernel"]),
    ("ratatui", &["tui"]),
    ("regex", &["formats"]),
    ("clap", &["cli", "commands", "tui/command"]),
    ("anyhow", &["cli", "commands", "tui"]),
    ("fsd::", &[]),
];

const MAX_LINES: usize = 400;

/// Single lists, which may be long.
const TABLES: &[&str] = &[];

#[test]
fn arrows_point_down() {
    for (depth, floor) in floors() {
        for used in source::uses(floor) {
            let below = floors().any(|(d, f)| f == used && d < depth);
            assert!(below, "{floor} (floor {depth}) may not use {used}");
        }
    }
}

#[test]
fn every_module_has_a_floor() {
    let known: BTreeSet<_> = floors().map(|(_, floor)| floor.to_owned()).collect();
    for module in source::modules() {
        assert!(known.contains(&module), "src/{module} stands on no floor: add it to FLOORS");
    }
}

#[test]
fn words_stay_home() {
    for path in source::product() {
        let code = source::code(&path);
        let place = source::place(&path);
        for (word, homes) in ONLY_IN {
            let at_home = homes.iter().any(|home| place == *home || place.starts_with(&format!("{home}/")));
            assert!(at_home || !source::names(&code, word), "`{word}` belongs to {homes:?}, found in {place}");
        }
    }
}

#[test]
fn files_are_introduced_and_small() {
    for path in source::all() {
        let text = fs::read_to_string(&path).unwrap();
        let place = source::place(&path);
        assert!(text.starts_with("//! "), "{place}: no module doc");
        let body = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(&text);
        let lines = body.lines().count();
        assert!(lines <= MAX_LINES || TABLES.contains(&place.as_str()), "{place}: {lines} lines: split it by noun");
    }
}

#[test]
fn nothing_is_unfinished_or_silenced() {
    for path in source::all() {
        let text = fs::read_to_string(&path).unwrap();
        for mark in ["TODO", "FIXME", "XXX", "#[ignore", "#[allow"] {
            assert!(!text.contains(mark), "{}: {mark}", source::place(&path));
        }
    }
}

fn floors() -> impl Iterator<Item = (usize, &'static str)> {
    FLOORS.iter().enumerate().flat_map(|(depth, floor)| floor.iter().map(move |name| (depth, *name)))
}

/// The crate's own source as text.
mod source {
    use super::*;

    pub(super) fn src() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
    }

    /// Names directly below `src`.
    pub(super) fn modules() -> BTreeSet<String> {
        let entries = fs::read_dir(src()).unwrap();
        let stems = entries.map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned());
        stems.filter(|stem| stem != "lib" && stem != "main").collect()
    }

    pub(super) fn all() -> Vec<PathBuf> {
        let mut open = vec![src()];
        let mut found = Vec::new();
        while let Some(path) = open.pop() {
            match fs::read_dir(&path) {
                Ok(entries) => open.extend(entries.map(|e| e.unwrap().path())),
                Err(_) if path.extension().is_some_and(|e| e == "rs") => found.push(path),
                Err(_) => (),
            }
        }
        found
    }

    /// Without files of unit tests: those may use what stands above, a scripted origin say.
    pub(super) fn product() -> Vec<PathBuf> {
        let is_test = |path: &Path| place(path).split('/').any(|part| part == "tests");
        all().into_iter().filter(|path| !is_test(path)).collect()
    }

    /// `process/cli` for `src/process/cli.rs`.
    pub(super) fn place(path: &Path) -> String {
        path.strip_prefix(src()).unwrap().with_extension("").to_string_lossy().into_owned()
    }

    /// Without comments and without the unit tests at the end.
    pub(super) fn code(path: &Path) -> String {
        let text = fs::read_to_string(path).unwrap();
        let body = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(&text);
        body.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
    }

    /// Whether `word` stands there as a word of its own.
    pub(super) fn names(code: &str, word: &str) -> bool {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        code.match_indices(word).any(|(at, _)| {
            let before = code[..at].chars().next_back().is_some_and(part);
            let after = code[at + word.len()..].chars().next().is_some_and(part);
            !before && !after
        })
    }

    /// The modules of this crate that a floor names, grouped imports included.
    pub(super) fn uses(floor: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let of_floor = |path: &&PathBuf| place(path) == floor || place(path).starts_with(&format!("{floor}/"));
        for path in product().iter().filter(of_floor) {
            for rest in code(path).split("crate::").skip(1) {
                found.extend(first_names(rest));
            }
        }
        found.retain(|module| module != floor && !module.is_empty());
        found
    }

    fn first_names(rest: &str) -> Vec<String> {
        let ident = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let Some(group) = rest.strip_prefix('{') else { return vec![ident(rest)] };
        let mut found = Vec::new();
        let mut depth = 0;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                _ => (),
            }
            if depth == 0 && (at == 0 || c == ',') {
                found.push(ident(group[at..].trim_start_matches([',', ' ', '\n'])));
            }
        }
        found
    }
}
