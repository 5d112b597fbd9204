//! Veil: what a line quotes without the passwords, tokens and query strings in it. A report is shown to others.

use std::{borrow::Cow, sync::LazyLock};

use memchr::{memchr, memmem::Finder};

/// What stands in their place.
const VEIL: &str = "***";

/// How the header begins that says who asks; its first letter may be large.
const HEADER: &str = "uthorization";
/// What stands before a token, also where no header says so.
const BEARER: &str = "earer ";

/// The text as it may be shown.
pub fn veiled(text: &str) -> Cow<'_, str> {
    static SIGNS: LazyLock<[Finder<'static>; 3]> = LazyLock::new(|| ["://", HEADER, BEARER].map(Finder::new));
    if SIGNS.iter().all(|sign| sign.find(text.as_bytes()).is_none()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(tokens(&urls(text)))
}

/// Of each URL the scheme, the host and the path.
fn urls(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, url)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = url.find(ends).unwrap_or(url.len());
        let whole = url[..end].trim_end_matches([')', ']', '}', '>', ',', ';', ':', '.']);
        let end_of_host = whole.find(['/', '?', '#']).unwrap_or(whole.len());
        let (host, path) = whole.split_at(end_of_host);
        // A line that is cut may end within a password: no port has letters.
        let is_cut = |port: &str| !host.starts_with('[') && !port.bytes().all(|b| b.is_ascii_digit());
        match (host.rsplit_once('@'), host.rsplit_once(':')) {
            (Some((_, host)), _) => [VEIL, "@", host].iter().for_each(|part| shown.push_str(part)),
            (None, Some((_, port))) if is_cut(port) => shown.push_str(VEIL),
            _ => shown.push_str(host),
        }
        let (path, query) = path.split_at(memchr(b'?', path.as_bytes()).unwrap_or(path.len()));
        shown.push_str(path);
        shown.push_str(&query[..query.len().min(1)]);
        if query.len() > 1 {
            shown.push_str(VEIL);
        }
        rest = &url[whole.len()..];
    }
    shown + rest
}

/// What no URL has in it.
fn ends(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '`' | '<' | '\\')
}

/// Without what follows the name of the header, to the end of the words it is said in, and without tokens.
fn tokens(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, value)) = rest.split_once(HEADER) {
        shown.push_str(before);
        shown.push_str(HEADER);
        let said = value.trim_start_matches([':', '=', '"', '\'', '\\', '[', ' ']);
        shown.push_str(&value[..value.len() - said.len()]);
        rest = said;
        // A word that tells of nothing: `Authorization failed`.
        if value.starts_with([':', '=', '"', '\'', '\\']) && !said.is_empty() {
            shown.push_str(VEIL);
            rest = &said[said.find(['"', '\'', '\\', ']', '\n']).unwrap_or(said.len())..];
        }
    }
    shown.push_str(rest);
    if !shown.contains(BEARER) {
        return shown;
    }
    let mut pieces = shown.split(BEARER);
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(BEARER);
        let end = piece.find(|c: char| ends(c) || matches!(c, ',' | ')' | ']')).unwrap_or(piece.len());
        /// No token is as short as a word.
        const SHORTEST: usize = 12;
        let is_token = end >= SHORTEST || piece.bytes().take(end).any(|b| b.is_ascii_digit());
        plain.push_str(if is_token { VEIL } else { &piece[..end] });
        plain.push_str(&piece[end..]);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_tokens_and_query_strings_are_shown_to_nobody() {
        for (text, shown) in [
            ("Get \"http://user:pass@h/x?token=1&sig=2\": timeout", "Get \"http://***@h/x?***\": timeout"),
            ("(https://h:8080/a/b?c): refused, see http://h.", "(https://h:8080/a/b?***): refused, see http://h."),
            ("http://a:b@c@h/?x and s3://b/k?versionId=9", "http://***@h/?*** and s3://b/k?***"),
            ("nothing://", "nothing://"),
            ("cut in http://user:pas", "cut in http://***"),
            ("http://[::1]:80/a, http://[fe80::1]", "http://[::1]:80/a, http://[fe80::1]"),
            ("http://h/what?", "http://h/what?"),
            ("> Authorization: Basic dXNlcjpwYXNz", "> Authorization: ***"),
            (r#"{"authorization":["AWS4-HMAC-SHA256 a/b, c"],"d":1}"#, r#"{"authorization":["***"],"d":1}"#),
            ("401 Authorization failed", "401 Authorization failed"),
            ("token Bearer eyJhbGciOi.J9, retry", "token Bearer ***, retry"),
            ("the bearer of this", "the bearer of this"),
        ] {
            assert_eq!(veiled(text), shown, "{text}");
            assert_eq!(veiled(shown), shown, "twice");
        }
    }
}
