//! Daemons that share a log are told apart, and called by their names.

use std::collections::HashMap;

use super::{Case, Life};
use crate::engine::{
    fact::InputId,
    model::session::{About, Session},
};

impl Case<'_> {
    /// Whether two lives are known to be two daemons: both write into one log, under their own names, or both tell of
    /// requests, and not of the same.
    pub fn are_apart(&self, one: usize, two: usize) -> bool {
        let [a, b] = [one, two].map(|life| self.lives[life].session);
        one != two && (share_a_log(a, b) || serves(a) && serves(b) && self.root(one) != self.root(two))
    }

    /// The life that tells first of the daemon of that one.
    pub(super) fn root(&self, life: usize) -> usize {
        self.kin[life].map_or(life, |kin| kin.of)
    }

    /// The open operations of the daemon of that life, and of whoever may be the same.
    pub fn ops_beside(&self, life: usize) -> impl Iterator<Item = usize> {
        (0..self.ops.len()).filter(move |op| !self.are_apart(life, self.ops[*op].life))
    }

    /// What the daemon of that life is called, where several write into its log.
    pub fn daemon(&self, life: usize) -> Option<&str> {
        self.lives[life].called.as_deref()
    }
}

/// A log that several write, each under a name of its own.
///
/// A trace may tell of the same daemon as the log that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Log {
    stream: InputId,
    of_traces: bool,
}

/// The log in which it writes under its name.
pub(super) fn log(session: &Session) -> Option<Log> {
    let named = session.about.writer.is_some() && session.entered > 0;
    named.then(|| Log { stream: session.about.stream, of_traces: session.is_trace() })
}

/// Whether they write into one log, each under a name of its own.
pub(super) fn share_a_log(one: &Session, two: &Session) -> bool {
    log(one).is_some_and(|own| log(two) == Some(own))
}

/// Whether it tells of a daemon's requests in the daemon's own words: a trace or a dump may be of any of them.
fn serves(session: &Session) -> bool {
    session.entered > 0 && !session.is_trace() && !session.of_dump
}

/// Gives names to those of which there are several in one log.
pub(super) fn name(lives: &mut [Life<'_>]) {
    let own = lives.iter().filter(|life| life.session.is_own()).count();
    // How many write each log, and whether on several machines.
    let mut logs: HashMap<Log, (usize, &str, bool)> = HashMap::new();
    for (log, writer) in lives.iter().filter_map(|life| log(life.session).zip(life.session.about.writer.as_deref())) {
        let (count, host, elsewhere) = logs.entry(log).or_insert((0, &writer.host, false));
        *count += 1;
        *elsewhere |= **host != *writer.host;
    }
    for life in lives {
        let about = &life.session.about;
        let several = log(life.session).map(|log| logs[&log]).filter(|(count, ..)| *count > 1);
        let named = several.zip(about.writer.as_deref()).map(|((_, _, elsewhere), writer)| writer.label(elsewhere));
        let mounted = || (life.session.is_own() && own > 1).then(|| of_mount(about));
        life.called = named.or_else(mounted);
    }
}

/// `fsd[812] at /mnt/media`.
fn of_mount(about: &About) -> String {
    let pid = about.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
    let mount = if about.mount.is_empty() { String::new() } else { format!(" at {}", about.mount) };
    format!("fsd{pid}{mount}")
}
