//! Wrapped: the envelopes that are JSON objects: docker's files, journalctl -o json, tracing's JSON lines.

use std::{borrow::Cow, sync::LazyLock};

use memchr::memmem::Finder;
use serde_json::Value;

use super::{By, Opened, around, better, prefixes};
use crate::formats::{
    clock::{self, Stamp},
    leaves::{self, Leaf, Path},
};

/// One of them, as far as it matters.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Wrapped<'a> {
    log: Text<'a>,
    time: Text<'a>,
    journal: Text<'a>,
    realtime_us: Text<'a>,
    host: Text<'a>,
    identifier: Text<'a>,
    comm: Text<'a>,
    pid: Text<'a>,
    container: Text<'a>,
    /// What log shippers of a cluster add.
    pod: Text<'a>,
    /// What docker was asked to add.
    tag: Text<'a>,
    message: Text<'a>,
    timestamp: Text<'a>,
    target: Text<'a>,
    /// What tracing would have written as a line.
    traced: Text<'a>,
}

type Text<'a> = Option<Cow<'a, str>>;

static WRAPPERS: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| ["{\"log\":", "\"MESSAGE\":", "\"fields\":{"].map(Finder::new));

pub(super) fn read(line: &str) -> Option<Wrapped<'_>> {
    WRAPPERS.iter().find(|key| key.find(line.as_bytes()).is_some())?;
    let mut found = Wrapped::plain(line).or_else(|| Wrapped::by_the_book(line))?;
    if found.log.is_none() && found.journal.is_none() {
        let message = found.message.take()?;
        let targeted = found.target.as_ref().map(|target| Cow::Owned(format!("{target}: {message}")));
        found.traced = Some(targeted.unwrap_or(message));
    }
    Some(found)
}

impl<'a> Wrapped<'a> {
    /// None: it must be read by the book.
    fn plain(line: &'a str) -> Option<Self> {
        let (mut found, mut odd) = (Self::default(), false);
        leaves::each(line, &mut |path, leaf| {
            if let (Leaf::Text(text), Some(slot)) = (leaf, found.slot(path)) {
                *slot = text.text();
                odd |= slot.is_none();
            }
        })?;
        (!odd).then_some(found)
    }

    fn by_the_book(line: &str) -> Option<Self> {
        let mut found = Self::default();
        for (name, value) in serde_json::from_str::<Value>(line).ok()?.as_object()? {
            let inner = value.as_object().into_iter().flatten();
            let inner = inner.filter_map(|(below, value)| Some((vec![&**name, &**below], value.as_str()?)));
            for (path, text) in inner.chain(value.as_str().map(|text| (vec![&**name], text))) {
                if let Some(slot) = found.slot(&path) {
                    *slot = Some(Cow::Owned(text.to_owned()));
                }
            }
        }
        Some(found)
    }

    /// Where the text goes that stands there.
    fn slot(&mut self, path: Path<'_, '_>) -> Option<&mut Text<'a>> {
        Some(match path {
            ["log"] => &mut self.log,
            ["time"] => &mut self.time,
            ["MESSAGE"] => &mut self.journal,
            ["__REALTIME_TIMESTAMP"] => &mut self.realtime_us,
            ["_HOSTNAME"] => &mut self.host,
            ["SYSLOG_IDENTIFIER"] => &mut self.identifier,
            ["_COMM"] => &mut self.comm,
            ["_PID"] => &mut self.pid,
            ["CONTAINER_NAME"] => &mut self.container,
            ["kubernetes", "pod_name"] => &mut self.pod,
            ["attrs", "tag"] => &mut self.tag,
            ["fields", "message"] => &mut self.message,
            ["timestamp"] => &mut self.timestamp,
            ["target"] => &mut self.target,
            _ => return None,
        })
    }
}

fn stamp(text: Option<&str>) -> Option<Stamp> {
    clock::leading(text?).map(|(stamp, _)| stamp)
}

impl Wrapped<'_> {
    /// Each of the lines that it wraps.
    pub(super) fn lines(&self) -> impl Iterator<Item = Opened<'_>> {
        let text = self.traced.as_deref().or(self.log.as_deref()).or(self.journal.as_deref()).unwrap_or_default();
        text.trim_end_matches('\n').split('\n').map(|line| self.opened(line))
    }

    fn opened<'a>(&'a self, text: &'a str) -> Opened<'a> {
        if let Some(whole) = &self.traced {
            let (stamp, made) = (stamp(self.timestamp.as_deref()), matches!(whole, Cow::Owned(_)));
            return Opened { text, stamp, made, ..Opened::default() };
        }
        let inner = prefixes(text);
        let realtime = || Some(Stamp::Wall(self.realtime_us.as_deref()?.parse().ok()?));
        let outer = stamp(self.time.as_deref()).or_else(realtime);
        let doubt = inner.doubt.map(|doubt| doubt.within(outer, self.by()));
        let (stamp, by) = (better(outer, inner.stamp), self.by().around(inner.by));
        Opened { stamp, outer: around(outer, inner.stamp), by, made: true, collected: true, doubt, ..inner }
    }

    fn by(&self) -> By<'_> {
        let name = self.identifier.as_deref().or(self.comm.as_deref()).unwrap_or_default();
        if name == "kernel" {
            return By::kernel_of(self.host.as_deref().unwrap_or_default());
        }
        // The journal's number is that of the container engine, which writes for all of its containers.
        match self.container.as_deref().or(self.pod.as_deref()).or(self.tag.as_deref()) {
            Some(host) => By { host, ..By::default() },
            None => {
                let pid = self.pid.as_deref().and_then(|pid| pid.parse().ok());
                By { host: self.host.as_deref().unwrap_or_default(), name, pid }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 12] = [
        "log",
        "time",
        "MESSAGE",
        "__REALTIME_TIMESTAMP",
        "_HOSTNAME",
        "_PID",
        "kubernetes",
        "attrs",
        "fields",
        "tag",
        "pod_name",
        "message",
    ];

    proptest! {
        #[test]
        fn an_object_is_read_as_by_the_book(
            outer in proptest::collection::btree_map(0..NAMES.len(), "[ -~]{0,9}|\"|\\\\|\n|é", 0..6),
            inner in proptest::collection::btree_map(0..NAMES.len(), "[ -~]{0,9}", 0..6),
            number in 0..NAMES.len(),
        ) {
            let fields = |of: &std::collections::BTreeMap<usize, String>| {
                of.iter().map(|(at, text)| (NAMES[*at].to_owned(), Value::from(&**text))).collect::<serde_json::Map<_, _>>()
            };
            let mut object = fields(&outer);
            for name in ["kubernetes", "attrs", "fields"] {
                object.insert(name.to_owned(), Value::Object(fields(&inner)));
            }
            object.insert(NAMES[number].to_owned(), 12.into());
            let line = Value::Object(object).to_string();
            prop_assert_eq!(Wrapped::plain(&line), Wrapped::by_the_book(&line), "{}", line);
        }
    }
}
