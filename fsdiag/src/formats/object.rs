//! Object: the fields of a flat JSON object, as loggers write one a line, without a tree of values in between.

use std::borrow::Cow;

use super::scan;

/// Gives the name and the text of each field that is a text, in order. False: the line is not that simple (blanks
/// between its parts, objects within, rare escapes, damage), and must be read by the book.
pub(super) fn texts<'a>(line: &'a str, mut each: impl FnMut(&str, Cow<'a, str>)) -> bool {
    fields(line, &mut each).is_some()
}

fn fields<'a>(line: &'a str, each: &mut impl FnMut(&str, Cow<'a, str>)) -> Option<()> {
    let mut rest = line.strip_prefix('{')?;
    loop {
        let (Cow::Borrowed(name), after) = text(rest)? else { return None };
        let value = after.strip_prefix(':')?;
        rest = if value.starts_with('"') {
            let (value, after) = text(value)?;
            each(name, value);
            after
        } else {
            plain(value)?
        };
        match rest.as_bytes() {
            [b',', ..] => rest = &rest[1..],
            b"}" => return Some(()),
            _ => return None,
        }
    }
}

/// What follows a whole number or a word.
fn plain(value: &str) -> Option<&str> {
    let word = ["true", "false", "null"].iter().find_map(|word| value.strip_prefix(word));
    word.or_else(|| {
        let digits = value.bytes().take_while(u8::is_ascii_digit).count();
        (digits == 1 || digits > 1 && !value.starts_with('0')).then(|| &value[digits..])
    })
}

/// The text between the quotes that `from` starts with, and what follows them.
fn text(from: &str) -> Option<(Cow<'_, str>, &str)> {
    let body = from.strip_prefix('"')?;
    let end = scan::position_of_either(body.as_bytes(), b'"', b'\\')?;
    if body.as_bytes()[end] == b'"' {
        return Some((Cow::Borrowed(&body[..end]), &body[end + 1..]));
    }
    let (text, rest) = escaped(body, end)?;
    Some((Cow::Owned(text), rest))
}

/// The same where a backslash stands at `at`.
pub(super) fn escaped(body: &str, mut at: usize) -> Option<(String, &str)> {
    let mut text = String::with_capacity(body.len().min(256));
    let mut rest = body;
    loop {
        text.push_str(&rest[..at]);
        let found = rest.as_bytes()[at];
        rest = &rest[at + 1..];
        if found == b'"' {
            return Some((text, rest));
        }
        let (meant, taken) = escape(rest)?;
        text.push(meant);
        rest = &rest[taken..];
        at = scan::position_of_either(rest.as_bytes(), b'"', b'\\')?;
    }
}

/// What stands behind a backslash: the character that is meant, and how many bytes say so.
fn escape(rest: &str) -> Option<(char, usize)> {
    // Go hides these from browsers, in every line.
    match rest.as_bytes().first_chunk() {
        Some(b"u003c") => return Some(('<', 5)),
        Some(b"u003e") => return Some(('>', 5)),
        Some(b"u0026") => return Some(('&', 5)),
        _ => {}
    }
    let meant = match rest.as_bytes().first()? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        b'u' => {
            let digits = rest.get(1..5).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
            // Half of a pair is no character.
            return char::from_u32(u32::from_str_radix(digits, 16).ok()?).map(|c| (c, 5));
        }
        _ => return None,
    };
    Some((meant, 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Option<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        texts(line, |name, text| _ = found.insert(name.to_owned(), text.into_owned())).then_some(found)
    }

    proptest! {
        #[test]
        fn what_a_logger_writes_is_read_as_by_the_book(
            fields in proptest::collection::btree_map("[a-z]{1,5}", ".{0,12}|[\"\\\\/\n\t<>&é]{0,6}", 1..5),
            number in 0_u32..2000,
        ) {
            let mut line = serde_json::to_string(&fields).unwrap();
            line.insert_str(1, &format!("\"0\":{number},\"1\":true,"));
            let go = line.replace('<', "\\u003c").replace('é', "\\u00e9");
            for line in [line, go] {
                if let Some(found) = read(&line) {
                    prop_assert_eq!(&found, &fields, "{}", line);
                }
            }
        }

        #[test]
        fn what_is_no_object_by_the_book_is_none_here(line in "[{}\":,\\\\a0 ]{0,14}") {
            let whole = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&line);
            prop_assert!(whole.is_ok() || read(&line).is_none(), "{}", line);
        }
    }

    #[test]
    fn go_hides_angle_brackets_from_browsers() {
        let line = r#"{"msg":"\u003eRead: err=\u003cnil\u003e","n":12,"object":"\u0026{a \"b\".mov (r)}"}"#;
        let found = read(line).expect("it is flat");
        assert_eq!((&*found["msg"], &*found["object"]), (">Read: err=<nil>", "&{a \"b\".mov (r)}"));
    }

    #[test]
    fn what_is_not_flat_is_left_to_others() {
        for line in
            ["{}", "{\"a\": 1}", "{\"a\":{\"b\":\"c\"}}", "{\"a\":\"\\ud83d\\ude00\"}", "{\"a\":\"b", "{\"a\":01}"]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
