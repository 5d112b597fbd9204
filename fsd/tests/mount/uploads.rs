//! Uploads: the seed's own test list, as a test.
//!
//! Several large files are uploaded from the mount at once while somebody looks at it all the time; under each debug
//! flag all uploads complete, the bytes are right, nothing stalls, and every ENTER has its EXIT.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{
    reads::{SMALL_FILES, same, sparse},
    servers::Server,
    support::*,
};

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

fn name(at: usize) -> String {
    format!("up{at}.bin")
}

/// Sends that file of the mount to where `to` says.
fn upload(mounted: &Mounted, at: usize, to: impl Fn(&str) -> String) -> Child {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "-T"]).arg(mounted.path(&name(at))).arg(to(&format!("put/{}", name(at))));
    curl.stdout(Stdio::null()).spawn().unwrap()
}

/// Looks with `ls -l` until all uploads have ended well, and says how often; `lines` of each look must be files.
fn look_until_done(mut running: Vec<Child>, dir: &Path, lines: usize) -> usize {
    let mut looks = 0;
    while running.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        let listed = Command::new("ls").arg("-l").arg(dir).output().unwrap();
        assert!(listed.status.success(), "{}", text(&listed.stderr));
        assert_eq!(text(&listed.stdout).lines().filter(|line| line.starts_with("-r")).count(), lines);
        looks += 1;
    }
    for child in &mut running {
        assert!(child.wait().unwrap().success(), "an upload failed");
    }
    assert!(looks > 0, "nobody looked");
    looks
}

/// Ends the mount: nothing stalled, and every ENTER has its EXIT. Gives the number of operations.
fn all_answered(mounted: Mounted) -> usize {
    let record = mounted.finish();
    let stalls: Vec<_> = record.iter().filter(|event| event["ev"] == "stall").collect();
    assert!(stalls.is_empty(), "{stalls:?}");
    assert_eq!(orphans(&record), Vec::<String>::new());
    let (enters, exits) = (count(&record, "enter"), count(&record, "exit"));
    assert!(enters > 0 && enters == exits, "{enters} ENTERs, {exits} EXITs");
    enters
}

/// Runs the list once.
fn uploads_beside_ls(args: &[&str]) {
    if !have("curl") {
        return;
    }
    let (started, total) = (now(), (0..UPLOADS).map(size).sum::<u64>());
    let origin = Origin::start().unwrap();
    for at in 0..UPLOADS {
        origin.file(&name(at), size(at));
    }
    let mounted = mount(Some(&origin.url("")), args);
    let running = (0..UPLOADS).map(|at| upload(&mounted, at, |path| origin.url(path))).collect();
    let looks = look_until_done(running, &mounted.dir(), UPLOADS);
    let received = origin.uploads();
    assert_eq!(received.len(), UPLOADS);
    for upload in received {
        let name = upload.path.rsplit('/').next().unwrap();
        let at: usize = name.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        assert!(upload.complete && upload.bytes == size(at), "{upload:?}");
        assert_eq!(upload.checksum, checksum(name, size(at)), "{name}");
    }
    let operations = all_answered(mounted);
    let took = started.elapsed();
    tell(&format!("{args:?}: {} MiB in {took:?}, {looks} looks, {operations} operations", total / MIB));
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

/// A real server on both sides: what is read of it is sent back to it, and compared on its disk.
#[test]
fn from_nginx_to_nginx_beside_ls_of_ten_thousand_files() {
    let (tree, started) = (tempfile::tempdir().unwrap(), now());
    let (www, many) = (tree.path().join("www"), tree.path().join("www/many"));
    fs::create_dir_all(&many).unwrap();
    (0..SMALL_FILES).for_each(|at| fs::write(many.join(format!("{at:05}.txt")), format!("{at}\n")).unwrap());
    (0..UPLOADS).for_each(|at| sparse(&www.join(name(at)), size(at)));
    let put = format!("location /put/ {{ root {}; dav_methods PUT; client_max_body_size 0; }}", tree.path().display());
    fs::create_dir(tree.path().join("put")).unwrap();
    let Some(nginx) = Server::nginx(&www, &put) else { return };
    if !have("curl") {
        return;
    }
    // One process of the server sends the page and takes the uploads: how long that takes is not the question.
    let mounted = mount(Some(&nginx.url("")), &["--meta-timeout=60s"]);
    let running = (0..UPLOADS).map(|at| upload(&mounted, at, |path| nginx.url(path))).collect();
    let looks = look_until_done(running, &mounted.path("many"), SMALL_FILES);
    for at in 0..UPLOADS {
        assert!(same(&www.join(name(at)), &tree.path().join("put").join(name(at))), "{} differs", name(at));
    }
    let operations = all_answered(mounted);
    let (took, total) = (started.elapsed(), (0..UPLOADS).map(size).sum::<u64>() / MIB);
    tell(&format!("nginx: {total} MiB in {took:?}, {looks} looks at {SMALL_FILES} files, {operations} operations"));
}
