//! Whatever collects, ships, prints, pastes or quotes a log or a dump, the report is the same: cause, culprit,
//! confidence and open requests.

use std::{fs, path::PathBuf};

use fsdiag::{
    commands::analyze::{
        quote::Kept,
        read::{self, How},
    },
    engine::{
        model::{Limits, Model, Now},
        report::Report,
    },
    sources::file::Input,
};

pub(super) fn testdata(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path)
}

/// Hangs and healthy ones: logs with numbers, without them, of objects and of fsd itself, and dumps of four tools.
pub(super) const CASES: [&str; 12] = [
    "corpus/c48/fusestream.log",
    "corpus/c18/rclone.log",
    "corpus/c32/rclone.log",
    "corpus/c35/rclone.json.log",
    "corpus/c59/httpdirfs.log",
    "corpus/c17/stacks-20261122-095933.log",
    "corpus/c18/goroutines-debug2.txt",
    "corpus/c58/gdb-bt.txt",
    "corpus/c58/eu-stack.txt",
    "corpus/c37/py-spy.txt",
    "lossy/a-freed-lock.jsonl",
    "shared/hung-then-restarted.log",
];

/// A line, and the time at which it was written as its own stamp or the one before says.
pub(super) struct Written<'a> {
    pub(super) number: usize,
    pub(super) text: &'a str,
    /// `2026-11-22`
    pub(super) date: &'a str,
    /// `10:35:32`
    pub(super) time: &'a str,
    /// Six digits.
    pub(super) fraction: &'a str,
}

impl Written<'_> {
    pub(super) fn iso(&self, zone: &str) -> String {
        format!("{}T{}.{}{zone}", self.date, self.time, self.fraction)
    }

    /// `Nov 22 10:35:32`: all of them are of November or March.
    fn syslog(&self) -> String {
        let month = if self.date[5..].starts_with("03") { "Mar" } else { "Nov" };
        let day = self.date[8..].trim_start_matches('0');
        format!("{month} {day:>2} {}", self.time)
    }

    /// Microseconds since 1970: all of them are of November 2026 or March.
    pub(super) fn since_1970(&self) -> u64 {
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let before = if self.date[5..].starts_with("03") { 59 } else { 304 };
        let days = 20_454 + before + number(&self.date[8..]) - 1;
        let of_day = number(&self.time[..2]) * 3600 + number(&self.time[3..5]) * 60 + number(&self.time[6..]);
        (days * 86_400 + of_day) * 1_000_000 + number(self.fraction)
    }

    /// The first row of a table stands before the first line.
    pub(super) fn row(&self, first: &str, row: &str) -> String {
        if self.number == 1 { format!("{first}\n{row}") } else { row.to_owned() }
    }

    pub(super) fn quoted(&self) -> String {
        serde_json::to_string(self.text).expect("a text is JSON")
    }
}

pub(super) type Envelope = (&'static str, fn(&Written<'_>) -> String);

pub(super) const STAMPED: &[Envelope] = &[
    ("docker logs -t", |w| format!("{} {}", w.iso("000Z"), w.text)),
    ("docker's files", |w| format!(r#"{{"log":{},"stream":"stderr","time":"{}"}}"#, w.quoted(), w.iso("Z"))),
    ("a node of Kubernetes", |w| format!("{} stderr F {}", w.iso("000Z"), w.text)),
    ("kubectl --prefix --timestamps", |w| format!("[pod/fuse-x7k2p/mounter] {} {}", w.iso("Z"), w.text)),
    ("compose -t", |w| format!("fused-1  | {} {}", w.iso("Z"), w.text)),
    ("stern -t of a set", |w| format!("fuse-node-0 mounter {} {}", w.iso("Z"), w.text)),
    ("journal, short", |w| format!("{} nas fused[4242]: {}", w.syslog(), w.text)),
    ("journal, short-precise", |w| format!("{}.{} nas fused[4242]: {}", w.syslog(), w.fraction, w.text)),
    ("journal, short-iso-precise", |w| format!("{} nas fused[4242]: {}", w.iso("+00:00"), w.text)),
    ("journal, short-full", |w| format!("Sun {} {} UTC nas fused[4242]: {}", w.date, w.time, w.text)),
    ("journal, with-unit", |w| format!("Sun {} {} UTC nas fused@a.service[4242]: {}", w.date, w.time, w.text)),
    ("syslog of RFC 3164", |w| format!("<30>{} nas fused[4242]: {}", w.syslog(), w.text)),
    ("syslog without a process", |w| format!("{} nas fused: {}", w.syslog(), w.text)),
    ("rsyslog without a process", |w| format!("{} nas fused: {}", w.iso("+00:00"), w.text)),
    ("syslog of RFC 5424", |w| format!("<30>1 {} nas fused 4242 - - {}", w.iso("Z"), w.text)),
    ("the same in a file", |w| format!("1 {} nas fused 4242 - - {}", w.iso("Z"), w.text)),
    ("busybox", |w| format!("{} nas daemon.info fused[4242]: {}", w.syslog(), w.text)),
    ("logread", |w| {
        format!("Sun {} {} daemon.info fused[4242]: {}", w.syslog(), w.date.split('-').next().unwrap_or(""), w.text)
    }),
    ("dmesg -T", |w| format!("[Sun {} {}] {}", w.syslog(), &w.date[..4], w.text)),
    ("ts", |w| format!("{} {}", w.syslog(), w.text)),
    ("s6-log", |w| format!("{} {}.{}000  {}", w.date, w.time, w.fraction, w.text)),
    ("svlogd", |w| format!("{}_{}.{} {}", w.date, w.time, &w.fraction[..5], w.text)),
    ("logcli", |w| format!("{} {{app=\"fused\", pod=\"a\"}} {}", w.iso("Z"), w.text)),
    ("aws logs tail", |w| format!("{} fused/a/0123456789abcdef0123456789abcdef {}", w.iso("+00:00"), w.text)),
    ("Elastic", |w| format!(r#"{{"@timestamp":"{}","message":{},"host":{{"name":"nas"}}}}"#, w.iso("Z"), w.quoted())),
    ("Loki", |w| format!(r#"{{"labels":{{"app":"fused"}},"line":{},"timestamp":"{}"}}"#, w.quoted(), w.iso("Z"))),
    ("fluentd", |w| {
        let (date, time, text) = (w.date, w.time, w.quoted());
        format!("{date} {time}.{}000 +0000 docker.fuse: {{\"log\":{text},\"stream\":\"stderr\"}}", w.fraction)
    }),
    ("fluentd's files", |w| format!("{}\tdocker.fuse\t{{\"log\":{}}}", w.iso("+00:00"), w.quoted())),
    ("Google's", |w| format!(r#"{{"insertId":"a","textPayload":{},"timestamp":"{}"}}"#, w.quoted(), w.iso("Z"))),
];

/// What one line is in several.
const RECORDS: &[Envelope] = &[
    ("journalctl -o export", |w| {
        let (time, text) = (w.since_1970(), w.text);
        format!("__CURSOR=s=1;i={}\n__REALTIME_TIMESTAMP={time}\nMESSAGE={text}\n_PID=42\n_COMM=fused\n", w.number)
    }),
    ("journalctl -o verbose", |w| {
        let head = format!("Sun {} {}.{} UTC [s=1;i={}]", w.date, w.time, w.fraction, w.number);
        format!("{head}\n    PRIORITY=6\n    _PID=42\n    _COMM=fused\n    _HOSTNAME=nas\n    MESSAGE={}", w.text)
    }),
    ("journalctl -o json-pretty", |w| {
        let (time, text) = (w.since_1970(), w.quoted());
        format!("{{\n\t\"__REALTIME_TIMESTAMP\" : \"{time}\",\n\t\"_PID\" : \"42\",\n\t\"MESSAGE\" : {text}\n}}")
    }),
    ("jq", |w| format!("{{\n  \"time\": \"{}\",\n  \"log\": {}\n}}", w.iso("Z"), w.quoted())),
    ("a table of Kibana", |w| {
        let text = w.text.replace('"', "\"\"");
        let month = if w.date[5..].starts_with("03") { "Mar" } else { "Nov" };
        let row = format!("\"{month} {}, 2026 @ {}.{}\",nas,\"{text}\"", &w.date[8..], w.time, w.fraction);
        w.row("\"@timestamp\",\"host.name\",message", &row)
    }),
    ("a table of CloudWatch", |w| {
        let text = w.text.replace('"', "\"\"");
        w.row("timestamp,message", &format!("{},\"{text}\"", w.since_1970()))
    }),
    ("a table of Datadog", |w| {
        let text = w.text.replace('"', "\"\"");
        w.row("Date,Host,Service,Content", &format!("\"{}\",\"nas\",\"fused\",\"{text}\"", w.iso("Z")))
    }),
];

const PLAIN: &[Envelope] = &[
    ("compose", |w| format!("fused-1  | {}", w.text)),
    ("compose, a name of its own", |w| format!("rclone  | {}", w.text)),
    ("a swarm", |w| format!("media_fused.1.k3jd93kd92kd@nas    | {}", w.text)),
    ("stern", |w| format!("fuse-6d4cf56db-x7k2p mounter {}", w.text)),
    ("kubetail", |w| format!("[fuse-6d4cf56db-x7k2p] {}", w.text)),
    ("kubetail of several containers", |w| format!("[fuse-6d4cf56db-x7k2p mounter] {}", w.text)),
    ("GELF", |w| format!(r#"{{"version":"1.1","host":"nas","short_message":{}}}"#, w.quoted())),
    ("grep -n", |w| format!("{}:{}", w.number, w.text)),
    ("grep -n -C", |w| format!("{}{}{}", w.number, if w.number % 7 == 3 { ':' } else { '-' }, w.text)),
    ("grep -H", |w| format!("fused.log:{}", w.text)),
    ("grep -Hn", |w| format!("/var/log/fused.log.1:{}:{}", w.number, w.text)),
    ("cat -n", |w| format!("{:6}\t{}", w.number, w.text)),
    ("less -N", |w| format!("{:7} {}", w.number, w.text)),
    ("a quotation", |w| format!("> {}", w.text)),
    ("a quotation of one", |w| format!("> > {}", w.text)),
    ("a block of code", |w| format!("    {}", w.text)),
    ("a block by a tab", |w| format!("\t{}", w.text)),
    ("a quoted block", |w| format!(">     {}", w.text)),
    ("blanks at the end", |w| format!("{}  \t", w.text)),
    ("none at the end", |w| w.text.trim_end().to_owned()),
    ("colours", |w| format!("\u{1b}[0;32m{}\u{1b}[0m\r", w.text)),
    ("a progress bar", |w| format!("Transferred: 12 %\r{}", w.text)),
    ("a page", |w| w.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")),
    ("blanks that do not break", |w| w.text.replace("  ", " \u{a0}")),
];

/// The lines in envelopes; those that look at times see each line's own, else that of the line before.
pub(super) fn lines(text: &str, of: fn(&Written<'_>) -> String) -> Vec<String> {
    let (mut date, mut time, mut fraction) = ("2026-11-22".to_owned(), "09:43:26".to_owned(), "000001".to_owned());
    let mut all = Vec::new();
    for (at, text) in text.lines().enumerate() {
        if let Some(stamp) = text.find("2026").filter(|at| *at < 12 || text.starts_with('{')) {
            let moment = text.get(stamp..stamp + 19).filter(|moment| moment.as_bytes()[13] == b':');
            if let Some(moment) = moment {
                date = moment[..10].replace('/', "-");
                moment[11..].clone_into(&mut time);
                let digits: String =
                    text[stamp + 19..].chars().skip(1).take_while(char::is_ascii_digit).take(6).collect();
                fraction = format!("{digits:0<6}");
            }
        }
        all.push(of(&Written { number: at + 1, text, date: &date, time: &time, fraction: &fraction }));
    }
    all
}

fn enveloped(text: &str, of: fn(&Written<'_>) -> String) -> String {
    lines(text, of).iter().map(|line| format!("{line}\n")).collect()
}

pub(super) fn analyze(text: &str) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    fs::write(&path, text).unwrap();
    let mut model = Model::new(Limits::default());
    let how = How { threads: 1, ..How::default() };
    read::all(&[Input::File(path)], &mut model, how, &mut Kept::default(), &mut Vec::new());
    model.report(Now::default())
}

/// What must not change.
pub(super) fn told(report: &Report) -> String {
    let mut told = String::new();
    if let Some(verdict) = report.verdicts.first() {
        let culprit = verdict.culprit.clone().unwrap_or_default();
        told += &format!("{} {} ", verdict.cause.name(), verdict.confidence.name());
        told += &format!("{:?} {:?} {:?} {:?}", culprit.op, culprit.id, culprit.thread, culprit.path);
    }
    let mut open: Vec<String> = report.orphans.iter().map(|open| format!("{} {}", open.op, open.id)).collect();
    open.sort();
    format!("{told} open {open:?}")
}

/// The same where only the numbers of the lines are others.
pub(super) fn told_elsewhere(report: &Report) -> String {
    let text = told(report);
    let parts: Vec<&str> = text.split("line ").collect();
    let digits = |text: &&str| text.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    parts.iter().map(digits).collect::<Vec<_>>().join("line ")
}

pub(super) fn check(envelopes: &[Envelope]) {
    let mut faults = String::new();
    for case in CASES {
        let text = fs::read_to_string(testdata(case)).unwrap();
        let plain = told(&analyze(&text));
        for (name, of) in envelopes {
            let found = told(&analyze(&enveloped(&text, *of)));
            if found != plain {
                faults += &format!("{case} in {name}:\n  {found}\n  {plain}\n");
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn a_log_that_somebody_collected_gives_the_report_of_the_log_itself() {
    check(STAMPED);
}

/// The same where a line may stand elsewhere.
pub(super) fn told_in_records(envelopes: &[Envelope]) {
    let mut faults = String::new();
    for case in CASES {
        let text = fs::read_to_string(testdata(case)).unwrap();
        let plain = told_elsewhere(&analyze(&text));
        for (name, of) in envelopes {
            let found = told_elsewhere(&analyze(&enveloped(&text, *of)));
            if found != plain {
                faults += &format!("{case} in {name}:\n  {found}\n  {plain}\n");
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn a_log_whose_lines_are_records_of_several_lines_gives_the_report_of_the_log_itself() {
    told_in_records(RECORDS);
}

#[test]
fn a_log_that_somebody_shows_to_others_gives_the_report_of_the_log_itself() {
    check(PLAIN);
}

#[test]
fn a_dump_with_an_empty_line_behind_each_line_is_the_same_dump() {
    for case in ["corpus/c17/stacks-20261122-095933.log", "corpus/c18/goroutines-debug2.txt", "corpus/c58/gdb-bt.txt"] {
        let text = fs::read_to_string(testdata(case)).unwrap();
        assert_eq!(told(&analyze(&enveloped(&text, |w| format!("{}\r\n\r", w.text)))), told(&analyze(&text)), "{case}");
    }
}

/// `dmesg -T` and `dmesg -H` are how most people look at the kernel's messages.
#[test]
fn a_hung_task_is_the_same_however_dmesg_shows_it() {
    let text = fs::read_to_string(testdata("formats/hung-task/reader-and-mutex.log")).unwrap();
    let shown = |stamp: fn(u64) -> String| {
        let mut second = 0;
        let lines = text.lines().map(|line| {
            let rest = line.split_once(" kernel: ").map_or(line, |(_, rest)| rest);
            second += 1;
            format!("{} {rest}\n", stamp(second / 20))
        });
        told(&analyze(&lines.collect::<String>()))
    };
    let plain = told(&analyze(&text));
    assert!(!plain.starts_with(" open"), "{plain}");
    assert_eq!(shown(|second| format!("[Sun Nov 22 09:43:{second:02} 2026]")), plain);
    assert_eq!(shown(|second| format!("2026-11-22T09:43:{second:02},000001+01:00")), plain);
    assert_eq!(shown(|second| if second == 0 { "[Nov22 09:43]".into() } else { "[  +0.000012]".into() }), plain);
}

#[test]
fn what_is_written_around_a_pasted_log_does_not_change_its_report() {
    for case in ["corpus/c48/fusestream.log", "corpus/c18/goroutines-debug2.txt"] {
        let text = fs::read_to_string(testdata(case)).unwrap();
        let report = |text: &str| {
            let report = analyze(text);
            let verdict = report.verdicts.into_iter().next().expect("a verdict");
            (verdict.cause, verdict.confidence, verdict.culprit.and_then(|culprit| culprit.op), report.orphans.len())
        };
        let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
        for pasted in [
            format!("It hangs, see below.\n\n```\n{text}```\n\nWhat can I do?\n"),
            format!("1. It hangs:\n\n{indented}\n2. I restarted it, no change.\n"),
            format!("root@nas:~# cat log\n{text}root@nas:~# exit\n"),
        ] {
            assert_eq!(report(&pasted), report(&text), "{case}");
        }
    }
}

/// Shippers that may send twice do; what tells of one moment in the same words is one line.
#[test]
fn a_line_that_was_shipped_twice_is_one_line() {
    let text = fs::read_to_string(testdata("corpus/c48/fuse.log")).unwrap();
    let shipped = text.lines().zip(1..).map(|(line, n)| format!("2026-11-22T10:00:00.{n:06}789Z stdout F {line}\n"));
    let twice: String = shipped.map(|line| line.repeat(2)).collect();
    let open = |report: &Report| report.orphans.len();
    let (once, twice) = (analyze(&text), analyze(&twice));
    assert_eq!((open(&once), once.verdicts.len()), (open(&twice), twice.verdicts.len()));
    assert_eq!(once.ops, twice.ops);
}
