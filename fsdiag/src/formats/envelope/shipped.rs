//! Shipped: the objects in which shippers and stores of logs keep a line: Elastic, Loki, GELF, Fluent Bit, CloudWatch,
//! Splunk, Google's, Azure's, Datadog's and OpenTelemetry's, each with names of its own for the same three things.

use std::borrow::Cow;

use serde_json::Value;

use super::{By, Opened, around, better, prefixes};
use crate::formats::{
    clock::{self, Stamp},
    leaves::{self, Leaf, Path, Quoted},
};

/// Where something may stand, in the order of asking.
type Names = &'static [&'static [&'static str]];

const TEXTS: Names = &[
    &["message"],
    &["log"],
    &["line"],
    &["short_message"],
    &["textPayload"],
    &["msg"],
    &["MESSAGE"],
    &["body"],
    &["_raw"],
    &["@message"],
    &["LogEntry"],
    &["LogMessage"],
    &["_source", "message"],
    &["_source", "log"],
    &["jsonPayload", "message"],
    &["attributes", "message"],
    &["result", "_raw"],
    &["body", "stringValue"],
    &["message", "message"],
    &["record", "message"],
    &["event", "original"],
    &["event", "line"],
    &["event"],
    &["stdout"],
];
const TIMES: Names = &[
    &["@timestamp"],
    &["timestamp"],
    &["time"],
    &["ts"],
    &["date"],
    &["eventTime"],
    &["timeUnixNano"],
    &["_source", "@timestamp"],
    &["datetime"],
    &["_time"],
    &["TimeGenerated"],
    &["attributes", "timestamp"],
    &["result", "_time"],
    &["message", "timestamp"],
    &["record", "time", "timestamp"],
    &["observedTimeUnixNano"],
    &["__REALTIME_TIMESTAMP"],
];
const PLACES: Names = &[
    &["kubernetes", "pod_name"],
    &["kubernetes", "pod", "name"],
    &["resource", "labels", "pod_name"],
    &["container_name"],
    &["_container_name"],
    &["labels", "pod"],
    &["host", "name"],
    &["host"],
    &["hostname"],
    &["PodName"],
    &["attributes", "host"],
    &["result", "host"],
    &["message", "source"],
    &["logStreamName"],
    &["_HOSTNAME"],
];

/// What matters of one of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shipped<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) stamp: Option<Stamp>,
    pub(super) place: Cow<'a, str>,
}

/// Whether an object, or a list, begins as no daemon and no logger of one writes its own.
pub(super) fn begins(line: &str) -> bool {
    const OWN: [&str; 7] = ["run\":", "level\":", "time\":", "severity\":", "msg\":", "fields\":", "name\":"];
    let Some(key) = line.strip_prefix("{\"") else { return line.starts_with('[') };
    match key.strip_prefix("timestamp\":") {
        Some(value) => value.trim_start().starts_with(|c: char| c.is_ascii_digit()),
        None => !OWN.iter().any(|own| key.starts_with(own)),
    }
}

pub(super) fn read(line: &str) -> Option<Shipped<'_>> {
    match Chosen::of(line) {
        Some(chosen) => chosen.shipped(),
        None => of_value(&serde_json::from_str(line).ok()?).map(Shipped::owned),
    }
}

/// The same of an object that was read by the book.
pub(super) fn of_value(object: &Value) -> Option<Shipped<'_>> {
    let get = |path: &&[&str]| path.iter().try_fold(object, |value, name| value.as_object()?.get(*name));
    let text = TEXTS.iter().filter_map(get).find_map(Value::as_str)?;
    let stamp = TIMES.iter().filter_map(get).find_map(|value| match value {
        Value::String(text) => of_text(text),
        Value::Number(number) => of_number(&number.to_string()),
        _ => None,
    });
    let place = PLACES.iter().filter_map(get).find_map(Value::as_str).unwrap_or_default();
    Some(Shipped { text: text.into(), stamp, place: place.into() })
}

/// The first leaf of each kind, and which name that was.
#[derive(Default)]
struct Chosen<'a> {
    text: Option<(usize, Quoted<'a>)>,
    stamp: Option<(usize, Stamp)>,
    place: Option<(usize, Quoted<'a>)>,
    /// What a text means is not plain.
    odd: bool,
}

impl<'a> Chosen<'a> {
    /// None: the object must be read by the book.
    fn of(line: &'a str) -> Option<Self> {
        let mut chosen = Self::default();
        leaves::each(line, &mut |path, leaf| chosen.see(path, leaf))?;
        (!chosen.odd).then_some(chosen)
    }

    fn see(&mut self, path: Path<'_, 'a>, leaf: Leaf<'a>) {
        if let Leaf::Text(text) = leaf {
            if let Some(at) = place(TEXTS, path, self.text.map(|(at, _)| at)) {
                self.text = Some((at, text));
                return;
            }
            if let Some(at) = place(PLACES, path, self.place.map(|(at, _)| at)) {
                self.place = Some((at, text));
                return;
            }
        }
        let Some(at) = place(TIMES, path, self.stamp.map(|(at, _)| at)) else { return };
        let stamp = match leaf {
            Leaf::Number(number) => of_number(number),
            Leaf::Text(text) => match text.text() {
                Some(text) => of_text(&text),
                None => return self.odd = true,
            },
        };
        self.stamp = stamp.map(|stamp| (at, stamp)).or(self.stamp);
    }

    fn shipped(self) -> Option<Shipped<'a>> {
        let place = self.place.map_or(Some(Cow::Borrowed("")), |(_, place)| place.text());
        let stamp = self.stamp.map(|(_, stamp)| stamp);
        Some(Shipped { text: self.text?.1.text()?, stamp, place: place? })
    }
}

/// Where a path stands among names, if not behind the one that was found.
fn place(names: Names, path: Path<'_, '_>, found: Option<usize>) -> Option<usize> {
    let asked = found.map_or(names, |found| &names[..=found]);
    asked.iter().position(|name| *name == path)
}

fn of_text(text: &str) -> Option<Stamp> {
    let number = || clock::since_1970(text.parse().ok()?).map(Stamp::Wall);
    clock::leading(text).map(|(stamp, _)| stamp).or_else(number)
}

fn of_number(number: &str) -> Option<Stamp> {
    match number.parse::<u64>() {
        Ok(whole) => clock::since_1970(whole).map(Stamp::Wall),
        Err(_) => {
            let seconds = number.parse::<f64>().ok().filter(|seconds| (1e9..4e9).contains(seconds))?;
            Some(Stamp::Wall((seconds * 1e6) as u64))
        }
    }
}

impl Shipped<'_> {
    fn owned(self) -> Shipped<'static> {
        let Self { text, stamp, place } = self;
        Shipped { text: text.into_owned().into(), stamp, place: place.into_owned().into() }
    }

    /// Each of the lines that it keeps.
    pub(super) fn lines(&self) -> impl Iterator<Item = Opened<'_>> {
        self.text.trim_end_matches(['\n', '\r']).split('\n').map(|line| self.opened(line))
    }

    fn opened<'a>(&'a self, line: &'a str) -> Opened<'a> {
        let inner = prefixes(line);
        let by = By { host: &self.place, ..By::default() };
        let outer = around(self.stamp, inner.stamp);
        let doubt = inner.doubt.map(|doubt| doubt.within(self.stamp, by));
        let (stamp, by) = (better(self.stamp, inner.stamp), by.around(inner.by));
        Opened { stamp, outer, by, made: true, collected: true, doubt, ..inner }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_object_is_read_as_by_the_book(
            names in proptest::collection::vec((0..3_usize, 0..24_usize), 0..6),
            texts in proptest::collection::vec(
                "[ -~]{0,9}|2026-11-22T09:43:2[0-9]Z|1795340606|1795340606000000789|\"|\\\\|\n|é|😀", 6
            ),
            number in 1_000_000_000_u64..5_000_000_000,
            pretty: bool,
        ) {
            let mut object = Value::Object(serde_json::Map::new());
            for ((table, at), text) in names.iter().zip(&texts) {
                let table = [TEXTS, TIMES, PLACES][*table];
                put(&mut object, table[at % table.len()], if at % 5 == 4 { number.into() } else { text.as_str().into() });
            }
            let line = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
            let line = line.unwrap();
            prop_assert_eq!(read(&line), of_value(&object), "{}", line);
        }
    }

    fn put(object: &mut Value, path: &[&str], value: Value) {
        let Some(fields) = object.as_object_mut() else { return };
        match path {
            [name] => _ = fields.insert((*name).to_owned(), value),
            [name, rest @ ..] => {
                let inner = fields.entry(*name).or_insert_with(|| Value::Object(serde_json::Map::new()));
                put(inner, rest, value);
            }
            [] => {}
        }
    }
}
