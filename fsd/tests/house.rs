//! The house rules of docs/ARCHITECTURE.md that the compiler cannot check.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use fsd::process::{
    config::{keys::KEYS, value},
    exit::Exit,
};

/// Lowest floor first; a module may use modules of lower floors only.
const FLOORS: &[&[&str]] = &[&["platform"], &["observe"], &["data"], &["names"], &["kernel"], &["process"]];

/// The only modules that may name a word.
const ONLY_IN: &[(&str, &[&str])] = &[
    // The watchdog knows the loops by the names of their threads.
    ("fuser", &["kernel/fuse", "kernel/mount", "observe/watchdog"]),
    ("reqwest", &["data/origin"]),
    ("unsafe", &["platform", "observe/stacks", "observe/journal"]),
    ("Instant::now", &["platform/clock"]),
    ("SystemTime::now", &["platform/clock"]),
    ("parking_lot", &["observe/locks"]),
    ("anyhow", &["process"]),
    ("clap", &["process/cli"]),
    ("toml::de", &["process/config", "data/source"]),
];

const MAX_LINES: usize = 400;

/// Single lists, which may be long.
const TABLES: &[&str] = &["kernel/fuse/adapter", "process/cli"];

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

#[test]
fn the_documents_say_what_the_program_does() {
    let configuration = document("docs/CONFIG.md");
    for key in KEYS {
        let default = if key.default.is_empty() { "" } else { &format!("`{}`", key.default) };
        let row = format!("| `{}` | {default} | {} | {} |", key.name, value::allowed(key.kind), key.help);
        assert!(configuration.contains(&row), "docs/CONFIG.md lacks the row\n{row}");
    }
    let readme = document("README.md");
    for exit in Exit::ALL {
        assert!(readme.contains(&format!("| {} |", exit.code())), "README.md: no exit code {exit:?}");
    }
}

/// Where a store may be closed, and how its ways are called.
#[test]
fn r26_only_the_closer_closes_a_store_and_never_without_its_limit() {
    let closer = "data/closer";
    for path in source::product() {
        let (code, place) = (source::code(&path), source::place(&path));
        assert!(place == closer || !code.contains("store.close("), "{place} closes a store");
        let detaches = place == closer || place.starts_with("names/");
        assert!(detaches || !code.contains("Detached::new("), "{place} detaches a store");
    }
    let code = source::code(&source::src().join("data/closer.rs"));
    assert!(code.contains("timeout(shared.limit, &mut close)"), "{closer}: a close has a limit");
}

/// Cases in the name of a test: `r15_s02_what_is_seen` has two.
fn cases(test: &str) -> Vec<String> {
    let is_case = |word: &&str| {
        let number = word.strip_prefix(['r', 's']);
        number.is_some_and(|digits| digits.len() > 1 && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    test.split('_').take_while(is_case).map(str::to_uppercase).collect()
}

/// The rows of docs/FAULTS.md: the case and its last cell.
fn faults(page: &str) -> Vec<(&str, &str)> {
    let rows = page.lines().filter(|line| line.starts_with("| R") || line.starts_with("| S"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        (cells[0], cells[3])
    })
    .collect()
}

#[test]
fn the_page_of_faults_and_the_names_of_the_tests_agree() {
    let page = document("docs/FAULTS.md");
    let rows = faults(&page);
    let tests = source::tests();
    for number in 1..=52 {
        let case = format!("R{number:02}");
        assert_eq!(rows.iter().filter(|row| row.0 == case).count(), 1, "{case}");
    }
    for (case, shown) in &rows {
        let named: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
        let reason = shown.strip_prefix("not here: ");
        assert!(reason.is_some() || !named.is_empty(), "{case} has neither a test nor a reason");
        for test in named.iter().filter(|_| reason.is_none()) {
            assert!(tests.contains(*test), "{case}: there is no test {test}");
        }
        let own = named.iter().any(|test| cases(test).contains(&(*case).to_owned()));
        assert!(reason.is_some() || own || case.starts_with('S'), "{case}: no test bears its name");
    }
    for test in &tests {
        for case in cases(test) {
            let row = rows.iter().find(|row| row.0 == case);
            assert!(row.is_some_and(|row| row.1.contains(&format!("`{test}`"))), "docs/FAULTS.md: {case} lacks {test}");
        }
    }
}

/// A document of the repository.
fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
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

    /// The names of all functions in this crate and its tests that could be tests.
    pub(super) fn tests() -> BTreeSet<String> {
        let mut open = vec![src(), src().with_file_name("tests")];
        let mut found = BTreeSet::new();
        while let Some(path) = open.pop() {
            if let Ok(entries) = fs::read_dir(&path) {
                open.extend(entries.map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let after = text.split("#[test]").skip(1);
                let names = after.filter_map(|rest| rest.split("fn ").nth(1)?.split('(').next());
                found.extend(names.map(str::to_owned));
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
