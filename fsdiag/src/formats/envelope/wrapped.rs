//! Wrapped: the envelopes that are JSON objects: docker's files, journalctl -o json, tracing's JSON lines.

use std::{borrow::Cow, sync::LazyLock};

use memchr::memmem::Finder;
use serde::Deserialize;

use super::{By, Opened, around, better, prefixes};
use crate::formats::clock::{self, Stamp};

/// One of them, as far as it matters.
#[derive(Deserialize)]
pub(super) struct Wrapped<'a> {
    #[serde(borrow)]
    log: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "MESSAGE")]
    journal: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "__REALTIME_TIMESTAMP")]
    realtime_us: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_HOSTNAME")]
    host: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "SYSLOG_IDENTIFIER")]
    identifier: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_COMM")]
    comm: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_PID")]
    pid: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "CONTAINER_NAME")]
    container: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kubernetes: Option<Kubernetes<'a>>,
    #[serde(borrow)]
    attrs: Option<Attrs<'a>>,
    #[serde(borrow)]
    fields: Option<Fields<'a>>,
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(borrow)]
    target: Option<Cow<'a, str>>,
    /// What tracing would have written as a line.
    #[serde(skip)]
    traced: Option<Cow<'a, str>>,
}

/// What log shippers of a cluster add.
#[derive(Deserialize)]
struct Kubernetes<'a> {
    #[serde(borrow)]
    pod_name: Option<Cow<'a, str>>,
}

/// What docker was asked to add.
#[derive(Deserialize)]
struct Attrs<'a> {
    #[serde(borrow)]
    tag: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

static WRAPPERS: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| ["{\"log\":", "\"MESSAGE\":", "\"fields\":{"].map(Finder::new));

pub(super) fn read(line: &str) -> Option<Wrapped<'_>> {
    WRAPPERS.iter().find(|key| key.find(line.as_bytes()).is_some())?;
    let mut found: Wrapped<'_> = serde_json::from_str(line).ok()?;
    if found.log.is_none() && found.journal.is_none() {
        let message = found.fields.take()?.message?;
        let targeted = found.target.as_ref().map(|target| Cow::Owned(format!("{target}: {message}")));
        found.traced = Some(targeted.unwrap_or(message));
    }
    Some(found)
}

fn stamp(text: Option<&str>) -> Option<Stamp> {
    clock::leading(text?).map(|(stamp, _)| stamp)
}

impl Wrapped<'_> {
    pub(super) fn opened(&self) -> Opened<'_> {
        if let Some(text) = &self.traced {
            let (stamp, made) = (stamp(self.timestamp.as_deref()), matches!(text, Cow::Owned(_)));
            return Opened { text, stamp, made, ..Opened::default() };
        }
        let text = self.log.as_deref().or(self.journal.as_deref()).unwrap_or_default();
        let inner = prefixes(text.trim_end_matches('\n'));
        let realtime = || Some(Stamp::Wall(self.realtime_us.as_deref()?.parse().ok()?));
        let outer = stamp(self.time.as_deref()).or_else(realtime);
        let doubt = inner.doubt.map(|doubt| doubt.within(outer, self.by()));
        let (stamp, by) = (better(outer, inner.stamp), self.by().around(inner.by));
        Opened { stamp, outer: around(outer, inner.stamp), by, made: true, collected: true, doubt, ..inner }
    }

    fn by(&self) -> By<'_> {
        let name = self.identifier.as_deref().or(self.comm.as_deref()).unwrap_or_default();
        if name == "kernel" {
            return By::default();
        }
        let pod = || self.kubernetes.as_ref().and_then(|cluster| cluster.pod_name.as_deref());
        // The journal's number is that of the container engine, which writes for all of its containers.
        let tag = || self.attrs.as_ref().and_then(|attrs| attrs.tag.as_deref());
        match self.container.as_deref().or_else(pod).or_else(tag) {
            Some(host) => By { host, ..By::default() },
            None => {
                let pid = self.pid.as_deref().and_then(|pid| pid.parse().ok());
                By { host: self.host.as_deref().unwrap_or_default(), name, pid }
            }
        }
    }
}
