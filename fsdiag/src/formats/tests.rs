//! Golden files: what every format's samples say, fact by fact.

use std::{fmt::Write as _, fs, path::PathBuf};

use proptest::prelude::*;

use super::{Line, Mixed, PARSERS, Taken, UNKNOWN, gate::GATE, scan};
use crate::engine::fact::{At, Call, Dump, Fact, InputId, KernelFact, Place, Sink, Thread, What};
use fsd_events::{event::Event, ids::RunId};

/// Keeps what it is given.
#[derive(Default)]
struct Kept {
    facts: Vec<Fact>,
    events: u64,
}

impl Sink for Kept {
    fn fact(&mut self, fact: Fact) {
        self.facts.push(fact.clone());
    }
    fn event(&mut self, _place: Place, _event: &Event<'_>) {
        self.events += 1;
    }
    fn unknown(&mut self, _place: Place, _run: RunId, _seq: u64, _wall_us: u64) {
        self.events += 1;
    }
}

fn read(bytes: &[u8]) -> (Kept, Mixed) {
    let mut mixed = Mixed::new(InputId(0));
    let mut kept = Kept::default();
    for line in bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|b| *b == b'\n') {
        mixed.line(line, &mut kept);
    }
    mixed.finish(&mut kept);
    (kept, mixed)
}

fn testdata(sub: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(sub)
}

/// Every sample: `testdata/formats/<format>/<name>.{log,txt}`.
fn samples() -> Vec<PathBuf> {
    let dirs = fs::read_dir(testdata("formats")).expect("samples lie in testdata/formats");
    let mut found: Vec<PathBuf> = dirs
        .flat_map(|dir| fs::read_dir(dir.expect("entry").path()).expect("one directory per format"))
        .map(|file| file.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "log" || ext == "txt"))
        .collect();
    found.sort();
    found
}

fn number<T: std::fmt::Display>(name: &str, value: Option<T>) -> String {
    value.map(|v| format!(" {name}={v}")).unwrap_or_default()
}

fn call(call: &Call) -> String {
    let mut text = format!("enter {} {}", call.op, call.key);
    text += &number("thread", call.thread.as_deref());
    text += &number("pid", call.pid);
    text += &number("ino", call.ino);
    text += &number("fh", call.fh);
    text += &number("off", call.off);
    text += &number("len", call.len);
    text += &number("path", call.path.as_deref());
    text += &number("doing", call.doing.as_ref().map(|(phase, _)| phase.name()));
    if call.ambiguous {
        text += " ambiguous";
    }
    text
}

fn thread(thread: &Thread) -> String {
    let mut text = format!("\n  {}", thread.label);
    text += &number("name", thread.name.as_deref());
    text += &number("count", Some(thread.count).filter(|n| *n != 1));
    text += &thread.state.as_deref().map(|s| format!(" [{s}]")).unwrap_or_default();
    text += &number("since_us", thread.since_us);
    text += &thread.op.map(|(key, op)| format!(" serves {op}{}", number("id", key))).unwrap_or_default();
    text += &thread.created_by.as_deref().map(|s| format!(" by {s}")).unwrap_or_default();
    for held in &thread.holds {
        let _ = write!(text, "\n    holds {}", held.key);
    }
    if let Some(lock) = &thread.waits_for {
        let owner = lock.owner.as_deref().map(|o| format!(" of {o}")).unwrap_or_default();
        let _ = write!(text, "\n    waits for {:?} {}{owner}", lock.mode, lock.key);
    }
    for frame in &thread.frames {
        let _ = write!(text, "\n    {}", frame.function);
        text += &number("args", Some(&*frame.args).filter(|a| !a.is_empty()).map(|a| scan::clip(a, 80)));
        text += &frame.file.as_deref().map(|f| format!(" at {f}")).unwrap_or_default();
        text += &frame.line.map(|l| format!(":{l}")).unwrap_or_default();
        text += &number("locals", Some(&*frame.locals).filter(|l| !l.is_empty()).map(|l| scan::clip(l, 80)));
    }
    text
}

fn dump(dump: &Dump) -> String {
    let mut text = format!("dump {}", dump.format);
    text += &number("pid", dump.pid);
    text += &number("process", dump.process.as_deref());
    if !dump.stated_cycle.is_empty() {
        let _ = write!(text, " cycle={}", dump.stated_cycle.join(","));
    }
    if dump.truncated {
        text += " truncated";
    }
    dump.threads.iter().for_each(|t| text += &thread(t));
    text
}

fn what(what: &What) -> String {
    match what {
        What::Session { workers, banner, .. } => format!("session{} {banner}", number("workers", *workers)),
        What::SessionEnd { crash, text, victim } => {
            let victim = victim.clone().unwrap_or_default();
            let victim = number("pid", victim.pid) + &number("name", victim.name);
            format!("end crash={crash}{victim} {text}")
        }
        What::Enter(c) => call(c),
        What::Exit(d) => {
            let mut text = format!("exit {}", d.key);
            text += &number("op", d.op);
            text += &number("us", d.us);
            text += &number("errno", d.errno);
            text + &number("bytes", d.bytes)
        }
        What::Completed(c) => format!("completed {} us={}{}", c.op, c.us, number("errno", c.errno)),
        What::OneSided => "one-sided".into(),
        What::Interrupt(key) => format!("interrupt {key}"),
        What::Watch { inflight, stalled } => {
            let counts: Vec<String> = inflight.iter().map(|(op, n)| format!("{op}={n}")).collect();
            let old: Vec<String> = stalled.iter().map(|(key, op, us)| format!("{op}#{key}:{us}")).collect();
            format!("watch {} stalled {}", counts.join(","), old.join(","))
        }
        What::Dump(d) => dump(d),
        What::Kernel(fact) => match &**fact {
            KernelFact::Blocked(task) => format!("blocked {task:?}"),
            other => format!("kernel {other:?}"),
        },
        What::Hint { kind, path, text, .. } => format!("hint {kind:?}{} {text}", number("path", path.as_deref())),
        What::Own(body) => format!("own {}", body.name()),
        other => format!("{other:?}"),
    }
}

fn facts(kept: &Kept, mixed: &Mixed) -> String {
    let mut text =
        format!("format {} lines {} bad {}\n", mixed.format(), mixed.counts().lines, mixed.counts().bad_lines);
    for fact in &kept.facts {
        let time = fact.at.wall_us.map(|us| format!(" wall={us}")).or(fact.at.mono_us.map(|us| format!(" mono={us}")));
        let _ = writeln!(text, "{}{}: {}", fact.place.line, time.unwrap_or_default(), what(&fact.what));
    }
    text
}

#[test]
fn a_name_that_looks_like_a_range_is_none() {
    let (kept, _) = read(b"2026/03/04 09:23:20 DEBUG : /: Lookup: name=\"len=5, offset=7\"\n");
    let What::Enter(call) = &kept.facts[0].what else { panic!("a Lookup begins: {:?}", kept.facts) };
    assert_eq!((call.path.as_deref(), call.len, call.off), (Some("len=5, offset=7"), None, None));
}

#[test]
fn every_sample_gives_the_facts_beside_it() {
    for path in samples() {
        let bytes = fs::read(&path).expect("sample");
        let (kept, mixed) = read(&bytes);
        let found = facts(&kept, &mixed);
        let golden = path.with_extension("facts");
        if std::env::var_os("WRITE_GOLDEN").is_some() {
            fs::write(&golden, &found).expect("golden file");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(found, expected, "{}", path.display());
        let folder = path.parent().and_then(|dir| dir.file_name()).and_then(|name| name.to_str());
        assert_eq!(
            Some(mixed.format()),
            folder.filter(|f| *f != "mixed").or(Some(mixed.format())),
            "{}",
            path.display()
        );
    }
}

#[test]
fn every_format_has_samples_of_work_of_a_hang_and_of_what_is_hard_to_read() {
    for entry in PARSERS.iter().filter(|entry| entry.format != UNKNOWN) {
        let dir = testdata("formats").join(entry.format);
        let count = samples().iter().filter(|path| path.starts_with(&dir)).count();
        assert!(count >= 3, "{count} samples of {}", entry.format);
        assert_eq!((entry.make)().format(), entry.format);
    }
}

#[test]
fn every_format_has_a_fuzz_target() {
    for entry in PARSERS {
        let name = entry.format.replace('-', "_");
        let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/fuzz_targets/{name}.rs"));
        let text = fs::read_to_string(&target).unwrap_or_default();
        assert!(text.contains(&format!("one(\"{}\"", entry.format)), "no fuzz target {}", target.display());
    }
}

#[test]
fn a_sample_cut_anywhere_is_read_to_its_cut() {
    for path in samples() {
        let bytes = fs::read(&path).expect("sample");
        let head = &bytes[..bytes.len().min(1200)];
        for end in 0..head.len() {
            let (_, mixed) = read(&head[..end]);
            assert!(mixed.counts().lines >= 1, "{} cut at {end}", path.display());
        }
    }
}

#[test]
fn a_line_of_a_megabyte_is_a_line_like_any_other() {
    let long = "x".repeat(1 << 20);
    let log = format!(
        "[FUSE] Open ENTER (id=1, path=/{long})\n{long}\n\"{long}\" prio=5\n[FUSE] Open EXIT (id=1, elapsed=45ms)\n"
    );
    let (kept, mixed) = read(log.as_bytes());
    assert_eq!(mixed.counts().lines, 4);
    assert!(matches!(kept.facts[..], [Fact { what: What::Enter(_), .. }, Fact { what: What::Exit(_), .. }]));
}

#[test]
fn a_log_of_nothing_but_begins_does_not_grow_the_parsers() {
    let mut mixed = Mixed::new(InputId(0));
    let mut counted = Counted(0);
    for n in 0..70_000_u64 {
        mixed.line(format!("2026/03/04 09:23:20 DEBUG : f{n}: Read: len=1, offset=0").as_bytes(), &mut counted);
        mixed.line(format!("unique: {n}, opcode: READ (15), nodeid: {n}, insize: 80, pid: 7").as_bytes(), &mut counted);
        mixed.line(format!("rx {n}: LOOKUP n1 [\"f{n}\"] 2b").as_bytes(), &mut counted);
        mixed.line(format!("[FUSE] Read ENTER fh={n} off=0 len=1").as_bytes(), &mut counted);
    }
    mixed.finish(&mut counted);
    assert_eq!(counted.0, 280_000);
}

/// Offers lines to each parser alone, as if no other took them: what the gate keeps from it, it must refuse.
fn check_gate<'a>(lines: impl Iterator<Item = &'a str> + Clone) {
    for (at, entry) in PARSERS.iter().enumerate() {
        let (mut parser, mut out) = ((entry.make)(), Vec::new());
        for (number, text) in lines.clone().enumerate() {
            let place = Place { input: InputId(0), line: number as u64 + 1, part: 0 };
            let kept_off = parser.is_idle() && GATE.of(text) & (1 << at) == 0;
            let before = out.len();
            let taken = parser.line(&Line { place, text, at: At::default(), host: "" }, &mut out);
            if kept_off {
                assert_eq!((taken, out.len(), parser.is_idle()), (Taken::No, before, true), "{}: {text}", entry.format);
            }
        }
    }
}

#[test]
fn no_line_that_a_parser_takes_is_kept_from_it() {
    let texts: Vec<String> =
        samples().iter().map(|path| String::from_utf8_lossy(&fs::read(path).expect("sample")).into_owned()).collect();
    let mut lines: Vec<String> = Vec::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        super::envelope::open(line, true, |opened| lines.push(opened.text.to_owned()));
    }
    check_gate(lines.iter().map(String::as_str));
    check_gate(lines.iter().rev().map(String::as_str));
    for step in [7, 31, 101] {
        check_gate((0..lines.len()).map(|n| &*lines[n * step % lines.len()]));
    }
}

/// Keeps nothing.
struct Counted(u64);

impl Sink for Counted {
    fn fact(&mut self, _fact: Fact) {
        self.0 += 1;
    }
    fn event(&mut self, _place: Place, _event: &Event<'_>) {}
    fn unknown(&mut self, _place: Place, _run: RunId, _seq: u64, _wall_us: u64) {}
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_stop_a_parser(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        read(&bytes);
    }

    #[test]
    fn mutated_samples_never_stop_a_parser(seed in any::<u64>(), at in any::<prop::sample::Index>(), with in "\\PC{0,6}") {
        let all = samples();
        let path = &all[(seed % all.len() as u64) as usize];
        let mut text = String::from_utf8_lossy(&fs::read(path).expect("sample")).into_owned();
        let mut from = at.index(text.len().max(1));
        while !text.is_char_boundary(from) { from -= 1; }
        let mut to = (from + 1 + (seed % 7) as usize).min(text.len());
        while !text.is_char_boundary(to) { to += 1; }
        text.replace_range(from..to, &with);
        read(text.as_bytes());
        check_gate(text.lines());
    }
}
