//! Records: what tools write of one line over several: the journal's own export and its verbose and pretty forms, objects
//! that were indented for people, tables of values that a console exports. Whether an input is of them its first line
//! tells; each record becomes the object in which the same line would have been shipped alone.

use super::{csv::Table, document::Document, journal::Journal, yaml::Yaml};

/// One line of somebody's log, as an object of one line, and where in the input it stands.
pub(in crate::formats) type Record = (u64, String);

/// How an input is written.
pub(in crate::formats) enum Form {
    /// Nothing has been read that tells.
    Unknown,
    /// A line is a line, but it is not known yet whether the latest stands first.
    Asked,
    Lines,
    Records(Box<Records>),
}

pub(in crate::formats) enum Records {
    Journal(Journal),
    Document(Document),
    Table(Table),
    Yaml(Yaml),
}

impl Form {
    /// By a line of an input that is not known yet.
    #[cold]
    pub(in crate::formats) fn of(line: &[u8]) -> Self {
        // What journalctl says of itself, and lines of nothing.
        if line.starts_with(b"-- ") || line.trim_ascii().is_empty() {
            return Self::Unknown;
        }
        let Ok(line) = std::str::from_utf8(line) else { return Self::Asked };
        let journal = || Journal::of(line).map(Records::Journal);
        let document = || {
            // A list or a field opens at the end of the line at the latest.
            let begins = matches!(line.trim_ascii(), "{" | "[" | "[{" | "[ {");
            begins.then(|| Records::Document(Document::default()))
        };
        let yaml = || (line.trim_end() == "---").then(|| Records::Yaml(Yaml::default()));
        let records = journal().or_else(document).or_else(yaml).or_else(|| Table::of(line).map(Records::Table));
        records.map_or(Self::Asked, |records| Self::Records(Box::new(records)))
    }
}

impl Records {
    /// The first piece of a line that is longer than any line of a log: None: it is no answer of a store.
    pub(in crate::formats) fn of_piece(piece: &[u8]) -> Option<Self> {
        let begins =
            matches!(piece.trim_ascii_start(), [b'{', ..] | [b'[', ..]) && memchr::memchr(b'\n', piece).is_none();
        begins.then(|| Self::Document(Document::default()))
    }

    /// The same of the next bytes of such a line, and how many are of it: behind them are other lines.
    pub(in crate::formats) fn piece(&mut self, piece: &[u8]) -> (Vec<Record>, usize) {
        match self {
            Self::Document(document) => document.piece(piece),
            _ => (Vec::new(), 0),
        }
    }

    /// The records that this line completes.
    pub(in crate::formats) fn line(&mut self, number: u64, line: &[u8]) -> Vec<Record> {
        match self {
            Self::Journal(journal) => journal.line(number, line),
            Self::Document(document) => document.line(number, line),
            Self::Table(table) => table.line(number, line),
            Self::Yaml(yaml) => yaml.line(number, line),
        }
    }

    /// The lines so far, where they are of something else: each is one of its own.
    pub(in crate::formats) fn refused(&mut self) -> Option<Vec<(u64, Vec<u8>)>> {
        match self {
            Self::Document(document) if document.refuses => Some(std::mem::take(&mut document.held)),
            Self::Yaml(yaml) if yaml.refuses => Some(std::mem::take(&mut yaml.held)),
            _ => None,
        }
    }

    /// What is left where the input ends.
    pub(in crate::formats) fn rest(&mut self) -> Vec<Record> {
        match self {
            Self::Journal(journal) => journal.rest(),
            Self::Document(document) => {
                document.refuses = document.is_unknown();
                Vec::new()
            }
            Self::Yaml(yaml) => {
                let rest = yaml.rest();
                yaml.refuses = yaml.is_unknown();
                rest
            }
            Self::Table(table) => table.rest(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<Record> {
        let mut form = Form::Unknown;
        let mut all = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            if matches!(form, Form::Unknown) {
                form = Form::of(line.as_bytes());
            }
            if let Form::Records(records) = &mut form {
                all.extend(records.line(number, line.as_bytes()));
            }
        }
        if let Form::Records(records) = &mut form {
            all.extend(records.rest());
        }
        all
    }

    #[test]
    fn an_object_over_several_lines_is_one_line() {
        let text = "[\n{\n\t\"_PID\" : \"12\",\n\t\"MESSAGE\" : \"a : b\",\n\t\"labels\": {\n\t\t\"a\": [\n1\n]\n\t}\n},\n{\n}\n]";
        let first = r#"{"_PID":"12","MESSAGE":"a : b","labels":{"a":[1]}}"#;
        assert_eq!(records(text), [(4, first.to_owned())]);
        assert_eq!(records("x\n{\n}\n"), []);
    }

    #[test]
    fn a_record_of_the_journal_is_one_line_and_a_message_of_several_is_as_many() {
        let export = "__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795340606000000\nMESSAGE=a=b\n_PID=12\n_HOSTNAME=nas\n\n";
        let told = |line, message| {
            let time = "\"__REALTIME_TIMESTAMP\":\"1795340606000000\"";
            (line, format!("{{\"MESSAGE\":\"{message}\",\"_HOSTNAME\":\"nas\",\"_PID\":\"12\",{time}}}"))
        };
        assert_eq!(records(export), [told(3, "a=b")]);
        let binary = export.replace("MESSAGE=a=b", "MESSAGE\n\u{5}\0\0\0\0\0\0\0aa\nbb");
        assert_eq!(records(&binary), [told(4, "aa"), told(5, "bb")]);
        let verbose = "Sun 2026-11-22 10:43:26.000000 CET [s=1;i=2]\n    MESSAGE=a=b\n    _PID=12\n    _HOSTNAME=nas\n";
        assert_eq!(records(&format!("-- Logs begin at Sun --\n{verbose}")), [told(3, "a=b")]);
    }

    #[test]
    fn a_row_of_a_table_is_one_line() {
        let told = |line, time: &str, text: &str| {
            (line, format!("{{\"@timestamp\":\"{time}\",\"message\":\"{text}\",\"host\":\"nas\"}}"))
        };
        let table =
            "\"@timestamp\",host,message\n2026-11-22T09:43:26Z,nas,\"a \"\"b\"\", c\"\n2026-11-22T09:43:27Z,nas,d\n";
        let (first, second) = ("2026-11-22T09:43:26Z", "2026-11-22T09:43:27Z");
        let ab = "a \\\"b\\\", c";
        assert_eq!(records(table), [told(2, first, ab), told(3, second, "d")]);
        let lines = "message,Date,Host\n\"a\nb\",\"Nov 22, 2026 @ 09:43:26.000\",nas\n";
        let time = "2026-11-22T09:43:26.000Z";
        assert_eq!(records(lines), [told(2, time, "a"), told(3, time, "b")]);
        assert_eq!(records("a, b and message\nx"), []);
        let plain = "@timestamp,host,message\n2026-11-22T09:43:26Z,nas,12\" wide\n2026-11-22T09:43:27Z,nas,d\n";
        assert_eq!(records(plain), [told(2, first, "12\\\" wide"), told(3, second, "d")]);
    }
}
