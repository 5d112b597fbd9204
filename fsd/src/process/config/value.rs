//! Value: a setting's text, read by its kind.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::keys::Kind;
use crate::data::hosts::Hosts;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Bool(bool),
    Number(u64),
    /// Bytes.
    Size(u64),
    /// A cache counted in chunks.
    Chunks(u64),
    Time(Duration),
    Text(String),
    Path(PathBuf),
    Hosts(Hosts),
}

/// Reads what a user wrote; the error says what is allowed.
pub fn parse(kind: Kind, text: &str) -> Result<Value, String> {
    let text = text.trim();
    let read = match kind {
        Kind::Bool => boolean(text).map(Value::Bool),
        Kind::Count(min, max) => number(text).filter(|n| (min..=max).contains(n)).map(Value::Number),
        Kind::Bytes(min, max) => bytes(text).filter(|n| (min..=max).contains(n)).map(Value::Size),
        Kind::Cache => match number(text) {
            Some(chunks) => (chunks > 0).then_some(Value::Chunks(chunks)),
            None => bytes(text).filter(|n| *n > 0).map(Value::Size),
        },
        Kind::Time(min, max) => {
            milliseconds(text).filter(|ms| (min..=max).contains(ms)).map(|ms| Value::Time(Duration::from_millis(ms)))
        }
        Kind::Word(words) => words.iter().find(|w| w.replace('-', "_") == text.replace('-', "_")).map(|w| text_of(w)),
        Kind::Filter => filter(text).map(text_of),
        Kind::Hosts => Hosts::parse(text).map(Value::Hosts),
        Kind::Path => Some(Value::Path(path(text))),
        Kind::Text => Some(text_of(text)),
    };
    read.ok_or_else(|| format!("allowed: {}", allowed(kind)))
}

/// What may be written, in words.
pub fn allowed(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true, false".to_owned(),
        Kind::Count(min, max) => format!("a whole number from {min} to {max}"),
        Kind::Bytes(min, u64::MAX) => format!("bytes from {}, units KiB, MiB, GiB, TiB", show_bytes(min)),
        Kind::Bytes(min, max) => {
            format!("bytes from {} to {}, units KiB, MiB, GiB, TiB", show_bytes(min), show_bytes(max))
        }
        Kind::Cache => "bytes with a unit (KiB, MiB, GiB), or a number of chunks".to_owned(),
        Kind::Time(min, max) => {
            format!("a time from {} to {}, units ms, s, m, h", show_milliseconds(min), show_milliseconds(max))
        }
        Kind::Word(words) => words.join(", "),
        Kind::Filter => "off, error, warn, info, debug, trace, or directives such as fsd::data=debug".to_owned(),
        Kind::Hosts => "`host`, `*.domain`, each also with `:port`, with commas between".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::Text => "text".to_owned(),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) | Self::Chunks(value) => value.fmt(f),
            Self::Size(value) => f.write_str(&show_bytes(*value)),
            Self::Time(value) => f.write_str(&show_milliseconds(value.as_millis() as u64)),
            Self::Text(value) => value.fmt(f),
            Self::Hosts(value) => value.fmt(f),
            Self::Path(value) => value.display().fmt(f),
        }
    }
}

fn text_of(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A level, or directives. A word that is no level would be taken for the name of a module, and all else be silent.
fn filter(text: &str) -> Option<&str> {
    let known = |word: &str| {
        let module = word.split("::").next().unwrap_or_default();
        word.contains(['=', '[']) || module.starts_with("fsd") || LevelFilter::from_str(word).is_ok()
    };
    let read = text.split(',').all(|word| known(word.trim())) && EnvFilter::try_new(text).is_ok();
    read.then_some(text)
}

fn number(text: &str) -> Option<u64> {
    text.replace('_', "").parse().ok()
}

/// A number and the unit behind it.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    Some((number(&text[..end])?, text[end..].trim()))
}

const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

fn bytes(text: &str) -> Option<u64> {
    let (count, unit) = split(text)?;
    let unit = unit.trim_end_matches(['b', 'B']).trim_end_matches('i');
    let (_, factor) = SIZES.iter().find(|(name, _)| name.trim_end_matches("iB").eq_ignore_ascii_case(unit))?;
    count.checked_mul(*factor)
}

fn milliseconds(text: &str) -> Option<u64> {
    let (count, unit) = split(text)?;
    let unit = if unit.is_empty() { "s" } else { unit };
    let (_, factor) = TIMES.iter().find(|(name, _)| *name == unit)?;
    count.checked_mul(*factor)
}

fn show_bytes(value: u64) -> String {
    let (unit, factor) =
        SIZES.iter().find(|(_, factor)| value > 0 && value.is_multiple_of(*factor)).unwrap_or(&("", 1));
    format!("{}{unit}", value / factor)
}

fn show_milliseconds(value: u64) -> String {
    let (unit, factor) =
        TIMES.iter().find(|(_, factor)| value > 0 && value.is_multiple_of(*factor)).unwrap_or(&("s", 1_000));
    format!("{}{unit}", value / factor)
}

fn path(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_shown() {
        let size = |text| parse(Kind::Bytes(0, u64::MAX), text).ok();
        for text in ["4194304", "4MiB", "4 MiB", "4m", "4MB", "4096KiB"] {
            assert_eq!(size(text), Some(Value::Size(4 << 20)), "{text}");
        }
        assert_eq!(size("4Mix"), None);
        assert_eq!(size("99999999999TiB"), None);
        assert_eq!(Value::Size(4 << 20).to_string(), "4MiB");
        let time = |text| parse(Kind::Time(0, u64::MAX), text).ok();
        assert_eq!(time("90"), time("90s"));
        assert_eq!(time("2m"), time("120000ms"));
        assert_eq!(Value::Time(Duration::from_millis(1500)).to_string(), "1500ms");
        assert_eq!(Value::Time(Duration::ZERO).to_string(), "0s");
    }

    #[test]
    fn a_cache_without_a_unit_counts_chunks() {
        assert_eq!(parse(Kind::Cache, "8"), Ok(Value::Chunks(8)));
        assert_eq!(parse(Kind::Cache, "8MiB"), Ok(Value::Size(8 << 20)));
    }

    #[test]
    fn a_level_is_a_level_or_says_whose_it_is() {
        let read = |text| parse(Kind::Filter, text).is_ok();
        for text in ["off", "info", "WARN", "debug,hyper=warn", "fsd::data=trace", "fsd::data", "[span]=debug", ""] {
            assert!(read(text), "{text}");
        }
        assert!(!read("loud") && !read("info,loud") && !read("fsd=loud"));
    }

    #[test]
    fn a_refusal_says_what_is_allowed() {
        let refused = parse(Kind::Word(&["temp-file", "range-lru"]), "both").unwrap_err();
        assert_eq!(refused, "allowed: temp-file, range-lru");
        assert_eq!(parse(Kind::Word(&["temp-file"]), "temp_file"), Ok(Value::Text("temp-file".to_owned())));
        assert!(parse(Kind::Count(1, 64), "65").unwrap_err().contains("from 1 to 64"));
    }
}
