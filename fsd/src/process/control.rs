//! Control socket: requests of `fsd`'s own commands and of fsdiag, one JSON object a line.
//!
//! Whoever owns the socket answers through [`Desk`]: the worker itself, or a supervisor in front of it. Threads of
//! its own serve it, so it answers also when the runtime hangs.

pub(super) mod client;

use std::{
    fs::Permissions,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::Builder,
    time::Duration,
};

use fsd_events::control::{Answer, Code, Refusal, Request};

use crate::platform::process::peer_uid;

/// Longest request; a URL with its headers is far below.
const REQUEST_LIMIT: u64 = 1 << 20;
/// Between two tries to let a client in.
const AGAIN: Duration = Duration::from_millis(100);
/// Clients at once.
const CLIENTS: usize = 32;

/// Who answers requests.
pub(super) trait Desk: Send + Sync + 'static {
    /// Carries one request out. May take seconds for `Stage`, never for the others.
    fn answer(&self, request: Request) -> Answer;
}

/// Opens the socket at `path`, for our own user only, and answers there from threads of its own.
///
/// # Errors
/// When the socket or its thread cannot be made.
pub(super) fn serve(path: &Path, desk: Arc<dyn Desk>) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Builder::new().name("fsd-control".to_owned()).spawn(move || accept(&listener, &desk))?;
    Ok(())
}

fn accept(listener: &UnixListener, desk: &Arc<dyn Desk>) {
    let clients = Arc::new(AtomicUsize::new(0));
    for client in listener.incoming() {
        let Ok(client) = client else {
            // Most likely there is no descriptor left, and who waits to be let in would have us try all the time.
            std::thread::park_timeout(AGAIN);
            continue;
        };
        if clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS {
            clients.fetch_sub(1, Ordering::Relaxed);
            drop(send(&client, &refuse(Code::Busy, "too many clients: close one")));
            continue;
        }
        let (desk, count) = (Arc::clone(desk), Arc::clone(&clients));
        let started = Builder::new().name("fsd-client".to_owned()).spawn(move || {
            drop(talk(&client, desk.as_ref()));
            count.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Answers line by line until the client goes.
fn talk(client: &UnixStream, desk: &dyn Desk) -> io::Result<()> {
    let (peer, own) = (peer_uid(client)?, nix::unistd::geteuid().as_raw());
    if peer != own && peer != 0 {
        return send(client, &refuse(Code::Denied, "only the user who runs this fsd may give it orders"));
    }
    let mut input = BufReader::new(client);
    loop {
        let mut line = Vec::new();
        if input.by_ref().take(REQUEST_LIMIT).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.len() as u64 == REQUEST_LIMIT {
            return send(client, &refuse(Code::BadRequest, "the request is longer than 1 MiB"));
        }
        send(client, &answer(desk, &line))?;
    }
}

fn answer(desk: &dyn Desk, line: &[u8]) -> Answer {
    match serde_json::from_slice(line) {
        Ok(request) => desk.answer(request),
        // The message of serde_json quotes the request, and the request may hold a URL with its secrets.
        Err(error) => {
            refuse(Code::BadRequest, &format!("not a request that this fsd knows (column {})", error.column()))
        }
    }
}

fn send(mut client: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    client.write_all(&line)
}

pub(super) fn refuse(code: Code, message: &str) -> Answer {
    Answer::Refused(Refusal { code, message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Desk for Echo {
        fn answer(&self, request: Request) -> Answer {
            match request {
                Request::Unstage { id } => Answer::Dumped { file: id },
                _ => Answer::Done,
            }
        }
    }

    #[test]
    fn each_line_has_its_answer_and_secrets_are_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        serve(&path, Arc::new(Echo)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"{\"request\":\"unstage\",\"id\":\"7\"}\n{\"request\":\"CANARY\"}\nCANARY\n").unwrap();
        let mut lines = BufReader::new(client).lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap(), r#"{"answer":"dumped","file":"7"}"#);
        for _ in 0..2 {
            let line = lines.next().unwrap();
            assert!(line.contains("bad_request") && !line.contains("CANARY"), "{line}");
        }
    }
}
