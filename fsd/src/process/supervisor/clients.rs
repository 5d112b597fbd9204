//! Clients of the control socket, served without a thread: requests come as lines, answers leave when they can.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
};

use fsd_events::control::{Answer, Code, Request};
use nix::poll::PollFlags;

use crate::{platform::process::peer_uid, process::control::refuse};

/// Longest request; a URL with its headers is far below.
const REQUEST_LIMIT: usize = 1 << 20;
/// Clients at once.
const CLIENTS: usize = 32;

/// Name of a client while it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientId(u64);

struct Client {
    id: ClientId,
    socket: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Requests without an answer yet.
    asked: usize,
    /// When it last said something, as a number that rises.
    heard: u64,
    /// Says nothing more, and may still listen.
    silent: bool,
    gone: bool,
}

/// The socket and everybody on it.
pub(super) struct Clients {
    listener: UnixListener,
    all: Vec<Client>,
    next: u64,
}

impl Clients {
    /// Opens the socket, for our own user only.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, all: Vec::new(), next: 0 })
    }

    /// What the loop waits for: words of whoever may say some, and room for answers that wait.
    pub(super) fn interests(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let clients = self.all.iter().map(|client| (client.socket.as_fd(), client.interest()));
        let clients = clients.filter(|(_, interest)| !interest.is_empty());
        std::iter::once((self.listener.as_fd(), PollFlags::POLLIN)).chain(clients).collect()
    }

    /// Takes what has come; every whole request with its client.
    pub(super) fn turn(&mut self) -> Vec<(ClientId, Request)> {
        self.accept();
        let mut requests = Vec::new();
        self.next += 1;
        for client in &mut self.all {
            if !client.silent {
                client.read();
            }
            while let Some(line) = client.line() {
                match serde_json::from_slice(&line) {
                    Ok(request) => {
                        client.asked += 1;
                        client.heard = self.next;
                        requests.push((client.id, request));
                    }
                    // Quoting the request would quote a URL's secrets.
                    Err(_) => client.say(&refuse(Code::BadRequest, "not a request that this fsd knows")),
                }
            }
            client.write();
        }
        self.all.retain(|client| !client.is_over());
        requests
    }

    pub(super) fn answer(&mut self, to: ClientId, answer: &Answer) {
        if let Some(client) = self.all.iter_mut().find(|client| client.id == to) {
            client.asked = client.asked.saturating_sub(1);
            client.say(answer);
            client.write();
        }
    }

    /// Lets the one go that has asked for nothing for the longest time; false when all wait for answers, or have said
    /// something that nobody has heard yet.
    fn drop_idle(&mut self) -> bool {
        self.all.iter_mut().filter(|client| !client.silent).for_each(Client::read);
        let idle = self.all.iter().enumerate().filter(|(_, client)| client.is_idle());
        let oldest = idle.min_by_key(|(_, client)| client.heard).map(|(at, _)| at);
        oldest.map(|at| self.all.remove(at)).is_some()
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            self.next += 1;
            let mut client = Client::new(ClientId(self.next), socket);
            if client.socket.set_nonblocking(true).is_err() {
                continue;
            }
            if !ours(&client.socket) {
                client.send_off(Code::Denied, "only the user who runs this fsd may give it orders");
            } else if self.all.len() >= CLIENTS && !self.drop_idle() {
                client.send_off(Code::Busy, "too many clients: close one");
            } else {
                self.all.push(client);
            }
        }
    }
}

impl Client {
    fn new(id: ClientId, socket: UnixStream) -> Self {
        let (input, output) = (Vec::new(), Vec::new());
        Self { id, socket, input, output, asked: 0, heard: id.0, silent: false, gone: false }
    }

    /// Waits for nothing of ours: half an order is none.
    fn is_idle(&self) -> bool {
        self.asked == 0 && !self.input.contains(&b'\n') && self.output.is_empty()
    }

    fn interest(&self) -> PollFlags {
        let words = if self.silent { PollFlags::empty() } else { PollFlags::POLLIN };
        if self.output.is_empty() { words } else { words | PollFlags::POLLOUT }
    }

    /// Nothing more comes from it, and nothing more goes to it.
    fn is_over(&self) -> bool {
        self.output.is_empty() && (self.gone || self.silent && self.asked == 0)
    }

    fn read(&mut self) {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return self.silent = true,
                Ok(n) => self.input.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => return self.gone = true,
            }
            if self.input.len() > REQUEST_LIMIT {
                self.send_off(Code::BadRequest, "the request is longer than 1 MiB");
                return;
            }
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.input.iter().position(|b| *b == b'\n')?;
        Some(self.input.drain(..=end).collect())
    }

    fn say(&mut self, answer: &Answer) {
        // Answers are our own types: they always have a JSON form.
        if let Ok(line) = serde_json::to_vec(answer) {
            self.output.extend(line);
            self.output.push(b'\n');
        }
    }

    fn write(&mut self) {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(n) if n > 0 => drop(self.output.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                _ => {
                    self.output.clear();
                    self.gone = true;
                }
            }
        }
    }

    fn send_off(&mut self, code: Code, why: &str) {
        self.input.clear();
        self.say(&refuse(code, why));
        self.write();
        self.gone = true;
    }
}

fn ours(socket: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    peer_uid(socket).is_ok_and(|peer| peer == own || peer == 0)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[test]
    fn requests_are_answered_and_garbage_is_refused_without_quoting_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut clients = Clients::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"{\"request\":\"list\"}\nCANARY\n").unwrap();
        let requests = clients.turn();
        assert!(matches!(requests.as_slice(), [(_, Request::List)]), "{requests:?}");
        clients.answer(requests[0].0, &Answer::Done);
        let lines: Vec<_> = BufReader::new(client).lines().take(2).map(Result::unwrap).collect();
        assert!(lines.iter().any(|l| l.contains("done")) && !lines.concat().contains("CANARY"), "{lines:?}");
    }

    #[test]
    fn who_asks_for_nothing_shuts_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut clients = Clients::open(&path).unwrap();
        let connect = |clients: &mut Clients, line: &[u8]| {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(line).unwrap();
            client.set_nonblocking(true).unwrap();
            clients.turn();
            (clients.turn(), client)
        };
        let (_, waits) = connect(&mut clients, b"{\"request\":\"list\"}\n");
        let crowd: Vec<_> = (1..CLIENTS).map(|_| connect(&mut clients, b"{").1).collect();
        let late = connect(&mut clients, b"");
        let is_open = |client: &UnixStream| (&mut &*client).read(&mut [0]).is_err();
        assert!(is_open(&waits) && is_open(&late.1), "one waits for its answer, one is new");
        assert_eq!(crowd.iter().map(is_open).collect::<Vec<_>>(), [vec![false], vec![true; CLIENTS - 2]].concat());
    }

    #[test]
    fn who_has_asked_is_not_let_go_because_nobody_has_heard_it_yet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut clients = Clients::open(&path).unwrap();
        let connect = |_| {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(b"{\"request\":\"list\"}\n").unwrap();
            client
        };
        let crowd: Vec<_> = (0..=CLIENTS).map(connect).collect();
        assert_eq!(clients.turn().len(), CLIENTS);
        let mut said = String::new();
        BufReader::new(&crowd[CLIENTS]).read_line(&mut said).unwrap();
        assert!(said.contains("too many clients"), "{said}");
    }

    #[test]
    fn who_has_said_all_it_will_say_gets_its_answer_before_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut clients = Clients::open(&path).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"{\"request\":\"list\"}\n").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let requests = clients.turn();
        assert!(
            clients.turn().is_empty() && clients.interests().len() == 1,
            "nothing more comes, so nobody waits for it"
        );
        clients.answer(requests[0].0, &Answer::Done);
        assert!(clients.turn().is_empty());
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert!(text.contains("done"), "{text}");
    }
}
