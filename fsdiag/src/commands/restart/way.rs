//! Way: how a running fsd can be restarted, by what of it still answers.

use std::{io, path::Path, time::Duration};

use fsd_events::control::{Answer, Request};

use crate::{
    output::clean::clean,
    sources::{control, rings::Mount},
};

/// A supervisor answers in milliseconds, for a hung worker in two seconds.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The socket answers: nobody sees an error.
    HandOver,
    /// There is no supervisor: the process becomes it, and nobody sees an error.
    Alone,
    /// The supervisor does not answer, its worker is there.
    Succession { supervisor: u32 },
    /// Abort, unmount, mount.
    Anew,
}

impl Way {
    pub fn of(found: &Mount) -> Self {
        let answer = control::ask(found, &Request::Status, ANSWER_LIMIT);
        let supervisor = (found.supervisor != 0 && found.supervisor != found.pid).then_some(found.supervisor);
        // It may be killed: a record that is wrong about it must not do that to somebody else.
        let supervisor = supervisor.filter(|pid| found.is_held_by(*pid));
        let worker = Path::new("/proc").join(found.pid.to_string()).exists();
        Self::by(&answer, supervisor.filter(|_| worker), resends())
    }

    /// With what was answered, the supervisor of a worker that is there, and whether this kernel sends requests again.
    fn by(answer: &io::Result<Answer>, supervisor: Option<u32>, resends: bool) -> Self {
        match (answer, supervisor) {
            (Ok(Answer::Status(status)), _) if status.supervised => Self::HandOver,
            (Ok(_), _) if resends => Self::Alone,
            (Err(_), Some(supervisor)) => Self::Succession { supervisor },
            _ => Self::Anew,
        }
    }

    /// Whether clients may see errors.
    pub fn hurts(self) -> bool {
        !matches!(self, Self::HandOver | Self::Alone)
    }

    /// For the person who must decide; a line with `!` hurts.
    pub fn preview(self, found: &Mount, words: &str) -> String {
        let (mount, words) = (clean(found.mount.as_str()), clean(words));
        let hand_over = format!(
            "  - fsd {words}\n  - the worker {} is dumped and replaced; waiting clients are served by the next one\n",
            found.pid
        );
        let anew = format!(
            "! the connection is aborted: every waiting call fails with ENOTCONN or ECONNABORTED\n  - {mount} is \
             unmounted, its processes are killed, and the same command line mounts it again\n"
        );
        match self {
            Self::HandOver => format!("{mount}: fsd answers\n{hand_over}"),
            Self::Alone => format!(
                "{mount}: fsd {} has no supervisor\n  - fsd {words}\n  - the process executes itself anew in that role, \
                 with the same mount; waiting clients are served by the worker that it starts\n",
                found.pid
            ),
            Self::Succession { supervisor } => format!(
                "{mount}: the supervisor {supervisor} does not answer its socket\n  - it is killed; its worker takes \
                 its place, and no client sees an error\n{hand_over}! if the worker does not take its place within \
                 20 s:\n{anew}"
            ),
            Self::Anew => format!("{mount}: nothing of fsd {} could hand the mount over\n{anew}", found.pid),
        }
    }
}

/// Whether this kernel sends unanswered requests again: Linux 6.9 does.
fn resends() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 9)
}

#[cfg(test)]
mod tests {
    use fsd_events::control::Status;

    use super::*;

    fn status(supervised: bool) -> io::Result<Answer> {
        Ok(Answer::Status(Box::new(Status { supervised, ..Status::default() })))
    }

    #[test]
    fn whoever_answers_hands_over_and_only_silence_kills() {
        let silence = || Err(io::ErrorKind::TimedOut.into());
        assert_eq!(Way::by(&status(true), Some(7), true), Way::HandOver);
        assert_eq!(Way::by(&silence(), Some(7), true), Way::Succession { supervisor: 7 });
        assert_eq!(Way::by(&silence(), None, true), Way::Anew);
        assert_eq!(Way::by(&status(false), None, true), Way::Alone);
        assert_eq!(Way::by(&status(false), None, false), Way::Anew);
    }

    #[test]
    fn what_hurts_is_marked() {
        let found = Mount { mount: "/m".into(), ..Mount::default() };
        for way in [Way::HandOver, Way::Alone, Way::Succession { supervisor: 7 }, Way::Anew] {
            let marked = way.preview(&found, "restart /m").lines().any(|line| line.starts_with('!'));
            assert_eq!(marked, way.hurts());
        }
    }
}
