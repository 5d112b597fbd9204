//! What is written is read again; what is cut or changed is noticed.

mod example;
mod strategies;

use proptest::prelude::*;

use super::{Cause, Doing, How, NoStack, Section, StackDump, read, write};
use example::example;
use strategies::dump;

fn spelt(dump: &StackDump<'_>) -> String {
    let mut out = String::new();
    write(dump, &mut out).expect("a String takes everything");
    out
}

#[test]
fn a_person_can_read_the_file() {
    let text = spelt(&example());
    let expected = [
        "fsd-stacks 1",
        "time: 2026-11-23T21:47:05.123456Z",
        "daemon: fsd 0.1.0 linux x86_64",
        "reason: stall oldest=12.004s repeat=0",
        "op 456 Release age=12.004s thread=4301 pid=0 unique=90 ino=42 fh=7 wait=L1 need=- phase=lock path=-",
        "lock L1 \"handles\" kind=mutex key=- holders=1 waiters=1",
        "  holder op=455 thread=4299 mode=write for=12.310s at fsd/src/names/handles.rs:120",
        "pileup lock=L1 waiters=1 blocked_ops=1 root_thread=4299 root_op=455 root_doing=futex",
        "thread 4301 \"fuse-1\" [lock-wait, 12.004s, op=456]:",
        "  - waiting for L1 \"handles\" (write) held by op=455 thread=4299",
        "  - holds L1 \"handles\" key=- (write) for 12.310s",
        "  #0 0x00007f212a296f36 syscall (module 0+0x108f36)",
        "  #1 inline             lock_api::mutex::Mutex<R,T>::lock (lock_api-0.4.14/src/mutex.rs:214)",
        "  #- elided 3",
        "task 12 download [pending, 12.400s, op=455]:",
    ];
    for line in expected {
        assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
    }
}

#[test]
fn every_truncation_of_a_file_is_recognised_and_gives_what_was_there() {
    let dump = example();
    let text = spelt(&dump);
    for cut in 0..text.len() {
        let got = read(&text[..cut]);
        assert!(!got.complete, "cut at {cut} of {} went unnoticed", text.len());
    }
    let half = read(&text[..text.find("thread 4299").expect("it is there")]);
    assert_eq!(half.dump.ops, dump.ops);
    assert_eq!(half.dump.findings, dump.findings);
    assert_eq!(half.dump.threads[..], dump.threads[..1]);
}

#[test]
fn a_deleted_or_doubled_line_is_recognised() {
    let text = spelt(&example());
    let lines: Vec<&str> = text.lines().collect();
    for at in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(at);
        assert!(!read(&(fewer.join("\n") + "\n")).is_sound(), "line {at} is gone: {:?}", lines[at]);
        let mut more = lines.clone();
        more.insert(at, lines[at]);
        assert!(!read(&(more.join("\n") + "\n")).is_sound(), "line {at} is doubled: {:?}", lines[at]);
    }
}

#[test]
fn an_unknown_line_is_a_problem_with_its_place() {
    let text = spelt(&example()).replace("\n== locks", "\nweather fine\n== locks");
    let got = read(&text);
    assert!(!got.complete);
    let line = 1 + text.lines().position(|l| l == "weather fine").expect("it is there") as u64;
    assert!(got.problems.iter().any(|p| p.line == line), "{:?}", got.problems);
    assert_eq!(got.dump.threads, example().threads);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_again(dump in dump()) {
        let text = spelt(&dump);
        let got = read(&text);
        prop_assert!(got.is_sound(), "{:?}\n{}", got.problems, text);
        prop_assert_eq!(got.dump, dump);
    }

    #[test]
    fn a_changed_byte_is_recognised(dump in dump(), at in any::<prop::sample::Index>(), byte in 0x20..0x7fu8) {
        let text = spelt(&dump);
        let mut bytes = text.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte && bytes[at].is_ascii());
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).expect("ASCII for ASCII");
        prop_assert!(!read(&changed).is_sound());
    }

    #[test]
    fn reading_noise_never_panics(text in "[ -~\n]{0,400}", cut in any::<prop::sample::Index>()) {
        let example = spelt(&example());
        let at = cut.index(example.len());
        let spliced = format!("{}{text}{}", &example[..at], &example[at..]);
        let got = read(&spliced);
        prop_assert!(text.is_empty() || !got.is_sound());
    }
}

#[test]
fn the_document_knows_every_word() {
    let document = include_str!("../../../../docs/STACKS.md");
    let words = Doing::ALL.iter().map(|w| w.name());
    let words = words.chain(Cause::ALL.iter().map(|w| w.name())).chain(How::ALL.iter().map(|w| w.name()));
    let words = words.chain(NoStack::ALL.iter().map(|w| w.name())).chain(Section::ALL.iter().map(|w| w.name()));
    for word in words {
        assert!(document.contains(word), "docs/STACKS.md lacks {word}");
    }
}
