//! The check: whether an answer is exactly what was asked for.

use std::{
    ops::Range,
    time::{Duration, UNIX_EPOCH},
};

use reqwest::header;

use super::{
    Meta, OriginError, Validator,
    exchange::{Answer, Ask},
};

/// What a checked head promises of its body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Promise {
    pub(super) meta: Meta,
    /// Of the body; the end is `u64::MAX` when it was not announced.
    pub(super) range: Range<u64>,
}

/// Size and version as the head names them; of a range, the size of the whole.
pub(super) fn meta(answer: &Answer) -> Meta {
    let length = answer.header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let total = content_range(answer).map(|range| range.total);
    let size = total.unwrap_or(length);
    let modified = answer.header(header::LAST_MODIFIED);
    let ranges = answer.header(header::ACCEPT_RANGES).is_some_and(|units| units.eq_ignore_ascii_case("bytes"));
    let modified_us = modified.and_then(|date| httpdate::parse_http_date(date).ok());
    let modified_us = modified_us.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    Meta {
        size,
        validator: validator(answer.header(header::ETAG), modified, size),
        modified_us: modified_us.map(|date: Duration| u64::try_from(date.as_micros()).unwrap_or(u64::MAX)),
        ranges,
    }
}

fn validator(tag: Option<&str>, modified: Option<&str>, size: Option<u64>) -> Validator {
    match (tag, modified) {
        (Some(tag), _) if tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2 => {
            Validator::Strong(tag.to_owned())
        }
        (_, Some(modified)) => Validator::Dated { modified: modified.to_owned(), size },
        _ => Validator::None,
    }
}

/// Encoded bytes are other bytes.
pub(super) fn identity(answer: &Answer) -> Result<(), OriginError> {
    match answer.header(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => Err(wrong(answer, "it is compressed")),
        _ => Ok(()),
    }
}

/// Holds the head against the request.
pub(super) fn promise(answer: &Answer, ask: &Ask) -> Result<Promise, OriginError> {
    identity(answer)?;
    let meta = meta(answer);
    same_version(answer, &meta, &ask.expect)?;
    let length = answer.got.length;
    let range = match (&ask.range, answer.status().as_u16()) {
        (None, 200) => 0..length.unwrap_or(u64::MAX),
        // The whole content is what was asked for: no range needed.
        (Some(asked), 200) if asked.start == 0 && length == Some(asked.end) => asked.clone(),
        (Some(_), 200) => return Err(OriginError::NoRanges { at: answer.from.to_string() }),
        (Some(asked), 206) => exact(answer, asked, length)?,
        _ => return Err(wrong(answer, "part of the content, though all of it was asked for")),
    };
    Ok(Promise { meta, range })
}

fn exact(answer: &Answer, asked: &Range<u64>, length: Option<u64>) -> Result<Range<u64>, OriginError> {
    let got = content_range(answer).ok_or_else(|| wrong(answer, "206 without a usable Content-Range"))?;
    if got.range != *asked {
        let why = format!("bytes {}-{} for {}-{}", got.range.start, got.range.end, asked.start, asked.end);
        return Err(wrong(answer, &why));
    }
    if length.is_some_and(|length| length != asked.end - asked.start) {
        return Err(wrong(answer, "Content-Length and Content-Range differ"));
    }
    Ok(got.range)
}

fn same_version(answer: &Answer, meta: &Meta, expect: &Validator) -> Result<(), OriginError> {
    let changed = |why: String| OriginError::Changed { at: answer.from.to_string(), why };
    match (expect, &meta.validator) {
        (Validator::None, _) => Ok(()),
        (Validator::Strong(old), Validator::Strong(new)) if old == new => Ok(()),
        (Validator::Dated { modified: old, size }, _) => {
            let new = answer.header(header::LAST_MODIFIED);
            let sized = size.is_none() || meta.size.is_none() || *size == meta.size;
            if sized && new == Some(old) { Ok(()) } else { Err(changed(format!("{old} is now {new:?}"))) }
        }
        (old, new) => Err(changed(format!("{old:?} is now {new:?}"))),
    }
}

struct ContentRange {
    range: Range<u64>,
    /// None: `*`.
    total: Option<u64>,
}

fn content_range(answer: &Answer) -> Option<ContentRange> {
    parse_content_range(answer.header(header::CONTENT_RANGE)?)
}

/// Size of the whole, of an answer that the range asked for is none.
pub(super) fn size_without_range(answer: &Answer) -> Option<u64> {
    parse_no_range(answer.header(header::CONTENT_RANGE)?)
}

fn parse_no_range(text: &str) -> Option<u64> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    (range.trim() == "*").then(|| total.trim().parse().ok()).flatten()
}

fn parse_content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
    let sound = first <= last && total.is_none_or(|total| last < total);
    sound.then_some(ContentRange { range: first..last.checked_add(1)?, total })
}

fn wrong(answer: &Answer, why: &str) -> OriginError {
    OriginError::Answer { at: answer.from.to_string(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_sound_or_nothing() {
        let range = |text| parse_content_range(text).map(|got| (got.range, got.total));
        assert_eq!(range("bytes 0-9/10"), Some((0..10, Some(10))));
        assert_eq!(range("bytes 5-9/*"), Some((5..10, None)));
        for text in
            ["bytes */10", "bytes 5-4/10", "bytes 0-10/10", "0-9/10", "bytes 0-9", "bytes 0-18446744073709551615/*"]
        {
            assert_eq!(range(text), None, "{text}");
        }
    }

    #[test]
    fn where_there_is_no_such_range_the_size_is_told() {
        assert_eq!((parse_no_range("bytes */0"), parse_no_range(" bytes * / 10 ")), (Some(0), Some(10)));
        for text in ["bytes 0-0/1", "bytes */*", "bytes */-1", "*/0", "bytes"] {
            assert_eq!(parse_no_range(text), None, "{text}");
        }
    }

    #[test]
    fn a_weak_tag_is_no_tag() {
        let dated = Validator::Dated { modified: "then".into(), size: Some(1) };
        assert_eq!(validator(Some("W/\"a\""), Some("then"), Some(1)), dated);
        assert_eq!(validator(Some("W/\"a\""), None, None), Validator::None);
        assert_eq!(validator(Some("\"a\""), None, None), Validator::Strong("\"a\"".into()));
    }
}
