//! Yaml: how the command line of Google's cloud shows a log unless it is told otherwise: a document for each line of it,
//! behind `---`.

use super::records::Record;
use crate::formats::scan;

/// Such documents, as far as they have been read.
#[derive(Default)]
pub(in crate::formats) struct Yaml {
    entry: Entry,
    /// The names that the last line stands below, and how far each is indented.
    path: Vec<(usize, String)>,
    /// Whether the last line was the text or goes on with it, and how.
    open: Option<Style>,
    /// What is read belongs to no document: something else stands behind it.
    strange: bool,
    /// One had a line of a log.
    known: bool,
    /// The first has none: it is something else.
    pub(super) refuses: bool,
    pub(super) held: Vec<(u64, Vec<u8>)>,
}

/// What matters of a document.
#[derive(Default)]
struct Entry {
    text: Option<String>,
    at: u64,
    time: String,
    host: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// Lines are joined by blanks.
    Folded,
    /// Lines stay lines.
    Block,
}

/// What is larger is no line of a log, bytes.
const LARGEST: usize = 1 << 20;
const TEXTS: [&str; 3] = ["textPayload", "jsonPayload.message", "message"];
const HOSTS: [&str; 2] = ["resource.labels.pod_name", "resource.labels.instance_id"];

impl Yaml {
    pub(super) fn line(&mut self, number: u64, line: &[u8]) -> Vec<Record> {
        let line = scan::text(line);
        if line.trim_end() == "---" {
            let whole = self.rest();
            self.refuses |= !self.known && !self.held.is_empty();
            self.strange = false;
            self.hold(number, &line);
            return whole;
        }
        self.hold(number, &line);
        if self.strange {
            return vec![(number, line.into_owned())];
        }
        let text = scan::unindented(&line);
        let indent = line.len() - text.len();
        let deeper = self.path.last().is_none_or(|(outer, _)| indent > *outer);
        match self.open.filter(|_| deeper || text.is_empty()) {
            Some(style) => self.go_on(style, text),
            None if indent == 0 && !may_be_field(text) => return self.ended(number, &line),
            None => self.field(number, indent, text),
        }
        Vec::new()
    }

    /// The document ended before a line that is none of it.
    fn ended(&mut self, number: u64, line: &str) -> Vec<Record> {
        let held = std::mem::take(&mut self.held);
        let mut whole = self.rest();
        self.strange = true;
        if self.known {
            whole.push((number, line.to_owned()));
        } else {
            (self.held, self.refuses) = (held, true);
        }
        whole
    }

    fn hold(&mut self, number: u64, line: &str) {
        if !self.known {
            self.held.push((number, line.as_bytes().to_vec()));
            self.refuses |= self.held.len() > LARGEST / 64;
        }
    }

    fn go_on(&mut self, style: Style, line: &str) {
        let Some(text) = self.entry.text.as_mut().filter(|text| text.len() < LARGEST) else { return };
        if !text.is_empty() {
            text.push(if style == Style::Block { '\n' } else { ' ' });
        }
        text.push_str(line.trim_end());
    }

    fn field(&mut self, number: u64, indent: usize, text: &str) {
        self.open = None;
        let Some((name, value)) = text.split_once(':') else { return };
        self.path.retain(|(outer, _)| *outer < indent);
        self.path.push((indent, name.to_owned()));
        let path = self.path.iter().map(|(_, name)| &**name).collect::<Vec<&str>>().join(".");
        let value = value.trim();
        match &*path {
            path if TEXTS.contains(&path) => {
                let block = value.starts_with(['|', '>']);
                self.open = Some(if value.starts_with('|') { Style::Block } else { Style::Folded });
                self.entry.text = Some(if block { String::new() } else { value.to_owned() });
                self.entry.at = number + u64::from(block);
            }
            "timestamp" => self.entry.time = plain(value),
            path if HOSTS.contains(&path) => self.entry.host = plain(value),
            _ => {}
        }
    }

    /// The document so far, which has ended.
    pub(super) fn rest(&mut self) -> Vec<Record> {
        (self.open, self.path) = (None, Vec::new());
        let Entry { text, at, time, host } = std::mem::take(&mut self.entry);
        let Some(text) = text else { return Vec::new() };
        (self.known, self.held) = (true, Vec::new());
        let text = plain(&text);
        let object = serde_json::json!({ "@timestamp": time, "message": text, "host": host });
        vec![(at, object.to_string())]
    }

    /// Whether no document had a line of a log.
    pub(super) fn is_unknown(&self) -> bool {
        !self.known
    }
}

/// Whether a line may stand at the margin of a document: `name: value`, `- item`, `# remark`.
fn may_be_field(line: &str) -> bool {
    if line.trim_end().is_empty() || line.starts_with(['#', '"', '\'']) || line == "-" || line.starts_with("- ") {
        return true;
    }
    let Some((name, value)) = line.split_once(':') else { return false };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@');
    let is_plain = value.is_empty() || value.starts_with(' ') && !value.trim().contains(": ");
    let is_other = value.trim_start().starts_with(['"', '\'', '{', '[']);
    !name.is_empty() && name.chars().all(is_name) && (is_plain || value.starts_with(' ') && is_other)
}

/// A value without its quotes.
fn plain(value: &str) -> String {
    let inner = |quote: char| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    if let Some(text) = inner('\'') {
        return text.replace("''", "'");
    }
    let by_the_book = inner('"').and_then(|_| serde_json::from_str(value).ok());
    by_the_book.unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Record>, bool) {
        let mut yaml = Yaml::default();
        let mut all: Vec<Record> =
            text.lines().zip(1..).flat_map(|(line, number)| yaml.line(number, line.as_bytes())).collect();
        all.extend(yaml.rest());
        (all, yaml.refuses || yaml.is_unknown())
    }

    #[test]
    fn a_document_is_a_line() {
        let text = "---\ninsertId: a\nresource:\n  labels:\n    pod_name: nas\n  type: x\ntextPayload: 'a: ''b'''\ntimestamp: '2026-11-22T09:43:26Z'\n---\njsonPayload:\n  message: |-\n    c\n    d\n  severity: INFO\ntimestamp: '2026-11-22T09:43:27Z'\n---\ntextPayload: a long\n  line\n";
        let told = |at, time: &str, text: &str, host: &str| {
            (at, serde_json::json!({ "@timestamp": time, "message": text, "host": host }).to_string())
        };
        let (first, second) = ("2026-11-22T09:43:26Z", "2026-11-22T09:43:27Z");
        let lines =
            vec![told(7, first, "a: 'b'", "nas"), told(12, second, "c\nd", ""), told(17, "", "a long line", "")];
        assert_eq!(read(text), (lines, false));
    }

    #[test]
    fn a_document_of_something_else_is_given_back() {
        assert_eq!(read("---\nkind: Pod\nmetadata:\n  name: fuse\n---\nkind: Pod\n"), (Vec::new(), true));
        assert_eq!(read("---\ntitle: a page\n"), (Vec::new(), true));
    }

    #[test]
    fn lines_of_a_log_stand_behind_documents() {
        let told =
            |at, text: &str| (at, serde_json::json!({"@timestamp": "", "message": text, "host": ""}).to_string());
        let line = |at, text: &str| (at, text.to_owned());
        let log = "unique: 2, opcode: LOOKUP (1)\n\nLOOKUP /a\n";
        let lines = |at| [line(at, "unique: 2, opcode: LOOKUP (1)"), line(at + 1, ""), line(at + 2, "LOOKUP /a")];
        for (between, at) in [("", 3), ("---\n", 4)] {
            let text = format!("---\nmessage: run 7\n{between}{log}---\nmessage: run 8\n");
            let mut all = vec![told(2, "run 7")];
            all.extend(lines(at));
            all.push(told(at + 4, "run 8"));
            assert_eq!(read(&text), (all, false));
        }
        assert!(read(&format!("---\n{log}")).1);
    }
}
