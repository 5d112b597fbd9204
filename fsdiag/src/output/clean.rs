//! Clean: what a name holds gives a terminal no orders and begins no line.

/// Without orders. Colours that a log brought are left out, a tab is a blank, all else is `?`.
pub fn clean(text: impl Into<String>) -> String {
    let text = text.into();
    if text.contains(is_order) { cleaned(&text) } else { text }
}

/// Control characters, and what breaks a line or turns its direction.
fn is_order(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cleaned(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (number, piece) in text.split('\x1b').enumerate() {
        let rest = after_colour(piece).filter(|_| number > 0);
        if number > 0 && rest.is_none() {
            plain.push('?');
        }
        plain.extend(rest.unwrap_or(piece).chars().map(harmless));
    }
    plain
}

/// What stands behind `[1;31m`.
fn after_colour(piece: &str) -> Option<&str> {
    let codes = |c: char| c.is_ascii_digit() || c == ';';
    piece.strip_prefix('[')?.trim_start_matches(codes).strip_prefix('m')
}

fn harmless(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_order(c) => '?',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_to_a_terminal_become_question_marks() {
        assert_eq!(clean("a\x1b]0;owned\x07\nhealthy\r\u{9b}2J"), "a?]0;owned??healthy??2J");
        assert_eq!(clean("\x1b[2J\x1b[1;1Hfilm"), "?[2J?[1;1Hfilm");
        assert_eq!(clean("film\u{202e}gpj\u{2028}healthy"), "film?gpj?healthy");
        assert_eq!(clean("映画 é\u{300}.mkv"), "映画 é\u{300}.mkv");
    }

    #[test]
    fn a_log_is_read_without_its_colours() {
        assert_eq!(clean("\x1b[2m10:00\x1b[0m\t\x1b[32mDEBUG\x1b[m read"), "10:00 DEBUG read");
    }
}
