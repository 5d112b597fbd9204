//! Leaves: the texts and numbers of a JSON object of any shape, by where they stand, without a tree of values in between.

use std::borrow::Cow;

use super::{object::escaped, scan};

/// What an object has at the end of a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaf<'a> {
    Text(Quoted<'a>),
    Number(&'a str),
}

/// A text as it stands between its quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted<'a> {
    body: &'a str,
    /// Where its first backslash is.
    escape: Option<usize>,
}

/// The names on the way to a leaf.
pub(super) type Path<'p, 'a> = &'p [&'a str];

/// What stands deeper is nobody's line.
const DEEPEST: usize = 3;

impl<'a> Quoted<'a> {
    /// What is meant; None: it takes a look into the book.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let Some(at) = self.escape else { return Some(Cow::Borrowed(self.body)) };
        escaped(self.body, at).map(|(text, _)| Cow::Owned(text))
    }
}

/// Gives each leaf that is a text or a number, in order, without those in lists and deep below. None: the line is no
/// whole object, or must be read by the book.
pub(super) fn each<'a>(line: &'a str, each: &mut impl FnMut(Path<'_, 'a>, Leaf<'a>)) -> Option<()> {
    let mut names = [""; DEEPEST];
    let rest = object(line, &mut names, 0, each)?;
    rest.trim_ascii_start().is_empty().then_some(())
}

/// What follows the object that `from` starts with; its own names stand behind `depth` others.
fn object<'a>(
    from: &'a str,
    names: &mut [&'a str; DEEPEST],
    depth: usize,
    each: &mut impl FnMut(Path<'_, 'a>, Leaf<'a>),
) -> Option<&'a str> {
    let mut rest = blank(from.strip_prefix('{')?);
    if let Some(rest) = rest.strip_prefix('}') {
        return Some(rest);
    }
    loop {
        let (name, after) = quoted(rest)?;
        names[depth] = if name.escape.is_none() { name.body } else { return None };
        rest = blank(value(blank(blank(after).strip_prefix(':')?), names, depth, each)?);
        match rest.as_bytes().first()? {
            b',' => rest = blank(&rest[1..]),
            b'}' => return Some(&rest[1..]),
            _ => return None,
        }
    }
}

fn value<'a>(
    from: &'a str,
    names: &mut [&'a str; DEEPEST],
    depth: usize,
    each: &mut impl FnMut(Path<'_, 'a>, Leaf<'a>),
) -> Option<&'a str> {
    match from.as_bytes().first()? {
        b'"' => {
            let (text, rest) = quoted(from)?;
            each(&names[..=depth], Leaf::Text(text));
            Some(rest)
        }
        b'{' if depth + 1 < DEEPEST => object(from, names, depth + 1, each),
        b'{' | b'[' => skipped(from),
        _ => {
            let end = from.bytes().position(|byte| !is_plain(byte))?;
            if from.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
                each(&names[..=depth], Leaf::Number(&from[..end]));
            }
            (end > 0).then(|| &from[end..])
        }
    }
}

/// What follows the text that `from` starts with.
fn quoted(from: &str) -> Option<(Quoted<'_>, &str)> {
    let body = from.strip_prefix('"')?;
    let end = scan::position_of_either(body.as_bytes(), b'"', b'\\')?;
    if body.as_bytes()[end] == b'"' {
        return Some((Quoted { body: &body[..end], escape: None }, &body[end + 1..]));
    }
    let mut at = end;
    while body.as_bytes()[at] == b'\\' {
        at += 2;
        at += scan::position_of_either(body.as_bytes().get(at..)?, b'"', b'\\')?;
    }
    Some((Quoted { body: &body[..=at], escape: Some(end) }, &body[at + 1..]))
}

/// What follows the list or object that `from` starts with.
fn skipped(from: &str) -> Option<&str> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        let rest = &from[at..];
        match rest.as_bytes().first()? {
            b'"' => at = from.len() - quoted(rest)?.1.len(),
            b'{' | b'[' => (depth, at) = (depth + 1, at + 1),
            b'}' | b']' => (depth, at) = (depth - 1, at + 1),
            _ => at += rest.bytes().position(|byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']'))?,
        }
        if depth == 0 {
            return Some(&from[at..]);
        }
    }
}

/// Whether numbers and words are made of it.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

fn blank(text: &str) -> &str {
    if text.as_bytes().first().is_some_and(|byte| *byte <= b' ') { text.trim_ascii_start() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn read(line: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        each(line, &mut |path, leaf| {
            let text = match leaf {
                Leaf::Text(text) => text.text().map_or_else(|| "?".to_owned(), Cow::into_owned),
                Leaf::Number(number) => number.to_owned(),
            };
            found.push((path.join("/"), text));
        })
        .map(|()| found)
    }

    fn by_the_book(value: &Value, path: &[&str], found: &mut Vec<(String, String)>) {
        match value {
            Value::Object(fields) if path.len() < DEEPEST => {
                fields.iter().for_each(|(name, value)| by_the_book(value, &[path, &[name.as_str()]].concat(), found));
            }
            Value::String(text) => found.push((path.join("/"), text.clone())),
            Value::Number(number) => found.push((path.join("/"), number.to_string())),
            _ => {}
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9_000_i64..9_000).prop_map(Value::from),
            "[ -~\n\t]{0,9}|[\"\\\\{}\\[\\],:]{0,6}|é".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]{1,3}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn leaves_are_those_of_the_tree(fields in proptest::collection::btree_map("[a-z]{1,3}", value(), 0..5)) {
            let value = Value::Object(fields.into_iter().collect());
            let mut wanted = Vec::new();
            by_the_book(&value, &[], &mut wanted);
            for line in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let mut found = read(&line).expect("it is an object");
                found.sort();
                wanted.sort();
                prop_assert_eq!(&found, &wanted, "{}", line);
            }
        }

        #[test]
        fn no_damage_stops_it(line in "[{}\\[\\]\":,\\\\a0 é]{0,24}") {
            read(&line);
        }
    }

    #[test]
    fn what_is_cut_is_no_object() {
        let line = r#"{"a":"b\"","c":{"d":[{"e":"f"}],"g":1.5}}"#;
        assert_eq!(read(line).map(|leaves| leaves.len()), Some(2));
        for cut in 0..line.len() {
            assert_eq!(read(&line[..cut]), None, "{}", &line[..cut]);
        }
        assert_eq!(read(&format!("{line} x")), None);
    }
}
