//! Records in shared memory that another user has put there, where root finds them.

use std::{
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use fsd_events::{
    ids::RunId,
    presence::{LOCK, Presence},
};
use tempfile::TempDir;

use super::victims::{Victim, is_mounted, is_root, program, skip};

const NOBODY: u32 = 65534;
const SECRET: &str = "https://h/film.mkv?token=SECRET";

/// What stands in the place of `/dev/shm` for one `fsdiag`.
struct Shm(TempDir);

impl Shm {
    fn new() -> Option<Self> {
        if !is_root() {
            skip("become another user", "a plain user", "root");
            return None;
        }
        let open = Permissions::from_mode(0o755);
        Some(Self(tempfile::Builder::new().permissions(open).tempdir().unwrap()))
    }

    /// The directory of one mount in that runtime directory, both of nobody.
    fn dir(&self, root: &str) -> PathBuf {
        let root = self.0.path().join(root);
        let dir = root.join("m");
        fs::create_dir_all(&dir).unwrap();
        for made in [&root, &dir] {
            give(made, 0o700);
        }
        dir
    }

    /// What nobody says of a mount, locked as long as the file lives; the socket is `name` beside it.
    fn record(&self, mount: &Path, name: &str, more: Presence) -> File {
        let dir = self.dir(&format!("fsd-{NOBODY}"));
        let mount = mount.display().to_string();
        let socket = format!("/dev/shm/fsd-{NOBODY}/m/{name}");
        let state_dir = format!("/dev/shm/fsd-{NOBODY}/m");
        let presence = Presence { mount, socket, state_dir, run: RunId(7).to_string(), ..more };
        fs::write(dir.join("mount.json"), serde_json::to_vec(&presence).unwrap()).unwrap();
        let lock = File::create(dir.join(LOCK)).unwrap();
        give(&dir.join("mount.json"), 0o600);
        give(&dir.join(LOCK), 0o600);
        lock.lock().unwrap();
        lock
    }

    /// Runs `fsdiag` as root; it is killed when it hangs.
    fn fsdiag(&self, args: &[&str], input: &str) -> Output {
        const SCRIPT: &str = r#"mount --bind "$1" /dev/shm; shift; exec timeout -s KILL 60 "$@""#;
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]).arg(self.0.path()).arg(program());
        command.args(args).env_remove("XDG_RUNTIME_DIR").env_remove("FSD_RUNTIME_DIR");
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // Whoever does not want it has closed the pipe.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }
}

fn give(path: &Path, mode: u32) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A process of some user that answers one request with `done`; killed when dropped.
struct Listener(Child, BufReader<ChildStdout>);

impl Listener {
    /// Listens as `name` in the directory of the record.
    fn start(shm: &Shm, name: &str, uid: u32) -> Self {
        const SCRIPT: &str = r#"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print("listens", flush=True)
f = s.accept()[0].makefile("rw")
print(f.readline(), end="", flush=True)
f.write('{"answer":"done"}\n')
f.flush()
"#;
        let socket = shm.dir(&format!("fsd-{NOBODY}")).join(name);
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", SCRIPT]).arg(socket).uid(uid).current_dir("/").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "listens\n");
        Self(child, said)
    }

    /// All that it was told.
    fn heard(mut self) -> String {
        self.0.kill().unwrap();
        let mut text = String::new();
        self.1.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

fn words(out: &Output) -> String {
    [&out.stdout, &out.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

#[test]
fn a_pipe_in_the_place_of_a_record_hangs_nobody() {
    let Some(shm) = Shm::new() else { return };
    let (foreign, own) = (shm.dir("fsd-x"), shm.dir(&format!("fsd-{NOBODY}")));
    for pipe in [foreign.join("mount.json"), own.join("mount.json"), own.join(LOCK)] {
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        give(&pipe, 0o600);
    }
    let out = shm.fsdiag(&["restart", "/no/such/mount", "--dry-run"], "");
    assert_eq!(out.status.code(), Some(3), "{out:?}");
}

#[test]
fn a_stranger_s_record_of_root_s_mount_gets_no_url() {
    let (Some(shm), Some(victim)) = (Shm::new(), Victim::of_user(0)) else { return };
    let listener = Listener::start(&shm, "s", NOBODY);
    let _locked = shm.record(&victim.mount, "s", Presence { pid: 1, ..Presence::default() });
    let out = shm.fsdiag(&["stage", victim.mount.to_str().unwrap(), "-"], SECRET);
    assert_eq!((listener.heard().as_str(), out.status.code()), ("", Some(3)), "{}", words(&out));
}

#[test]
fn a_stranger_s_record_of_root_s_mount_kills_nobody() {
    let (Some(shm), Some(victim)) = (Shm::new(), Victim::of_user(0)) else { return };
    let mut bystander = Command::new("sleep").arg("1000").spawn().unwrap();
    let forged = Presence { pid: 1, supervisor: bystander.id(), ..Presence::default() };
    let _locked = shm.record(&victim.mount, "s", forged);
    let out = shm.fsdiag(&["restart", victim.mount.to_str().unwrap(), "--yes"], "");
    let lives = bystander.try_wait().unwrap().is_none();
    let _ = (bystander.kill(), bystander.wait());
    assert!(lives, "{}", words(&out));
    assert_eq!((out.status.code(), is_mounted(&victim.mount)), (Some(3), true), "{}", words(&out));
}

#[test]
fn root_gives_orders_to_a_plain_user_s_own_fsd_and_to_nobody_in_its_place() {
    let (Some(shm), Some(victim)) = (Shm::new(), Victim::of_user(NOBODY)) else { return };
    let mount = victim.mount.to_str().unwrap();
    for (name, uid, heard) in [("own", NOBODY, true), ("other", 0, false)] {
        let listener = Listener::start(&shm, name, uid);
        let _locked = shm.record(&victim.mount, name, Presence::default());
        let out = shm.fsdiag(&["stage", mount, "-"], SECRET);
        assert_eq!((listener.heard().contains(SECRET), out.status.success()), (heard, heard), "{}", words(&out));
    }
}

/// Its command line would be run with the rights of root.
#[test]
fn a_plain_user_s_fsd_is_not_restarted_by_root() {
    let (Some(shm), Some(victim)) = (Shm::new(), Victim::of_user(NOBODY)) else { return };
    let _locked = shm.record(&victim.mount, "nobody-listens", Presence::default());
    let out = shm.fsdiag(&["restart", victim.mount.to_str().unwrap(), "--yes"], "");
    assert_eq!((out.status.code(), is_mounted(&victim.mount)), (Some(1), true), "{}", words(&out));
    assert!(words(&out).contains(&format!("user {NOBODY}")), "{}", words(&out));
}
