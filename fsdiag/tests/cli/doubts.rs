//! Lines that only look as if something stood before them: a number is no time, a word no program, a name no file, as
//! long as no line of a known format stands behind one.

use std::{fmt::Write as _, fs, process::Command};

use fsdiag::engine::report::{Cause, Report};

fn analyze(text: &str) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    fs::write(&path, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).args(["analyze", "--format", "json"]).arg(path).output();
    let output = output.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// A busy daemon's log by libfuse, a request every ten milliseconds; `stamp` writes the time before each line.
fn busy(requests: u64, stamp: impl Fn(u64) -> String, before: &str) -> String {
    let mut text = String::new();
    for n in 1..=requests {
        let (begin, end) = (stamp(n * 10_000 + 17), stamp(n * 10_000 + 3_019));
        _ = writeln!(text, "{begin}{before}unique: {}, opcode: GETATTR (3), nodeid: 1, insize: 56, pid: 7", 2 * n);
        if n + 3 <= requests {
            _ = writeln!(text, "{end}   unique: {}, success, outsize: 120", 2 * n);
        }
    }
    text
}

fn wall(us: u64) -> String {
    format!("2026-11-22 09:{:02}:{:02}.{:06} ", us / 60_000_000, us / 1_000_000 % 60, us % 1_000_000)
}

/// As `docker logs -t` and `kubectl logs --timestamps` write it.
fn collected(us: u64) -> String {
    format!("2026-11-22T09:{:02}:{:02}.{:06}123Z ", us / 60_000_000, us / 1_000_000 % 60, us % 1_000_000)
}

#[test]
fn a_number_at_the_begin_of_a_line_is_no_time() {
    for line in [
        "2147483648 bytes (2.1 GB, 2.0 GiB) copied, 5.12345 s, 419 MB/s",
        "1953525168 512-byte logical blocks: (1.00 TB/932 GiB)",
        "2000398934016\t/mnt/a",
        "2026-11-22T09:00:01.000000+00:00 nas dd[99]: 2147483648 bytes (2.1 GB) copied",
        "2026-11-22T09:00:01.000001Z 3145728000 bytes read",
        "99999.123456 seconds of uptime",
    ] {
        let log = busy(300, wall, "");
        let (head, tail) = log.split_at(log.match_indices('\n').nth(300).unwrap().0 + 1);
        let report = analyze(&format!("{head}{line}\n{tail}"));
        assert!(report.healthy, "{line}: {:?}", report.verdicts);
    }
}

#[test]
fn a_log_whose_lines_all_begin_with_a_number_is_on_that_clock() {
    let seconds = |us: u64| format!("{} ", 1_795_340_606 + us / 10_000);
    let report = analyze(&busy(300, seconds, ""));
    let oldest = report.orphans.iter().filter_map(|orphan| orphan.age_s).fold(0.0, f64::max);
    assert_eq!((report.orphans.len(), oldest), (3, 2.0));
}

#[test]
fn the_first_words_of_a_request_are_no_host_and_no_program() {
    let plain = analyze(&busy(300, wall, "dev "));
    let shown = analyze(&busy(300, collected, "dev "));
    assert_eq!((plain.inputs[0].events, plain.orphans.len()), (597, 3));
    assert_eq!((shown.inputs[0].events, shown.orphans.len()), (597, 3));
}

#[test]
fn a_panic_behind_the_name_that_a_runner_or_grep_gave_is_a_panic() {
    let crash = "panic: runtime error: index out of range [5] with length 0\n\ngoroutine 25 [running]:\nmain.main()\n\
                 \t/src/films/store/store.go:69 +0x130\n";
    let log = "2026/03/04 12:10:00 DEBUG : /: Attr: \n\
               2026/03/04 12:10:00 DEBUG : /: >Attr: attr=valid=1s ino=0 size=0 mode=drwxr-xr-x, err=<nil>\n";
    for before in ["mnt | ", "mnt stderr | ", "node17: ", "fuse.log:", "fuse.log:mnt | "] {
        let text: String = format!("{log}{crash}").lines().map(|line| format!("{before}{line}\n")).collect();
        let causes: Vec<Cause> = analyze(&text).verdicts.iter().map(|verdict| verdict.cause).collect();
        assert_eq!(causes, [Cause::DaemonGone], "{before}");
    }
}

#[test]
fn a_message_of_a_few_words_is_no_program_either() {
    let log = format!("{}{}read timeout: no such host\n", busy(5, collected, ""), collected(90_000));
    let report = analyze(&log);
    assert_eq!(report.verdicts.first().map(|verdict| verdict.cause), Some(Cause::ResourceExhausted));
}

#[test]
fn the_name_of_a_logger_is_no_file() {
    for stamp in ["", "2026-11-22 09:00:00,123 ", "2026-11-22T09:00:00.123456Z "] {
        let log = format!("{stamp}fuse.log-mixin: -> getattr /f1 (None,)\n{stamp}fuse.log-mixin: <- getattr {{}}\n");
        let report = analyze(&log);
        assert_eq!((&*report.inputs[0].format, report.inputs[0].events), ("fusepy", 2), "{stamp}");
    }
}

#[test]
fn a_level_behind_the_name_of_a_logger_is_no_part_of_what_it_says() {
    for form in ["{} - fuse.log-mixin - DEBUG - ", "{} | fuse.log-mixin | DEBUG | ", "[{}] fuse.log-mixin DEBUG: "] {
        let stamp = form.replace("{}", "2026-11-22 09:00:00,123");
        let report = analyze(&format!("{stamp}-> getattr /f1 (None,)\n{stamp}<- getattr {{}}\n"));
        assert_eq!((&*report.inputs[0].format, report.inputs[0].events), ("fusepy", 2), "{form}");
    }
}

#[test]
fn two_threads_that_say_the_same_at_once_are_two() {
    let line = |what: &str| format!("2026/11/22 09:00:00.000123 DEBUG : /: {what}\n");
    let (begin, end) = (line("Attr: "), line(">Attr: attr=valid=1s ino=0 size=0 mode=drwxr-xr-x, err=<nil>"));
    let report = analyze(&[begin.repeat(2), end.repeat(2)].concat());
    assert_eq!((report.ops["Getattr"].count, report.orphans.len()), (2, 0));
}

#[test]
fn objects_in_objects_end_somewhere() {
    let mut text = String::from("x");
    for _ in 0..12 {
        text = serde_json::json!({ "msg": text, "host": "a" }).to_string();
    }
    assert!(analyze(&format!("{text}\n")).healthy);
}

#[test]
fn words_behind_an_answers_number_are_no_answer() {
    let mut log = busy(20, wall, "");
    _ = writeln!(log, "{}unique: 40, error: -5 from the server, will retry", wall(250_000));
    assert_eq!(analyze(&log).orphans.len(), 3);
}
