//! Place: where in an entry of an answer the line of a log stands, as the text before it tells.

/// What stands before the line.
const LINES: [&str; 15] = [
    "\"MESSAGE\":",
    "\"message\":",
    "\"message\":[",
    "\"log\":",
    "\"line\":",
    "\"short_message\":",
    "\"textPayload\":",
    "\"_raw\":",
    "\"msg\":",
    "\"@message\":",
    "\"LogEntry\":",
    "\"LogMessage\":",
    "\"body\":",
    "\"body\":{\"stringValue\":",
    // Of a list of fields.
    "\"field\":\"@message\",\"value\":",
];
/// Of a table.
const COLUMNS: &str = "\"columns\":";
/// Behind those: that of a stream stands behind its time.
pub(super) const OF_STREAM: usize = LINES.len() + 1;

/// The number of the place in which a text stands.
pub(super) fn of_text(before: &str, text: &str) -> Option<usize> {
    match before.as_bytes().last()? {
        b'[' if is_time(text) => Some(OF_STREAM),
        b'[' | b':' => LINES.iter().position(|name| before.ends_with(name)),
        _ => None,
    }
}

/// The same of a list.
pub(super) fn of_list(before: &str) -> Option<usize> {
    before.ends_with(COLUMNS).then_some(OF_STREAM - 1)
}

/// `"1795340606000000000"`.
fn is_time(text: &str) -> bool {
    /// Of seconds, with the quotes.
    const SHORTEST: usize = 12;
    text.len() >= SHORTEST && text.starts_with("\"1") && text[1..text.len() - 1].bytes().all(|b| b.is_ascii_digit())
}
