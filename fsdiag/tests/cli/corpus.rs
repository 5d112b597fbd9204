//! Real cases with known truth: every case with all its files, and each file alone as far as it can tell.
//!
//! Claiming more than a file can tell is as wrong as missing what it tells. The results stand in `docs/CORPUS.md`;
//! `WRITE_GOLDEN=1` writes them anew.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report, Verdict};
use serde_json::Value;

fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/corpus")
}

struct Case {
    id: String,
    truth: Value,
    /// Name and role.
    files: Vec<(String, String)>,
}

fn cases() -> Vec<Case> {
    let mut dirs: Vec<PathBuf> =
        fs::read_dir(testdata()).expect("the corpus").map(|e| e.expect("entry").path()).collect();
    dirs.sort();
    dirs.iter().map(|dir| Case::read(&fs::read_to_string(dir.join("truth.json")).expect("truth"))).collect()
}

impl Case {
    fn read(text: &str) -> Self {
        let truth: Value = serde_json::from_str(text).expect("truth is JSON");
        let word = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let files = truth["files"].as_array().expect("files").iter();
        let files =
            files.map(|f| (word(f, "name"), word(f, "role"))).filter(|(_, role)| role == "log" || role == "dump");
        Self { id: word(&truth, "id"), files: files.collect(), truth }
    }

    fn analyze(&self, files: &[&str]) -> Report {
        let paths = files.iter().map(|file| testdata().join(&self.id).join(file));
        let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
        let output = command.args(["analyze", "--format", "json"]).args(paths).output().expect("fsdiag runs");
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{} {files:?}: {e}: {text} {output:?}", self.id))
    }

    fn ids(&self, key: &str) -> BTreeSet<String> {
        self.truth[key].as_array().into_iter().flatten().map(id).collect()
    }

    fn is_healthy(&self) -> bool {
        self.truth["healthy"] == true
    }

    /// The words of the report that are right for this case.
    fn causes(&self) -> Vec<Cause> {
        let also = self.truth["cause_also"].as_array().into_iter().flatten();
        std::iter::once(&self.truth["cause"])
            .chain(also)
            .flat_map(|cause| causes(cause.as_str().unwrap_or_default()))
            .collect()
    }

    /// Everything that names the one to blame: ids of the log, threads of the dumps.
    fn culprits(&self) -> BTreeSet<String> {
        let culprit = &self.truth["culprit"];
        let mut names = self.ids("culprit_any_of");
        names.extend(Some(&culprit["id"]).filter(|v| !v.is_null()).map(id));
        let members = self.truth["cycle"].as_array().into_iter().flatten().chain([culprit]);
        for member in members {
            names.extend(member["goroutine"].as_u64().map(|n| format!("goroutine {n}")));
            names.extend(member["lwp"].as_u64().or(member["thread"].as_u64()).map(|n| format!("thread {n}")));
            names.extend(member["thread"].as_str().map(|name| format!("thread {name}")));
        }
        names
    }
}

/// An id as reports spell it.
fn id(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(line) => format!("line {}", line["line"]),
        other => other.to_string(),
    }
}

fn causes(word: &str) -> Vec<Cause> {
    match word {
        "lock_held_across_io" => vec![Cause::LockPileup, Cause::CloseBlocked],
        "deadlock_cycle" => vec![Cause::DeadlockCycle],
        "upstream_stall" => vec![Cause::UpstreamStall],
        "single_thread_blocked" | "worker_pool_exhausted" => vec![Cause::WorkerStarvation],
        "lost_reply" => vec![Cause::LostReply],
        "daemon_crash" => vec![Cause::DaemonGone],
        _ => Vec::new(),
    }
}

/// What was wrong with an answer; empty: nothing.
type Faults = Vec<String>;

/// The id must be right where one is given; a thread counts where the answer names no request.
fn blamed_rightly(case: &Case, verdict: &Verdict) -> bool {
    let wanted = case.culprits();
    if wanted.is_empty() {
        return true;
    }
    let Some(culprit) = &verdict.culprit else { return case.truth["culprit"]["id"].is_null() };
    let thread = culprit.thread.as_deref().unwrap_or_default();
    match culprit.id.as_deref() {
        Some(id) => wanted.contains(id),
        None => wanted.iter().any(|name| name == thread || name.strip_prefix("thread ").is_some_and(|n| n == thread)),
    }
}

/// All that the truth says: what every file together must give, and a file alone that can tell all.
fn full(case: &Case, report: &Report, orphans: bool) -> Faults {
    let mut faults = health(case, report);
    if let (false, Some(verdict)) = (case.is_healthy(), report.verdicts.first()) {
        if !case.causes().contains(&verdict.cause) {
            faults.push(format!("cause {}", verdict.cause.name()));
        }
        if !blamed_rightly(case, verdict) {
            faults.push(format!("blames {:?}", verdict.culprit));
        }
    }
    if orphans && case.truth["hang"] == true {
        faults.extend(open_requests(case, report));
    }
    faults
}

fn health(case: &Case, report: &Report) -> Faults {
    match (case.is_healthy(), report.verdicts.first()) {
        (true, Some(verdict)) => vec![format!("false alarm: {}", verdict.sentence)],
        (false, None) => vec!["nothing found".to_owned()],
        _ => Vec::new(),
    }
}

/// Requests that are truly open; logs without ids name them by line, so there only their number counts.
fn open_requests(case: &Case, report: &Report) -> Faults {
    let wanted = case.ids("orphans");
    let found: BTreeSet<String> = report.orphans.iter().map(|orphan| orphan.id.clone()).collect();
    let by_line = |set: &BTreeSet<String>| set.iter().all(|id| id.starts_with("line "));
    let same = match by_line(&found) && !by_line(&wanted) {
        true => found.len() == wanted.len(),
        false => found == wanted,
    };
    if same { Vec::new() } else { vec![format!("open {found:?}, truly {wanted:?}")] }
}

/// What is said firmly must be right, whatever the file can tell.
fn nothing_wrong(case: &Case, report: &Report, least: Confidence) -> Faults {
    let firm = report.verdicts.first().filter(|verdict| verdict.confidence >= least);
    let Some(verdict) = firm else { return Vec::new() };
    let right = !case.is_healthy() && case.causes().contains(&verdict.cause) && blamed_rightly(case, verdict);
    if right { Vec::new() } else { vec![format!("claims too much: {}", verdict.sentence)] }
}

/// One file alone.
fn alone(case: &Case, role: &str, report: &Report) -> Faults {
    match case.truth["verdict_from"][role].as_str().unwrap_or_default() {
        "full" => full(case, report, role == "log"),
        "health" => health(case, report),
        "hang" => {
            [health(case, report), open_requests(case, report), nothing_wrong(case, report, Confidence::High)].concat()
        }
        "open" | "nothing" | "hint" | "misleading" => nothing_wrong(case, report, Confidence::Medium),
        other => vec![format!("verdict_from says {other:?}")],
    }
}

fn mark(faults: &Faults) -> &'static str {
    if faults.is_empty() { "right" } else { "**wrong**" }
}

fn answer(report: &Report) -> String {
    let Some(verdict) = report.verdicts.first() else { return "healthy".to_owned() };
    let culprit = verdict.culprit.as_ref();
    let op = culprit.and_then(|c| c.op.as_deref()).map(|op| format!(" {op}")).unwrap_or_default();
    let name =
        culprit.and_then(|c| c.id.as_deref().or(c.thread.as_deref())).map(|id| format!(" {id}")).unwrap_or_default();
    format!("{} ({}){op}{name}", verdict.cause.name(), verdict.confidence.name())
}

#[test]
fn every_case_is_judged_rightly_with_all_files_and_with_each_alone() {
    let mut table = String::new();
    let mut faults = String::new();
    let (mut right, mut right_alone, mut files) = (0, 0, 0);
    let all = cases();
    for case in &all {
        let names: Vec<&str> = case.files.iter().map(|(name, _)| name.as_str()).collect();
        let together = case.analyze(&names);
        let found = full(case, &together, true);
        right += usize::from(found.is_empty());
        let mut each = String::new();
        for (name, role) in &case.files {
            let report = case.analyze(&[name]);
            let wrong = alone(case, role, &report);
            files += 1;
            right_alone += usize::from(wrong.is_empty());
            let can = case.truth["verdict_from"][role].as_str().unwrap_or_default();
            let _ = write!(
                each,
                "{}`{name}` ({can}) {}: {}",
                if each.is_empty() { "" } else { "<br>" },
                mark(&wrong),
                answer(&report)
            );
            wrong.iter().for_each(|fault| faults += &format!("{} {name}: {fault}\n", case.id));
        }
        found.iter().for_each(|fault| faults += &format!("{} all: {fault}\n", case.id));
        let title = case.truth["case"].as_str().unwrap_or_default();
        let cause = case.truth["cause"].as_str().unwrap_or_default();
        let _ = writeln!(table, "| {} {title} | {cause} | {}: {} | {each} |", case.id, mark(&found), answer(&together));
    }
    let head =
        format!("{right} of {} cases right with all files, {right_alone} of {files} files right alone.", all.len());
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/CORPUS.md");
    let found = format!(
        "{INTRODUCTION}\n{head}\n\n| case | truth | all files | each file alone (what it can tell) |\n|---|---|---|---|\n{table}"
    );
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::write(&page, &found).expect("the page is written");
    }
    assert_eq!(fs::read_to_string(&page).unwrap_or_default(), found, "docs/CORPUS.md is out of date\n{faults}");
    assert!(faults.is_empty(), "{head}\n{faults}");
}

const INTRODUCTION: &str = "\
# The corpus

`testdata/corpus` holds logs and dumps of real daemons that served real mounts, each with its truth, which was
arranged beforehand and taken from the kernel's own FUSE events, never from the log. `fsdiag analyze` reads every case
with all its files, then each file alone. What a file can tell alone differs: `full`; `hang`, that something hangs and
which requests, not why; `open`, requests without an answer but no times; `hint`; `health`; `nothing`. Claiming more
than that firmly is a failure. This page is compared by a test.
";
