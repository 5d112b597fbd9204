//! Uploads: the seed's own test list, as a test.
//!
//! Several large files are uploaded from the mount at once while somebody looks at it all the time; under each debug
//! flag all uploads complete, the bytes are right, nothing stalls, and every ENTER has its EXIT.

use std::process::{Child, Command, Stdio};

use super::support::*;

const MIB: u64 = 1 << 20;
const UPLOADS: usize = 8;
/// The first is over 1 GiB, as the seed asks.
const LARGE: u64 = 1100 * MIB;
/// MiB of each other one, where [`SIZE_VARIABLE`] does not say otherwise.
const SIZE_MIB: u64 = 48;
/// `512` makes it several GiB in all, as the seed has it.
const SIZE_VARIABLE: &str = "FSD_TEST_UPLOAD_MIB";

fn size(at: usize) -> u64 {
    let wanted = std::env::var(SIZE_VARIABLE).ok().and_then(|text| text.parse().ok());
    if at == 0 { LARGE } else { wanted.unwrap_or(SIZE_MIB) * MIB }
}

fn upload(mounted: &Mounted, origin: &Origin, at: usize) -> Child {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "-T"])
        .arg(mounted.path(&format!("up{at}.bin")))
        .arg(origin.url(&format!("put/up{at}.bin")));
    curl.stdout(Stdio::null()).spawn().unwrap()
}

/// Runs the list once.
fn uploads_beside_ls(args: &[&str]) {
    if !have("curl") {
        return;
    }
    let (started, total) = (now(), (0..UPLOADS).map(size).sum::<u64>());
    let origin = Origin::start().unwrap();
    for at in 0..UPLOADS {
        origin.file(&format!("up{at}.bin"), size(at));
    }
    let mounted = mount(Some(&origin.url("")), args);
    let mut running: Vec<Child> = (0..UPLOADS).map(|at| upload(&mounted, &origin, at)).collect();
    let mut looks = 0;
    while running.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        let listed = Command::new("ls").arg("-l").arg(mounted.dir()).output().unwrap();
        assert!(listed.status.success(), "{}", text(&listed.stderr));
        assert_eq!(text(&listed.stdout).lines().filter(|line| line.contains(".bin")).count(), UPLOADS);
        looks += 1;
    }
    for child in &mut running {
        assert!(child.wait().unwrap().success(), "an upload failed");
    }
    assert!(looks > 0, "nobody looked");
    let received = origin.uploads();
    assert_eq!(received.len(), UPLOADS);
    for upload in received {
        let name = upload.path.rsplit('/').next().unwrap();
        let at: usize = name.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        assert!(upload.complete && upload.bytes == size(at), "{upload:?}");
        assert_eq!(upload.checksum, checksum(name, size(at)), "{name}");
    }
    let record = mounted.finish();
    let stalls: Vec<_> = record.iter().filter(|event| event["ev"] == "stall").collect();
    assert!(stalls.is_empty(), "{stalls:?}");
    assert_eq!(orphans(&record), Vec::<String>::new());
    let (enters, exits) = (count(&record, "enter"), count(&record, "exit"));
    assert!(enters > 0 && enters == exits, "{enters} ENTERs, {exits} EXITs");
    let took = started.elapsed();
    tell(&format!("{args:?}: {} MiB in {took:?}, {looks} looks, {enters} operations", total / MIB));
}

#[test]
fn under_no_flag() {
    uploads_beside_ls(&[]);
}

#[test]
fn under_debug_skip_eviction() {
    uploads_beside_ls(&["--debug-skip-eviction"]);
}

#[test]
fn under_debug_fskit_single_thread() {
    uploads_beside_ls(&["--debug-fskit-single-thread"]);
}

#[test]
fn under_both_flags() {
    uploads_beside_ls(&["--debug-skip-eviction", "--debug-fskit-single-thread"]);
}
