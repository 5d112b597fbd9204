//! Client of the control socket: finds the running fsd and asks it.

use std::{
    fs::OpenOptions,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use fsd_events::{
    control::{Answer, Code, Request},
    layout,
    presence::{LOCK, Presence},
};

use crate::{
    data::source::is_url,
    platform::runtime_dir::{is_private, open_private},
    process::{
        exit::{Exit, Failure},
        places,
    },
};

/// Longest wait for an answer; staging may have to ask a slow origin.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// The same where nothing has to be asked of anybody: whoever wants to know how a mount is must not hang with it.
const QUICK_LIMIT: Duration = Duration::from_secs(10);

/// A connection to a running fsd.
pub(in crate::process) struct Client {
    pub(in crate::process) presence: Presence,
    socket: BufReader<UnixStream>,
}

/// Connects to the fsd of `mount` (directory or slug), or to the only one that runs.
///
/// # Errors
/// [`Exit::NotRunning`] when none runs there, or several do and none is named.
pub(in crate::process) fn connect(mount: Option<&Path>, runtime_dir: Option<&Path>) -> Result<Client, Failure> {
    let presence = choose(running(runtime_dir), mount)?;
    match UnixStream::connect(&presence.socket) {
        Ok(socket) => Ok(Client { presence, socket: BufReader::new(socket) }),
        Err(error) => Err(Exit::NotRunning.because(format!(
            "fsd {} serves {} but its control socket {} does not answer: {error}",
            presence.pid, presence.mount, presence.socket
        ))),
    }
}

impl Client {
    /// Sends one request and waits for its answer; a refusal is a failure with its message.
    ///
    /// # Errors
    /// Refused, or no answer.
    pub(in crate::process) fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        // Whoever has the socket: under a supervisor that is not the worker.
        let pid = Some(self.presence.supervisor).filter(|pid| *pid != 0).unwrap_or(self.presence.pid);
        let limit = if matches!(request, Request::Status | Request::List) { QUICK_LIMIT } else { ANSWER_LIMIT };
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Exit::Internal.because(format!(
                "fsd {pid} did not answer within {} s: it is stopped (kill -CONT {pid}) or hangs (fsdiag dump {pid})",
                limit.as_secs()
            )),
            _ => Exit::Internal.because(format!("fsd {pid} did not answer: {error}")),
        };
        let mut line = serde_json::to_vec(request).map_err(|error| broken(error.into()))?;
        line.push(b'\n');
        self.socket.get_ref().set_read_timeout(Some(limit)).map_err(broken)?;
        self.socket.get_mut().write_all(&line).map_err(broken)?;
        let mut text = String::new();
        self.socket.read_line(&mut text).map_err(broken)?;
        match serde_json::from_str(&text) {
            Ok(Answer::Refused(refusal)) => Err(exit(refusal.code).because(refusal.message)),
            Ok(answer) => Ok(answer),
            Err(_) if text.is_empty() => Err(broken(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(broken(error.into())),
        }
    }

    /// Waits until the process at the other end has gone, at most `limit`; true if it has.
    pub(in crate::process) fn outlive(mut self, limit: Duration) -> bool {
        drop(self.socket.get_mut().set_read_timeout(Some(limit)));
        matches!(self.socket.read(&mut [0]), Ok(0))
    }
}

fn exit(code: Code) -> Exit {
    match code {
        Code::Upstream => Exit::Unreachable,
        Code::UpstreamRefused => Exit::Source,
        Code::BadRequest => Exit::Usage,
        Code::Internal => Exit::Internal,
        Code::Aborted => Exit::Aborted,
        _ => Exit::Refused,
    }
}

/// Every fsd that runs under `runtime_dir`; without one, or if none does, under the usual runtime directories.
pub(in crate::process) fn running(runtime_dir: Option<&Path>) -> Vec<Presence> {
    let named = below(runtime_dir.map(Path::to_owned).into_iter().collect());
    if named.is_empty() { below(places::candidates(None)) } else { named }
}

fn below(roots: Vec<PathBuf>) -> Vec<Presence> {
    let mut found = Vec::new();
    // Whoever was there before us could have written what he likes, and would hear our secrets.
    for root in roots.iter().filter(|root| is_private(root).unwrap_or(false)) {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        let living = entries.map(|entry| entry.path()).filter(|dir| alive(dir));
        found.extend(living.filter_map(|dir| read(&dir)));
    }
    found.sort_by(|a: &Presence, b| a.mount.cmp(&b.mount));
    found.dedup();
    found
}

/// What `dir` (a mount's runtime directory) says of itself.
pub(in crate::process) fn read(dir: &Path) -> Option<Presence> {
    let mut text = Vec::new();
    let mut file = open_private(&dir.join(layout::MOUNT_FILE), OpenOptions::new().read(true)).ok()?;
    file.read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Whether a process still holds the lock of that runtime directory.
fn alive(dir: &Path) -> bool {
    open_private(&dir.join(LOCK), OpenOptions::new().read(true))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

fn choose(mut running: Vec<Presence>, mount: Option<&Path>) -> Result<Presence, Failure> {
    let listed = |all: &[Presence]| all.iter().map(|p| p.mount.as_str()).collect::<Vec<_>>().join(", ");
    let Some(mount) = mount else {
        return match running.len() {
            0 => Err(Exit::NotRunning.because("no fsd runs here; start one with `fsd mount SOURCE MOUNTPOINT`")),
            1 => Ok(running.remove(0)),
            _ => Err(Exit::NotRunning.because(format!("several fsd run; name one of: {}", listed(&running)))),
        };
    };
    if is_url(&mount.to_string_lossy()) {
        return Err(Exit::Usage.because("a URL is no mount: name the directory where it is mounted"));
    }
    let wanted = places::absolute(mount);
    let is_it = |p: &Presence| {
        Path::new(&p.mount) == wanted
            || layout::slug(Path::new(&p.mount)).as_bytes() == mount.as_os_str().as_encoded_bytes()
    };
    match running.iter().position(is_it) {
        Some(at) => Ok(running.swap_remove(at)),
        None if running.is_empty() => {
            Err(Exit::NotRunning.because(format!("no fsd serves {}; none runs here", wanted.display())))
        }
        None => {
            let text = format!("no fsd serves {}; those that run serve: {}", wanted.display(), listed(&running));
            Err(Exit::NotRunning.because(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    fn at(mount: &str) -> Presence {
        Presence { mount: mount.to_owned(), ..Presence::default() }
    }

    #[test]
    fn a_record_where_others_may_write_is_not_believed() {
        let base = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let (root, dir) = (base.path().join("fsd-7"), base.path().join("fsd-7/m"));
        std::fs::create_dir_all(&dir).unwrap();
        let record = dir.join(layout::MOUNT_FILE);
        std::fs::write(&record, r#"{"mount":"/m"}"#).unwrap();
        let lock = std::fs::File::create(dir.join(LOCK)).unwrap();
        lock.lock().unwrap();
        for path in [&record, &dir.join(LOCK)] {
            mode(path, 0o600);
        }
        let found = |root_mode, record_mode| {
            mode(&root, root_mode);
            mode(&record, record_mode);
            running(Some(&root)).iter().any(|presence| presence.mount == "/m")
        };
        assert!(found(0o700, 0o600));
        assert!(!found(0o755, 0o600) && !found(0o700, 0o644));
    }

    #[test]
    fn the_only_one_needs_no_name_and_of_several_one_must_be_named() {
        assert_eq!(choose(vec![at("/a")], None).unwrap().mount, "/a");
        let two = || vec![at("/a"), at("/b c")];
        assert!(choose(two(), None).unwrap_err().text.contains("/a, /b c"));
        assert_eq!(choose(two(), Some(Path::new("/b c"))).unwrap().mount, "/b c");
        assert_eq!(choose(two(), Some(Path::new("b%20c"))).unwrap().mount, "/b c");
        assert_eq!(choose(two(), Some(Path::new("/d"))).unwrap_err().exit, Exit::NotRunning);
        assert_eq!(choose(vec![], None).unwrap_err().exit, Exit::NotRunning);
        let url = choose(two(), Some(Path::new("http://u:CANARY@h/"))).unwrap_err();
        assert!(url.exit == Exit::Usage && !url.text.contains("CANARY"), "{}", url.text);
    }
}
