//! Control socket: requests of `fsd`'s own commands and of fsdiag, one JSON object a line.
//!
//! Whoever owns the socket answers through [`Desk`]: the worker itself, or a supervisor in front of it. Threads of
//! its own serve it, so it answers also when the runtime hangs.

pub(super) mod client;

use std::{
    fs::Permissions,
    io::{self, BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::Arc,
    thread::Builder,
    time::Duration,
};

use fsd_events::control::{Answer, Code, Refusal, Request};

use crate::{
    observe::locks::{Class, Mutex, Rank},
    platform::process::peer_uid,
};

/// Who is on the socket.
static CLIENTS_HERE: Class = Class::new("clients", Rank::Session);

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
    let crowd = Arc::new(Crowd { clients: Mutex::new(&CLIENTS_HERE, Vec::new()) });
    for client in listener.incoming() {
        let Ok(client) = client else {
            // Most likely there is no descriptor left, and who waits to be let in would have us try all the time.
            std::thread::park_timeout(AGAIN);
            continue;
        };
        let client = Arc::new(client);
        if !crowd.enter(&client) {
            drop(send(&client, &refuse(Code::Busy, "too many clients: close one")));
            continue;
        }
        let (desk, crowd_of, of) = (Arc::clone(desk), Arc::clone(&crowd), Arc::clone(&client));
        let started = Builder::new().name("fsd-client".to_owned()).spawn(move || {
            drop(talk(&of, desk.as_ref(), &crowd_of));
            crowd_of.leave(&of);
        });
        if started.is_err() {
            crowd.leave(&client);
        }
    }
}

/// Everybody on the socket, who has asked for nothing for the longest time first.
struct Crowd {
    clients: Mutex<Vec<Present>>,
}

struct Present {
    client: Arc<UnixStream>,
    /// Waits for an answer.
    asks: bool,
}

impl Crowd {
    /// Whether there is room; an idle client makes it.
    fn enter(&self, client: &Arc<UnixStream>) -> bool {
        let mut clients = self.clients.lock();
        let mut idle = None;
        if clients.len() >= CLIENTS {
            let Some(at) = clients.iter().position(|present| !present.asks) else { return false };
            idle = Some(clients.remove(at).client);
        }
        clients.push(Present { client: Arc::clone(client), asks: false });
        drop(clients);
        // Its thread sees the end, and goes.
        drop(idle.map(|idle| idle.shutdown(Shutdown::Both)));
        true
    }

    /// False when it has been let go.
    fn asks(&self, client: &Arc<UnixStream>, asks: bool) -> bool {
        let mut clients = self.clients.lock();
        let Some(at) = clients.iter().position(|present| Arc::ptr_eq(&present.client, client)) else { return false };
        let client = clients.remove(at).client;
        clients.push(Present { client, asks });
        true
    }

    fn leave(&self, client: &Arc<UnixStream>) {
        self.clients.lock().retain(|present| !Arc::ptr_eq(&present.client, client));
    }
}

/// Answers line by line until the client goes.
fn talk(client: &Arc<UnixStream>, desk: &dyn Desk, crowd: &Crowd) -> io::Result<()> {
    let (peer, own) = (peer_uid(client)?, nix::unistd::geteuid().as_raw());
    if peer != own && peer != 0 {
        return send(client, &refuse(Code::Denied, "only the user who runs this fsd may give it orders"));
    }
    let mut input = BufReader::new(&**client);
    loop {
        let mut line = Vec::new();
        if input.by_ref().take(REQUEST_LIMIT).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.len() as u64 == REQUEST_LIMIT {
            return send(client, &refuse(Code::BadRequest, "the request is longer than 1 MiB"));
        }
        if !crowd.asks(client, true) {
            return Ok(());
        }
        send(client, &answer(desk, &line))?;
        crowd.asks(client, false);
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
    fn who_asks_for_nothing_shuts_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        serve(&path, Arc::new(Echo)).unwrap();
        let mut first = UnixStream::connect(&path).unwrap();
        let _crowd: Vec<_> = (1..CLIENTS).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let mut late = UnixStream::connect(&path).unwrap();
        late.write_all(b"{\"request\":\"unstage\",\"id\":\"7\"}\n").unwrap();
        let mut line = String::new();
        BufReader::new(late).read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), r#"{"answer":"dumped","file":"7"}"#);
        assert_eq!(first.read(&mut [0]).unwrap(), 0, "the one that was idle for the longest time made room");
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
