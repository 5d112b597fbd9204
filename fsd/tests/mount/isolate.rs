//! Isolate: `fsdiag` walks the debugging guide by itself, on a real mount with the seed's bug.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use fsd_events::layout;
use serde_json::Value;

use super::support::*;

const MIB: u64 = 1 << 20;
/// Reads the start of a file, pauses while its download meets the stall of the origin, closes it, and looks around.
const WORKLOAD: [&str; 4] =
    ["--", "sh", "-c", "{ head -c 4096 >/dev/null; sleep 1; } <\"$FSD_MOUNT/slow.bin\"; ls -l \"$FSD_MOUNT\""];
/// The seed's bug, in each worker that takes over.
const BUG: &str = "--failpoint=every:release::close_under_lock=return";
const QUICK: [&str; 2] = ["--stalled-after=2s", "--watchdog-interval=500ms"];

fn origin() -> Origin {
    let origin = Origin::start().unwrap();
    origin.file("slow.bin", 64 * MIB).always("slow.bin", Fault::StallAt(MIB));
    origin
}

/// `fsdiag isolate`, beside the `fsd` under test; None where it was not built.
fn isolate(mounted: &Mounted, args: &[&str], workload: &[&str]) -> Option<Output> {
    let mut command = command(mounted)?;
    command.args(["--yes", "--format", "json", "--stalled-after", "2"]).args(args);
    if !args.contains(&"--limit") {
        command.args(["--limit", "30"]);
    }
    command.args(workload);
    Some(command.output().unwrap())
}

fn command(mounted: &Mounted) -> Option<Command> {
    let mut command = unnamed(mounted)?;
    command.arg(mounted.dir());
    Some(command)
}

/// The same, and no mount is named.
fn unnamed(mounted: &Mounted) -> Option<Command> {
    let fsdiag: PathBuf = program().with_file_name("fsdiag");
    if !fsdiag.exists() {
        skip("fsdiag", "only fsd was built", "cargo test --workspace");
        return None;
    }
    let mut command = mounted.home().command(&fsdiag);
    command.arg("isolate").stdin(Stdio::null());
    Some(command)
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {}", text(&output.stderr)))
}

/// Ends the mount once its former workers are drained.
fn finish(mounted: Mounted, origin: &Origin) {
    origin.heal().release();
    let runtime = mounted.runtime();
    let is_run = |path: &Path| path.join(layout::INFLIGHT).exists();
    let runs = || fs::read_dir(&runtime).unwrap().filter(|entry| is_run(&entry.as_ref().unwrap().path())).count();
    await_true("the drain of the former runs", || runs() == 1);
    mounted.finish();
}

fn flags(mounted: &Mounted) -> [bool; 2] {
    let flags = &mounted.status()["flags"];
    ["debug_skip_eviction", "debug_fskit_single_thread"].map(|name| flags[name] == true)
}

/// Runs of that setting that hung, and that did not.
fn tally(report: &Value, setting: &str) -> (u64, u64) {
    let row = report["settings"].as_array().unwrap().iter().find(|row| row["setting"] == setting).unwrap();
    (row["hung"].as_u64().unwrap(), row["clean"].as_u64().unwrap())
}

#[test]
fn the_release_bug_is_traced_to_the_close_path() {
    let origin = origin();
    let mounted = mount(Some(&origin.url("")), &[&QUICK[..], &[BUG]].concat());
    let Some(output) = isolate(&mounted, &["--runs", "1"], &WORKLOAD) else { return };
    let report = report(&output);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}\n{report:#}");
    assert_eq!(report["conclusion"]["finding"], "close_path", "{said}\n{report:#}");
    let rows = ["no_flag", "skip_eviction", "single_thread", "both"].map(|setting| tally(&report, setting));
    assert_eq!(rows, [(1, 0), (0, 1), (1, 0), (0, 1)], "{said}");
    assert_eq!(flags(&mounted), [false, false], "the flags from before");
    assert!(report["runs"][0]["sentence"].as_str().unwrap().contains("Release"));
    finish(mounted, &origin);
}

#[test]
fn a_healthy_mount_gives_no_conclusion_and_keeps_its_flags() {
    let origin = origin();
    let mounted = mount(Some(&origin.url("")), &[&QUICK[..], &["--debug-skip-eviction"]].concat());
    let Some(output) = isolate(&mounted, &["--runs", "1"], &WORKLOAD) else { return };
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert_eq!(report(&output)["conclusion"]["finding"], "not_reproduced");
    assert_eq!(flags(&mounted), [true, false], "the flags from before");
    finish(mounted, &origin);
}

#[test]
fn ctrl_c_restores_the_flags_and_frees_the_workload() {
    let origin = origin();
    let mounted = mount(Some(&origin.url("")), &[&QUICK[..], &[BUG, "--debug-skip-eviction"]].concat());
    let Some(mut command) = command(&mounted) else { return };
    // It never calls this a hang, so that it is still in its first run when it is interrupted.
    command.args(["--yes", "--stalled-after", "600", "--limit", "600"]).args(WORKLOAD);
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    mounted.await_event(|event| event["ev"] == "phase" && event["phase"] == "close");
    let pid = nix::unistd::Pid::from_raw(running.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert_eq!(flags(&mounted), [true, false], "the flags from before");
    assert_eq!(mounted.status()["worker_alive"], true);
    assert_eq!(mounted.status()["oldest_us"], 0, "nobody hangs");
    finish(mounted, &origin);
}

#[test]
fn without_a_command_the_mounts_own_users_are_watched() {
    let origin = origin();
    let mounted = mount(Some(&origin.url("")), &[&QUICK[..], &[BUG]].concat());
    let going_on = mounted.dirs().root().join("going-on");
    fs::write(&going_on, "").unwrap();
    let script = format!("while [ -e {} ]; do {}; done", going_on.display(), WORKLOAD[3]);
    let mut users = Command::new("sh");
    users.args(["-c", &script]).env("FSD_MOUNT", mounted.dir()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut users = users.spawn().unwrap();
    let output = isolate(&mounted, &["--runs", "1", "--limit", "8"], &[]);
    fs::remove_file(&going_on).unwrap();
    if let Some(output) = output {
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{}\n{report:#}", text(&output.stderr));
        assert_eq!(report["conclusion"]["finding"], "close_path", "{report:#}");
        assert_eq!(report["workload"], serde_json::json!([]));
    }
    origin.heal().release();
    users.wait().unwrap();
    finish(mounted, &origin);
}

#[test]
fn without_a_supervisor_it_says_what_it_could_not_try() {
    let origin = origin();
    let mounted = mount(Some(&origin.url("")), &["--no-supervisor", "--stalled-after=2s", BUG]);
    let Some(output) = isolate(&mounted, &["--runs", "1"], &WORKLOAD) else { return };
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["conclusion"]["finding"], "incomplete", "{report:#}");
    assert!(report["notes"].to_string().contains("supervisor"), "{report:#}");
    assert_eq!(flags(&mounted), [false, false], "the flags from before");
    finish(mounted, &origin);
}

#[test]
fn among_several_mounts_none_is_taken_unasked() {
    let origin = origin();
    // Each keeps its records in a directory of its own, as two services would.
    let [one, other] = [(); 2].map(|()| mount(Some(&origin.url("")), &QUICK));
    if let Some(mut command) = unnamed(&one) {
        let output = command.arg("--dry-run").output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for mounted in [&one, &other] {
            let point = mounted.dir().display().to_string();
            assert!(said.contains(point.trim_end_matches('/')), "{said}");
        }
    }
    finish(one, &origin);
    finish(other, &origin);
}
