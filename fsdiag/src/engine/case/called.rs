//! Called: what the parties of a case are called, in sentences and as culprits and waiters.

use std::collections::BTreeMap;

use fsd_events::op::Op;

use super::{Case, Who, seconds};
use crate::engine::{
    fact::Key,
    report::{Culprit, Waiter},
};

/// `Release #456`.
pub(crate) fn named(op: Op, key: Key) -> String {
    match key {
        Key::Num(n) => format!("{op} #{n}"),
        Key::Hex(n) => format!("{op} #{n:#x}"),
        Key::Line(_) | Key::Thread(_) => format!("{op} ({key})"),
    }
}

impl Case<'_> {
    /// `Release #456`, `download task 9`, `goroutine 21`.
    pub fn name_of(&self, party: usize) -> String {
        match self.parties[party].who {
            Who::Op(op) => self.op_name(op),
            Who::Task { id, task, .. } => format!("{} task #{id}", task.kind.name()),
            Who::Thread(at) => match self.threads[at].op {
                Some((_, op)) => format!("{op} ({})", self.threads[at].label()),
                None => self.threads[at].label(),
            },
            Who::Ended { id, .. } => format!("#{id}, which has ended,"),
        }
    }

    pub fn op_name(&self, op: usize) -> String {
        let open = self.ops[op].open;
        let name = named(open.op(), open.key());
        match self.daemon(self.ops[op].life) {
            Some(daemon) => format!("{name} of {daemon}"),
            None => name,
        }
    }

    pub fn culprit(&self, party: usize) -> Culprit {
        let seen = self.parties[party].thread.map(|at| &self.threads[at]);
        let age_s = self.age_of(party).map(seconds);
        let mut culprit = match self.parties[party].who {
            Who::Op(op) => self.op_culprit(op),
            Who::Task { id, task, .. } => Culprit {
                id: Some(id.to_string()),
                thread: Some(format!("{} task", task.kind.name())),
                path: task.path.as_deref().map(str::to_owned),
                age_s,
                ..Culprit::default()
            },
            Who::Thread(at) => {
                let label = self.threads[at].label();
                let op = self.threads[at].op.map(|(_, op)| op.to_string());
                let id = op.is_some().then(|| label.clone());
                Culprit { op, id, thread: Some(label), age_s, ..Culprit::default() }
            }
            Who::Ended { id, .. } => Culprit { id: Some(id.to_string()), ..Culprit::default() },
        };
        if let Some(seen) = seen {
            culprit.thread = Some(seen.label());
        }
        culprit
    }

    pub fn op_culprit(&self, op: usize) -> Culprit {
        let at = &self.ops[op];
        Culprit {
            op: Some(at.open.op().to_string()),
            id: Some(at.open.key().to_string()),
            thread: at.open.call.thread.as_deref().map(str::to_owned),
            path: at.open.call.path.as_deref().map(str::to_owned),
            lock: None,
            age_s: at.age.map(seconds),
            daemon: self.daemon(at.life).map(str::to_owned),
        }
    }

    pub fn waiter(&self, party: usize) -> Waiter {
        let culprit = self.culprit(party);
        let thread = culprit.id.is_none().then_some(culprit.thread).flatten();
        Waiter { op: culprit.op, id: culprit.id, thread, daemon: culprit.daemon }
    }

    /// `2 Getattr, 1 Readdir`, most frequent first.
    pub fn counts(&self, parties: &[usize]) -> String {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for party in parties {
            let kind = self.op_kind(*party).map_or_else(|| self.kind_word(*party), |op| op.to_string());
            *counts.entry(kind).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts.iter().map(|(word, n)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
    }

    fn kind_word(&self, party: usize) -> String {
        match self.parties[party].who {
            Who::Task { task, .. } => format!("{} task", task.kind.name()),
            Who::Thread(_) => String::from("thread"),
            _ => String::from("unknown"),
        }
    }
}
