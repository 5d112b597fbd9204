//! Endings and beginnings: an unmount is ordered and bounded whatever hangs, and nothing is called ready that is not.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::{
        fs::{FileExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{health::*, support::*};

const MIB: u64 = 1 << 20;

/// Where the first event of that kind stands.
fn position(record: &[serde_json::Value], is_it: impl Fn(&serde_json::Value) -> bool) -> usize {
    record.iter().position(is_it).unwrap_or_else(|| panic!("no such event in {record:#?}"))
}

#[test]
fn r14_r50_a_busy_mount_names_its_holders_goes_on_serving_and_is_ended_by_force() {
    let origin = origin();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &["--drain-timeout", "60s"]);
    let open = File::open(mounted.path("a")).unwrap();
    mounted.signal(Signal::SIGTERM);
    let own = format!("pid {}", std::process::id());
    await_true("the holder's name", || mounted.messages().contains(&own));
    let mut bytes = [0; 4096];
    open.read_exact_at(&mut bytes, MIB / 2).unwrap();
    assert!(bytes[..] == origin.bytes("a", MIB / 2, 4096), "a draining mount still serves");
    let forced = mounted.fsd(&["umount", "--force"]);
    assert!(matches!(forced.status.code(), Some(0 | 16)), "{}", text(&forced.stderr));
    assert!(open.read_exact_at(&mut bytes, 0).is_err() || bytes[..] == origin.bytes("a", 0, 4096));
    let (status, record) = mounted.gone();
    assert!(matches!(status.code(), Some(0 | 16)), "{status}");
    assert_eq!(record.last().unwrap()["ev"], "stop");
}

#[test]
fn r21_s88_with_everything_stalled_the_end_is_in_order_and_bounded() {
    let origin = origin();
    for name in ["silent", "stalls", "trickles"] {
        origin.file(name, 64 * MIB);
    }
    origin.always("silent", Fault::Silent).always("stalls", Fault::StallAt(0));
    origin.always("trickles", Fault::Trickle(Duration::from_millis(50)));
    let args = ["--drain-timeout", "1s", "--read-timeout", "60s", "--watchdog-interval", "100ms"];
    let mounted = mount(Some(&origin.url("")), &args);
    let readers = ["silent", "stalls", "trickles"].map(|name| reading(mounted.path(name), 32 * MIB, 4096));
    await_true("all of them open", || mounted.status()["open_handles"] == 3);
    serves(&mounted, &origin);
    let start = now();
    mounted.signal(Signal::SIGTERM);
    let (status, record) = mounted.gone();
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    assert_eq!(status.code(), Some(16), "aborted after the drain limit");
    for reader in readers {
        assert!(reader.join().unwrap().0.is_err(), "nobody waits for a mount that has gone");
    }
    let last_read = position(&record, |event| event["ev"] == "enter" && event["op"] == "Read");
    let last_beat = record.iter().rposition(|event| event["ev"] == "beat").unwrap();
    assert!(last_read < last_beat && last_beat < record.len() - 1, "the watchdog watches to the end");
    assert_eq!(record.last().unwrap()["ev"], "stop");
    assert_eq!(open_tasks(&record), Vec::<String>::new());
}

#[test]
fn s82_s83_s84_s85_a_forced_unmount_frees_whoever_waits_in_the_kernel() {
    let origin = origin();
    origin.file("dead", 64 * MIB).always("dead", Fault::StallAt(0));
    let mounted = mount(Some(&origin.url("")), &["--read-timeout", "600s", "--inactivity-timeout", "600s"]);
    let mut clients: Vec<_> = (0..8).map(|_| cat(&mounted.path("dead"))).collect();
    await_true("all of them open", || mounted.status()["open_handles"] == 8);
    mounted.await_event(|event| event["ev"] == "wait");
    let forced = mounted.fsd(&["umount", "--force"]);
    assert!(matches!(forced.status.code(), Some(0 | 16)), "{}", text(&forced.stderr));
    for client in &mut clients {
        await_true("the client's end", || client.try_wait().unwrap().is_some());
        assert!(!client.wait().unwrap().success());
    }
    mounted.gone();
}

#[test]
fn s91_a_daemon_whose_origin_is_silent_gives_up_in_time_and_says_why() {
    let origin = origin();
    origin.always("", Fault::Silent);
    let dirs = Dirs::new();
    let (url, at) = (origin.url(""), dirs.home().mount_point().display().to_string());
    let start = now();
    let limits = ["--first-byte-timeout", "1s", "--meta-timeout", "2s"];
    let args = [&["mount", "--daemon"][..], &limits, &[&url, &at]].concat();
    let said = dirs.fsd(&args);
    assert_eq!(said.status.code(), Some(75), "{}", text(&said.stderr));
    assert!(text(&said.stderr).contains("no answer") || text(&said.stderr).contains("not complete"));
    assert!(start.elapsed() < Duration::from_secs(45), "{:?}", start.elapsed());
    assert_eq!(files(dirs.home().runtime()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn s93_no_other_process_gets_hold_of_the_kernel_connection() {
    let mounted = mount(None, &[]);
    for pid in [mounted.pid(), mounted.worker()] {
        let proc = Path::new("/proc").join(pid.to_string());
        let fuse = |entry: &fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|to| to == Path::new("/dev/fuse"));
        let held: Vec<_> = fs::read_dir(proc.join("fd")).unwrap().flatten().filter(fuse).collect();
        assert!(!held.is_empty());
        for entry in held {
            let info = fs::read_to_string(proc.join("fdinfo").join(entry.file_name())).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            let flags = i64::from_str_radix(flags, 8).unwrap();
            assert!(flags & i64::from(rustix::fs::OFlags::CLOEXEC.bits()) != 0, "{info}");
        }
    }
    mounted.finish();
}

#[test]
fn r20_s68_s69_s70_s71_s89_fsd_never_looks_below_its_own_mount() {
    let origin = origin();
    let args = ["--watchdog-interval", "100ms", "--stalled-after", "300ms", "--listing-ttl", "100ms"];
    let mounted = mount(Some(&origin.url("")), &args);
    // Everything that might make it look: a stall with its dump, status, staging, and an unmount that finds it busy.
    origin.file("dead", MIB).always("dead", Fault::Silent);
    let open = File::open(mounted.path("well.bin")).unwrap();
    await_true("the new name", || mounted.path("dead").exists());
    let stuck = reading(mounted.path("dead"), 0, 100);
    mounted.await_event(|event| event["ev"] == "stall");
    mounted.fsd(&["stage", &origin.url("well.bin")]);
    assert!(mounted.fsd(&["dump"]).status.success());
    assert!(mounted.fsd(&["status"]).status.success());
    origin.heal().release();
    assert!(stuck.join().unwrap().0.is_ok());
    mounted.signal(Signal::SIGTERM);
    await_true("a busy unmount", || mounted.messages().contains("busy"));
    drop(open);
    let ours = [mounted.pid(), mounted.worker()];
    let (status, record) = mounted.gone();
    assert_eq!(status.code(), Some(0));
    let own = record.iter().filter(|event| event["ev"] == "enter" && ours.iter().any(|pid| event["pid"] == *pid));
    assert_eq!(own.collect::<Vec<_>>(), Vec::<&serde_json::Value>::new(), "fsd used its own mount");
}

#[test]
fn r50_a_path_with_everything_that_a_shell_would_run_is_a_path() {
    let origin = origin();
    let dirs = Dirs::new();
    let strange = dirs.root().join("a'b\"; touch pwned; $(touch pwned) `touch pwned` & |,\n\\");
    let home = Home::new(&strange, &dirs.home().runtime().join("strange")).unwrap();
    for force in [None, Some("--force")] {
        let served = Served::start(program(), &home, Some(&origin.url("")), &[], |command| {
            command.current_dir(dirs.root());
        });
        let mut served = served.unwrap_or_else(|failed| panic!("{failed:?}"));
        let open = File::open(served.path("well.bin")).unwrap();
        assert_eq!(read_anew(&served.path("well.bin"), 0, 100).unwrap(), origin.bytes("well.bin", 0, 100));
        let mut umount = home.command(program());
        umount.arg("umount").args(force);
        drop(open);
        assert!(umount.current_dir(dirs.root()).status().unwrap().success());
        assert!(served.wait(SOON).is_some() && !served.at().is_mounted());
    }
    assert!(files(dirs.root()).iter().all(|path| !path.ends_with("pwned")));
}

#[test]
fn r51_a_helper_that_says_yes_and_mounts_nothing_is_reported() {
    if !nix::unistd::geteuid().is_root() {
        return skip("a foreign user", "a plain user", "root");
    }
    let dirs = Dirs::new();
    let bin = dirs.root().join("bin");
    fs::create_dir(&bin).unwrap();
    let source = dirs.root().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a"), "a").unwrap();
    for (helper, lines) in [("quits", "exit 0"), ("fails late", "sleep 0.3; echo no such device >&2; exit 1")] {
        let program_file = bin.join("fusermount3");
        fs::write(&program_file, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(&program_file, PermissionsExt::from_mode(0o755)).unwrap();
        for dir in [dirs.root(), dirs.home().runtime().parent().unwrap()] {
            assert!(Command::new("chown").args(["-R", "nobody"]).arg(dir).status().unwrap().success());
        }
        let mut command = dirs.home().command(program());
        command.args(["mount", "--daemon"]).arg(&source).arg(dirs.home().mount_point());
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        command.uid(65534).gid(65534).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let status = fsd::process::demo::served::wait(&mut child, Duration::from_secs(45)).expect("it gives up");
        let (mut said, mut told) = (String::new(), String::new());
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(status.code(), Some(32), "{helper}: {told}");
        assert!(!said.contains("is mounted") && told.contains("fusermount3"), "{helper}: {said} {told}");
    }
}
