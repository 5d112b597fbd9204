//! Logs of very many open requests, and of very many lives: the report names the worst and counts the rest.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use fsdiag::engine::report::{Cause, Report};

fn run(args: &[&str], log: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fsdiag"))
        .arg("analyze")
        .args(args)
        .arg("-")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(log.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn report(args: &[&str], log: &str) -> (usize, Report) {
    let json = run(&[&["--format", "json"], args].concat(), log);
    (json.len(), serde_json::from_str(&json).unwrap())
}

fn say(log: &mut String, us: u64, what: &str) {
    let (minutes, seconds, us) = (us / 60_000_000, us / 1_000_000 % 60, us % 1_000_000);
    writeln!(log, "2026/03/04 10:{minutes:02}:{seconds:02}.{us:06} watchdog.go:45: [FUSE] {what}").unwrap();
}

/// Ordinary work, then one Release and `many` Getattrs that nobody answers.
fn crowd(many: u64) -> String {
    let mut log = String::new();
    for id in 1..=1000 {
        say(&mut log, id * 20_000, &format!("Getattr ENTER (id={id})"));
        say(&mut log, id * 20_000 + 100, &format!("Getattr EXIT (id={id}, elapsed=100µs)"));
    }
    say(&mut log, 20_100_000, "Release ENTER (id=1001)");
    for n in 0..many {
        say(&mut log, 20_200_000 + n * 200, &format!("Getattr ENTER (id={})", 1002 + n));
    }
    log
}

#[test]
fn of_a_hundred_thousand_open_requests_the_oldest_are_named_and_all_are_counted() {
    let log = crowd(100_000);
    let (bytes, told) = report(&[], &log);
    assert!(bytes < 400_000, "{bytes} bytes");
    assert_eq!((told.inflight["Getattr"], told.open()), (100_000, 100_001));
    let oldest: Vec<&str> = told.orphans.iter().take(3).map(|orphan| &*orphan.id).collect();
    assert_eq!((told.orphans.len(), oldest), (1000, vec!["1001", "1002", "1003"]));
    let first = &told.verdicts[0];
    let culprit = first.culprit.as_ref().and_then(|culprit| culprit.id.as_deref());
    assert_eq!((first.cause, culprit, first.waiting()), (Cause::LockPileup, Some("1001"), 100_000));
    assert_eq!(first.waiters.len(), 1000);
    let text = run(&[], &log);
    assert!(text.contains("100000 Getattr") && text.lines().count() < 60, "{text}");
}

#[test]
fn of_a_larger_crowd_the_oldest_are_judged_and_all_are_counted() {
    let log = crowd(150_000);
    let (_, told) = report(&[], &log);
    assert_eq!((told.inflight["Getattr"], told.open()), (150_000, 150_001));
    let culprit = told.verdicts[0].culprit.as_ref().and_then(|culprit| culprit.id.as_deref());
    assert_eq!((told.verdicts[0].cause, culprit), (Cause::LockPileup, Some("1001")));
    let note = told.notes.iter().find(|note| note.kind == "crowd").expect("a note about the others");
    assert!(note.text.contains("more requests are open"), "{}", note.text);
    let (_, told) = report(&["--id", "140000"], &log);
    assert_eq!(told.orphans.iter().map(|orphan| &*orphan.id).collect::<Vec<_>>(), ["140000"]);
}

#[test]
fn whoever_asks_for_one_request_of_a_crowd_is_shown_it() {
    let (_, told) = report(&["--id", "90000"], &crowd(100_000));
    assert_eq!(told.orphans.iter().map(|orphan| &*orphan.id).collect::<Vec<_>>(), ["90000"]);
}

#[test]
fn a_daemon_that_starts_ten_thousand_times_is_told_in_a_few_notes() {
    let life = "2026/11/23 22:13:35 DEBUG : Local file system at /srv: Mounting on \"/srv/mnt\"\n\
                2026/11/23 22:13:37 DEBUG : a: Attr: \n\
                2026/11/23 22:13:37 DEBUG : a: >Attr: a=valid=1s, err=<nil>\n\
                2026/11/23 22:13:38 DEBUG : &{a (r)}: Read: len=131072, offset=0\n";
    let (bytes, told) = report(&[], &life.repeat(10_000));
    assert!(bytes < 20_000, "{bytes} bytes");
    assert_eq!((told.ops["Getattr"].count, told.orphans.len()), (10_000, 1), "{told:?}");
    let earlier = told.notes.iter().find(|note| note.text.contains("only counted")).expect("a note that counts");
    assert!(earlier.text.starts_with("9983 runs of the daemon"), "{}", earlier.text);
    assert!(earlier.text.contains("9983 requests that were open"), "{}", earlier.text);
}
