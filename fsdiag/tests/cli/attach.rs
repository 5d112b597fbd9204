//! `fsdiag attach` and `fsdiag mounts` on real FUSE file systems that hang.

mod acts;
mod forgeries;
mod rescues;
mod servers;
mod unseen;
mod victims;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use victims::{Victim, eventually, fsdiag, program, skip};

/// The unanswered requests of a report.
fn requests(report: &Value) -> &[Value] {
    report["kernel"]["requests"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn has(report: &Value, state: &str, op: &str) -> bool {
    requests(report).iter().any(|r| r["state"] == state && r["op"] == op)
}

fn cause(report: &Value) -> &str {
    report["verdicts"][0]["cause"].as_str().unwrap_or("none")
}

/// Prints a SKIP line where the kernel's lists cannot be read.
fn no_lists(report: &Value) -> bool {
    let missing = report["kernel"]["missing"].as_array().unwrap();
    let why = missing.iter().find(|m| m.as_str().is_some_and(|m| m.starts_with("request lists")));
    if let Some(why) = why {
        skip("peek", &why.to_string(), "BPF and BTF");
    }
    why.is_some()
}

#[test]
fn an_unanswered_read_of_rclone_is_named_with_file_and_client() {
    let Some(mut victim) = Victim::rclone() else { return };
    let client = victim.one_read();
    // On a busy machine the daemon may not have read it yet.
    let report = victim.attach_until(&[], |r| !requests(r).is_empty() && !has(r, "QUEUED", "Read"));
    if no_lists(&report) {
        return;
    }
    let [read] = requests(&report) else { panic!("not one request: {report:#}") };
    assert_eq!((&read["state"], &read["op"], &read["path"]), (&"IN DAEMON".into(), &"Read".into(), &"big.bin".into()));
    assert_eq!((&read["client_pid"], &read["client"], &read["size"]), (&client.into(), &"dd".into(), &4096.into()));
    assert!(read["age_s"].as_f64().is_some_and(|age| age < 60.0), "{read}");
    assert_eq!(cause(&report), "upstream_stall");
    let culprit = &report["verdicts"][0]["culprit"];
    assert_eq!(
        (&culprit["op"], &culprit["path"], &culprit["id"].is_string()),
        (&"Read".into(), &"big.bin".into(), &true)
    );
    let evidence = report["verdicts"][0]["evidence"][0]["text"].as_str().unwrap();
    assert!(evidence.contains("big.bin"), "{evidence}");
    assert_eq!((&report["kernel_waiting"], victim.attach(&[]).1), (&1.into(), Some(1)));
}

#[test]
fn without_the_kernel_s_lists_proc_still_names_operation_path_and_client() {
    let Some(mut victim) = Victim::rclone() else { return };
    let client = victim.one_read();
    let without = ["--without", "peek", "--without", "fusectl"];
    // Nothing is unread, so the daemon has it.
    let report = victim.attach_until(&without, |r| has(r, "IN DAEMON", "Read"));
    let [read] = requests(&report) else { panic!("not one request: {report:#}") };
    assert_eq!((&read["path"], &read["client_pid"]), (&"big.bin".into(), &client.into()));
    assert!(report["kernel"]["missing"].to_string().contains("request lists: left out"));
}

#[test]
fn a_single_thread_that_sits_in_a_read_is_told_from_what_queues_behind_it() {
    let Some(mut victim) = Victim::httpdirfs(&["-s"]) else { return };
    victim.one_read();
    let report = victim.attach_until(&[], |r| !requests(r).is_empty());
    if no_lists(&report) {
        return;
    }
    let name = victim.mount.join("nosuchfile");
    victim.client("stat", &[name.to_str().unwrap()]);
    let report = victim.attach_until(&[], |r| has(r, "IN DAEMON", "Read") && requests(r).len() > 1);
    assert!(has(&report, "IN DAEMON", "Read") && has(&report, "QUEUED", "Lookup"), "{report:#}");
    let lookup = requests(&report).iter().find(|r| r["op"] == "Lookup").unwrap();
    assert_eq!((&lookup["path"], &lookup["name"]), (&"nosuchfile".into(), &"nosuchfile".into()));
    assert_eq!((cause(&report), &report["verdicts"][0]["confidence"]), ("worker_starvation", &"certain".into()));
    assert_eq!(report["verdicts"][0]["culprit"]["op"], "Read");
    assert_eq!((&report["kernel"]["unread"], &report["kernel"]["daemon"]["idle_readers"]), (&true.into(), &0.into()));
    let read = requests(&report).iter().find(|r| r["op"] == "Read").unwrap();
    assert!(read["thread_waits"].is_string(), "the thread that serves it is known: {read}");
}

#[test]
fn a_killed_client_takes_its_queued_request_along() {
    let Some(mut victim) = Victim::httpdirfs(&["-s"]) else { return };
    victim.one_read();
    if no_lists(&victim.attach_until(&[], |r| !requests(r).is_empty())) {
        return;
    }
    let stat = victim.client("stat", &[victim.mount.join("nosuchfile").to_str().unwrap()]);
    victim.attach_until(&[], |r| requests(r).len() > 1);
    victim.kill_client(stat);
    let report = victim.attach_until(&[], |r| requests(r).len() == 1);
    assert!(has(&report, "IN DAEMON", "Read") && requests(&report).len() == 1, "{report:#}");
}

#[test]
fn a_lookup_that_sshfs_does_not_answer_shows_the_name_and_a_stopped_daemon_is_called_stopped() {
    let Some(mut victim) = Victim::sshfs("dir_cache=no") else { return };
    let path = victim.mount.join("hang");
    victim.client("stat", &[path.to_str().unwrap()]);
    let report = victim.attach_until(&[], |r| has(r, "IN DAEMON", "Lookup"));
    if no_lists(&report) {
        return;
    }
    let [lookup] = requests(&report) else { panic!("not one request: {report:#}") };
    assert_eq!((&lookup["state"], &lookup["path"]), (&"IN DAEMON".into(), &"hang".into()));
    victim.signal("-STOP");
    let report = victim.attach_until(&[], |r| r["kernel"]["daemon"]["stopped"] == true);
    assert_eq!((cause(&report), &report["verdicts"][0]["confidence"]), ("unread_queue", &"certain".into()));
}

#[test]
fn requests_over_max_background_are_held_back_and_the_holders_are_blamed() {
    let Some(mut victim) = Victim::sshfs("dir_cache=no") else { return };
    // libfuse leaves the kernel's limit of 12.
    victim.many_reads(20);
    let done = |r: &Value| cause(r) == "permit_exhaustion";
    let report = victim.attach_until(&[], done);
    if no_lists(&report) {
        return;
    }
    assert_eq!((cause(&report), &report["kernel"]["max_background"]), ("permit_exhaustion", &12.into()), "{report:#}");
    assert_eq!(report["verdicts"][0]["culprit"]["path"], "big.bin");
}

/// No test: what the next one runs as another process, so that it gets stuck in its exec, where its descriptor of
/// the mount is closed and the FLUSH is not answered.
#[test]
fn opens_and_execs() {
    let Ok(file) = std::env::var(FILE_TO_OPEN) else { return };
    let _file = fs::File::open(file).unwrap();
    println!("opened");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let _ = std::os::unix::process::CommandExt::exec(&mut Command::new("true"));
}

const FILE_TO_OPEN: &str = "FSDIAG_TEST_FILE_TO_OPEN";

#[test]
fn a_process_stuck_in_its_exec_does_not_hang_the_diagnosis() {
    let Some(mut victim) = Victim::sshfs("dir_cache=no") else { return };
    let mut stuck = Command::new(std::env::current_exe().unwrap());
    stuck.args(["--exact", "attach::opens_and_execs", "--nocapture"]).env(FILE_TO_OPEN, victim.file());
    let mut stuck = stuck.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stuck.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains("opened")));
    victim.many_reads(20);
    victim.attach_until(&[], |r| requests(r).len() > 11);
    drop(stuck.stdin.take());
    let pid = stuck.id();
    victim.adopt(stuck);
    let silent = format!("process {pid} ");
    let report = victim.attach_until(&[], |r| r["kernel"]["missing"].to_string().contains(&silent) || no_flush(r));
    assert!(!requests(&report).is_empty(), "the requests are shown all the same: {report:#}");
    assert!(!fsdiag(&["mounts"]).stdout.is_empty());
}

/// Whether nobody waits for a FLUSH: the exec went through, and there is nothing to be seen.
fn no_flush(report: &Value) -> bool {
    requests(report).len() > 13 && !requests(report).iter().any(|r| r["op"] == "Flush")
}

#[test]
fn a_killed_daemon_leaves_a_dead_mount_and_no_hang() {
    let Some(mut victim) = Victim::rclone() else { return };
    victim.one_read();
    victim.daemon.kill().unwrap();
    victim.daemon.wait().unwrap();
    let (report, code) = victim.attach(&[]);
    assert_eq!((cause(&report), code), ("daemon_gone", Some(1)), "{report:#}");
    let listed = fsdiag(&["mounts"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let line = text.lines().find(|l| l.contains(victim.mount.to_str().unwrap())).unwrap();
    assert!(line.starts_with("DEAD"), "{line}");
    assert_eq!(listed.status.code(), Some(1));
}

#[test]
fn under_load_exactly_the_one_hung_read_is_reported() {
    let Some(mut victim) = Victim::rclone() else { return };
    victim.one_read();
    let load = format!("while :; do stat {0} {0}/big.bin >/dev/null; done", victim.mount.display());
    for _ in 0..2 {
        victim.client("sh", &["-c", &load]);
    }
    if no_lists(&victim.attach_until(&[], |r| !requests(r).is_empty())) {
        return;
    }
    // On a busy machine a quick request may take a moment too; none takes so long.
    let old = |request: &&Value| request["age_s"].as_f64().is_some_and(|age| age > 1.0);
    victim.attach_until(&[], |report| requests(report).iter().any(|request| old(&request)));
    for round in 0..10 {
        let (report, _) = victim.attach(&[]);
        let stalled = requests(&report).iter().filter(old);
        let ops: Vec<&Value> = stalled.map(|r| &r["op"]).collect();
        assert_eq!(ops, ["Read"], "round {round}: {report:#}");
    }
}

#[test]
fn watching_measures_what_is_answered_and_leaves_no_trace_instance() {
    let Some(mut victim) = Victim::rclone() else { return };
    victim.one_read();
    let load = format!("while :; do stat {}; done", victim.mount.display());
    victim.client("sh", &["-c", &load]);
    let (report, _) = victim.attach(&["--for", "1"]);
    if report["kernel"]["missing"].to_string().contains("trace events") {
        return skip("trace", &report["kernel"]["missing"].to_string(), "fuse tracepoints, 6.11");
    }
    assert!(report["ops"]["Getattr"]["count"].as_u64().is_some_and(|n| n > 10), "{report:#}");
    assert!(report["ops"]["Getattr"]["p50_us"].as_u64().is_some_and(|us| us > 0));
    assert!(report["ops"]["Read"].is_null(), "the hung read was not answered");
    assert_eq!(instances(), Vec::<String>::new());
}

#[test]
fn a_terminated_watch_removes_its_trace_instance_and_still_reports() {
    let Some(victim) = Victim::rclone() else { return };
    let args = ["attach", victim.mount.to_str().unwrap(), "--for", "600", "--events"];
    let mut watch = Command::new(program()).args(args).stdout(Stdio::piped()).spawn().unwrap();
    let pid = watch.id();
    let stat = || Command::new("stat").arg(&victim.mount).stdout(Stdio::null()).status();
    let mut first = String::new();
    let mut lines = std::io::BufReader::new(watch.stdout.take().unwrap());
    stat().unwrap();
    eventually("the watch", || {
        // Signals are taken over before the instance exists, and the instance shows in its descriptors.
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        fds.flatten().filter_map(|e| fs::read_link(e.path()).ok()).any(|l| l.ends_with("trace_pipe_raw"))
    });
    stat().unwrap();
    std::io::BufRead::read_line(&mut lines, &mut first).unwrap();
    assert!(first.contains("ENTER"), "{first}");
    assert!(Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap().success());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.contains("healthy"), "{rest}");
    assert!(!instances().iter().any(|name| name.contains(&format!("-{pid}-"))));
}

/// Trace instances of fsdiag whose owner is gone; empty where no tracefs can be seen.
fn instances() -> Vec<String> {
    let places = ["/sys/kernel/tracing/instances", "/sys/kernel/debug/tracing/instances"];
    let names = places.iter().filter_map(|p| fs::read_dir(p).ok()).flatten().flatten();
    let names = names.filter_map(|e| e.file_name().into_string().ok());
    let stale = |name: &String| {
        let pid = name.strip_prefix("fsdiag-").and_then(|n| n.split_once('-')).map(|n| n.0.to_owned());
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    names.filter(stale).collect()
}

#[test]
fn a_daemon_that_runs_and_runs_is_told_to_spin() {
    let Some(mut victim) = Victim::spinning() else { return };
    let file = victim.mount.join("x").display().to_string();
    victim.client("stat", &[&file]);
    let report = victim.attach_until(&[], |r| cause(r) == "spin");
    if no_lists(&report) {
        return;
    }
    assert_eq!((cause(&report), &report["verdicts"][0]["confidence"]), ("spin", &"low".into()), "{report:#}");
    let thread = report["verdicts"][0]["culprit"]["thread"].as_str().unwrap();
    assert!(thread.contains(&victim.daemon.id().to_string()), "{thread}");
    let report = victim.attach_until(&["--for", "2.5"], |r| cause(r) == "spin");
    assert_eq!((cause(&report), &report["verdicts"][0]["confidence"]), ("spin", &"medium".into()), "{report:#}");
}

#[test]
fn mounts_shows_the_oldest_request_of_each() {
    let Some(mut victim) = Victim::rclone() else { return };
    victim.one_read();
    victim.attach_until(&[], |r| !requests(r).is_empty());
    let out = fsdiag(&["mounts", "--format", "json", "--stalled-after", "0"]);
    let listing: Value = serde_json::from_slice(&out.stdout).unwrap();
    let mounts = listing["mounts"].as_array().unwrap();
    let ours = mounts.iter().find(|m| m["mount"] == victim.mount.to_str().unwrap()).unwrap();
    assert_eq!((&ours["health"], &ours["daemon"]["comm"]), (&"stalled".into(), &"rclone".into()));
    assert_eq!((&ours["waiting"], &ours["oldest"]), (&1.into(), &"Read big.bin".into()));
}

#[test]
fn no_system_call_touches_a_path_below_the_mount() {
    let Some(mut victim) = Victim::rclone() else { return };
    victim.one_read();
    victim.attach_until(&[], |r| !requests(r).is_empty());
    let mount = victim.mount.to_str().unwrap();
    let record = tempfile::NamedTempFile::new().unwrap();
    for more in [&["--for", "0.5"][..], &["--without", "peek"]] {
        let mut traced = Command::new("strace");
        traced.args(["-f", "-s", "500", "-e", "trace=%file", "-o"]).arg(record.path()).arg(program());
        let ran = traced.args(["attach", mount]).args(more).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if ran.is_err() {
            return skip("strace", "none", "strace");
        }
        let calls = fs::read_to_string(record.path()).unwrap();
        assert!(calls.lines().count() > 100, "strace saw nothing: {calls}");
        for call in calls.lines() {
            assert!(!touches(call, mount), "{call}");
        }
    }
}

/// Whether a line of strace gives a path of the mount to the kernel, or follows a link that may lead there.
/// What `readlink` gives back is text; the program's own arguments are in its `execve`.
fn touches(call: &str, mount: &str) -> bool {
    let given = if call.contains("readlink") { call.split("\", ").next().unwrap_or(call) } else { call };
    let of_others = given.contains("\"/proc/") && !given.contains("/proc/self/");
    let links = ["/cwd", "/root", "/exe", "/fd/", "/map_files/"];
    let leads_there = !call.contains("readlink") && of_others && links.iter().any(|link| given.contains(link));
    !call.contains("execve(") && (given.contains(mount) || leads_there)
}

#[test]
fn what_is_no_mount_is_said_to_be_none() {
    let out = fsdiag(&["attach", "/proc"]);
    assert_eq!(out.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&out.stderr).contains("no FUSE mount"));
}

#[test]
fn a_name_that_is_looked_up_gives_the_terminal_no_orders() {
    let Some(mut victim) = Victim::spinning() else { return };
    let file = victim.mount.join("hang\x1b]0;owned\x07\n! all is well");
    victim.client("stat", &[file.to_str().unwrap()]);
    let report = victim.attach_until(&[], |r| !requests(r).is_empty());
    if no_lists(&report) {
        return;
    }
    for args in [&["attach", victim.mount.to_str().unwrap()][..], &["mounts"]] {
        let text = String::from_utf8(fsdiag(args).stdout).unwrap();
        assert!(text.contains("hang?]0;owned??! all is well"), "{text:?}");
        assert!(!text.contains('\x1b') && !text.lines().any(|line| line.starts_with("! all")), "{text:?}");
    }
}
