//! Exit code: the one table of what `fsd` tells the shell.

use std::{fmt, process::ExitCode};

/// How a command ended. README.md lists the codes; a test holds both together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; a mount was unmounted with every request answered.
    Done = 0,
    /// The running fsd refused the request, or the demo did not see what it expects.
    Refused = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// No fsd runs there, or several run and none was named.
    NotRunning = 3,
    /// Requests failed: the mount was busy until the drain limit and its connection was aborted, or they were lost
    /// with a worker.
    Aborted = 16,
    /// The mount could not be made: /dev/fuse, fusermount3 or the directory is missing, busy, stale or not allowed.
    Mount = 32,
    /// The source refuses for good: not found, not allowed, or not something that can be mounted.
    Source = 66,
    /// A bug of fsd, or an operating system that does not do what it must.
    Internal = 70,
    /// The source did not answer: trying again later may work.
    Unreachable = 75,
}

impl Exit {
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Refused,
        Self::Usage,
        Self::NotRunning,
        Self::Aborted,
        Self::Mount,
        Self::Source,
        Self::Internal,
        Self::Unreachable,
    ];

    pub fn code(self) -> u8 {
        self as u8
    }

    /// The exit of that code; None for a code that fsd never uses.
    pub fn of(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| i32::from(exit.code()) == code)
    }

    /// A failure with this exit, in words that say what to do.
    pub fn because(self, text: impl Into<String>) -> Failure {
        Failure { exit: self, text: text.into() }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command failed: a sentence for a person, a code for a script.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Exit::Internal.because(format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_one_exit() {
        for exit in Exit::ALL {
            assert_eq!(Exit::of(i32::from(exit.code())), Some(exit));
        }
        assert_eq!(Exit::of(255), None);
    }
}
