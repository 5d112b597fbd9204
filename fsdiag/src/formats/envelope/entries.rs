//! Entries: the answers of stores of logs, in which one object or list has many lines of a log: Loki, Elastic,
//! CloudWatch, OpenTelemetry, Datadog, Azure, and lists of texts as tools of operators show what a command wrote.

use std::{borrow::Cow, cmp::Ordering};

use memchr::memmem;
use serde_json::Value;

use super::{
    prefixes,
    shipped::{Shipped, of_value},
};
use crate::formats::clock::{self, Stamp};

/// What such an answer has: a list, and lines of a log in it.
const LISTS: [&str; 13] = [
    "\"values\"",
    "\"logRecords\"",
    "\"logEvents\"",
    "\"events\"",
    "\"hits\"",
    "\"results\"",
    "\"result\"",
    "\"data\"",
    "\"messages\"",
    "\"tables\"",
    "\"rows\"",
    "\"fields\"",
    "_lines\"",
];
const LINES: [&str; 10] = [
    "essage\"",
    "\"stringValue\"",
    "\"values\"",
    "_lines\"",
    "\"_raw\"",
    "\"line\"",
    "\"log\"",
    "\"LogEntry\"",
    "\"body\"",
    "\"msg\"",
];
/// Labels of a stream, in the order of asking.
const LABELS: [&str; 6] = ["pod", "container", "host", "instance", "hostname", "app"];
/// The same of what wrote a log by OpenTelemetry.
const ATTRIBUTES: [&str; 3] = ["k8s.pod.name", "host.name", "service.name"];

/// The lines that a text has many of, the earliest first; empty: it is no such answer.
pub(super) fn of(text: &str) -> Vec<Shipped<'static>> {
    let has = |any: &[&str]| any.iter().any(|word| memmem::find(text.as_bytes(), word.as_bytes()).is_some());
    let may_be = text.starts_with('[') || text.starts_with('{') && has(&LISTS) && has(&LINES);
    let Some(answer) = may_be.then(|| serde_json::from_str::<Value>(text).ok()).flatten() else { return Vec::new() };
    let mut found = Vec::new();
    walk(&answer, matches!(answer, Value::Array(_)), "", &mut found);
    in_order(found)
}

/// Takes the lines out of a value; `listed`: its texts are lines.
fn walk(value: &Value, listed: bool, place: &str, found: &mut Vec<Shipped<'static>>) {
    match value {
        Value::String(text) if listed => found.push(entry(text, None, place)),
        Value::Array(items) => match pair(items, place).or_else(|| fields(items)) {
            Some(line) => found.push(line),
            None => items.iter().for_each(|item| walk(item, listed, place, found)),
        },
        Value::Object(object) => {
            if let Some(line) = of_value(value) {
                let place = if line.place.is_empty() { place } else { &*line.place };
                return found.push(entry(&line.text, line.stamp, place));
            }
            if let Some(fields) = object.get("fields").and_then(first_of_each) {
                return walk(&fields, false, place, found);
            }
            let labels = labelled(value);
            let place = labels.as_deref().unwrap_or(place);
            if let Some(rows) = rows(value) {
                return rows.iter().for_each(|row| walk(row, false, place, found));
            }
            object.iter().for_each(|(name, inner)| walk(inner, name.ends_with("_lines"), place, found));
        }
        _ => {}
    }
}

fn entry(text: &str, stamp: Option<Stamp>, place: &str) -> Shipped<'static> {
    Shipped { text: Cow::Owned(text.to_owned()), stamp, place: Cow::Owned(place.to_owned()) }
}

/// `["1795340606000000000", "text"]` of Loki.
fn pair(items: &[Value], place: &str) -> Option<Shipped<'static>> {
    let [Value::String(time), Value::String(text), ..] = items else { return None };
    let us = clock::since_1970(time.parse().ok()?)?;
    Some(entry(text, Some(Stamp::Wall(us)), place))
}

/// `[{"field": "@message", "value": "text"}, …]` of CloudWatch.
fn fields(items: &[Value]) -> Option<Shipped<'static>> {
    let mut object = serde_json::Map::new();
    for item in items {
        object.insert(item.get("field")?.as_str()?.to_owned(), item.get("value")?.clone());
    }
    let place = object.get("@logStream").and_then(Value::as_str).unwrap_or_default().to_owned();
    let object = Value::Object(object);
    of_value(&object).map(|line| entry(&line.text, line.stamp, &place))
}

/// `{"message": ["text"], "@timestamp": ["2026-11-22T09:43:26Z"]}` of Elastic, where it was asked for fields, without the
/// lists.
fn first_of_each(fields: &Value) -> Option<Value> {
    let first = |(name, values): (&String, &Value)| Some((name.clone(), values.as_array()?.first()?.clone()));
    let fields = Value::Object(fields.as_object()?.iter().filter_map(first).collect());
    of_value(&fields).is_some().then_some(fields)
}

/// The rows of a table with a name above each column, as objects.
fn rows(table: &Value) -> Option<Vec<Value>> {
    let columns = table.get("columns")?.as_array()?;
    let names: Vec<&str> = columns.iter().filter_map(|column| column.get("name")?.as_str()).collect();
    let row = |row: &Value| {
        let cells = names.iter().zip(row.as_array()?).map(|(name, cell)| ((*name).to_owned(), cell.clone()));
        Some(Value::Object(cells.collect()))
    };
    Some(table.get("rows")?.as_array()?.iter().filter_map(row).collect())
}

/// Who wrote what stands below.
fn labelled(object: &Value) -> Option<String> {
    let label = |labels: &Value| LABELS.iter().find_map(|name| labels.get(name)?.as_str().map(str::to_owned));
    object.get("stream").and_then(label).or_else(|| {
        let attributes = object.get("resource")?.get("attributes")?.as_array()?;
        let named = |name: &&str| attributes.iter().find(|attribute| attribute["key"].as_str() == Some(*name));
        let found = ATTRIBUTES.iter().find_map(named)?;
        found["value"]["stringValue"].as_str().map(str::to_owned)
    })
}

/// Who wrote what stands beside a field of an object; `before` ends with its name.
pub(super) fn label(before: &str, field: &str) -> Option<String> {
    /// No name of a machine or a pod is as long, bytes.
    const LONGEST: usize = 256;
    let names = [("stream", "\"stream\":"), ("resource", "\"resource\":")];
    let (name, _) = names.into_iter().find(|(_, spelled)| before.ends_with(spelled))?;
    let field = serde_json::from_str(field).ok()?;
    let object = Value::Object([(name.to_owned(), field)].into_iter().collect());
    labelled(&object).filter(|label| label.len() <= LONGEST)
}

/// An entry that was cut out of what tells who wrote it.
pub(super) fn labelled_as(label: &str, entry: &str) -> String {
    format!("{{\"stream\":{{\"host\":{}}},\"values\":[{entry}]}}", Value::from(label))
}

/// Most stores give the latest line first, and one stream behind the other.
fn in_order(mut found: Vec<Shipped<'static>>) -> Vec<Shipped<'static>> {
    let time = |line: &Shipped<'_>| match line.stamp {
        Some(Stamp::Wall(us)) => Some(us),
        _ => None,
    };
    // Of lines of one time their own stamps tell, if they have some.
    let own = |line: &Shipped<'_>| match prefixes(&line.text).stamp {
        Some(Stamp::Wall(us) | Stamp::OfDay(us) | Stamp::OfYear(us) | Stamp::Mono(us)) => us,
        None => 0,
    };
    let (mut up, mut down, mut as_written) = (0, 0, 0_isize);
    for (before, then) in found.iter().zip(found.iter().skip(1)) {
        match time(before).cmp(&time(then)) {
            Ordering::Less => up += 1,
            Ordering::Greater => down += 1,
            Ordering::Equal => as_written += own(then).cmp(&own(before)) as isize,
        }
    }
    if down > up && as_written <= 0 {
        found.reverse();
    }
    if down > 0 && found.iter().all(|line| time(line).is_some()) {
        found.sort_by_key(time);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, bool)> {
        let told = |line: Shipped<'_>| (line.text.into_owned(), line.place.into_owned(), line.stamp.is_some());
        of(text).into_iter().map(told).collect()
    }

    fn told(lines: &[(&str, &str, bool)]) -> Vec<(String, String, bool)> {
        lines.iter().map(|(text, place, stamped)| ((*text).to_owned(), (*place).to_owned(), *stamped)).collect()
    }

    #[test]
    fn an_answer_has_as_many_lines_as_its_store_found() {
        for answer in [
            r#"{"data":{"result":[{"stream":{"host":"nas"},"values":[["1795340607000000000","b"],["1795340606000000000","a"]]}]}}"#,
            r#"{"hits":{"total":2,"hits":[{"host":"nas","_source":{"message":"a","@timestamp":1795340606}},{"host":"nas","_source":{"message":"b","@timestamp":1795340607}}]}}"#,
            r#"{"hits":{"hits":[{"_id":"1","fields":{"message":["a"],"@timestamp":["2026-11-22T09:43:26Z"],"host":["nas"]}},{"_id":"2","fields":{"message":["b"],"@timestamp":["2026-11-22T09:43:27Z"],"host":["nas"]}}]}}"#,
            r#"[{"line":"a","host":"nas","timestamp":"1795340606000000000"},{"line":"b","host":"nas","timestamp":"1795340607000000000"}]"#,
            r#"{"events":[{"logStreamName":"nas","timestamp":1795340606000,"message":"a"},{"logStreamName":"nas","timestamp":1795340607000,"message":"b"}]}"#,
            r#"{"results":[[{"field":"@message","value":"a"},{"field":"@logStream","value":"nas"},{"field":"@timestamp","value":"2026-11-22 09:43:26"}],[{"field":"@message","value":"b"},{"field":"@logStream","value":"nas"},{"field":"@timestamp","value":"2026-11-22 09:43:27"}]]}"#,
            r#"{"tables":[{"columns":[{"name":"TimeGenerated"},{"name":"LogMessage"},{"name":"PodName"}],"rows":[["2026-11-22T09:43:26Z","a","nas"],["2026-11-22T09:43:27Z","b","nas"]]}]}"#,
            r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"host.name","value":{"stringValue":"nas"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"1795340606000000000","body":{"stringValue":"a"}},{"timeUnixNano":"1795340607000000000","body":{"stringValue":"b"}}]}]}]}"#,
            r#"{"data":[{"attributes":{"message":"a","host":"nas","timestamp":"2026-11-22T09:43:26Z"}},{"attributes":{"message":"b","host":"nas","timestamp":"2026-11-22T09:43:27Z"}}]}"#,
        ] {
            assert_eq!(read(answer), told(&[("a", "nas", true), ("b", "nas", true)]), "{answer}");
        }
    }

    #[test]
    fn a_list_of_texts_is_a_log_where_nothing_else_is_listed() {
        assert_eq!(read(r#"["a","b"]"#), told(&[("a", "", false), ("b", "", false)]));
        assert_eq!(read(r#"{"out":{"stdout_lines":["a"]},"changed":true}"#), told(&[("a", "", false)]));
        assert_eq!(read(r#"{"tags":["a","b"],"results":[]}"#), []);
        assert_eq!(read(r#"[1, 2, [3]]"#), []);
        assert_eq!(read(r#"{"hits": "cut"#), []);
    }
}
