//! Layout: how lines look that objects and lists over several lines are made of: whatever else stands behind or between
//! such documents is no line of them.

/// Whether a document may begin with a line, or have ended in the middle of it.
pub(super) fn begins(line: &str) -> bool {
    let rest = line.trim_start_matches([',', '}', ']', ' ', '\t']);
    let is_field = || rest.starts_with("{\"") || rest.starts_with("{ \"");
    matches!(rest, "" | "{" | "[" | "[{" | "[ {") || is_field() && rest.ends_with([',', '{', '['])
}

/// Whether a line may stand in the middle of one.
pub(super) fn may_be_of_one(line: &str) -> bool {
    match line.as_bytes() {
        [] | [b'"' | b'{' | b'}' | b']' | b',' | b':', ..] => true,
        [b'[', ..] => {
            let first = line.trim_start_matches(['[', ' ', '\t']);
            first.is_empty() || first.starts_with(['"', '{', ']']) || first.split(',').all(is_plain)
        }
        _ => line.split(',').all(is_plain),
    }
}

/// Whether something is a value without quotes.
fn is_plain(value: &str) -> bool {
    let value = value.trim_matches([' ', '\t', '}', ']']);
    matches!(value, "" | "true" | "false" | "null") || value.parse::<f64>().is_ok()
}

/// How long the first token of a text is; None: it has no end, and that may follow.
pub(super) fn token(text: &str, ended: bool) -> Option<usize> {
    const ENDS: [char; 11] = [' ', '\t', '\n', '\r', '"', '{', '[', '}', ']', ',', ':'];
    match text.as_bytes().first()? {
        b'"' => end_of_text(text).or(ended.then_some(text.len())),
        first if ENDS.contains(&char::from(*first)) => Some(1),
        _ => Some(text.find(ENDS).unwrap_or(text.len())),
    }
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

    #[test]
    fn a_line_of_a_log_is_none_of_a_document() {
        for line in
            ["unique: 2, opcode: LOOKUP (1)", "2026-11-22 09:43:26 x", "[FUSE] x", "[2026-11-22] x", "{\"log\":\"x\"}"]
        {
            assert!(!begins(line) && (line.starts_with('{') || !may_be_of_one(line)), "{line}");
        }
        for line in ["{", "[", "}, {", "},", ",", "[{", "{\"took\": 3,"] {
            assert!(begins(line), "{line}");
        }
        for line in
            ["", "}", "],", "\"a\": 1,", "12,", "-1.5e3", "null", "true ]", "[ 27, 91 ],", "[]", "[\"a\"]", "1, 2"]
        {
            assert!(may_be_of_one(line), "{line}");
        }
    }
}
