//! The helper: fusermount3 mounts and unmounts for a plain user, and is never waited for without a limit.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::platform::{
    clock, mounting,
    process::{end_by, left_in},
};

use super::{
    MountError, MountSpec,
    attach::{DEVICE, clean},
};

/// It has to be started and to ask the kernel once, which takes milliseconds.
const LIMIT: Duration = Duration::from_secs(5);
const STUCK_HINT: &str = "run it by hand to see what it waits for, or run fsd as root";

/// fusermount3 mounts and sends the descriptor through the socket that is its standard input.
pub(super) fn by_helper(dir: &Path, spec: &MountSpec) -> Result<OwnedFd, MountError> {
    if !Path::new(DEVICE).exists() {
        return Err(MountError::NoDevice);
    }
    let mode = if spec.writable { "rw" } else { "ro" };
    let mut options = format!("{mode},nosuid,nodev,fsname={},subtype=fsd", clean(&spec.source));
    if spec.allow_other {
        options.push_str(",allow_other");
    }
    let denied = |why: io::Error| MountError::Path { dir: dir.to_path_buf(), why };
    let (ours, theirs) = UnixStream::pair().map_err(denied)?;
    let mut command = helper()?;
    command.arg("-o").arg(options).arg("--").arg(dir).env("_FUSE_COMMFD", "0");
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::piped());
    ours.set_read_timeout(Some(LIMIT)).map_err(denied)?;
    let mut child = command.spawn().map_err(denied)?;
    // The command keeps our copy of its end open; without this the end of the helper would not be seen.
    drop(command);
    let received = receive(&ours);
    let ended = end(&mut child, clock::now() + LIMIT);
    // One that mounts at the last moment has left a mount, which is ours.
    let received = received.or_else(|| ours.set_nonblocking(true).ok().and_then(|()| receive(&ours)));
    received.ok_or_else(|| match ended {
        Ok((_, message)) => refused(&message),
        Err(stuck) => MountError::Helper { message: stuck, hint: STUCK_HINT },
    })
}

/// None: nothing comes, or not within the limit.
fn receive(ours: &UnixStream) -> Option<OwnedFd> {
    loop {
        match mounting::receive_fd(ours) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            received => return received.ok()?,
        }
    }
}

fn refused(message: &str) -> MountError {
    let message = message.trim();
    // It begins with the helper's own name, with or without its directory.
    let words = message.split_once("fusermount3: ").or_else(|| message.split_once("fusermount: "));
    let message = words.map_or(message, |(_, rest)| rest).to_owned();
    let hints = [
        ("user_allow_other", "add the line user_allow_other to /etc/fuse.conf, or do without --allow-other"),
        ("failed to open /dev/fuse", "as root run chmod 666 /dev/fuse, or run fsd as root"),
        ("not owned by user", "give a directory that belongs to you"),
        ("no write access to mountpoint", "give a directory that belongs to you"),
        (
            "Operation not permitted",
            "fusermount3 must be setuid root and may not run with no_new_privs; or run as root",
        ),
        ("too many FUSE filesystems", "raise mount_max in /etc/fuse.conf, or unmount others"),
        ("failed to chdir to mountpoint", "give a directory that you may enter"),
    ];
    let hint = hints.iter().find(|row| message.contains(row.0)).map_or("see fusermount3(1)", |row| row.1);
    MountError::Helper { message, hint }
}

/// The helper program: from PATH, or where services without a PATH find it.
fn helper() -> Result<Command, MountError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/bin", "/usr/local/bin", "/sbin"].map(PathBuf::from);
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).chain(usual).filter(|dir| dir.is_absolute()).collect();
    let programs = ["fusermount3", "fusermount"];
    let mut all = programs.iter().flat_map(|program| dirs.iter().map(move |dir| dir.join(program)));
    all.find(|program| program.is_file()).map(Command::new).ok_or(MountError::NoHelper)
}

/// Unmounts as a plain user; lazily if something is open.
pub(super) fn helper_unmount(dir: &Path, lazy: bool) -> Result<(), String> {
    let mut command = helper().map_err(|error| error.to_string())?;
    command.arg("-u");
    if lazy {
        command.arg("-z");
    }
    command.arg("--").arg(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let (status, message) = end(&mut child, clock::now() + LIMIT)?;
    if status.success() { Ok(()) } else { Err(message.trim().to_owned()) }
}

/// How it ended and what it said; one that has not ended by then is killed.
fn end(child: &mut Child, deadline: Instant) -> Result<(ExitStatus, String), String> {
    let stuck = || format!("it did not end within {} s and was killed", LIMIT.as_secs());
    let status = end_by(child, deadline).ok_or_else(stuck)?;
    Ok((status, child.stderr.take().map_or_else(String::new, left_in)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_the_helper_says_what_to_do() {
        let text = "fusermount3: option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf\n";
        let shown = refused(text).to_string();
        assert!(shown.contains("add the line user_allow_other"), "{shown}");
        assert!(refused("something new").to_string().contains("fusermount3(1)"));
    }

    #[test]
    fn a_helper_that_does_not_end_is_killed_and_what_it_said_before_is_not_waited_for() {
        let start = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let mut stuck = start("exec sleep 600");
        let told = end(&mut stuck, clock::now() + Duration::from_millis(5)).unwrap_err();
        assert!(told.contains("killed"), "{told}");
        assert!(!stuck.wait().unwrap().success());
        // A child of it has its standard error for long.
        let mut quick = start("sleep 5 & echo no >&2; exit 1");
        let before = clock::now();
        let (status, said) = end(&mut quick, before + 60 * LIMIT).unwrap();
        assert_eq!((status.code(), said.trim()), (Some(1), "no"));
        assert!(clock::now() - before < LIMIT, "nobody waited for the child");
    }
}
