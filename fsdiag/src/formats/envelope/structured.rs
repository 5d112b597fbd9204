//! Structured: the envelope of RFC 5424, `<30>1 2026-11-22T09:26:51Z host app 812 id [data x="y"] text`.

use super::{By, Opened};
use crate::formats::{clock, scan};

/// None: it is no such line. What is not said stands there as `-`.
pub(super) fn opened(text: &str) -> Option<Opened<'_>> {
    let (number, rest) = scan::split(text.strip_prefix('<')?, ">")?;
    if number.len() > 3 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    message(rest)
}

/// The same without the number before it, as some write it into files.
pub(super) fn message(text: &str) -> Option<Opened<'_>> {
    let rest = text.strip_prefix("1 ")?;
    let (stamp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (None, rest),
        None => clock::leading(rest).map(|(stamp, rest)| (Some(stamp), rest))?,
    };
    let mut words = rest.strip_prefix(' ')?.splitn(5, ' ');
    let mut word = || words.next().map(|word| if word == "-" { "" } else { word });
    let (host, name, pid, _id) = (word()?, word()?, word()?, word()?);
    let text = after_data(words.next()?)?;
    let text = text.strip_prefix(' ').unwrap_or(text);
    let by = match name {
        "kernel" => By::default(),
        _ => By { host, name, pid: pid.parse().ok() },
    };
    Some(Opened { text: text.strip_prefix('\u{feff}').unwrap_or(text), stamp, by, ..Opened::default() })
}

/// What follows the structured data: `-`, or elements whose quoted values may have escaped brackets and quotes.
fn after_data(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some(rest);
    }
    let mut rest = text;
    while rest.starts_with('[') {
        let (mut quoted, mut escaped) = (false, false);
        let end = rest.bytes().position(|byte| {
            let plain = !std::mem::take(&mut escaped);
            match byte {
                b'\\' if plain => escaped = true,
                b'"' if plain => quoted = !quoted,
                b']' if plain && !quoted => return true,
                _ => {}
            }
            false
        })?;
        rest = &rest[end + 1..];
    }
    (rest.len() < text.len()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_ends_where_its_last_bracket_is_neither_quoted_nor_escaped() {
        for (text, rest) in [
            ("- x", Some(" x")),
            ("-", Some("")),
            (r#"[a@1 b="c\"] \\]"][d] x"#, Some(" x")),
            (r#"[a b="c]"#, None),
            ("x", None),
        ] {
            assert_eq!(after_data(text), rest, "{text}");
        }
    }
}
