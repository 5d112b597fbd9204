//! Control: what `fsd`'s own commands do to a running mount.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::{net::UnixStream, process::CommandExt},
    process::{Command, Stdio},
};

use fsd_events::control::Request;
use serde_json::Value;

use super::support::*;

const MIB: u64 = 1 << 20;

fn ok(mounted: &Mounted, args: &[&str]) -> String {
    let output = mounted.fsd(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout).trim_end().to_owned()
}

fn staged(mounted: &Mounted) -> Vec<Value> {
    let list: Value = serde_json::from_str(&ok(mounted, &["list", "--json"])).unwrap();
    list["staged"].as_array().unwrap().clone()
}

#[test]
fn a_staged_url_is_a_file_until_it_is_unstaged_and_closed() {
    let origin = Origin::start().unwrap();
    origin.file("a/film.mkv", 3 * MIB);
    let mounted = mount(None, &[]);
    let said = ok(&mounted, &["stage", &origin.url("a/film.mkv?token=CANARY")]);
    let (id, path) = said.split_once(' ').unwrap();
    assert_eq!(path, mounted.path(&format!("Staged/{id}/film.mkv")).display().to_string());
    assert_eq!(read_sum(path.as_ref()), (3 * MIB, checksum("a/film.mkv", 3 * MIB)));
    let list = staged(&mounted);
    assert_eq!((list[0]["id"].as_str(), list[0]["size"].as_u64()), (Some(id), Some(3 * MIB)));
    assert!(!list[0].to_string().contains("CANARY"));
    ok(&mounted, &["unstage", id]);
    assert_eq!(staged(&mounted), Vec::<Value>::new());
    let again = mounted.fsd(&["unstage", id]);
    assert_eq!((again.status.code(), text(&again.stderr).contains("fsd list")), (Some(1), true));
    mounted.finish();
}

#[test]
fn an_order_of_any_length_is_carried_out_by_the_worker_that_is_there() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(None, &["--supervisor"]);
    let before = mounted.status()["pid"].clone();
    // More than the socket between supervisor and worker holds.
    let headers = (0..60).map(|n| (format!("X-{n}"), "x".repeat(12_000))).collect();
    let request = Request::Stage { url: origin.url("a"), name: None, headers };
    let mut socket = UnixStream::connect(&mounted.presence.socket).unwrap();
    socket.write_all(&[serde_json::to_vec(&request).unwrap(), b"\n".to_vec()].concat()).unwrap();
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer).unwrap();
    assert!(answer.contains("Staged/"), "{answer}");
    assert_eq!((mounted.status()["pid"].clone(), staged(&mounted).len()), (before, 1));
    mounted.finish();
}

#[test]
fn r43_several_files_are_staged_at_once_and_from_files_and_stdin() {
    let origin = Origin::start().unwrap();
    for name in ["one", "two", "three"] {
        origin.file(name, MIB);
    }
    origin.require("three", "X-Key", "CANARY");
    let mounted = mount(None, &[]);
    let root = mounted.dirs().root();
    let (url, headers) = (root.join("url"), root.join("headers"));
    std::fs::write(&url, format!("{}\n", origin.url("three"))).unwrap();
    std::fs::write(&headers, "# mine\nX-Key: CANARY\n").unwrap();
    let (url, headers) = (url.display().to_string(), headers.display().to_string());
    let first = ok(&mounted, &["stage", &origin.url("one"), "--name", "renamed"]);
    let third = ok(&mounted, &["stage", "--url-file", &url, "--header-file", &headers]);
    let mut stdin = mounted.home().command(program());
    let mut child = stdin.args(["stage", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(origin.url("two").as_bytes()).unwrap();
    let second = text(&child.wait_with_output().unwrap().stdout);
    for (said, name, file) in [(first, "one", "renamed"), (second, "two", "two"), (third, "three", "three")] {
        let path = said.trim_end().split_once(' ').unwrap().1.to_owned();
        assert!(path.ends_with(&format!("/{file}")), "{path}");
        assert_eq!(read_sum(path.as_ref()), (MIB, checksum(name, MIB)));
    }
    assert_eq!(staged(&mounted).len(), 3);
    mounted.finish();
}

#[test]
fn staging_what_cannot_be_staged_says_why() {
    let origin = Origin::start().unwrap();
    let mounted = mount(None, &[]);
    for (args, code, word) in [
        (vec!["stage".to_owned(), origin.url("missing")], 66, "check the URL"),
        (vec!["stage".to_owned(), "ftp://h/x".to_owned()], 2, "http"),
        (vec!["stage".to_owned(), "nonsense".to_owned()], 2, "a URL looks like"),
        (vec!["stage".to_owned(), origin.url("d/")], 2, "of a directory"),
        (vec!["stage".to_owned(), origin.url("a"), "--name".to_owned(), "x/y".to_owned()], 2, "not a file name"),
        (vec!["stage".to_owned(), "http://127.0.0.1:1/x".to_owned()], 75, "try again"),
        (vec!["unstage".to_owned(), "nothing".to_owned()], 1, "fsd list"),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = mounted.fsd(&args);
        assert_eq!(output.status.code(), Some(code), "{args:?} {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(word), "{}", text(&output.stderr));
    }
    mounted.finish();
}

#[test]
fn status_and_flags() {
    let origin = Origin::start().unwrap();
    let mounted = mount(Some(&origin.url("")), &["--debug-lock-events"]);
    let status = mounted.status();
    assert_eq!(status["pid"].as_u64(), Some(u64::from(mounted.worker())));
    assert_eq!((status["supervised"].as_bool(), mounted.now().supervisor), (Some(true), mounted.pid()));
    assert_eq!(status["flags"]["debug_lock_events"], true);
    assert_eq!(status["stalled"], false);
    assert!(ok(&mounted, &["status"]).contains("is mounted at"));
    ok(&mounted, &["flag", "debug-skip-eviction", "true"]);
    assert_eq!(mounted.status()["flags"]["debug_skip_eviction"], true);
    let changed = mounted.await_event(|event| event["ev"] == "flag");
    assert_eq!((changed["name"].as_str(), changed["value"].as_bool()), (Some("debug_skip_eviction"), Some(true)));
    let fixed = mounted.fsd(&["flag", "debug_fskit_single_thread", "true"]);
    assert_eq!(fixed.status.code(), Some(1));
    let way = "fsd restart --debug-fskit-single-thread=true";
    assert!(text(&fixed.stderr).contains(way), "{}", text(&fixed.stderr));
    let unknown = mounted.fsd(&["flag", "debug_everything", "true"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("debug_skip_eviction, debug_fskit_single_thread"));
    mounted.finish();
}

#[test]
fn clients_that_say_nothing_shut_nobody_out() {
    for how in ["--no-supervisor", "--supervisor"] {
        let mounted = mount(None, &[how]);
        let connect = |_| std::os::unix::net::UnixStream::connect(&mounted.presence.socket).unwrap();
        let _silent: Vec<_> = (0..64).map(connect).collect();
        assert!(ok(&mounted, &["status"]).contains("is mounted at"), "{how}");
        assert!(ok(&mounted, &["umount"]).contains("is unmounted"), "{how}");
        assert_eq!(mounted.gone().0.code(), Some(0));
    }
}

#[test]
fn one_of_several_must_be_named() {
    let first = mount(None, &[]);
    let other = tempfile::tempdir().unwrap();
    let home = Home::new(other.path(), first.home().runtime()).unwrap();
    let mut second = Served::start(program(), &home, None, &[], |_| ()).unwrap();
    let unnamed = first.fsd(&["status"]);
    assert_eq!(unnamed.status.code(), Some(3));
    let said = text(&unnamed.stderr);
    assert!(said.contains(&first.presence.mount) && said.contains(&second.presence.mount), "{said}");
    let origin = Origin::start().unwrap();
    let url = second.home().state().join("url");
    std::fs::write(&url, origin.file("b", 1).url("b")).unwrap();
    let (theirs, url) = (second.presence.mount.clone(), url.display().to_string());
    for args in [vec!["stage", &origin.file("a", 1).url("a"), &theirs], vec!["stage", "--url-file", &url, &theirs]] {
        let staged = first.fsd(&args);
        assert!(text(&staged.stdout).contains(&theirs), "{args:?} {}", text(&staged.stderr));
    }
    let umount = first.fsd(&["umount", &second.presence.mount]);
    assert_eq!((umount.status.code(), text(&umount.stdout).contains("is unmounted")), (Some(0), true));
    assert_eq!(second.wait(SOON).unwrap().code(), Some(0));
    first.finish();
}

#[test]
fn other_users_have_no_say() {
    if !nix::unistd::geteuid().is_root() {
        return skip("a foreign user", "a plain user", "root");
    }
    let mounted = mount(None, &[]);
    let socket = &mounted.presence.socket;
    let mut stranger = Command::new("curl");
    let status = stranger.args(["-s", "--unix-socket", socket, "http://x/"]).uid(65534).gid(65534).status();
    assert_eq!(status.unwrap().code(), Some(7), "curl could connect");
    mounted.finish();
}

#[test]
fn a_dump_is_asked_for_and_its_file_named() {
    let mounted = mount(None, &[]);
    let file = ok(&mounted, &["dump"]);
    let dump = std::fs::read_to_string(&file).unwrap();
    assert!(dump.contains("fsd-watchdog") || dump.contains("fuser"), "{dump}");
    mounted.finish();
}

/// Size and checksum of a file, read to its end.
pub(crate) fn read_sum(path: &std::path::Path) -> (u64, u64) {
    use std::io::Read;
    let mut file = std::fs::File::open(path).unwrap();
    let (mut sum, mut total, mut buffer) = (Checksum::default(), 0, vec![0; 1 << 18]);
    loop {
        let got = file.read(&mut buffer).unwrap();
        if got == 0 {
            return (total, sum.sum());
        }
        sum.update(&buffer[..got]);
        total += got as u64;
    }
}
