//! Times as index pages write them.

use std::time::UNIX_EPOCH;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Microseconds since 1970 of an HTTP date, `2024-02-29T12:34:56Z`, `2024-02-29 12:34[:56]`, `29-Feb-2024 12:34` or
/// `2024-Feb-29 12:34:56`. A page does not tell its zone: then it counts as UTC.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(time) = httpdate::parse_http_date(text) {
        let since = time.duration_since(UNIX_EPOCH).ok()?;
        return u64::try_from(since.as_micros()).ok();
    }
    let (date, time) = text.split_once([' ', 'T'])?;
    let mut parts = date.split('-');
    let (first, month, last) = (parts.next()?, month(parts.next()?)?, parts.next()?);
    let (year, day) = if first.len() == 4 { (first, last) } else { (last, first) };
    let days = days(year.parse().ok()?, month, day.parse().ok()?)?;
    let seconds = days * 86_400 + clock(time)?;
    Some(seconds * 1_000_000)
}

fn month(text: &str) -> Option<u64> {
    let named = MONTHS.iter().position(|month| *month == text);
    let number = named.map_or_else(|| text.parse().ok(), |n| Some(n as u64 + 1));
    number.filter(|month| (1..=12).contains(month))
}

fn clock(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(text.len());
    let mut parts = text[..end].split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    (hour < 24 && minute < 60 && second < 61).then_some(hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..10_000).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // Years from March on, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_the_same_moment() {
        let spellings = [
            "Thu, 29 Feb 2024 12:34:56 GMT",
            "2024-02-29T12:34:56Z",
            " 2024-02-29T12:34:56.123Z",
            "2024-02-29 12:34:56 +0000 UTC",
            "2024-Feb-29 12:34:56",
        ];
        for text in spellings {
            assert_eq!(parse(text), Some(1_709_210_096_000_000), "{text}");
        }
        for text in ["29-Feb-2024 12:34", "2024-02-29 12:34"] {
            assert_eq!(parse(text), Some(1_709_210_040_000_000), "{text}");
        }
        for text in ["", "-", "2024-13-01 00:00", "1850-01-01 00:00", "2024-02-29 25:00", "9999999999-01-01 00:00"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
