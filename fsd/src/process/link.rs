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

/// Longest line; a staged URL with its headers is far below.
const LINE_LIMIT: usize = 2 << 20;

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
    read: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

impl Link {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { socket, read: Vec::new(), fds: VecDeque::new() }
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

    /// Sends one line.
    pub(super) fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.socket.write_all(&line(message)?)
    }

    /// Sends one line with a descriptor.
    pub(super) fn send_with(&mut self, message: &impl Serialize, fd: BorrowedFd<'_>) -> io::Result<()> {
        let line = line(message)?;
        let (head, tail) = line.split_at(1);
        let fds = [fd.as_raw_fd()];
        let beside = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(head)], &beside, MsgFlags::empty(), None)?;
        self.socket.write_all(tail)
    }

    /// The next line; None when the other end is closed.
    ///
    /// # Errors
    /// `WouldBlock` on a socket that does not block and has no whole line yet.
    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(end) = self.read.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
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
    use super::*;

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
