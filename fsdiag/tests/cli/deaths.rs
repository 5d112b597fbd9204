//! Programs that died, of `testdata/deaths`: a daemon whose death somebody tells of is dead, and one beside which
//! another program died is not.

use std::{fs, path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report};

fn analyze(files: &[&str]) -> (Report, Option<i32>) {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/deaths");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
    command.args(["analyze", "--format", "json"]).args(files.iter().map(|file| dir.join(file)));
    let output = command.output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{files:?}: {e}: {output:?}"));
    (report, output.status.code())
}

fn causes(report: &Report) -> Vec<Cause> {
    report.verdicts.iter().map(|verdict| verdict.cause).collect()
}

/// Whether a note tells of a death that is nobody's.
fn cannot_tell(report: &Report, words: &str) -> bool {
    report.notes.iter().any(|note| note.kind == "cannot_tell" && note.text.contains(words))
}

#[test]
fn the_killed_client_of_a_hanging_mount_is_not_its_daemon() {
    for (files, words) in [
        (&["client-of-a-hang.log"][..], "Killed"),
        (&["hang.log", "client.txt"], "Killed"),
        (&["hang.log", "ffmpeg.txt"], "ffmpeg"),
    ] {
        let (report, _) = analyze(files);
        assert_eq!(causes(&report), [Cause::LockPileup], "{files:?}: {:?}", report.verdicts);
        assert!(cannot_tell(&report, words), "{files:?}: {:?}", report.notes);
    }
}

#[test]
fn what_befalls_clients_in_the_log_of_a_daemon_is_nothing_of_that_daemon() {
    for file in ["segfault-of-a-client.log", "compose-of-another.log"] {
        let (report, _) = analyze(&[file]);
        assert_eq!(causes(&report), [Cause::LockPileup], "{file}: {:?}", report.verdicts);
    }
}

#[test]
fn what_died_on_another_machine_is_no_daemon_of_this_one() {
    for file in ["other-host-systemd.log", "other-host-docker.log", "other-host-number.log"] {
        let (report, _) = analyze(&[file]);
        assert!(!causes(&report).contains(&Cause::DaemonGone), "{file}: {:?}", report.verdicts);
        assert!(report.verdicts.iter().all(|verdict| verdict.confidence < Confidence::Certain), "{file}");
    }
}

#[test]
fn each_machine_tells_of_its_own_daemon() {
    let (report, _) = analyze(&["own-hosts.log"]);
    let gone = report.verdicts.iter().filter(|verdict| verdict.cause == Cause::DaemonGone);
    let sure: Vec<Confidence> = gone.map(|verdict| verdict.confidence).collect();
    assert_eq!(sure, [Confidence::Certain; 3], "{:?} {:?}", report.verdicts, report.notes);
    let named =
        |host: &str| report.verdicts.iter().any(|verdict| verdict.sentence.contains(&format!("on {host} died")));
    assert!(["node0", "node1", "node2"].into_iter().all(named), "{:?}", report.verdicts);
}

#[test]
fn a_failure_in_the_words_of_a_crash_is_none_without_goroutines() {
    let (report, _) = analyze(&["hang.log", "aws.txt"]);
    assert_eq!(causes(&report), [Cause::LockPileup], "{:?}", report.verdicts);
    assert!(causes(&analyze(&["aws.txt"]).0).is_empty());
}

#[test]
fn what_died_alone_is_a_daemon_only_by_its_name() {
    let (report, _) = analyze(&["ffmpeg.txt"]);
    assert!(report.healthy && cannot_tell(&report, "ffmpeg"), "{:?}", report.verdicts);
}

#[test]
fn a_daemon_that_serves_on_has_neither_died_nor_run_out_of_memory_whoever_was_killed() {
    let request = |n: u32| {
        let (begin, end) = ("opcode: GETATTR (3), nodeid: 1, insize: 56, pid: 70", "success, outsize: 120");
        format!("unique: {}, {begin}\n   unique: {}, {end}\n", 2 * n, 2 * n)
    };
    let requests = |from: u32, to: u32| (from..to).map(request).collect::<String>();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let killed = |name: &str| format!("[ 1330.393341] Out of memory: Killed process 123 ({name}) total-vm:1234kB");
    let said = "[ 1330.393341] Out of memory: Kill process 123 (chrome) score 900 or sacrifice child";
    for line in [&*killed("chrome"), &killed("rclone"), said, "rclone exited with status 137", "Killed"] {
        let few = if line == "Killed" { &[500][..] } else { &[1, 3, 500] };
        for behind in few.iter().copied() {
            fs::write(&path, requests(1, 50) + line + "\n" + &requests(50, 50 + behind)).unwrap();
            let (report, _) = analyze(&[path.to_str().expect("a path of UTF-8")]);
            assert!(report.healthy, "{line}, {behind} behind it: {:?}", report.verdicts);
        }
    }
    // It is the daemon's own end that nothing follows.
    fs::write(&path, requests(1, 50) + &killed("rclone") + "\n").unwrap();
    let (report, _) = analyze(&[path.to_str().expect("a path of UTF-8")]);
    assert_eq!(causes(&report), [Cause::DaemonGone, Cause::ResourceExhausted], "{:?}", report.notes);
}

#[test]
fn who_writes_on_after_a_death_lives() {
    let (report, _) = analyze(&["chats-after-a-death.log"]);
    assert_eq!(causes(&report), [Cause::LockPileup], "{:?}", report.verdicts);
    assert!(cannot_tell(&report, "Killed"), "{:?}", report.notes);
}

#[test]
fn a_mount_that_was_told_to_stop_has_not_died() {
    let (report, code) = analyze(&["stopped-by-systemd.log"]);
    assert!(report.healthy, "{:?}", report.verdicts);
    assert_eq!(code, Some(0));
}

#[test]
fn the_death_of_a_daemon_is_told_in_the_words_of_shells_systemd_docker_and_the_kernel() {
    for file in ["rclone-killed.log", "failed-unit.log", "oom-in-a-unit.log", "segfault.log", "compose.log"] {
        let (report, code) = analyze(&[file]);
        assert_eq!((causes(&report), code), (vec![Cause::DaemonGone], Some(1)), "{file}: {:?}", report.verdicts);
        let verdict = &report.verdicts[0];
        assert_eq!(verdict.confidence, Confidence::Certain, "{file}");
        assert!(verdict.sentence.contains("3 requests were open"), "{file}: {}", verdict.sentence);
    }
}

#[test]
fn what_a_script_or_a_container_says_of_the_program_in_it_is_said_of_the_daemon() {
    let log = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/corpus/c06/rclone.log");
    let log = fs::read_to_string(log).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for prefix in ["2026-11-22T10:27:46+00:00 nas start.sh[30305]: ", "media-x7k2p mount ", "[media-x7k2p mount] "] {
        let path = dir.path().join("log");
        fs::write(&path, log.lines().map(|line| format!("{prefix}{line}\n")).collect::<String>()).unwrap();
        let (report, _) = analyze(&[path.to_str().expect("a path of UTF-8")]);
        assert_eq!(causes(&report), [Cause::DaemonGone], "{prefix}: {:?}", report.notes);
        assert_eq!(report.verdicts[0].confidence, Confidence::Certain, "{prefix}");
    }
}

#[test]
fn what_hangs_from_the_first_requests_of_a_new_life_on_still_says_what_it_waits_for() {
    // Only ids that are given out again tell of the new life, some requests after it has begun.
    let (report, _) = analyze(&["sshfs-begins-anew.log"]);
    assert_eq!(causes(&report), [Cause::UpstreamStall], "{:?}", report.notes);
    let culprit = report.verdicts[0].culprit.as_ref().expect("a culprit");
    assert_eq!((culprit.op.as_deref(), culprit.id.as_deref()), (Some("Read"), Some("3")));
}

#[test]
fn a_node_that_kills_what_a_container_runs_may_mean_another_container() {
    let testdata = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/deaths/hang.log");
    let log = fs::read_to_string(testdata).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let given = |name: &str, text: String| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().expect("a path of UTF-8").to_owned()
    };
    let inside = |prefix: &str| log.lines().map(|line| format!("{prefix}{line}\n")).collect::<String>();
    let killed = "Out of memory: Killed process 999 (rclone) total-vm:1kB";
    let node = given("node.log", format!("2026-11-20T10:20:00.000000+00:00 node7 kernel: {killed}\n"));
    for prefix in ["[pod/media-a/mount] ", "media-a-1  | "] {
        let pod = given("pod.log", inside(prefix));
        let (report, _) = analyze(&[&pod, &node]);
        assert!(causes(&report).contains(&Cause::LockPileup), "{prefix}: {:?}", report.verdicts);
        let surest = report.verdicts.iter().map(|verdict| verdict.confidence).max();
        assert_eq!(surest, Some(Confidence::Medium), "{prefix}: {:?}", report.verdicts);
    }
    // What a container's own shell says is of what it runs.
    let shell = "media-a-1  | /entrypoint.sh: line 3:    12 Killed                  rclone mount gd: /mnt/gd\n";
    let own = given("own.log", inside("media-a-1  | ") + shell);
    let (report, _) = analyze(&[&own]);
    assert_eq!((causes(&report), report.verdicts[0].confidence), (vec![Cause::DaemonGone], Confidence::Certain));
    // A name that many daemons have is no certainty without a log of this one.
    let (report, _) = analyze(&[&node]);
    let first = (report.verdicts[0].cause, report.verdicts[0].confidence);
    assert_eq!(first, (Cause::DaemonGone, Confidence::High), "{:?}", report.verdicts);
}

#[test]
fn a_namesake_that_the_kernel_kills_is_a_daemon_only_where_time_or_mount_tell_so() {
    let testdata = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/deaths");
    let dir = tempfile::tempdir().unwrap();
    let given = |name: &str, text: String| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().expect("a path of UTF-8").to_owned()
    };
    let whole = fs::read_to_string(testdata.join("rclone-killed.log")).unwrap();
    let (log, shell) = whole.trim_end().rsplit_once('\n').unwrap();
    let (log, shell) = (given("fuse.log", format!("{log}\n")), given("shell.txt", format!("{shell}\n")));
    let first = |files: &[&str]| {
        let (report, _) = analyze(files);
        assert!(report.verdicts[0].sentence.contains("3 requests were open"), "{files:?}: {:?}", report.verdicts);
        (report.verdicts[0].cause, report.verdicts[0].confidence)
    };
    // Its log ends with that death; the shell names its mount.
    assert_eq!(first(&[&log, "oom.txt"]), (Cause::DaemonGone, Confidence::Certain));
    assert_eq!(first(&[&log, &shell]), (Cause::DaemonGone, Confidence::Certain));
    // It is silent for minutes before, or nobody knows for how long.
    assert_eq!(first(&[&log, "oom-of-a-namesake.txt"]), (Cause::DaemonGone, Confidence::Medium));
    assert_eq!(first(&[&log, "oom-since-boot.txt"]), (Cause::DaemonGone, Confidence::Medium));
    // What hung for two minutes while the daemon went on writing hung before anybody was killed.
    for of_another in ["oom-of-a-namesake.txt", "oom-since-boot.txt"] {
        let (report, _) = analyze(&["hang.log", of_another]);
        assert_eq!(causes(&report)[0], Cause::LockPileup, "{of_another}: {:?}", report.verdicts);
        let gone = report.verdicts.iter().find(|verdict| verdict.cause == Cause::DaemonGone);
        assert_eq!(gone.map(|gone| gone.confidence), Some(Confidence::Low), "{of_another}");
    }
}
