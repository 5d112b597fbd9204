//! Acts on a frozen mount: whoever does not read what they say does not stop them half-way.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

use super::victims::{Victim, eventually, is_mounted, is_root, program, skip, spinning_on};
use crate::tui::Terminal;

/// `fsdiag rescue` on a mount that hangs.
fn rescue(victim: &mut Victim, stdout: impl Into<Stdio>) -> Child {
    let file = victim.mount.join("film.mkv").display().to_string();
    victim.client("stat", &[&file]);
    let mount = victim.mount.to_str().unwrap();
    let mut command = Command::new(program());
    command.args(["rescue", mount, "--yes"]).stdin(Stdio::null()).stdout(stdout).spawn().unwrap()
}

#[test]
fn a_rescue_whose_reader_has_gone_is_done_all_the_same() {
    let Some(mut victim) = Victim::spinning() else { return };
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let code = rescue(&mut victim, writer).wait().unwrap().code();
    assert_eq!((code, is_mounted(&victim.mount)), (Some(0), false));
}

#[test]
fn a_rescue_whose_reader_does_not_read_is_done_before_it_is_said() {
    let Some(mut victim) = Victim::spinning() else { return };
    let (mut reader, mut writer) = io::pipe().unwrap();
    let full = vec![b' '; 64 << 10];
    writer.write_all(&full).unwrap();
    let mut rescue = rescue(&mut victim, writer);
    eventually("the unmount", || !is_mounted(&victim.mount));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.trim_end().ends_with("is unmounted"), "{}", text.trim());
    assert!(rescue.wait().unwrap().success());
}

#[test]
fn a_program_that_runs_from_a_hung_mount_is_dumped() {
    let tools = tempfile::tempdir().unwrap();
    fs::copy("/usr/bin/sleep", tools.path().join("app")).unwrap();
    let source = tools.path().display().to_string();
    let args = |mount: &str| ["mount", &source, mount, "--file-perms", "0755"].map(str::to_owned).to_vec();
    let Some(mut victim) = Victim::start("rclone", args) else { return };
    let app = victim.mount.join("app").display().to_string();
    let pid = victim.client(&app, &["1000"]);
    let asleep = || fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|wchan| wchan.contains("nanosleep"));
    eventually("the program", asleep);
    victim.signal("-STOP");
    let mut dump = Command::new(program());
    let dump = dump.args(["dump", &pid.to_string(), "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let dump = ended(dump.spawn().unwrap());
    let (text, said) = (String::from_utf8_lossy(&dump.stdout), String::from_utf8_lossy(&dump.stderr));
    assert!(dump.status.success() && text.contains("nanosleep"), "{said}\n{text}");
    assert!(said.contains(&format!("{app} lies on a FUSE mount and is not opened")), "{said}");
}

/// What it printed, once it has ended; killed when it never does.
fn ended(mut child: Child) -> Output {
    let pid = child.id();
    let start = fsdiag::sources::wall_us();
    while child.try_wait().unwrap().is_none() {
        if fsdiag::sources::wall_us() - start > 40_000_000 {
            child.kill().unwrap();
            panic!("process {pid} never ended");
        }
        fsdiag::sources::pause(20);
    }
    child.wait_with_output().unwrap()
}

#[test]
fn the_screens_leave_no_trace_instance() {
    let Some(victim) = Victim::rclone() else { return };
    let Some(tracefs) = Tracefs::mount() else { return };
    let (report, _) = victim.attach(&["--for", "0.1"]);
    if report["kernel"]["missing"].to_string().contains("trace events") {
        return skip("trace", &report["kernel"]["missing"].to_string(), "fuse tracepoints, 6.11");
    }
    let number = victim.mount.with_file_name("number");
    for (name, by_key) in [("quit", true), ("term", false)] {
        let screens = format!("echo $$ > {}; exec {} tui {}", number.display(), program(), victim.mount.display());
        let Some(terminal) = Terminal::start(name, &format!("sh -c '{screens}'")) else { return };
        terminal.until("8 Act");
        let pid = fs::read_to_string(&number).unwrap().trim().to_owned();
        eventually("the trace instance", || tracefs.owners().contains(&pid));
        match by_key {
            true => terminal.type_keys(&["q"]),
            false => assert!(Command::new("kill").arg(&pid).status().unwrap().success()),
        }
        eventually("the end of the screens", || !Path::new("/proc").join(&pid).exists());
        assert!(!tracefs.owners().contains(&pid), "left behind after {name}");
    }
}

/// The kernel's trace instances, at a place of our own.
struct Tracefs(TempDir);

impl Tracefs {
    /// None, with a line that says so, for whoever may not mount.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tracefs", "tracefs"]).arg(dir.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        skip("tracefs", "no right to mount it", "root");
        None
    }

    /// Processes of fsdiag that have one.
    fn owners(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path().join("instances")).unwrap().flatten();
        let owner = |name: String| name.strip_prefix("fsdiag-")?.split('-').next().map(str::to_owned);
        entries.filter_map(|entry| owner(entry.file_name().into_string().ok()?)).collect()
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_client_in_the_daemon_s_container_is_named_by_its_number_here() {
    let apart = ["--pid", "--fork", "--kill-child"].map(str::to_owned);
    let args = |mount: &str| apart.into_iter().chain(spinning_on(mount)).collect();
    if !is_root() {
        return skip("pid namespaces", "a plain user", "root");
    }
    let Some(mut victim) = Victim::start("unshare", args) else { return };
    let unshare = victim.daemon.id();
    let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap();
    let file = victim.mount.join("film.mkv").display().to_string();
    let outer = victim.client("nsenter", &["-t", children.trim(), "-p", "--", "stat", &file]);
    let report = victim.attach_until(&[], |r| !super::requests(r).is_empty());
    if super::no_lists(&report) {
        return;
    }
    let request = &super::requests(&report)[0];
    let client = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
    assert_eq!((&request["client"], request["client_pid"].to_string()), (&"stat".into(), client.trim().to_owned()));
}

#[test]
fn a_link_into_a_frozen_mount_is_told_and_not_followed() {
    let Some(mut victim) = Victim::spinning() else { return };
    let file = victim.mount.join("film.mkv");
    victim.client("stat", &[file.to_str().unwrap()]);
    let logs = TempDir::new().unwrap();
    fs::write(logs.path().join("fuse.log"), "[FUSE] Open ENTER (id=1)\n[FUSE] Open EXIT (id=1, elapsed=45ms)\n")
        .unwrap();
    std::os::unix::fs::symlink(&file, logs.path().join("film.log")).unwrap();
    let mut command = Command::new(program());
    command.arg("analyze").arg(logs.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    eventually("the report", || child.try_wait().unwrap().is_some());
    let Output { stdout, stderr, .. } = child.wait_with_output().unwrap();
    let (report, problems) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(report.starts_with("healthy"), "{report}");
    assert!(problems.contains("film.log: leads into a FUSE mount"), "{problems}");
}
