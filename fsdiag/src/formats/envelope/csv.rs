//! Csv: the tables that consoles of log stores export: Kibana, CloudWatch, Datadog, Splunk, Azure. The first row names
//! the columns.

use super::records::Record;
use crate::formats::{clock, scan};

/// Such a table, as far as it has been read.
pub(in crate::formats) struct Table {
    between: char,
    columns: usize,
    message: usize,
    time: Option<usize>,
    host: Option<usize>,
    /// A row whose quotes are open, and where it begins.
    open: String,
    quoted: bool,
    at: u64,
}

struct Row {
    at: u64,
    cells: Vec<String>,
}

const MESSAGES: [&str; 11] = [
    "message",
    "@message",
    "_source.message",
    "log",
    "content",
    "textpayload",
    "line",
    "jsonpayload.message",
    "_raw",
    "logentry",
    "logmessage",
];
const TIMES: [&str; 8] =
    ["@timestamp", "timestamp", "time", "date", "_source.@timestamp", "datetime", "_time", "timegenerated"];
const HOSTS: [&str; 10] = [
    "kubernetes.pod_name",
    "kubernetes.pod.name",
    "pod_name",
    "podname",
    "pod",
    "container_name",
    "@logstream",
    "logstreamname",
    "host.name",
    "host",
];
/// No cell is longer.
const LONGEST: usize = 1 << 20;

impl Table {
    /// By its first row.
    pub(super) fn of(line: &str) -> Option<Self> {
        // Azure names the zone behind the column.
        let names = line.trim_start_matches('\u{feff}').to_ascii_lowercase().replace(" [utc]", "");
        let between = [',', ';', '\t'].into_iter().find(|between| names.contains(*between))?;
        let names = cells(&names, between).filter(|names| names.len() > 1)?;
        let plain = |name: &String| {
            let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '.' | '-');
            !name.is_empty() && name.chars().all(letters)
        };
        let column = |known: &[&str]| known.iter().find_map(|known| names.iter().position(|name| name == known));
        let message = column(&MESSAGES).filter(|_| names.iter().all(plain))?;
        let (time, host) = (column(&TIMES), column(&HOSTS));
        let (open, quoted) = (String::new(), false);
        let columns = names.len();
        // The first row is no record.
        time.map(|time| Self { between, columns, message, time: Some(time), host, open, quoted, at: 0 })
            .map(Self::headed)
    }

    fn headed(mut self) -> Self {
        self.at = u64::MAX;
        self
    }

    pub(super) fn line(&mut self, number: u64, line: &[u8]) -> Vec<Record> {
        if self.at == u64::MAX {
            self.at = 0;
            return Vec::new();
        }
        if self.open.is_empty() {
            self.at = number;
        } else {
            self.open.push('\n');
        }
        self.open.push_str(&scan::text(line));
        // Told by its own bytes, so that a row is not read again with each of its lines.
        self.quoted = ends_quoted(line, self.quoted, self.between);
        if self.open.len() > LONGEST {
            self.quoted = false;
        } else if self.quoted {
            return Vec::new();
        }
        self.row()
    }

    /// What is open where the input ends.
    pub(super) fn rest(&mut self) -> Vec<Record> {
        if self.open.is_empty() { Vec::new() } else { self.row() }
    }

    /// The records of what was a row, else the lines that it was.
    fn row(&mut self) -> Vec<Record> {
        let text = std::mem::take(&mut self.open);
        self.quoted = false;
        let row = cells(&text, self.between).map(|cells| Row { at: self.at, cells });
        match row.filter(|row| self.has(row)) {
            Some(row) => self.records(&row),
            None => text.split('\n').zip(self.at..).map(|(line, at)| (at, line.to_owned())).collect(),
        }
    }

    /// Whether a row is one of this table, by its time: any line of a log may have as many commas.
    fn has(&self, row: &Row) -> bool {
        /// Of a time that is spelled as nobody else does.
        const DIGITS: usize = 6;
        let time = self.time_of(row);
        let is_known = is_time(&time) && row.cells.len() > self.message;
        let digits = time.bytes().filter(u8::is_ascii_digit).count();
        is_known || row.cells.len() == self.columns && (time.is_empty() || digits >= DIGITS)
    }

    fn time_of(&self, row: &Row) -> String {
        self.time.and_then(|time| row.cells.get(time)).map(|time| spelled(time)).unwrap_or_default()
    }

    /// One for each line of its message.
    fn records(&self, row: &Row) -> Vec<Record> {
        let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let time = text(&self.time_of(row));
        let host = self.host.and_then(|host| row.cells.get(host)).map_or("", |host| host);
        let message = row.cells.get(self.message).map_or("", |message| message);
        let object =
            |line: &str| format!("{{\"@timestamp\":{time},\"message\":{},\"host\":{}}}", text(line), text(host));
        message.lines().zip(row.at..).map(|(line, at)| (at, object(line))).collect()
    }
}

/// `Nov 22, 2026 @ 09:43:26.000` of Kibana, `11/22/2026, 9:43:26.000 AM` of Azure and milliseconds since 1970 as others
/// write them.
fn spelled(time: &str) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let of_kibana = || {
        let (date, of_day) = time.split_once(" @ ")?;
        let (day, year) = date.split_once(", ")?;
        let (month, day) = day.split_once(' ')?;
        let month = MONTHS.iter().position(|known| *known == month)? + 1;
        Some(format!("{year}-{month:02}-{day:0>2}T{of_day}Z"))
    };
    let of_number = || {
        let us = clock::since_1970(time.parse().ok()?)?;
        Some(format!("{}.{:06}", us / 1_000_000, us % 1_000_000))
    };
    of_kibana().or_else(|| of_azure(time)).or_else(of_number).unwrap_or_else(|| time.to_owned())
}

fn of_azure(time: &str) -> Option<String> {
    let (date, of_day) = time.split_once(", ")?;
    let (of_day, half) = of_day.rsplit_once(' ')?;
    let (hours, rest) = of_day.split_once(':')?;
    let hours = hours.parse::<u32>().ok()? % 12 + if half == "PM" { 12 } else { 0 };
    let [month, day, year] = date.split('/').collect::<Vec<&str>>()[..] else { return None };
    Some(format!("{year}-{month:0>2}-{day:0>2}T{hours:02}:{rest}Z"))
}

/// Whether a cell is a time and nothing else, but for the zone.
fn is_time(cell: &str) -> bool {
    const ZONE: usize = 12;
    let is_zone = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, ' ' | '+' | '-' | ':' | '.');
    let whole = clock::leading(cell).is_some_and(|(_, rest)| rest.len() <= ZONE && rest.chars().all(is_zone));
    whole || cell.parse().ok().and_then(clock::since_1970).is_some()
}

/// Whether a quote is open at the end of a line, where one is or is not at its begin.
fn ends_quoted(line: &[u8], mut quoted: bool, between: char) -> bool {
    let (mut empty, mut bytes) = (true, line.iter().peekable());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted && bytes.next_if(|next| **next == b'"').is_some() => empty = false,
            b'"' if quoted || empty => quoted = !quoted,
            byte if !quoted && char::from(*byte) == between => empty = true,
            _ => empty = false,
        }
    }
    quoted
}

/// The cells of a row; None where a quote is open at its end.
fn cells(row: &str, between: char) -> Option<Vec<String>> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = row.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            c if !quoted && c == between => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    cells.push(cell);
    (!quoted).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_log_stand_behind_a_table() {
        let mut table = Table::of("name,message,timestamp").expect("it is one");
        let text = "name,message,timestamp\nnas,a,2026-11-22T09:43:26Z\nunique: 3, success, outsize: 16\n\n2026-11-22 09:43:26 x\n\"b";
        let mut all: Vec<Record> =
            text.lines().zip(1..).flat_map(|(line, at)| table.line(at, line.as_bytes())).collect();
        all.extend(table.rest());
        let line = |at, text: &str| (at, text.to_owned());
        let row = r#"{"@timestamp":"2026-11-22T09:43:26Z","message":"a","host":""}"#;
        let log = [(3, "unique: 3, success, outsize: 16"), (4, ""), (5, "2026-11-22 09:43:26 x"), (6, "\"b")];
        assert_eq!(all[0], line(2, row));
        assert_eq!(all[1..], log.map(|(at, text)| line(at, text)));
    }
}
