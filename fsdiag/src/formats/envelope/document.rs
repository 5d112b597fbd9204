//! Document: objects and lists over several lines, as `journalctl -o json-pretty`, jq and the command lines of clouds
//! write them, and answers of stores that are longer than any line: cut into the objects of one line that have a line of
//! somebody's log, without holding all of it.

use std::sync::Arc;

use super::{
    entries,
    layout::{begins, may_be_of_one, token},
    place::{self, OF_STREAM},
    records::Record,
};
use crate::formats::scan;

/// Such a document, as far as it has been read.
#[derive(Default)]
pub(in crate::formats) struct Document {
    /// Without blanks, and without what was cut out.
    text: String,
    /// The brackets that are open in it.
    open: Vec<Bracket>,
    /// How many more are, in which nothing is looked for.
    deep: usize,
    /// Where in it the lines of the input begin, and their numbers.
    lines: Vec<(usize, u64)>,
    /// The number of the line that is read.
    now: u64,
    /// What a piece ends with of a text that the next one goes on with.
    cut: Vec<u8>,
    /// How many were cut out of the pieces.
    parts: u16,
    /// It was a line, and that has ended.
    ended: bool,
    /// Something in it was a line of a log.
    known: bool,
    /// The last line was of no document.
    strange: bool,
    /// It is none, and all that was read: some tools write their dumps so.
    pub(super) refuses: bool,
    pub(super) held: Vec<(u64, Vec<u8>)>,
    /// What those take, bytes.
    room: usize,
}

struct Bracket {
    at: usize,
    is_list: bool,
    /// Its texts are lines, as `stdout_lines` has them.
    has_lines: bool,
    /// Which of the places where a line may stand was found in it, and where.
    line: Option<(usize, usize)>,
    /// Something was cut out of it.
    gives: bool,
    /// Nothing of it was forgotten.
    is_whole: bool,
    /// Who wrote what stands in it.
    label: Option<Arc<str>>,
}

/// Where the number of a part stands in that of its line.
pub(in crate::formats) const PART: u32 = 32;
/// What is larger has no line of a log.
const LARGEST: usize = 1 << 20;
/// More is not held back to be given back, bytes.
const HELD: usize = 4 << 20;
/// Nothing is read that stands in more brackets.
const DEEPEST: usize = 120;
impl Document {
    pub(super) fn line(&mut self, number: u64, line: &[u8]) -> Vec<Record> {
        self.hold(number, line);
        let text = scan::text(line);
        let trimmed = text.trim_ascii();
        self.now = number;
        self.mark();
        let is_of_it = if self.open.is_empty() { begins(trimmed) } else { may_be_of_one(trimmed) };
        // What is blank belongs to what stands before it.
        self.strange = if trimmed.is_empty() { self.strange } else { !is_of_it };
        if self.strange { self.passes(number, &text) } else { self.tokens(trimmed, true).0 }
    }

    /// A line of something else: a document does not go on behind it.
    fn passes(&mut self, number: u64, line: &str) -> Vec<Record> {
        self.open.clear();
        self.deep = 0;
        self.forget();
        self.refuses |= !self.known;
        if self.known { vec![(number, line.to_owned())] } else { Vec::new() }
    }

    fn hold(&mut self, number: u64, line: &[u8]) {
        /// For each line, whatever its length.
        const LINE: usize = 64;
        if !self.known {
            self.held.push((number, line.to_vec()));
            self.room += line.len() + LINE;
            self.refuses |= self.room > HELD;
        }
    }

    /// The line that is read goes on here.
    fn mark(&mut self) {
        let begun = self.lines.partition_point(|(from, _)| *from < self.text.len());
        self.lines.truncate(begun);
        self.lines.push((self.text.len(), self.now));
    }

    /// The next bytes of a document that is one line, and how many are of it: its entries are parts of that line.
    pub(super) fn piece(&mut self, bytes: &[u8]) -> (Vec<Record>, usize) {
        let (mut found, mut from) = (Vec::new(), 0);
        let ends = memchr::memchr_iter(b'\n', bytes).map(|at| at + 1).chain([bytes.len()]);
        for end in ends {
            if self.ended {
                break;
            }
            found.extend(self.part(&bytes[from..end]));
            from = end;
            self.ended = self.open.is_empty() && self.cut.is_empty() && bytes[..end].ends_with(b"\n");
        }
        (found, from)
    }

    fn part(&mut self, bytes: &[u8]) -> Vec<Record> {
        self.hold(1, bytes);
        let mut all = std::mem::take(&mut self.cut);
        all.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&all) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => all.len(),
        };
        let text = scan::text(&all[..whole]);
        self.now = 1;
        self.mark();
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
        while let Some(end) = token(rest, ended) {
            found.extend(self.token(&rest[..end]));
            rest = &rest[end..];
        }
        (found, rest.len())
    }

    fn token(&mut self, token: &str) -> Option<Record> {
        match token {
            " " | "\t" | "\n" | "\r" => return None,
            // What stood before it may have been cut out.
            "," if self.open.is_empty() || self.text.ends_with(['[', '{', ',']) => return None,
            _ => {}
        }
        if self.text.len() + token.len() > LARGEST {
            self.forget();
        }
        match token {
            "{" | "[" => self.opens(token == "["),
            "}" | "]" => return self.closes(token),
            _ if token.starts_with('"') => return self.told(token),
            _ => self.text.push_str(token),
        }
        None
    }

    /// What is open is larger than anything with a line of a log, but more may follow in it.
    fn forget(&mut self) {
        self.refuses |= !self.known;
        self.text.clear();
        self.mark();
        self.open.iter_mut().for_each(|open| (open.at, open.line, open.is_whole) = (0, None, false));
    }

    fn opens(&mut self, is_list: bool) {
        if self.open.len() == DEEPEST {
            self.deep += 1;
        } else {
            let has_lines = is_list && (self.open.is_empty() || self.text.ends_with("_lines\":"));
            let label = self.open.last().and_then(|outer| outer.label.clone());
            let (at, line, gives, is_whole) = (self.text.len(), None, false, true);
            self.open.push(Bracket { at, is_list, has_lines, line, gives, is_whole, label });
            self.finds(place::of_list(&self.text).filter(|_| is_list));
        }
        self.text.push(if is_list { '[' } else { '{' });
    }

    /// A text: a line where the list has nothing else.
    fn told(&mut self, text: &str) -> Option<Record> {
        let open = self.open.last_mut().filter(|_| self.deep == 0);
        if let Some(list) = open.filter(|list| list.has_lines && text.len() > 1 && text.ends_with('"')) {
            list.gives = true;
            (self.known, self.held) = (true, Vec::new());
            return Some((self.now, format!("[{text}]")));
        }
        self.finds(place::of_text(&self.text, text));
        self.text.push_str(text);
        None
    }

    /// Here may stand a line of a log.
    fn finds(&mut self, place: Option<usize>) {
        let found = place.map(|place| (place, self.text.len()));
        if let Some(open) = self.open.last_mut() {
            open.line = open.line.into_iter().chain(found).min();
        }
    }

    fn closes(&mut self, token: &str) -> Option<Record> {
        self.text.push_str(token);
        if let Some(deep) = self.deep.checked_sub(1) {
            self.deep = deep;
            return None;
        }
        let closed = self.open.pop()?;
        let record = self.closed(&closed);
        if self.open.is_empty() {
            self.refuses |= !self.known;
            self.text.clear();
            self.mark();
        }
        record
    }

    /// What was closed, if it has a line of a log and nothing else has more of them.
    fn closed(&mut self, closed: &Bracket) -> Option<Record> {
        let within_list = self.open.last().is_some_and(|parent| parent.is_list);
        let inner = self.text.get(closed.at..)?;
        // A field of an entry is none.
        let is_part = inner.starts_with("{\"field\":") || closed.is_list && self.open.is_empty();
        let is_entry = !is_part && (within_list || self.open.is_empty());
        if let Some(line) = closed.line.filter(|_| is_entry && closed.is_whole) {
            return self.cut_out(closed, line);
        }
        // The first of a list tells what the others are.
        self.refuses |= is_entry && !self.known && self.open.len() == 1 && within_list;
        let label = self.label_of(closed);
        let outer = self.open.last_mut()?;
        outer.label = label.or_else(|| outer.label.take());
        outer.line = outer.line.into_iter().chain(closed.line).min();
        // Nothing else of a list whose entries are lines is of use to those behind.
        let is_done = within_list && !is_part && (outer.gives || closed.gives);
        outer.gives |= closed.gives;
        if is_done {
            self.truncate(closed.at);
        }
        None
    }

    fn cut_out(&mut self, closed: &Bracket, (place, at): (usize, usize)) -> Option<Record> {
        let inner = self.text.get(closed.at..)?;
        let text_at = inner.find(",\"").filter(|_| place == OF_STREAM).map_or(at, |time| closed.at + time + 1);
        let line = self.lines.partition_point(|(from, _)| *from <= text_at);
        let number = self.lines.get(line.checked_sub(1)?)?.1;
        let label = self.open.last().and_then(|outer| outer.label.as_deref());
        let text = label.map_or_else(|| inner.to_owned(), |label| entries::labelled_as(label, inner));
        (self.known, self.held) = (true, Vec::new());
        if let Some(outer) = self.open.last_mut() {
            outer.gives = true;
        }
        self.truncate(closed.at);
        Some((number, text))
    }

    fn truncate(&mut self, at: usize) {
        self.text.truncate(at);
        self.mark();
    }

    /// Who wrote what stands beside it, where it tells that: no more is kept for the lines of a stream.
    fn label_of(&self, closed: &Bracket) -> Option<Arc<str>> {
        let (before, inner) = self.text.split_at_checked(closed.at)?;
        entries::label(before, inner).filter(|_| closed.is_whole).map(Arc::from)
    }

    /// Whether nothing of it was a line of a log.
    pub(super) fn is_unknown(&self) -> bool {
        !self.known
    }
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
        let of = |text: &str| format!("{{\"stream\":{{\"host\":\"nas\"}},\"values\":[[{text}]]}}");
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
        let wanted = whole.piece(answer.as_bytes()).0;
        assert_eq!(wanted.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 1 | 1 << PART]);
        for size in 1..answer.len() {
            let mut document = Document::default();
            let found: Vec<Record> = answer.as_bytes().chunks(size).flat_map(|piece| document.piece(piece).0).collect();
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
        let line = format!("\"a\": \"{}\",", "x".repeat(1000));
        document.line(1, b"{");
        assert!((2..3000).all(|number| document.line(number, line.as_bytes()).is_empty()));
        assert!(document.refuses && document.text.len() <= LARGEST);
    }

    #[test]
    fn lines_of_a_log_stand_around_documents() {
        let line = |at, text: &str| (at, text.to_owned());
        let log = [line(4, "unique: 2, opcode: LOOKUP (1)"), line(5, ""), line(6, "[FUSE] x")];
        let text = "{\n\"message\": \"a\"\n}\nunique: 2, opcode: LOOKUP (1)\n\n[FUSE] x\n{\n\"message\": \"b\"\n}";
        let mut all = vec![line(2, r#"{"message":"a"}"#)];
        all.extend(log);
        all.push(line(8, r#"{"message":"b"}"#));
        assert_eq!(read(text), all);
        // One that was cut.
        let text = "[\n{\n\"message\": \"a\"\n},\n{\nunique: 2";
        assert_eq!(read(text), [line(3, r#"{"message":"a"}"#), line(6, "unique: 2")]);
    }

    #[test]
    fn a_list_of_texts_is_as_many_lines() {
        let (answer, told) = (r#"["a","b\"",["c"],"d"]"#, |part: u64, text: &str| (1 | part << PART, text.to_owned()));
        let wanted = [told(0, r#"["a"]"#), told(1, r#"["b\""]"#), told(2, r#"["d"]"#)];
        assert_eq!(Document::default().piece(answer.as_bytes()).0, wanted);
        let answer = r#"{"tags":["x"],"out":{"stdout_lines":["a"]}}"#;
        assert_eq!(Document::default().piece(answer.as_bytes()).0, [told(0, r#"["a"]"#)]);
    }

    #[test]
    fn an_answer_ends_with_its_line() {
        let (answer, log) = ("[{\"message\":\"a\"}]\n", "unique: 2\n{\"message\":\"b\"}\n");
        let mut document = Document::default();
        let (found, of_it) = document.piece(format!("{answer}{log}").as_bytes());
        assert_eq!((found.len(), of_it, document.piece(log.as_bytes()).1), (1, answer.len(), 0));
    }

    #[test]
    fn of_an_answer_no_more_is_kept_than_what_is_open() {
        let mut document = Document::default();
        let mut take = |text: &str| (document.piece(text.as_bytes()).0, document.text.len());
        take(&format!(r#"{{"stats":"{}","data":{{"result":["#, "x".repeat(1000)));
        for host in 0..1000 {
            let stream = format!(
                r#"{{"stream":{{"host":"nas{host}","x":"y"}},"values":[["17953406060000{host:05}","a"]]}},{{"no":1}},"#
            );
            let (found, kept) = take(&stream);
            assert!(kept < 1100 && found.len() == 1 && found[0].1.len() < 100, "{found:?}");
            assert!(found[0].1.contains(&format!("\"nas{host}\"")));
        }
    }

    #[test]
    fn blank_lines_take_no_room_for_ever() {
        let mut document = Document::default();
        document.line(1, b"[");
        let read = (2..1_000_000).take_while(|number| document.line(*number, b"").is_empty() && !document.refuses);
        assert!(read.count() < 100_000 && document.lines.len() < 3);
    }
}
