//! Estate: what a worker that lost its supervisor hands to itself in that role: the same process, executed anew, with
//! the same connection. Readers see nothing: the kernel sends their requests again to the next worker.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Command, Stdio},
};

use fsd_events::presence::Presence;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};

use crate::{
    kernel::mount::{At, Mounted},
    platform::process::{own_program, received_fd},
    process::{
        exit::{Exit, Failure},
        link::{Job, Takeover},
        worker::Legacy,
    },
};

/// Everything the next supervisor must know. It goes through memory that has no name: it may hold secrets.
#[derive(Serialize, Deserialize)]
pub(in crate::process) struct Estate {
    pub(in crate::process) job: Job,
    pub(super) settled: Takeover,
    pub(super) presence: Presence,
    pub(super) max_background: u32,
    dir: PathBuf,
    connection: u32,
    helper: bool,
    device: RawFd,
    janitor: Option<RawFd>,
    pub(super) asked: bool,
}

impl Estate {
    /// Reads it from stdin.
    ///
    /// # Errors
    /// This process was not started by a worker.
    pub(in crate::process) fn read() -> Result<Self, Failure> {
        let mut text = String::new();
        let read = io::stdin().read_to_string(&mut text).map_err(io::Error::other);
        // It may hold secrets, and could be read there again.
        drop(File::open("/dev/null").map(nix::unistd::dup2_stdin));
        let estate = read.and_then(|_| serde_json::from_str(&text).map_err(io::Error::other));
        estate.map_err(|_| Exit::Usage.because("`fsd supervise` is started by a worker only"))
    }

    /// The mount, with the descriptor that came through exec.
    pub(super) fn mounted(&self) -> Mounted {
        let at = At { dir: self.dir.clone(), connection: self.connection, helper: self.helper };
        let fd = received_fd(self.device);
        // From here on it must not leak into the processes that a supervisor starts.
        drop(keep(fd.as_fd(), false));
        Mounted::adopt(fd, at)
    }

    pub(super) fn janitor(&self) -> Option<io::PipeWriter> {
        let fd = received_fd(self.janitor?);
        drop(keep(fd.as_fd(), false));
        Some(io::PipeWriter::from(fd))
    }
}

/// Becomes the supervisor: returns only when that fails.
pub(in crate::process) fn succeed(legacy: &Legacy<'_>, mounted: &Mounted) -> Failure {
    let failed = |error: io::Error| Exit::Internal.because(format!("cannot take the supervisor's place: {error}"));
    match prepare(legacy, mounted) {
        Ok(mut command) => failed(command.exec()),
        Err(error) => failed(error),
    }
}

fn prepare(legacy: &Legacy<'_>, mounted: &Mounted) -> io::Result<Command> {
    let At { dir, connection, helper } = mounted.at().clone();
    let device = mounted.fd().try_clone_to_owned()?;
    keep(device.as_fd(), true)?;
    if let Some(janitor) = legacy.janitor {
        keep(janitor, true)?;
    }
    let estate = Estate {
        job: legacy.job.clone(),
        settled: legacy.settled.clone(),
        presence: legacy.presence.clone(),
        max_background: legacy.max_background,
        dir,
        connection,
        helper,
        device: device.as_raw_fd(),
        janitor: legacy.janitor.map(|fd| fd.as_raw_fd()),
        asked: legacy.asked,
    };
    // Not a pipe: who reads it does not run yet, and settings may be longer than what a pipe holds.
    let mut memory = File::from(rustix::fs::memfd_create("fsd-estate", MemfdFlags::CLOEXEC)?);
    memory.write_all(&serde_json::to_vec(&estate)?)?;
    memory.rewind()?;
    let mut command = Command::new(own_program());
    command.arg0("fsd").arg("supervise").stdin(Stdio::from(memory));
    // Its number must live until exec.
    std::mem::forget(device);
    Ok(command)
}

/// Whether a descriptor survives exec.
fn keep(fd: BorrowedFd<'_>, keep: bool) -> io::Result<()> {
    let flag = if keep { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    fcntl(fd, FcntlArg::F_SETFD(flag))?;
    Ok(())
}
