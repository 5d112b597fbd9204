//! Fit: how well what is known of a victim, its number and its name, fits a daemon.

use crate::engine::{
    fact::{Dump, Victim},
    model::session::Session,
    report::Confidence,
};

/// Formats that only one program writes, and what that is called.
pub(super) const PROGRAMS: [(&str, &str); 7] = [
    ("fsd-events", "fsd"),
    ("rclone", "rclone"),
    ("mountpoint-s3", "mount-s3"),
    ("gcsfuse", "gcsfuse"),
    ("juicefs-accesslog", "juicefs"),
    ("sshfs-debug", "sshfs"),
    ("loggedfs", "loggedfs"),
];

/// How well a victim fits a daemon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Not,
    /// Nothing is known of the one or of the other.
    Perhaps,
    /// It is called so, as others of the machine may be.
    Namesake,
    /// It is called as daemons are, and of this one nothing is known.
    Likely,
    Its,
}

impl Fit {
    /// How sure a death is whose victim is named: of all programs of a machine several may be called as daemons are.
    pub(super) fn told_of(self, victim: &Victim) -> Confidence {
        if self == Self::Likely && victim.by_kernel { Confidence::High } else { Confidence::Certain }
    }
}

pub(super) fn by_number(own: Option<u32>, dead: Option<u32>) -> Option<Fit> {
    own.zip(dead).map(|(own, dead)| if own == dead { Fit::Its } else { Fit::Not })
}

pub(super) fn by_name(own: Option<&str>, victim: &Victim) -> Fit {
    let Some(name) = victim.name.as_deref() else { return Fit::Perhaps };
    match own {
        Some(own) if has_word(name, own) => Fit::Its,
        Some(_) => Fit::Not,
        None if is_a_daemon(name) => Fit::Likely,
        None => Fit::Perhaps,
    }
}

/// Whether a name is that of one of the programs.
pub(super) fn is_a_daemon(name: &str) -> bool {
    PROGRAMS.iter().any(|(_, program)| has_word(name, program))
}

pub(super) fn fit_of_dump(dump: &Dump, victim: &Victim) -> Fit {
    by_number(dump.pid, victim.pid).unwrap_or_else(|| by_name(dump.process.as_deref(), victim).min(Fit::Namesake))
}

/// Whether a death is told by another machine than the daemon's. A container is called by its own name.
pub(super) fn is_elsewhere(session: &Session, victim: &Victim) -> bool {
    let Some(writer) = session.about.writer.as_deref() else { return false };
    let is_container = writer.name.is_empty() && writer.pid.is_none();
    let told = !writer.host.is_empty() && !victim.host.is_empty();
    told && !is_container && !is_one_machine(&writer.host, &victim.host)
}

/// `nas` and `nas.lan` are.
fn is_one_machine(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether what a daemon said when it started and what is told of a death name one path: that of its mount.
pub(super) fn share_a_path(banner: &str, death: &str) -> bool {
    let paths = |text: &'_ str| -> Vec<String> {
        let words = text.split([' ', '"', '\'', '`', ',', '[', ']']).map(|word| word.trim_end_matches('/'));
        words.filter(|word| word.len() > 1 && word.starts_with('/')).map(Into::into).collect()
    };
    let own = paths(banner);
    paths(death).iter().any(|path| own.contains(path))
}

/// `rclone` in `rclone-1`, `rclone.service` and `rclone[812]`, and not in `rclonefs`.
fn has_word(text: &str, word: &str) -> bool {
    let outside = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
    let alone = |(at, _): (usize, &str)| {
        outside(text[..at].chars().next_back()) && outside(text[at + word.len()..].chars().next())
    };
    text.match_indices(word).any(alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_a_daemon_s_by_its_name_and_of_an_unnamed_one_it_may_be() {
        for (own, name, fit) in [
            (Some("rclone"), Some("rclone"), Fit::Its),
            (Some("rclone"), Some("rclone-media.service"), Fit::Its),
            (Some("rclone"), Some("cat"), Fit::Not),
            (Some("fsd"), Some("nfsd[97]"), Fit::Not),
            (Some("rclone"), None, Fit::Perhaps),
            (None, Some("rclone"), Fit::Likely),
            (None, Some("streamd"), Fit::Perhaps),
        ] {
            let victim = Victim { name: name.map(Into::into), ..Victim::default() };
            assert!(by_name(own, &victim) == fit, "{own:?} {name:?}");
        }
    }
}
