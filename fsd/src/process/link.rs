//! Link: what supervisor and worker say to each other, one JSON object a line, descriptors beside it.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
};

use fsd_events::{
    control::{Answer, Request},
    flags::DebugFlags,
    presence::Presence,
};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{data::origin::Sealed, platform::process::received_fd};

/// Longest line; the list of a hundred thousand staged files is below.
const LINE_LIMIT: usize = 128 << 20;

/// With more bytes that wait for a reader nothing is added to them: a few of the longest requests.
const UNSENT_LIMIT: usize = 8 << 20;

/// From the supervisor.
#[derive(Serialize, Deserialize)]
pub(super) enum Down {
    Job(Box<Job>),
    /// The mount is there; its `/dev/fuse` comes beside this line.
    Mounted {
        dir: PathBuf,
        connection: u32,
        helper: bool,
    },
    Ask {
        n: u64,
        request: Request,
    },
    /// Drain and unmount, or abort at once.
    Stop {
        abort: bool,
        reason: String,
    },
}

/// What a worker is to do. Not shown: settings may hold secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Job {
    /// Settings that somebody wrote: name and text. They may hold secrets; this pipe is their only way.
    pub(super) settings: Vec<(String, String)>,
    pub(super) flags: DebugFlags,
    /// Bugs on purpose, as on the command line.
    pub(super) failpoints: Vec<String>,
    pub(super) mountpoint: PathBuf,
    /// Redacted, for people.
    pub(super) argv: Vec<String>,
    pub(super) runtime: PathBuf,
    pub(super) state: PathBuf,
    pub(super) shared: bool,
    pub(super) mount_run: String,
    /// A worker before this one served the connection.
    pub(super) takeover: Option<Takeover>,
}

/// What the first worker settled with the kernel, and who it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Takeover {
    pub(super) minor: u32,
    pub(super) offered: u64,
    pub(super) taken: u64,
    pub(super) passthrough: bool,
    /// The kernel sends unanswered requests again.
    pub(super) resends: bool,
    /// Where the source's URL led; None for one file.
    pub(super) led_to: Option<Sealed>,
    pub(super) old_run: String,
    pub(super) cause: String,
    /// Workers that died before they served, since the old run: how many, and how the last one ended.
    pub(super) lost: Option<String>,
}

/// From the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Up {
    /// Everything that needs no mount is built; `source` is redacted.
    Prepared {
        source: String,
        allow_other: bool,
        writable: bool,
    },
    /// Requests are served.
    Ready {
        settled: Takeover,
        presence: Box<Presence>,
        max_background: u32,
    },
    Answer {
        n: u64,
        answer: Answer,
    },
    /// It ends because of this; the exit code and the sentence for the user.
    Failed {
        code: u8,
        text: String,
    },
}

/// One end. Reading blocks unless the socket is set otherwise.
#[derive(Debug)]
pub(super) struct Link {
    socket: UnixStream,
    /// Found no room in the socket yet; never a part of a line without the rest behind it.
    unsent: Vec<u8>,
    read: Vec<u8>,
    /// So many bytes of it hold no end of a line.
    searched: usize,
    fds: VecDeque<OwnedFd>,
}

impl Link {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { socket, unsent: Vec::new(), read: Vec::new(), searched: 0, fds: VecDeque::new() }
    }

    /// The other end of it is a process's stdin.
    pub(super) fn from_stdin() -> io::Result<Self> {
        let fd = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self::new(UnixStream::from(fd)))
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// A second writer on the same socket. Lines are whole only if one writes at a time.
    pub(super) fn writer(&self) -> io::Result<UnixStream> {
        self.socket.try_clone()
    }

    /// Sends one line, on a socket that does not block as much of it as finds room: the rest waits for [`Link::push`].
    pub(super) fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        if self.unsent.len() > UNSENT_LIMIT {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "the other end does not read"));
        }
        self.unsent.extend(line(message)?);
        self.push()
    }

    /// Sends one line with a descriptor.
    pub(super) fn send_with(&mut self, message: &impl Serialize, fd: BorrowedFd<'_>) -> io::Result<()> {
        let line = line(message)?;
        let (head, tail) = line.split_at(1);
        let fds = [fd.as_raw_fd()];
        let beside = [ControlMessage::ScmRights(&fds)];
        self.push()?;
        if self.is_full() {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "the other end does not read"));
        }
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(head)], &beside, MsgFlags::empty(), None)?;
        self.unsent.extend(tail);
        self.push()
    }

    /// Sends on what found no room before, as far as there is room now.
    pub(super) fn push(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Something waits for room.
    pub(super) fn is_full(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The next line; None when the other end is closed.
    ///
    /// # Errors
    /// `WouldBlock` on a socket that does not block and has no whole line yet.
    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(more) = self.read[self.searched..].iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.read.drain(..=self.searched + more).collect();
                self.searched = 0;
                // The words of serde quote what stands there, and that may be a URL.
                let unknown = |_| io::Error::new(io::ErrorKind::InvalidData, "a line that is no message");
                return serde_json::from_slice(&line).map(Some).map_err(unknown);
            }
            self.searched = self.read.len();
            if self.read.len() > LINE_LIMIT {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// The oldest descriptor that came.
    pub(super) fn take_fd(&mut self) -> Option<OwnedFd> {
        self.fds.pop_front()
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 << 10];
        let mut beside = nix::cmsg_space!([i32; 4]);
        let mut into = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let got = recvmsg::<()>(self.socket.as_raw_fd(), &mut into, Some(&mut beside), flags)?;
        let (bytes, mut came) = (got.bytes, Vec::new());
        for message in got.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = message {
                came.extend(fds);
            }
        }
        self.read.extend_from_slice(&buffer[..bytes]);
        self.fds.extend(came.into_iter().map(received_fd));
        Ok(bytes)
    }
}

fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use fsd_events::control::Staged;

    use super::*;

    /// The list of many staged files, under the longest of names.
    #[test]
    fn a_long_answer_arrives_and_what_follows_it() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut here, mut there) = (Link::new(here), Link::new(there));
        let one = Staged { name: "x".repeat(255), url: "y".repeat(500), ..Staged::default() };
        let answer = Answer::List { staged: vec![one; 10_000] };
        let sender = std::thread::Builder::new().spawn(move || {
            here.send(&Up::Answer { n: 1, answer }).and_then(|()| here.send(&Up::Answer { n: 2, answer: Answer::Done }))
        });
        let first = there.receive::<Up>().unwrap();
        assert!(matches!(first, Some(Up::Answer { n: 1, answer: Answer::List { staged } }) if staged.len() == 10_000));
        assert!(matches!(there.receive::<Up>().unwrap(), Some(Up::Answer { n: 2, answer: Answer::Done })));
        sender.unwrap().join().unwrap().unwrap();
    }

    /// An order with very many headers, to a worker that is busy with another.
    #[test]
    fn what_finds_no_room_goes_on_its_way_later_and_no_line_is_torn() {
        let (here, there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        let (mut here, mut there) = (Link::new(here), Link::new(there));
        let request = Request::Stage { url: "x".repeat(1 << 20), name: None, headers: Vec::new() };
        here.send(&Down::Ask { n: 1, request }).unwrap();
        here.send(&Down::Stop { abort: true, reason: "test".into() }).unwrap();
        let receiver = std::thread::Builder::new().spawn(move || [(); 2].map(|()| there.receive::<Down>().unwrap()));
        while here.is_full() {
            here.push().unwrap();
            std::thread::yield_now();
        }
        let got = receiver.unwrap().join().unwrap();
        assert!(matches!(&got[0], Some(Down::Ask { request: Request::Stage { url, .. }, .. }) if url.len() == 1 << 20));
        assert!(matches!(got[1], Some(Down::Stop { abort: true, .. })));
    }

    #[test]
    fn lines_and_descriptors_arrive_in_order() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut here, mut there) = (Link::new(here), Link::new(there));
        let file = tempfile::tempfile().unwrap();
        let mounted = Down::Mounted { dir: "/m".into(), connection: 7, helper: false };
        here.send_with(&mounted, file.as_fd()).unwrap();
        here.send(&Down::Stop { abort: true, reason: "test".into() }).unwrap();
        drop(here);
        let first = there.receive::<Down>().unwrap();
        assert!(matches!(first, Some(Down::Mounted { connection: 7, .. })));
        assert!(there.take_fd().is_some() && there.take_fd().is_none());
        assert!(matches!(there.receive::<Down>().unwrap(), Some(Down::Stop { abort: true, .. })));
        assert!(there.receive::<Down>().unwrap().is_none());
    }
}
