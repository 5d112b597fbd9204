//! What stores of logs answer and export: one object with many lines, and the latest line first.

use std::fs;

use fsdiag::engine::report::Report;

use super::envelopes::{CASES, STAMPED, Written, analyze, lines, testdata, told_elsewhere};

/// What stands around the lines, and how each of them is written.
struct Store {
    name: &'static str,
    around: [&'static str; 2],
    entry: fn(&Written<'_>) -> String,
}

const STORES: [Store; 11] = [
    Store {
        name: "Loki",
        around: [r#"{"status":"success","data":{"result":[{"stream":{"app":"fused"},"values":["#, "]}]}}"],
        entry: |w| format!(r#"["{}789",{}]"#, w.since_1970(), w.quoted()),
    },
    Store {
        name: "Grafana",
        around: ["[", "]"],
        entry: |w| format!(r#"{{"line":{},"timestamp":"{}789","fields":{{"app":"a"}}}}"#, w.quoted(), w.since_1970()),
    },
    Store {
        name: "Elastic",
        around: [r#"{"took":3,"hits":{"total":{"value":3},"hits":["#, "]}}"],
        entry: |w| {
            let source = format!(r#"{{"message":{},"@timestamp":"{}"}}"#, w.quoted(), w.iso("Z"));
            format!(r#"{{"_index":"a","_source":{source},"sort":[1]}}"#)
        },
    },
    Store {
        name: "CloudWatch",
        around: [r#"{"events":["#, r#"],"searchedLogStreams":[]}"#],
        entry: |w| {
            let time = w.since_1970() / 1000;
            format!(r#"{{"logStreamName":"a","timestamp":{time},"message":{},"eventId":"3"}}"#, w.quoted())
        },
    },
    Store {
        name: "CloudWatch's queries",
        around: [r#"{"results":["#, r#"],"status":"Complete"}"#],
        entry: |w| {
            let field = |name: &str, value: &str| format!(r#"{{"field":"{name}","value":{value}}}"#);
            let time = format!("\"{}\"", w.iso("").replace('T', " "));
            format!("[{},{}]", field("@timestamp", &time), field("@message", &w.quoted()))
        },
    },
    Store {
        name: "OpenTelemetry",
        around: [r#"{"resourceLogs":[{"resource":{"attributes":[]},"scopeLogs":[{"logRecords":["#, "]}]}]}"],
        entry: |w| format!(r#"{{"timeUnixNano":"{}789","body":{{"stringValue":{}}}}}"#, w.since_1970(), w.quoted()),
    },
    Store {
        name: "Datadog",
        around: [r#"{"data":["#, r#"],"meta":{"elapsed":1}}"#],
        entry: |w| {
            let (text, time) = (w.quoted(), w.iso("Z"));
            format!(r#"{{"id":"A","attributes":{{"host":"nas","message":{text},"timestamp":"{time}"}}}}"#)
        },
    },
    Store {
        name: "Azure",
        around: ["[", "]"],
        entry: |w| format!(r#"{{"LogMessage":{},"PodName":"a","TimeGenerated":"{}"}}"#, w.quoted(), w.iso("Z")),
    },
    Store {
        name: "Azure's tables",
        around: [r#"{"tables":[{"columns":[{"name":"TimeGenerated"},{"name":"LogMessage"}],"rows":["#, "]}]}"],
        entry: |w| format!(r#"["{}",{}]"#, w.iso("Z"), w.quoted()),
    },
    Store {
        name: "Graylog",
        around: [r#"{"messages":["#, r#"],"total_results":3}"#],
        entry: |w| {
            let (text, time) = (w.quoted(), w.iso("Z"));
            format!(r#"{{"message":{{"source":"nas","message":{text},"timestamp":"{time}"}},"index":"a"}}"#)
        },
    },
    Store { name: "a list of texts", around: ["[", "]"], entry: |w| w.quoted() },
];

impl Store {
    fn answer(&self, lines: &[String]) -> String {
        format!("{}{}{}", self.around[0], lines.join(","), self.around[1])
    }
}

fn check(case: &str, name: &str, found: &str, plain: &str, faults: &mut String) {
    let found = told_elsewhere(&analyze(found));
    if found != plain {
        *faults += &format!("{case} of {name}:\n  {found}\n  {plain}\n");
    }
}

#[test]
fn what_a_store_of_logs_answers_gives_the_report_of_the_log_itself() {
    let mut faults = String::new();
    for case in CASES {
        let text = fs::read_to_string(testdata(case)).unwrap();
        let plain = told_elsewhere(&analyze(&text));
        for store in &STORES {
            let answer = store.answer(&lines(&text, store.entry));
            check(case, store.name, &answer, &plain, &mut faults);
            if !store.name.ends_with("tables") && !store.name.ends_with("texts") {
                let value: serde_json::Value = serde_json::from_str(&answer).unwrap();
                let pretty = serde_json::to_string_pretty(&value).unwrap();
                check(case, &format!("{}, pretty", store.name), &pretty, &plain, &mut faults);
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// Those whose lines have times of their own.
const LOGS: [&str; 5] = [
    "corpus/c48/fusestream.log",
    "corpus/c18/rclone.log",
    "corpus/c35/rclone.json.log",
    "lossy/a-freed-lock.jsonl",
    "shared/hung-then-restarted.log",
];

#[test]
fn a_log_whose_latest_line_stands_first_gives_the_report_of_the_log_itself() {
    let mut faults = String::new();
    for case in LOGS {
        let text = fs::read_to_string(testdata(case)).unwrap();
        let plain = told_elsewhere(&analyze(&text));
        let turned = |of: fn(&Written<'_>) -> String| lines(&text, of).into_iter().rev().collect::<Vec<String>>();
        for (name, of) in STAMPED.iter().filter(|(name, _)| *name != "dmesg -T") {
            check(case, name, &turned(*of).join("\n"), &plain, &mut faults);
        }
        check(case, "itself", &turned(|w| w.text.to_owned()).join("\n"), &plain, &mut faults);
        for store in STORES.iter().filter(|store| !store.name.ends_with("texts")) {
            check(case, store.name, &store.answer(&turned(store.entry)), &plain, &mut faults);
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn a_log_that_was_turned_round_is_said_to_be() {
    let text = fs::read_to_string(testdata(LOGS[0])).unwrap();
    let said = |report: &Report| report.notes.iter().any(|note| note.kind == "order");
    let turned: Vec<&str> = text.lines().rev().collect();
    assert!(said(&analyze(&turned.join("\n"))) && !said(&analyze(&text)));
}

/// A store that sorts by time, the latest first, leaves what has one time as it was written.
#[test]
fn lines_of_one_time_stay_as_they_were_written_where_the_latest_time_stands_first() {
    let mut faults = String::new();
    for case in LOGS {
        let text = fs::read_to_string(testdata(case)).unwrap();
        let plain = told_elsewhere(&analyze(&text));
        let second = "{\"@timestamp\":\"2026-11-22T09:43:26".len();
        for key in [second, second + ".123".len()] {
            let entry = |w: &Written<'_>| format!("{{\"@timestamp\":\"{}\",\"message\":{}}}", w.iso("Z"), w.quoted());
            let mut entries = lines(&text, entry);
            entries.sort_by(|a, b| b[..key].cmp(&a[..key]));
            let cut: Vec<String> = entries
                .iter()
                .map(|entry| entry[..key].to_owned() + "Z\"" + &entry[second + ".123456Z\"".len()..])
                .collect();
            check(case, "a store that sorts", &cut.join("\n"), &plain, &mut faults);
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// An answer is one line, however long it is.
#[test]
fn an_answer_that_is_longer_than_any_line_of_a_log_gives_the_report_of_the_log_itself() {
    let before: String =
        (0..9000).map(|n| format!("2026-11-22 00:00:00.{n:06} nothing but \\ and \"é\" {n}\n")).collect();
    let text = before + &fs::read_to_string(testdata(LOGS[0])).unwrap();
    let (plain, mut faults) = (told_elsewhere(&analyze(&text)), String::new());
    for store in STORES.iter().filter(|store| matches!(store.name, "Loki" | "Elastic" | "CloudWatch" | "Datadog")) {
        let mut entries = lines(&text, store.entry);
        let answer = store.answer(&entries);
        assert!(answer.len() > 1 << 20 || store.name == "Loki", "{}", answer.len());
        check(LOGS[0], store.name, &answer, &plain, &mut faults);
        entries.reverse();
        check(LOGS[0], store.name, &store.answer(&entries), &plain, &mut faults);
    }
    assert!(faults.is_empty(), "{faults}");
}
