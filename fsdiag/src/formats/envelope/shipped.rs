//! Shipped: the objects in which shippers and stores of logs keep a line: Elastic, Loki, GELF, Fluent Bit, CloudWatch,
//! Google's and OpenTelemetry's, each with names of its own for the same three things.

use serde_json::Value;

use super::{By, Opened, around, better, prefixes};
use crate::formats::clock::{self, Stamp};

/// Where the line may stand, in the order of asking.
const TEXTS: [&str; 11] = [
    "message",
    "log",
    "line",
    "short_message",
    "textPayload",
    "msg",
    "MESSAGE",
    "body",
    "/_source/message",
    "/jsonPayload/message",
    "/event/original",
];
const TIMES: [&str; 9] =
    ["@timestamp", "timestamp", "time", "ts", "date", "eventTime", "timeUnixNano", "/_source/@timestamp", "datetime"];
const PLACES: [&str; 9] = [
    "/kubernetes/pod_name",
    "/kubernetes/pod/name",
    "/resource/labels/pod_name",
    "container_name",
    "_container_name",
    "/labels/pod",
    "/host/name",
    "host",
    "hostname",
];

/// What matters of one of them.
pub(super) struct Shipped {
    text: String,
    stamp: Option<Stamp>,
    place: String,
}

/// Whether an object begins as no daemon and no logger of one writes its own.
pub(super) fn begins(line: &str) -> bool {
    const OWN: [&str; 7] = ["run\":", "level\":", "time\":", "severity\":", "msg\":", "fields\":", "name\":"];
    let Some(key) = line.strip_prefix("{\"") else { return false };
    match key.strip_prefix("timestamp\":") {
        Some(value) => value.trim_start().starts_with(|c: char| c.is_ascii_digit()),
        None => !OWN.iter().any(|own| key.starts_with(own)),
    }
}

pub(super) fn read(line: &str) -> Option<Shipped> {
    let object: Value = serde_json::from_str(line).ok().filter(Value::is_object)?;
    let get = |name: &&str| match name.starts_with('/') {
        true => object.pointer(name),
        false => object.get(name),
    };
    let text = TEXTS.iter().filter_map(get).find_map(Value::as_str)?.to_owned();
    let stamp = TIMES.iter().filter_map(get).find_map(stamp);
    let place = PLACES.iter().filter_map(get).find_map(Value::as_str).unwrap_or_default().to_owned();
    Some(Shipped { text, stamp, place })
}

fn stamp(value: &Value) -> Option<Stamp> {
    match value {
        Value::String(text) => clock::leading(text).map(|(stamp, _)| stamp),
        Value::Number(number) => match number.as_u64() {
            Some(whole) => clock::since_1970(whole).map(Stamp::Wall),
            None => {
                number.as_f64().filter(|seconds| (1e9..4e9).contains(seconds)).map(|s| Stamp::Wall((s * 1e6) as u64))
            }
        },
        _ => None,
    }
}

impl Shipped {
    pub(super) fn opened(&self) -> Opened<'_> {
        let inner = prefixes(self.text.trim_end_matches(['\n', '\r']));
        let by = By { host: &self.place, ..By::default() };
        let outer = around(self.stamp, inner.stamp);
        let doubt = inner.doubt.map(|doubt| doubt.within(self.stamp, by));
        let (stamp, by) = (better(self.stamp, inner.stamp), by.around(inner.by));
        Opened { stamp, outer, by, made: true, collected: true, doubt, ..inner }
    }
}
