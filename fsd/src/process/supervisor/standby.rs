//! Standby: the next worker, started before anybody needs it. Loading and relocating the program, which is most of a
//! start, is over by then; it has no job, no mount and no descriptor but its link, and goes when that is closed.

use std::{io, path::Path};

use super::{Handed, Supervisor, child::Child, policy::Cause, program::Program};
use crate::platform::{clock, process::OWN_PROGRAM};

/// At most one process that waits for a job.
#[derive(Default)]
pub(super) struct Standby(Option<Waiting>);

/// A process, and which program it is of.
struct Waiting {
    of: Option<(u64, u64)>,
    child: Child,
}

impl Standby {
    /// The one of `program`, if it still waits.
    pub(super) fn take(&mut self, program: &Program) -> Option<Child> {
        let Waiting { mut child, .. } = self.0.take_if(|one| waits(one, program))?;
        child.born = clock::now();
        Some(child)
    }

    /// Sees to it that one of `program` waits; gives one that is of no use. Without one the next hand-over only takes
    /// longer.
    pub(super) fn keep(&mut self, program: &Program) -> Option<Child> {
        if self.0.as_mut().is_some_and(|one| waits(one, program)) {
            return None;
        }
        let useless = self.dismiss();
        // One that is armed with bugs on purpose through the environment is the first worker only.
        let started = Child::start(&program.path(), false);
        self.0 = started.ok().map(|child| Waiting { of: program.identity(), child });
        useless
    }

    /// The one that waits, if any, to be ended.
    fn dismiss(&mut self) -> Option<Child> {
        self.0.take().map(|one| one.child)
    }
}

/// Whether it is of that program, and lives.
fn waits(one: &mut Waiting, program: &Program) -> bool {
    one.of == program.identity() && one.child.outcome().is_none()
}

impl Supervisor {
    /// The process that takes over. For a restart that somebody asked for, the program is loaded anew.
    pub(super) fn new_worker(&mut self, after: Option<&Handed>) -> io::Result<Child> {
        let asked = after.is_none_or(|handed| matches!(handed.cause, Cause::Restart | Cause::Upgrade));
        if asked && let Some(child) = self.standby.dismiss() {
            self.end_worker(child);
        }
        if let Some(child) = self.standby.take(&self.program) {
            return Ok(child);
        }
        let first = after.is_none() && !self.remade;
        Child::start(&self.program.path(), first).or_else(|error| {
            tracing::error!(
                "cannot start {} ({error}): the supervisor's own program goes on",
                self.program.named().display()
            );
            Child::start(Path::new(OWN_PROGRAM), first)
        })
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.dismiss().iter_mut().for_each(|child| _ = child.kill());
    }
}
