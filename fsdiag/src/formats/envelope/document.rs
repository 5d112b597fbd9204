//! Document: objects and lists over several lines, as `journalctl -o json-pretty`, jq and the command lines of clouds
//! write them, and answers of stores that are longer than any line: cut into the objects of one line that have a line of
//! somebody's log, without holding all of it.

use memchr::memmem;

use super::records::Record;
use crate::formats::scan;

/// Such a document, as far as it has been read.
#[derive(Default)]
pub(in crate::formats) struct Document {
    /// Without blanks, and without what was cut out.
    text: String,
    /// The brackets that are open in it.
    open: Vec<Bracket>,
    /// Where in it the lines of the input begin, and their numbers.
    lines: Vec<(usize, u64)>,
    /// What a piece ends with of a text that the next one goes on with.
    cut: Vec<u8>,
    /// How many were cut out of the pieces.
    parts: u16,
    /// Something in it was a line of a log.
    known: bool,
    /// It is none, and all that was read: some tools write their dumps so.
    pub(super) refuses: bool,
    pub(super) held: Vec<(u64, Vec<u8>)>,
}

struct Bracket {
    at: usize,
    is_list: bool,
}

/// Where the number of a part stands in that of its line.
pub(in crate::formats) const PART: u32 = 32;
/// What is larger has no line of a log.
const LARGEST: usize = 1 << 20;
/// Where the line may stand.
const LINES: [&str; 17] = [
    "\"MESSAGE\":\"",
    "\"message\":\"",
    "\"message\":[\"",
    "\"log\":\"",
    "\"line\":\"",
    "\"short_message\":\"",
    "\"textPayload\":\"",
    "\"_raw\":\"",
    "\"msg\":\"",
    "\"@message\":\"",
    "\"LogEntry\":\"",
    "\"LogMessage\":\"",
    "\"body\":\"",
    "\"body\":{\"stringValue\":\"",
    // Of a list of fields, of a table's row and of a stream.
    "\"field\":\"@message\",\"value\":\"",
    "\"columns\":[",
    "[\"1",
];

impl Document {
    pub(super) fn line(&mut self, number: u64, line: &[u8]) -> Vec<Record> {
        if !self.known {
            self.held.push((number, line.to_vec()));
        }
        let line = scan::text(line);
        self.lines.push((self.text.len(), number));
        self.tokens(line.trim_ascii(), true).0
    }

    /// The next bytes of a document that is one line: its entries are parts of that line.
    pub(super) fn piece(&mut self, bytes: &[u8]) -> Vec<Record> {
        if !self.known {
            self.held.push((1, bytes.to_vec()));
        }
        let mut all = std::mem::take(&mut self.cut);
        all.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&all) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => all.len(),
        };
        let text = scan::text(&all[..whole]);
        self.lines.clear();
        self.lines.push((0, 1));
        let (mut found, rest) = self.tokens(&text, false);
        if rest <= LARGEST {
            self.cut.extend_from_slice(&text.as_bytes()[text.len() - rest..]);
        }
        self.cut.extend_from_slice(&all[whole..]);
        for (number, _) in &mut found {
            *number |= u64::from(self.parts) << PART;
            self.parts = self.parts.wrapping_add(1);
        }
        found
    }

    /// What the text completes, and how many bytes at its end are a text without an end; `ended`: that ends there.
    fn tokens(&mut self, text: &str, ended: bool) -> (Vec<Record>, usize) {
        let (mut found, mut rest) = (Vec::new(), text);
        while let Some(first) = rest.as_bytes().first() {
            let end = match first {
                b'"' => match end_of_text(rest) {
                    Some(end) => end,
                    None if ended => rest.len(),
                    None => return (found, rest.len()),
                },
                b'\n' | b'\r' => 1,
                b' ' | b'\t' | b'{' | b'[' | b'}' | b']' | b',' | b':' => 1,
                _ => rest.find([' ', '\t', '\n', '\r', '"', '{', '[', '}', ']', ',', ':']).unwrap_or(rest.len()),
            };
            found.extend(self.token(&rest[..end]));
            rest = &rest[end..];
        }
        (found, 0)
    }

    fn token(&mut self, token: &str) -> Option<Record> {
        match token {
            " " | "\t" | "\n" | "\r" => return None,
            // What stood before it may have been cut out.
            "," if self.open.is_empty() || self.text.ends_with(['[', '{', ',']) => return None,
            "{" | "[" => self.open.push(Bracket { at: self.text.len(), is_list: token == "[" }),
            _ => {}
        }
        if self.text.len() + token.len() > LARGEST {
            self.refuses = !self.known;
            self.text.truncate(self.open.first().map_or(0, |bracket| bracket.at + 1));
        }
        self.text.push_str(token);
        if token != "}" && token != "]" {
            return None;
        }
        let closed = self.open.pop()?;
        let record = self.closed(&closed);
        if self.open.is_empty() {
            self.refuses |= !self.known;
            self.text.clear();
            self.lines.retain(|(from, _)| *from == 0);
        }
        record
    }

    /// What was closed, if it has a line of a log and nothing else has more of them.
    fn closed(&mut self, closed: &Bracket) -> Option<Record> {
        let within_list = self.open.last().is_some_and(|parent| parent.is_list);
        let inner = self.text.get(closed.at..)?;
        // A field of an entry is none.
        let is_part = inner.starts_with("{\"field\":") || closed.is_list && self.open.is_empty();
        if is_part || !within_list && !self.open.is_empty() {
            return None;
        }
        let Some(at) = line_in(inner) else {
            // The first of a list tells what the others are.
            self.refuses |= !self.known && self.open.len() == 1 && within_list;
            return None;
        };
        let line = self.lines.partition_point(|(from, _)| *from <= closed.at + at);
        let number = self.lines.get(line.checked_sub(1)?)?.1;
        let text =
            if closed.is_list || self.text.contains("\"resourceLogs\"") { self.whole() } else { inner.to_owned() };
        (self.known, self.held) = (true, Vec::new());
        self.text.truncate(closed.at);
        self.lines.retain(|(from, _)| *from < closed.at);
        Some((number, text))
    }

    /// All of the document that is there, closed: what stands around an entry tells whose it is.
    fn whole(&self) -> String {
        let ends = self.open.iter().rev().map(|bracket| if bracket.is_list { ']' } else { '}' });
        self.text.chars().chain(ends).collect()
    }

    /// Whether nothing of it was a line of a log.
    pub(super) fn is_unknown(&self) -> bool {
        !self.known
    }
}

/// Where in an entry the text begins that is a line of a log.
fn line_in(entry: &str) -> Option<usize> {
    let end = |has: &&str| memmem::find(entry.as_bytes(), has.as_bytes()).map(|at| at + has.len() - 1);
    let at = LINES.iter().find_map(end)?;
    // In a stream's it stands behind the time.
    let time = entry.starts_with("[\"1").then(|| entry.find(",\"")).flatten();
    Some(time.map_or(at, |time| time + 1))
}

/// How long the text is that a line begins with; None: it has no end.
fn end_of_text(line: &str) -> Option<usize> {
    let mut escaped = true;
    let end = line.bytes().position(|byte| match byte {
        b'"' if !escaped => true,
        _ => {
            escaped = byte == b'\\' && !escaped;
            false
        }
    });
    end.map(|end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Record> {
        let mut document = Document::default();
        text.lines().zip(1..).flat_map(|(line, number)| document.line(number, line.as_bytes())).collect()
    }

    #[test]
    fn each_entry_of_an_answer_is_an_object_of_its_own() {
        let told = |at, text: &str| (at, text.to_owned());
        let answer = "{\n \"took\" : 3,\n \"hits\" : {\n  \"hits\": [\n   {\n    \"_source\": {\n     \"message\": \"a: \\\"b\\\"\"\n    },\n    \"sort\": [\n 1\n ]\n   },\n   { \"_source\": { \"message\": \"c\" } }\n  ]\n }\n}";
        assert_eq!(
            read(answer),
            [told(7, r#"{"_source":{"message":"a: \"b\""},"sort":[1]}"#), told(13, r#"{"_source":{"message":"c"}}"#)]
        );
        let streams = "{\n \"result\": [\n {\n \"stream\": { \"host\": \"nas\" },\n \"values\": [\n [\n \"1795340606000000000\",\n \"a\"\n ],\n [\n \"1795340607000000000\",\n \"b\"\n ]\n ]\n }\n ]\n}";
        let of = |text: &str| format!("{{\"result\":[{{\"stream\":{{\"host\":\"nas\"}},\"values\":[[{text}]]}}]}}");
        assert_eq!(
            read(streams),
            [told(8, &of("\"1795340606000000000\",\"a\"")), told(12, &of("\"1795340607000000000\",\"b\""))]
        );
    }

    #[test]
    fn pieces_of_a_line_give_what_the_line_gives() {
        let answer =
            r#"{"hits":{"hits":[{"_source":{"message":"aé \\ \"b\""}},{"_source":{"message":"12"},"sort":[123456]}]}}"#;
        let mut whole = Document::default();
        let wanted = whole.piece(answer.as_bytes());
        assert_eq!(wanted.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 1 | 1 << PART]);
        for size in 1..answer.len() {
            let mut document = Document::default();
            let found: Vec<Record> = answer.as_bytes().chunks(size).flat_map(|piece| document.piece(piece)).collect();
            assert_eq!(found, wanted, "{size}");
        }
    }

    #[test]
    fn a_document_of_something_else_is_given_back() {
        for text in ["{\n\"pid\": 1\n}", "[\n{\n\"pid\": 1\n},"] {
            let mut document = Document::default();
            assert!(text.lines().zip(1..).all(|(line, n)| document.line(n, line.as_bytes()).is_empty()));
            assert_eq!((document.refuses, document.held.len()), (true, text.lines().count()), "{text}");
        }
    }

    #[test]
    fn a_document_without_an_end_takes_no_more_room() {
        let mut document = Document::default();
        let line = format!("\"{}\",", "x".repeat(1000));
        document.line(1, b"[");
        assert!((2..3000).all(|number| document.line(number, line.as_bytes()).is_empty()));
        assert!(document.refuses && document.text.len() <= LARGEST);
    }
}
