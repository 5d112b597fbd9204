//! Daemons that share a log are told apart, and called by their names.

use super::{Case, Life};
use crate::engine::{
    fact::Writer,
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

/// Whether they write into one log, each under a name of its own.
pub(super) fn share_a_log(one: &Session, two: &Session) -> bool {
    let named = |session: &Session| session.about.writer.is_some() && session.entered > 0;
    // A trace may tell of the same daemon as the log that it stands in.
    let alike = one.is_trace() == two.is_trace();
    named(one) && named(two) && alike && one.about.stream == two.about.stream
}

/// Whether it tells of a daemon's requests in the daemon's own words: a trace or a dump may be of any of them.
fn serves(session: &Session) -> bool {
    session.entered > 0 && !session.is_trace() && !session.of_dump
}

/// Gives names to those of which there are several in one log.
pub(super) fn name(lives: &mut [Life<'_>]) {
    let own = lives.iter().filter(|life| life.session.is_own()).count();
    for at in 0..lives.len() {
        let session = lives[at].session;
        let others = lives.iter().map(|life| life.session).filter(|other| !std::ptr::eq(*other, session));
        let others: Vec<&Session> = others.filter(|other| share_a_log(session, other)).collect();
        let host = |session: &Session| session.about.writer.as_ref().map(|writer| writer.host.clone());
        let elsewhere = others.iter().any(|other| host(other) != host(session));
        let writer = session.about.writer.as_deref().filter(|_| !others.is_empty());
        let mounted = (session.is_own() && own > 1).then(|| of_mount(&session.about));
        lives[at].called = writer.map(|writer| label(writer, elsewhere)).or(mounted);
    }
}

/// `fsd[812] at /mnt/media`.
fn of_mount(about: &About) -> String {
    let pid = about.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
    let mount = if about.mount.is_empty() { String::new() } else { format!(" at {}", about.mount) };
    format!("fsd{pid}{mount}")
}

/// `rclone[812]`, `rclone[812] on nas`, `fuse-1`.
pub(in crate::engine) fn label(writer: &Writer, with_host: bool) -> String {
    let Writer { host, name, pid, .. } = writer;
    let pid = pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
    match (name.is_empty(), with_host && !host.is_empty()) {
        (true, _) => format!("{host}{pid}"),
        (false, true) => format!("{name}{pid} on {host}"),
        (false, false) => format!("{name}{pid}"),
    }
}
