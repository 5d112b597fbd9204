//! What a rescue will do, worked out from the situation alone.

use std::{fmt::Write as _, path::PathBuf};

use crate::{engine::plural::count, output::clean::clean};

/// The mount as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    pub point: PathBuf,
    /// As in mountinfo, `fuse.rclone`.
    pub kind: String,
    pub connection: u64,
    /// Unanswered requests; None: unknown.
    pub waiting: Option<u64>,
    /// Processes that hold the connection's device.
    pub daemons: Vec<(u32, String)>,
    /// False: they only may be that, or there may be others.
    pub sure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Through fusectl: every waiting request ends with an error.
    Abort,
    /// The same by `umount -f`, where fusectl is out of reach.
    ForceAbort,
    Unmount,
    AwaitDaemon {
        pid: u32,
    },
    Kill {
        pid: u32,
    },
}

impl Step {
    pub fn title(self, situation: &Situation) -> String {
        match self {
            Self::Abort => format!("abort connection {}", situation.connection),
            Self::ForceAbort => "abort by a forced unmount".into(),
            Self::Unmount => format!("unmount {}", situation.point.display()),
            Self::AwaitDaemon { pid } => format!("wait for the daemon {pid} to end"),
            Self::Kill { pid } => format!("kill the daemon {pid}"),
        }
    }

    fn effect(self) -> &'static str {
        match self {
            Self::Abort | Self::ForceAbort => {
                "every waiting call fails with ENOTCONN or ECONNABORTED, mapped pages with SIGBUS"
            }
            Self::Unmount => "the directory below becomes visible again",
            Self::AwaitDaemon { .. } => "most daemons end by themselves when their connection is gone",
            Self::Kill { .. } => "SIGKILL",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
}

impl Plan {
    /// Abort, then unmount, then see to the daemon, if that is known. Where no daemon is seen there may be one.
    pub fn new(situation: &Situation, keep_mounted: bool, kill: bool) -> Self {
        let mut steps = Vec::new();
        if !situation.daemons.is_empty() || situation.waiting != Some(0) {
            steps.push(if situation.waiting.is_some() { Step::Abort } else { Step::ForceAbort });
        }
        if !keep_mounted {
            steps.push(Step::Unmount);
        }
        for (pid, _) in situation.daemons.iter().filter(|_| situation.sure) {
            steps.push(if kill { Step::Kill { pid: *pid } } else { Step::AwaitDaemon { pid: *pid } });
        }
        Self { steps }
    }

    pub fn unmounts(&self) -> bool {
        self.steps.contains(&Step::Unmount)
    }

    /// For the person who must decide.
    pub fn preview(&self, situation: &Situation) -> String {
        let waiting = situation.waiting.map_or("an unknown number of requests".into(), |n| count(n, "request"));
        let daemons: Vec<_> = situation.daemons.iter().map(|(pid, comm)| format!("{comm} (pid {pid})")).collect();
        let daemons = match (daemons.is_empty(), situation.sure) {
            (true, true) => "no daemon".into(),
            (true, false) => "no daemon in sight".into(),
            (false, true) => daemons.join(", "),
            (false, false) => format!("perhaps {}", daemons.join(", ")),
        };
        let point = situation.point.display();
        let mut text = clean(format!("{point} ({}): {daemons}, {waiting} waiting", situation.kind)) + "\n";
        for step in &self.steps {
            let _ = writeln!(text, "  - {}: {}", clean(step.title(situation)), step.effect());
        }
        if !situation.sure {
            text.push_str("  - no process is killed or waited for: nothing tells for sure who serves this mount\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frozen() -> Situation {
        Situation { waiting: Some(3), daemons: vec![(7, "rclone".into())], sure: true, ..Situation::default() }
    }

    #[test]
    fn who_only_may_be_the_daemon_is_neither_killed_nor_waited_for() {
        let unsure = Situation { sure: false, ..frozen() };
        for kill in [true, false] {
            let plan = Plan::new(&unsure, false, kill);
            assert_eq!(plan.steps, [Step::Abort, Step::Unmount]);
            assert!(plan.preview(&unsure).contains("perhaps rclone (pid 7)"));
        }
    }

    #[test]
    fn the_abort_comes_before_the_unmount() {
        let plan = Plan::new(&frozen(), false, false);
        assert_eq!(plan.steps, [Step::Abort, Step::Unmount, Step::AwaitDaemon { pid: 7 }]);
        assert!(!Plan::new(&frozen(), true, false).unmounts());
    }

    #[test]
    fn without_fusectl_a_forced_unmount_aborts() {
        let plan = Plan::new(&Situation { waiting: None, ..frozen() }, false, true);
        assert_eq!(plan.steps, [Step::ForceAbort, Step::Unmount, Step::Kill { pid: 7 }]);
    }

    #[test]
    fn only_where_nobody_serves_and_nobody_waits_there_is_nothing_to_abort() {
        let steps = |waiting| Plan::new(&Situation { waiting, ..Situation::default() }, false, false).steps;
        assert_eq!(steps(Some(0)), [Step::Unmount]);
        assert_eq!(steps(Some(1)), [Step::Abort, Step::Unmount], "whoever serves it is out of sight");
        assert_eq!(steps(None), [Step::ForceAbort, Step::Unmount]);
    }
}
