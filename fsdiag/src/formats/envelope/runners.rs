//! Runners: what runners of several programs put before their lines: pm2, foreman and its kin, supervisor, and the
//! platforms that run a program for somebody.

use super::{By, Doubt, Opened, syslog::is_plain};
use crate::formats::scan;

/// Longest name of a program that is shown, bytes.
const LONGEST: usize = 64;

/// `0|app  | text` of pm2.
pub(super) fn of_pm2(text: &str) -> Option<Opened<'_>> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let name = text[digits..].strip_prefix('|')?;
    let end = name.bytes().take(LONGEST).take_while(|byte| is_plain(*byte)).count();
    let rest = name[end..].trim_start_matches(' ').strip_prefix('|').filter(|_| end > 0)?;
    let host = &text[..digits + 1 + end];
    Some(Opened { text: rest.strip_prefix(' ').unwrap_or(rest), by: By { host, ..By::default() }, ..Opened::default() })
}

/// `web.1   | text` of foreman and honcho, where the name of a program ends at `end`.
pub(super) fn numbered(text: &str, end: usize) -> Option<Opened<'_>> {
    let digits = text[end + 1..].bytes().take_while(u8::is_ascii_digit).count();
    let (host, rest) = text.split_at(end + 1 + digits);
    let text = rest.trim_start_matches(' ').strip_prefix("| ").filter(|_| rest.starts_with(' '))?;
    Some(Opened { text, by: By { host, ..By::default() }, ..Opened::default() })
}

/// `web | text` of goreman, hivemind and overmind, `web stdout | text` of supervisor: many a line looks so.
pub(super) fn named(text: &str, end: usize) -> Option<Opened<'_>> {
    let (host, rest) = text.split_at(end);
    let inner = [" | ", " stdout | ", " stderr | "].iter().find_map(|bar| rest.strip_prefix(bar))?;
    Some(doubted(text, inner, host))
}

/// What stands behind a time of whoever shows several programs: `my-stream text`, and what platforms write.
pub(super) fn of_stream(text: &str) -> Option<Opened<'_>> {
    let end = text.bytes().take(2 * LONGEST).take_while(|byte| is_plain(*byte)).count();
    match text.as_bytes().get(end)? {
        b'[' => hosted(text, end),
        b' ' => {
            // Hardly a word has these in the middle.
            let named = text[..end].trim_matches('-').contains(['-', '/']) && !text.as_bytes()[0].is_ascii_digit();
            let inner = &text[end + 1..];
            (named && !inner.starts_with(' ')).then(|| doubted(text, inner, &text[..end]))
        }
        _ => None,
    }
}

/// `app[web.1]: text` of Heroku and `app[148e446a1b2c89] ord [info]text` of Fly, where the app ends at `end`.
fn hosted(text: &str, end: usize) -> Option<Opened<'_>> {
    let (place, rest) = scan::split(scan::clip(&text[end + 1..], 2 * LONGEST), "]")?;
    let known = end > 0 && place.bytes().all(is_plain);
    let of_fly = || {
        let (region, rest) = rest.strip_prefix(' ')?.split_once(" [")?;
        let (level, inner) = rest.split_once(']')?;
        region.bytes().chain(level.bytes()).all(|byte| byte.is_ascii_lowercase()).then_some(inner)
    };
    let inner = rest.strip_prefix(": ").or_else(of_fly).filter(|_| known)?;
    let at = end + place.len() + 2 + rest.len() - inner.len();
    Some(Opened { text: &text[at..], by: By { host: place, ..By::default() }, ..Opened::default() })
}

fn doubted<'a>(with: &'a str, text: &'a str, host: &'a str) -> Opened<'a> {
    let doubt = Some(Doubt { with, head: &with[..with.len() - text.len()], ..Doubt::default() });
    Opened { text, by: By { host, ..By::default() }, doubt, ..Opened::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(opened: Option<Opened<'_>>) -> Option<(&str, &str)> {
        opened.map(|opened| (opened.by.host, opened.text))
    }

    #[test]
    fn a_program_is_told_by_the_name_that_its_runner_gave_it() {
        assert_eq!(told(of_pm2("0|app  | text")), Some(("0|app", "text")));
        assert_eq!(told(of_pm2("12|fuse-mounter | ")), Some(("12|fuse-mounter", "")));
        assert_eq!(told(numbered("web.1   | text", 3)), Some(("web.1", "text")));
        assert_eq!(told(named("web | text", 3)), Some(("web", "text")));
        assert_eq!(told(named("web stderr | text", 3)), Some(("web", "text")));
        assert_eq!(told(of_stream("app[web.1]: a]: b")), Some(("web.1", "a]: b")));
        assert_eq!(told(of_stream("app[148e446a1b2c89] ord [info]text")), Some(("148e446a1b2c89", "text")));
        assert_eq!(told(of_stream("my/stream-1 text")), Some(("my/stream-1", "text")));
    }

    #[test]
    fn what_has_no_such_name_is_left_alone() {
        for text in ["0|", "0||x", "12 | text", "3|a b | text", "0|app"] {
            assert_eq!(told(of_pm2(text)), None, "{text}");
        }
        for text in ["app[web.1] text", "[web.1]: text", "a b[c]: text", "app]: [", "app[1] a b [c]d", "main text"] {
            assert_eq!(told(of_stream(text)), None, "{text}");
        }
        assert_eq!((told(numbered("web.1|x", 3)), told(numbered("web.log", 3))), (None, None));
    }
}
