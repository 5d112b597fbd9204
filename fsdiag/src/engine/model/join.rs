//! Join: names in a log that turn out to be those of one daemon's threads: what was told under each of them is its.

use super::{Model, ops::OpenOp, session::Session};
use crate::engine::fact::{At, InputId, Writer};

impl Model {
    /// What `other` has written was the daemon's that writes as `daemon`, too.
    pub(super) fn join(&mut self, input: InputId, other: &Writer, daemon: &Writer) {
        let stream = self.stream(input);
        self.last_foreign = None;
        let places = self.voices.session_of(stream, daemon).zip(self.voices.session_of(stream, other));
        let Some((into, from)) = places.filter(|(into, from)| into != from) else { return };
        let told = self.vacate(from);
        self.threads += 1;
        self.sessions[into].join(told);
    }
}

impl Session {
    fn join(&mut self, mut other: Self) {
        let places: Vec<_> = other.open.glances().map(|open| open.key).collect();
        let open: Vec<OpenOp> = places.into_iter().filter_map(|key| other.close(key)).collect();
        for mut op in open {
            let wall = op.at.and_then(|at| other.clock.wall_of(at)).and_then(|wall| u64::try_from(wall).ok());
            op.at = wall.and_then(|wall| self.clock.at_wall(wall)).or(op.at);
            self.open.insert(op);
        }
        self.absorb(&other);
        self.entered += other.entered;
        self.numbers.join(&other.numbers);
        self.first_key = self.first_key.min(other.first_key).or(self.first_key).or(other.first_key);
        self.max_open = self.max_open.max(self.open.len());
        other.hints.iter().for_each(|hint| self.hints.push(hint.clone()));
        self.threads.extend(other.threads);
        self.clock.passes(At { mono_us: None, wall_us: other.clock.wall });
        self.is_named_by_what_is_alike(other.about.writer.as_deref());
        self.ends_what_ended_elsewhere(other.late);
    }

    /// A thread's name or number is none of the daemon's.
    fn is_named_by_what_is_alike(&mut self, other: Option<&Writer>) {
        let Some((own, other)) = self.about.writer.as_deref_mut().zip(other) else { return };
        if own.host != other.host {
            own.host = "".into();
        }
        if own.pid != other.pid {
            (own.pid, self.about.pid) = (None, None);
        }
    }
}
