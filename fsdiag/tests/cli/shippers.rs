//! Runners of several programs, platforms, shippers, and what people paste: each puts something of its own around a line.

use std::fs;

use super::envelopes::{CASES, Envelope, Written, analyze, check, testdata, told_elsewhere, told_in_records};

const SHIPPED: &[Envelope] = &[
    ("pm2", |w| format!("0|app  | {}", w.text)),
    ("pm2 with times", |w| format!("0|app  | {} {}.{} +00:00: {}", w.date, w.time, w.fraction, w.text)),
    ("pm2's files", |w| format!("{} {}.{} +00:00: {}", w.date, w.time, w.fraction, w.text)),
    ("pm2's objects", |w| {
        let text = serde_json::to_string(&format!("{}\n", w.text)).unwrap();
        format!(r#"{{"message":{text},"timestamp":"{}","type":"err","process_id":0,"app_name":"app"}}"#, w.iso(""))
    }),
    ("foreman", |w| format!("{}.{} web.1   | {}", w.time, w.fraction, w.text)),
    ("goreman", |w| format!("{}.{} mounter | {}", w.time, w.fraction, w.text)),
    ("hivemind", |w| format!("mounter | {}", w.text)),
    ("overmind", |w| format!("\u{1b}[1;38;5;4mmounter | \u{1b}[0m{}", w.text)),
    ("supervisor", |w| format!("mounter stdout | {}", w.text)),
    ("Heroku", |w| format!("{} app[web.1]: {}", w.iso("+00:00"), w.text)),
    ("Fly", |w| format!("{} app[148e446a1b2c89] ord [info]{}", w.iso("Z"), w.text)),
    ("GitLab", |w| format!("{} 01O {}", w.iso("Z"), w.text)),
    ("GitHub", |w| format!("build\tRun tests\t{} {}", w.iso("0Z"), w.text)),
    ("Buildkite", |w| format!("\u{1b}_bk;t=1795340606123\u{7}{}", w.text)),
    ("aws logs filter-log-events", |w| {
        let time = w.since_1970() / 1000;
        format!("EVENTS\t{}{:03}\t{}\tfused/a\t{}\t{time}", "3".repeat(53), w.number % 1000, time + 300, w.text)
    }),
    ("aws logs get-log-events", |w| {
        let time = w.since_1970() / 1000;
        format!("EVENTS\t{}\t{}\t{time}", time + 300, w.text)
    }),
    ("Splunk", |w| {
        let (text, time) = (w.quoted(), w.iso("+00:00"));
        format!(r#"{{"preview":false,"offset":1,"result":{{"_raw":{text},"_time":"{time}","host":"nas"}}}}"#)
    }),
    ("Splunk's collector", |w| {
        let time = w.since_1970();
        format!(r#"{{"time":{}.{:06},"host":"nas","event":{}}}"#, time / 1_000_000, time % 1_000_000, w.quoted())
    }),
    ("Fluent Bit", |w| {
        let time = w.since_1970();
        let head = format!("[{}] kube.log: [{}.{:06}000", w.number % 50, time / 1_000_000, time % 1_000_000);
        format!("{head}, {{\"log\"=>\"{}\", \"stream\"=>\"stderr\"}}]", w.text)
    }),
    ("a newer Fluent Bit", |w| {
        let time = w.since_1970();
        let head = format!("[{}] kube.log: [[{}.{:06}000", w.number % 50, time / 1_000_000, time % 1_000_000);
        format!("{head}, {{}}], {{\"log\"=>\"{}\"}}]", w.text)
    }),
    ("a logger of fields", |w| {
        format!("time=\"{}\" level=info msg={} plugin=a", w.iso("Z"), w.quoted().replace("\\t", "\t"))
    }),
    ("journalctl -o json-seq", |w| {
        format!("\u{1e}{{\"__REALTIME_TIMESTAMP\":\"{}\",\"_PID\":\"12\",\"MESSAGE\":{}}}", w.since_1970(), w.quoted())
    }),
    ("a diff", |w| format!("+{}", w.text)),
    ("a list", |w| format!("- {}", w.text)),
    ("a list of stars", |w| format!("* {}", w.text)),
    ("words of code", |w| format!("`{}`", w.text)),
    ("a table of Markdown", |w| format!("| {} |", w.text)),
];

const RECORDS: &[Envelope] = &[
    ("journalctl -o json-sse", |w| {
        let object = format!("{{\"__REALTIME_TIMESTAMP\":\"{}\",\"MESSAGE\":{}}}", w.since_1970(), w.quoted());
        format!("data: {object}\n")
    }),
    ("Splunk", |w| w.row("_raw,_time,_serial,host", &format!("{},{},1,nas", cell(w), w.iso("+0000")))),
    ("Azure", |w| {
        let hours: u32 = w.time[..2].parse().unwrap_or(0);
        let half = if hours < 12 { "AM" } else { "PM" };
        let day = format!("{}/{}/{}", &w.date[5..7], &w.date[8..], &w.date[..4]);
        let time = format!("{day}, {}{}.{} {half}", (hours + 11) % 12 + 1, &w.time[2..], w.fraction);
        w.row("TimeGenerated [UTC],PodName,LogMessage", &format!("\"{time}\",a,{}", cell(w)))
    }),
    ("gcloud", |w| {
        let labels = "resource:\n  labels:\n    pod_name: fuse-a\n  type: k8s_container";
        let (text, time) = (w.quoted(), w.iso("Z"));
        format!("---\ninsertId: x{}\n{labels}\nseverity: ERROR\ntextPayload: {text}\ntimestamp: '{time}'", w.number)
    }),
    ("of another country", |w| w.row("timestamp;source;message", &format!("{};nas;{}", w.iso("Z"), cell(w)))),
];

fn cell(written: &Written<'_>) -> String {
    format!("\"{}\"", written.text.replace('"', "\"\""))
}

#[test]
fn a_log_of_whoever_runs_ships_or_pastes_it_gives_the_report_of_the_log_itself() {
    check(SHIPPED);
}

#[test]
fn a_record_of_whoever_exports_it_gives_the_report_of_the_log_itself() {
    told_in_records(RECORDS);
}

#[test]
fn a_log_that_a_terminal_broke_at_its_width_gives_the_report_of_the_log_itself() {
    let mut faults = String::new();
    let logs = CASES.iter().filter(|case| case.ends_with("log") && !case.contains("stacks") || case.ends_with("jsonl"));
    for (case, width) in logs.flat_map(|case| [(case, 80), (case, 120)]) {
        let text = fs::read_to_string(testdata(case)).unwrap();
        let broken = |line: &str| {
            let chars: Vec<char> = line.chars().collect();
            chars.chunks(width).map(|part| part.iter().collect::<String>() + "\n").collect::<String>()
        };
        let (plain, found) = (analyze(&text), analyze(&text.lines().map(broken).collect::<String>()));
        let (plain, found) = (told_elsewhere(&plain), told_elsewhere(&found));
        if plain != found {
            faults += &format!("{case} at {width}:\n  {found}\n  {plain}\n");
        }
    }
    assert!(faults.is_empty(), "{faults}");
}
